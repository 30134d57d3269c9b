//! Sending a request again: as it was, or as it was changed in an editor. It goes to the listener that it came by, so that
//! it takes the same way through the proxy, and its flow is shown like any other.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use qd_mux::{Action, OnExit, PaneSpec};
use qd_proxy::{
    AnswerEdit, Flow, Release, ReplayRequest, ReplayTo, RequestEdit,
    engine::Command,
    telemetry::{Flow as Told, Message, flow::Spoken},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{ProxyPane, book::Seen};
use crate::PaneEvent;

/// How long a replay may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read; the flow itself is kept by the tap.
const ANSWER: u64 = 64 << 20;
/// Bytes of an edited request at most.
const EDITED: u64 = 4 << 20;

/// What becomes of the text that is in an editor.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// A flow's request is sent again, changed.
    Again(Arc<Flow>),
    /// A request of a file is sent to a listener.
    Send(Arc<str>),
    /// What is held under a number goes on, changed: a request, or an answer.
    Release(u64, bool),
}

/// Something that is in an editor.
#[derive(Debug)]
pub(super) struct Editing {
    dir: tempfile::TempDir,
    goal: Goal,
    /// What was put into the file.
    before: Vec<u8>,
    /// What came out of the editor, when it did.
    ready: Option<Typed>,
    written: Option<SystemTime>,
}

/// A request or an answer as it was typed: the words of its first line, its fields, its body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Typed {
    first: Vec<String>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Editing {
    fn file(&self) -> PathBuf {
        self.dir.path().join("request.http")
    }

    fn done(&self) -> PathBuf {
        self.dir.path().join("done")
    }
}

/// Fields that belong to one connection, or are made anew.
const OWN: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
];

/// A request as it is sent with HTTP/1.1.
pub(super) fn request(told: &Told) -> Vec<u8> {
    let mut out = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", told.method, told.path, told.host).into_bytes();
    for (name, value) in &told.request.headers {
        let own = OWN.iter().any(|o| name.eq_ignore_ascii_case(o));
        if own || name.starts_with(':') {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let bodied = !matches!(told.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE" | "TRACE");
    if bodied || !told.request.body.is_empty() {
        out.extend_from_slice(format!("Content-Length: {}\r\n", told.request.body.len()).as_bytes());
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    out.extend_from_slice(&told.request.body);
    out
}

/// A text from the editor: a first line, fields, an empty line, a body.
///
/// # Errors
/// What it lacks, in a sentence.
fn typed(text: &[u8]) -> Result<Typed, String> {
    let cut = |sep: &[u8]| {
        let at = text.windows(sep.len()).position(|w| w == sep);
        at.map(|at| (at, at + sep.len()))
    };
    let first = [cut(b"\r\n\r\n"), cut(b"\n\n")].into_iter().flatten().min();
    let (head, body) = match first {
        Some((end, from)) => (
            text.get(..end).unwrap_or_default(),
            text.get(from..).unwrap_or_default(),
        ),
        None => (text, &[][..]),
    };
    // An editor saves an end of line after the last one.
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let words = lines.next().unwrap_or_default().split_whitespace();
    let first: Vec<String> = words.map(str::to_owned).collect();
    if first.len() < 2 {
        return Err("the first line lacks a word: GET /path, or HTTP/1.1 200".to_owned());
    }
    let mut headers = Vec::new();
    for line in lines.filter(|l| !l.trim().is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!("`{line}` is no field: a name, a colon and a value"));
        };
        headers.push((name.trim().as_bytes().to_vec(), value.trim().as_bytes().to_vec()));
    }
    Ok(Typed {
        first,
        headers,
        body: body.to_vec(),
    })
}

impl Typed {
    fn request(&self) -> Result<RequestEdit, String> {
        let word = |at: usize| self.first.get(at).map(|w| w.as_bytes().to_vec()).unwrap_or_default();
        if !self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(b"host")) {
            return Err("the request has no Host".to_owned());
        }
        // The proxy sets the length of the body as it is now.
        let framing =
            |n: &[u8]| n.eq_ignore_ascii_case(b"content-length") || n.eq_ignore_ascii_case(b"transfer-encoding");
        Ok(RequestEdit {
            method: word(0),
            target: word(1),
            headers: self.headers.iter().filter(|(n, _)| !framing(n)).cloned().collect(),
            body: Some(self.body.clone()),
        })
    }

    fn answer(&self) -> Result<AnswerEdit, String> {
        let status = self.first.iter().find_map(|w| w.parse().ok());
        Ok(AnswerEdit {
            status: status.ok_or_else(|| "the first line has no status: HTTP/1.1 200".to_owned())?,
            headers: self.headers.clone(),
            body: Some(self.body.clone()),
        })
    }

    /// As this pane sends it by itself.
    fn told(&self) -> Told {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let host = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(b"host"));
        Told {
            method: self.first.first().cloned().unwrap_or_default(),
            path: self.first.get(1).cloned().unwrap_or_default(),
            host: host.map(|(_, v)| text(v)).unwrap_or_default(),
            request: Message {
                headers: self.headers.iter().map(|(n, v)| (text(n), v.clone())).collect(),
                body: self.body.clone(),
                ..Message::default()
            },
            ..Told::default()
        }
    }
}

/// A head and a body as they stand in an editor.
fn sheet(first: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{first}\n").into_bytes();
    for (name, value) in headers.iter().filter(|(n, _)| !n.starts_with(':')) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(body);
    out
}

/// Whether a request has the same effect however often it is sent.
pub(super) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

impl ProxyPane {
    /// Why a flow cannot be sent again.
    pub(super) fn cannot_send(&self, seen: &Seen) -> Option<String> {
        let told = &seen.told;
        if told.request.size > told.request.body.len() as u64 {
            let (kept, all) = (told.request.body.len(), told.request.size);
            return Some(format!("only {kept} of the {all} bytes of its body were kept"));
        }
        if matches!(told.spoken, Spoken::Tcp | Spoken::WebSocket) || told.method == "CONNECT" {
            return Some("what was spoken is no single request".to_owned());
        }
        match seen.more.flow {
            Some(_) => None,
            None => self.address(&seen.more.listener).err(),
        }
    }

    /// Where a listener can be reached without TLS; of a flow from a file, where the first one can.
    fn address(&self, listener: &str) -> Result<SocketAddr, String> {
        let s = self.snapshot();
        let found = s
            .listeners
            .iter()
            .find(|l| *l.name == *listener)
            .or_else(|| s.listeners.first());
        let found = found.ok_or_else(|| "the proxy does not listen".to_owned())?;
        let mut address: SocketAddr = found
            .address
            .parse()
            .map_err(|_| format!("the listener {} is no TCP socket", found.name))?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(address)
    }

    /// Sends the flow's request again.
    pub(super) fn replay(&mut self, seen: &Seen) {
        match (self.cannot_send(seen), &seen.more.flow) {
            (Some(why), _) => self.tell(format!("it cannot be sent again: {why}"), true),
            (None, Some(flow)) => self.again(Arc::clone(flow), None),
            (None, None) => self.send(&seen.more.listener, request(&seen.told)),
        }
    }

    fn again(&mut self, flow: Arc<Flow>, edit: Option<RequestEdit>) {
        let request = ReplayRequest {
            flow,
            edit,
            to: ReplayTo::Routes,
            body: super::book::BODY,
        };
        self.follow = self.detail.is_none();
        self.tell("sent again", false);
        self.call(Command::Replay(Box::new(request)), String::new());
    }

    fn send(&mut self, listener: &str, bytes: Vec<u8>) {
        let address = match self.address(listener) {
            Ok(a) => a,
            Err(e) => {
                self.tell(e, true);
                return;
            }
        };
        self.tell("sent again", false);
        self.follow = true;
        let (say, wake) = (self.say.clone(), Arc::clone(&self.wake));
        self.runtime.spawn(async move {
            let work = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(&bytes).await?;
                let mut answer = stream.take(ANSWER);
                tokio::io::copy(&mut answer, &mut tokio::io::sink()).await?;
                std::io::Result::Ok(())
            };
            let failed = match tokio::time::timeout(PATIENCE, work).await {
                Ok(Ok(())) => return,
                Ok(Err(e)) => e.to_string(),
                Err(_) => format!("no end within {} s", PATIENCE.as_secs()),
            };
            if say
                .send((format!("the request was sent again: {failed}"), true))
                .is_ok()
            {
                wake();
            }
        });
    }

    /// Opens the flow's request in an editor.
    pub(super) fn edit(&mut self, seen: &Seen) {
        if let Some(why) = self.cannot_send(seen) {
            self.tell(format!("it cannot be sent again: {why}"), true);
            return;
        }
        let t = &seen.told;
        let mut headers = t.request.headers.clone();
        if t.request.header("host").is_none() {
            headers.insert(0, ("Host".to_owned(), t.host.clone().into_bytes()));
        }
        let text = sheet(&format!("{} {} HTTP/1.1", t.method, t.path), &headers, &t.request.body);
        let goal = match &seen.more.flow {
            Some(flow) => Goal::Again(Arc::clone(flow)),
            None => Goal::Send(Arc::clone(&seen.more.listener)),
        };
        self.open_editor(goal, text);
    }

    /// Opens what is held in an editor.
    pub(super) fn edit_held(&mut self, held: &qd_proxy::Held) {
        if !held.view.is_whole {
            self.tell(
                "its body is longer than what is kept of it, so it cannot be edited",
                true,
            );
            return;
        }
        let lines = |f: &qd_proxy::wire::Fields| -> Vec<(String, Vec<u8>)> {
            let name = |n: &[u8]| String::from_utf8_lossy(n).into_owned();
            f.iter().map(|(n, v)| (name(n), v.to_vec())).collect()
        };
        let text = match &held.answer {
            Some(answer) => sheet(
                &format!("HTTP/1.1 {}", answer.status),
                &lines(&answer.fields),
                &held.body,
            ),
            None => {
                let head = held.flow.request();
                let word = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                let first = format!("{} {} HTTP/1.1", word(head.method()), word(head.target()));
                sheet(&first, &lines(&head.fields), &held.body)
            }
        };
        self.open_editor(Goal::Release(held.view.id, held.answer.is_some()), text);
    }

    fn open_editor(&mut self, goal: Goal, text: Vec<u8>) {
        let made = tempfile::Builder::new().prefix("quarterdeck-request-").tempdir();
        let editing = made.map(|dir| Editing {
            dir,
            goal,
            before: text.clone(),
            ready: None,
            written: None,
        });
        let editing = match editing {
            Ok(e) => e,
            Err(e) => {
                self.tell(format!("no file for the editor: {e}"), true);
                return;
            }
        };
        if let Err(e) = std::fs::write(editing.file(), text) {
            self.tell(format!("{}: {e}", editing.file().display()), true);
            return;
        }
        let (file, done) = (
            editing.file().display().to_string(),
            editing.done().display().to_string(),
        );
        let mut argv = vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            "flag=$1; shift; \"$@\"; : >\"$flag\"".to_owned(),
            "sh".to_owned(),
            done,
        ];
        argv.extend(crate::search::editor_at(&file, 1, 1));
        let spec = PaneSpec {
            on_exit: OnExit::Close,
            ..PaneSpec::command(argv)
        };
        self.events
            .push(PaneEvent::Do(Box::new(Action::NewPane { spec, direction: None })));
        self.editing = Some(editing);
        self.tell("it is in the editor; when that ends, it can be sent", false);
    }

    /// Looks whether the editor has ended.
    pub(super) fn poll_editor(&mut self) {
        let Some(e) = &mut self.editing else { return };
        if e.ready.is_some() {
            return;
        }
        let Ok(meta) = std::fs::metadata(e.done()) else { return };
        let written = meta.modified().ok();
        if e.written == written {
            return;
        }
        e.written = written;
        let file = e.file();
        let size = std::fs::metadata(&file).map(|m| m.len()).unwrap_or(u64::MAX);
        let made = match size > EDITED {
            true => Err(format!("{} is missing or larger than 4 MiB", file.display())),
            false => std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display())),
        };
        let same = made.as_ref().is_ok_and(|t| *t == e.before);
        let goal = e.goal.clone();
        match made.and_then(|text| typed(&text)) {
            Ok(typed) => {
                let what = match (goal, same) {
                    (Goal::Release(..), true) => "let it go on, unchanged",
                    (Goal::Release(..), false) => "let it go on, changed",
                    (_, true) => "send, unchanged",
                    (_, false) => "send, changed",
                };
                let words = format!("{what}: {}?", typed.first.join(" "));
                e.ready = Some(typed);
                self.confirm = Some((words, super::menu::Act::SendEdited));
            }
            Err(e) => {
                self.editing = None;
                self.tell(format!("what was edited: {e}"), true);
            }
        }
    }

    /// Sends what came out of the editor.
    pub(super) fn send_edited(&mut self) {
        let Some(e) = self.editing.take() else { return };
        let Some(ready) = e.ready else { return };
        let done = match e.goal {
            Goal::Send(listener) => {
                self.send(&listener, request(&ready.told()));
                Ok(())
            }
            Goal::Again(flow) => ready.request().map(|edit| self.again(flow, Some(edit))),
            Goal::Release(id, true) => ready.answer().map(|a| self.release(id, Release::Answer(a))),
            Goal::Release(id, false) => ready.request().map(|r| self.release(id, Release::Request(r))),
        };
        if let Err(e) = done {
            self.tell(format!("what was edited: {e}"), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_made_anew_for_another_connection() {
        let told = Told {
            method: "POST".to_owned(),
            path: "/a?b".to_owned(),
            host: "h:1".to_owned(),
            request: Message {
                headers: [
                    ("host", "h:1"),
                    ("Connection", "x"),
                    ("X-A", "1"),
                    ("transfer-encoding", "chunked"),
                ]
                .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
                .to_vec(),
                body: b"hi".to_vec(),
                ..Message::default()
            },
            ..Told::default()
        };
        let text = String::from_utf8(request(&told)).unwrap();
        let want = "POST /a?b HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        assert_eq!(text, want);
    }

    #[test]
    fn what_comes_from_the_editor_is_checked() {
        let made = typed(b"POST /x HTTP/1.1\nHost: h\nContent-Length: 99\nX: y\n\na\nb\n").unwrap();
        let edit = made.request().unwrap();
        assert_eq!(
            (edit.method.as_slice(), edit.target.as_slice()),
            (&b"POST"[..], &b"/x"[..])
        );
        assert_eq!(edit.body.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(edit.headers.len(), 2);
        let answer = typed(b"HTTP/1.1 418\r\nA: b\r\n\r\nx").unwrap().answer().unwrap();
        assert_eq!((answer.status, answer.body), (418, Some(b"x".to_vec())));
        assert!(typed(b"GET / HTTP/1.1\n\n").unwrap().request().is_err(), "no host");
        for bad in ["", "GET", "GET / HTTP/1.1\nHost: h\nnonsense\n\n"] {
            assert!(typed(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
