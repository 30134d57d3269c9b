//! HAR 1.2: flows as a file that browsers and other tools open.
//!
//! Unknown keys of files of others are passed over; the times of what is written are milliseconds, as the format has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qd_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::flow::{Flow, Message};

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Har {
    /// What it holds.
    pub log: Log,
}

/// The log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `1.2`.
    pub version: String,
    /// Who wrote it.
    pub creator: Creator,
    /// The requests.
    pub entries: Vec<Entry>,
}

/// Who wrote a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Creator {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One request and its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Entry {
    /// When it began, in RFC 3339.
    pub started_date_time: String,
    /// How long it took, in milliseconds.
    pub time: f64,
    /// The request.
    pub request: Request,
    /// The response.
    pub response: Response,
    /// What a cache had; always empty here.
    pub cache: serde_json::Map<String, serde_json::Value>,
    /// Where the time went, in milliseconds; -1 for what is not known.
    pub timings: Timings,
    /// The endpoint's address.
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    pub server_ip_address: Option<String>,
    /// What was noted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Request {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// `HTTP/1.1`, `HTTP/2`.
    pub http_version: String,
    /// The cookies.
    pub cookies: Vec<Pair>,
    /// The header.
    pub headers: Vec<Pair>,
    /// The query.
    pub query_string: Vec<Pair>,
    /// The body, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_data: Option<PostData>,
    /// Bytes of the header; -1 for not known.
    pub headers_size: i64,
    /// Bytes of the body.
    pub body_size: i64,
}

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Response {
    /// The status; 0 if there was none.
    pub status: u16,
    /// The words after it.
    pub status_text: String,
    /// `HTTP/1.1`, `HTTP/2`.
    pub http_version: String,
    /// The cookies.
    pub cookies: Vec<Pair>,
    /// The header.
    pub headers: Vec<Pair>,
    /// The body.
    pub content: Content,
    /// Where it sends the client.
    #[serde(rename = "redirectURL")]
    pub redirect_url: String,
    /// Bytes of the header; -1 for not known.
    pub headers_size: i64,
    /// Bytes of the body as it was sent.
    pub body_size: i64,
}

/// A name and a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pair {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The body of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PostData {
    /// Its type.
    pub mime_type: String,
    /// Its fields, of forms.
    pub params: Vec<Pair>,
    /// Its text; in base64 if `encoding` says so.
    pub text: String,
    /// `base64` for bytes that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// The body of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Content {
    /// Bytes it had in all.
    pub size: i64,
    /// Its type.
    pub mime_type: String,
    /// What was kept of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `base64` for bytes that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// Where the time of an entry went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Sending the request.
    pub send: f64,
    /// Until the response began.
    pub wait: f64,
    /// Until it was over.
    pub receive: f64,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            send: 0.0,
            wait: -1.0,
            receive: 0.0,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pairs(lines: &[(String, Vec<u8>)]) -> Vec<Pair> {
    let pair = |(name, value): &(String, Vec<u8>)| Pair {
        name: name.clone(),
        value: text(value),
    };
    lines.iter().map(pair).collect()
}

/// A body as text, or in base64 if it is none.
fn encoded(body: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(body) {
        Ok(plain) => (plain.to_owned(), None),
        Err(_) => (STANDARD.encode(body), Some("base64".to_owned())),
    }
}

fn decoded(text: &str, encoding: Option<&str>) -> Vec<u8> {
    match encoding {
        // What is no base64 after all is taken as it is.
        Some("base64") => STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()),
        _ => text.as_bytes().to_vec(),
    }
}

fn split(text: &str, by: char) -> Vec<Pair> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Pair {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
        }
    };
    text.split(by)
        .filter(|part| !part.trim().is_empty())
        .map(pair)
        .collect()
}

fn cookies(message: &Message, name: &str) -> Vec<Pair> {
    let lines = message.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let line = |(_, value): &(String, Vec<u8>)| {
        let value = text(value);
        match name {
            // Of a Set-Cookie the first part is the cookie; what follows are its attributes.
            "set-cookie" => split(value.split(';').next().unwrap_or_default(), ';'),
            _ => split(&value, ';'),
        }
    };
    lines.flat_map(line).collect()
}

impl Har {
    /// The file of flows.
    pub fn of<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Har {
        Har {
            log: Log {
                version: "1.2".to_owned(),
                creator: Creator {
                    name: "Quarterdeck".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                },
                entries: flows.into_iter().map(entry).collect(),
            },
        }
    }

    /// The flows of a file, also of one that another program wrote. What HAR does not know (route, endpoint, tries) is empty.
    pub fn flows(&self) -> Vec<Flow> {
        self.log
            .entries
            .iter()
            .enumerate()
            .map(|(at, e)| flow(at as u64, e))
            .collect()
    }
}

fn version(flow: &Flow) -> String {
    match flow.spoken {
        crate::flow::Spoken::Http2 => "HTTP/2".to_owned(),
        _ => "HTTP/1.1".to_owned(),
    }
}

fn entry(flow: &Flow) -> Entry {
    let time = flow.duration.map_or(0.0, |d| d.as_secs_f64() * 1_000.0);
    let mime = |message: &Message| message.header("content-type").map(text).unwrap_or_default();
    let (body, encoding) = encoded(&flow.request.body);
    let post_data = (!flow.request.body.is_empty()).then(|| PostData {
        mime_type: mime(&flow.request),
        params: Vec::new(),
        text: body,
        encoding,
    });
    let (content, encoding) = encoded(&flow.response.body);
    let size = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Entry {
        started_date_time: flow.started.to_string(),
        time,
        request: Request {
            method: flow.method.clone(),
            url: flow.url().to_owned(),
            http_version: version(flow),
            cookies: cookies(&flow.request, "cookie"),
            headers: pairs(&flow.request.headers),
            query_string: flow
                .path
                .split_once('?')
                .map(|(_, q)| split(q, '&'))
                .unwrap_or_default(),
            post_data,
            headers_size: -1,
            body_size: size(flow.request.size),
        },
        response: Response {
            status: flow.status.unwrap_or(0),
            status_text: String::new(),
            http_version: version(flow),
            cookies: cookies(&flow.response, "set-cookie"),
            headers: pairs(&flow.response.headers),
            content: Content {
                size: size(flow.response.size),
                mime_type: mime(&flow.response),
                text: (!flow.response.body.is_empty()).then_some(content),
                encoding: encoding.filter(|_| !flow.response.body.is_empty()),
            },
            redirect_url: flow.response.header("location").map(text).unwrap_or_default(),
            headers_size: -1,
            body_size: size(flow.response.size),
        },
        cache: serde_json::Map::new(),
        timings: Timings {
            wait: time,
            ..Timings::default()
        },
        server_ip_address: flow
            .endpoint
            .parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip().to_string()),
        comment: flow.notes.comment.clone(),
    }
}

fn flow(id: u64, entry: &Entry) -> Flow {
    let (scheme, rest) = entry
        .request
        .url
        .split_once("://")
        .unwrap_or(("http", &entry.request.url));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let lines = |pairs: &[Pair]| {
        pairs
            .iter()
            .map(|p| (p.name.clone(), p.value.clone().into_bytes()))
            .collect()
    };
    let size = |n: i64, kept: usize| u64::try_from(n).unwrap_or(kept as u64);
    let post = entry.request.post_data.as_ref();
    let request = post
        .map(|p| decoded(&p.text, p.encoding.as_deref()))
        .unwrap_or_default();
    let content = &entry.response.content;
    let response = content
        .text
        .as_deref()
        .map(|t| decoded(t, content.encoding.as_deref()))
        .unwrap_or_default();
    let now = qd_core::Now::utc(Timestamp(0));
    let started = qd_core::When::parse(&entry.started_date_time, &now).map(|when| when.start(Timestamp(0)));
    let status = (entry.response.status > 0).then_some(entry.response.status);
    Flow {
        id,
        started: started.unwrap_or_default(),
        spoken: if entry.request.http_version.to_ascii_lowercase().contains("2")
            && !entry.request.http_version.contains("1.")
        {
            crate::flow::Spoken::Http2
        } else {
            crate::flow::Spoken::Http1
        },
        method: entry.request.method.clone(),
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        request: Message {
            headers: lines(&entry.request.headers),
            size: size(entry.request.body_size, request.len()),
            body: request,
            trailers: Vec::new(),
        },
        status,
        response: Message {
            headers: lines(&entry.response.headers),
            size: size(content.size, response.len()),
            body: response,
            trailers: Vec::new(),
        },
        duration: (entry.time.is_finite() && entry.time >= 0.0)
            .then(|| std::time::Duration::try_from_secs_f64(entry.time / 1_000.0).ok())
            .flatten(),
        class: status.map(qd_proxy_policy::class::of_http),
        notes: crate::flow::Notes {
            comment: entry.comment.clone(),
            ..Default::default()
        },
        ..Flow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    #[test]
    fn a_flow_comes_back_from_its_file() {
        let mut one = flow();
        one.response.body = vec![0xff, 0, 1];
        one.response
            .headers
            .push(("Set-Cookie".to_owned(), b"a=1; Path=/".to_vec()));
        let har = Har::of([&one]);
        let json = serde_json::to_string(&har).unwrap();
        let back: Har = serde_json::from_str(&json).unwrap();
        assert_eq!(back, har);
        let read = back.flows().remove(0);
        assert_eq!(
            (read.url(), read.status, read.duration),
            (one.url(), one.status, one.duration)
        );
        assert_eq!(
            (read.started, &read.request, &read.response),
            (one.started, &one.request, &one.response)
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let entry = &value["log"]["entries"][0];
        assert_eq!(value["log"]["version"], "1.2");
        assert_eq!(entry["request"]["queryString"][0]["name"], "id");
        assert_eq!(entry["response"]["content"]["encoding"], "base64");
        assert_eq!(entry["response"]["cookies"][0]["value"], "1");
        assert_eq!(entry["serverIPAddress"], "10.0.0.1");
        for key in ["startedDateTime", "time", "cache", "timings"] {
            assert!(!entry[key].is_null(), "{key}");
        }
    }

    #[test]
    fn files_of_others_are_read() {
        let text = r#"{"log":{"version":"1.2","pages":[],"entries":[{"_x":1,"startedDateTime":"2026-01-01T00:00:00Z",
            "request":{"method":"GET","url":"https://a.test?q=1","httpVersion":"h2","headers":[]},
            "response":{"status":0}},{}]}}"#;
        let flows = serde_json::from_str::<Har>(text).unwrap().flows();
        assert_eq!((flows[0].host.as_str(), flows[0].path.as_str()), ("a.test", "/?q=1"));
        assert_eq!((flows[0].status, flows[0].spoken), (None, crate::flow::Spoken::Http2));
        assert_eq!(flows.len(), 2);
    }
}
