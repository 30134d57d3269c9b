//! The PROXY protocol, versions 1 and 2: who is behind the peer, told before anything else.
//!
//! As in the text that defines it (haproxy's `doc/proxy-protocol.txt`). Only peers that are trusted may send it; that is
//! for the caller to decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a preamble says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble {
    /// The client and the address it went to; `None` for a connection of the proxy itself (health checks).
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Bytes it takes.
    pub length: usize,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreambleError {
    /// More bytes are needed.
    #[error("the PROXY header is not complete yet")]
    More,
    /// The peer does not speak it.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// It can't be read.
    #[error("the PROXY header can't be read")]
    Invalid,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses, and as much of additional fields as anyone sends.
const LARGEST: usize = 16 * 1024;

/// Reads it from the first bytes of a connection.
///
/// # Errors
/// [`PreambleError::More`] until all of it is there.
pub fn parse(bytes: &[u8]) -> Result<Preamble, PreambleError> {
    let begins = |with: &[u8]| match bytes.len() < with.len() {
        true => with.starts_with(bytes).then_some(PreambleError::More),
        false => None,
    };
    if bytes.starts_with(SIGNATURE) {
        return second(bytes);
    }
    if bytes.starts_with(b"PROXY ") {
        return first(bytes);
    }
    Err(begins(SIGNATURE)
        .or_else(|| begins(b"PROXY "))
        .unwrap_or(PreambleError::Absent))
}

fn first(bytes: &[u8]) -> Result<Preamble, PreambleError> {
    let end = match bytes.iter().take(107).position(|b| *b == b'\n') {
        Some(end) => end,
        None if bytes.len() < 107 => return Err(PreambleError::More),
        None => return Err(PreambleError::Invalid),
    };
    let line = bytes.get(..end).and_then(|l| l.strip_suffix(b"\r"));
    let line = line
        .and_then(|l| std::str::from_utf8(l).ok())
        .ok_or(PreambleError::Invalid)?;
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip.parse().ok()?;
                let fits = ip.is_ipv4() == (family == "TCP4");
                let digits = port.bytes().all(|b| b.is_ascii_digit());
                (fits && digits).then(|| port.parse().ok().map(|port| SocketAddr::new(ip, port)))?
            };
            let both = address(from, from_port).zip(address(to, to_port));
            Some(both.ok_or(PreambleError::Invalid)?)
        }
        _ => return Err(PreambleError::Invalid),
    };
    Ok(Preamble {
        addresses,
        length: end + 1,
    })
}

fn second(bytes: &[u8]) -> Result<Preamble, PreambleError> {
    let Some([command, family, high, low]) = bytes.get(12..16) else {
        return Err(PreambleError::More);
    };
    let body = usize::from(*high) << 8 | usize::from(*low);
    if body > LARGEST || command >> 4 != 2 {
        return Err(PreambleError::Invalid);
    }
    let data = bytes.get(16..16 + body).ok_or(PreambleError::More)?;
    let port = |at: usize| match data.get(at..at + 2) {
        Some([a, b]) => Some(u16::from_be_bytes([*a, *b])),
        _ => None,
    };
    let addresses = match (command & 15, family) {
        (0, _) => None,
        (1, 0x11) => {
            let ip = |at: usize| {
                let four: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(four)))
            };
            let ends = || Some((SocketAddr::new(ip(0)?, port(8)?), SocketAddr::new(ip(4)?, port(10)?)));
            Some(ends().ok_or(PreambleError::Invalid)?)
        }
        (1, 0x21) => {
            let ip = |at: usize| {
                let sixteen: [u8; 16] = data.get(at..at + 16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(sixteen)))
            };
            let ends = || Some((SocketAddr::new(ip(0)?, port(32)?), SocketAddr::new(ip(16)?, port(34)?)));
            Some(ends().ok_or(PreambleError::Invalid)?)
        }
        // Datagrams, unix sockets and what is not specified: taken, without addresses.
        (1, _) => None,
        _ => return Err(PreambleError::Invalid),
    };
    Ok(Preamble {
        addresses,
        length: 16 + body,
    })
}

/// Writes version 2, for an upstream that wants it. Without addresses it says that the connection is the proxy's own.
pub fn write(out: &mut Vec<u8>, addresses: Option<(SocketAddr, SocketAddr)>) {
    out.extend_from_slice(SIGNATURE);
    match addresses {
        Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            out.extend_from_slice(&from.port().to_be_bytes());
            out.extend_from_slice(&to.port().to_be_bytes());
        }
        Some((from, to)) => {
            let six = |a: SocketAddr| match a.ip() {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&six(from));
            out.extend_from_slice(&six(to));
            out.extend_from_slice(&from.port().to_be_bytes());
            out.extend_from_slice(&to.port().to_be_bytes());
        }
        None => out.extend_from_slice(&[0x20, 0, 0, 0]),
    }
}

/// Writes version 1, the one in text. Addresses of two families can't be told in it and are unknown then.
pub fn write_text(out: &mut Vec<u8>, addresses: Option<(SocketAddr, SocketAddr)>) {
    let line = match addresses {
        Some((from, to)) if from.is_ipv4() == to.is_ipv4() => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!(
                "PROXY {family} {} {} {} {}\r\n",
                from.ip(),
                to.ip(),
                from.port(),
                to.port()
            )
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_versions_are_read_byte_by_byte() {
        let (a, b): (SocketAddr, SocketAddr) = ("1.2.3.4:5".parse().unwrap(), "6.7.8.9:10".parse().unwrap());
        let (c, d): (SocketAddr, SocketAddr) = ("[::1]:5".parse().unwrap(), "[::2]:10".parse().unwrap());
        let written = |ends| {
            let mut out = Vec::new();
            write(&mut out, ends);
            out
        };
        let in_text = |ends| {
            let mut out = Vec::new();
            write_text(&mut out, ends);
            out
        };
        for (bytes, want) in [
            (b"PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n".to_vec(), Some((a, b))),
            (b"PROXY TCP6 ::1 ::2 5 10\r\n".to_vec(), Some((c, d))),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (written(Some((a, b))), Some((a, b))),
            (written(Some((c, d))), Some((c, d))),
            (written(None), None),
            (in_text(Some((a, b))), Some((a, b))),
            (in_text(Some((c, d))), Some((c, d))),
            (in_text(Some((a, d))), None),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Err(PreambleError::More));
            }
            let more = [&bytes[..], b"GET"].concat();
            assert_eq!(
                parse(&more),
                Ok(Preamble {
                    addresses: want,
                    length: bytes.len()
                })
            );
        }
        assert_eq!(parse(b"GET / HTTP/1.1"), Err(PreambleError::Absent));
        for bad in [
            &b"PROXY TCP4 ::1 ::2 5 10\r\n"[..],
            b"PROXY TCP4 1.2.3.4 6.7.8.9 5 70000\r\n",
            b"PROXY X\r\n",
        ] {
            assert_eq!(parse(bad), Err(PreambleError::Invalid));
        }
        assert_eq!(parse(&[b'P'; 200]), Err(PreambleError::Absent));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&tail);
            let _ = parse(&[&SIGNATURE[..], &tail].concat());
            let _ = parse(&[b"PROXY ", &tail[..]].concat());
        }
    }
}
