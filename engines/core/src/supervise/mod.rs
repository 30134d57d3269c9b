//! The supervised life of an engine.
//!
//! An [`Engine`] is work without a screen. The [`Supervisor`] starts it on a tokio runtime, restarts it with a growing delay
//! when it fails, catches its panics, and stops it with a deadline. Whoever uses an engine holds an [`EngineHandle`] (or,
//! for any kind of engine, a `dyn` [`Handle`]). This module owns that life cycle and must never know what an engine does.

mod caught;
mod engine;
mod handle;
mod life;
mod state;
#[cfg(test)]
mod tests;

pub use engine::{Context, Engine, ReplyTo, Request, StopToken};
pub use handle::{CallError, EngineHandle, Handle, Pending};
pub use life::{Supervisor, SupervisorError};
pub use state::{Backoff, Ending, EngineState, Failure, FailureKind, Health, HealthLevel, Policy, Restart};
