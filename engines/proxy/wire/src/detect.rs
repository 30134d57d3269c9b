//! What the first bytes of a connection say.
//!
//! The answer stays [`Detected::More`] only while the bytes are a beginning of something that is known: a peer that speaks
//! another protocol is told from its first byte that does not fit, and one that sends a known one byte by byte is waited for.

use crate::fields::is_token;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Not known yet; the bytes so far are a beginning of one that is known.
    More,
    /// HTTP/1, at least up to the version of its first line.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// A TLS handshake.
    Tls,
    /// Something else.
    Opaque,
}

/// What a client of HTTP/2 says first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest first line that is waited for.
const LINE: usize = 16 * 1024;

/// Says what it is.
pub fn detect(bytes: &[u8]) -> Detected {
    let Some(first) = bytes.first() else {
        return Detected::More;
    };
    if *first == 22 {
        return match bytes {
            [_] | [_, 3] => Detected::More,
            [_, 3, minor, ..] if *minor <= 4 => Detected::Tls,
            _ => Detected::Opaque,
        };
    }
    if bytes.len() < PREFACE.len() {
        if PREFACE.starts_with(bytes) {
            return Detected::More;
        }
    } else if bytes.starts_with(PREFACE) {
        return Detected::Http2;
    }
    // An empty line may come before a request.
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    if bytes == b"\r" || line.is_empty() {
        return Detected::More;
    }
    let method = line.iter().take_while(|b| is_token(**b)).count();
    match line.get(method) {
        // Methods are short words in capitals, with a dash or an underscore at most.
        _ if method > 32 || line.first().is_some_and(|b| !b.is_ascii_uppercase()) => return Detected::Opaque,
        None => return Detected::More,
        Some(b' ') if method > 0 => {}
        Some(_) => return Detected::Opaque,
    }
    let name = line.get(..method).unwrap_or_default();
    let rest = line.get(method + 1..).unwrap_or_default();
    let end = memchr::memchr(b'\n', line);
    if METHODS.contains(&name) {
        // Whoever begins so speaks HTTP, well or badly, unless the line says otherwise: `GET key` is another's word.
        return match end.and_then(|end| line.get(..end)) {
            Some(whole) if memchr::memmem::find(whole, b"HTTP/").is_some() => Detected::Http1,
            Some(_) => Detected::Opaque,
            None if line.len() >= LINE || memchr::memmem::find(rest, b" HTTP/1.").is_some() => Detected::Http1,
            None => Detected::More,
        };
    }
    let target = rest.iter().take_while(|b| **b > 0x20 && **b != 0x7f).count();
    match rest.get(target) {
        None if line.len() < LINE => Detected::More,
        Some(b' ') if target > 0 => {
            let version = rest.get(target + 1..).unwrap_or_default();
            let sure = b"HTTP/";
            match version.len() < sure.len() {
                true if sure.starts_with(version) => Detected::More,
                false if version.starts_with(sure) => Detected::Http1,
                _ => Detected::Opaque,
            }
        }
        _ => Detected::Opaque,
    }
}

/// Methods of HTTP that no other protocol's client begins with, but in a line that shows it.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT",
];

/// Whether bytes that are not enough for an answer are a request of HTTP that was begun.
pub fn is_begun_http(bytes: &[u8]) -> bool {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    METHODS
        .iter()
        .any(|m| line.strip_prefix(*m).is_some_and(|rest| rest.first() == Some(&b' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_waited_for_and_the_first_misfit_decides() {
        let get = b"GET /x HTTP/1.1\r\n";
        for end in 1..15 {
            let want = if end < 14 { Detected::More } else { Detected::Http1 };
            assert_eq!(detect(&get[..end]), want, "{end}");
        }
        for end in 0..24 {
            assert_eq!(detect(&PREFACE[..end]), Detected::More, "{end}");
        }
        assert_eq!(detect(PREFACE), Detected::Http2);
        assert_eq!(detect(b"PRI * HTTP/1.1"), Detected::Http1);
        assert_eq!(detect(b"\x16"), Detected::More);
        assert_eq!(detect(b"\x16\x03\x01"), Detected::Tls);
        for opaque in [
            &b"\x16\x02\x01"[..],
            b"\0",
            b"get / ",
            b"SSH-2.0-x\r\n",
            b"GET /\r\n",
            b"GET / SIP/2.0\r\n",
            b"*1\r\n$4\r\n",
            b"PLAY / RTSP/1.0",
        ] {
            assert_eq!(detect(opaque), Detected::Opaque, "{opaque:?}");
        }
        assert_eq!(detect(b"GET  / HTTP/1.1\r\n"), Detected::Http1);
        assert_eq!(detect(b"BREW / HTTP/1.1"), Detected::Http1);
        assert_eq!(detect(&[b"GET /", &[b'a'; LINE][..]].concat()), Detected::Http1);
        assert!(is_begun_http(b"GET /a") && !is_begun_http(b"GE"));
        assert_eq!(detect(b"\r"), Detected::More);
        assert_eq!(detect(b"\r\nGET / HTTP/1.1"), Detected::Http1);
    }
}
