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

use qd_proxy_policy::{BreakerConfig, BudgetConfig, RateLimit, Strategy};
use qd_proxy_wire::{Authority, Limits};

use crate::tls::{ClientTls, ServerTls};

/// Everything that shall run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Where clients come in; names differ.
    pub listeners: Vec<Listener>,
    /// Where requests go; names differ.
    pub clusters: Vec<Cluster>,
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
    /// Routes of HTTP, the first that fits is taken.
    pub routes: Vec<Route>,
    /// The cluster of what is not HTTP.
    pub opaque: Option<String>,
    /// Clusters of TLS that is passed through, by the name that the client asks for; `*.` stands for one label or more.
    pub passthrough: Vec<(String, String)>,
    /// Whether it is a forward proxy.
    pub forward: Forward,
    /// Peers that send a PROXY header first; it is required of them.
    pub preamble_from: Vec<Network>,
    /// Peers whose `X-Forwarded-For` and `Forwarded` are continued.
    pub trusted: Vec<Network>,
    /// Bounds.
    pub bounds: Bounds,
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
            preamble_from: Vec::new(),
            trusted: Vec::new(),
            bounds: Bounds::default(),
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

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// It is the same.
    Exact(Vec<u8>),
    /// It begins so; for paths, at a `/`.
    Prefix(Vec<u8>),
    /// The regular expression matches somewhere.
    Regex(Arc<regex::bytes::Regex>),
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        match (self, other) {
            (Matcher::Exact(a), Matcher::Exact(b)) | (Matcher::Prefix(a), Matcher::Prefix(b)) => a == b,
            (Matcher::Regex(a), Matcher::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// What a request must be like; what is not said may be anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Match {
    /// Its path.
    pub path: Option<Matcher>,
    /// Its method.
    pub method: Option<Vec<u8>>,
    /// Its headers, all of them.
    pub headers: Vec<(Vec<u8>, Matcher)>,
    /// Its query parameters, all of them.
    pub query: Vec<(Vec<u8>, Matcher)>,
}

/// A change of header fields, in this order: set, add, remove.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderEdit {
    /// Replaced or added.
    pub set: Vec<(Vec<u8>, Vec<u8>)>,
    /// Added.
    pub add: Vec<(Vec<u8>, Vec<u8>)>,
    /// Taken away.
    pub remove: Vec<Vec<u8>>,
}

impl HeaderEdit {
    /// Applies it.
    pub fn apply(&self, fields: &mut qd_proxy_wire::Fields) {
        self.set.iter().for_each(|(n, v)| fields.set(n, v));
        self.add.iter().for_each(|(n, v)| fields.push(n, v));
        self.remove.iter().for_each(|n| fields.remove_name(n));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// How a path is replaced.
#[derive(Debug, Clone, PartialEq)]
pub enum PathEdit {
    /// By this one, the query stays.
    Full(Vec<u8>),
    /// The prefix that matched, by this one.
    Prefix(Vec<u8>),
}

/// What is done with a request that fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to one of the clusters, by weight.
    Forward(Vec<(String, u32)>),
    /// It is told to go elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `http` or `https`; the request's own if absent.
        scheme: Option<String>,
        /// Host; the request's own if absent.
        host: Option<String>,
        /// Port; none if absent.
        port: Option<u16>,
        /// Path; the request's own if absent.
        path: Option<PathEdit>,
    },
    /// It is answered here.
    Respond {
        /// The status.
        status: u16,
        /// The body, as plain text.
        body: Arc<str>,
    },
}

/// When another attempt is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts beside the first, at most.
    pub attempts: u32,
    /// Statuses of the upstream after which it is made. Connections that fail are always among the reasons.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC in a response that is headers only.
    pub grpc: Vec<u16>,
    /// How long the first pause is; each next one is twice as long.
    pub backoff: Duration,
    /// Bytes of a body that are kept to be sent again.
    pub body: usize,
    /// Whether requests that may have had an effect are sent again too.
    pub methods: Methods,
    /// How many of all requests may be further attempts.
    pub budget: BudgetConfig,
}

/// Which requests may be sent again although they may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Methods {
    /// Those whose effect is the same however often they come.
    #[default]
    Idempotent,
    /// All.
    All,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 0,
            statuses: Vec::new(),
            grpc: Vec::new(),
            backoff: Duration::ZERO,
            body: 64 * 1024,
            methods: Methods::Idempotent,
            budget: BudgetConfig::default(),
        }
    }
}

/// What happens to requests of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name in metrics.
    pub name: Arc<str>,
    /// Hosts in lower case, `*.` stands for one label or more; any if there is none.
    pub hosts: Vec<String>,
    /// One of these must fit; any request does if there is none.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// Changes of the request.
    pub request_headers: HeaderEdit,
    /// Changes of the response.
    pub response_headers: HeaderEdit,
    /// Replaces the path.
    pub path: Option<PathEdit>,
    /// Replaces the host.
    pub host: Option<String>,
    /// The whole request, from its head to the end of the response.
    pub timeout: Option<Duration>,
    /// One attempt, until the head of the response.
    pub attempt_timeout: Option<Duration>,
    /// Further attempts.
    pub retry: Retry,
    /// Requests that it takes.
    pub rate: Option<RateLimit>,
    /// Requests that it takes of one client address.
    pub client_rate: Option<RateLimit>,
}

impl Route {
    /// Everything goes to this cluster.
    pub fn to(cluster: impl Into<String>) -> Route {
        Route {
            name: Arc::from("default"),
            hosts: Vec::new(),
            matches: Vec::new(),
            action: Action::Forward(vec![(cluster.into(), 1)]),
            request_headers: HeaderEdit::default(),
            response_headers: HeaderEdit::default(),
            path: None,
            host: None,
            timeout: None,
            attempt_timeout: None,
            retry: Retry::default(),
            rate: None,
            client_rate: None,
        }
    }
}

/// The address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host, by name or number, and a port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `host:port`, `[::1]:port`, `port` of this machine, or `unix:PATH`.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Address::Unix(PathBuf::from(path)));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Some(Address::Tcp("127.0.0.1".to_owned(), port));
        }
        let authority = Authority::parse(text.as_bytes())?;
        Some(Address::Tcp(authority.host, authority.port?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, with prior knowledge where there is no TLS.
    Http2,
    /// What the request came by; with TLS, what the upstream chooses.
    Same,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its endpoints, with weights.
    pub endpoints: Vec<(Address, u32)>,
    /// What they speak.
    pub protocol: UpstreamProtocol,
    /// TLS to them.
    pub tls: Option<ClientTls>,
    /// For a connection to come about.
    pub connect_timeout: Duration,
    /// Connections to one endpoint.
    pub connections: usize,
    /// Connections to one endpoint that are kept though unused, of each worker.
    pub idle: usize,
    /// How long they are kept.
    pub idle_timeout: Duration,
    /// How long a request waits for an endpoint with room before it is refused.
    pub failfast: Duration,
    /// How an endpoint is chosen.
    pub strategy: Strategy,
    /// What a consistent hash goes by; the client's address if it is no header.
    pub hash_header: Option<Vec<u8>>,
    /// When an endpoint is left alone for a while.
    pub breaker: BreakerConfig,
    /// Whether a PROXY header (version 2) is sent first. Such connections are not shared by clients.
    pub preamble: bool,
}

impl Cluster {
    /// One with endpoints of equal weight.
    pub fn new(name: impl Into<String>, endpoints: impl IntoIterator<Item = Address>) -> Cluster {
        Cluster {
            name: name.into(),
            endpoints: endpoints.into_iter().map(|a| (a, 1)).collect(),
            protocol: UpstreamProtocol::Http1,
            tls: None,
            connect_timeout: Duration::from_secs(1),
            connections: 10_000,
            idle: 256,
            idle_timeout: Duration::from_secs(30),
            failfast: Duration::from_secs(3),
            strategy: Strategy::P2c,
            hash_header: None,
            breaker: BreakerConfig::default(),
            preamble: false,
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
                opaque: Some("to".to_owned()),
                ..Listener::new(name, bind)
            }
        });
        Plan {
            listeners: listeners.collect(),
            clusters: vec![Cluster {
                protocol: UpstreamProtocol::Same,
                ..Cluster::new("to", to)
            }],
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
