//! A node on disk: two SQLite databases in one directory that no two processes share.
//!
//! * `raft.db` ([`LogDb`]) is the promise. A commit of it has reached the disk when it returns, for all regions together.
//! * `kv.db` ([`KvDb`]) is what the promises amount to: the data, and with it, in the same transaction, how far each region
//!   has applied its log. A commit of it survives the end of the process; a loss of power may take back the newest ones,
//!   in order, and the log brings them again.
//!
//! From that follows the one law between the two: the log is purged only up to what a checkpoint of `kv.db` has made
//! durable. [`Durable`] carries that knowledge, and a purge beyond it is refused.
//!
//! After a write that failed nothing is written any more ([`StoreError::Stopped`]): what the file has is not known, and a
//! sync that failed once may say yes the next time without having done it. The node starts again from what is there.

mod dir;
mod durable;
mod error;
mod kvdb;
mod logdb;
mod pragma;
mod readers;
mod transfer;

pub use dir::{Identity, StoreDir};
pub use durable::Durable;
pub use error::StoreError;
pub use kvdb::{KvBatch, KvDb};
pub use logdb::{LogDb, Written};
pub use pragma::Checkpoint;
pub use readers::{Readers, View};
pub use transfer::{Export, TransferError, install};
