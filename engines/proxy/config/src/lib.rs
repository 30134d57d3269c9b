//! The configuration of a proxy: listeners, clusters and routes in the shape of the Gateway API, and the router they make.
//!
//! [`load`] and [`parse`] read a file (YAML; TOML and JSON say the same), [`Short`] is the one-line form; both give a
//! [`Config`] that was checked: what it names is there, and nothing in it contradicts the rest. What is wrong comes back as
//! [`ConfigError`]s with the place in the file and the closest word that would have been right. [`Router`] answers which
//! rule a request takes, by the Gateway API's order of precedence.
//!
//! Nothing here opens a socket or reads a certificate: those can change while the configuration stays.

mod address;
mod check;
mod cluster;
mod filter;
mod listener;
mod load;
mod matches;
mod names;
mod path;
mod policy;
mod route;
mod router;
mod short;
mod value;

pub use address::{Address, BadAddress, Bind};
pub use cluster::{
    Balance, Check, CheckKind, Cluster, ClusterTimeouts, ClusterTls, Endpoint, HashOn, Pool, SendPreamble, Speaks,
    Verify,
};
pub use filter::{Direct, Filter, HeaderEdit, HeaderValue, Mirror, PathEdit, Redirect, Rewrite};
pub use listener::{
    Admin, CertificateFiles, ClientAuth, Intercept, Listener, ListenerLimits, ListenerTimeouts, ListenerTls, Mode,
    Protocol, TlsMode,
};
pub use load::{AccessFormat, AccessLog, Config, Failed, Loaded, Shutdown, Tracing, load, parse};
pub use matches::{GrpcMatch, HttpMatch, Match, Matcher, PathMatch};
pub use names::{BadName, HeaderName, Hostname};
pub use path::match_form;
pub use policy::{Access, AccessEntry, Rate, RateLimits, Retry};
pub use qd_tree::{ConfigError, Diagnostic, Files, Position, Span, Spanned};
pub use route::{
    BackendRef, GrpcRoute, GrpcRule, HttpRoute, HttpRule, ParentRef, Route, RouteKind, RuleTimeouts, StreamRoute,
    StreamRule,
};
pub use router::{Found, RequestView, Router, Served};
pub use short::{Short, ShortError};
