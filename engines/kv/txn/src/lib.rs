//! Percolator over a snapshot: what a transaction reads, and what it would write. No I/O, no clock, no Raft.
//!
//! Each step of a transaction ([`Step`]) is a function of the data at one moment and of what the caller passes in; it gives
//! the writes to be made ([`Done::writes`]) and the answer. Whoever calls must see to it that
//! * no other step of the same keys is between that moment and the writes ([`Latches`]),
//! * `max_ts` is at least every timestamp at which somebody has read one of the keys ([`Step::reads_at`] too), and that whoever reads from now on at
//!   a higher one sees the step's locks (it is what async commit and one-phase commit rest on).
//!
//! The rules are TiKV's: where two transactions meet, the same one loses with the same error.
//!
//! Keys are the client's own; they are encoded here ([`qd_kv_model::encode_bytes`]).

mod deadlock;
mod error;
mod gc;
mod latch;
mod lock;
mod oracle;
mod prewrite;
mod reader;
mod scan;
mod status;
mod step;
mod write;

pub use deadlock::{Cycle, WaitGraph};
pub use error::{Conflict, TxnError, WhyConflict};
pub use gc::{Collected, collect};
pub use latch::{LatchId, Latches};
pub use lock::{Lock, LockKind};
pub use oracle::{Oracle, OracleError};
pub use prewrite::{Assertion, Mutation, Op, Pessimism, Prewrite, Prewritten};
pub use reader::{Locked, Reader, TxnRecord};
pub use scan::{Found, Scan, scan, scan_locks};
pub use status::{CheckStatus, Status};
pub use step::{Done, PessimisticLock, PessimisticLocked, Reply, Secondaries, Step, WriteBatch};
pub use write::{Write, WriteKind};

/// Values up to this many bytes stand in the lock and in the write record, not in a table of their own.
pub const SHORT_VALUE: usize = 255;
