//! The `aws_s3` sink: events as objects.
//!
//! An object's key is the rendered prefix, the time at which the object was made, a random UUID and the extension. A
//! request that is repeated has the same key: it overwrites what the first attempt may have stored.

mod auth;
mod options;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use chrono::{FixedOffset, Utc, format::StrftimeItems};
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::{HttpRequest, HttpRequestBody},
};
use qd_logs_codecs::{
    Compression, Encoder, EncodingConfig, EventRef, FramingEncoderConfig, SinkType, Template, timezone_offset,
};
use qd_logs_config::{
    Node,
    common::{BatchConfig, BulkBySize, RequestConfig, TlsConfig},
};
use qd_logs_model::{Batch, BoxFuture, BuildError, BuiltSink, Context, InputKinds, SinkConfig};
use reqwest::{Request, Url};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write, sync::Arc};
use uuid::Uuid;

use super::{Requests, confined, http::compressed, percent, warn_ignored};
use crate::{
    http::{Answer, Client, Protocol, RetryStrategy, endpoint},
    request::{Batcher, Driver, Intake, Service, Verdict, driver::Report, encoded},
};

use auth::{AwsAuth, Credentials};
use options::{CannedAcl, ServerSideEncryption, StorageClass};

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct S3Config {
    bucket: String,
    #[serde(default = "key_prefix")]
    key_prefix: String,
    #[serde(default = "filename_time_format")]
    filename_time_format: String,
    #[serde(default = "yes")]
    filename_append_uuid: bool,
    filename_extension: Option<String>,
    acl: Option<CannedAcl>,
    grant_full_control: Option<String>,
    grant_read: Option<String>,
    grant_read_acp: Option<String>,
    grant_write_acp: Option<String>,
    server_side_encryption: Option<ServerSideEncryption>,
    ssekms_key_id: Option<String>,
    #[serde(default)]
    storage_class: StorageClass,
    tags: Option<BTreeMap<String, String>>,
    content_encoding: Option<String>,
    content_type: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    encoding: EncodingConfig,
    framing: Option<FramingEncoderConfig>,
    /// Columnar formats, which are not supported.
    batch_encoding: Option<Node>,
    #[serde(default = "gzip")]
    compression: Compression,
    #[serde(default)]
    batch: BatchConfig<BulkBySize>,
    #[serde(default)]
    request: RequestConfig,
    tls: Option<TlsConfig>,
    #[serde(default)]
    auth: AwsAuth,
    timezone: Option<String>,
    #[serde(default = "yes")]
    force_path_style: bool,
    #[serde(default)]
    retry_strategy: RetryStrategy,
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
}

fn key_prefix() -> String {
    "date=%F".to_owned()
}

fn filename_time_format() -> String {
    "%s".to_owned()
}

fn yes() -> bool {
    true
}

fn gzip() -> Compression {
    Compression::GZIP
}

impl S3Config {
    fn headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        let mut set = |key: &str, name: &'static str, value: Option<&str>| -> Result<(), BuildError> {
            let Some(value) = value else { return Ok(()) };
            let value = HeaderValue::try_from(value)
                .map_err(|_| BuildError::of(key, format!("`{value}` is no value of a header")))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        let tags = self.tags.as_ref().map(|tags| {
            let pairs = tags
                .iter()
                .map(|(k, v)| format!("{}={}", percent(k, false), percent(v, false)));
            pairs.collect::<Vec<_>>().join("&")
        });
        let encoding = self.content_encoding.as_deref().or(self.compression.content_encoding());
        set(
            "content_encoding",
            "content-encoding",
            encoding.filter(|e| !e.is_empty()),
        )?;
        set(
            "content_type",
            "content-type",
            Some(self.content_type.as_deref().unwrap_or("text/x-log")),
        )?;
        set("acl", "x-amz-acl", self.acl.map(CannedAcl::name))?;
        set(
            "grant_full_control",
            "x-amz-grant-full-control",
            self.grant_full_control.as_deref(),
        )?;
        set("grant_read", "x-amz-grant-read", self.grant_read.as_deref())?;
        set("grant_read_acp", "x-amz-grant-read-acp", self.grant_read_acp.as_deref())?;
        set(
            "grant_write_acp",
            "x-amz-grant-write-acp",
            self.grant_write_acp.as_deref(),
        )?;
        set(
            "server_side_encryption",
            "x-amz-server-side-encryption",
            self.server_side_encryption.map(ServerSideEncryption::name),
        )?;
        set("storage_class", "x-amz-storage-class", Some(self.storage_class.name()))?;
        set("tags", "x-amz-tagging", tags.as_deref())?;
        Ok(headers)
    }

    /// The address of the bucket, with `/` at its end.
    fn bucket_url(&self, region: &str) -> Result<Url, BuildError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if self.bucket.is_empty() || !self.bucket.bytes().all(plain) {
            return Err(BuildError::of(
                "bucket",
                format!("`{}` is no name of a bucket", self.bucket),
            ));
        }
        let base = match &self.endpoint {
            Some(text) => endpoint(text, "endpoint", None)?,
            None => endpoint(&format!("https://s3.{region}.amazonaws.com"), "region", None)?,
        };
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/').to_owned();
        match self.force_path_style {
            true => url.set_path(&format!("{path}/{}/", self.bucket)),
            false => {
                let host = format!("{}.{}", self.bucket, base.host_str().unwrap_or_default());
                url.set_host(Some(&host))
                    .map_err(|e| BuildError::of("bucket", format!("`{host}` is no host: {e}")))?;
                url.set_path(&format!("{path}/"));
            }
        }
        Ok(url)
    }

    fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        warn_ignored(cx, &self.encoding);
        if self.batch_encoding.is_some() {
            return Err(BuildError::of("batch_encoding", "`batch_encoding` is not supported"));
        }
        let region = self.auth.region().or(self.region.as_deref());
        let region = match (region, &self.endpoint) {
            (Some(r), _) => r.to_owned(),
            (None, Some(_)) => std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
            (None, None) => std::env::var("AWS_REGION")
                .or_else(|_| std::env::var("AWS_DEFAULT_REGION"))
                .map_err(|_| BuildError::of("region", "`region` or `endpoint` must be set"))?,
        };
        let free = self.dangerously_allow_unconfined_template_resolution;
        let offset = match self.timezone.as_ref().or(cx.globals.timezone.as_ref()) {
            Some(name) => Some(
                timezone_offset(name)
                    .ok_or_else(|| BuildError::of("timezone", format!("`{name}` is no time zone that is known")))?,
            ),
            None => None,
        };
        let template = |text: &str, key: &str| -> Result<Template, BuildError> {
            let parsed = Template::parse(text).map_err(|e| BuildError::of(key, e.to_string()))?;
            Ok(confined(&parsed, cx, free, key)?.with_offset(offset))
        };
        if StrftimeItems::new(&self.filename_time_format).parse().is_err() {
            return Err(BuildError::of(
                "filename_time_format",
                format!(
                    "`{}` has a specifier that strftime does not know",
                    self.filename_time_format
                ),
            ));
        }
        let schema = &cx.globals.log_schema;
        let encoder = || self.encoding.build(self.framing.as_ref(), SinkType::Message, schema);
        let intake = S3Intake {
            encoder: encoder()?,
            prefix: template(&self.key_prefix, "key_prefix")?,
            kms_key: self
                .ssekms_key_id
                .as_deref()
                .map(|t| template(t, "ssekms_key_id"))
                .transpose()?,
            last: None,
        };
        let extension = self.filename_extension.clone();
        let service = S3Service {
            client: Client::new(self.tls.as_ref(), Protocol::Any, cx)?,
            bucket: self.bucket_url(&region)?,
            credentials: self.auth.credentials(&self.bucket, &region)?,
            region,
            headers: self.headers()?,
            time_format: self.filename_time_format.clone(),
            append_uuid: self.filename_append_uuid,
            extension: extension.unwrap_or_else(|| self.compression.extension().to_owned()),
            offset,
            compression: self.compression,
            joiner: encoder()?,
            retry: self.retry_strategy.clone(),
        };
        let probe = service.head_bucket();
        Ok(BuiltSink {
            sink: Box::new(Requests {
                driver: Driver::new(service, (&self.request).into(), self.batch.settings(), cx),
                intake,
            }),
            healthcheck: probe,
        })
    }
}

impl SinkConfig for S3Config {
    fn input(&self) -> InputKinds {
        self.encoding.input()
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx) })
    }
}

/// The prefix of an object's key, and the id of the key it is encrypted with.
type S3Key = Arc<(String, Option<String>)>;

struct S3Intake {
    encoder: Encoder,
    prefix: Template,
    kms_key: Option<Template>,
    /// The key of the event before: most events share theirs.
    last: Option<S3Key>,
}

impl Intake<S3Service> for S3Intake {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<S3Key, Bytes>, report: &Report) {
        let events = encoded::EncodedEvents::of(&mut self.encoder, &batch, report);
        for (i, bytes) in events.iter() {
            let render = |event: EventRef<'_>| {
                let kms_key = self.kms_key.as_ref().map(|t| t.render(event)).transpose()?;
                Ok((self.prefix.render(event)?, kms_key))
            };
            let Some(key) = encoded::rendered(&batch, i, report, render) else {
                continue;
            };
            let key = match &self.last {
                Some(last) if **last == key => last.clone(),
                _ => self.last.insert(Arc::new(key)).clone(),
            };
            let len = bytes.len();
            batcher.add(&key, bytes, len);
        }
    }
}

struct S3Service {
    client: Client,
    bucket: Url,
    region: String,
    credentials: Credentials,
    headers: HeaderMap,
    time_format: String,
    append_uuid: bool,
    extension: String,
    offset: Option<FixedOffset>,
    compression: Compression,
    joiner: Encoder,
    retry: RetryStrategy,
}

/// An object to be stored.
struct Object {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl S3Service {
    fn name(&self, prefix: &str) -> String {
        let now = Utc::now();
        let mut name = prefix.to_owned();
        // The format was tried when the sink was made; a failure leaves the time out.
        let _written = match self.offset {
            Some(o) => write!(name, "{}", now.with_timezone(&o).format(&self.time_format)),
            None => write!(name, "{}", now.format(&self.time_format)),
        };
        if self.append_uuid {
            let _never_fails = write!(name, "-{}", Uuid::new_v4().hyphenated());
        }
        if !self.extension.is_empty() {
            name.push('.');
            name.push_str(&self.extension);
        }
        name
    }

    fn head_bucket(&self) -> BoxFuture<'static, Result<(), String>> {
        let (client, credentials) = (self.client.clone(), self.credentials.clone());
        let (mut url, region) = (self.bucket.clone(), self.region.clone());
        Box::pin(async move {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
            let credential = credentials.get().await?;
            let request = signed(Method::HEAD, &url, HeaderMap::new(), Bytes::new(), &credential, &region)?;
            match client.send(request).await?.status.as_u16() {
                200..=299 => Ok(()),
                403 => Err("the credentials are not valid for the bucket".to_owned()),
                404 => Err("there is no such bucket".to_owned()),
                status => Err(format!("S3 answers {status}")),
            }
        })
    }

    fn verdict(&self, answer: Result<Answer, String>) -> Verdict {
        let answer = match answer {
            Ok(a) => a,
            Err(why) => return self.retry.no_answer(why),
        };
        let says = |word: &[u8]| memchr::memmem::find(&answer.body, word).is_some();
        let transient = answer.headers.contains_key("x-amz-retry-after")
            || (answer.status.is_client_error()
                && (says(b"RequestTimeout") || says(b"RequestExpired") || says(b"ThrottlingException")));
        if answer.status == StatusCode::BAD_REQUEST && says(b"EntityTooLarge") {
            return Verdict::TooLarge(answer.summary());
        }
        let verdict = match &self.retry {
            RetryStrategy::Custom(codes) if !codes.contains(&answer.status.as_u16()) => {
                RetryStrategy::Default.verdict(&answer)
            }
            retry => retry.verdict(&answer),
        };
        match verdict {
            Verdict::Refused(why) if transient && self.retry != RetryStrategy::None => Verdict::Retry {
                why,
                after: None,
                overloaded: true,
            },
            verdict => verdict,
        }
    }
}

/// A request with its signature (AWS Signature Version 4).
fn signed(
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: Bytes,
    credential: &AwsCredential,
    region: &str,
) -> Result<Request, String> {
    let mut to_sign: HttpRequest = ::http::Request::new(HttpRequestBody::from(body.clone()));
    *to_sign.method_mut() = method.clone();
    *to_sign.uri_mut() = url.as_str().parse().map_err(|e| format!("the address is none: {e}"))?;
    *to_sign.headers_mut() = headers;
    AwsAuthorizer::new(credential, "s3", region)
        .try_authorize(&mut to_sign, None)
        .map_err(|e| format!("the request can't be signed: {e}"))?;
    let mut request = Request::new(method, url.clone());
    *request.headers_mut() = to_sign.headers().clone();
    request.headers_mut().remove(header::HOST);
    *request.body_mut() = Some(body.into());
    Ok(request)
}

impl Service for S3Service {
    type Key = S3Key;
    type Entry = Bytes;
    type Request = Object;

    fn prepare(&self, key: &S3Key, entries: &[Bytes]) -> Result<Object, String> {
        let mut plain = Vec::new();
        self.joiner
            .join(entries.iter().map(|e| &**e), &mut plain)
            .map_err(|e| e.to_string())?;
        let mut headers = self.headers.clone();
        if let Some(id) = &key.1 {
            let value = HeaderValue::try_from(id.as_str()).map_err(|_| format!("`{id}` is no id of a key"))?;
            headers.insert("x-amz-server-side-encryption-aws-kms-key-id", value);
        }
        let mut url = self.bucket.clone();
        let name = self.name(&key.0);
        url.set_path(&format!(
            "{}{}",
            self.bucket.path(),
            percent(name.trim_start_matches('/'), true)
        ));
        Ok(Object {
            url,
            headers,
            body: compressed(self.compression, plain)?,
        })
    }

    fn letter(&self, entry: &Bytes) -> Bytes {
        entry.clone()
    }

    fn body_len(&self, request: &Object) -> usize {
        request.body.len()
    }

    fn send<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let credential = match self.credentials.get().await {
                Ok(c) => c,
                Err(why) => return Verdict::unreachable(why),
            };
            let (headers, body) = (object.headers.clone(), object.body.clone());
            match signed(Method::PUT, &object.url, headers, body, &credential, &self.region) {
                Ok(request) => self.verdict(self.client.send(request).await),
                Err(why) => Verdict::Refused(why),
            }
        })
    }
}
