//! The `vector` source: events from a `vector` sink, Vector's or ours, by gRPC.

use std::{net::SocketAddr, sync::Arc};

use ::http::{Request, Response};
use chrono::Utc;
use hyper::body::Incoming;
use qd_logs_config::common::{Acknowledgements, TlsConfig};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, ComponentError, Context, EventKind, Finalizers, LogBatch, LogEvent, LogSchema,
    MAX_BATCH_EVENTS, Metric, MetricBatch, OutputPort, Resource, Rows, Shutdown, Source, SourceConfig, SourceOut,
};
use serde::Deserialize;

use super::{Entrance, legacy_namespace, stamp};
use crate::{
    grpc::{self, Status},
    server::{Body, Server},
    sinks::Version,
    wire::event,
};

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorSourceConfig {
    #[serde(rename = "version")]
    _version: Option<Version>,
    address: SocketAddr,
    tls: Option<TlsConfig>,
    #[serde(default)]
    acknowledgements: Acknowledgements,
    /// How old connections may become; they may become as old as they like.
    #[serde(default, rename = "keepalive")]
    _keepalive: Option<Keepalive>,
    log_namespace: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
struct Keepalive {
    #[serde(rename = "max_connection_age_secs")]
    _max_connection_age_secs: Option<u64>,
    #[serde(rename = "max_connection_age_grace_secs")]
    _max_connection_age_grace_secs: Option<u64>,
}

impl SourceConfig for VectorSourceConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: vec![EventKind::Log, EventKind::Metric, EventKind::Trace],
        }]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Tcp(self.address.to_string())]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            let server = Server::bind(self.address, self.tls.as_ref(), &cx).await?;
            Ok(Box::new(VectorSource {
                server,
                acknowledges: self.acknowledgements.is_enabled(),
                cx,
            }) as Box<dyn Source>)
        })
    }
}

struct VectorSource {
    server: Server,
    acknowledges: bool,
    cx: Context,
}

impl Source for VectorSource {
    fn run(self: Box<Self>, out: SourceOut, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let entrance = Entrance::new(out, &self.cx, self.acknowledges);
            let schema = Arc::new(self.cx.globals.log_schema.clone());
            let handler = move |request: Request<Incoming>, _peer| -> BoxFuture<'static, Response<Body>> {
                let (entrance, schema) = (entrance.clone(), schema.clone());
                Box::pin(async move {
                    match request.uri().path() {
                        "/vector.Vector/PushEvents" => grpc::respond(push(request, &entrance, &schema).await),
                        "/vector.Vector/HealthCheck" => {
                            grpc::respond(Ok::<_, Status>(event::HealthCheckResponse { status: 0 }))
                        }
                        _ => grpc::respond(Err::<event::PushEventsResponse, _>(Status::new(12, "no such method"))),
                    }
                })
            };
            self.server.serve(Arc::new(handler), shutdown).await;
            Ok(())
        })
    }
}

async fn push(
    request: Request<Incoming>,
    entrance: &Entrance,
    schema: &LogSchema,
) -> Result<event::PushEventsResponse, Status> {
    let message: event::PushEventsRequest = grpc::receive(request).await?;
    entrance.received(prost::Message::encoded_len(&message));
    let now = Utc::now();
    let (mut logs, mut traces, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
    for wrapper in message.events {
        match wrapper.event {
            Some(event::Event::Log(log)) => {
                let mut e = log.into_event();
                stamp(&mut e, schema, "vector", now);
                logs.push(e);
            }
            Some(event::Event::Trace(trace)) => traces.push(trace.into_event()),
            Some(event::Event::Metric(metric)) => metrics.extend(metric.into_metric()),
            None => {}
        }
    }
    let mut batches = batches(logs, EventKind::Log, 0);
    batches.extend(self::batches(traces, EventKind::Trace, 0));
    batches.extend(metric_batches(metrics, 0));
    match entrance.push(batches).await {
        Ok(delivery) => Status::of(delivery).map(|()| event::PushEventsResponse {}),
        Err(closed) => Err(Status::new(14, closed.to_string())),
    }
}

/// Events in batches of the usual size, for a port.
pub(super) fn batches(mut events: Vec<LogEvent>, kind: EventKind, port: usize) -> Vec<(usize, Batch)> {
    let mut out = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(MAX_BATCH_EVENTS));
        let batch = LogBatch {
            rows: Rows::Events(std::mem::replace(&mut events, rest)),
            kind,
            finalizers: Finalizers::none(),
        };
        out.push((port, Batch::Logs(batch)));
    }
    out
}

/// Metrics in batches of the usual size, for a port.
pub(super) fn metric_batches(mut metrics: Vec<Metric>, port: usize) -> Vec<(usize, Batch)> {
    let mut out = Vec::new();
    while !metrics.is_empty() {
        let rest = metrics.split_off(metrics.len().min(MAX_BATCH_EVENTS));
        let batch = MetricBatch {
            metrics: std::mem::replace(&mut metrics, rest),
            finalizers: Finalizers::none(),
        };
        out.push((port, Batch::Metrics(batch)));
    }
    out
}
