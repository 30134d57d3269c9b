//! The proxy's data plane: what comes in at listeners goes to the endpoints of clusters, and nothing is slowed down by being
//! watched.
//!
//! HTTP/1 is read and written here, on what [`qd_proxy_wire`] says of its bytes; HTTP/2 is the crate `h2`. A request is one
//! [`exchange`](exchange) between two ends, each of either protocol, polled as one piece: there is no task and no channel
//! between the client and its upstream. Workers are threads with a reactor each and a pool of connections each; they share
//! the plan, which is swapped whole ([`Proxy::apply`]), and counters.

mod access;
mod account;
mod admin;
mod aim;
mod alarm;
mod answer;
mod attempt;
mod checks;
mod client;
mod cluster;
mod connect;
mod conns;
pub mod control;
pub mod engine;
mod exchange;
mod fault;
mod flow;
mod forward;
mod from_config;
mod grpc_web;
mod hold;
mod identity;
mod inject;
mod intercept;
mod io;
mod keeper;
mod listener;
mod meter;
mod owner;
pub mod plan;
mod proxy;
mod replay;
mod retries;
mod router;
mod serve;
mod serve_h2;
mod shared;
mod side;
mod snapshot;
pub mod source;
mod spans;
mod stand;
mod stats;
mod switch;
mod tap;
mod tellers;
mod tls;
mod told;
mod translate;
mod tunnel;
mod way;

pub use access::AccessError;
pub use admin::LogLevel;
pub use conns::{ConnView, Spoken};
pub use engine::ProxyEngine;
pub use flow::{Attempt, Body, Ended, Flow, Stage, Timings};
pub use from_config::{Unserved, plan as plan_of};
pub use hold::{
    AnswerEdit, EditError, Held, HeldView, Hold, HoldAt, HoldError, HoldView, MAX_HELD, MAX_HOLD_BODY, MAX_HOLD_TIME,
    MAX_HOLDS, Release, ReleaseError, RequestEdit,
};
pub use intercept::Intercept;
pub use listener::BindError;
pub use meter::{BUCKETS, Totals};
pub use plan::Plan;
pub use proxy::{Changes, Drain, Options, PlanError, Proxy};
pub use qd_proxy_config as config;
pub use qd_proxy_content as content;
pub use qd_proxy_policy as policy;
pub use qd_proxy_telemetry as telemetry;
pub use qd_proxy_wire as wire;
pub use replay::{ReplayError, ReplayRequest, ReplayTo};
pub use snapshot::{EndpointView, FaultView, ListenerView, Snapshot};
pub use stats::{ErrorView, Figures, RouteView};
pub use tap::{Tap, TapRequest};
pub use tls::{Check, ClientAuth, ClientTls, ServerTls, TlsError};
