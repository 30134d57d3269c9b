//! A cluster in one thread with a seed for its luck, and checkers for what its clients saw.
//!
//! The nodes are the real ones (`qd-kv-node`, `qd-kv-txn`); clock, network, disks and clients are simulated. Messages are
//! lost, doubled, late and out of order; nodes are cut off, paused, and crash with the loss of what was not synced; leaders
//! move, regions split, peers change, the clock of the timestamps goes back. The same seed gives the same run.
//!
//! What must hold is looked at while it runs (one leader a term, the same entry at an index everywhere, no node with two
//! regions for a key, equal hashes of replicas, purges behind what is durable), and at the end: every key of the raw
//! clients is linearizable ([`is_linearizable`]), the sum of the bank's accounts is what it was in every moment that
//! somebody read, and timestamps follow the order of time.
//!
//! A [`Mutation`] breaks one promise on purpose; the suite must notice.

mod bank;
mod disk;
mod history;
mod luck;
mod raw;
mod run;
mod serve;

pub use history::{Act, Op, is_linearizable};
pub use luck::Luck;
pub use run::{Mutation, Plan, Report, Violation, run};
