//! The `http_server` source: events in the bodies of requests.
//!
//! An answer is given when the events are in the pipeline, or with acknowledgements when they are delivered: 500 tells
//! the sender to come again, 400 that it need not.

use std::{net::SocketAddr, sync::Arc};

use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use qd_core::Severity;
use qd_logs_codecs::{Decoder, DecodingConfig, Deserializer, FramingConfig};
use qd_logs_config::{
    ConfigError, Node, carry,
    common::{Acknowledgements, TlsConfig},
};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, ComponentError, Context, Delivery, EventKind, Origin, OutputPort, Resource, Shutdown,
    Source, SourceConfig, SourceOut, Telemetry, Value,
};
use serde::Deserialize;
use vrl::path::OwnedValuePath;

use super::{Entrance, OptionalPath, add_headers, if_absent, legacy_namespace, matches, stamp};
use crate::{
    http::Auth,
    server::{
        Body, Server,
        body::{self, Unreadable},
        text,
    },
};

/// The method that is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum HttpMethod {
    #[serde(alias = "head")]
    Head,
    #[serde(alias = "get")]
    Get,
    #[default]
    #[serde(alias = "post")]
    Post,
    #[serde(alias = "put")]
    Put,
    #[serde(alias = "patch")]
    Patch,
    #[serde(alias = "delete")]
    Delete,
    #[serde(alias = "options")]
    Options,
}

impl HttpMethod {
    fn is(self, method: &Method) -> bool {
        let name = match self {
            HttpMethod::Head => "HEAD",
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Delete => "DELETE",
            HttpMethod::Options => "OPTIONS",
        };
        method.as_str() == name
    }
}

/// The `auth` table of a server: a name and a password.
#[derive(Debug, Clone)]
struct ServerAuth(Auth);

impl<'de> Deserialize<'de> for ServerAuth {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Basic {
            #[serde(rename = "strategy")]
            _strategy: Option<String>,
            #[serde(alias = "user")]
            username: String,
            password: String,
        }
        let node = Node::deserialize(deserializer)?;
        let strategy = node.get("strategy");
        match strategy.and_then(Node::as_str) {
            None | Some("basic") => qd_logs_config::decode(&node)
                .map(|b: Basic| {
                    ServerAuth(Auth::Basic {
                        user: b.username,
                        password: b.password,
                    })
                })
                .map_err(carry),
            Some("custom") => Err(carry(
                ConfigError::new("the strategy `custom` is not supported").at(strategy.and_then(|n| n.span)),
            )),
            Some(other) => Err(carry(
                ConfigError::new(format!("unknown value `{other}`, expected one of `basic`, `custom`"))
                    .at(strategy.and_then(|n| n.span)),
            )),
        }
    }
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpServerConfig {
    address: SocketAddr,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    query_parameters: Vec<String>,
    auth: Option<ServerAuth>,
    #[serde(default = "yes")]
    strict_path: bool,
    #[serde(default = "root")]
    path: String,
    #[serde(default = "path_key")]
    path_key: OptionalPath,
    #[serde(default)]
    host_key: OptionalPath,
    #[serde(default)]
    method: HttpMethod,
    #[serde(default = "ok")]
    response_code: u16,
    tls: Option<TlsConfig>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    acknowledgements: Acknowledgements,
    log_namespace: Option<bool>,
    #[serde(default, rename = "keepalive")]
    _keepalive: Option<HttpKeepalive>,
}

/// How old connections may become; they may become as old as they like.
#[derive(Debug, Clone, Deserialize)]
struct HttpKeepalive {
    #[serde(rename = "max_connection_age_secs")]
    _max_connection_age_secs: Option<u64>,
    #[serde(rename = "max_connection_age_jitter_factor")]
    _max_connection_age_jitter_factor: Option<f64>,
}

fn yes() -> bool {
    true
}

fn root() -> String {
    "/".to_owned()
}

fn path_key() -> OptionalPath {
    OptionalPath::field("path")
}

fn ok() -> u16 {
    200
}

impl SourceConfig for HttpServerConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: self.decoding.kinds(),
        }]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Tcp(self.address.to_string())]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            let response = StatusCode::from_u16(self.response_code)
                .map_err(|_| BuildError::of("response_code", format!("{} is no status", self.response_code)))?;
            let schema = &cx.globals.log_schema;
            let origin = Origin {
                source: cx.id.clone(),
                source_type: "http_server",
                message: schema.message_key.clone(),
                timestamp: None,
                offset: None,
                fields: Vec::new(),
            };
            let taker = Taker {
                deserializer: self.decoding.build(schema)?,
                framing: self
                    .framing
                    .clone()
                    .unwrap_or_else(|| self.decoding.default_stream_framing()),
                config: self.clone(),
                origin: Arc::new(origin),
                response,
                cx: cx.clone(),
            };
            let server = Server::bind(self.address, self.tls.as_ref(), &cx).await?;
            Ok(Box::new(HttpServer { server, taker }) as Box<dyn Source>)
        })
    }
}

struct HttpServer {
    server: Server,
    taker: Taker,
}

impl Source for HttpServer {
    fn run(self: Box<Self>, out: SourceOut, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let acknowledges = self.taker.config.acknowledgements.is_enabled();
            let entrance = Entrance::new(out, &self.taker.cx, acknowledges);
            let taker = Arc::new(self.taker);
            let handler = move |request: Request<Incoming>, peer| -> BoxFuture<'static, Response<Body>> {
                let (entrance, taker) = (entrance.clone(), taker.clone());
                // Where nothing else is at the path, load balancers may ask here, as with Vector.
                let ping = request.method() == Method::GET && request.uri().path() == "/ping";
                Box::pin(async move {
                    match taker.take(request, peer, &entrance).await {
                        Ok(status) => text(status, ""),
                        Err(Unreadable(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _)) if ping => {
                            text(StatusCode::OK, "pong")
                        }
                        Err(Unreadable(status, why)) => {
                            let body = serde_json::json!({"code": status.as_u16(), "message": why});
                            let mut response = text(status, body.to_string());
                            let json = ::http::HeaderValue::from_static("application/json");
                            response.headers_mut().insert("content-type", json);
                            response
                        }
                    }
                })
            };
            self.server.serve(Arc::new(handler), shutdown).await;
            Ok(())
        })
    }
}

struct Taker {
    config: HttpServerConfig,
    deserializer: Deserializer,
    framing: FramingConfig,
    origin: Arc<Origin>,
    response: StatusCode,
    cx: Context,
}

impl Taker {
    async fn take(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        entrance: &Entrance,
    ) -> Result<StatusCode, Unreadable> {
        let telemetry: &Telemetry = &self.cx.telemetry;
        telemetry.counter("http_server_requests_received_total").add(1);
        let fail = |status, why: String| {
            telemetry.error("request_failed", "receiving");
            Unreadable(status, why)
        };
        let path = request.uri().path().to_owned();
        let right = match self.config.strict_path {
            true => path.trim_end_matches('/') == self.config.path.trim_end_matches('/'),
            false => below(&path, &self.config.path),
        };
        if !right {
            return Err(fail(StatusCode::NOT_FOUND, "Not Found".to_owned()));
        }
        if !self.config.method.is(request.method()) {
            return Err(fail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned()));
        }
        if let Some(ServerAuth(auth)) = &self.config.auth
            && !auth.admits(request.headers())
        {
            return Err(fail(StatusCode::UNAUTHORIZED, "Invalid username/password".to_owned()));
        }
        let (parts, incoming) = request.into_parts();
        let body = body::read(incoming).await.map_err(|e| fail(e.0, e.1))?;
        entrance.received(body.len());
        let body = body::decoded(&parts.headers, body).map_err(|e| fail(e.0, e.1))?;
        let now = Utc::now();
        let mut decoder = Decoder::new(&self.framing, self.deserializer.clone());
        let decoded = decoder.decode_message(body, &self.origin, now);
        if let Some(first) = decoded.errors.first() {
            telemetry.error("decoder_failed", "processing");
            return Err(fail(StatusCode::BAD_REQUEST, format!("Failed decoding body: {first}")));
        }
        if decoded.skipped > 0 {
            telemetry.error("frame_too_long", "processing");
            let text = format!("{} frames of a request were too long and are skipped", decoded.skipped);
            self.cx.log.say(Severity::Warn, text, Vec::new());
        }
        let mut batches = decoded.batches;
        let query: Vec<(String, String)> = parts.uri.query().map(pairs).unwrap_or_default();
        for batch in &mut batches {
            if let Batch::Logs(logs) = batch
                && logs.kind == EventKind::Log
            {
                for event in logs.to_events() {
                    self.enrich(event, &path, &parts.headers, &query, peer, now);
                }
            }
        }
        match entrance.push(batches.into_iter().map(|b| (0, b)).collect()).await {
            Ok(Delivery::Delivered) => Ok(self.response),
            Ok(Delivery::Errored) => Err(fail(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Error delivering contents to sink".to_owned(),
            )),
            Ok(Delivery::Rejected) => Err(fail(
                StatusCode::BAD_REQUEST,
                "Contents failed to deliver to sink".to_owned(),
            )),
            Err(closed) => Err(fail(StatusCode::SERVICE_UNAVAILABLE, closed.to_string())),
        }
    }

    fn enrich(
        &self,
        event: &mut qd_logs_model::LogEvent,
        path: &str,
        headers: &HeaderMap,
        query: &[(String, String)],
        peer: SocketAddr,
        now: DateTime<Utc>,
    ) {
        let key = self.config.path_key.0.as_ref();
        if_absent(&mut event.value, key, || Value::from(path));
        stamp(event, &self.cx.globals.log_schema, "http_server", now);
        if let Some(key) = &self.config.host_key.0 {
            event.value.insert(key, Value::from(peer.ip().to_string()));
        }
        add_headers(&mut event.value, &self.config.headers, headers);
        for pattern in &self.config.query_parameters {
            match pattern.contains('*') {
                true => {
                    for (name, value) in query.iter().filter(|(name, _)| matches(pattern, name)) {
                        set(&mut event.value, name, Value::from(value.as_str()));
                    }
                }
                false => {
                    let found = query.iter().rev().find(|(name, _)| name == pattern);
                    let value = found.map_or(Value::Null, |(_, v)| Value::from(v.as_str()));
                    set(&mut event.value, pattern, value);
                }
            }
        }
    }
}

fn set(value: &mut Value, name: &str, new: Value) {
    value.insert(&OwnedValuePath::single_field(name), new);
}

/// Whether a path is the base or lies below it.
fn below(path: &str, base: &str) -> bool {
    let base = base.trim_end_matches('/');
    path.strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The pairs of a query, with `%` escapes and `+` undone.
fn pairs(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(b) = rest.next() {
            let mut digits = rest.clone();
            let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            match (b, hex(digits.next()), hex(digits.next())) {
                (b'%', Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    rest = digits;
                }
                (b'+', ..) => out.push(b' '),
                _ => out.push(b),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (plain(k), plain(v)))
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::*;

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }

    #[test]
    fn patterns_and_paths() {
        assert!(matches("x-*", "x-a") && matches("*", "") && matches("a*b*c", "a1b2c") && matches("*b", "ab"));
        assert!(!matches("x-*", "y-a") && !matches("a*b", "a") && !matches("ab*b", "ab"));
        assert!(below("/a/b", "/a") && below("/a", "/a/") && below("/x", "/") && !below("/ab", "/a"));
    }

    #[test]
    fn queries_are_unescaped() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            pairs("a=1%202&b=x+y&&c&d=%zz%4"),
            [pair("a", "1 2"), pair("b", "x y"), pair("c", ""), pair("d", "%zz%4")]
        );
    }

    #[test]
    fn only_the_right_password_is_admitted() {
        let auth = Auth::Basic {
            user: "u".to_owned(),
            password: "p".to_owned(),
        };
        let with = |v: &str| {
            let mut h = HeaderMap::new();
            h.insert("authorization", v.parse().unwrap());
            h
        };
        assert!(auth.admits(&with(&basic("u", "p"))));
        assert!(!auth.admits(&with(&basic("u", "q"))));
        assert!(!auth.admits(&HeaderMap::new()));
    }
}
