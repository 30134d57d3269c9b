//! The session's own small HTTP service: its numbers in Prometheus' text form, itself and its panes as JSON. It listens on a
//! unix socket that only this person can reach, answers GET and HEAD, and knows nothing of the session but how to ask it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use qd_proxy::wire::{HeadError, Limits, RequestHead, Scan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::oneshot,
};

use crate::engine::{Console, Page};

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// How long the session may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once.
const CONNECTIONS: usize = 64;

/// The service; its socket goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    path: PathBuf,
    task: tokio::task::AbortHandle,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Service {
    /// Listens in the directory of the session's sockets.
    ///
    /// # Errors
    /// What the system refuses.
    pub(crate) fn start(runtime: &tokio::runtime::Handle, dir: &Path, console: Console) -> io::Result<Service> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let path = dir.join(format!("console-{}-{number}", std::process::id()));
        // Whoever had this process number before is gone.
        let _not_there = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let _guard = runtime.enter();
        let listener = UnixListener::from_std(listener)?;
        let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        let task = runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(seat) = Arc::clone(&room).acquire_owned().await else {
                    return;
                };
                let console = Arc::clone(&console);
                tokio::spawn(async move {
                    // Whoever breaks off, breaks off.
                    let _ended = serve(stream, &console).await;
                    drop(seat);
                });
            }
        });
        Ok(Service {
            path,
            task: task.abort_handle(),
        })
    }

    /// Its socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// An answer.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Answer {
        Answer {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

const INDEX: &str = "/metrics        this session in numbers, in Prometheus' text form\n\
                     /api/session    this session, as JSON\n\
                     /api/panes      its panes, as JSON\n";

async fn page(console: &Console, path: &[u8]) -> Answer {
    let (page, kind) = match path {
        b"/" => return Answer::text("200 OK", INDEX),
        b"/metrics" => (Page::Metrics, "text/plain; version=0.0.4; charset=utf-8"),
        b"/api/session" => (Page::Session, "application/json"),
        b"/api/panes" => (Page::Panes, "application/json"),
        _ => return Answer::text("404 Not Found", format!("there is no such page; there are:\n{INDEX}")),
    };
    let (reply, answer) = oneshot::channel();
    console(page, reply);
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(body)) => Answer {
            status: "200 OK",
            kind,
            body,
        },
        _ => Answer::text("503 Service Unavailable", "the session did not answer\n"),
    }
}

async fn serve(mut stream: UnixStream, console: &Console) -> io::Result<()> {
    let mut buffer = Vec::new();
    let limits = Limits::default();
    loop {
        let mut scan = Scan::default();
        let end = loop {
            match scan.find(&buffer, &limits) {
                Ok(Some(end)) => break end,
                Ok(None) => {}
                Err(e) => return refuse(&mut stream, &e).await,
            }
            match tokio::time::timeout(IDLE, stream.read_buf(&mut buffer)).await {
                Ok(Ok(0)) | Err(_) => return Ok(()),
                Ok(got) => got?,
            };
        };
        let mut head = RequestHead::default();
        let text: Vec<u8> = buffer.drain(..end).collect();
        if let Err(e) = head.parse(&text, &limits) {
            return refuse(&mut stream, &e).await;
        }
        let only_head = head.method() == b"HEAD";
        let answer = match head.method() {
            b"GET" | b"HEAD" => page(console, head.path()).await,
            _ => Answer::text("405 Method Not Allowed", "GET and HEAD\n"),
        };
        // What has a body is not read on: the next request could not be told from it.
        let body = head.fields.get(b"content-length").is_some_and(|n| n != b"0")
            || head.fields.get(b"transfer-encoding").is_some();
        let asked = head.fields.get(b"connection").unwrap_or_default();
        let close = body || asked.eq_ignore_ascii_case(b"close") || head.version != qd_proxy::wire::Version::Http11;
        let mut out = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{}\r\n",
            answer.status,
            answer.kind,
            answer.body.len(),
            if close { "Connection: close\r\n" } else { "" },
        );
        if !only_head {
            out.push_str(&answer.body);
        }
        stream.write_all(out.as_bytes()).await?;
        if close {
            return Ok(());
        }
    }
}

async fn refuse(stream: &mut UnixStream, e: &HeadError) -> io::Result<()> {
    let body = format!("{e}\n");
    let text = format!(
        "HTTP/1.1 {} Refused\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        e.status(),
        body.len()
    );
    stream.write_all(text.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_what_is_asked_and_refuses_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let console: Console = Arc::new(|page, reply| {
            let _ = reply.send(format!("{page:?}"));
        });
        let service = Service::start(&tokio::runtime::Handle::current(), dir.path(), console).unwrap();
        let mut stream = UnixStream::connect(service.path()).await.unwrap();
        let asks = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nHEAD /api/panes HTTP/1.1\r\nHost: x\r\n\r\n\
                    GET /none HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(asks.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let statuses: Vec<&str> = text
            .lines()
            .filter_map(|l| l.split_once("HTTP/1.1 ")?.1.split(' ').next())
            .collect();
        assert_eq!(statuses, ["200", "200", "404", "405"]);
        assert!(text.contains("\r\n\r\nMetrics") && !text.contains("Panes"), "{text}");
        let mut stream = UnixStream::connect(service.path()).await.unwrap();
        stream.write_all(b"\x00\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        let path = service.path().to_owned();
        drop(service);
        assert!(!path.exists());
    }
}
