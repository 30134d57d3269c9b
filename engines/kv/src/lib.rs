//! The replicated store of a session: what a node decides (`qd-kv-node`) on what it has on disk (`qd-kv-store`).
//!
//! [`Disk`] does a node's work on its two databases in the one order that keeps every promise; [`Member`] does so with two
//! threads; [`Local`] is a cluster of members within one process.

mod disk;
mod local;
mod member;

pub use disk::{DataDisk, Disk, DiskError, LogDisk, Opened};
pub use local::{Local, StartError};
pub use member::{Member, MemberHandle, Transport};
