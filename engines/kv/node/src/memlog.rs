//! A region's log in memory, which Raft reads. It has everything that is not purged; the disk has the same, a little later.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use qd_kv_model::RegionLog;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use crate::codec;

pub(crate) struct MemLog {
    pub(crate) purged: u64,
    pub(crate) purged_term: u64,
    entries: VecDeque<Entry>,
    pub(crate) bytes: usize,
    pub(crate) hard: HardState,
    pub(crate) conf: ConfState,
    /// Set when Raft wants a snapshot that is not there. Raft asks through a shared reference.
    wanted: Cell<bool>,
    snapshot: RefCell<Option<Snapshot>>,
}

fn size(e: &Entry) -> usize {
    e.data.len() + e.context.len() + 48
}

impl MemLog {
    pub(crate) fn new(log: &RegionLog, conf: ConfState) -> Self {
        let entries: VecDeque<Entry> = log.entries.iter().map(codec::raft_entry).collect();
        Self {
            purged: log.purged,
            purged_term: log.purged_term,
            bytes: entries.iter().map(size).sum(),
            entries,
            hard: codec::raft_hard(log.hard),
            conf,
            wanted: Cell::new(false),
            snapshot: RefCell::new(None),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.purged + self.entries.len() as u64
    }

    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.purged {
            return Some(self.purged_term);
        }
        let at = index.checked_sub(self.purged + 1)?;
        self.entries.get(usize::try_from(at).ok()?).map(|e| e.term)
    }

    pub(crate) fn append(&mut self, new: &[Entry]) {
        let Some(first) = new.first() else { return };
        while self.last() >= first.index {
            match self.entries.pop_back() {
                Some(e) => self.bytes -= size(&e),
                None => break,
            }
        }
        for e in new {
            self.bytes += size(e);
            self.entries.push_back(e.clone());
        }
    }

    /// Empty, behind an index.
    pub(crate) fn reset(&mut self, index: u64, term: u64) {
        self.entries.clear();
        self.bytes = 0;
        (self.purged, self.purged_term) = (index, term);
        *self.snapshot.borrow_mut() = None;
    }

    pub(crate) fn purge(&mut self, index: u64) {
        while self.purged < index {
            match self.entries.pop_front() {
                Some(e) => {
                    self.bytes -= size(&e);
                    (self.purged, self.purged_term) = (e.index, e.term);
                }
                None => break,
            }
        }
        let old = self
            .snapshot
            .borrow()
            .as_ref()
            .is_some_and(|s| s.get_metadata().index < self.purged);
        if old {
            *self.snapshot.borrow_mut() = None;
        }
    }

    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.replace(false)
    }

    pub(crate) fn set_snapshot(&self, s: Snapshot) {
        *self.snapshot.borrow_mut() = Some(s);
    }

    pub(crate) fn drop_snapshot(&self) {
        *self.snapshot.borrow_mut() = None;
    }

    pub(crate) fn tail(&self, n: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(self.entries.len().saturating_sub(n))
    }
}

impl Storage for MemLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.purged {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let most = max_size.into().unwrap_or(u64::MAX);
        let mut out = Vec::new();
        let mut sum = 0u64;
        let skip = (low - self.purged - 1) as usize;
        for e in self.entries.iter().skip(skip).take((high - low) as usize) {
            sum += size(e) as u64;
            if sum > most && !out.is_empty() {
                break;
            }
            out.push(e.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.purged {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_at(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.purged + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if let Some(s) = &*self.snapshot.borrow() {
            let index = s.get_metadata().index;
            if index >= request_index && index >= self.purged {
                return Ok(s.clone());
            }
        }
        self.wanted.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
