//! The source `demo_logs`: made-up lines in well-known formats, to try a pipeline with.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use qd_logs_codecs::{DecodingConfig, FramingConfig};
use qd_logs_config::{ConfigError, Node};
use qd_logs_model::{
    BoxFuture, BuildError, ComponentError, Context, Entry, Origin, OutputPort, Shutdown, Source, SourceConfig,
    SourceOut, Value,
};
use rand::{Rng, RngExt};
use serde::Deserialize;
use vrl::path::OwnedValuePath;

use super::{
    keys::legacy_namespace,
    stream::{Codec, Received, message, origin},
};

/// Lines that are made at once when there is no interval.
const BURST: u64 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    ApacheCommon,
    ApacheError,
    Syslog,
    BsdSyslog,
    Json,
    Shuffle,
}

fn interval() -> f64 {
    1.0
}

/// What stands beside `format`. Vector takes further keys in silence here, and so does this.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default = "interval", alias = "batch_interval")]
    interval: f64,
    count: Option<u64>,
    format: String,
    #[serde(default)]
    sequence: bool,
    #[serde(default)]
    lines: Option<Vec<String>>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug)]
struct DemoConfig {
    config: Config,
    format: Format,
}

const FORMATS: [(&str, Format); 8] = [
    ("shuffle", Format::Shuffle),
    ("apache_common", Format::ApacheCommon),
    ("apache_error", Format::ApacheError),
    ("syslog", Format::Syslog),
    ("rfc5424", Format::Syslog),
    ("bsd_syslog", Format::BsdSyslog),
    ("rfc3164", Format::BsdSyslog),
    ("json", Format::Json),
];

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "demo_logs",
        about: "makes lines up, to try a pipeline with",
        parse: |node: &Node| {
            let config: Config = qd_logs_config::decode(node)?;
            let at = node.get("format").and_then(|n| n.span);
            let Some((_, format)) = FORMATS.iter().find(|(name, _)| *name == config.format) else {
                let names: Vec<&str> = FORMATS.iter().map(|(n, _)| *n).collect();
                let text = format!(
                    "unknown value `{}`, expected one of `{}`",
                    config.format,
                    names.join("`, `")
                );
                return Err(ConfigError::new(text)
                    .at(at)
                    .suggest(qd_logs_config::nearest(&config.format, names))
                    .within("format"));
            };
            if *format == Format::Shuffle && config.lines.is_none() {
                return Err(ConfigError::new("missing key `lines`").at(node.span));
            }
            let sane = config.interval.is_finite() && (0.0..1e9).contains(&config.interval);
            if !sane {
                let text = "the interval must be a number of seconds, not less than 0";
                return Err(ConfigError::new(text).at(node.span).within("interval"));
            }
            let format = *format;
            Ok(Box::new(DemoConfig { config, format }))
        },
    }
}

impl SourceConfig for DemoConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: self.config.decoding.kinds(),
        }]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            let c = &self.config;
            legacy_namespace(c.log_namespace)?;
            let lines = c.lines.clone().unwrap_or_default();
            if self.format == Format::Shuffle && lines.is_empty() {
                return Err(BuildError::of(
                    "lines",
                    "the format `shuffle` needs lines to choose from",
                ));
            }
            let field = OwnedValuePath::single_field;
            let fields = vec![
                (field("service"), Value::from("vector")),
                (field("host"), Value::from("localhost")),
            ];
            Ok(Box::new(Demo {
                maker: Maker {
                    format: self.format,
                    sequence: c.sequence,
                    lines,
                },
                interval: Duration::from_secs_f64(c.interval),
                count: c.count.unwrap_or(u64::MAX),
                plain: c.framing.is_none() && c.decoding == DecodingConfig::Bytes,
                codec: Codec::message(&cx, c.framing.as_ref(), &c.decoding)?,
                burst: Codec::stream(&cx, None, &DecodingConfig::Bytes, None)?,
                origin: origin(&cx, "demo_logs", fields),
                received: Received::new(&cx, "none"),
            }) as Box<dyn Source>)
        })
    }
}

struct Demo {
    maker: Maker,
    interval: Duration,
    count: u64,
    /// Lines need no decoding of their own.
    plain: bool,
    codec: Codec,
    burst: Codec,
    origin: Arc<Origin>,
    received: Received,
}

impl Source for Demo {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let mut timer = (!self.interval.is_zero()).then(|| tokio::time::interval(self.interval));
            let mut n = 0;
            while n < self.count && !shutdown.is_set() {
                if let Some(timer) = &mut timer {
                    tokio::select! {
                        _ = timer.tick() => {}
                        () = shutdown.wait() => break,
                    }
                }
                let sent = if timer.is_none() && self.plain {
                    let many = BURST.min(self.count - n);
                    let mut text = BytesMut::new();
                    for i in n..n + many {
                        // A line break in a given line would make two events of it.
                        let line = self.maker.line(i, Utc::now()).replace('\n', " ");
                        text.extend_from_slice(line.as_bytes());
                        text.extend_from_slice(b"\n");
                    }
                    n += many;
                    tokio::task::yield_now().await;
                    message(&self.burst, text.freeze(), &self.origin, &self.received, &out, |_| {}).await
                } else {
                    let line = self.maker.line(n, Utc::now());
                    n += 1;
                    message(
                        &self.codec,
                        Bytes::from(line),
                        &self.origin,
                        &self.received,
                        &out,
                        |_| {},
                    )
                    .await
                };
                if sent.is_err() {
                    break;
                }
            }
            Ok(())
        })
    }
}

struct Maker {
    format: Format,
    sequence: bool,
    lines: Vec<String>,
}

const USERS: [&str; 8] = ["ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "radia"];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "HEAD"];
const PATHS: [&str; 8] = [
    "/",
    "/login",
    "/api/v1/orders",
    "/api/v1/orders/4711",
    "/assets/app.js",
    "/healthz",
    "/search?q=lamp",
    "/cart",
];
const STATUSES: [u16; 8] = [200, 200, 200, 201, 304, 404, 500, 503];
const HOSTS: [&str; 5] = ["web-1", "web-2", "db-1", "cache-3", "edge-7"];
const PROGRAMS: [&str; 5] = ["sshd", "cron", "postfix", "nginx", "systemd"];
const LEVELS: [&str; 6] = ["debug", "info", "notice", "warn", "error", "crit"];
const EVENTS: [&str; 8] = [
    "connection closed by peer",
    "retrying after a timeout",
    "cache is full, evicting the oldest entries",
    "user logged in",
    "configuration was reloaded",
    "disk is 91 % full",
    "request took longer than 2 s",
    "certificate expires in 13 days",
];

fn one<T: Copy>(rng: &mut impl Rng, of: &[T]) -> Option<T> {
    (!of.is_empty())
        .then(|| rng.random_range(0..of.len()))
        .and_then(|i| of.get(i).copied())
}

fn word(rng: &mut impl Rng, of: &[&'static str]) -> &'static str {
    one(rng, of).unwrap_or_default()
}

fn address(rng: &mut impl Rng) -> String {
    // Of the networks for documentation (RFC 5737).
    let net = word(rng, &["192.0.2", "198.51.100", "203.0.113"]);
    format!("{net}.{}", rng.random_range(1..255))
}

impl Maker {
    fn line(&self, n: u64, now: DateTime<Utc>) -> String {
        let r = &mut rand::rng();
        match self.format {
            Format::Shuffle => {
                let at = r.random_range(0..self.lines.len().max(1));
                let line = self.lines.get(at).map_or("", String::as_str);
                if self.sequence {
                    format!("{n} {line}")
                } else {
                    line.to_owned()
                }
            }
            Format::ApacheCommon => format!(
                "{} - {} [{}] \"{} {} HTTP/1.1\" {} {}",
                address(r),
                word(r, &USERS),
                now.format("%d/%b/%Y:%H:%M:%S %z"),
                word(r, &METHODS),
                word(r, &PATHS),
                one(r, &STATUSES).unwrap_or(200),
                r.random_range(40..50_000)
            ),
            Format::ApacheError => format!(
                "[{}] [{}:{}] [pid {}:tid {}] [client {}:{}] {}",
                now.format("%a %b %d %H:%M:%S%.6f %Y"),
                word(r, &["core", "proxy", "ssl", "authz_core"]),
                word(r, &LEVELS),
                r.random_range(100..9999),
                r.random_range(100..9999),
                address(r),
                r.random_range(1024..65535),
                word(r, &EVENTS)
            ),
            Format::Syslog => format!(
                "<{}>1 {} {} {} {} ID{} - {}",
                r.random_range(0..192),
                now.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
                word(r, &HOSTS),
                word(r, &PROGRAMS),
                r.random_range(100..9999),
                r.random_range(1..999),
                word(r, &EVENTS)
            ),
            Format::BsdSyslog => format!(
                "<{}>{} {} {}[{}]: {}",
                r.random_range(0..192),
                now.format("%b %e %H:%M:%S"),
                word(r, &HOSTS),
                word(r, &PROGRAMS),
                r.random_range(100..9999),
                word(r, &EVENTS)
            ),
            Format::Json => serde_json::json!({
                "host": address(r),
                "user-identifier": word(r, &USERS),
                "datetime": now.format("%d/%b/%Y:%H:%M:%S").to_string(),
                "method": word(r, &METHODS),
                "request": word(r, &PATHS),
                "protocol": "HTTP/1.1",
                "status": one(r, &STATUSES).unwrap_or(200).to_string(),
                "bytes": r.random_range(40..50_000),
                "referer": format!("https://example.org{}", word(r, &PATHS)),
            })
            .to_string(),
        }
    }
}
