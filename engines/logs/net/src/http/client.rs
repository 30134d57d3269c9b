//! The client: reqwest with the options of the `tls` table and the proxies of the pipeline.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use qd_logs_config::common::TlsConfig;
use qd_logs_model::{BuildError, Context, Counter, Histogram, Telemetry};
use reqwest::{NoProxy, Proxy, Request};

/// Bytes of an answer's body that are kept; the rest is read and let go.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Bytes of an answer's body that messages quote.
const QUOTED: usize = 200;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Which versions of HTTP are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// What the server likes, 1.1 without TLS.
    Any,
    /// HTTP/2 without asking, for gRPC.
    Http2,
}

/// A client with its counters, named as Vector's. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: reqwest::Client,
    telemetry: Telemetry,
    sent: Counter,
    rtt: Histogram,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, cut.
    pub(crate) body: Bytes,
    /// What came after the body.
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The status and the beginning of the body.
    pub(crate) fn summary(&self) -> String {
        let body = String::from_utf8_lossy(self.body.get(..QUOTED).unwrap_or(&self.body)).into_owned();
        let text: String = body
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        match text.is_empty() {
            true => self.status.to_string(),
            false => format!("{}: {text}", self.status),
        }
    }
}

impl Client {
    /// A client for one sink.
    ///
    /// # Errors
    /// Certificates or keys that can't be read, proxies that are no addresses, options that are not supported.
    pub(crate) fn new(options: Option<&TlsConfig>, protocol: Protocol, cx: &Context) -> Result<Client, BuildError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let alpn: &[&str] = match protocol {
            Protocol::Any => &["h2", "http/1.1"],
            Protocol::Http2 => &["h2"],
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(qd_logs_tls::client(options, alpn)?)
            .user_agent(concat!("quarterdeck/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(60))
            .no_proxy();
        if protocol == Protocol::Http2 {
            builder = builder.http2_prior_knowledge();
        }
        let proxies = &cx.globals.proxy;
        if proxies.enabled {
            let direct = || NoProxy::from_string(&proxies.no_proxy.join(","));
            let bad = |e: reqwest::Error| BuildError::of("proxy", format!("a proxy is no address: {e}"));
            if let Some(url) = &proxies.http {
                builder = builder.proxy(Proxy::http(url).map_err(bad)?.no_proxy(direct()));
            }
            if let Some(url) = &proxies.https {
                builder = builder.proxy(Proxy::https(url).map_err(bad)?.no_proxy(direct()));
            }
        }
        let inner = builder
            .build()
            .map_err(|e| BuildError::of("tls", format!("the HTTP client can't be made: {}", causes(&e))))?;
        Ok(Client {
            inner,
            sent: cx.telemetry.counter("http_client_requests_sent_total"),
            rtt: cx.telemetry.histogram("http_client_rtt_seconds"),
            telemetry: cx.telemetry.clone(),
        })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// What kept it from being sent or answered: a sentence.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, String> {
        self.sent.add(1);
        let start = Instant::now();
        let answer = self.exchange(request).await;
        self.rtt.record(start.elapsed());
        match &answer {
            Ok(a) => {
                self.telemetry
                    .with([("status", a.status.as_u16().to_string())])
                    .counter("http_client_responses_total")
                    .add(1);
            }
            Err(_) => self.telemetry.counter("http_client_errors_total").add(1),
        }
        answer
    }

    async fn exchange(&self, request: Request) -> Result<Answer, String> {
        let response = self.inner.execute(request).await.map_err(|e| causes(&e))?;
        let (parts, mut body) = http::Response::from(response).into_parts();
        let mut kept = BytesMut::new();
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|e| causes(&e))?.into_data() {
                Ok(data) => {
                    let room = MAX_ANSWER - kept.len();
                    kept.extend_from_slice(data.get(..room).unwrap_or(&data));
                }
                Err(frame) => {
                    if let Ok(t) = frame.into_trailers() {
                        trailers.extend(t);
                    }
                }
            }
        }
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: kept.freeze(),
            trailers,
        })
    }
}

/// An error with what caused it; addresses are left out since they may hold credentials.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        let text = match e.downcast_ref::<reqwest::Error>() {
            Some(r) if r.is_timeout() => "timed out".to_owned(),
            Some(r) if r.is_connect() => "no connection".to_owned(),
            Some(r) if r.is_body() => "the body broke off".to_owned(),
            Some(_) => "the request failed".to_owned(),
            None => e.to_string(),
        };
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        next = e.source();
    }
    parts.join(": ")
}
