//! Where requests go.

use std::{fmt, path::PathBuf, time::Duration};

use qd_proxy_policy::{BreakerConfig, EwmaConfig, HealthConfig, QueueConfig, Strategy};
use qd_proxy_wire::Authority;

pub use qd_proxy_config::{CheckKind, HashOn, SendPreamble};

use crate::tls::ClientTls;

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

/// Active checks of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// The path of a check by HTTP; the service of one by gRPC, empty for the whole server.
    pub path: String,
    /// How often, and what makes an endpoint healthy or not.
    pub config: HealthConfig,
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
    /// Requests that wait at once for an endpoint, or for a connection to one.
    pub queue: usize,
    /// How often a connection of HTTP/2 with streams on it is asked whether it is still there; zero for never.
    pub ping: Duration,
    /// How long the addresses of a name are believed.
    pub resolve: Duration,
    /// How latencies are averaged.
    pub ewma: EwmaConfig,
    /// How an endpoint is chosen.
    pub strategy: Strategy,
    /// What a consistent hash goes by; the client's address where a request has no such thing.
    pub hash_on: HashOn,
    /// When an endpoint is left alone for a while.
    pub breaker: BreakerConfig,
    /// Active checks; none if absent.
    pub health: Option<HealthCheck>,
    /// Whether a PROXY header is sent first. Such connections are not shared by clients.
    pub preamble: SendPreamble,
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
            failfast: QueueConfig::default().failfast,
            queue: QueueConfig::default().capacity,
            ping: Duration::from_secs(30),
            resolve: Duration::from_secs(10),
            ewma: EwmaConfig::default(),
            strategy: Strategy::P2c,
            hash_on: HashOn::Source,
            breaker: BreakerConfig::default(),
            health: None,
            preamble: SendPreamble::None,
        }
    }

    /// Whether a connection may serve one client after another.
    pub fn is_shared(&self) -> bool {
        self.preamble == SendPreamble::None
    }
}
