//! The `opentelemetry` source: OTLP by gRPC and by HTTP with protobuf. Its outputs are `logs`, `metrics` and `traces`.
//!
//! JSON over HTTP is answered with 415.

mod logs;
mod metrics;
mod traces;
mod value;

use std::{net::SocketAddr, sync::Arc};

use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message;
use qd_logs_config::{
    Node, NodeValue,
    common::{Acknowledgements, TlsConfig},
};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, ComponentError, Context, EventKind, LogSchema, OutputPort, Resource, Shutdown,
    Source, SourceConfig, SourceOut, Value,
};
use serde::Deserialize;
use vrl::path::OwnedValuePath;

use super::{
    Entrance, legacy_namespace,
    vector::{batches, metric_batches},
};
use crate::{
    grpc::{self, Status},
    server::{
        Body, Server,
        body::{self, Unreadable},
        text,
    },
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrpcConfig {
    address: SocketAddr,
    tls: Option<TlsConfig>,
    #[serde(default, rename = "keepalive")]
    _keepalive: Option<Node>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpConfig {
    address: SocketAddr,
    tls: Option<TlsConfig>,
    #[serde(default, rename = "keepalive")]
    _keepalive: Option<Node>,
    /// Headers of requests that become fields of logs.
    #[serde(default)]
    headers: Vec<String>,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtlpConfig {
    grpc: GrpcConfig,
    http: HttpConfig,
    #[serde(default)]
    acknowledgements: Acknowledgements,
    log_namespace: Option<bool>,
    /// Keeping OTLP's own structure, which is not supported.
    use_otlp_decoding: Option<Node>,
}

const LOGS: usize = 0;
const METRICS: usize = 1;
const TRACES: usize = 2;

impl SourceConfig for OtlpConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![
            OutputPort::named("logs", EventKind::Log),
            OutputPort::named("metrics", EventKind::Metric),
            OutputPort::named("traces", EventKind::Trace),
        ]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![
            Resource::Tcp(self.grpc.address.to_string()),
            Resource::Tcp(self.http.address.to_string()),
        ]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            if self.use_otlp_decoding.as_ref().is_some_and(is_on) {
                return Err(BuildError::of(
                    "use_otlp_decoding",
                    "`use_otlp_decoding` is not supported",
                ));
            }
            let source = Otlp {
                grpc: Server::bind(self.grpc.address, self.grpc.tls.as_ref(), &cx).await?,
                http: Server::bind(self.http.address, self.http.tls.as_ref(), &cx).await?,
                headers: self.http.headers.clone(),
                acknowledges: self.acknowledgements.is_enabled(),
                cx,
            };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

fn is_on(node: &Node) -> bool {
    match &node.value {
        NodeValue::Bool(b) => *b,
        NodeValue::Table(entries) => entries.iter().any(|(_, n)| n.value == NodeValue::Bool(true)),
        _ => false,
    }
}

struct Otlp {
    grpc: Server,
    http: Server,
    headers: Vec<String>,
    acknowledges: bool,
    cx: Context,
}

/// What both ways share.
struct Taker {
    entrance: Entrance,
    schema: LogSchema,
    headers: Vec<String>,
}

impl Source for Otlp {
    fn run(self: Box<Self>, out: SourceOut, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let taker = Arc::new(Taker {
                entrance: Entrance::new(out, &self.cx, self.acknowledges),
                schema: self.cx.globals.log_schema.clone(),
                headers: self.headers,
            });
            let by_grpc = taker.clone();
            let grpc = move |request: Request<Incoming>, _peer| -> BoxFuture<'static, Response<Body>> {
                let taker = by_grpc.clone();
                Box::pin(async move { taker.call(request).await })
            };
            let http = move |request: Request<Incoming>, _peer| -> BoxFuture<'static, Response<Body>> {
                let taker = taker.clone();
                Box::pin(async move {
                    match taker.post(request).await {
                        Ok(response) => response,
                        Err(Unreadable(status, why)) => text(status, why),
                    }
                })
            };
            tokio::join!(
                self.grpc.serve(Arc::new(grpc), shutdown.clone()),
                self.http.serve(Arc::new(http), shutdown)
            );
            Ok(())
        })
    }
}

impl Taker {
    async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        let headers = HeaderMap::new();
        match request.uri().path() {
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
                let done = match grpc::receive(request).await {
                    Ok(message) => self.logs(message, &headers).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
                let done = match grpc::receive(request).await {
                    Ok(message) => self.metrics(message).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
                let done = match grpc::receive(request).await {
                    Ok(message) => self.traces(message).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            _ => grpc::respond(Err::<ExportLogsServiceResponse, _>(Status::new(12, "no such method"))),
        }
    }

    async fn post(&self, request: Request<Incoming>) -> Result<Response<Body>, Unreadable> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        if !matches!(path.as_str(), "/v1/logs" | "/v1/metrics" | "/v1/traces") {
            return Err(Unreadable(StatusCode::NOT_FOUND, "no such signal".to_owned()));
        }
        if request.method() != Method::POST {
            return Err(Unreadable(
                StatusCode::METHOD_NOT_ALLOWED,
                "only POST is taken".to_owned(),
            ));
        }
        let (parts, incoming) = request.into_parts();
        let kind = parts
            .headers
            .get("content-type")
            .map(|v| v.as_bytes().to_ascii_lowercase());
        if !kind.is_some_and(|k| k.starts_with(b"application/x-protobuf")) {
            return Err(Unreadable(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "only application/x-protobuf is taken".to_owned(),
            ));
        }
        let body = body::decoded(&parts.headers, body::read(incoming).await?)?;
        let done = match path.as_str() {
            "/v1/logs" => self
                .logs(decode(&body)?, &parts.headers)
                .await
                .map(|m| m.encode_to_vec()),
            "/v1/metrics" => self.metrics(decode(&body)?).await.map(|m| m.encode_to_vec()),
            _ => self.traces(decode(&body)?).await.map(|m| m.encode_to_vec()),
        };
        match done {
            Ok(message) => {
                let mut response = text(StatusCode::OK, message);
                let kind = HeaderValue::from_static("application/x-protobuf");
                response.headers_mut().insert("content-type", kind);
                Ok(response)
            }
            // 503 asks the sender to come again (OTLP/HTTP, "retryable response codes").
            Err(Status { code: 15, message }) => Err(Unreadable(StatusCode::BAD_REQUEST, message)),
            Err(Status { message, .. }) => Err(Unreadable(StatusCode::SERVICE_UNAVAILABLE, message)),
        }
    }

    async fn logs(
        &self,
        message: ExportLogsServiceRequest,
        headers: &HeaderMap,
    ) -> Result<ExportLogsServiceResponse, Status> {
        self.entrance.received(message.encoded_len());
        let mut events = logs::events(message.resource_logs, &self.schema);
        for name in &self.headers {
            let value = headers.get(name.as_str()).map(|v| Value::from(v.as_bytes()));
            if headers.is_empty() {
                break;
            }
            for event in &mut events {
                let path = OwnedValuePath::single_field(name.as_str());
                event.value.insert(&path, value.clone().unwrap_or(Value::Null));
            }
        }
        self.push(batches(events, EventKind::Log, LOGS)).await?;
        Ok(ExportLogsServiceResponse::default())
    }

    async fn metrics(&self, message: ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Status> {
        self.entrance.received(message.encoded_len());
        let metrics = metrics::metrics(message.resource_metrics);
        self.push(metric_batches(metrics, METRICS)).await?;
        Ok(ExportMetricsServiceResponse::default())
    }

    async fn traces(&self, message: ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, Status> {
        self.entrance.received(message.encoded_len());
        let events = traces::events(message.resource_spans);
        self.push(batches(events, EventKind::Trace, TRACES)).await?;
        Ok(ExportTraceServiceResponse::default())
    }

    async fn push(&self, batches: Vec<(usize, Batch)>) -> Result<(), Status> {
        match self.entrance.push(batches).await {
            Ok(delivery) => Status::of(delivery),
            Err(closed) => Err(Status::new(14, closed.to_string())),
        }
    }
}

fn decode<T: Message + Default>(body: &[u8]) -> Result<T, Unreadable> {
    T::decode(body).map_err(|e| Unreadable(StatusCode::BAD_REQUEST, format!("the message can't be read: {e}")))
}
