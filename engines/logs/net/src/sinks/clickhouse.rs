//! The `clickhouse` sink: events as rows of JSON, by ClickHouse's HTTP interface.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use qd_logs_codecs::{Compression, Encoder, EncodingConfig, FramingEncoderConfig, SinkType, Template, Transformer};
use qd_logs_config::{
    ConfigError, Node, carry,
    common::{BatchConfig, RealtimeBySize, RequestConfig, TlsConfig},
};
use qd_logs_model::{Batch, BoxFuture, BuildError, BuiltSink, Context, InputKinds, SinkConfig};
use reqwest::{Request, Url};
use serde::{Deserialize, Deserializer};

use super::{
    Requests, confined,
    http::{Prepared, compressed},
    percent,
};
use crate::{
    http::{Answer, Auth, Client, Protocol, endpoint, standard},
    request::{Batcher, Driver, Intake, Service, Verdict, driver::Report, encoded},
};

/// How rows are written.
#[derive(Debug, Clone, Copy, Default)]
enum Format {
    #[default]
    EachRow,
    AsObject,
    AsString,
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "json_each_row" => Ok(Format::EachRow),
            "json_as_object" => Ok(Format::AsObject),
            "json_as_string" => Ok(Format::AsString),
            "arrow_stream" => Err(carry(ConfigError::new("the format `arrow_stream` is not supported"))),
            other => Err(carry(ConfigError::new(format!(
                "unknown value `{other}`, expected one of `json_each_row`, `json_as_object`, `json_as_string`"
            )))),
        }
    }
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::EachRow => "JSONEachRow",
            Format::AsObject => "JSONAsObject",
            Format::AsString => "JSONAsString",
        }
    }
}

/// Settings of asynchronous inserts; the server's if nothing is said.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AsyncInsert {
    enabled: Option<bool>,
    wait_for_processing: Option<bool>,
    wait_for_processing_timeout: Option<u64>,
    deduplicate: Option<bool>,
    max_data_size: Option<u64>,
    max_query_number: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuerySettings {
    async_insert_settings: AsyncInsert,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickhouseConfig {
    #[serde(alias = "host")]
    endpoint: String,
    table: Template,
    database: Option<Template>,
    #[serde(default)]
    format: Format,
    skip_unknown_fields: Option<bool>,
    #[serde(default)]
    date_time_best_effort: bool,
    #[serde(default)]
    insert_random_shard: bool,
    #[serde(default = "gzip")]
    compression: Compression,
    #[serde(default, deserialize_with = "transformer")]
    encoding: Transformer,
    /// Columnar formats, which are not supported.
    batch_encoding: Option<Node>,
    #[serde(default)]
    batch: BatchConfig<RealtimeBySize>,
    auth: Option<Auth>,
    #[serde(default)]
    request: RequestConfig,
    tls: Option<TlsConfig>,
    #[serde(default)]
    query_settings: QuerySettings,
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
}

fn gzip() -> Compression {
    Compression::GZIP
}

/// The `encoding` table of sinks whose codec is given.
pub(super) fn transformer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transformer, D::Error> {
    const KEYS: [&str; 3] = ["only_fields", "except_fields", "timestamp_format"];
    let node = Node::deserialize(deserializer)?;
    let unknown = node
        .entries()
        .unwrap_or_default()
        .iter()
        .find(|(k, _)| !KEYS.contains(&k.name.as_str()));
    if let Some((key, _)) = unknown {
        let error = ConfigError::new(format!(
            "unknown key `{}`, expected one of `only_fields`, `except_fields`, `timestamp_format`",
            key.name
        ))
        .suggest(qd_logs_config::nearest(&key.name, KEYS))
        .at(key.span);
        return Err(carry(error));
    }
    Transformer::read(&node).map_err(carry)
}

impl ClickhouseConfig {
    /// The part of the query that is the same for all tables.
    fn query(&self) -> String {
        let mut query = "input_format_import_nested_json=1".to_owned();
        let mut flag = |name: &str, value: Option<bool>| {
            if let Some(v) = value {
                query.push_str(&format!("&{name}={}", u8::from(v)));
            }
        };
        let a = &self.query_settings.async_insert_settings;
        flag("input_format_skip_unknown_fields", self.skip_unknown_fields);
        flag(
            "insert_distributed_one_random_shard",
            self.insert_random_shard.then_some(true),
        );
        flag("async_insert", a.enabled);
        flag("wait_for_async_insert", a.wait_for_processing);
        flag("async_insert_deduplicate", a.deduplicate);
        if self.date_time_best_effort {
            query.push_str("&date_time_input_format=best_effort");
        }
        let numbers = [
            ("wait_for_async_insert_timeout", a.wait_for_processing_timeout),
            ("async_insert_max_data_size", a.max_data_size),
            ("async_insert_max_query_number", a.max_query_number),
        ];
        for (name, value) in numbers {
            if let Some(v) = value {
                query.push_str(&format!("&{name}={v}"));
            }
        }
        // Identifiers as parameters need no quoting here (ClickHouse 21.12 and later).
        let insert = format!(
            "INSERT INTO {{database:Identifier}}.{{table:Identifier}} FORMAT {}",
            self.format.name()
        );
        query.push_str(&format!("&query={}", percent(&insert, false)));
        query
    }

    fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        if self.batch_encoding.is_some() {
            return Err(BuildError::of("batch_encoding", "`batch_encoding` is not supported"));
        }
        let free = self.dangerously_allow_unconfined_template_resolution;
        let mut base = endpoint(&self.endpoint, "endpoint", self.auth.as_ref())?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let default = || Template::parse("default").map_err(|e| BuildError::of("database", e.to_string()));
        let database = self.database.clone().map_or_else(default, Ok)?;
        let encoding = EncodingConfig {
            transformer: self.encoding.clone(),
            ..EncodingConfig::json()
        };
        let schema = &cx.globals.log_schema;
        let framing = FramingEncoderConfig::NewlineDelimited;
        let client = Client::new(self.tls.as_ref(), Protocol::Any, cx)?;
        let authorization = self.auth.as_ref().and_then(|a| a.header().ok());
        let intake = ClickhouseIntake {
            encoder: encoding.build(Some(&framing), SinkType::Message, schema)?,
            table: confined(&self.table, cx, free, "table")?,
            database: confined(&database, cx, free, "database")?,
            last: None,
        };
        let mut health = base.clone();
        health.set_query(Some("query=SELECT%201"));
        let service = ClickhouseService {
            client: client.clone(),
            base,
            query: self.query(),
            authorization: authorization.clone(),
            compression: self.compression,
            joiner: encoding.build(Some(&framing), SinkType::Message, schema)?,
        };
        let healthcheck = async move {
            let mut request = Request::new(Method::GET, health);
            if let Some(value) = authorization {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            let answer = client.send(request).await?;
            match answer.status.as_u16() {
                200 => Ok(()),
                _ => Err(format!("ClickHouse answers {}", answer.summary())),
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

impl SinkConfig for ClickhouseConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx) })
    }
}

type TableKey = Arc<(String, String)>;

struct ClickhouseIntake {
    encoder: Encoder,
    table: Template,
    database: Template,
    /// The key of the event before: most go to the same table.
    last: Option<TableKey>,
}

impl Intake<ClickhouseService> for ClickhouseIntake {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<TableKey, Bytes>, report: &Report) {
        let events = encoded::EncodedEvents::of(&mut self.encoder, &batch, report);
        for (i, bytes) in events.iter() {
            let render =
                |event: qd_logs_codecs::EventRef<'_>| Ok((self.database.render(event)?, self.table.render(event)?));
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

struct ClickhouseService {
    client: Client,
    base: Url,
    query: String,
    authorization: Option<HeaderValue>,
    compression: Compression,
    joiner: Encoder,
}

impl Service for ClickhouseService {
    type Key = TableKey;
    type Entry = Bytes;
    type Request = Prepared;

    fn prepare(&self, key: &TableKey, entries: &[Bytes]) -> Result<Prepared, String> {
        let mut plain = Vec::new();
        self.joiner
            .join(entries.iter().map(|e| &**e), &mut plain)
            .map_err(|e| e.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if let Some(value) = self.compression.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        if let Some(value) = &self.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        let mut url = self.base.clone();
        let (database, table) = &**key;
        url.set_query(Some(&format!(
            "{}&param_database={}&param_table={}",
            self.query,
            percent(database, false),
            percent(table, false)
        )));
        Ok(Prepared {
            url,
            method: Method::POST,
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
        Box::pin(async move { verdict(self.client.send(request.request()).await) })
    }
}

/// Old servers answer 500 to data that will never fit: codes 53 (type mismatch) and 117 (incorrect data).
fn verdict(answer: Result<Answer, String>) -> Verdict {
    match &answer {
        Ok(a) if a.status.as_u16() == 500 && (a.body.starts_with(b"Code: 117") || a.body.starts_with(b"Code: 53")) => {
            Verdict::Refused(a.summary())
        }
        _ => standard(answer),
    }
}
