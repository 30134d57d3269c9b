//! One replica: its Raft group, and what waits for it.

use std::collections::{BTreeMap, VecDeque};

use qd_kv_model::{LogWrite, NodeId, PeerId, RegionLog, RegionState};
use raft::eraftpb::Message;
use raft::{RawNode, StateRole};
use slog::{Discard, Logger, o};

use crate::codec;
use crate::memlog::MemLog;
use crate::node::Config;
use crate::work::{NodeError, Refusal};

/// Proposals of a region that may be under way at once.
const MOST_PROPOSALS: usize = 4096;
/// Reads of a region that may wait at once.
const MOST_READS: usize = 16_384;

pub(crate) struct Proposal {
    pub(crate) id: u64,
    pub(crate) index: u64,
    pub(crate) term: u64,
}

/// Reads that share a question to the other peers.
pub(crate) struct Asked {
    pub(crate) ids: Vec<u64>,
    pub(crate) since: u64,
}

pub(crate) struct Peer {
    pub(crate) raw: RawNode<MemLog>,
    /// As applied. Of a peer that has no snapshot yet, only region and peer numbers are right.
    pub(crate) state: RegionState,
    pub(crate) initialized: bool,
    pub(crate) proposals: VecDeque<Proposal>,
    pub(crate) new_reads: Vec<u64>,
    pub(crate) asked: BTreeMap<u64, Asked>,
    /// Reads that wait until this index is applied.
    pub(crate) waiting: Vec<(u64, u64)>,
    next_ask: u64,
    /// Where peers live that the region does not name, or not yet.
    pub(crate) nodes: BTreeMap<PeerId, NodeId>,
    /// Snapshots on their way: to whom, since when.
    pub(crate) sending: BTreeMap<PeerId, u64>,
    /// The region of a snapshot that was taken and is not on disk yet.
    pub(crate) coming: Option<RegionState>,
    /// The number of the work that puts it there.
    pub(crate) installing: Option<u64>,
    pub(crate) role: StateRole,
    pub(crate) leader: PeerId,
}

/// Spreads the times at which peers stand for election: the same for the same place, seed and term, whoever asks.
fn spread(seed: u64, peer: PeerId, term: u64, width: usize) -> usize {
    let mut h = seed ^ peer.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..3 {
        h ^= h >> 31;
        h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    (h >> 33) as usize % width
}

impl Peer {
    pub(crate) fn new(
        config: &Config,
        state: RegionState,
        initialized: bool,
        log: &RegionLog,
    ) -> Result<Self, NodeError> {
        let region = state.region.id;
        let conf = if initialized {
            codec::conf_state(&state.region)
        } else {
            Default::default()
        };
        let store = MemLog::new(log, conf);
        let raft_config = raft::Config {
            id: state.peer,
            election_tick: config.election_ticks,
            heartbeat_tick: config.heartbeat_ticks,
            applied: if initialized { state.applied } else { 0 },
            max_size_per_msg: config.message_bytes,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: config.uncommitted_bytes.max(config.message_bytes),
            max_committed_size_per_ready: config.message_bytes.max(1 << 20),
            ..raft::Config::default()
        };
        let raw = RawNode::new(&raft_config, store, &Logger::root(Discard, o!()))
            .map_err(|source| NodeError::Raft { region, source })?;
        let mut peer = Self {
            raw,
            state,
            initialized,
            proposals: VecDeque::new(),
            new_reads: Vec::new(),
            asked: BTreeMap::new(),
            waiting: Vec::new(),
            next_ask: 0,
            nodes: BTreeMap::new(),
            sending: BTreeMap::new(),
            coming: None,
            installing: None,
            role: StateRole::Follower,
            leader: 0,
        };
        peer.settle(config);
        Ok(peer)
    }

    pub(crate) fn id(&self) -> PeerId {
        self.state.peer
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// To be called after everything that may have changed the term: Raft draws the time of its next election from a
    /// source of chance of its own, which nobody could repeat.
    pub(crate) fn settle(&mut self, config: &Config) {
        let wait = config.election_ticks + spread(config.seed, self.id(), self.raw.raft.term, config.election_ticks);
        self.raw.raft.set_randomized_election_timeout(wait);
    }

    pub(crate) fn not_leader(&self) -> Refusal {
        let leader = self.raw.raft.leader_id;
        Refusal::NotLeader {
            region: self.state.region.id,
            leader: (leader != 0).then_some(leader),
        }
    }

    /// Proposes by `f`, which must append exactly one entry or nothing.
    pub(crate) fn propose(
        &mut self,
        id: u64,
        term: Option<u64>,
        f: impl FnOnce(&mut RawNode<MemLog>) -> raft::Result<()>,
    ) -> Result<(), Refusal> {
        let region = self.state.region.id;
        if !self.is_leader() {
            return Err(self.not_leader());
        }
        if term.is_some_and(|t| t != self.raw.raft.term) {
            return Err(Refusal::TermChanged(region));
        }
        if self.proposals.len() >= MOST_PROPOSALS {
            return Err(Refusal::Busy(region));
        }
        let before = self.raw.raft.raft_log.last_index();
        // Dropped: leadership is on its way to somebody else, or too much is not committed yet.
        f(&mut self.raw).map_err(|_| Refusal::Busy(region))?;
        let index = self.raw.raft.raft_log.last_index();
        if index == before {
            return Err(Refusal::Busy(region));
        }
        self.proposals.push_back(Proposal {
            id,
            index,
            term: self.raw.raft.term,
        });
        Ok(())
    }

    pub(crate) fn read(&mut self, id: u64) -> Result<(), Refusal> {
        let region = self.state.region.id;
        let waiting =
            self.new_reads.len() + self.waiting.len() + self.asked.values().map(|a| a.ids.len()).sum::<usize>();
        if waiting >= MOST_READS {
            return Err(Refusal::Busy(region));
        }
        if self.is_leader() {
            // Before it has committed an entry of its own it does not know how far its predecessor came.
            if !self.raw.raft.commit_to_current_term() {
                return Err(Refusal::NotReady(region));
            }
        } else if self.raw.raft.leader_id == 0 {
            return Err(self.not_leader());
        }
        self.new_reads.push(id);
        Ok(())
    }

    /// Asks the other peers, once for all reads that are new.
    pub(crate) fn ask(&mut self, now: u64) {
        if self.new_reads.is_empty() {
            return;
        }
        self.next_ask += 1;
        let ids = std::mem::take(&mut self.new_reads);
        self.asked.insert(self.next_ask, Asked { ids, since: now });
        let mut context = self.id().to_be_bytes().to_vec();
        context.extend_from_slice(&self.next_ask.to_be_bytes());
        self.raw.read_index(context);
    }

    /// The number of the question a read state answers, if it is one of this peer's.
    pub(crate) fn asked_by(&self, context: &[u8]) -> Option<u64> {
        let (peer, ask) = (context.get(..8)?, context.get(8..16)?);
        (peer == self.id().to_be_bytes()).then(|| ask.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Where a peer lives.
    pub(crate) fn node_of(&self, peer: PeerId) -> Option<NodeId> {
        self.state
            .region
            .peer(peer)
            .map(|p| p.node)
            .or_else(|| self.nodes.get(&peer).copied())
    }

    pub(crate) fn step(&mut self, m: Message) {
        // What is not for it, or of somebody it does not know, it refuses, and that is all there is to it.
        let _ = self.raw.step(m);
    }

    /// How far the log may be purged when the data is durable up to `durable`.
    pub(crate) fn purge(&mut self, durable: u64, config: &Config) -> Option<LogWrite> {
        let most = durable.min(self.state.applied).min(self.raw.raft.raft_log.applied());
        let log = self.raw.store();
        let crowded = log.bytes > config.log_bytes || log.last() - log.purged > config.log_entries;
        let mut to = most;
        if self.is_leader() && !crowded {
            // A peer that is a little behind gets the entries, which is cheaper than a snapshot.
            for (_, progress) in self.raw.raft.prs().iter() {
                to = to.min(progress.matched);
            }
        }
        let to = to.min(most.saturating_sub(config.keep_entries));
        if to <= log.purged {
            return None;
        }
        let term = log.term_at(to)?;
        self.raw.mut_store().purge(to);
        Some(LogWrite::Purge(self.state.region.id, to, term))
    }
}
