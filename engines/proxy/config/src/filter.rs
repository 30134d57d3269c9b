//! What is done to a request or its response on the way.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::names::{HeaderName, Hostname};
use crate::path::match_form;
use crate::route::BackendRef;

/// The value of a header field: without control characters, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderValue, D::Error> {
        let node = qd_tree::Node::deserialize(deserializer)?;
        let text = crate::value::text(&node).map_err(qd_tree::carry)?;
        if text.len() > 8_192 || text.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(D::Error::custom(
                "a header's value has at most 8 KiB and no control characters",
            ));
        }
        Ok(HeaderValue(text.trim_matches([' ', '\t']).to_owned()))
    }
}

/// A change of header fields: those set are replaced, those added come beside others, those removed go; in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdit {
    /// Replaced.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Removed.
    pub remove: Vec<HeaderName>,
}

/// Fields that say how a message is framed or where its connection goes: they are not the configuration's to change.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl<'de> Deserialize<'de> for HeaderEdit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderEdit, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            name: HeaderName,
            value: HeaderValue,
        }
        #[derive(Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        struct Table {
            set: Vec<Pair>,
            add: Vec<Pair>,
            remove: Vec<HeaderName>,
        }
        let table = Table::deserialize(deserializer)?;
        let pairs = |list: Vec<Pair>| list.into_iter().map(|p| (p.name, p.value)).collect::<Vec<_>>();
        let edit = HeaderEdit {
            set: pairs(table.set),
            add: pairs(table.add),
            remove: table.remove,
        };
        let names = || {
            edit.set
                .iter()
                .chain(&edit.add)
                .map(|(name, _)| name)
                .chain(&edit.remove)
        };
        if let Some(name) = names().find(|name| FRAMING.contains(&name.as_str())) {
            return Err(D::Error::custom(format!(
                "`{name}` belongs to the connection and cannot be changed"
            )));
        }
        for (at, name) in names().enumerate() {
            if names().skip(at + 1).any(|other| other == name) {
                return Err(D::Error::custom(format!("the header `{name}` is changed twice")));
            }
        }
        Ok(edit)
    }
}

/// How a path is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathEdit {
    /// All of it; the query stays.
    Full(String),
    /// The prefix that matched.
    Prefix(String),
}

impl<'de> Deserialize<'de> for PathEdit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PathEdit, D::Error> {
        #[derive(Deserialize)]
        enum Kind {
            ReplaceFullPath,
            ReplacePrefixMatch,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            #[serde(rename = "type")]
            kind: Kind,
            #[serde(default)]
            replace_full_path: Option<String>,
            #[serde(default)]
            replace_prefix_match: Option<String>,
        }
        let table = Table::deserialize(deserializer)?;
        let path = |text: String| {
            let plain = text.bytes().all(|b| b > b' ' && b < 0x7f && b != b'?' && b != b'#');
            if (text.is_empty() || text.starts_with('/')) && plain {
                Ok(text)
            } else {
                Err(D::Error::custom("a path begins with `/` and has no blank, `?` or `#`"))
            }
        };
        match (table.kind, table.replace_full_path, table.replace_prefix_match) {
            (Kind::ReplaceFullPath, Some(full), None) => path(full).map(PathEdit::Full),
            (Kind::ReplacePrefixMatch, None, Some(prefix)) => path(prefix).map(PathEdit::Prefix),
            (Kind::ReplaceFullPath, ..) => Err(D::Error::custom(
                "`ReplaceFullPath` needs `replaceFullPath` and nothing else",
            )),
            (Kind::ReplacePrefixMatch, ..) => Err(D::Error::custom(
                "`ReplacePrefixMatch` needs `replacePrefixMatch` and nothing else",
            )),
        }
    }
}

impl PathEdit {
    /// The path to send instead of `path`, in which a prefix of `matched` bytes fitted the rule.
    pub fn apply(&self, path: &[u8], matched: usize) -> Vec<u8> {
        let whole = match self {
            PathEdit::Full(full) => full.as_bytes().to_vec(),
            PathEdit::Prefix(prefix) => {
                // The prefix was found in this form, so that is where it ends.
                let form = match_form(path);
                let rest = form.get(matched..).unwrap_or_default();
                let mut new = prefix.trim_end_matches('/').as_bytes().to_vec();
                new.extend_from_slice(rest);
                new
            }
        };
        if whole.first() == Some(&b'/') {
            whole
        } else {
            [b"/", whole.as_slice()].concat()
        }
    }
}

/// The client is told to go elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// `http` or `https`; the request's own without it.
    #[serde(default, deserialize_with = "scheme")]
    pub scheme: Option<String>,
    /// The host; the request's own without it.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// The path; the request's own without it.
    #[serde(default)]
    pub path: Option<PathEdit>,
    /// The port; the scheme's own without it.
    #[serde(default)]
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308. Default 302.
    #[serde(default = "found", deserialize_with = "redirect_status")]
    pub status_code: u16,
}

fn found() -> u16 {
    302
}

fn scheme<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match String::deserialize(deserializer)? {
        text if text == "http" || text == "https" => Ok(Some(text)),
        _ => Err(D::Error::custom("a scheme is `http` or `https`")),
    }
}

fn redirect_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        status @ (301 | 302 | 303 | 307 | 308) => Ok(status),
        other => Err(D::Error::custom(format!(
            "{other} is no redirect; use 301, 302, 303, 307 or 308"
        ))),
    }
}

/// Host or path are changed before the request is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewrite {
    /// The host.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// The path.
    #[serde(default)]
    pub path: Option<PathEdit>,
}

/// A copy goes somewhere else; what comes back from there is thrown away.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Where.
    pub backend_ref: BackendRef,
    /// How many of a hundred requests. Default 100.
    #[serde(default = "all", deserialize_with = "percent")]
    pub percent: f64,
}

fn all() -> f64 {
    100.0
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match f64::deserialize(deserializer)? {
        percent if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err(D::Error::custom("a percentage goes from 0 to 100")),
    }
}

/// The proxy answers by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Direct {
    /// The status, 200 to 599.
    #[serde(deserialize_with = "direct_status")]
    pub status_code: u16,
    /// The body, as plain text.
    #[serde(default)]
    pub body: String,
}

fn direct_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        status @ 200..=599 => Ok(status),
        other => Err(D::Error::custom(format!(
            "{other} is no final status; they go from 200 to 599"
        ))),
    }
}

/// One filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Changes the request's header.
    RequestHeader(HeaderEdit),
    /// Changes the response's header.
    ResponseHeader(HeaderEdit),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Changes host or path.
    Rewrite(Rewrite),
    /// Sends a copy.
    Mirror(Mirror),
    /// Answers.
    Direct(Direct),
}

impl Filter {
    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Filter::RequestHeader(_) => "RequestHeaderModifier",
            Filter::ResponseHeader(_) => "ResponseHeaderModifier",
            Filter::Redirect(_) => "RequestRedirect",
            Filter::Rewrite(_) => "URLRewrite",
            Filter::Mirror(_) => "RequestMirror",
            Filter::Direct(_) => "DirectResponse",
        }
    }

    /// Whether it answers instead of an endpoint.
    pub fn answers(&self) -> bool {
        matches!(self, Filter::Redirect(_) | Filter::Direct(_))
    }

    /// Its change of the path, if it makes one.
    pub fn path(&self) -> Option<&PathEdit> {
        match self {
            Filter::Redirect(redirect) => redirect.path.as_ref(),
            Filter::Rewrite(rewrite) => rewrite.path.as_ref(),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
        #[derive(Deserialize)]
        enum Kind {
            RequestHeaderModifier,
            ResponseHeaderModifier,
            RequestRedirect,
            #[serde(rename = "URLRewrite")]
            UrlRewrite,
            RequestMirror,
            DirectResponse,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            #[serde(rename = "type")]
            kind: Kind,
            #[serde(default)]
            request_header_modifier: Option<HeaderEdit>,
            #[serde(default)]
            response_header_modifier: Option<HeaderEdit>,
            #[serde(default)]
            request_redirect: Option<Redirect>,
            #[serde(default)]
            url_rewrite: Option<Rewrite>,
            #[serde(default)]
            request_mirror: Option<Mirror>,
            #[serde(default)]
            direct_response: Option<Direct>,
        }
        let t = Table::deserialize(deserializer)?;
        let given = [
            t.request_header_modifier.is_some(),
            t.response_header_modifier.is_some(),
            t.request_redirect.is_some(),
            t.url_rewrite.is_some(),
            t.request_mirror.is_some(),
            t.direct_response.is_some(),
        ];
        let (filter, key) = match t.kind {
            Kind::RequestHeaderModifier => (
                t.request_header_modifier.map(Filter::RequestHeader),
                "requestHeaderModifier",
            ),
            Kind::ResponseHeaderModifier => (
                t.response_header_modifier.map(Filter::ResponseHeader),
                "responseHeaderModifier",
            ),
            Kind::RequestRedirect => (t.request_redirect.map(Filter::Redirect), "requestRedirect"),
            Kind::UrlRewrite => (t.url_rewrite.map(Filter::Rewrite), "urlRewrite"),
            Kind::RequestMirror => (t.request_mirror.map(Filter::Mirror), "requestMirror"),
            Kind::DirectResponse => (t.direct_response.map(Filter::Direct), "directResponse"),
        };
        match filter {
            Some(filter) if given.iter().filter(|g| **g).count() == 1 => Ok(filter),
            _ => Err(D::Error::custom(format!(
                "a filter of this type has the key `{key}` and no other type's"
            ))),
        }
    }
}
