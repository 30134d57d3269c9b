//! The source `syslog`: RFC 3164 and 5424 over TCP (with octet counts or lines, RFC 6587), UDP and unix sockets.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use qd_logs_codecs::{DecodingConfig, FramingConfig};
use qd_logs_config::common::TlsServerConfig;
use qd_logs_model::{BoxFuture, BuildError, Context, Entry, EventKind, OutputPort, Resource, Source, SourceConfig};
use serde::Deserialize;
use vrl::path::OwnedValuePath;

use super::{
    keys::{OptionalPath, host_key, legacy_namespace},
    listen::{Keepalive, ListenAddress, Network},
    serve::{Datagrams, Fields, Listening, Service, Streams, TcpOptions, UdpOptions},
    socket::mode,
    stream::{Codec, Received},
};

/// The longest datagram: UDP's own limit.
const DATAGRAM: usize = 65_535;

fn max_length() -> usize {
    102_400
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpConfig {
    address: ListenAddress,
    keepalive: Option<Keepalive>,
    permit_origin: Option<Vec<Network>>,
    tls: Option<TlsServerConfig>,
    receive_buffer_bytes: Option<usize>,
    connection_limit: Option<u32>,
    tls_handshake_timeout_secs: Option<NonZeroU64>,
    #[serde(default = "max_length")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UdpConfig {
    address: ListenAddress,
    receive_buffer_bytes: Option<usize>,
    /// Accepted: a datagram has its own limit.
    #[serde(default = "max_length")]
    #[allow(dead_code, reason = "a key of Vector's without a meaning for datagrams")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnixConfig {
    path: PathBuf,
    socket_file_mode: Option<u32>,
    #[serde(default = "max_length")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug)]
enum Config {
    Tcp(Box<TcpConfig>),
    Udp(UdpConfig),
    Unix(UnixConfig),
}

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "syslog",
        about: "listens for syslog messages",
        parse: |node| {
            let (mode, node) = mode(node, &["tcp", "udp", "unix"])?;
            Ok(Box::new(match mode.as_str() {
                "tcp" => Config::Tcp(qd_logs_config::decode(&node)?),
                "udp" => Config::Udp(qd_logs_config::decode(&node)?),
                _ => Config::Unix(qd_logs_config::decode(&node)?),
            }))
        },
    }
}

impl SourceConfig for Config {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![match self {
            Config::Tcp(c) => c.address.tcp_resource(),
            Config::Udp(c) => c.address.udp_resource(),
            Config::Unix(c) => Resource::Path(c.path.clone()),
        }]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            let schema = &cx.globals.log_schema;
            let deserializer = DecodingConfig::Syslog { lossy: true }.build(schema)?;
            let counted = |max| FramingConfig::OctetCounting { max_length: Some(max) };
            let (listening, framing, given, namespace, protocol) = match self {
                Config::Tcp(c) => {
                    let options = TcpOptions {
                        keepalive: c.keepalive,
                        permit_origin: c.permit_origin.clone(),
                        tls: c.tls.as_ref().map(TlsServerConfig::tls),
                        receive_buffer: c.receive_buffer_bytes,
                        most: None,
                        handshake: c.tls_handshake_timeout_secs.map(|s| Duration::from_secs(s.get())),
                        limit: c.connection_limit,
                    };
                    let streams = Streams::tcp(c.address.socket()?, options).await?;
                    (
                        Listening::Streams(streams),
                        counted(c.max_length),
                        &c.host_key,
                        c.log_namespace,
                        "tcp",
                    )
                }
                Config::Udp(c) => {
                    let options = UdpOptions {
                        groups: Vec::new(),
                        interface: None,
                        receive_buffer: c.receive_buffer_bytes,
                        max_length: DATAGRAM,
                    };
                    let datagrams = Datagrams::udp(c.address.socket()?, &options).await?;
                    (
                        Listening::Datagrams(datagrams),
                        FramingConfig::Bytes,
                        &c.host_key,
                        c.log_namespace,
                        "udp",
                    )
                }
                Config::Unix(c) => {
                    let streams = Streams::unix(&c.path, c.socket_file_mode)?;
                    (
                        Listening::Streams(streams),
                        counted(c.max_length),
                        &c.host_key,
                        c.log_namespace,
                        "unix",
                    )
                }
            };
            legacy_namespace(namespace)?;
            let fields = Fields {
                host: None,
                port: None,
                syslog: Some((host_key(given, schema), OwnedValuePath::single_field("source_ip"))),
            };
            Ok(Box::new(Service {
                ty: "syslog",
                received: Received::new(&cx, protocol),
                cx,
                listening,
                codec: Codec::with(framing, deserializer),
                fields,
            }) as Box<dyn Source>)
        })
    }
}
