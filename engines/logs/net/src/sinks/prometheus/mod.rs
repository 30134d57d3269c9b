//! The `prometheus_exporter` sink: metrics shown at `/metrics` when Prometheus asks.

mod render;
mod store;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_config::common::TlsConfig;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, ComponentError, Context, InputKinds, Resource, Shutdown, Sink, SinkConfig,
    SinkInput, telemetry::Intent,
};
use serde::Deserialize;
use tokio::{sync::watch, time::Instant};

use crate::{
    http::Auth,
    request::driver::Report,
    server::{Body, Server, text},
};
use store::Store;

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExporterConfig {
    #[serde(alias = "namespace")]
    default_namespace: Option<String>,
    #[serde(default = "address")]
    address: SocketAddr,
    auth: Option<Auth>,
    tls: Option<TlsConfig>,
    #[serde(default = "buckets")]
    buckets: Vec<f64>,
    #[serde(default = "quantiles")]
    quantiles: Vec<f64>,
    #[serde(default)]
    distributions_as_summaries: bool,
    #[serde(default = "flush_period_secs")]
    flush_period_secs: u64,
    #[serde(default)]
    suppress_timestamp: bool,
}

fn address() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 9598))
}

fn buckets() -> Vec<f64> {
    vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
}

fn quantiles() -> Vec<f64> {
    vec![0.5, 0.75, 0.9, 0.95, 0.99]
}

fn flush_period_secs() -> u64 {
    60
}

impl SinkConfig for ExporterConfig {
    fn input(&self) -> InputKinds {
        InputKinds::METRICS
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Tcp(self.address.to_string())]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            if self.quantiles.iter().any(|q| !(0.0..=1.0).contains(q)) {
                return Err(BuildError::of("quantiles", "quantiles lie between 0 and 1"));
            }
            let mut buckets = self.buckets.clone();
            buckets.sort_by(f64::total_cmp);
            let store = Store::new(buckets, self.distributions_as_summaries);
            let sink = Exporter {
                server: Server::bind(self.address, self.tls.as_ref(), &cx).await?,
                config: self.clone(),
                store: Arc::new(Mutex::new(store)),
                report: Report::new(&cx),
            };
            Ok(BuiltSink {
                sink: Box::new(sink),
                healthcheck: Box::pin(async { Ok(()) }),
            })
        })
    }
}

struct Exporter {
    server: Server,
    config: ExporterConfig,
    store: Arc<Mutex<Store>>,
    report: Report,
}

impl Sink for Exporter {
    fn run(self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let Exporter {
                server,
                config,
                store,
                report,
            } = *self;
            let (stop, stopped) = watch::channel(false);
            let page = Arc::new(Page {
                config: config.clone(),
                store: store.clone(),
                report: report.clone(),
            });
            let handler = move |request: Request<Incoming>, _peer| -> BoxFuture<'static, Response<Body>> {
                let page = page.clone();
                Box::pin(async move { page.answer(&request) })
            };
            let serving = server.serve(Arc::new(handler), Shutdown::new(stopped));
            let taking = async {
                let period = Duration::from_secs(config.flush_period_secs);
                let mut swept = Instant::now();
                while let Some(batch) = input.recv().await {
                    let Batch::Metrics(batch) = batch else { continue };
                    let now = Instant::now();
                    let mut store = store.lock();
                    if !period.is_zero() && now.duration_since(swept) > period {
                        swept = now;
                        store.expire(now, period);
                    }
                    let mut refused = 0;
                    for mut metric in batch.metrics {
                        if config.suppress_timestamp {
                            metric.timestamp = None;
                        }
                        refused += u64::from(!store.add(metric, now));
                    }
                    if refused > 0 {
                        report.telemetry.error("condition_failed", "processing");
                        report.telemetry.discarded(refused, Intent::Unintended);
                        report.complain("series", Severity::Error, || {
                            format!("{refused} metrics are dropped: there are too many series")
                        });
                    }
                }
                let _server_is_gone = stop.send(true);
            };
            tokio::join!(serving, taking);
            Ok(())
        })
    }
}

/// What is shown.
struct Page {
    config: ExporterConfig,
    store: Arc<Mutex<Store>>,
    report: Report,
}

impl Page {
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        if let Some(auth) = &self.config.auth
            && !auth.admits(request.headers())
        {
            let mut response = text(StatusCode::UNAUTHORIZED, "");
            let ways = HeaderValue::from_static("Basic, Bearer");
            response.headers_mut().insert("www-authenticate", ways);
            return response;
        }
        if request.method() != Method::GET || request.uri().path() != "/metrics" {
            return text(StatusCode::NOT_FOUND, "");
        }
        let store = self.store.lock();
        let body = render::page(&store, self.config.default_namespace.as_deref(), &self.config.quantiles);
        self.report.sent(store.len(), body.len(), body.len());
        drop(store);
        let mut response = text(StatusCode::OK, body);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert("content-type", kind);
        response
    }
}
