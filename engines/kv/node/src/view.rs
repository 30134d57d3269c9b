//! What a node shows of itself.

use qd_kv_model::{PeerId, Region};
use raft::ProgressState;

use crate::peer::Peer;

/// A peer as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Its number.
    pub peer: PeerId,
    /// The last entry it is known to have.
    pub matched: u64,
    /// The next entry it is sent.
    pub next: u64,
    /// Whether it was heard of lately.
    pub active: bool,
    /// Whether it is being sent a snapshot.
    pub snapshot: bool,
}

/// A region as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionView {
    /// The region, as applied.
    pub region: Region,
    /// This node's peer.
    pub peer: PeerId,
    /// The newest term it has seen.
    pub term: u64,
    /// Who leads, or 0.
    pub leader: PeerId,
    /// Whether it leads.
    pub leads: bool,
    /// The last entry known to be committed.
    pub commit: u64,
    /// The last entry that is applied.
    pub applied: u64,
    /// The index before the first entry of the log.
    pub purged: u64,
    /// The last entry of the log.
    pub last: u64,
    /// The log's size in memory, in bytes.
    pub log_bytes: usize,
    /// Of a leader: the peers.
    pub peers: Vec<PeerView>,
}

pub(crate) fn view(p: &Peer) -> RegionView {
    let raft = &p.raw.raft;
    let leads = p.is_leader();
    let mut peers: Vec<PeerView> = Vec::new();
    if leads {
        peers.extend(raft.prs().iter().map(|(id, pr)| PeerView {
            peer: *id,
            matched: pr.matched,
            next: pr.next_idx,
            active: pr.recent_active || *id == p.id(),
            snapshot: pr.state == ProgressState::Snapshot,
        }));
        peers.sort_by_key(|v| v.peer);
    }
    RegionView {
        region: p.state.region.clone(),
        peer: p.id(),
        term: raft.term,
        leader: raft.leader_id,
        leads,
        commit: raft.raft_log.committed,
        applied: p.state.applied,
        purged: p.raw.store().purged,
        last: raft.raft_log.last_index(),
        log_bytes: p.raw.store().bytes,
        peers,
    }
}
