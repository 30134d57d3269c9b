//! What a request must be like.

use qd_tree::{Node, carry};
use regex::bytes::{Regex, RegexBuilder};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::names::HeaderName;
use crate::path::match_form;

/// Memory that one regular expression may take when compiled.
const RX_LIMIT: usize = 1 << 20;

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// It is the same.
    Exact(String),
    /// The regular expression matches all of it.
    Regex {
        /// As it was written.
        text: String,
        /// Compiled, anchored at both ends.
        regex: Box<Regex>,
    },
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        match (self, other) {
            (Matcher::Exact(a), Matcher::Exact(b)) => a == b,
            (Matcher::Regex { text: a, .. }, Matcher::Regex { text: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl Matcher {
    /// A regular expression that must match all of a text.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub fn regex(text: &str) -> Result<Matcher, String> {
        let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(RX_LIMIT).nest_limit(100).build();
        // Alone first: `a)(b` is wrong, though not between the brackets that anchor it.
        let wrong = |error: regex::Error| match error {
            regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
            error => {
                let shown = error.to_string();
                let last = shown
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                format!("this is no regular expression: {last}")
            }
        };
        build(text).map_err(wrong)?;
        let regex = build(&format!(r"\A(?:{text})\z")).map_err(wrong)?;
        Ok(Matcher::Regex {
            text: text.to_owned(),
            regex: Box::new(regex),
        })
    }

    /// Whether a text fits.
    pub fn fits(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Exact(own) => own.as_bytes() == text,
            Matcher::Regex { regex, .. } => regex.is_match(text),
        }
    }
}

/// How a path is compared, in the form that [`match_form`] gives.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// It is the same.
    Exact(String),
    /// It begins with these whole segments: `/a` fits `/a` and `/a/b` and not `/ab`. Without the slash at its end, so that
    /// `/` is the empty text.
    Prefix(String),
    /// The regular expression matches all of it.
    Regex(Matcher),
}

impl PathMatch {
    /// Whether a path fits that is in the form of [`match_form`].
    pub fn fits(&self, path: &[u8]) -> bool {
        match self {
            PathMatch::Exact(own) => own.as_bytes() == path,
            PathMatch::Prefix(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/')),
            PathMatch::Regex(matcher) => matcher.fits(path),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum Kind {
    #[default]
    Exact,
    RegularExpression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum PathKind {
    #[default]
    PathPrefix,
    Exact,
    RegularExpression,
}

fn matcher<E: Error>(kind: Kind, text: String) -> Result<Matcher, E> {
    match kind {
        Kind::Exact => Ok(Matcher::Exact(text)),
        Kind::RegularExpression => Matcher::regex(&text).map_err(E::custom),
    }
}

impl<'de> Deserialize<'de> for PathMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PathMatch, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(default, rename = "type")]
            kind: PathKind,
            #[serde(default = "root")]
            value: String,
        }
        fn root() -> String {
            "/".to_owned()
        }
        let Table { kind, value } = Table::deserialize(deserializer)?;
        if kind == PathKind::RegularExpression {
            return Matcher::regex(&value).map(PathMatch::Regex).map_err(D::Error::custom);
        }
        if !value.starts_with('/') || value.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'?' || b == b'#') {
            return Err(D::Error::custom(format!(
                "the path `{}` must begin with `/` and have no blank, `?` or `#`",
                value.escape_debug()
            )));
        }
        // A request is compared in this form, so a pattern that is not in it would never fit.
        let form = match_form(value.as_bytes());
        let plain = String::from_utf8_lossy(&form).into_owned();
        if plain != value {
            return Err(D::Error::custom(format!(
                "paths are compared without `.` and `..` and with plain letters unescaped: write `{plain}`"
            )));
        }
        Ok(match kind {
            PathKind::Exact => PathMatch::Exact(value),
            _ => PathMatch::Prefix(value.trim_end_matches('/').to_owned()),
        })
    }
}

fn named<'de, D, N, F>(deserializer: D, name: F) -> Result<Vec<(N, Matcher)>, D::Error>
where
    D: Deserializer<'de>,
    F: Fn(&str) -> Result<N, String>,
{
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        #[serde(default, rename = "type")]
        kind: Kind,
        name: String,
        value: Node,
    }
    fn one<N>(node: &Node, name: impl Fn(&str) -> Result<N, String>) -> Result<(N, Matcher), qd_tree::ConfigError> {
        let table: Table = qd_tree::decode(node)?;
        let at = |message: String| qd_tree::ConfigError::new(message).at(node.span);
        let text = crate::value::text(&table.value)?;
        let matcher = matcher::<qd_tree::ConfigError>(table.kind, text).map_err(|e| e.at(table.value.span))?;
        Ok((name(&table.name).map_err(at)?, matcher))
    }
    let nodes: Vec<Node> = Vec::deserialize(deserializer)?;
    nodes.iter().map(|node| one(node, &name).map_err(carry)).collect()
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(HeaderName, Matcher)>, D::Error> {
    named(deserializer, |name| {
        name.parse().map_err(|e: crate::BadName| e.to_string())
    })
}

fn query<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Matcher)>, D::Error> {
    named(deserializer, |name| match name {
        "" => Err("a query parameter has a name".to_owned()),
        name => Ok(name.to_owned()),
    })
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(D::Error::custom(format!(
            "`{}` is no method; they are written in capitals",
            text.escape_debug()
        )));
    }
    Ok(Some(text))
}

/// One way for an HTTP request to fit a rule: all that is said must hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpMatch {
    /// Its path.
    pub path: PathMatch,
    /// Header fields; one of several lines of a name must fit.
    #[serde(deserialize_with = "headers")]
    pub headers: Vec<(HeaderName, Matcher)>,
    /// Query parameters, unescaped; the first of several of a name must fit.
    #[serde(deserialize_with = "query")]
    pub query_params: Vec<(String, Matcher)>,
    /// Its method.
    #[serde(deserialize_with = "method")]
    pub method: Option<String>,
}

impl Default for HttpMatch {
    /// Every request.
    fn default() -> Self {
        HttpMatch {
            path: PathMatch::Prefix(String::new()),
            headers: Vec::new(),
            query_params: Vec::new(),
            method: None,
        }
    }
}

/// One way for a gRPC call to fit a rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GrpcMatch {
    /// The service, with its package.
    pub service: Option<Matcher>,
    /// The method.
    pub method: Option<Matcher>,
    /// Header fields.
    pub headers: Vec<(HeaderName, Matcher)>,
}

impl<'de> Deserialize<'de> for GrpcMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GrpcMatch, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        struct Method {
            #[serde(rename = "type")]
            kind: Kind,
            service: Option<String>,
            method: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Table {
            method: Method,
            #[serde(deserialize_with = "headers")]
            headers: Vec<(HeaderName, Matcher)>,
        }
        let table = Table::deserialize(deserializer)?;
        let kind = table.method.kind;
        let part = |text: Option<String>| match text {
            Some(text) if kind == Kind::Exact && (text.is_empty() || text.contains('/')) => Err(D::Error::custom(
                "a service and a method have names without `/`: `echo.Echo` and `Say`",
            )),
            Some(text) => matcher(kind, text).map(Some),
            None => Ok(None),
        };
        Ok(GrpcMatch {
            service: part(table.method.service)?,
            method: part(table.method.method)?,
            headers: table.headers,
        })
    }
}

/// One way for a request to fit a rule of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// Of HTTP.
    Http(HttpMatch),
    /// Of gRPC: other requests never fit.
    Grpc(GrpcMatch),
}

impl Default for Match {
    /// Every request.
    fn default() -> Self {
        Match::Http(HttpMatch::default())
    }
}

impl GrpcMatch {
    /// Whether the path `/service/method` of a call fits.
    pub fn fits_path(&self, path: &[u8]) -> bool {
        let mut parts = path.strip_prefix(b"/").unwrap_or_default().splitn(2, |b| *b == b'/');
        let (Some(service), Some(method)) = (parts.next(), parts.next()) else {
            return false;
        };
        !service.is_empty()
            && !method.is_empty()
            && self.service.as_ref().is_none_or(|m| m.fits(service))
            && self.method.as_ref().is_none_or(|m| m.fits(method))
    }
}
