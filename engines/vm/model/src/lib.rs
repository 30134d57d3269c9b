//! Firecracker's configuration and API as values.
//!
//! This crate owns what a microVM may be told and in which order: the JSON of every key with its bounds and defaults
//! ([`config`], [`cpu`], [`snapshot`]), the requests of the REST API ([`request`]), the whole-file configuration
//! ([`file`]) and the state machine that takes one request after the other ([`controller`]). It reads no file, opens no
//! device and knows no HTTP; what the host has to be asked is asked by way of [`controller::Host`].
//!
//! The source of every key, bound and order rule is Firecracker's OpenAPI description and its documented behaviour
//! (1.14 and later).

pub mod config;
pub mod controller;
pub mod cpu;
mod fault;
pub mod file;
pub mod request;
pub mod snapshot;

pub use controller::{Controller, Host, Info, Phase, Work};
pub use fault::{Fault, Status};
pub use file::VmConfig;
pub use request::{Action, Method};

/// The API version that is spoken: what `GET /version` answers.
pub const API_VERSION: &str = "1.14.0";
