//! What flows through a log pipeline, and what its components are.
//!
//! Data flows in [`Batch`]es: up to [`MAX_BATCH_EVENTS`] events or [`MAX_BATCH_BYTES`] bytes that came together from one
//! source. A batch of log events is kept in the cheapest form that says the same: lines of one block of bytes as they
//! were read ([`Lines`]), documents as text with a table of fields ([`Docs`]), or values ([`LogEvent`]s); a component that
//! can't work on the cheap form asks for the values and gets them.
//!
//! A component is a [`Source`], [`Transform`] or [`Sink`], made by its configuration ([`SourceConfig`],
//! [`TransformConfig`], [`SinkConfig`]), which the [`Catalog`] finds by the name of its `type`. How components are wired
//! and run is the business of `qd-logs`; this crate must never know it, nor any particular component.

pub mod batch;
pub mod catalog;
pub mod component;
pub mod dead;
pub mod docs;
pub mod event;
pub mod finalize;
pub mod metric;
pub mod telemetry;

pub use batch::{Batch, EventKind, Line, Lines, LogBatch, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Origin, Rows};
pub use catalog::{Catalog, Entry};
pub use component::{
    BoxFuture, BuildError, BuiltSink, Closed, ComponentError, Context, Globals, Inlet, InputKinds, LogSchema, Outlet,
    OutputPort, ProxySettings, Resource, Shutdown, Sink, SinkConfig, SinkInput, Source, SourceConfig, SourceOut,
    Transform, TransformConfig, TransformOut,
};
pub use dead::DeadLetters;
pub use docs::{Declined, Docs, DocsBuilder, FieldKind, FieldSpan, Row};
pub use event::{LogEvent, Metadata, Value};
pub use finalize::{Delivery, Finalizers, Token};
pub use metric::{Bucket, Metric, MetricBatch, MetricKind, MetricValue, Quantile, Sample, Statistic, TagValue, Tags};
pub use telemetry::{Counter, Gauge, Histogram, InternalEvent, InternalLog, Labels, Telemetry};
