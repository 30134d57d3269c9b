//! What a proxy decides, without doing any of it.
//!
//! Everything here is a plain value: no I/O, no tasks, no clock. The time of every call is passed in as a
//! [`Mono`](qd_core::Mono) and chance as a [`Dice`], so that a whole day of a breaker's life is a test of microseconds.
//! Values with `&mut self` are shared by whoever puts a lock around them; what every request touches ([`load::Load`],
//! [`shed::Room`]) is shared as it is.
//!
//! | module | decides |
//! | --- | --- |
//! | [`ewma`], [`load`] | what an endpoint costs |
//! | [`balance`], [`ketama`] | which endpoint a request goes to |
//! | [`retry`], [`budget`] | whether a request is sent again |
//! | [`breaker`] | whether an endpoint is left alone, and when it is tried again |
//! | [`health`] | what active checks say of an endpoint |
//! | [`queue`], [`shed`] | who waits for an endpoint, for how long, and who is turned away |
//! | [`limit`] | how many requests a route or a client may send |
//! | [`class`], [`cause`] | what an answer means, and what the proxy says by itself |
//! | [`deadline`] | how much time is left |
//! | [`fault`] | which requests are delayed or refused on purpose |
//! | [`access`] | who may come in |

pub mod access;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod cause;
pub mod class;
pub mod deadline;
pub mod dice;
pub mod ewma;
pub mod fault;
pub mod health;
pub mod ketama;
pub mod limit;
pub mod load;
pub mod queue;
pub mod retry;
pub mod shed;
mod when;

pub use access::{AccessPolicy, AccessRule, Identity, Peer, Verdict};
pub use balance::{Balancer, Candidate, Strategy};
pub use breaker::{BackoffConfig, Breaker, BreakerConfig, BreakerState, Permit, RateConfig};
pub use budget::{Budget, BudgetConfig};
pub use cause::Cause;
pub use class::{Class, GrpcCode};
pub use deadline::{Deadline, Timeouts};
pub use dice::Dice;
pub use ewma::{EwmaConfig, PeakEwma};
pub use fault::{Fault, FaultAction, FaultSet};
pub use health::{Health, HealthConfig};
pub use limit::{Limiter, RateLimit};
pub use load::{Dispatch, Load};
pub use queue::{Queue, QueueConfig};
pub use retry::{RetryPolicy, RetryRefusal};
pub use shed::{Room, Seat};
