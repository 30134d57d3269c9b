//! The `http` sink: events in the bodies of requests.

use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use indexmap::IndexMap;
use qd_logs_codecs::{
    Compression, Encoder, EncodingConfig, FramingEncoderConfig, RenderError, SinkType, Template,
    encode::SerializerConfig,
};
use qd_logs_config::common::{BatchConfig, RealtimeBySize, RequestConfig, TlsConfig};
use qd_logs_model::{Batch, BoxFuture, BuildError, BuiltSink, Context, InputKinds, SinkConfig};
use reqwest::{Request, Url};
use serde::Deserialize;

use super::{Requests, confined, warn_ignored};
use crate::{
    http::{Auth, Client, Protocol, RetryStrategy, endpoint},
    request::{Batcher, Driver, Intake, Service, Verdict, driver::Report, encoded},
};

/// The method of a request.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HttpMethod {
    Get,
    Head,
    #[default]
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
}

impl From<HttpMethod> for Method {
    fn from(m: HttpMethod) -> Method {
        match m {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Delete => Method::DELETE,
            HttpMethod::Options => Method::OPTIONS,
            HttpMethod::Trace => Method::TRACE,
            HttpMethod::Patch => Method::PATCH,
        }
    }
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpConfig {
    /// Where to; fields of the event may be in its path.
    uri: Template,
    #[serde(default)]
    method: HttpMethod,
    auth: Option<Auth>,
    #[serde(default)]
    compression: Compression,
    encoding: EncodingConfig,
    framing: Option<FramingEncoderConfig>,
    /// What stands before the list of events, only for JSON with commas.
    #[serde(default)]
    payload_prefix: String,
    /// What stands after it.
    #[serde(default)]
    payload_suffix: String,
    #[serde(default)]
    batch: BatchConfig<RealtimeBySize>,
    #[serde(default)]
    request: RequestConfig,
    tls: Option<TlsConfig>,
    #[serde(default)]
    retry_strategy: RetryStrategy,
    /// The older way to give headers.
    #[serde(default)]
    headers: Option<IndexMap<String, String>>,
    /// Lets events choose any host and path.
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
}

impl HttpConfig {
    fn framing(&self) -> FramingEncoderConfig {
        let default = || self.encoding.default_framing(SinkType::Message);
        self.framing.clone().unwrap_or_else(default)
    }

    fn content_type(&self) -> Option<&'static str> {
        match (&self.encoding.codec, self.framing()) {
            (SerializerConfig::RawMessage | SerializerConfig::Text { .. }, _) => Some("text/plain"),
            (SerializerConfig::Json { .. }, FramingEncoderConfig::NewlineDelimited) => Some("application/x-ndjson"),
            (SerializerConfig::Json { .. }, FramingEncoderConfig::CharacterDelimited(b',')) => Some("application/json"),
            _ => None,
        }
    }

    fn wraps(&self) -> bool {
        matches!(self.encoding.codec, SerializerConfig::Json { .. })
            && self.framing() == FramingEncoderConfig::CharacterDelimited(b',')
    }

    fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        warn_ignored(cx, &self.encoding);
        let free = self.dangerously_allow_unconfined_template_resolution;
        let uri = confined(&self.uri, cx, free, "uri")?;
        if self.uri.source().is_empty() {
            return Err(BuildError::of("uri", "`uri` must not be empty"));
        }
        if uri.is_static() {
            if !uri.source().contains("://") {
                return Err(BuildError::of("uri", "`uri` must have a scheme and a host"));
            }
            endpoint(uri.source(), "uri", self.auth.as_ref())?;
        }
        if self.wraps() {
            let whole = format!("{}{{}}{}", self.payload_prefix, self.payload_suffix);
            if serde_json::from_str::<serde_json::Value>(&whole).is_err() {
                return Err(BuildError::of(
                    "payload_prefix",
                    "`payload_prefix` and `payload_suffix` must make valid JSON around the events",
                ));
            }
        }
        let mut fixed = Vec::new();
        let mut templates = Vec::new();
        for (name, value) in self.headers.iter().flatten().chain(&self.request.headers) {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| BuildError::of("request.headers", format!("`{name}` is no name of a header")))?;
            if header == header::AUTHORIZATION && self.auth.is_some() {
                return Err(BuildError::of(
                    "request.headers",
                    "the header `Authorization` can't be set beside `auth`",
                ));
            }
            let template =
                Template::parse(value).map_err(|e| BuildError::of("request.headers", format!("`{name}`: {e}")))?;
            match template.is_static() {
                true => {
                    let value = HeaderValue::try_from(value.as_str())
                        .map_err(|_| BuildError::of("request.headers", format!("`{name}` has a bad value")))?;
                    fixed.push((header, value));
                }
                false => templates.push((header, confined(&template, cx, free, "request.headers")?)),
            }
        }
        let schema = &cx.globals.log_schema;
        let encoder = || self.encoding.build(self.framing.as_ref(), SinkType::Message, schema);
        let client = Client::new(self.tls.as_ref(), Protocol::Any, cx)?;
        let authorization = self.auth.as_ref().and_then(|a| a.header().ok());
        let service = HttpService {
            client: client.clone(),
            method: self.method.into(),
            fixed,
            authorization: authorization.clone(),
            content_type: self.content_type(),
            compression: self.compression,
            joiner: encoder()?,
            wrap: self
                .wraps()
                .then(|| (self.payload_prefix.clone(), self.payload_suffix.clone())),
            retry: self.retry_strategy.clone(),
        };
        let intake = HttpIntake {
            encoder: encoder()?,
            constant: match uri.is_static() && templates.is_empty() {
                true => Some(Arc::new(HttpKey {
                    uri: uri.source().to_owned(),
                    headers: Vec::new(),
                })),
                false => None,
            },
            headers: templates,
            uri,
        };
        let probe = match intake.uri.is_static() {
            true => Some(endpoint(intake.uri.source(), "uri", None)?),
            false => None,
        };
        let healthcheck = async move {
            // Without a constant address there is nobody to ask.
            let Some(url) = probe else { return Ok(()) };
            let mut request = Request::new(Method::HEAD, url);
            if let Some(value) = authorization {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            let answer = client.send(request).await?;
            match answer.status.as_u16() {
                200 => Ok(()),
                _ => Err(format!("the receiver answers {}", answer.status)),
            }
        };
        Ok(BuiltSink {
            sink: Box::new(Requests {
                driver: Driver::new(service, (&self.request).into(), self.batch.settings(), cx),
                intake,
            }),
            healthcheck: Box::pin(healthcheck),
        })
    }
}

impl SinkConfig for HttpConfig {
    fn input(&self) -> InputKinds {
        self.encoding.input()
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx) })
    }
}

/// What the events of a request have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HttpKey {
    uri: String,
    headers: Vec<(HeaderName, String)>,
}

struct HttpIntake {
    encoder: Encoder,
    uri: Template,
    headers: Vec<(HeaderName, Template)>,
    constant: Option<Arc<HttpKey>>,
}

impl Intake<HttpService> for HttpIntake {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<Arc<HttpKey>, Bytes>, report: &Report) {
        let events = encoded::EncodedEvents::of(&mut self.encoder, &batch, report);
        for (i, bytes) in events.iter() {
            let len = bytes.len();
            if let Some(key) = &self.constant {
                batcher.add(key, bytes, len);
                continue;
            }
            let key = encoded::rendered(&batch, i, report, |event| {
                let header = |(name, t): &(HeaderName, Template)| Ok((name.clone(), t.render(event)?));
                let headers: Result<_, RenderError> = self.headers.iter().map(header).collect();
                Ok(HttpKey {
                    uri: self.uri.render(event)?,
                    headers: headers?,
                })
            });
            if let Some(key) = key {
                batcher.add(&Arc::new(key), bytes, len);
            }
        }
    }
}

struct HttpService {
    client: Client,
    method: Method,
    fixed: Vec<(HeaderName, HeaderValue)>,
    authorization: Option<HeaderValue>,
    content_type: Option<&'static str>,
    compression: Compression,
    joiner: Encoder,
    wrap: Option<(String, String)>,
    retry: RetryStrategy,
}

/// A request that can be sent many times.
pub(super) struct Prepared {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: ::http::HeaderMap,
    pub(super) body: Bytes,
}

impl Prepared {
    pub(super) fn request(&self) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        *request.body_mut() = Some(self.body.clone().into());
        request
    }
}

impl Service for HttpService {
    type Key = Arc<HttpKey>;
    type Entry = Bytes;
    type Request = Prepared;

    fn prepare(&self, key: &Arc<HttpKey>, entries: &[Bytes]) -> Result<Prepared, String> {
        let mut plain = Vec::new();
        if let Some((prefix, _)) = &self.wrap {
            plain.extend_from_slice(prefix.as_bytes());
        }
        self.joiner
            .join(entries.iter().map(|e| &**e), &mut plain)
            .map_err(|e| e.to_string())?;
        if let Some((_, suffix)) = &self.wrap {
            plain.extend_from_slice(suffix.as_bytes());
        }
        let mut headers = ::http::HeaderMap::new();
        if let Some(value) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        if let Some(value) = self.compression.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        for (name, value) in &self.fixed {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &key.headers {
            let value = HeaderValue::try_from(value.as_str())
                .map_err(|_| format!("the header `{name}` has a value with control characters"))?;
            headers.insert(name.clone(), value);
        }
        if let Some(value) = &self.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        Ok(Prepared {
            url: endpoint(&key.uri, "uri", None).map_err(|e| e.message)?,
            method: self.method.clone(),
            headers,
            body: compressed(self.compression, plain)?,
        })
    }

    fn letter(&self, entry: &Bytes) -> Bytes {
        entry.clone()
    }

    fn body_len(&self, request: &Prepared) -> usize {
        request.body.len()
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            match self.client.send(request.request()).await {
                Ok(answer) => self.retry.verdict(&answer),
                Err(why) => self.retry.no_answer(why),
            }
        })
    }
}

/// A body as it goes over the wire.
pub(super) fn compressed(compression: Compression, plain: Vec<u8>) -> Result<Bytes, String> {
    if compression == Compression::None {
        return Ok(plain.into());
    }
    let mut out = Vec::with_capacity(plain.len() / 4);
    compression
        .compress(&plain, &mut out)
        .map_err(|e| format!("compression failed: {e}"))?;
    Ok(out.into())
}
