//! The source `socket`: TCP, UDP and unix sockets.

use std::{net::Ipv4Addr, num::NonZeroU64, path::PathBuf, time::Duration};

use qd_logs_codecs::{DecodingConfig, FramingConfig};
use qd_logs_config::{ConfigError, Node, common::TlsServerConfig};
use qd_logs_model::{BoxFuture, BuildError, Context, Entry, OutputPort, Resource, Source, SourceConfig};
use serde::Deserialize;

use super::{
    keys::{OptionalPath, host_key, legacy_namespace},
    listen::{Keepalive, ListenAddress, Network},
    serve::{Datagrams, Fields, Listening, Service, Streams, TcpOptions, UdpOptions},
    stream::{Codec, Received},
};

fn max_length() -> usize {
    102_400
}

fn port_key() -> OptionalPath {
    OptionalPath::field("port")
}

fn shutdown_timeout() -> u64 {
    30
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpConfig {
    address: ListenAddress,
    keepalive: Option<Keepalive>,
    /// Accepted: connections are left at once on shutdown, with what was received of them sent.
    #[serde(default = "shutdown_timeout")]
    #[allow(dead_code, reason = "a key of Vector's without a meaning here")]
    shutdown_timeout_secs: u64,
    host_key: Option<OptionalPath>,
    #[serde(default = "port_key")]
    port_key: OptionalPath,
    permit_origin: Option<Vec<Network>>,
    tls: Option<TlsServerConfig>,
    receive_buffer_bytes: Option<usize>,
    max_connection_duration_secs: Option<u64>,
    tls_handshake_timeout_secs: Option<NonZeroU64>,
    connection_limit: Option<u32>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UdpConfig {
    address: ListenAddress,
    #[serde(default)]
    multicast_groups: Vec<Ipv4Addr>,
    multicast_interface: Option<Ipv4Addr>,
    #[serde(default = "max_length")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    #[serde(default = "port_key")]
    port_key: OptionalPath,
    receive_buffer_bytes: Option<usize>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnixConfig {
    path: PathBuf,
    socket_file_mode: Option<u32>,
    host_key: Option<OptionalPath>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug)]
enum Config {
    Tcp(Box<TcpConfig>),
    Udp(UdpConfig),
    Datagram(UnixConfig),
    Stream(UnixConfig),
}

/// Takes `mode` out of a table.
pub(crate) fn mode(node: &Node, modes: &[&str]) -> Result<(String, Node), ConfigError> {
    let mut node = node.clone();
    let Some((key, value)) = node.take("mode") else {
        return Err(ConfigError::new("missing key `mode`").at(node.span));
    };
    let list = modes.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ");
    let wrong = |what: String| ConfigError::new(what).at(value.span.or(key.span)).within("mode");
    let Some(mode) = value.as_str() else {
        return Err(wrong(format!("expected one of {list}, found {}", value.kind())));
    };
    if !modes.contains(&mode) {
        let right = qd_logs_config::nearest(mode, modes.iter().copied());
        return Err(wrong(format!("unknown value `{mode}`, expected one of {list}")).suggest(right));
    }
    Ok((mode.to_owned(), node))
}

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "socket",
        about: "listens at a TCP, UDP or unix socket",
        parse: |node| {
            let modes = ["tcp", "udp", "unix_datagram", "unix_stream", "unix"];
            let (mode, node) = mode(node, &modes)?;
            Ok(Box::new(match mode.as_str() {
                "tcp" => Config::Tcp(qd_logs_config::decode(&node)?),
                "udp" => Config::Udp(qd_logs_config::decode(&node)?),
                "unix_datagram" => Config::Datagram(qd_logs_config::decode(&node)?),
                _ => Config::Stream(qd_logs_config::decode(&node)?),
            }))
        },
    }
}

/// The longest message that a framing allows.
fn framed_length(framing: Option<&FramingConfig>) -> usize {
    let given = match framing {
        Some(FramingConfig::CharacterDelimited(c)) => c.max_length,
        Some(FramingConfig::NewlineDelimited(c)) => c.max_length,
        Some(FramingConfig::OctetCounting { max_length }) => *max_length,
        _ => None,
    };
    given.unwrap_or_else(max_length)
}

impl SourceConfig for Config {
    fn outputs(&self) -> Vec<OutputPort> {
        let decoding = match self {
            Config::Tcp(c) => &c.decoding,
            Config::Udp(c) => &c.decoding,
            Config::Datagram(c) | Config::Stream(c) => &c.decoding,
        };
        vec![OutputPort {
            name: None,
            kinds: decoding.kinds(),
        }]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![match self {
            Config::Tcp(c) => c.address.tcp_resource(),
            Config::Udp(c) => c.address.udp_resource(),
            Config::Datagram(c) | Config::Stream(c) => Resource::Path(c.path.clone()),
        }]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            let fields = |host: &Option<OptionalPath>, port: Option<&OptionalPath>| Fields {
                host: host_key(host, &cx.globals.log_schema),
                port: port.and_then(|p| p.0.clone()),
                syslog: None,
            };
            let (listening, codec, fields, protocol) = match self {
                Config::Tcp(c) => {
                    legacy_namespace(c.log_namespace)?;
                    if c.tls.as_ref().is_some_and(|t| t.client_metadata_key.is_some()) {
                        return Err(BuildError::of(
                            "tls.client_metadata_key",
                            "metadata of client certificates are not supported; remove the key",
                        ));
                    }
                    let options = TcpOptions {
                        keepalive: c.keepalive,
                        permit_origin: c.permit_origin.clone(),
                        tls: c.tls.as_ref().map(TlsServerConfig::tls),
                        receive_buffer: c.receive_buffer_bytes,
                        most: c.max_connection_duration_secs.map(Duration::from_secs),
                        handshake: c.tls_handshake_timeout_secs.map(|s| Duration::from_secs(s.get())),
                        limit: c.connection_limit,
                    };
                    (
                        Listening::Streams(Streams::tcp(c.address.socket()?, options).await?),
                        Codec::stream(&cx, c.framing.as_ref(), &c.decoding, None)?,
                        fields(&c.host_key, Some(&c.port_key)),
                        "tcp",
                    )
                }
                Config::Udp(c) => {
                    legacy_namespace(c.log_namespace)?;
                    let options = UdpOptions {
                        groups: c.multicast_groups.clone(),
                        interface: c.multicast_interface,
                        receive_buffer: c.receive_buffer_bytes,
                        max_length: c.receive_buffer_bytes.map_or(c.max_length, |b| b.min(c.max_length)),
                    };
                    (
                        Listening::Datagrams(Datagrams::udp(c.address.socket()?, &options).await?),
                        Codec::message(&cx, c.framing.as_ref(), &c.decoding)?,
                        fields(&c.host_key, Some(&c.port_key)),
                        "udp",
                    )
                }
                Config::Datagram(c) => {
                    legacy_namespace(c.log_namespace)?;
                    let most = framed_length(c.framing.as_ref());
                    (
                        Listening::Datagrams(Datagrams::unix(&c.path, c.socket_file_mode, most)?),
                        Codec::message(&cx, c.framing.as_ref(), &c.decoding)?,
                        fields(&c.host_key, None),
                        "unix",
                    )
                }
                Config::Stream(c) => {
                    legacy_namespace(c.log_namespace)?;
                    (
                        Listening::Streams(Streams::unix(&c.path, c.socket_file_mode)?),
                        Codec::stream(&cx, c.framing.as_ref(), &c.decoding, None)?,
                        fields(&c.host_key, None),
                        "unix",
                    )
                }
            };
            Ok(Box::new(Service {
                ty: "socket",
                received: Received::new(&cx, protocol),
                cx,
                listening,
                codec,
                fields,
            }) as Box<dyn Source>)
        })
    }
}
