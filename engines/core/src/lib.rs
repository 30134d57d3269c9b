//! The contract every engine implements.
//!
//! This crate owns what engines and panes have in common: [`record`]s, [`clock`]s and the shared time cursor, [`units`],
//! the [`filter`] language, bounded [`stream`]s, values [`publish`]ed without locks, and the [`supervise`]d life of an
//! engine. It knows no engine and no screen, and must never depend on either.

pub mod clock;
pub mod filter;
pub mod fuzz;
pub mod publish;
pub mod record;
pub mod stream;
pub mod supervise;
pub mod time;
pub mod units;

pub use clock::{Clock, Cursor, Instant, RealClock, TimeCursor, VirtualClock};
pub use filter::{Fields, Filter, Schema};
pub use publish::{Published, Wake, WakeGuard, Wakers};
pub use record::{Key, Record, RecordBuilder, Severity, SourceId, Value, ValueRef};
pub use stream::{Counters, Hub, Overflow, Receiver, Sender};
pub use supervise::{Context, Engine, EngineHandle, EngineState, Handle, Health, Policy, Supervisor};
pub use time::{Mono, Now, Timestamp, When};
pub use units::{Bytes, HumanDuration, Number, UnitError, parse_duration};
