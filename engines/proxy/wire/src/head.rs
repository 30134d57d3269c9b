//! Heads of HTTP/1 messages: found, read strictly, written.
//!
//! Reading is strict where two readers of the same bytes could disagree (line ends, blanks before a colon, folded lines,
//! control bytes): such a head is an error with a status, and never goes on. What is read keeps its order, case and bytes.

use memchr::memchr;

use crate::{
    Limits,
    fields::{Fields, Span, is_name, is_token, is_value, trimmed},
};

/// The protocol's version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As it is written in logs.
    pub fn name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// By which scheme a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Scheme {
    /// `http`
    #[default]
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line ends without a carriage return.
    #[error("a line of the head ends with a line feed alone")]
    BareLf,
    /// A carriage return within a line.
    #[error("there is a carriage return within a line of the head")]
    BareCr,
    /// The head is larger than allowed.
    #[error("the head is larger than allowed")]
    TooLarge,
    /// There are more fields than allowed.
    #[error("the head has more fields than allowed")]
    TooMany,
    /// The first line alone is larger than allowed.
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    /// The first line of a request is none.
    #[error("the first line is no request line")]
    RequestLine,
    /// The first line of a response is none.
    #[error("the first line is no status line")]
    StatusLine,
    /// A version that is not spoken.
    #[error("the version of HTTP is not supported")]
    Version,
    /// A line continues the one before.
    #[error("a header line is folded")]
    Folded,
    /// A name with bytes that can't be in one, or a blank before the colon.
    #[error("a header's name has bytes that are not allowed")]
    Name,
    /// A value with control bytes.
    #[error("a header's value has control bytes")]
    Value,
}

impl HeadError {
    /// The status for the client that sent it.
    pub fn status(self) -> u16 {
        match self {
            HeadError::TooLarge | HeadError::TooMany => 431,
            HeadError::TargetTooLong => 414,
            HeadError::Version => 505,
            _ => 400,
        }
    }
}

/// Looks for the end of a head in bytes that grow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    at: usize,
    line: usize,
    lines: usize,
}

impl Scan {
    /// Looks on; `buffer` begins with the same bytes as in the last call. Gives where the head ends, after its empty line;
    /// `None` while that has not come. An empty line before the first one belongs to the head.
    ///
    /// # Errors
    /// A bare line feed, and more bytes than `limits` allow.
    pub fn find(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        while let Some(found) = buffer.get(self.at..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.at + found;
            if end == 0 || buffer.get(end - 1) != Some(&b'\r') {
                return Err(HeadError::BareLf);
            }
            let empty = end == self.line + 1;
            self.at = end + 1;
            self.line = end + 1;
            self.lines += 1;
            if end >= limits.head_bytes {
                return Err(HeadError::TooLarge);
            }
            if empty && self.lines > 1 {
                return Ok(Some(end + 1));
            }
            if empty && self.lines == 1 {
                // The empty line that some clients send after a body; another one would end the head.
                self.lines = 0;
                if end > 1 {
                    return Err(HeadError::RequestLine);
                }
            }
        }
        self.at = buffer.len();
        if buffer.len() >= limits.head_bytes {
            return Err(match self.lines {
                0 => HeadError::TargetTooLong,
                _ => HeadError::TooLarge,
            });
        }
        Ok(None)
    }
}

/// The head of a request. Whatever protocol it came by, this is how HTTP/1 would write it: the authority is the field
/// `Host`, the target is the path, or the authority of a CONNECT.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Its fields.
    pub fields: Fields,
    /// By which version it came.
    pub version: Version,
    /// By which scheme it came.
    pub scheme: Scheme,
    method: Span,
    target: Span,
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Its fields.
    pub fields: Fields,
    /// By which version it came.
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    reason: Span,
}

fn version(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            match major {
                // A later minor version is answered with ours.
                b'1' => Ok(Version::Http11),
                _ => Err(HeadError::Version),
            }
        }
        _ => Err(HeadError::RequestLine),
    }
}

/// Reads the lines after the first, up to the empty one; `at` is where they begin in the fields' own text.
fn lines(fields: &mut Fields, mut at: usize, limits: &Limits) -> Result<(), HeadError> {
    loop {
        let rest = fields.bytes().get(at..).unwrap_or_default();
        let Some(end) = memchr(b'\n', rest) else {
            return Ok(());
        };
        let line = rest.get(..end.saturating_sub(1)).unwrap_or_default();
        if line.is_empty() {
            return Ok(());
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(HeadError::Folded);
        }
        let colon = memchr(b':', line).ok_or(HeadError::Name)?;
        let name = line.get(..colon).unwrap_or_default();
        if !is_name(name) {
            return Err(HeadError::Name);
        }
        let raw = line.get(colon + 1..).unwrap_or_default();
        if !is_value(raw) {
            return Err(if memchr(b'\r', raw).is_some() {
                HeadError::BareCr
            } else {
                HeadError::Value
            });
        }
        let lead = raw.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(raw.len());
        let value = trimmed(raw);
        if fields.len() >= limits.fields {
            return Err(HeadError::TooMany);
        }
        let start = at + colon + 1 + lead;
        let (name, value) = (fields.part(at, at + colon), fields.part(start, start + value.len()));
        fields.push_spans(name, value);
        at += end + 1;
    }
}

/// Reads field lines alone, as trailers are.
///
/// # Errors
/// As for a head.
pub fn parse_trailers(text: &[u8], limits: &Limits) -> Result<Fields, HeadError> {
    let mut fields = Fields::new();
    fields.take_text(text);
    lines(&mut fields, 0, limits)?;
    Ok(fields)
}

impl RequestHead {
    /// Takes everything away and keeps the room.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method = Span::default();
        self.target = Span::default();
        self.version = Version::default();
        self.scheme = Scheme::default();
    }

    /// Reads a head that [`Scan`] has found whole.
    ///
    /// # Errors
    /// Whatever could be read in two ways.
    pub fn parse(&mut self, text: &[u8], limits: &Limits) -> Result<(), HeadError> {
        let text = text.strip_prefix(b"\r\n").unwrap_or(text);
        self.fields.take_text(text);
        let end = memchr(b'\n', text).ok_or(HeadError::RequestLine)?;
        let line = text.get(..end.saturating_sub(1)).ok_or(HeadError::RequestLine)?;
        let method = memchr(b' ', line).ok_or(HeadError::RequestLine)?;
        if !is_name(line.get(..method).unwrap_or_default()) {
            return Err(HeadError::RequestLine);
        }
        let rest = line.get(method + 1..).unwrap_or_default();
        let target = memchr(b' ', rest).ok_or(HeadError::RequestLine)?;
        let raw = rest.get(..target).unwrap_or_default();
        // Controls and blanks cut requests in two; bytes above 127 are not ours to judge.
        if raw.is_empty() || raw.iter().fold(false, |bad, b| bad | (*b <= 0x20) | (*b == 0x7f)) {
            return Err(HeadError::RequestLine);
        }
        self.version = version(rest.get(target + 1..).unwrap_or_default())?;
        self.method = self.fields.part(0, method);
        self.target = self.fields.part(method + 1, method + 1 + target);
        lines(&mut self.fields, end + 1, limits)
    }

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.fields.text(self.method)
    }

    /// The target as it came: never decoded, never made tidy.
    pub fn target(&self) -> &[u8] {
        self.fields.text(self.target)
    }

    /// The path, without the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = memchr(b'?', target).unwrap_or(target.len());
        target.get(..end).unwrap_or_default()
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        memchr(b'?', target).and_then(|at| target.get(at + 1..))
    }

    /// The value of `Host`.
    pub fn host(&self) -> Option<&[u8]> {
        self.fields.first(crate::Known::Host)
    }

    /// Sets the method.
    pub fn set_method(&mut self, method: &[u8]) {
        self.method = self.fields.store(method);
    }

    /// Sets the target.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
    }

    /// Whether the method's effects are the same however often it is sent.
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        )
    }

    /// The whole head as text that [`RequestHead::parse`] reads again; the version in it is HTTP/1.1 if it is not as it came.
    pub fn to_text(&self) -> Vec<u8> {
        if let Some(text) = self.fields.as_read() {
            return text.to_vec();
        }
        let mut text = Vec::with_capacity(self.fields.bytes().len() + 4 * self.fields.len() + 32);
        self.write_line(&mut text);
        self.fields.write(&mut text);
        text.extend_from_slice(b"\r\n");
        text
    }

    /// Appends the first line; the fields follow by [`Fields::write`].
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method());
        out.push(b' ');
        out.extend_from_slice(self.target());
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }
}

impl ResponseHead {
    /// A head without fields.
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead {
            status,
            ..ResponseHead::default()
        }
    }

    /// Takes everything away and keeps the room.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.reason = Span::default();
        self.status = 0;
        self.version = Version::default();
    }

    /// Reads a head that [`Scan`] has found whole.
    ///
    /// # Errors
    /// Whatever could be read in two ways.
    pub fn parse(&mut self, text: &[u8], limits: &Limits) -> Result<(), HeadError> {
        self.fields.take_text(text);
        let end = memchr(b'\n', text).ok_or(HeadError::StatusLine)?;
        let line = text.get(..end.saturating_sub(1)).ok_or(HeadError::StatusLine)?;
        let (first, rest) = line.split_at_checked(8).ok_or(HeadError::StatusLine)?;
        self.version = version(first).map_err(|e| match e {
            HeadError::Version => e,
            _ => HeadError::StatusLine,
        })?;
        let (code, reason) = rest.split_at_checked(4).ok_or(HeadError::StatusLine)?;
        let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = code else {
            return Err(HeadError::StatusLine);
        };
        self.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        if !(reason.is_empty() || reason.first() == Some(&b' ')) || !is_value(reason) {
            return Err(HeadError::StatusLine);
        }
        self.reason = self.fields.part(12 + usize::from(!reason.is_empty()), line.len());
        lines(&mut self.fields, end + 1, limits)
    }

    /// The reason as it came, or the usual one.
    pub fn reason(&self) -> &[u8] {
        match self.fields.text(self.reason) {
            b"" => reason(self.status).as_bytes(),
            own => own,
        }
    }

    /// Sets the reason; text with control bytes is not taken.
    pub fn set_reason(&mut self, reason: &[u8]) {
        if is_value(reason) {
            self.reason = self.fields.store(reason);
        }
    }

    /// As [`RequestHead::to_text`].
    pub fn to_text(&self) -> Vec<u8> {
        if let Some(text) = self.fields.as_read() {
            return text.to_vec();
        }
        let mut text = Vec::with_capacity(self.fields.bytes().len() + 4 * self.fields.len() + 64);
        self.write_line(&mut text);
        self.fields.write(&mut text);
        text.extend_from_slice(b"\r\n");
        text
    }

    /// Appends the first line; the fields follow by [`Fields::write`].
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
        out.extend_from_slice(&[
            digit(self.status / 100),
            digit(self.status / 10),
            digit(self.status),
            b' ',
        ]);
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
    }
}

/// The usual reason of a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Unknown",
    }
}

/// Whether it can be a method.
pub fn is_method(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<RequestHead, HeadError> {
        let limits = Limits::default();
        let mut scan = Scan::default();
        let end = scan.find(text, &limits)?.ok_or(HeadError::RequestLine)?;
        let mut head = RequestHead::default();
        head.parse(&text[..end], &limits)?;
        Ok(head)
    }

    #[test]
    fn a_request_is_read_as_it_came() {
        let head = read(b"\r\nGET /a%2Fb//c?q=1 HTTP/1.1\r\nhOst: x\r\nA:\t b \xff \r\nE:\r\n\r\n").unwrap();
        assert_eq!(
            (head.method(), head.target(), head.path()),
            (&b"GET"[..], &b"/a%2Fb//c?q=1"[..], &b"/a%2Fb//c"[..])
        );
        assert_eq!(head.query(), Some(&b"q=1"[..]));
        let mut out = Vec::new();
        head.write_line(&mut out);
        head.fields.write(&mut out);
        assert_eq!(out, b"GET /a%2Fb//c?q=1 HTTP/1.1\r\nhOst: x\r\nA: b \xff\r\nE: \r\n");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, error) in [
            (&b"GET / HTTP/1.1\nHost: x\r\n\r\n"[..], HeadError::BareLf),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HeadError::BareCr),
            (b"GET / HTTP/1.1\r\nCL : 5\r\n\r\n", HeadError::Name),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HeadError::Folded),
            (b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", HeadError::Value),
            (b"GET / HTTP/1.1\r\nnone\r\n\r\n", HeadError::Name),
            (b"GET  / HTTP/1.1\r\n\r\n", HeadError::RequestLine),
            (b"GET /a b HTTP/1.1\r\n\r\n", HeadError::RequestLine),
            (b"GET / HTTP/2.0\r\n\r\n", HeadError::Version),
            (b"GET / http/1.1\r\n\r\n", HeadError::RequestLine),
            (b"G(T / HTTP/1.1\r\n\r\n", HeadError::RequestLine),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", HeadError::RequestLine),
        ] {
            assert_eq!(read(text).unwrap_err(), error, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn limits_have_their_own_status() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
        assert_eq!(read(long.as_bytes()).unwrap_err().status(), 431);
        let endless = "GET /".to_owned() + &"a".repeat(70_000);
        assert_eq!(
            Scan::default()
                .find(endless.as_bytes(), &Limits::default())
                .unwrap_err()
                .status(),
            414
        );
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(129));
        assert_eq!(read(many.as_bytes()).unwrap_err(), HeadError::TooMany);
    }

    #[test]
    fn a_response_is_read_with_its_reason() {
        let mut head = ResponseHead::default();
        head.parse(b"HTTP/1.0 404 Nope \xff\r\nA: b\r\n\r\n", &Limits::default())
            .unwrap();
        assert_eq!(
            (head.status, head.reason(), head.version),
            (404, &b"Nope \xff"[..], Version::Http10)
        );
        head.parse(b"HTTP/1.1 200\r\n\r\n", &Limits::default()).unwrap();
        assert_eq!((head.status, head.reason()), (200, &b"OK"[..]));
        for bad in [
            &b"HTTP/1.1 20\r\n\r\n"[..],
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
        ] {
            assert!(head.parse(bad, &Limits::default()).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let _ = ResponseHead::default().parse(&bytes, &Limits::default());
        }

        #[test]
        fn pieces_do_not_change_where_a_head_ends(cut in 0usize..60, tail in ".{0,20}") {
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n{tail}");
            let limits = Limits::default();
            let whole = Scan::default().find(text.as_bytes(), &limits).unwrap();
            let mut scan = Scan::default();
            let cut = cut.min(text.len());
            let first = scan.find(&text.as_bytes()[..cut], &limits).unwrap();
            prop_assert_eq!(first.or_else(|| scan.find(text.as_bytes(), &limits).unwrap()), whole);
        }
    }
}
