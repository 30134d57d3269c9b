//! VRL and the transforms.
//!
//! A [`Program`] is VRL source compiled for our events; a [`Condition`] is a program that only reads and says true or
//! false. Both know shapes that can be executed on the text of a batch without making values ([`fast`]); whatever is not
//! of such a shape, or fails in it, is run by VRL itself, so that there is only one truth. [`transforms`] holds the
//! components built on them; [`catalog`] lists them. This crate must never know how components are wired.

pub mod condition;
pub mod enrichment;
pub mod fast;
mod functions;
pub mod program;
pub mod repl;
pub mod target;
pub mod transforms;

pub use condition::{Condition, compile_condition};
pub use program::{CompileError, Program, RunError, run_program};
pub use repl::Repl;
pub use target::{LogTarget, MetricTarget, TagMode};
pub use transforms::catalog;
