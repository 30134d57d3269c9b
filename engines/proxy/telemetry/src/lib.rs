//! What the proxy counts and tells.
//!
//! [`metrics`] counts with Linkerd's names, through handles that are looked up once and not for each request; [`window`]
//! keeps latencies of the last minute for panes; [`trace`] is the W3C's trace context. A [`Flow`] is one request with its
//! answer as the pane keeps it: it becomes a [`Record`](qd_core::Record), an entry of a [`har`] file, or is asked by a
//! filter, which may be written in mitmproxy's way ([`tilde`]). No I/O here, and nothing that waits.

pub mod flow;
pub mod har;
pub mod histogram;
pub mod metrics;
pub mod tilde;
pub mod trace;
pub mod window;

pub use flow::{Flow, Message, schema};
pub use histogram::{Histogram, Latencies};
pub use metrics::{Connections, Direction, Metrics, PeerSide, Requests, TlsState};
pub use tilde::filter;
pub use trace::TraceContext;
pub use window::Windows;
