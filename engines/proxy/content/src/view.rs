//! Choosing how a body is shown.

use crate::decode::{Stopped, decode};
use crate::out::{Full, Limits, Out};
use crate::redact::Rules;
use crate::{form, json, msgpack, multipart, proto, text};

/// How a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// JSON laid out.
    Json,
    /// A form's fields.
    Form,
    /// The parts of a multipart body.
    Multipart,
    /// gRPC's messages.
    Grpc,
    /// One message of protocol buffers.
    Protobuf,
    /// MessagePack laid out.
    Msgpack,
    /// HTML or XML in lines.
    Markup,
    /// Text.
    Text,
    /// Bytes.
    Hex,
}

impl Kind {
    /// All of them, in the order in which a pane offers them.
    pub const ALL: [Kind; 9] = [
        Kind::Json,
        Kind::Form,
        Kind::Multipart,
        Kind::Grpc,
        Kind::Protobuf,
        Kind::Msgpack,
        Kind::Markup,
        Kind::Text,
        Kind::Hex,
    ];

    /// Its name in the pane.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Json => "JSON",
            Kind::Form => "form",
            Kind::Multipart => "multipart",
            Kind::Grpc => "gRPC",
            Kind::Protobuf => "protobuf",
            Kind::Msgpack => "msgpack",
            Kind::Markup => "HTML",
            Kind::Text => "text",
            Kind::Hex => "hex",
        }
    }

    /// What a content type says, if it says anything.
    pub fn of_type(content_type: &str) -> Option<Kind> {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let (kind, sub) = essence.split_once('/')?;
        match (kind, sub) {
            ("multipart", _) => Some(Kind::Multipart),
            (_, "json" | "x-ndjson" | "jsonl" | "json-seq") => Some(Kind::Json),
            (_, sub) if sub.ends_with("+json") => Some(Kind::Json),
            (_, "x-www-form-urlencoded") => Some(Kind::Form),
            (_, sub) if sub == "grpc" || sub.starts_with("grpc+") => Some(Kind::Grpc),
            (_, sub) if sub == "grpc-web" || sub.starts_with("grpc-web+") => Some(Kind::Grpc),
            (_, "protobuf" | "x-protobuf" | "vnd.google.protobuf") => Some(Kind::Protobuf),
            (_, "msgpack" | "x-msgpack" | "vnd.msgpack") => Some(Kind::Msgpack),
            (_, "html" | "xml" | "xhtml+xml") => Some(Kind::Markup),
            (_, sub) if sub.ends_with("+xml") => Some(Kind::Markup),
            ("text", _) | (_, "javascript" | "graphql" | "yaml" | "toml") => Some(Kind::Text),
            _ => None,
        }
    }
}

/// What was kept of a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Body<'a> {
    /// Its bytes as they were sent.
    pub bytes: &'a [u8],
    /// `content-type`.
    pub content_type: &'a str,
    /// `content-encoding`.
    pub content_encoding: &'a str,
    /// `grpc-encoding`.
    pub grpc_encoding: &'a str,
}

/// A body as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// How it is shown.
    pub kind: Kind,
    /// The lines: no control characters in them, secrets covered.
    pub lines: Vec<String>,
    /// What is to be said of it: that it was cut, is broken, or could not be shown as it was asked for.
    pub notes: Vec<String>,
}

/// How deep parts may hold parts.
const MAX_PARTS_DEPTH: usize = 4;

/// Shows a body: as `choice`, or by its type and by what it looks like.
pub fn show(body: &Body<'_>, choice: Option<Kind>, rules: &Rules, limits: Limits) -> View {
    let decoded = decode(body.bytes, body.content_encoding, limits.decoded);
    let mut notes = Vec::new();
    match &decoded.stopped {
        None => {}
        Some(Stopped::Limit) => notes.push(format!("cut: more than {} bytes when decoded", limits.decoded)),
        Some(Stopped::Broken(why)) => notes.push(format!("the encoding ends early: {}", crate::escape(why))),
        Some(Stopped::Unknown(name)) => {
            notes.push(format!("`{}` is no encoding that is known here", crate::escape(name)))
        }
    }
    let limit = limits.decoded.min(decoded.bytes.len());
    let inner = Body {
        bytes: decoded.bytes.get(..limit).unwrap_or_default(),
        content_encoding: "",
        ..*body
    };
    let mut out = Out::new(limits, rules);
    let shown = part(&inner, choice.or_else(|| Kind::of_type(body.content_type)), 0, &mut out);
    let kind = match shown {
        Ok(kind) => kind,
        Err((kind, Full)) => {
            notes.push(format!("cut: more than {} lines", limits.lines));
            kind
        }
    };
    if let Some(choice) = choice.filter(|choice| *choice != kind) {
        notes.push(format!("this is no {}", choice.name()));
    }
    View {
        kind,
        lines: out.finish(),
        notes,
    }
}

/// What failed, with what was being shown.
type Cut = (Kind, Full);

impl From<Cut> for Full {
    fn from((_, full): Cut) -> Full {
        full
    }
}

/// Shows a body or a part of one, as `kind` if it can be, and says how it was shown.
pub(crate) fn part(body: &Body<'_>, kind: Option<Kind>, depth: usize, out: &mut Out<'_>) -> Result<Kind, Cut> {
    let limit = body.bytes.len().max(1 << 20);
    if let Some(kind) = kind {
        let cut = |full| (kind, full);
        let done = match kind {
            Kind::Json => as_json(body, out).map_err(cut)?,
            Kind::Form => form::show(body.bytes, out).map(|()| true).map_err(cut)?,
            Kind::Multipart => {
                depth < MAX_PARTS_DEPTH && multipart::show(body.bytes, body.content_type, depth, out).map_err(cut)?
            }
            Kind::Grpc => proto::show_grpc(body.bytes, body.grpc_encoding, limit, out).map_err(cut)?,
            Kind::Protobuf => proto::show(body.bytes, out).map_err(cut)?,
            Kind::Msgpack => msgpack::show(body.bytes, out).map_err(cut)?,
            Kind::Markup => text::show_markup(&text::decoded(body.bytes, body.content_type), out)
                .map(|()| true)
                .map_err(cut)?,
            // Text that is none is better in hex, unless it was asked for by name of a charset.
            Kind::Text => {
                let plain = text::decoded(body.bytes, body.content_type);
                let fits = text::is_printable(&plain);
                if fits {
                    text::show(&plain, out).map_err(cut)?;
                }
                fits
            }
            Kind::Hex => text::show_hex(body.bytes, out).map(|()| true).map_err(cut)?,
        };
        if done || body.bytes.is_empty() {
            return Ok(kind);
        }
    }
    guess(body, kind, out)
}

fn as_json(body: &Body<'_>, out: &mut Out<'_>) -> Result<bool, Full> {
    let plain = text::decoded(body.bytes, body.content_type);
    // Looked at before it is written: half of it laid out and then something else would be no help.
    let mut probe = Out::new(
        Limits {
            lines: usize::MAX,
            ..Limits::default()
        },
        out.rules,
    );
    match json::show(&plain, &mut probe) {
        Ok(()) => match json::show(&plain, out) {
            Ok(()) | Err(json::NotJson::Other) => Ok(true),
            Err(json::NotJson::Full) => Err(Full),
        },
        Err(_) => Ok(false),
    }
}

/// By what it looks like.
fn guess(body: &Body<'_>, tried: Option<Kind>, out: &mut Out<'_>) -> Result<Kind, Cut> {
    let plain = text::decoded(body.bytes, body.content_type);
    if text::is_printable(&plain) && std::str::from_utf8(body.bytes).is_ok() {
        let start = plain.trim_start();
        if tried != Some(Kind::Json)
            && start.starts_with(['{', '['])
            && as_json(body, out).map_err(|f| (Kind::Json, f))?
        {
            return Ok(Kind::Json);
        }
        if start.starts_with("<!") || start.starts_with("<?xml") || start.starts_with("<html") {
            text::show_markup(&plain, out).map_err(|f| (Kind::Markup, f))?;
            return Ok(Kind::Markup);
        }
        text::show(&plain, out).map_err(|f| (Kind::Text, f))?;
        return Ok(Kind::Text);
    }
    text::show_hex(body.bytes, out).map_err(|f| (Kind::Hex, f))?;
    Ok(Kind::Hex)
}
