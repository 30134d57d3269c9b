//! What a node gives to do, and what it is told.

use qd_kv_model::{CodecError, Epoch, LogEntry, LogWrite, NodeId, PeerId, Region, RegionId, RegionState};
use raft::eraftpb::Message;

use crate::Outcome;

/// What one peer says to another.
#[derive(Debug, Clone)]
pub enum Body {
    /// A message of Raft.
    Raft(Box<Message>),
    /// The peer it is for was removed; the region is at this epoch.
    Gone(Epoch),
}

/// A message on its way to another node.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The node that sends it.
    pub from: NodeId,
    /// The node it is for.
    pub to: NodeId,
    /// The region it is about.
    pub region: RegionId,
    /// The peer that sends it.
    pub from_peer: PeerId,
    /// The peer it is for.
    pub to_peer: PeerId,
    /// The sender's view of the region's shape.
    pub epoch: Epoch,
    /// The region's range, as the sender knows it: start and end. A node that has no such peer needs it to tell a new peer
    /// from one that a split will bring.
    pub range: (Vec<u8>, Vec<u8>),
    /// What is said.
    pub body: Body,
}

/// Why something is not done. But for [`Refusal::Timeout`] nothing was, and it may be tried again, elsewhere if so said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node has no such region.
    #[error("region {0} is not on this node")]
    NoRegion(RegionId),
    /// Another peer leads.
    #[error("region {region} is not led here, but by {}", leader.map_or_else(|| "nobody yet".to_owned(), |p| format!("peer {p}")))]
    NotLeader {
        /// The region.
        region: RegionId,
        /// Who leads, if that is known.
        leader: Option<PeerId>,
    },
    /// The region has another shape by now.
    #[error("region {} is at another epoch", .0.id)]
    StaleEpoch(Box<Region>),
    /// The leader is new and does not know yet what was done before it.
    #[error("the leader of region {0} is not ready yet")]
    NotReady(RegionId),
    /// Leadership changed between a look at the data and the proposal.
    #[error("region {0} changed its leader meanwhile")]
    TermChanged(RegionId),
    /// Too much is under way.
    #[error("region {0} is busy")]
    Busy(RegionId),
    /// The proposal is lost: another leader's entry took its place.
    #[error("the proposal to region {0} was lost with its leader")]
    Lost(RegionId),
    /// It took too long, or the peer that should have said it is gone: what was proposed may have been done or not.
    #[error("region {0} did not answer in time")]
    Timeout(RegionId),
    /// It makes no sense.
    #[error("{0}")]
    Bad(String),
}

/// What cannot be gone on from: the node stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Raft refuses.
    #[error("region {region}: {source}")]
    Raft {
        /// The region.
        region: RegionId,
        /// Why.
        source: raft::Error,
    },
    /// An entry or a snapshot cannot be read.
    #[error("region {region}: {source}")]
    Codec {
        /// The region.
        region: RegionId,
        /// Why.
        source: CodecError,
    },
    /// Log and data cannot both be right.
    #[error("region {region}: {what}")]
    Disorder {
        /// The region.
        region: RegionId,
        /// What was found.
        what: String,
    },
}

/// Entries to apply, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyTask {
    /// Whose they are.
    pub region: RegionId,
    /// The entries.
    pub entries: Vec<LogEntry>,
}

/// A snapshot to put in the place of a region's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// What is known of the region then.
    pub state: RegionState,
    /// The data, as the sender's disk gave it.
    pub data: Vec<u8>,
}

/// Something to tell a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A peer of this node leads.
    Leads {
        /// The region.
        region: RegionId,
        /// Since which term.
        term: u64,
    },
    /// A peer of this node leads no more.
    Follows {
        /// The region.
        region: RegionId,
        /// In which term.
        term: u64,
        /// Who leads, or 0.
        leader: PeerId,
    },
    /// A region has a new shape, or is new here.
    Shape(Box<Region>),
    /// A snapshot was taken in place of a region's data.
    Installed {
        /// The region.
        region: RegionId,
        /// Up to which entry.
        index: u64,
    },
    /// This node's peer is gone.
    Gone(RegionId),
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Work {
    /// To be said to [`crate::Node::persisted`] when `installs` and `writes` are on disk, even if there are none.
    pub seq: Option<u64>,
    /// Messages that promise nothing, or nothing that is not on disk.
    pub send: Vec<Envelope>,
    /// Regions whose data is replaced. Durably, and before `writes`.
    pub installs: Vec<Install>,
    /// Writes of the log, all in one commit.
    pub writes: Vec<LogWrite>,
    /// Entries to apply.
    pub apply: Vec<ApplyTask>,
    /// Regions of which a snapshot is wanted ([`crate::Node::snapshot_built`]).
    pub snapshots: Vec<RegionId>,
    /// Regions whose data goes; the state is what remains to be known of them.
    pub destroy: Vec<RegionState>,
    /// What became of proposals, by their numbers.
    pub outcomes: Vec<(u64, Result<Outcome, Refusal>)>,
    /// Reads that may be done now, by their numbers: the data has everything up to the index.
    pub reads: Vec<(u64, Result<u64, Refusal>)>,
    /// What happened.
    pub events: Vec<Event>,
}

impl Work {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.seq.is_none()
            && self.send.is_empty()
            && self.apply.is_empty()
            && self.snapshots.is_empty()
            && self.destroy.is_empty()
            && self.outcomes.is_empty()
            && self.reads.is_empty()
            && self.events.is_empty()
    }
}
