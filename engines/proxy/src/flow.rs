//! A flow: one request with its answer, as those see it who look.
//!
//! A [`Flow`] is there from its request's head on and is filled in as it goes: the answer's head, then how it ended. It can
//! be read at any time and by any number of readers. Heads are shown with what is secret in them covered; what was covered
//! stays inside, so that the request can be sent again as it was.

use std::{
    borrow::Cow,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use qd_proxy_content::{COVER, Limits, Rules, View};
use qd_proxy_wire::{Fields, Known, RequestHead, ResponseHead, Scheme, Version};
use serde::Serialize;

use crate::tap::Taps;

/// How far a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its head is read; it waits for an endpoint.
    Queued,
    /// It waits for a connection.
    Connecting,
    /// It is sent, or on its way.
    Waiting,
    /// The answer comes.
    Answering,
    /// It is held before it is sent; see [`crate::Hold`].
    HeldRequest,
    /// Its answer is held.
    HeldAnswer,
    /// It is over.
    Ended,
}

const STAGES: [Stage; 7] = [
    Stage::Queued,
    Stage::Connecting,
    Stage::Waiting,
    Stage::Answering,
    Stage::HeldRequest,
    Stage::HeldAnswer,
    Stage::Ended,
];

/// A body as far as it was kept.
#[derive(Default)]
pub struct Body {
    /// Its beginning, as it was sent: encoded as its head says, and with nothing covered. [`Flow::show_request`] and
    /// [`Flow::show_response`] show it.
    pub data: Vec<u8>,
    /// Bytes that passed.
    pub length: u64,
    pub(crate) trailers: Option<Box<Fields>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Body {
    /// Whether all of it was kept.
    pub fn is_whole(&self) -> bool {
        self.data.len() as u64 == self.length
    }
}

/// When what happened, from the moment at which the request's head was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// How long before that the client's connection was accepted; only for the first request of a connection.
    pub accepted: Option<Duration>,
    /// How long the handshake with the client took; only for the first request of a connection.
    pub handshake: Option<Duration>,
    /// How long it took to find out what is spoken; only for the first request of a connection.
    pub detect: Option<Duration>,
    /// How long it was held, before it was sent and before it was answered.
    pub held: Duration,
    /// An endpoint was chosen.
    pub chosen: Option<Duration>,
    /// There was a connection to it.
    pub connected: Option<Duration>,
    /// How long that took to open (names and addresses); `None` for a connection that was there.
    pub dial: Option<Duration>,
    /// How long its handshake took.
    pub upstream_handshake: Option<Duration>,
    /// The request was sent whole.
    pub sent: Option<Duration>,
    /// The answer's head came.
    pub first_byte: Option<Duration>,
    /// The first of its body came.
    pub first_data: Option<Duration>,
    /// All was over.
    pub end: Duration,
}

/// An attempt that was not the last.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The endpoint.
    pub endpoint: Arc<str>,
    /// When it began, from the flow's beginning.
    pub began: Duration,
    /// When it was given up.
    pub ended: Duration,
    /// The status that it was answered with, 0 for none.
    pub status: u16,
    /// The word of what kept it from an answer.
    pub fault: Option<&'static str>,
}

/// How a flow ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The route, if one fitted.
    pub route: Option<Arc<str>>,
    /// The cluster.
    pub cluster: Option<Arc<str>>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<Arc<str>>,
    /// The status, 0 if there was none.
    pub status: u16,
    /// Attempts.
    pub attempts: u32,
    /// Those before the last.
    pub earlier: Vec<Attempt>,
    /// Whether the connection to the upstream had been used before.
    pub reused: bool,
    /// What kept the upstream from answering: a word, and a line.
    pub fault: Option<(&'static str, String)>,
    /// When what happened.
    pub timings: Timings,
    /// The request's body.
    pub request_body: Body,
    /// The answer's body.
    pub response_body: Body,
}

/// One request with its answer.
pub struct Flow {
    /// Its number; they rise.
    pub id: u64,
    /// The number of the client's connection; 0 for one that the proxy sent by itself.
    pub connection: u64,
    /// The client.
    pub client: Option<SocketAddr>,
    /// The listener.
    pub listener: Arc<str>,
    /// Whether the client came by TLS.
    pub tls: bool,
    /// The version the client spoke: `HTTP/1.1`, `HTTP/2.0`; `TCP` for bytes that are passed as they come.
    pub version: &'static str,
    /// The number of the flow that this one repeats.
    pub replay_of: Option<u64>,
    pub(crate) began: Instant,
    /// Heads are kept as text, which is small and quickly made, and are read when somebody wants to see them.
    secret: Vec<u8>,
    spoken: (Version, Scheme),
    taps: Arc<Taps>,
    answer: OnceLock<(u16, Vec<u8>)>,
    pub(crate) end: OnceLock<Ended>,
    /// Bytes of bodies that are counted with those of all flows.
    weight: AtomicUsize,
    stage: AtomicU8,
    held: AtomicU64,
    at: OnceLock<SystemTime>,
    shown_request: OnceLock<Box<RequestHead>>,
    shown_answer: OnceLock<Box<ResponseHead>>,
    shown_trailers: [OnceLock<Box<Fields>>; 2],
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("id", &self.id)
            .field("stage", &self.stage())
            .field("request", self.request())
            .field("response", &self.response())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// What is known of a flow when it begins.
pub(crate) struct Start {
    pub(crate) id: u64,
    pub(crate) connection: u64,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) listener: Arc<str>,
    pub(crate) tls: bool,
    pub(crate) version: &'static str,
    pub(crate) replay_of: Option<u64>,
    pub(crate) began: Instant,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.taken();
    }
}

/// What was read once has passed its limits.
const ANY: qd_proxy_wire::Limits = qd_proxy_wire::Limits {
    head_bytes: usize::MAX,
    fields: usize::MAX,
};

impl Flow {
    pub(crate) fn new(start: Start, head: &RequestHead, taps: Arc<Taps>) -> Flow {
        Flow {
            id: start.id,
            connection: start.connection,
            client: start.client,
            listener: start.listener,
            tls: start.tls,
            version: start.version,
            replay_of: start.replay_of,
            began: start.began,
            secret: match head.method() {
                b"" => Vec::new(),
                _ => head.to_text(),
            },
            spoken: (head.version, head.scheme),
            taps,
            answer: OnceLock::new(),
            end: OnceLock::new(),
            weight: AtomicUsize::new(0),
            at: OnceLock::new(),
            stage: AtomicU8::new(0),
            held: AtomicU64::new(0),
            shown_request: OnceLock::new(),
            shown_answer: OnceLock::new(),
            shown_trailers: [const { OnceLock::new() }; 2],
        }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        let number = STAGES.iter().position(|s| *s == stage).unwrap_or(0);
        self.stage.store(u8::try_from(number).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn set_held(&self, id: u64) {
        self.held.store(id, Ordering::Relaxed);
    }

    /// Counts so many more bytes that it holds, if all flows together stay below `most`.
    pub(crate) fn grow(&self, bytes: usize, most: usize) -> bool {
        let all = &self.taps.weight;
        if all.load(Ordering::Relaxed) + bytes > most {
            return false;
        }
        all.fetch_add(bytes, Ordering::Relaxed);
        self.weight.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Its bodies have come into hands that count by themselves.
    pub(crate) fn taken(&self) {
        let own = self.weight.swap(0, Ordering::Relaxed);
        if own > 0 {
            self.taps.weight.fetch_sub(own, Ordering::Relaxed);
        }
    }

    pub(crate) fn answered(&self, head: &ResponseHead) {
        let _ = self.answer.set((head.status, head.to_text()));
    }

    /// What is covered in it.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.taps.rules()
    }

    /// The request's head with its secrets.
    pub(crate) fn secret(&self) -> RequestHead {
        let mut head = RequestHead::default();
        if !self.secret.is_empty() && head.parse(&self.secret, &ANY).is_err() {
            head.clear();
        }
        (head.version, head.scheme) = self.spoken;
        head
    }

    /// When it began.
    pub fn at(&self) -> SystemTime {
        // The clock was not asked then, but it is known how long ago that was.
        let now = || SystemTime::now().checked_sub(self.began.elapsed());
        *self.at.get_or_init(|| now().unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.end.get() {
            Some(_) => Stage::Ended,
            None => STAGES
                .get(usize::from(self.stage.load(Ordering::Relaxed)))
                .copied()
                .unwrap_or(Stage::Queued),
        }
    }

    /// The number under which it is held now.
    pub fn held(&self) -> Option<u64> {
        match self.held.load(Ordering::Relaxed) {
            0 => None,
            id => Some(id),
        }
    }

    /// How long it took, or takes by now.
    pub fn elapsed(&self) -> Duration {
        self.end.get().map_or_else(|| self.began.elapsed(), |e| e.timings.end)
    }

    /// The request's head as it came, with what is secret covered.
    pub fn request(&self) -> &RequestHead {
        self.shown_request
            .get_or_init(|| Box::new(covered_request(&self.secret(), &self.rules())))
    }

    /// The answer's head as it went, with what is secret covered; none of answers that were made here.
    pub fn response(&self) -> Option<&ResponseHead> {
        let (status, text) = self.answer.get()?;
        let shown = self.shown_answer.get_or_init(|| {
            let mut head = ResponseHead::default();
            if head.parse(text, &ANY).is_err() {
                head = ResponseHead::new(*status);
            }
            Box::new(covered_response(&head, &self.rules()))
        });
        Some(shown)
    }

    /// How it ended; `None` while it goes on.
    pub fn end(&self) -> Option<&Ended> {
        self.end.get()
    }

    /// The status, as soon as there is one.
    pub fn status(&self) -> Option<u16> {
        let ended = self.end.get().map(|e| e.status).filter(|s| *s > 0);
        ended.or_else(|| self.answer.get().map(|(status, _)| *status))
    }

    /// The request's trailers, with what is secret covered.
    pub fn request_trailers(&self) -> Option<&Fields> {
        let trailers = self.end.get()?.request_body.trailers.as_deref()?;
        let [cell, _] = &self.shown_trailers;
        Some(cell.get_or_init(|| Box::new(covered(trailers, &self.rules()))))
    }

    /// The answer's trailers, with what is secret covered.
    pub fn response_trailers(&self) -> Option<&Fields> {
        let trailers = self.end.get()?.response_body.trailers.as_deref()?;
        let [_, cell] = &self.shown_trailers;
        Some(cell.get_or_init(|| Box::new(covered(trailers, &self.rules()))))
    }

    /// The status of gRPC, from the trailers or else from the head.
    pub fn grpc_status(&self) -> Option<u16> {
        let trailers = self.end.get().and_then(|e| e.response_body.trailers.as_ref());
        let value = trailers.and_then(|t| t.first(Known::GrpcStatus));
        let value = value.or_else(|| self.response()?.fields.first(Known::GrpcStatus))?;
        qd_proxy_policy::GrpcCode::parse(value).map(|code| code.0)
    }

    /// The request's body as people read it: encodings taken away with a bound, secrets covered, control bytes escaped.
    pub fn show_request(&self, limits: Limits) -> Option<View> {
        let body = &self.end.get()?.request_body;
        Some(self.show(body, &self.request().fields, limits))
    }

    /// The answer's body, likewise.
    pub fn show_response(&self, limits: Limits) -> Option<View> {
        let body = &self.end.get()?.response_body;
        Some(self.show(body, &self.response()?.fields, limits))
    }

    fn show(&self, body: &Body, fields: &Fields, limits: Limits) -> View {
        let text = |name: &[u8]| std::str::from_utf8(fields.get(name).unwrap_or_default()).unwrap_or_default();
        let body = qd_proxy_content::Body {
            bytes: &body.data,
            content_type: text(b"content-type"),
            content_encoding: text(b"content-encoding"),
            grpc_encoding: text(b"grpc-encoding"),
        };
        qd_proxy_content::show(&body, None, &self.rules(), limits)
    }
}

/// Fields with what is secret covered. They are made anew: nothing of what was covered stays in them.
pub(crate) fn covered(fields: &Fields, rules: &Rules) -> Fields {
    let mut shown = Fields::new();
    for (name, value) in fields.iter() {
        shown.push(name, &covered_value(name, value, rules));
    }
    shown
}

fn covered_value<'v>(name: &[u8], value: &'v [u8], rules: &Rules) -> Cow<'v, [u8]> {
    let is_secret = std::str::from_utf8(name).is_ok_and(|name| rules.is_header(name));
    if is_secret {
        return Cow::Owned(COVER.as_bytes().to_vec());
    }
    match std::str::from_utf8(value) {
        Ok(text) => match rules.cover(text) {
            Cow::Borrowed(_) => Cow::Borrowed(value),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        Err(_) => Cow::Borrowed(value),
    }
}

/// A target whose parameters that are named as secrets are, are covered.
fn covered_target(target: &[u8], rules: &Rules) -> Vec<u8> {
    let Some(at) = target.iter().position(|b| *b == b'?') else {
        return covered_value(b"", target, rules).into_owned();
    };
    let (path, query) = target.split_at(at);
    let mut out = path.to_vec();
    for (i, pair) in query.get(1..).unwrap_or_default().split(|b| *b == b'&').enumerate() {
        out.push(if i == 0 { b'?' } else { b'&' });
        let end = pair.iter().position(|b| *b == b'=');
        let name = String::from_utf8_lossy(pair.get(..end.unwrap_or(0)).unwrap_or_default());
        match end {
            Some(end) if rules.is_key(&name) => {
                out.extend_from_slice(pair.get(..=end).unwrap_or_default());
                out.extend_from_slice(COVER.as_bytes());
            }
            _ => out.extend_from_slice(&covered_value(b"", pair, rules)),
        }
    }
    out
}

pub(crate) fn covered_request(head: &RequestHead, rules: &Rules) -> RequestHead {
    let mut shown = RequestHead::default();
    shown.version = head.version;
    shown.scheme = head.scheme;
    shown.fields = covered(&head.fields, rules);
    shown.set_method(head.method());
    shown.set_target(&covered_target(head.target(), rules));
    shown
}

pub(crate) fn covered_response(head: &ResponseHead, rules: &Rules) -> ResponseHead {
    let mut shown = ResponseHead::new(head.status);
    shown.version = head.version;
    shown.fields = covered(&head.fields, rules);
    shown.set_reason(head.reason());
    shown
}

/// Puts back what was covered: a value that still reads as its cover is the original's of the same name and place.
pub(crate) fn uncovered(edited: &[(Vec<u8>, Vec<u8>)], secret: &Fields, rules: &Rules) -> Fields {
    let mut fields = Fields::new();
    for (index, (name, value)) in edited.iter().enumerate() {
        let same = |n: &[u8]| n.eq_ignore_ascii_case(name);
        let nth = edited.iter().take(index).filter(|(n, _)| same(n)).count();
        let original = secret.iter().filter(|(n, _)| same(n)).nth(nth).map(|(_, v)| v);
        let kept = original.filter(|o| covered_value(name, o, rules).as_ref() == value.as_slice());
        fields.push(name, kept.unwrap_or(value));
    }
    fields
}

/// The target of an edit: the original one if its covered form was left as it is.
pub(crate) fn uncovered_target<'t>(edited: &'t [u8], secret: &'t [u8], rules: &Rules) -> &'t [u8] {
    match covered_target(secret, rules) == edited {
        true => secret,
        false => edited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RequestHead {
        let text = b"GET /a?token=abc&x=1&b=Bearer%20q HTTP/1.1\r\nHost: h\r\nCookie: c=first\r\nX-A: 1\r\nAuthorization: Basic YWxhZGRpbjpvcGVu\r\ncookie: c=second\r\n\r\n";
        let mut head = RequestHead::default();
        head.parse(text, &qd_proxy_wire::Limits::default()).unwrap();
        head
    }

    #[test]
    fn what_is_secret_is_covered_and_nothing_of_it_stays() {
        let flow = Flow::new(
            Start {
                id: 1,
                connection: 1,
                client: None,
                listener: Arc::from("l"),
                tls: false,
                version: "HTTP/1.1",
                replay_of: None,
                began: Instant::now(),
            },
            &head(),
            Arc::new(Taps::new(1)),
        );
        assert_eq!(flow.request().target(), b"/a?token=[redacted]&x=1&b=Bearer%20q");
        let shown = format!("{flow:?}");
        for secret in ["abc", "YWxh", "first", "second"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(flow.request().fields.get(b"x-a"), Some(&b"1"[..]));
    }

    #[test]
    fn an_edit_keeps_what_it_could_not_see() {
        let (head, rules) = (head(), Rules::default());
        let mut edited: Vec<(Vec<u8>, Vec<u8>)> = covered(&head.fields, &rules)
            .iter()
            .map(|(n, v)| (n.to_vec(), v.to_vec()))
            .collect();
        edited.retain(|(n, _)| n != b"X-A");
        edited[1].1 = b"mine".to_vec();
        let back = uncovered(&edited, &head.fields, &rules);
        let values: Vec<&[u8]> = back.iter().map(|(_, v)| v).collect();
        assert_eq!(values, [&b"h"[..], b"mine", b"Basic YWxhZGRpbjpvcGVu", b"c=second"]);
        let shown = covered_target(head.target(), &rules);
        assert_eq!(uncovered_target(&shown, head.target(), &rules), head.target());
        assert_eq!(uncovered_target(b"/b", head.target(), &rules), b"/b");
    }
}
