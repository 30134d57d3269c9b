//! What the data plane shall do, as plain values.
//!
//! A [`Plan`] is made by the command line or from a configuration file, and is taken over whole: listeners, clusters and
//! routes that are the same as before keep their connections and their state.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use qd_proxy_policy::{AccessPolicy, shed::MAX_IN_FLIGHT};
use qd_proxy_wire::Limits;

use crate::{intercept::Intercept, tls::ServerTls};

mod cluster;
mod route;

pub use cluster::{Address, CheckKind, Cluster, HashOn, HealthCheck, SendPreamble, UpstreamProtocol};
pub use qd_proxy_config::AccessFormat;
pub use route::{
    Action, Backend, GrpcMatch, HeaderEdit, Hostname, HttpMatch, Match, Matcher, Mirror, PathEdit, PathMatch, Retry,
    Route, Split,
};

/// Everything that shall run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where clients come in; names differ.
    pub listeners: Vec<Listener>,
    /// Where requests go; names differ.
    pub clusters: Vec<Cluster>,
    /// Requests in flight at once; more are turned away.
    pub max_in_flight: usize,
    /// How long a stop waits for what is in flight.
    pub deadline: Duration,
    /// Where the proxy itself is asked; nowhere if absent.
    pub admin: Option<Bind>,
    /// Where spans go; none are made if absent.
    pub tracing: Option<Tracing>,
    /// Where a line for each request goes; nowhere if absent.
    pub access_log: Option<AccessLog>,
}

impl Default for Plan {
    /// One that does nothing.
    fn default() -> Self {
        Plan {
            listeners: Vec::new(),
            clusters: Vec::new(),
            max_in_flight: MAX_IN_FLIGHT,
            deadline: Duration::from_secs(30),
            admin: None,
            tracing: None,
            access_log: None,
        }
    }
}

/// Spans for a collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The collector, of OTLP over HTTP: `http://127.0.0.1:4318`. Without a path, `/v1/traces` is meant.
    pub endpoint: String,
    /// The share of new traces that are recorded, 0 to 1; those that a client began go on as it says.
    pub sample: f64,
    /// The service's name in them.
    pub service: String,
}

/// A file with a line for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// The file. It is appended to, and opened again when it was moved away.
    pub path: PathBuf,
    /// How a line is written.
    pub format: AccessFormat,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// TCP; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket. A file that is left from a process that is gone is replaced.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(a) => a.fmt(f),
            Bind::Unix(p) => write!(f, "unix:{}", p.display()),
        }
    }
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Found out from the first bytes.
    #[default]
    Auto,
    /// HTTP/1 and HTTP/2 only; anything else is refused.
    Http,
    /// Bytes.
    Opaque,
}

/// Whether a listener serves requests to any host, as a forward proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    /// It does not: CONNECT and absolute targets get 403 and are routed as others.
    #[default]
    Off,
    /// It does.
    On,
}

/// Whether a listener serves connections that the system redirected to it, each to where it was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transparent {
    /// It does not.
    #[default]
    Off,
    /// It does. Connections that nobody redirected are refused.
    On,
}

/// Addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// Bits that are the same for all.
    pub bits: u8,
}

impl Network {
    /// Whether it holds the address. An address of IPv4 within IPv6 counts as the former.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Where clients come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its address.
    pub bind: Bind,
    /// What is spoken.
    pub protocol: Protocol,
    /// TLS that is ended here.
    pub tls: Option<ServerTls>,
    /// Routes of HTTP; the most exact one that fits is taken.
    pub routes: Vec<Route>,
    /// Where goes what is not HTTP.
    pub opaque: Option<Split>,
    /// Where goes TLS that is passed through, by the name that the client asks for; `*.` stands for one label or more. The
    /// first that fits is taken.
    pub passthrough: Vec<(String, Split)>,
    /// Whether it is a forward proxy.
    pub forward: Forward,
    /// Whether it serves connections that the system redirected to it.
    pub transparent: Transparent,
    /// The authority by which TLS is opened that goes through a forward or a transparent proxy.
    pub intercept: Option<Intercept>,
    /// Peers that send a PROXY header first; it is required of them.
    pub preamble_from: Vec<Network>,
    /// Peers whose `X-Forwarded-For` and `Forwarded` are continued.
    pub trusted: Vec<Network>,
    /// Bounds.
    pub bounds: Bounds,
    /// Who may come in; everybody if absent.
    pub access: Option<Arc<AccessPolicy>>,
}

impl Listener {
    /// One on this address without routes.
    pub fn new(name: impl Into<String>, bind: Bind) -> Listener {
        Listener {
            name: name.into(),
            bind,
            protocol: Protocol::Auto,
            tls: None,
            routes: Vec::new(),
            opaque: None,
            passthrough: Vec::new(),
            forward: Forward::Off,
            transparent: Transparent::Off,
            intercept: None,
            preamble_from: Vec::new(),
            trusted: Vec::new(),
            bounds: Bounds::default(),
            access: None,
        }
    }
}

/// Bounds of what clients may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Sizes of heads.
    pub head: Limits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// For finding out what is spoken.
    pub detect_timeout: Duration,
    /// For the handshake of TLS.
    pub handshake_timeout: Duration,
    /// Between requests of a connection, and of silence within a body or a tunnel.
    pub idle_timeout: Duration,
    /// Connections of one address; 0 is any number.
    pub per_address: usize,
    /// Connections of the listener.
    pub connections: usize,
    /// Streams of one connection of HTTP/2.
    pub streams: u32,
    /// Bytes of a request's body; more get 413.
    pub body: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            head: Limits::default(),
            head_timeout: Duration::from_secs(10),
            detect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            per_address: 0,
            connections: 100_000,
            streams: 256,
            body: None,
        }
    }
}

impl Plan {
    /// `qd proxy --listen A --to B,C`: everything that comes goes to one of the endpoints.
    pub fn simple(binds: Vec<Bind>, to: Vec<Address>) -> Plan {
        let listeners = binds.into_iter().enumerate().map(|(i, bind)| {
            let name = if i == 0 {
                "listen".to_owned()
            } else {
                format!("listen-{}", i + 1)
            };
            Listener {
                routes: vec![Route::to("to")],
                opaque: Some("to".into()),
                ..Listener::new(name, bind)
            }
        });
        Plan {
            listeners: listeners.collect(),
            clusters: vec![Cluster {
                protocol: UpstreamProtocol::Same,
                ..Cluster::new("to", to)
            }],
            ..Plan::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("3000", "127.0.0.1:3000"),
            ("[::1]:80", "[::1]:80"),
            ("Host:1", "host:1"),
            ("unix:/a b", "unix:/a b"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "host", "unix:", "::1:80"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let net = |a: &str, bits| Network {
            address: a.parse().unwrap(),
            bits,
        };
        assert!(net("10.0.0.0", 8).contains("10.200.0.1".parse().unwrap()));
        assert!(net("10.0.0.0", 8).contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!net("10.0.0.0", 8).contains("11.0.0.1".parse().unwrap()));
        assert!(net("0.0.0.0", 0).contains("9.9.9.9".parse().unwrap()));
        assert!(!net("0.0.0.0", 0).contains("::1".parse().unwrap()));
        assert!(net("::1", 128).contains("::1".parse().unwrap()));
    }
}
