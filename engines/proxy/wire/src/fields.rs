//! Header fields as they came: in order, in their own case, with any bytes a value may have.
//!
//! The text of all fields lies in one buffer and the table holds ranges, so that a head costs no allocation for each field
//! and a connection can use the same [`Fields`] for every request. Names that rules ask for are recognised once, when the
//! field is added ([`Known`]).

use std::fmt;

use smallvec::SmallVec;

/// A field name that some rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// Any other.
    Other,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Host`
    Host,
    /// `TE`
    Te,
    /// `Upgrade`
    Upgrade,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Expect`
    Expect,
    /// `Trailer`
    Trailer,
    /// `Via`
    Via,
    /// `Forwarded`
    Forwarded,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `Cookie`
    Cookie,
    /// `Retry-After`
    RetryAfter,
    /// `grpc-status`
    GrpcStatus,
    /// `grpc-message`
    GrpcMessage,
    /// `grpc-timeout`
    GrpcTimeout,
    /// `traceparent`
    Traceparent,
}

impl Known {
    /// Which one a name is; case does not matter.
    pub fn of(name: &[u8]) -> Known {
        let among = |list: &[(&str, Known)]| {
            list.iter()
                .find(|(n, _)| name.eq_ignore_ascii_case(n.as_bytes()))
                .map_or(Known::Other, |(_, k)| *k)
        };
        match name.len() {
            2 => among(&[("te", Known::Te)]),
            3 => among(&[("via", Known::Via)]),
            4 => among(&[("host", Known::Host)]),
            6 => among(&[("expect", Known::Expect), ("cookie", Known::Cookie)]),
            7 => among(&[("upgrade", Known::Upgrade), ("trailer", Known::Trailer)]),
            9 => among(&[("forwarded", Known::Forwarded)]),
            10 => among(&[("connection", Known::Connection), ("keep-alive", Known::KeepAlive)]),
            11 => among(&[
                ("retry-after", Known::RetryAfter),
                ("grpc-status", Known::GrpcStatus),
                ("traceparent", Known::Traceparent),
            ]),
            12 => among(&[
                ("content-type", Known::ContentType),
                ("grpc-message", Known::GrpcMessage),
                ("grpc-timeout", Known::GrpcTimeout),
            ]),
            14 => among(&[
                ("content-length", Known::ContentLength),
                ("http2-settings", Known::Http2Settings),
            ]),
            15 => among(&[("x-forwarded-for", Known::XForwardedFor)]),
            16 => among(&[
                ("proxy-connection", Known::ProxyConnection),
                ("x-forwarded-host", Known::XForwardedHost),
            ]),
            17 => among(&[
                ("transfer-encoding", Known::TransferEncoding),
                ("x-forwarded-proto", Known::XForwardedProto),
            ]),
            18 => among(&[("proxy-authenticate", Known::ProxyAuthenticate)]),
            19 => among(&[("proxy-authorization", Known::ProxyAuthorization)]),
            _ => Known::Other,
        }
    }
}

/// A piece of the buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    name: Span,
    value: Span,
    known: Known,
}

/// Fields that a head holds without memory of its own for their table.
const INLINE: usize = 16;

/// Fields in order.
#[derive(Default)]
pub struct Fields {
    bytes: Vec<u8>,
    list: SmallVec<[Entry; INLINE]>,
    /// `bytes` is the text of a head that was read, and the list says what it says.
    as_read: bool,
}

impl Clone for Fields {
    fn clone(&self) -> Fields {
        Fields {
            bytes: self.bytes.clone(),
            list: SmallVec::from_slice(&self.list),
            as_read: self.as_read,
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        f.debug_list()
            .entries(self.iter().map(|(n, v)| (text(n), text(v))))
            .finish()
    }
}

/// Whether a byte may stand in a name.
pub const fn is_token(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether it can be a name.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| is_token(*b))
}

/// Whether it can be a value: no control bytes but the tab. Bytes above 127 may be anything.
pub fn is_value(value: &[u8]) -> bool {
    // A fold without a way out, which the compiler makes wide.
    !value
        .iter()
        .fold(false, |bad, b| bad | ((*b < 0x20) & (*b != 9)) | (*b == 0x7f))
}

/// Without spaces and tabs around it.
pub fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |e| e + 1);
    value.get(start..end).unwrap_or_default()
}

impl Fields {
    /// None yet.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Takes all away and keeps the room.
    pub fn clear(&mut self) {
        self.as_read = false;
        self.bytes.clear();
        self.list.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.list.capacity() * size_of::<Entry>()
    }

    /// Gives memory back if it holds more than so many bytes.
    pub fn shrink(&mut self, to: usize) {
        if self.memory() > to {
            *self = Fields::default();
        }
    }

    pub(crate) fn text(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.bytes.get(start..start + span.len as usize).unwrap_or_default()
    }

    pub(crate) fn store(&mut self, text: &[u8]) -> Span {
        self.as_read = false;
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(text);
        Span {
            start,
            len: u32::try_from(text.len()).unwrap_or(0),
        }
    }

    /// Takes the text of a head, of which [`Fields::part`] makes spans.
    pub(crate) fn take_text(&mut self, text: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(text);
        self.as_read = true;
    }

    pub(crate) fn part(&self, start: usize, end: usize) -> Span {
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(end.saturating_sub(start)).unwrap_or(0),
        }
    }

    /// The text that was read, if nothing was changed since.
    pub(crate) fn as_read(&self) -> Option<&[u8]> {
        self.as_read.then_some(&self.bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn push_spans(&mut self, name: Span, value: Span) {
        let known = Known::of(self.text(name));
        self.list.push(Entry { name, value, known });
    }

    /// Adds a field at the end. Name and value are taken as they are.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.store(name), self.store(value));
        self.push_spans(name, value);
    }

    /// Replaces the first of that name in place and takes the others away; adds it if there is none.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let span = self.store(value);
        let found = self.position(name);
        match found {
            Some(at) => {
                if let Some(entry) = self.list.get_mut(at) {
                    entry.value = span;
                }
                let mut index = 0;
                let Fields { bytes, list, .. } = self;
                list.retain(|e| {
                    let keep = index <= at || !slice(bytes, e.name).eq_ignore_ascii_case(name);
                    index += 1;
                    keep
                });
            }
            None => {
                let name = self.store(name);
                self.push_spans(name, span);
            }
        }
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.list
            .iter()
            .position(|e| self.text(e.name).eq_ignore_ascii_case(name))
    }

    /// All in order, name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|e| (self.text(e.name), self.text(e.value)))
    }

    /// As [`Fields::iter`], with what is known of the name.
    pub fn iter_known(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.list
            .iter()
            .map(|e| (e.known, self.text(e.name), self.text(e.value)))
    }

    /// The first value of a name; case does not matter.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Every value of a known name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.list
            .iter()
            .filter(move |e| e.known == known)
            .map(|e| self.text(e.value))
    }

    /// The first value of a known name.
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// Whether it is there.
    pub fn has(&self, known: Known) -> bool {
        self.list.iter().any(|e| e.known == known)
    }

    /// Keeps those for which `keep(known, name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &[u8], &[u8]) -> bool) {
        self.as_read = false;
        let Fields { bytes, list, .. } = self;
        list.retain(|e| keep(e.known, slice(bytes, e.name), slice(bytes, e.value)));
    }

    /// Takes every field of a known name away.
    pub fn remove(&mut self, known: Known) {
        self.as_read = false;
        self.list.retain(|e| e.known != known);
    }

    /// Takes every field of a name away.
    pub fn remove_name(&mut self, name: &[u8]) {
        self.retain(|_, n, _| !n.eq_ignore_ascii_case(name));
    }

    /// Whether a list-valued field (`Connection`, `TE`, `Trailer`) holds the word.
    pub fn lists(&self, known: Known, word: &[u8]) -> bool {
        self.all(known)
            .any(|v| elements(v).any(|e| e.eq_ignore_ascii_case(word)))
    }

    /// Appends them as lines of a head.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            line(out, name, value);
        }
    }
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes.get(start..start + span.len as usize).unwrap_or_default()
}

/// Appends one line of a head.
pub fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The elements of a list separated by commas, trimmed, without empty ones.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trimmed).filter(|e| !e.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_case_are_kept() {
        let mut f = Fields::new();
        f.push(b"X-B", b"1");
        f.push(b"x-a", b"2");
        f.push(b"X-b", b"\xff");
        assert_eq!(f.get(b"x-b"), Some(&b"1"[..]));
        f.set(b"X-b", b"9");
        let mut out = Vec::new();
        f.write(&mut out);
        assert_eq!(out, b"X-B: 9\r\nx-a: 2\r\n");
    }

    #[test]
    fn every_known_name_is_recognised() {
        for (name, known) in [
            ("TE", Known::Te),
            ("Via", Known::Via),
            ("hOst", Known::Host),
            ("Transfer-Encoding", Known::TransferEncoding),
            ("proxy-Authorization", Known::ProxyAuthorization),
            ("grpc-status", Known::GrpcStatus),
            ("content-length", Known::ContentLength),
            ("Content-Lengt", Known::Other),
        ] {
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn lists_are_split_and_trimmed() {
        let mut f = Fields::new();
        f.push(b"Connection", b"close, \tX-One ,,");
        f.push(b"connection", b"keep-alive");
        assert!(f.lists(Known::Connection, b"x-one"));
        assert!(f.lists(Known::Connection, b"Keep-Alive"));
        assert!(!f.lists(Known::Connection, b"x"));
        assert_eq!(trimmed(b" \t "), b"");
    }

    #[test]
    fn values_may_be_any_text_but_no_control() {
        assert!(is_value(b"a\tb\xff"));
        for bad in [&b"a\0"[..], b"a\rb", b"a\nb", b"\x7f"] {
            assert!(!is_value(bad));
        }
        assert!(!is_name(b"a b") && !is_name(b"") && is_name(b"X-a_b.c"));
    }
}
