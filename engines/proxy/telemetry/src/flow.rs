//! A flow: one request with its answer, as the pane keeps and filters it.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use qd_core::filter::FieldType;
use qd_core::{Bytes, Fields, Record, Schema, Severity, SourceId, Timestamp, ValueRef};
use qd_proxy_policy::{Class, GrpcCode};

/// Bytes of one body that a filter looks at.
const SEARCHED: usize = 64 * 1024;

/// The fields that flows and access records have, for checking and completing filters.
pub fn schema() -> Schema {
    Schema::records()
        .with("method", FieldType::Keyword, "GET, POST, …")
        .with("path", FieldType::Keyword, "the path with its query")
        .with("host", FieldType::Keyword, "the host asked for")
        .with("url", FieldType::Text, "scheme, host and path")
        .with("status", FieldType::Number, "the status of the response")
        .with(
            "duration",
            FieldType::Duration,
            "from the request's head to the response's end",
        )
        .with("size", FieldType::Bytes, "of the response's body")
        .with("request.size", FieldType::Bytes, "of the request's body")
        .with("route", FieldType::Keyword, "the route it took")
        .with("endpoint", FieldType::Keyword, "where it was served")
        .with("grpc.status", FieldType::Number, "the code of gRPC, 0 to 16")
        .with("body", FieldType::Text, "of the response, else of the request")
        .with("request.body", FieldType::Text, "of the request")
        .with("response.body", FieldType::Text, "of the response")
        .with("request.header", FieldType::Text, "all lines of the request's header")
        .with("response.header", FieldType::Text, "all lines of the response's header")
        .with("type", FieldType::Keyword, "the content type of the response")
        .with("retry", FieldType::Number, "tries beyond the first")
        .with("tls", FieldType::Keyword, "the version of TLS")
        .with("src", FieldType::Keyword, "the client's address")
        .with("dst", FieldType::Keyword, "the endpoint's address")
        .with("error", FieldType::Keyword, "why the proxy answered by itself")
        .with("class", FieldType::Keyword, "success or failure")
        .with("protocol", FieldType::Keyword, "http1, http2, websocket, tcp")
        .with("marked", FieldType::Bool, "marked in the pane")
        .with("comment", FieldType::Text, "what was noted about it")
        .with("replay", FieldType::Bool, "sent by the pane")
        .open()
}

/// The header and what was kept of the body of a request or a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The lines of the header in their order, names as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The trailers.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// What was kept of the body, as it was sent (encoded as `content-encoding` says).
    pub body: Vec<u8>,
    /// Bytes the body had in all; more than were kept if it was cut.
    pub size: u64,
}

impl Message {
    /// The first line of a name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let lines = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_slice())
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.headers.iter().chain(&self.trailers) {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(&String::from_utf8_lossy(value));
            text.push('\n');
        }
        text
    }
}

/// What a flow is spoken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spoken {
    /// HTTP/1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// WebSocket, after its handshake.
    WebSocket,
    /// Bytes.
    Tcp,
}

impl Spoken {
    /// The word of the field `protocol`.
    pub fn word(self) -> &'static str {
        match self {
            Spoken::Http1 => "http1",
            Spoken::Http2 => "http2",
            Spoken::WebSocket => "websocket",
            Spoken::Tcp => "tcp",
        }
    }
}

/// What was done with a flow in the pane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether it is marked.
    pub marked: bool,
    /// What was noted.
    pub comment: String,
    /// Whether the pane sent it.
    pub replay: bool,
}

/// One request and its answer.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Its number, never given twice.
    pub id: u64,
    /// When the request's head was there.
    pub started: Timestamp,
    /// What it is spoken in.
    pub spoken: Spoken,
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The host with its port, as it was asked for.
    pub host: String,
    /// The path with its query.
    pub path: String,
    /// The request.
    pub request: Message,
    /// The status; `None` until there is a response.
    pub status: Option<u16>,
    /// The response.
    pub response: Message,
    /// From the request's head to the response's end; `None` while it goes on.
    pub duration: Option<Duration>,
    /// The route it took.
    pub route: String,
    /// The endpoint that served it; empty for none.
    pub endpoint: String,
    /// The code of gRPC.
    pub grpc: Option<GrpcCode>,
    /// Success or failure; `None` while it goes on.
    pub class: Option<Class>,
    /// Tries beyond the first.
    pub retries: u32,
    /// The version of TLS; `None` without.
    pub tls: Option<String>,
    /// The client.
    pub src: Option<SocketAddr>,
    /// Why the proxy answered by itself, in a word; empty when it did not.
    pub error: String,
    /// What was done with it in the pane.
    pub notes: Notes,
    /// Texts that filters ask for, made when one does. What changes the flow takes a new one: see [`Flow::changed`].
    pub texts: Texts,
}

/// Texts made of a flow.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    request: OnceLock<String>,
    response: OnceLock<String>,
    url: OnceLock<String>,
    src: OnceLock<String>,
    request_body: OnceLock<String>,
    response_body: OnceLock<String>,
}

impl Flow {
    /// The flow was changed: texts that were made of it are made again.
    pub fn changed(&mut self) {
        self.texts = Texts::default();
    }

    /// Scheme, host and path.
    pub fn url(&self) -> &str {
        self.texts
            .url
            .get_or_init(|| format!("{}://{}{}", self.scheme, self.host, self.path))
    }

    fn body<'a>(&self, message: &'a Message, text: &'a OnceLock<String>) -> &'a str {
        text.get_or_init(|| {
            let kept = message.body.get(..message.body.len().min(SEARCHED)).unwrap_or_default();
            String::from_utf8_lossy(kept).into_owned()
        })
    }

    /// The line of the access log. Its fields are those of [`schema`]; headers named in `headers` come as `header.NAME`.
    pub fn record(&self, source: &SourceId, at: qd_core::Instant, headers: &[String]) -> Record {
        let severity = match (self.class, self.status) {
            (Some(Class::Failure), _) => Severity::Error,
            (_, Some(status)) if status >= 400 => Severity::Warn,
            _ => Severity::Info,
        };
        let text = |text: &str| (!text.is_empty()).then(|| qd_core::Value::from(text));
        let number = |n: u64| Some(qd_core::Value::from(n));
        let fields: [(&'static str, Option<qd_core::Value>); 16] = [
            ("method", text(&self.method)),
            ("path", text(&self.path)),
            ("host", text(&self.host)),
            ("status", self.status.map(Into::into)),
            ("duration", self.duration.map(Into::into)),
            ("size", Some(Bytes(self.response.size).into())),
            ("request.size", Some(Bytes(self.request.size).into())),
            ("route", text(&self.route)),
            ("endpoint", text(&self.endpoint)),
            ("grpc.status", self.grpc.map(|g| g.0.into())),
            ("retry", number(self.retries.into())),
            ("tls", self.tls.as_deref().and_then(text)),
            ("src", self.src.map(|s| s.to_string().into())),
            ("dst", text(&self.endpoint)),
            ("error", text(&self.error)),
            ("protocol", text(self.spoken.word())),
        ];
        let mut record = Record::build(source, at, severity);
        for (name, value) in fields {
            if let Some(value) = value {
                record = record.field(name, value);
            }
        }
        for name in headers {
            if let Some(value) = self.request.header(name) {
                let value = String::from_utf8_lossy(value).into_owned();
                record = record.field(format!("header.{}", name.to_ascii_lowercase()), value);
            }
        }
        let status = self.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
        record.body(format!("{} {} {status}", self.method, self.url())).finish()
    }
}

impl Fields for Flow {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        let text = |text: &'_ str| -> Option<()> { (!text.is_empty()).then_some(()) };
        macro_rules! some_text {
            ($text:expr) => {{
                text($text)?;
                Some(ValueRef::Str($text))
            }};
        }
        let bytes = |value: Option<&'_ [u8]>| -> bool { value.is_some() };
        match name {
            "time" => Some(ValueRef::Time(self.started)),
            "level" | "severity" => Some(ValueRef::Severity(match self.class {
                Some(Class::Failure) => Severity::Error,
                _ => Severity::Info,
            })),
            "method" => some_text!(&self.method),
            "path" => some_text!(&self.path),
            "host" => some_text!(&self.host),
            "url" => Some(ValueRef::Str(self.url())),
            "status" => self.status.map(|s| ValueRef::Uint(s.into())),
            "duration" => self.duration.map(ValueRef::Duration),
            "size" => self.status.map(|_| ValueRef::Bytes(Bytes(self.response.size))),
            "request.size" => Some(ValueRef::Bytes(Bytes(self.request.size))),
            "route" => some_text!(&self.route),
            "endpoint" | "dst" => some_text!(&self.endpoint),
            "grpc.status" => self.grpc.map(|g| ValueRef::Uint(g.0.into())),
            "retry" => Some(ValueRef::Uint(self.retries.into())),
            "tls" => self.tls.as_deref().map(ValueRef::Str),
            "src" => {
                let src = self.src?;
                Some(ValueRef::Str(self.texts.src.get_or_init(|| src.to_string())))
            }
            "error" => some_text!(&self.error),
            "class" => self.class.map(|c| ValueRef::Str(c.word())),
            "protocol" => Some(ValueRef::Str(self.spoken.word())),
            "marked" => Some(ValueRef::Bool(self.notes.marked)),
            "comment" => some_text!(&self.notes.comment),
            "replay" => Some(ValueRef::Bool(self.notes.replay)),
            "request.body" => some_text!(self.body(&self.request, &self.texts.request_body)),
            "response.body" => some_text!(self.body(&self.response, &self.texts.response_body)),
            "body" if self.response.body.is_empty() => self.field("request.body"),
            "body" => self.field("response.body"),
            "request.header" => Some(ValueRef::Str(self.texts.request.get_or_init(|| self.request.lines()))),
            "response.header" => {
                self.status?;
                Some(ValueRef::Str(self.texts.response.get_or_init(|| self.response.lines())))
            }
            "type" => self.response.header("content-type").map(ValueRef::Blob),
            "request.type" => self.request.header("content-type").map(ValueRef::Blob),
            other => {
                let (message, name) = match other.split_once("header.")? {
                    ("", name) => (None, name),
                    ("request.", name) => (Some(&self.request), name),
                    ("response.", name) => (Some(&self.response), name),
                    _ => return None,
                };
                let value = match message {
                    Some(message) => message.header(name),
                    None if bytes(self.request.header(name)) => self.request.header(name),
                    None => self.response.header(name),
                };
                value.map(ValueRef::Blob)
            }
        }
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        found(self.url())
            || found(&self.method)
            || found(self.texts.request.get_or_init(|| self.request.lines()))
            || found(self.texts.response.get_or_init(|| self.response.lines()))
            || found(self.body(&self.request, &self.texts.request_body))
            || found(self.body(&self.response, &self.texts.response_body))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use qd_core::{Filter, Now};

    pub(crate) fn flow() -> Flow {
        Flow {
            id: 1,
            started: Timestamp(1_763_942_400_000_000_000),
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            host: "shop.example".to_owned(),
            path: "/api/cart?id=7".to_owned(),
            request: Message {
                headers: vec![
                    ("Content-Type".to_owned(), b"application/json".to_vec()),
                    ("X-User".to_owned(), b"ann".to_vec()),
                ],
                body: br#"{"item":"tea"}"#.to_vec(),
                size: 14,
                ..Message::default()
            },
            status: Some(503),
            response: Message {
                headers: vec![("content-type".to_owned(), b"text/html; charset=utf-8".to_vec())],
                body: b"<p>sorry</p>".to_vec(),
                size: 4_096,
                ..Message::default()
            },
            duration: Some(Duration::from_micros(1_500)),
            route: "shop".to_owned(),
            endpoint: "10.0.0.1:80".to_owned(),
            class: Some(Class::Failure),
            retries: 1,
            tls: Some("TLSv1.3".to_owned()),
            src: "192.0.2.7:55555".parse().ok(),
            ..Flow::default()
        }
    }

    fn hits(filter: &str) -> bool {
        Filter::new(filter, &schema(), &Now::utc(Timestamp(0)))
            .unwrap()
            .matches(&flow())
    }

    #[test]
    fn filters_ask_for_every_field() {
        for yes in [
            "method:post",
            "path:/api/*",
            "host:shop.example",
            "status:>=500",
            "duration:>1ms",
            "size:4k..",
            "route:shop",
            "endpoint:10.0.0.1:80",
            "-grpc.status:*",
            "header.x-user:ann",
            "header.content-type:application/json",
            "response.header.content-type:*html*",
            "body:sorry",
            "request.body:tea",
            "retry:1",
            "tls:TLSv1.3",
            "src:192.0.2.7*",
            "level:error",
            "tea",
            "class:failure",
        ] {
            assert!(hits(yes), "{yes}");
        }
        for no in [
            "status:200",
            "size:>5k",
            "marked:yes",
            "header.none:*",
            "error:*",
            "coffee",
        ] {
            assert!(!hits(no), "{no}");
        }
    }

    #[test]
    fn the_access_record_has_typed_fields() {
        let at = qd_core::Instant::default();
        let record = flow().record(&SourceId::new("proxy"), at, &["X-User".to_owned()]);
        let filter =
            "status:503 duration:1.5ms size:4KiB request.size:14 header.x-user:ann dst:10.0.0.1:80 level:error";
        let filter = Filter::new(filter, &schema(), &Now::utc(Timestamp(0))).unwrap();
        assert!(filter.matches(&record));
        assert_eq!(record.body(), "POST https://shop.example/api/cart?id=7 503");
    }
}
