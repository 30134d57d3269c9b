//! The `vector` sink: events to a `vector` source, Vector's or ours, by gRPC.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes};
use prost::Message;
use qd_logs_codecs::{Compression, CompressionLevel};
use qd_logs_config::{
    ConfigError, Node, NodeValue, carry,
    common::{BatchConfig, RealtimeByEvents, RequestConfig, TlsConfig},
};
use qd_logs_model::{Batch, BoxFuture, BuildError, BuiltSink, Context, EventKind, InputKinds, SinkConfig};
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::Requests;
use crate::{
    grpc,
    http::{Client, Protocol, endpoint, joined},
    request::{Batcher, Driver, Intake, Service, Verdict, driver::Report},
    wire::event,
};

/// The one version there is.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "2")]
    V2,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Routing {
    endpoints: Vec<String>,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorConfig {
    #[serde(rename = "version")]
    _version: Option<Version>,
    address: Option<String>,
    routing: Option<Routing>,
    #[serde(default, deserialize_with = "compression")]
    compression: Compression,
    #[serde(default)]
    batch: BatchConfig<RealtimeByEvents>,
    #[serde(default)]
    request: RequestConfig,
    tls: Option<TlsConfig>,
    /// Pings on idle connections; TCP's own are used instead.
    #[serde(default, rename = "keepalive")]
    _keepalive: Option<Keepalive>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keepalive {
    #[serde(rename = "interval_secs")]
    _interval_secs: Option<std::num::NonZeroU64>,
    #[serde(rename = "timeout_secs")]
    _timeout_secs: Option<std::num::NonZeroU64>,
}

/// `true` is gzip; else a name.
fn compression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Compression, D::Error> {
    let node = Node::deserialize(deserializer)?;
    match &node.value {
        NodeValue::Bool(true) => Ok(Compression::GZIP),
        NodeValue::Bool(false) => Ok(Compression::None),
        NodeValue::String(s) if s == "none" => Ok(Compression::None),
        NodeValue::String(s) if s == "gzip" => Ok(Compression::GZIP),
        NodeValue::String(s) if s == "zstd" => Ok(Compression::Zstd(CompressionLevel::Default)),
        _ => Err(carry(
            ConfigError::new("expected true, false or one of `none`, `gzip`, `zstd`").at(node.span),
        )),
    }
}

impl VectorConfig {
    fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        let addresses = match (&self.address, &self.routing) {
            (Some(one), None) => std::slice::from_ref(one),
            (None, Some(r)) if !r.endpoints.is_empty() => r.endpoints.as_slice(),
            (Some(_), Some(_)) => {
                return Err(BuildError::of("routing", "`address` and `routing` can't be set both"));
            }
            _ => return Err(BuildError::of("address", "`address` must be set")),
        };
        let secure = self.tls.as_ref().is_some_and(TlsConfig::is_enabled);
        let mut servers = Vec::new();
        for address in addresses {
            let text = match (address.contains("://"), secure) {
                (true, _) => address.clone(),
                (false, true) => format!("https://{address}"),
                (false, false) => format!("http://{address}"),
            };
            servers.push(endpoint(&text, "address", None)?);
        }
        let client = Client::new(self.tls.as_ref(), Protocol::Http2, cx)?;
        let service = VectorService {
            client: client.clone(),
            calls: servers.iter().map(|u| joined(u, "/vector.Vector/PushEvents")).collect(),
            next: AtomicUsize::new(0),
            compression: self.compression,
        };
        let healthcheck = async move {
            for url in &servers {
                let body = grpc::framed(&[], Compression::None)?;
                let url = joined(url, "/vector.Vector/HealthCheck");
                let answer = client.send(grpc::call(&url, body, Compression::None)).await?;
                let status = grpc::message::<event::HealthCheckResponse>(&answer);
                match grpc::verdict(Ok(answer)) {
                    Verdict::Delivered if status.is_none_or(|s| s.status == 0) => {}
                    Verdict::Delivered => return Err("the receiver says it is not serving".to_owned()),
                    Verdict::Refused(why) | Verdict::TooLarge(why) | Verdict::Retry { why, .. } => return Err(why),
                    Verdict::Partial { why, .. } => return Err(why),
                }
            }
            Ok(())
        };
        Ok(BuiltSink {
            sink: Box::new(Requests {
                driver: Driver::new(service, (&self.request).into(), self.batch.settings(), cx),
                intake: VectorIntake,
            }),
            healthcheck: Box::pin(healthcheck),
        })
    }
}

impl SinkConfig for VectorConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx) })
    }
}

struct VectorIntake;

/// An event as a field of `PushEventsRequest`: with its key and length before it, so that a request is its entries one
/// after another.
fn entry(event: event::Event) -> Bytes {
    let message = event::EventWrapper { event: Some(event) };
    let len = message.encoded_len();
    let mut out = Vec::with_capacity(len + 11);
    out.put_u8(0x0A);
    prost::encoding::encode_varint(len as u64, &mut out);
    message.encode_raw(&mut out);
    out.into()
}

impl Intake<VectorService> for VectorIntake {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<(), Bytes>, _report: &Report) {
        let mut add = |event| {
            let bytes = entry(event);
            let len = bytes.len();
            batcher.add(&(), bytes, len);
        };
        match batch {
            Batch::Logs(mut logs) => {
                let trace = logs.kind == EventKind::Trace;
                for e in logs.to_events() {
                    add(match trace {
                        true => event::Event::Trace(event::Trace::of(e)),
                        false => event::Event::Log(event::Log::of(e)),
                    });
                }
            }
            Batch::Metrics(metrics) => {
                for m in &metrics.metrics {
                    add(event::Event::Metric(event::Metric::of(m)));
                }
            }
        }
    }
}

struct VectorService {
    client: Client,
    calls: Vec<Url>,
    /// Whose turn it is.
    next: AtomicUsize,
    compression: Compression,
}

impl Service for VectorService {
    type Key = ();
    type Entry = Bytes;
    type Request = Bytes;

    fn prepare(&self, (): &(), entries: &[Bytes]) -> Result<Bytes, String> {
        grpc::framed(&entries.concat(), self.compression)
    }

    fn letter(&self, entry: &Bytes) -> Bytes {
        entry.clone()
    }

    fn body_len(&self, request: &Bytes) -> usize {
        request.len()
    }

    fn send<'a>(&'a self, body: &'a Bytes) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.calls.len().max(1);
            match self.calls.get(turn) {
                Some(url) => grpc::verdict(self.client.send(grpc::call(url, body.clone(), self.compression)).await),
                None => Verdict::Refused("there is no server".to_owned()),
            }
        })
    }
}
