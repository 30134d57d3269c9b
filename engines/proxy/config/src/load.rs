//! A file as a checked configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qd_proxy_policy::shed::MAX_IN_FLIGHT;
use qd_tree::{ConfigError, Files, Format, Spanned, decode_all};
use serde::Deserialize;

use crate::check::check;
use crate::cluster::Cluster;
use crate::listener::{Admin, Listener};
use crate::policy::Access;
use crate::route::Route;
use crate::value;

/// Spans that are sent to a collector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// The collector's address, of OTLP over HTTP: `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// The share of new traces that are recorded, 0 to 1; a trace that a client began goes on as it says. Default 1.
    #[serde(default = "whole")]
    pub sample: f64,
    /// The name of the service in them. Default `quarterdeck-proxy`.
    #[serde(default = "service")]
    pub service: String,
}

fn whole() -> f64 {
    1.0
}

fn service() -> String {
    "quarterdeck-proxy".to_owned()
}

/// How a line of an access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AccessFormat {
    /// An object of JSON.
    #[default]
    Json,
    /// The common log format of web servers.
    Common,
    /// The same with referrer and user agent.
    Combined,
}

/// A file with a line for each request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessLog {
    /// The file. It is appended to, and opened again when it was moved away.
    pub path: PathBuf,
    /// How a line is written; default `json`.
    #[serde(default)]
    pub format: AccessFormat,
}

/// How the proxy ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long what is in flight may take; default 30 s.
    #[serde(deserialize_with = "value::duration")]
    pub deadline: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown {
            deadline: Duration::from_secs(30),
        }
    }
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Where the proxy itself is asked.
    pub admin: Option<Admin>,
    /// Where clients come in.
    pub listeners: Vec<Listener>,
    /// Where requests go.
    pub clusters: Vec<Cluster>,
    /// Which go where.
    pub routes: Vec<Route>,
    /// Who may come in, by name.
    pub access: Vec<Access>,
    /// Requests in flight at once; more are turned away. Default 100,000.
    pub max_in_flight: usize,
    /// Spans.
    pub tracing: Option<Spanned<Tracing>>,
    /// A line for each request.
    pub access_log: Option<AccessLog>,
    /// How it ends.
    pub shutdown: Shutdown,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            admin: None,
            listeners: Vec::new(),
            clusters: Vec::new(),
            routes: Vec::new(),
            access: Vec::new(),
            max_in_flight: MAX_IN_FLIGHT,
            tracing: None,
            access_log: None,
            shutdown: Shutdown::default(),
        }
    }
}

impl Config {
    /// The listener of a name.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|l| *l.name == name)
    }

    /// The cluster of a name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|c| *c.name == name)
    }

    /// The access policy of a name.
    pub fn access(&self, name: &str) -> Option<&Access> {
        self.access.iter().find(|a| *a.name == name)
    }

    /// The routes of a listener, with their places in [`Config::routes`]. A route without `parentRefs` belongs to every
    /// listener that speaks its kind.
    pub fn routes_of<'a>(&'a self, listener: &'a str) -> impl Iterator<Item = (usize, &'a Route)> {
        let bytes = self.listener(listener).is_some_and(|l| {
            matches!(l.protocol.value, crate::Protocol::Tcp | crate::Protocol::Tls)
                || l.mode.value == crate::Mode::Opaque
        });
        self.routes.iter().enumerate().filter(move |(_, route)| {
            let streams = matches!(route, Route::Tcp(_) | Route::Tls(_));
            let named = route.parents().iter().any(|p| *p.listener == listener);
            named || route.parents().is_empty() && streams == bytes
        })
    }
}

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Its text, to show findings in.
    pub files: Files,
    /// What is probably not meant, though it can be run.
    pub warnings: Vec<ConfigError>,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone)]
pub struct Failed {
    /// At least one finding.
    pub errors: Vec<ConfigError>,
    /// The text, to show them in.
    pub files: Files,
}

impl fmt::Display for Failed {
    /// Each finding with its line and a mark below the culprit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.files.render(error))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

/// Reads a configuration from a text; `name` is what findings call it.
///
/// # Errors
/// Everything that was found wrong: what the format refuses, unknown keys with the closest right one, values that are
/// none, names that are not there, and contradictions.
pub fn parse(name: &str, text: &str, format: Format) -> Result<Loaded, Failed> {
    let mut files = Files::default();
    let failed = |errors, files| Failed { errors, files };
    let Some(file) = files.add(name, text) else {
        return Err(failed(vec![ConfigError::new("there are too many files")], files));
    };
    let node = match qd_tree::parse(text, format, file) {
        Ok(node) => node,
        Err(errors) => return Err(failed(errors, files)),
    };
    // An empty file is an empty table.
    let node = match node.value {
        qd_tree::NodeValue::Null => qd_tree::Node::table(),
        _ => node,
    };
    let config: Config = match decode_all(&node) {
        Ok(config) => config,
        Err(errors) => return Err(failed(errors, files)),
    };
    let findings = check(&config);
    if findings.errors.is_empty() {
        Ok(Loaded {
            config,
            files,
            warnings: findings.warnings,
        })
    } else {
        Err(failed(findings.errors, files))
    }
}

/// Reads a configuration from a file: YAML, or TOML or JSON if its name ends so.
///
/// # Errors
/// What the system says of the file, and everything as [`parse`].
pub fn load(path: &Path) -> Result<Loaded, Failed> {
    let shown = path.display().to_string();
    let failed = |message: String| Failed {
        errors: vec![ConfigError::new(message)],
        files: Files::default(),
    };
    let bytes = std::fs::read(path).map_err(|e| failed(format!("cannot read {shown}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| failed(format!("{shown} is no text in UTF-8")))?;
    parse(&shown, &text, Format::of_path(path).unwrap_or(Format::Yaml))
}
