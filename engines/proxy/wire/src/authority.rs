//! Authorities: `host`, `host:port`, `[::1]:port`.

use std::{fmt, net::IpAddr};

/// A host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port, if it is named.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads one. Names in what RFC 3986 calls `reg-name` are taken; user information is not.
    pub fn parse(text: &[u8]) -> Option<Authority> {
        let text = std::str::from_utf8(text).ok()?;
        if text.len() > 300 {
            return None;
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                match rest {
                    "" => (host, None),
                    _ => (host, Some(rest.strip_prefix(':')?)),
                }
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let sound = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'-' | b'.'
                        | b'_'
                        | b'~'
                        | b'%'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                )
        };
        let is_v6 = text.starts_with('[');
        if host.is_empty() || !(is_v6 || host.bytes().all(sound)) {
            return None;
        }
        let port = match port {
            None | Some("") => None,
            Some(p) if p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()) => Some(p.parse().ok()?),
            Some(_) => return None,
        };
        Some(Authority {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// The address, if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |p| write!(f, ":{p}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("Example.COM", "example.com", None),
            ("a:80", "a", Some(80)),
            ("a:", "a", None),
            ("[::1]:8080", "::1", Some(8080)),
            ("[::1]", "::1", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
        ] {
            let a = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((a.host.as_str(), a.port), (host, port));
        }
        for bad in [
            "", ":80", "a:b", "::1", "[::1", "[x]:1", "a:65536", "u@h", "a b", "a/b", "a:123456", "é",
        ] {
            assert_eq!(Authority::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Authority::parse(b"[::1]:5").unwrap().to_string(), "[::1]:5");
    }
}
