//! The log pipeline: topology, buffers, acknowledgements, reload, and the engine that runs it.
//!
//! A [`Plan`] is a configuration whose components are known and wired; a [`Pipeline`] is a plan that runs. Batches flow
//! from a source through all transforms behind it in one call, without channels, into the buffers of the sinks; each
//! sink takes from its buffer in a task of its own. A full buffer lets the source wait.
//!
//! This crate owns the order in which things start, change and end, and the numbers about it; it knows no particular
//! component, they come in a [`qd_logs_model::Catalog`].

mod buffer;
#[cfg(feature = "components")]
pub mod engine;
mod error;
pub mod facade;
mod graph;
mod meter;
mod metric_json;
mod pipeline;
mod plan;
mod sink;
mod snapshot;
mod tables;
mod tap;
mod unit;
mod unsupported;

pub use buffer::BufferError;
pub use error::{Error, StopReport};
pub use pipeline::{Changes, Options, Pipeline, Tap};
pub use plan::{Common, Inputs, OutputId, Plan, SinkPlan, SourcePlan, TransformPlan, hostname, same};
#[cfg(feature = "components")]
pub use qd_logs_local::pane;
pub use qd_logs_model::EventKind;
pub use snapshot::{BufferFill, ComponentSnapshot, EdgeSnapshot, Kind, Snapshot, State};
pub use tables::{LoadedTables, TablePlan};
pub use tap::{TapRequest, Tapped};
pub use unit::{TestResult, run_tests};
