//! Configuration of log pipelines: files to a tree with spans, and the tree to typed values.
//!
//! A [`Node`] is one value of a TOML, YAML or JSON file and knows where it stands. [`decode`] turns a node into any type
//! that serde can read, and an error of that (an unknown key, a wrong type, a missing key) comes back as a
//! [`ConfigError`] with the span of the culprit and the closest key that would have been right. This crate knows no
//! component: what a source, transform or sink is lives in `qd-logs-model`.
//!
//! [`load`] reads files, patterns of files and directories as Vector 0.58 does into a [`Config`]; [`resolve`] connects
//! its components to a [`Graph`]; [`Files::render`] shows a finding with its line.

pub mod common;
mod draft;
mod interpolate;
mod load;
mod resolve;
mod schema;
mod secrets;

pub use load::{
    ConfigPath, DEFAULT_DATA_DIR, DEFAULT_PATH, Interpolation, LoadFailed, LoadOptions, Loaded, load, load_text,
};
pub use qd_tree::{
    ConfigError, Diagnostic, FileId, Files, Format, Key, MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, Node, NodeValue,
    Position, Span, carry, decode, decode_all, nearest, parse,
};
pub use resolve::{Edge, Graph, OutputId, OutputsOf, resolve, resolve_for_tests};
pub use schema::{
    ApiOptions, ComponentId, ComponentSpec, Config, Globals, GraphOptions, Healthchecks, InputSpec, LogSchema,
    MetricSetExpiration, Role, SchemaOptions, SinkOptions, Telemetry, TelemetryTags, TestInput, TestInputKind,
    TestOutput, TestSpec, WildcardMatching,
};
pub use secrets::SecretBackend;
