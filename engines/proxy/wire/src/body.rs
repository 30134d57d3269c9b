//! How long a body is and how its bytes are told from what surrounds them.
//!
//! [`request_framing`] and [`response_framing`] decide from a head; a [`Decoder`] takes framing off bytes that come in any
//! pieces. A message whose length could be understood in two ways is an error and never goes on.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::{
    Limits,
    fields::{Fields, Known, elements},
    head::{HeadError, RequestHead, ResponseHead, Scan, Version, parse_trailers},
};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What is wrong with a body or what says how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Both ways of framing at once.
    #[error("the request has both Transfer-Encoding and Content-Length")]
    Both,
    /// A length that is no number, or two of them.
    #[error("Content-Length is no single number")]
    Length,
    /// A transfer coding that is not known.
    #[error("the Transfer-Encoding is not `chunked`")]
    Coding,
    /// A transfer coding from a peer that can't know of it.
    #[error("a message of HTTP/1.0 has a Transfer-Encoding")]
    CodingIn10,
    /// A chunk's first line can't be read.
    #[error("the size of a chunk can't be read")]
    ChunkSize,
    /// A chunk does not end where it says.
    #[error("a chunk does not end with a line end")]
    ChunkEnd,
    /// Trailers that can't be read.
    #[error("the trailers can't be read: {0}")]
    Trailers(HeadError),
    /// The connection ended within the body.
    #[error("the connection ended before the body did")]
    Cut,
}

impl BodyError {
    /// The status for the client that sent it.
    pub fn status(self) -> u16 {
        match self {
            BodyError::Coding => 501,
            BodyError::Trailers(e) => e.status(),
            _ => 400,
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// The one length that the fields name. The same one twice is `Some(Err)` for requests and is taken for responses.
fn length(fields: &Fields, repeated: bool) -> Result<Option<u64>, BodyError> {
    let mut found = None;
    for value in fields.all(Known::ContentLength) {
        let mut any = false;
        for part in value.split(|b| *b == b',').map(crate::fields::trimmed) {
            let n = number(part).ok_or(BodyError::Length)?;
            match found {
                None => found = Some(n),
                Some(before) if before == n && repeated => {}
                Some(_) => return Err(BodyError::Length),
            }
            any = true;
        }
        if !any {
            return Err(BodyError::Length);
        }
    }
    Ok(found)
}

fn chunked(fields: &Fields) -> Result<bool, BodyError> {
    let mut count = 0;
    for value in fields.all(Known::TransferEncoding) {
        let mut any = false;
        for coding in elements(value) {
            any = true;
            count += 1;
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(BodyError::Coding);
            }
        }
        if !any {
            return Err(BodyError::Coding);
        }
    }
    match count {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(BodyError::Coding),
    }
}

/// How the body of a request of HTTP/1 is framed.
///
/// # Errors
/// Whatever two readers could understand differently.
pub fn request_framing(head: &RequestHead) -> Result<Framing, BodyError> {
    if head.fields.has(Known::TransferEncoding) {
        if head.version == Version::Http10 {
            return Err(BodyError::CodingIn10);
        }
        let chunked = chunked(&head.fields)?;
        if head.fields.has(Known::ContentLength) {
            return Err(BodyError::Both);
        }
        return Ok(if chunked { Framing::Chunked } else { Framing::None });
    }
    Ok(match length(&head.fields, false)? {
        None | Some(0) => Framing::None,
        Some(n) => Framing::Length(n),
    })
}

/// How the body of a response of HTTP/1 is framed. `method` is the request's.
///
/// # Errors
/// An unknown coding, and lengths that contradict each other.
pub fn response_framing(head: &ResponseHead, method: &[u8]) -> Result<Framing, BodyError> {
    if method == b"HEAD" || head.status < 200 || matches!(head.status, 204 | 304) {
        return Ok(Framing::None);
    }
    if method == b"CONNECT" && (200..300).contains(&head.status) {
        return Ok(Framing::UntilClose);
    }
    if head.fields.has(Known::TransferEncoding) {
        if head.version == Version::Http10 {
            return Err(BodyError::CodingIn10);
        }
        if chunked(&head.fields)? {
            return Ok(Framing::Chunked);
        }
    }
    Ok(match length(&head.fields, true)? {
        Some(0) => Framing::None,
        Some(n) => Framing::Length(n),
        None => Framing::UntilClose,
    })
}

/// What a [`Decoder`] found at the front of its bytes.
#[derive(Debug)]
pub enum Decoded {
    /// So many bytes at the front of the buffer are the body's. The caller takes them out of the buffer, all or some, and
    /// says how many by [`Decoder::taken`].
    Data(usize),
    /// Nothing without more bytes.
    More,
    /// The body is over; trailers come with its end.
    End(Option<Box<Fields>>),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers(Scan),
    Over,
}

/// Takes a body out of bytes.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    state: State,
}

/// Bytes of a chunk's first line, extensions included, and of a body's trailers together.
const CHUNK_LINE: usize = 4096;

impl Decoder {
    /// For a body that is framed so.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::None => State::Over,
            Framing::Length(n) => State::Data(n),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::Data(u64::MAX),
        };
        Decoder { framing, state }
    }

    /// Whether the whole body was seen.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Bytes that are known to come still, of a body with a length.
    pub fn remaining(&self) -> Option<u64> {
        match (self.framing, self.state) {
            (Framing::Length(_), State::Data(n)) => Some(n),
            (_, State::Over) => Some(0),
            _ => None,
        }
    }

    /// Looks at the front of the buffer; takes framing out of it, but no data.
    ///
    /// # Errors
    /// Framing that is broken. The connection is of no more use then.
    pub fn decode(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Decoded, BodyError> {
        loop {
            match self.state {
                State::Over => return Ok(Decoded::End(None)),
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    return Ok(match here {
                        0 => Decoded::More,
                        n => Decoded::Data(n),
                    });
                }
                State::DataEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err(BodyError::ChunkEnd),
                    None if buffer.first().is_some_and(|b| *b != b'\r') => return Err(BodyError::ChunkEnd),
                    None => return Ok(Decoded::More),
                },
                State::Size => {
                    let Some(end) = memchr(b'\n', buffer) else {
                        return match buffer.len() > CHUNK_LINE {
                            true => Err(BodyError::ChunkSize),
                            false => Ok(Decoded::More),
                        };
                    };
                    let size = chunk_size(buffer.get(..end).unwrap_or_default())?;
                    buffer.advance(end + 1);
                    self.state = match size {
                        0 => State::Trailers(Scan::default()),
                        n => State::Data(n),
                    };
                }
                State::Trailers(ref mut scan) => {
                    match buffer.get(..2) {
                        Some(b"\r\n") => {
                            buffer.advance(2);
                            self.state = State::Over;
                            return Ok(Decoded::End(None));
                        }
                        Some(_) => {}
                        None => return Ok(Decoded::More),
                    }
                    let Some(end) = scan.find(buffer, limits).map_err(BodyError::Trailers)? else {
                        return Ok(Decoded::More);
                    };
                    let fields = parse_trailers(buffer.get(..end).unwrap_or_default(), limits);
                    let fields = fields.map_err(BodyError::Trailers)?;
                    buffer.advance(end);
                    self.state = State::Over;
                    return Ok(Decoded::End(Some(Box::new(fields))));
                }
            }
        }
    }

    /// The caller took so many bytes of data out of the buffer.
    pub fn taken(&mut self, count: usize) {
        if let State::Data(left) = self.state {
            let left = match self.framing {
                Framing::UntilClose => left,
                _ => left.saturating_sub(count as u64),
            };
            self.state = match (left, self.framing) {
                (0, Framing::Chunked) => State::DataEnd,
                (0, _) => State::Over,
                (left, _) => State::Data(left),
            };
        }
    }

    /// The connection ended.
    ///
    /// # Errors
    /// The body was not over.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match (self.state, self.framing) {
            (State::Over, _) => Ok(()),
            (_, Framing::UntilClose) => {
                self.state = State::Over;
                Ok(())
            }
            _ => Err(BodyError::Cut),
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let line = line.strip_suffix(b"\r").ok_or(BodyError::ChunkSize)?;
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = crate::fields::trimmed(line.get(digits..).unwrap_or_default());
    if digits == 0 || digits > 15 || line.len() > CHUNK_LINE {
        return Err(BodyError::ChunkSize);
    }
    // Extensions are dropped: nobody on the way has to know them. A blank alone after the size is an old habit of servers.
    if !rest.is_empty() && (rest.first() != Some(&b';') || !crate::fields::is_value(rest)) {
        return Err(BodyError::ChunkSize);
    }
    let text = std::str::from_utf8(line.get(..digits).unwrap_or_default()).map_err(|_| BodyError::ChunkSize)?;
    u64::from_str_radix(text, 16).map_err(|_| BodyError::ChunkSize)
}

/// Appends a chunk. An empty one would end the body, so nothing is written for it.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_hex(out, data.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, with trailers.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_hex(out: &mut Vec<u8>, n: usize) {
    let digits = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        let d = u8::try_from((n >> (i * 4)) & 15).unwrap_or(0);
        out.push(if d < 10 { b'0' + d } else { b'a' + d - 10 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(lines: &str) -> Result<Framing, BodyError> {
        let mut head = RequestHead::default();
        let text = format!("POST / HTTP/1.1\r\n{lines}\r\n");
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        request_framing(&head)
    }

    #[test]
    fn requests_say_how_long_they_are_in_one_way() {
        assert_eq!(request(""), Ok(Framing::None));
        assert_eq!(request("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(request("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for (lines, error) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", BodyError::Both),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", BodyError::Length),
            ("Content-Length: 5, 6\r\n", BodyError::Length),
            ("Content-Length: +5\r\n", BodyError::Length),
            ("Content-Length: \r\n", BodyError::Length),
            ("Content-Length: 99999999999999999999\r\n", BodyError::Length),
            ("Transfer-Encoding: xchunked\r\n", BodyError::Coding),
            ("Transfer-Encoding: gzip, chunked\r\n", BodyError::Coding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                BodyError::Coding,
            ),
            ("Transfer-Encoding:\r\n", BodyError::Coding),
        ] {
            assert_eq!(request(lines), Err(error), "{lines}");
        }
    }

    #[test]
    fn responses_without_a_body_have_none_whatever_they_say() {
        let mut head = ResponseHead::default();
        let limits = Limits::default();
        head.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &limits)
            .unwrap();
        assert_eq!(response_framing(&head, b"HEAD"), Ok(Framing::None));
        assert_eq!(response_framing(&head, b"GET"), Ok(Framing::Length(5)));
        head.parse(b"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", &limits)
            .unwrap();
        assert_eq!(response_framing(&head, b"GET"), Ok(Framing::None));
        head.parse(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            &limits,
        )
        .unwrap();
        assert_eq!(response_framing(&head, b"GET"), Ok(Framing::Chunked));
        head.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", &limits)
            .unwrap();
        assert_eq!(response_framing(&head, b"GET"), Ok(Framing::Length(5)));
        head.parse(b"HTTP/1.1 200 OK\r\n\r\n", &limits).unwrap();
        assert_eq!(response_framing(&head, b"GET"), Ok(Framing::UntilClose));
    }

    /// The data, the trailers, and what is left over.
    type Taken = (Vec<u8>, Option<Fields>, Vec<u8>);

    /// Feeds the text in pieces of `step` bytes; gives the data, the trailers and what is left over.
    fn decode(text: &[u8], step: usize) -> Result<Taken, BodyError> {
        let limits = Limits::default();
        let mut decoder = Decoder::new(Framing::Chunked);
        let (mut buffer, mut data) = (BytesMut::new(), Vec::new());
        let mut pieces = text.chunks(step);
        loop {
            match decoder.decode(&mut buffer, &limits)? {
                Decoded::Data(n) => {
                    data.extend_from_slice(&buffer.split_to(n));
                    decoder.taken(n);
                }
                Decoded::End(trailers) => {
                    let mut rest = buffer.to_vec();
                    pieces.for_each(|p| rest.extend_from_slice(p));
                    return Ok((data, trailers.map(|t| *t), rest));
                }
                Decoded::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Err(decoder.finish().unwrap_err()),
                },
            }
        }
    }

    #[test]
    fn chunks_come_in_any_pieces() {
        let text = b"5;x=y\r\nhello\r\n1 \r\n!\r\n0\r\nA: b\r\n\r\nGET";
        for step in 1..text.len() {
            let (data, trailers, rest) = decode(text, step).unwrap();
            assert_eq!((&data[..], &rest[..]), (&b"hello!"[..], &b"GET"[..]));
            assert_eq!(trailers.unwrap().get(b"a"), Some(&b"b"[..]));
        }
    }

    #[test]
    fn broken_chunks_are_errors() {
        for (text, error) in [
            (&b"x\r\n"[..], BodyError::ChunkSize),
            (b"5\nhello\r\n", BodyError::ChunkSize),
            (b"0x5\r\nhello\r\n", BodyError::ChunkSize),
            (b"fffffffffffffffff\r\n", BodyError::ChunkSize),
            (b"-1\r\n", BodyError::ChunkSize),
            (b"5\r\nhelloX\r\n", BodyError::ChunkEnd),
            (b"5\r\nhell", BodyError::Cut),
            (b"0\r\nA: b\n\r\n", BodyError::Trailers(HeadError::BareLf)),
            (b"0\r\nA b: c\r\n\r\n", BodyError::Trailers(HeadError::Name)),
        ] {
            assert_eq!(
                decode(text, 64).unwrap_err(),
                error,
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6), step in 1usize..50) {
            let mut out = Vec::new();
            parts.iter().for_each(|p| write_chunk(&mut out, p));
            write_last_chunk(&mut out, None);
            let (data, trailers, rest) = decode(&out, step).unwrap();
            prop_assert_eq!(data, parts.concat());
            prop_assert!(trailers.is_none() && rest.is_empty());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
            let _ = decode(&bytes, step);
        }
    }
}
