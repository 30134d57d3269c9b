//! What a node keeps of a region's Raft log, as values that name no library: entries, the state that must not be forgotten,
//! and the writes that change them.

use crate::region::RegionId;

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogEntry {
    /// Its place.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
    /// What kind it is, by Raft's number: 0 normal, 1 and 2 configuration changes.
    pub kind: u8,
    /// Its content; empty for the entry with which a leader begins.
    pub data: Vec<u8>,
    /// Raft's own remark, nearly always empty.
    pub context: Vec<u8>,
}

/// What a peer must remember beside its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    /// The newest term it has seen.
    pub term: u64,
    /// The peer it voted for in that term, or 0.
    pub vote: u64,
    /// The last entry it knew to be committed. May be older than the truth.
    pub commit: u64,
}

/// One change of what is kept of a region's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogWrite {
    /// Entries in a row. Whatever is there from the first one's index on is replaced.
    Append(RegionId, Vec<LogEntry>),
    /// A new hard state.
    State(RegionId, HardState),
    /// The log is empty and goes on behind this index and term: a snapshot was installed, or the region is new.
    Reset(RegionId, u64, u64),
    /// Entries up to this index (whose term is given) go. Only what the data has durably applied may be named.
    Purge(RegionId, u64, u64),
    /// The region goes with everything.
    Forget(RegionId),
}

/// A region's log as it was found at the start of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegionLog {
    /// Whose it is.
    pub region: RegionId,
    /// The hard state; all zero when none was written yet.
    pub hard: HardState,
    /// The index before the first entry.
    pub purged: u64,
    /// That index's term.
    pub purged_term: u64,
    /// The entries, in a row, the first with the index `purged + 1`.
    pub entries: Vec<LogEntry>,
}
