//! Addresses as they are written: where to listen, and where to connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// An address that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// No port.
    #[error("`{0}` has no port; write {0}:8080, or [{0}]:8080 for an address of IPv6")]
    NoPort(String),
    /// A port that is none.
    #[error("`{0}` is no port; ports go from {1} to 65535")]
    Port(String, u16),
    /// A host that is none.
    #[error("`{0}` is neither an address nor the name of a host")]
    Host(String),
    /// A name where an address must be.
    #[error("`{0}` is a name; a listener needs an address of this machine, such as 127.0.0.1:8080 or 0.0.0.0:8080")]
    NameToBind(String),
    /// A path that is none.
    #[error("a unix socket has a path: unix:/run/proxy.sock")]
    Path,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// TCP; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// TCP to an address.
    Ip(SocketAddr),
    /// TCP to a host, whose addresses are looked up.
    Name {
        /// The name in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// The path of `unix:/path`; `None` for what does not begin so.
fn unix(text: &str) -> Option<Result<PathBuf, BadAddress>> {
    let path = text.strip_prefix("unix:")?;
    let path = path.strip_prefix("//").filter(|p| p.starts_with('/')).unwrap_or(path);
    // The system takes paths of less than 108 bytes, and no NUL.
    let fits = !path.is_empty() && path.len() < 108 && !path.contains('\0');
    Some(if fits {
        Ok(PathBuf::from(path))
    } else {
        Err(BadAddress::Path)
    })
}

fn port(text: &str, least: u16) -> Result<u16, BadAddress> {
    text.parse()
        .ok()
        .filter(|port| *port >= least && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| BadAddress::Port(text.to_owned(), least))
}

/// Whether a text is a host's name: labels of letters, digits, `-` and `_`, at most 253 bytes.
pub(crate) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label)
}

impl FromStr for Bind {
    type Err = BadAddress;

    /// `127.0.0.1:80`, `[::1]:80`, `unix:/path`; without an address (`80`, `:80`, `localhost:80`) it is 127.0.0.1, and
    /// `*:80` is every address of IPv4. A port alone never opens a machine to the network.
    fn from_str(text: &str) -> Result<Bind, BadAddress> {
        if let Some(path) = unix(text) {
            return path.map(Bind::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Bind::Tcp(address));
        }
        let (host, port_text) = match text.rsplit_once(':') {
            Some(parts) => parts,
            None if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => ("", text),
            None => return Err(BadAddress::NoPort(text.to_owned())),
        };
        let ip: IpAddr = match host {
            "" | "localhost" => Ipv4Addr::LOCALHOST.into(),
            "*" => Ipv4Addr::UNSPECIFIED.into(),
            host if is_host(host) => return Err(BadAddress::NameToBind(host.to_owned())),
            host => return Err(BadAddress::Host(host.to_owned())),
        };
        port(port_text, 0).map(|port| Bind::Tcp(SocketAddr::new(ip, port)))
    }
}

impl Bind {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Bind::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Bind::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    /// `10.0.0.1:80`, `[::1]:80`, `host.example:80`, `unix:/path`.
    fn from_str(text: &str) -> Result<Address, BadAddress> {
        if let Some(path) = unix(text) {
            return path.map(Address::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(BadAddress::Port("0".to_owned(), 1)),
                _ => Ok(Address::Ip(address)),
            };
        }
        let Some((host, port_text)) = text.rsplit_once(':').filter(|_| text.parse::<IpAddr>().is_err()) else {
            return Err(BadAddress::NoPort(text.to_owned()));
        };
        if !is_host(host) {
            return Err(BadAddress::Host(host.to_owned()));
        }
        port(port_text, 1).map(|port| Address::Name {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Name { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bind, D::Error> {
        crate::value::from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        crate::value::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binds_are_local_unless_somebody_says_so() {
        let shown = |text: &str| text.parse::<Bind>().unwrap().to_string();
        assert_eq!(shown("8080"), "127.0.0.1:8080");
        assert_eq!(shown(":0"), "127.0.0.1:0");
        assert_eq!(shown("localhost:80"), "127.0.0.1:80");
        assert_eq!(shown("*:80"), "0.0.0.0:80");
        assert_eq!(shown("[::1]:80"), "[::1]:80");
        assert_eq!(shown("unix:/run/a b.sock"), "unix:/run/a b.sock");
        assert_eq!(shown("unix:///run/a.sock"), "unix:/run/a.sock");
        assert!(!"0.0.0.0:80".parse::<Bind>().unwrap().is_local());
        assert!("[::ffff:127.0.0.1]:80".parse::<Bind>().unwrap().is_local());
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        let bind = |text: &str| text.parse::<Bind>().unwrap_err().to_string();
        assert!(bind("example.com:80").contains("is a name"));
        assert!(bind("65536").contains("no port"));
        assert!(bind("127.0.0.1").contains("has no port"));
        assert!(bind("unix:").contains("path"));
        let to = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(to("::1"), BadAddress::NoPort("::1".to_owned()));
        assert_eq!(to("host"), BadAddress::NoPort("host".to_owned()));
        assert_eq!(to("a b:80"), BadAddress::Host("a b".to_owned()));
        assert_eq!(to("host:0"), BadAddress::Port("0".to_owned(), 1));
        assert_eq!(to("host:+1"), BadAddress::Port("+1".to_owned(), 1));
        assert_eq!(to("10.0.0.1:0"), BadAddress::Port("0".to_owned(), 1));
        let name = Address::Name {
            host: "web-1.example".to_owned(),
            port: 443,
        };
        assert_eq!("Web-1.Example:443".parse(), Ok(name));
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_as_it_is_read(text in "[a-z0-9.:\\[\\]*/-]{0,24}") {
            if let Ok(bind) = text.parse::<Bind>() {
                prop_assert_eq!(bind.to_string().parse::<Bind>(), Ok(bind));
            }
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
