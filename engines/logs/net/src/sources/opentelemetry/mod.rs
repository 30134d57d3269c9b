//! The `opentelemetry` source: OTLP by gRPC, and by HTTP with protobuf or JSON. Its outputs are `logs`, `metrics` and
//! `traces`.
//!
//! Vector answers JSON with an error; here it is taken.

mod json;
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
    Source, SourceConfig, SourceOut,
};
use serde::Deserialize;

use super::{
    Entrance, add_headers, legacy_namespace,
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
                Box::pin(async move { taker.post(request).await })
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
                let done = match self.receive(request).await {
                    Ok(message) => self.logs(message, &headers).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
                let done = match self.receive(request).await {
                    Ok(message) => self.metrics(message).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
                let done = match self.receive(request).await {
                    Ok(message) => self.traces(message).await,
                    Err(e) => Err(e),
                };
                grpc::respond(done)
            }
            _ => grpc::respond(Err::<ExportLogsServiceResponse, _>(Status::new(12, "no such method"))),
        }
    }

    async fn receive<T: Message + Default>(&self, request: Request<Incoming>) -> Result<T, Status> {
        let message: T = grpc::receive(request).await?;
        self.entrance.received(message.encoded_len());
        Ok(message)
    }

    async fn post(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        let kind = request.headers().get("content-type");
        // An answer is written as the request was; one that cannot be told gets protobuf.
        let format = kind.and_then(|v| Format::of(v.as_bytes()));
        let answer = match self.signal(&path, format, request).await {
            Ok(message) => (StatusCode::OK, message),
            Err(Unreadable(status, why)) => (status, format.unwrap_or(Format::Protobuf).failure(why)),
        };
        let mut response = text(answer.0, answer.1);
        let kind = HeaderValue::from_static(format.unwrap_or(Format::Protobuf).content_type());
        response.headers_mut().insert("content-type", kind);
        response
    }

    async fn signal(
        &self,
        path: &str,
        format: Option<Format>,
        request: Request<Incoming>,
    ) -> Result<Vec<u8>, Unreadable> {
        if !matches!(path, "/v1/logs" | "/v1/metrics" | "/v1/traces") {
            return Err(Unreadable(StatusCode::NOT_FOUND, "no such signal".to_owned()));
        }
        if request.method() != Method::POST {
            return Err(Unreadable(
                StatusCode::METHOD_NOT_ALLOWED,
                "only POST is taken".to_owned(),
            ));
        }
        let Some(format) = format else {
            return Err(Unreadable(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "only application/x-protobuf and application/json are taken".to_owned(),
            ));
        };
        let (parts, incoming) = request.into_parts();
        let body = body::read(incoming).await?;
        self.entrance.received(body.len());
        let body = body::decoded(&parts.headers, body)?;
        let done = match path {
            "/v1/logs" => {
                let message = format.decode(&body, json::logs)?;
                self.logs(message, &parts.headers).await.map(|m| format.encode(&m))
            }
            "/v1/metrics" => {
                let message = format.decode(&body, json::metrics)?;
                self.metrics(message).await.map(|m| format.encode(&m))
            }
            _ => {
                let message = format.decode(&body, json::traces)?;
                self.traces(message).await.map(|m| format.encode(&m))
            }
        };
        match done {
            Ok(message) => Ok(message),
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
        let mut events = logs::events(message.resource_logs, &self.schema);
        // Calls by gRPC have none that are asked for.
        if !headers.is_empty() {
            for event in &mut events {
                add_headers(&mut event.value, &self.headers, headers);
            }
        }
        self.push(batches(events, EventKind::Log, LOGS)).await?;
        Ok(ExportLogsServiceResponse::default())
    }

    async fn metrics(&self, message: ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Status> {
        let metrics = metrics::metrics(message.resource_metrics);
        self.push(metric_batches(metrics, METRICS)).await?;
        Ok(ExportMetricsServiceResponse::default())
    }

    async fn traces(&self, message: ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, Status> {
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

/// How a message is written in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// `google.rpc.Status`, what a request that failed is answered with.
#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// `UNKNOWN`: OTLP does not ask for a code, the status of the answer tells it.
const UNKNOWN: i32 = 2;

impl Format {
    /// By the value of `Content-Type`.
    fn of(kind: &[u8]) -> Option<Format> {
        let name = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        match name {
            n if n.eq_ignore_ascii_case(b"application/x-protobuf") => Some(Format::Protobuf),
            n if n.eq_ignore_ascii_case(b"application/json") => Some(Format::Json),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        }
    }

    fn decode<T: Message + Default>(
        self,
        body: &[u8],
        json: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Unreadable> {
        let read = match self {
            Format::Protobuf => T::decode(body).map_err(|e| e.to_string()),
            Format::Json => json(body),
        };
        read.map_err(|e| Unreadable(StatusCode::BAD_REQUEST, format!("the message can't be read: {e}")))
    }

    /// An answer's message, all of whose fields are at their defaults.
    fn encode(self, message: &impl Message) -> Vec<u8> {
        match self {
            Format::Protobuf => message.encode_to_vec(),
            Format::Json => b"{}".to_vec(),
        }
    }

    fn failure(self, message: String) -> Vec<u8> {
        let failure = Failure { code: UNKNOWN, message };
        match self {
            Format::Protobuf => failure.encode_to_vec(),
            Format::Json => serde_json::json!({"code": failure.code, "message": failure.message})
                .to_string()
                .into_bytes(),
        }
    }
}
