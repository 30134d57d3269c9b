use qd_kv_model::{CodecError, KeyError, ReadError, Ts};

use crate::reader::Locked;

/// Which rule two transactions met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyConflict {
    /// An optimistic transaction finds something newer than its start.
    Optimistic,
    /// A pessimistic one finds something newer than what it has seen, and may look again.
    Pessimistic,
    /// The transaction itself was rolled back.
    RolledBack,
}

/// Two transactions met at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Whose step it was.
    pub start_ts: Ts,
    /// Who was there before.
    pub other_start_ts: Ts,
    /// When that one committed.
    pub other_commit_ts: Ts,
    /// Where.
    pub key: Vec<u8>,
    /// The primary of the one whose step it was.
    pub primary: Vec<u8>,
    /// Which rule.
    pub why: WhyConflict,
}

/// Why a step of a transaction is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// Another transaction has the key.
    #[error("key {} is locked by the transaction {}", hex(&.0.key), .0.lock.start_ts)]
    Locked(Box<Locked>),
    /// Another transaction was faster.
    #[error("transaction {} meets {} at key {}", .0.start_ts, .0.other_start_ts, hex(&.0.key))]
    Conflict(Box<Conflict>),
    /// The key was to be new, and is not.
    #[error("key {} exists already", hex(key))]
    Exists {
        /// The key.
        key: Vec<u8>,
    },
    /// The lock a pessimistic transaction should have is not there.
    #[error("transaction {start_ts} has no pessimistic lock on key {}", hex(key))]
    PessimisticLockMissing {
        /// The transaction.
        start_ts: Ts,
        /// The key.
        key: Vec<u8>,
    },
    /// A pessimistic lock is wanted where the transaction has a lock of another kind.
    #[error("transaction {start_ts} has prewritten key {} already", hex(key))]
    AlreadyPrewritten {
        /// The transaction.
        start_ts: Ts,
        /// The key.
        key: Vec<u8>,
    },
    /// Commit or heartbeat of a lock that is not there: rolled back, or never made.
    #[error("transaction {start_ts} has no lock on key {}", hex(key))]
    LockMissing {
        /// The transaction.
        start_ts: Ts,
        /// The key.
        key: Vec<u8>,
    },
    /// Nothing is known of the transaction, and it shall not be rolled back for that.
    #[error("nothing is known of the transaction {start_ts} at key {}", hex(key))]
    Unknown {
        /// The transaction.
        start_ts: Ts,
        /// The key.
        key: Vec<u8>,
    },
    /// Somebody has read at a later timestamp than this commit.
    #[error(
        "transaction {start_ts} cannot commit at {commit_ts}: key {} needs {min_commit_ts} or later",
        hex(key)
    )]
    CommitTooEarly {
        /// The transaction.
        start_ts: Ts,
        /// What was wanted.
        commit_ts: Ts,
        /// The least that would do.
        min_commit_ts: Ts,
        /// The key.
        key: Vec<u8>,
    },
    /// A rollback of what is committed.
    #[error("transaction {start_ts} is committed at {commit_ts}")]
    Committed {
        /// The transaction.
        start_ts: Ts,
        /// When.
        commit_ts: Ts,
    },
    /// The lock's primary is another key.
    #[error("the primary of transaction {} is {}, not {}", .0.lock.start_ts, hex(&.0.lock.primary), hex(&.0.key))]
    NotPrimary(Box<Locked>),
    /// What a client was sure of is not so.
    #[error("key {} {}, against what transaction {start_ts} was sure of", hex(key), if *.exists { "exists" } else { "does not exist" })]
    Assertion {
        /// The transaction.
        start_ts: Ts,
        /// The key.
        key: Vec<u8>,
        /// Whether the key exists.
        exists: bool,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was read is not what it should be.
    #[error("damaged data: {0}")]
    Record(#[from] CodecError),
    /// A stored key is not one.
    #[error("damaged data: {0}")]
    Key(#[from] KeyError),
    /// A value is gone that a record says is there.
    #[error("damaged data: the value of key {} at {start_ts} is missing", hex(key))]
    ValueMissing {
        /// The key.
        key: Vec<u8>,
        /// Its version.
        start_ts: Ts,
    },
}

/// The beginning of a key, for people.
fn hex(key: &[u8]) -> String {
    let mut s: String = key.iter().take(32).map(|b| format!("{b:02x}")).collect();
    if key.len() > 32 {
        s.push('…');
    }
    s
}

impl TxnError {
    /// Whether the data is at fault and not the transaction.
    pub const fn is_broken(&self) -> bool {
        matches!(
            self,
            Self::Read(_) | Self::Record(_) | Self::Key(_) | Self::ValueMissing { .. }
        )
    }
}
