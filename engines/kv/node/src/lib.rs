//! A node of the cluster without threads, files or sockets: many Raft groups, what they decide and what must be done for it.
//!
//! A [`Node`] is told what happened (a tick of the clock, a message, a proposal, "this is on disk", "this is applied") and
//! gives [`Work`]: messages to send, writes of the log, entries to apply, answers. It never waits and knows no time of its
//! own, so that a cluster of them can be run in one thread with a seed for all luck (`qd-kv-sim`), and with real threads and
//! files the same code decides the same.
//!
//! [`apply`] is the other half: what entries do to the data. It runs where the data is written, on a [`Target`], and tells
//! the node what came of it.
//!
//! The rules between the two and the disk are few and are the whole of durability:
//! 1. what is in [`Work::send`] may go at once; everything that promises something waits within the node for the writes of
//!    its work to be on disk ([`Node::persisted`]);
//! 2. [`Work::installs`] are in the data, durably, before the work's [`Work::writes`] are in the log;
//! 3. works are persisted in their order, entries of a region are applied in theirs.

mod apply;
mod boot;
mod codec;
mod done;
mod hash;
mod inbox;
mod memlog;
mod node;
mod peer;
mod view;
mod work;

pub use apply::{Applied, Outcome, Target, apply};
pub use boot::{INIT_INDEX, INIT_TERM, first_region};
pub use hash::region_hash;
pub use node::{Config, Node};
pub use view::{PeerView, RegionView};
pub use work::{ApplyTask, Body, Envelope, Event, Install, NodeError, Refusal, Work};
