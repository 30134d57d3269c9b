//! Between our values and Raft's.

use qd_kv_model::{HardState, LogEntry, PeerChange, Region, RegionState, Role, Writer};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType,
    HardState as RaftHard, Snapshot,
};

pub(crate) fn log_entry(e: &Entry) -> LogEntry {
    let kind = match e.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    };
    LogEntry {
        index: e.index,
        term: e.term,
        kind,
        data: e.data.to_vec(),
        context: e.context.to_vec(),
    }
}

pub(crate) fn raft_entry(e: &LogEntry) -> Entry {
    let mut out = Entry::default();
    out.set_entry_type(match e.kind {
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    });
    out.index = e.index;
    out.term = e.term;
    out.data = e.data.clone().into();
    out.context = e.context.clone().into();
    out
}

pub(crate) fn hard(h: &RaftHard) -> HardState {
    HardState {
        term: h.term,
        vote: h.vote,
        commit: h.commit,
    }
}

pub(crate) fn raft_hard(h: HardState) -> RaftHard {
    let mut out = RaftHard::default();
    (out.term, out.vote, out.commit) = (h.term, h.vote, h.commit);
    out
}

/// What Raft knows of a region's peers.
pub(crate) fn conf_state(region: &Region) -> ConfState {
    let mut out = ConfState::default();
    let joint = region.is_joint();
    for p in &region.peers {
        match p.role {
            Role::Voter => {
                out.voters.push(p.id);
                if joint {
                    out.voters_outgoing.push(p.id);
                }
            }
            Role::Learner => out.learners.push(p.id),
            Role::Incoming => out.voters.push(p.id),
            Role::Demoting => {
                out.voters_outgoing.push(p.id);
                out.learners_next.push(p.id);
            }
        }
    }
    out.auto_leave = joint;
    out
}

/// Whether two say the same, in whatever order.
pub(crate) fn same_conf(a: &ConfState, b: &ConfState) -> bool {
    let sorted = |v: &[u64]| {
        let mut v = v.to_vec();
        v.sort_unstable();
        v
    };
    sorted(&a.voters) == sorted(&b.voters)
        && sorted(&a.learners) == sorted(&b.learners)
        && sorted(&a.voters_outgoing) == sorted(&b.voters_outgoing)
        && sorted(&a.learners_next) == sorted(&b.learners_next)
        && a.auto_leave == b.auto_leave
}

/// A change as Raft wants it: one at once, several by a joint configuration that it leaves by itself.
pub(crate) fn conf_change(changes: &[PeerChange]) -> ConfChangeV2 {
    let mut out = ConfChangeV2::default();
    out.set_transition(if changes.len() > 1 {
        ConfChangeTransition::Implicit
    } else {
        ConfChangeTransition::Auto
    });
    for c in changes {
        let mut single = ConfChangeSingle {
            node_id: c.id(),
            ..ConfChangeSingle::default()
        };
        single.set_change_type(match c {
            PeerChange::Voter { .. } => ConfChangeType::AddNode,
            PeerChange::Learner { .. } => ConfChangeType::AddLearnerNode,
            PeerChange::Remove { .. } => ConfChangeType::RemoveNode,
        });
        out.mut_changes().push(single);
    }
    out
}

/// A snapshot with its data.
pub(crate) fn snapshot(state: &RegionState, data: &[u8]) -> Snapshot {
    let mut w = Writer::with_capacity(data.len() + 256);
    w.bytes(&state.encode()).bytes(data);
    let mut out = Snapshot {
        data: w.finish().into(),
        ..Snapshot::default()
    };
    let meta = out.mut_metadata();
    meta.index = state.applied;
    meta.term = state.applied_term;
    meta.set_conf_state(conf_state(&state.region));
    out
}

/// What a snapshot says of its region, and the data.
pub(crate) fn read_snapshot(s: &Snapshot) -> Result<(RegionState, &[u8]), qd_kv_model::CodecError> {
    let mut r = qd_kv_model::Reader::new("snapshot", &s.data);
    let state = RegionState::decode(r.bytes()?)?;
    let data = r.bytes()?;
    r.end()?;
    Ok((state, data))
}
