//! What the sources that listen have in common: addresses, who may connect, TLS, unix sockets.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use qd_logs_config::common::TlsConfig;
use qd_logs_model::{BuildError, Resource};
use serde::{Deserialize, Deserializer, de};
use tokio_rustls::TlsAcceptor;

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST_PASSED: u32 = 3;

/// An address to listen at: `host:port`, or `systemd#N` for the Nth socket that systemd has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Socket(SocketAddr),
    /// A socket passed by systemd, counted from 0.
    Systemd(u32),
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(address) = text.parse() {
            return Ok(ListenAddress::Socket(address));
        }
        match text.strip_prefix("systemd") {
            Some("") => Ok(ListenAddress::Systemd(0)),
            Some(rest) => match rest.strip_prefix('#').and_then(|n| n.parse::<u32>().ok()) {
                Some(n @ 1..) => Ok(ListenAddress::Systemd(n - 1)),
                _ => Err(de::Error::custom(format!(
                    "`{text}`: sockets of systemd are counted from systemd#1"
                ))),
            },
            None => Err(de::Error::custom(format!(
                "`{text}` is no IP address with a port, nor `systemd`"
            ))),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Socket(a) => a.fmt(f),
            ListenAddress::Systemd(n) => write!(f, "systemd#{}", n + 1),
        }
    }
}

impl ListenAddress {
    pub(crate) fn tcp_resource(self) -> Resource {
        match self {
            ListenAddress::Socket(a) => Resource::Tcp(a.to_string()),
            ListenAddress::Systemd(n) => Resource::Fd(FIRST_PASSED + n),
        }
    }

    pub(crate) fn udp_resource(self) -> Resource {
        match self {
            ListenAddress::Socket(a) => Resource::Udp(a.to_string()),
            ListenAddress::Systemd(n) => Resource::Fd(FIRST_PASSED + n),
        }
    }

    /// The address; a socket of systemd is refused by name.
    pub(crate) fn socket(self) -> Result<SocketAddr, BuildError> {
        match self {
            ListenAddress::Socket(a) => Ok(a),
            ListenAddress::Systemd(_) => Err(BuildError::of(
                "address",
                format!("{self}: sockets passed by systemd are not supported; give an address and a port"),
            )),
        }
    }
}

/// A network: an address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some(Network { address, bits })
        });
        parsed.ok_or_else(|| de::Error::custom(format!("`{text}` is no network such as `10.0.0.0/8` or `::1/128`")))
    }
}

impl Network {
    /// Whether an address lies in it. An IPv4 address that came over IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(n), IpAddr::V4(a)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(n) & mask == u32::from(a) & mask
            }
            (IpAddr::V6(n), IpAddr::V6(a)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(n) & mask == u128::from(a) & mask
            }
            _ => false,
        }
    }
}

/// Whether somebody may connect: everybody, if no networks are given.
pub(crate) fn permitted(networks: Option<&[Network]>, address: IpAddr) -> bool {
    networks.is_none_or(|n| n.iter().any(|n| n.contains(address)))
}

/// How often TCP asks a silent peer whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keepalive {
    /// After how many silent seconds.
    pub time_secs: Option<u64>,
}

/// The TLS of a server; `None` if it is not enabled.
pub(crate) fn acceptor(tls: Option<&TlsConfig>) -> Result<Option<TlsAcceptor>, BuildError> {
    Ok(qd_logs_tls::server(tls, &[])?.map(TlsAcceptor::from))
}

/// Makes a place for a unix socket: a socket that nobody listens at any more is removed, anything else is not.
pub(crate) fn clear_path(path: &Path, listens: bool) -> Result<(), BuildError> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !meta.file_type().is_socket() {
        return Err(BuildError::of(
            "path",
            format!("{} exists and is no socket", path.display()),
        ));
    }
    if listens {
        return Err(BuildError::of(
            "path",
            format!("somebody listens at {} already", path.display()),
        ));
    }
    std::fs::remove_file(path).map_err(|e| BuildError::of("path", format!("cannot remove {}: {e}", path.display())))
}

/// Gives a unix socket its permissions, and removes it when it is no longer used.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    pub(crate) fn new(path: &Path, mode: Option<u32>) -> Result<SocketFile, BuildError> {
        use std::os::unix::fs::PermissionsExt;
        let file = SocketFile(path.to_owned());
        if let Some(mode) = mode {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(|e| {
                BuildError::of(
                    "socket_file_mode",
                    format!("cannot set the mode of {}: {e}", path.display()),
                )
            })?;
        }
        Ok(file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() -> Result<(), Box<dyn std::error::Error>> {
        for (net, address, inside) in [
            ("10.0.0.0/8", "10.200.1.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "::ffff:127.0.0.1", true),
            ("::1/128", "::1", true),
            ("fe80::/10", "fe80::1", true),
            ("fe80::/10", "2001::1", false),
        ] {
            let n: Network = serde_json::from_value(net.into())?;
            assert_eq!(n.contains(address.parse()?), inside, "{net} {address}");
        }
        assert!(serde_json::from_value::<Network>("10.0.0.0/33".into()).is_err());
        Ok(())
    }

    #[test]
    fn addresses_have_ports() -> Result<(), Box<dyn std::error::Error>> {
        let a: ListenAddress = serde_json::from_value("127.0.0.1:5".into())?;
        assert_eq!(a.to_string(), "127.0.0.1:5");
        assert_eq!(
            serde_json::from_value::<ListenAddress>("systemd#3".into())?,
            ListenAddress::Systemd(2)
        );
        assert!(serde_json::from_value::<ListenAddress>("systemd#0".into()).is_err());
        assert!(serde_json::from_value::<ListenAddress>("localhost".into()).is_err());
        Ok(())
    }
}
