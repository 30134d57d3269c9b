//! The `socket` sink: events over TCP, UDP and unix sockets.
//!
//! Streams: a batch is acknowledged when the kernel has taken all its bytes. When a connection breaks, the sink connects
//! again (after half a second, doubling up to a minute) and goes on with the first event that the kernel had not taken
//! whole, so no event is cut or left out by the sink; what the kernel had taken and the peer never read is lost, as these
//! protocols have no answer that would tell. Datagrams: each event is one (GELF over UDP: up to 128); one that is too
//! long or that the network refuses twice is dropped and counted.

mod datagram;
mod stream;
mod tls;

use std::{path::PathBuf, time::Duration};

use qd_core::Severity;
use qd_logs_codecs::{EncodingConfig, FramingEncoderConfig, SinkType};
use qd_logs_config::{ConfigError, Node, carry, common::TlsConfig};
use qd_logs_model::{
    BoxFuture, BuildError, BuiltSink, ComponentError, Context, InputKinds, Sink, SinkConfig, SinkInput,
};
use serde::{Deserialize, Deserializer};

use super::report::{Reporter, warn_ignored};

/// The first and the longest wait between attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Keepalive {
    /// Seconds without data before the kernel asks whether the peer is there.
    time_secs: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Tcp {
    address: String,
    keepalive: Option<Keepalive>,
    tls: Option<TlsConfig>,
    send_buffer_bytes: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
struct Udp {
    address: String,
    send_buffer_bytes: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
struct Unix {
    path: PathBuf,
}

#[derive(Debug, Clone)]
enum Mode {
    Tcp(Tcp),
    Udp(Udp),
    UnixStream(Unix),
    UnixDatagram(Unix),
}

/// The configuration, with Vector's keys. As there, keys that have no meaning for the mode are not refused; they are
/// named when the sink starts.
#[derive(Debug, Clone)]
pub(super) struct SocketConfig {
    mode: Mode,
    encoding: EncodingConfig,
    framing: Option<FramingEncoderConfig>,
    ignored: Vec<String>,
}

const MODES: [&str; 4] = ["tcp", "udp", "unix_stream", "unix_datagram"];

impl<'de> Deserialize<'de> for SocketConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Common {
            mode: String,
            encoding: EncodingConfig,
            framing: Option<FramingEncoderConfig>,
        }
        let node = Node::deserialize(deserializer)?;
        let read = || -> Result<SocketConfig, ConfigError> {
            let common: Common = qd_logs_config::decode(&node)?;
            let (mode, keys): (_, &[&str]) = match common.mode.as_str() {
                "tcp" => (
                    Mode::Tcp(qd_logs_config::decode(&node)?),
                    &["address", "keepalive", "tls", "send_buffer_bytes", "framing"],
                ),
                "udp" => (
                    Mode::Udp(qd_logs_config::decode(&node)?),
                    &["address", "send_buffer_bytes"],
                ),
                "unix" | "unix_stream" => (Mode::UnixStream(qd_logs_config::decode(&node)?), &["path", "framing"]),
                "unix_datagram" => (Mode::UnixDatagram(qd_logs_config::decode(&node)?), &["path", "framing"]),
                other => {
                    let list = MODES.map(|m| format!("`{m}`")).join(", ");
                    return Err(
                        ConfigError::new(format!("unknown value `{other}`, expected one of {list}"))
                            .suggest(qd_logs_config::nearest(other, MODES))
                            .at(node.get("mode").and_then(|n| n.span))
                            .within("mode"),
                    );
                }
            };
            let known = |k: &str| matches!(k, "mode" | "encoding") || keys.contains(&k);
            let names = node.entries().unwrap_or_default().iter().map(|(k, _)| k.name.clone());
            Ok(SocketConfig {
                mode,
                encoding: common.encoding,
                framing: common.framing,
                ignored: names.filter(|k| !known(k)).collect(),
            })
        };
        read().map_err(carry)
    }
}

/// Host and port of an address, with or without a scheme before it.
fn host_port(address: &str) -> Option<(String, u16)> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

impl SinkConfig for SocketConfig {
    fn input(&self) -> InputKinds {
        self.encoding.input()
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            warn_ignored(&cx, &self.encoding);
            for key in &self.ignored {
                let text = format!("`{key}` has no meaning in this mode and is ignored");
                cx.log.say(Severity::Warn, text, Vec::new());
            }
            let schema = &cx.globals.log_schema;
            let framing = match self.mode {
                // Each datagram is a frame of its own.
                Mode::Udp(_) => Some(&FramingEncoderConfig::Bytes),
                _ => self.framing.as_ref(),
            };
            let encoder = self.encoding.build(framing, SinkType::Stream, schema)?;
            let report = Reporter::new(&cx);
            let address = |a: &str| {
                host_port(a).ok_or_else(|| BuildError::of("address", format!("`{a}` is not of the form host:port")))
            };
            let (sink, healthcheck) = match &self.mode {
                Mode::Tcp(tcp) => {
                    let (host, port) = address(&tcp.address)?;
                    let tls = match &tcp.tls {
                        Some(tls) if tls.is_enabled() => Some(tls::Client::new(tls, &host)?),
                        _ => None,
                    };
                    let connector = stream::Connector::Tcp {
                        host,
                        port,
                        tls,
                        keepalive: tcp.keepalive.and_then(|k| k.time_secs).map(Duration::from_secs),
                        send_buffer: tcp.send_buffer_bytes,
                    };
                    stream_sink(connector, encoder, report)
                }
                Mode::UnixStream(unix) => stream_sink(stream::Connector::Unix(unix.path.clone()), encoder, report),
                Mode::Udp(udp) => {
                    let (host, port) = address(&udp.address)?;
                    let connector = datagram::Connector::Udp {
                        host,
                        port,
                        send_buffer: udp.send_buffer_bytes,
                    };
                    datagram_sink(connector, encoder, report)
                }
                Mode::UnixDatagram(unix) => {
                    datagram_sink(datagram::Connector::Unix(unix.path.clone()), encoder, report)
                }
            };
            Ok(BuiltSink { sink, healthcheck })
        })
    }
}

type Made = (Box<dyn Sink>, BoxFuture<'static, Result<(), String>>);

fn stream_sink(connector: stream::Connector, encoder: qd_logs_codecs::Encoder, report: Reporter) -> Made {
    let probe = connector.clone();
    let healthcheck = Box::pin(async move { probe.connect().await.map(drop).map_err(|e| e.to_string()) });
    (
        Box::new(Streams(stream::Sender::new(connector, encoder, report))),
        healthcheck,
    )
}

fn datagram_sink(connector: datagram::Connector, encoder: qd_logs_codecs::Encoder, report: Reporter) -> Made {
    let probe = connector.clone();
    let healthcheck = Box::pin(async move { probe.connect().await.map(drop).map_err(|e| e.to_string()) });
    (
        Box::new(Datagrams(datagram::Sender::new(connector, encoder, report))),
        healthcheck,
    )
}

struct Streams(stream::Sender);

impl Sink for Streams {
    fn run(mut self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            while let Some(batch) = input.recv().await {
                self.0.send(&batch).await;
            }
            self.0.end().await;
            Ok(())
        })
    }
}

struct Datagrams(datagram::Sender);

impl Sink for Datagrams {
    fn run(mut self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            while let Some(batch) = input.recv().await {
                self.0.send(&batch).await;
            }
            Ok(())
        })
    }
}
