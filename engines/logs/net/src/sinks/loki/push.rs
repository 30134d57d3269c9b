//! The bodies of push requests: JSON, and the protobuf messages of Loki's `push.proto`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

/// An event of a stream.
#[derive(Debug)]
pub(super) struct Entry {
    /// The stream, sorted by name.
    pub(super) labels: Vec<(String, String)>,
    /// Nanoseconds since the epoch.
    pub(super) time: i64,
    /// The text.
    pub(super) line: Bytes,
    /// What else is known of the event.
    pub(super) metadata: Vec<(String, String)>,
}

impl Entry {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let pairs = |p: &[(String, String)]| p.iter().map(|(a, b)| a.len() + b.len() + 4).sum::<usize>();
        self.line.len() + pairs(&self.labels) + pairs(&self.metadata) + 20
    }
}

/// A stream's labels and its entries.
type Grouped<'a> = (&'a [(String, String)], Vec<&'a Entry>);

/// The entries by stream, in order of time.
fn streams(entries: &[Entry]) -> Vec<Grouped<'_>> {
    let mut streams: BTreeMap<&[(String, String)], Vec<&Entry>> = BTreeMap::new();
    for e in entries {
        streams.entry(&e.labels).or_default().push(e);
    }
    for entries in streams.values_mut() {
        entries.sort_by_key(|e| e.time);
    }
    streams.into_iter().collect()
}

/// The body as JSON.
pub(super) fn json(entries: &[Entry]) -> Vec<u8> {
    let object = |pairs: &[(String, String)]| -> serde_json::Map<String, serde_json::Value> {
        pairs.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect()
    };
    let streams: Vec<_> = streams(entries)
        .into_iter()
        .map(|(labels, entries)| {
            let values: Vec<_> = entries
                .into_iter()
                .map(|e| {
                    serde_json::json!([
                        e.time.to_string(),
                        String::from_utf8_lossy(&e.line),
                        object(&e.metadata)
                    ])
                })
                .collect();
            serde_json::json!({"stream": object(labels), "values": values})
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string().into_bytes()
}

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<StreamEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamEntry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<crate::wire::Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The body as protobuf.
pub(super) fn protobuf(entries: &[Entry]) -> Vec<u8> {
    let entry = |e: &Entry| StreamEntry {
        timestamp: Some(crate::wire::Timestamp::from_nanos(e.time)),
        line: String::from_utf8_lossy(&e.line).into_owned(),
        metadata: e
            .metadata
            .iter()
            .map(|(name, value)| Pair {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
    };
    PushRequest {
        streams: streams(entries)
            .into_iter()
            .map(|(labels, entries)| Stream {
                labels: selector(labels),
                entries: entries.into_iter().map(entry).collect(),
            })
            .collect(),
    }
    .encode_to_vec()
}

/// Labels as LogQL writes them: `{a="1", b="2"}`.
fn selector(labels: &[(String, String)]) -> String {
    let mut out = "{".to_owned();
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(app: &str, time: i64, line: &'static str) -> Entry {
        Entry {
            labels: vec![("app".to_owned(), app.to_owned())],
            time,
            line: Bytes::from_static(line.as_bytes()),
            metadata: vec![("id".to_owned(), line.to_owned())],
        }
    }

    #[test]
    fn streams_are_grouped_and_in_order_of_time() {
        let entries = [entry("b", 2, "x"), entry("a", 3, "y"), entry("b", 1, "z")];
        let body: serde_json::Value = serde_json::from_slice(&json(&entries)).unwrap();
        let wanted = serde_json::json!({"streams": [
            {"stream": {"app": "a"}, "values": [["3", "y", {"id": "y"}]]},
            {"stream": {"app": "b"}, "values": [["1", "z", {"id": "z"}], ["2", "x", {"id": "x"}]]},
        ]});
        assert_eq!(body, wanted);
        let push = PushRequest::decode(&*protobuf(&entries)).unwrap();
        let lines: Vec<_> = push
            .streams
            .iter()
            .flat_map(|s| s.entries.iter().map(|e| (s.labels.as_str(), e.line.as_str())))
            .collect();
        assert_eq!(
            lines,
            [("{app=\"a\"}", "y"), ("{app=\"b\"}", "z"), ("{app=\"b\"}", "x")]
        );
    }

    #[test]
    fn labels_are_quoted() {
        let labels = [("a".to_owned(), "x\"\\\n\u{1}é".to_owned())];
        assert_eq!(selector(&labels), "{a=\"x\\\"\\\\\\n\\u0001é\"}");
    }
}
