//! Where clients come in.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use qd_tree::Spanned;
use serde::Deserialize;

use crate::address::Bind;
use crate::names::Hostname;
use crate::value;

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Protocol {
    /// Found out from the first bytes: TLS, HTTP/1, HTTP/2, or anything else as bytes.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1 and HTTP/2 without TLS.
    #[serde(rename = "HTTP")]
    Http,
    /// The same in TLS that ends here.
    #[serde(rename = "HTTPS")]
    Https,
    /// TLS with anything in it.
    #[serde(rename = "TLS")]
    Tls,
    /// Bytes.
    #[serde(rename = "TCP")]
    Tcp,
}

/// How a listener finds out where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// By the routes.
    #[default]
    Reverse,
    /// By the request, as a proxy that clients are told to use: CONNECT and absolute targets.
    Forward,
    /// Bytes to one cluster, whatever they say.
    Opaque,
    /// To where the client's connection was going before the system redirected it. Needs root.
    Transparent,
    /// As forward, and TLS is opened with certificates of an authority of our own.
    Intercept,
}

/// A certificate and its key, in PEM; they are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, the leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What happens to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum TlsMode {
    /// It ends here.
    #[default]
    Terminate,
    /// It is passed on by the name that the client asks for.
    Passthrough,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Require,
    /// It is asked for and checked; without one the access policy sees no identity.
    Request,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListenerTls {
    /// Whether it ends here.
    pub mode: TlsMode,
    /// What the proxy shows; the one that fits the name asked for, else the first.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities of clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must have one; of meaning with `clientCa`.
    pub client_auth: ClientAuth,
}

/// The authority of a listener that intercepts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intercept {
    /// Its certificate; made with the key if neither is there.
    pub ca: CertificateFiles,
    /// Hosts whose TLS is left closed.
    #[serde(default)]
    pub except: Vec<Hostname>,
    /// The authorities of upstreams; the system's without it.
    #[serde(default)]
    pub upstream_ca: Option<PathBuf>,
}

/// Bounds of what clients may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListenerLimits {
    /// Connections at once; default 100,000.
    pub connections: usize,
    /// Connections of one address at once; `None` for any number.
    pub connections_per_client: Option<usize>,
    /// Bytes of a request's header; default 64 KiB.
    #[serde(deserialize_with = "value::size")]
    pub header_bytes: u64,
    /// Fields of a request's header; default 128.
    pub header_count: usize,
    /// Streams at once of a connection of HTTP/2; default 256.
    pub streams: u32,
    /// Bytes of a request's body; `None` for any number.
    #[serde(deserialize_with = "value::some_size")]
    pub body_bytes: Option<u64>,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        ListenerLimits {
            connections: 100_000,
            connections_per_client: None,
            header_bytes: 64 << 10,
            header_count: 128,
            streams: 256,
            body_bytes: None,
        }
    }
}

/// How long clients may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// Until the protocol is known; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub detect: Duration,
    /// For a TLS handshake; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub handshake: Duration,
    /// From the first to the last byte of a request's header; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub header: Duration,
    /// Between requests, and of silence in a body or a tunnel; default 60 s.
    #[serde(deserialize_with = "value::duration")]
    pub idle: Duration,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        ListenerTimeouts {
            detect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        }
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Its name, which routes refer to.
    pub name: Spanned<String>,
    /// Its address.
    pub address: Spanned<Bind>,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Spanned<Protocol>,
    /// How it finds out where a request goes.
    #[serde(default)]
    pub mode: Spanned<Mode>,
    /// The hosts it serves; all without one.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// Its TLS.
    #[serde(default)]
    pub tls: Option<Spanned<ListenerTls>>,
    /// Its authority; for the mode `intercept`.
    #[serde(default)]
    pub intercept: Option<Intercept>,
    /// The cluster of what no route takes: of bytes, and of requests without a route.
    #[serde(default)]
    pub backend: Option<Spanned<String>>,
    /// Networks whose connections begin with a PROXY header. It is required of them and refused from others.
    #[serde(default)]
    pub proxy_protocol_from: Vec<IpNet>,
    /// Networks whose `X-Forwarded-For`, `Forwarded` and `Via` are continued; others' are replaced.
    #[serde(default)]
    pub trust_forwarded_from: Vec<IpNet>,
    /// Bounds.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// Times.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
    /// The access policy of every request.
    #[serde(default)]
    pub access: Option<Spanned<String>>,
}

impl Listener {
    /// One with everything else as it is by default.
    pub fn new(name: impl Into<String>, address: Bind) -> Listener {
        Listener {
            name: Spanned::new(name.into()),
            address: Spanned::new(address),
            protocol: Spanned::default(),
            mode: Spanned::default(),
            hostname: None,
            tls: None,
            intercept: None,
            backend: None,
            proxy_protocol_from: Vec::new(),
            trust_forwarded_from: Vec::new(),
            limits: ListenerLimits::default(),
            timeouts: ListenerTimeouts::default(),
            access: None,
        }
    }
}

/// Where the proxy itself is asked: `/live`, `/ready`, `/metrics`, `/proxy-log-level`, `/shutdown`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// Its address.
    pub address: Spanned<Bind>,
}
