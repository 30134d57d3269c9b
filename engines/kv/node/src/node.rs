//! All regions of a node, and how they are driven.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use qd_kv_model::{
    Admin, Command, HardState, LogWrite, NewRegion, NodeId, Payload, PeerChange, PeerId, Region, RegionId, RegionLog,
    RegionState,
};
use raft::eraftpb::{Message, MessageType};
use raft::{SnapshotStatus, StateRole};

use crate::codec;
use crate::peer::Peer;
use crate::view::{RegionView, view};
use crate::work::{ApplyTask, Body, Envelope, Event, Install, NodeError, Refusal, Work};

/// How a node behaves. Times are in ticks.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// A peer that hears of no leader for this long, and up to twice as long, stands for election.
    pub election_ticks: usize,
    /// A leader is heard of so often.
    pub heartbeat_ticks: usize,
    /// What the times of elections are spread by. Nodes should have different ones.
    pub seed: u64,
    /// The largest message of entries, in bytes; a single entry may be larger.
    pub message_bytes: u64,
    /// So many bytes of a region may be proposed and not committed.
    pub uncommitted_bytes: u64,
    /// Beyond so many bytes of log, peers that are behind get a snapshot.
    pub log_bytes: usize,
    /// The same in entries.
    pub log_entries: u64,
    /// So many applied entries stay in the log in any case.
    pub keep_entries: u64,
}

impl Config {
    /// With ticks of 100 ms: a second without a leader before an election, heartbeats every 200 ms.
    pub const fn new(node: NodeId, seed: u64) -> Self {
        Self {
            node,
            election_ticks: 10,
            heartbeat_ticks: 2,
            seed,
            message_bytes: 1 << 20,
            uncommitted_bytes: 32 << 20,
            log_bytes: 16 << 20,
            log_entries: 50_000,
            keep_entries: 64,
        }
    }
}

/// What waits for a work to be on disk.
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) peers: Vec<(RegionId, PeerId, u64, Vec<Envelope>)>,
}

/// A node.
pub struct Node {
    pub(crate) config: Config,
    pub(crate) peers: BTreeMap<RegionId, Peer>,
    /// Logs of regions that are not, or not yet: their hard states must be honoured should they come.
    pub(crate) orphans: BTreeMap<RegionId, RegionLog>,
    /// Peers that were removed from here: the newest number, and when their log may go.
    pub(crate) gone: BTreeMap<RegionId, (RegionState, bool)>,
    pub(crate) pending: VecDeque<Pending>,
    seq: u64,
    now: u64,
    pub(crate) out: Work,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("node", &self.config.node)
            .field("regions", &self.peers.len())
            .finish()
    }
}

impl Node {
    /// A node that finds what the disk has: the regions as applied, and the logs.
    ///
    /// # Errors
    /// When log and data cannot both be right.
    pub fn new(config: Config, regions: Vec<RegionState>, logs: Vec<RegionLog>) -> Result<Self, NodeError> {
        let mut node = Self {
            config,
            peers: BTreeMap::new(),
            orphans: logs.into_iter().map(|l| (l.region, l)).collect(),
            gone: BTreeMap::new(),
            pending: VecDeque::new(),
            seq: 0,
            now: 0,
            out: Work::default(),
        };
        for state in regions {
            if state.gone {
                // A peer that comes after it must not vote again in a term in which one has voted here.
                let logged = node.orphans.contains_key(&state.region.id);
                node.gone.insert(state.region.id, (state, !logged));
            } else {
                node.bring_up(state)?;
            }
        }
        Ok(node)
    }

    /// Makes a peer of a region whose data is here.
    pub(crate) fn bring_up(&mut self, state: RegionState) -> Result<(), NodeError> {
        let region = state.region.id;
        let mut log = self.orphans.remove(&region).unwrap_or_else(|| RegionLog {
            region,
            ..RegionLog::default()
        });
        if let Some(old) = self.peers.remove(&region) {
            // It was made for a message before the split that brings it was applied here.
            log.hard = codec::hard(&old.raw.raft.hard_state());
        }
        let last = log.purged + log.entries.len() as u64;
        let term = if state.applied == log.purged {
            Some(log.purged_term)
        } else {
            state
                .applied
                .checked_sub(log.purged + 1)
                .and_then(|at| log.entries.get(usize::try_from(at).ok()?))
                .map(|e| e.term)
        };
        if term != Some(state.applied_term) {
            if state.applied < log.purged {
                return Err(NodeError::Disorder {
                    region,
                    what: format!(
                        "the log begins at {}, the data ends at {}",
                        log.purged + 1,
                        state.applied
                    ),
                });
            }
            // The data came by a snapshot, or is new; the log was not told before the end.
            log.entries.clear();
            (log.purged, log.purged_term) = (state.applied, state.applied_term);
            self.out
                .writes
                .push(LogWrite::Reset(region, state.applied, state.applied_term));
        }
        let last = if log.entries.is_empty() { log.purged } else { last };
        let mut hard = log.hard;
        if hard.term < state.applied_term {
            hard = HardState {
                term: state.applied_term,
                vote: 0,
                commit: hard.commit,
            };
        }
        hard.commit = hard.commit.max(state.applied).min(last);
        if hard != log.hard {
            log.hard = hard;
            self.out.writes.push(LogWrite::State(region, hard));
        }
        self.gone.remove(&region);
        let alone = state.region.peers.len() == 1;
        let mut peer = Peer::new(&self.config, state, true, &log)?;
        if alone && peer.raw.raft.promotable() {
            let _ = peer.raw.campaign();
            peer.settle(&self.config);
        }
        self.peers.insert(region, peer);
        Ok(())
    }

    /// Time passes.
    pub fn tick(&mut self) {
        self.now += 1;
        let late = self.now.saturating_sub(2 * self.config.election_ticks as u64);
        for (region, peer) in &mut self.peers {
            if peer.raw.tick() {
                peer.settle(&self.config);
            }
            // A snapshot of which nothing is heard is sent again.
            let lost: Vec<PeerId> = peer
                .sending
                .iter()
                .filter(|(_, at)| **at < late)
                .map(|(p, _)| *p)
                .collect();
            for p in lost {
                peer.sending.remove(&p);
                peer.raw.mut_store().drop_snapshot();
                peer.raw.report_snapshot(p, SnapshotStatus::Failure);
            }
            // The question, or its answer, was lost.
            let lost: Vec<u64> = peer
                .asked
                .iter()
                .filter(|(_, a)| a.since < late)
                .map(|(n, _)| *n)
                .collect();
            for n in lost {
                for id in peer.asked.remove(&n).into_iter().flat_map(|a| a.ids) {
                    self.out.reads.push((id, Err(Refusal::Timeout(*region))));
                }
            }
        }
    }

    fn peer(&mut self, region: RegionId) -> Result<&mut Peer, Refusal> {
        self.peers
            .get_mut(&region)
            .filter(|p| p.initialized)
            .ok_or(Refusal::NoRegion(region))
    }

    /// Proposes writes. The outcome comes with a [`Work`], by `id`. With `term`, only if the region is still led in that
    /// term ([`Node::leads`]): what was read under it is still the newest then.
    ///
    /// # Errors
    /// When this is not the place or time; nothing will come then.
    pub fn propose(&mut self, region: RegionId, id: u64, term: Option<u64>, payload: Payload) -> Result<(), Refusal> {
        let peer = self.peer(region)?;
        let command = Command {
            epoch: peer.state.region.epoch,
            payload,
        };
        if matches!(command.payload, Payload::Admin(Admin::Peers(_))) {
            return Err(Refusal::Bad("peers are changed by a proposal of their own".to_owned()));
        }
        peer.propose(id, term, |raw| raw.propose(vec![], command.encode()))
    }

    /// Proposes to split a region before keys; the numbers must never have been used.
    ///
    /// # Errors
    /// As [`Node::propose`].
    pub fn propose_split(&mut self, region: RegionId, id: u64, new: Vec<NewRegion>) -> Result<(), Refusal> {
        self.propose(region, id, None, Payload::Admin(Admin::Split(new)))
    }

    /// Proposes to change a region's peers.
    ///
    /// # Errors
    /// As [`Node::propose`], and when the change makes no sense now.
    pub fn propose_peers(&mut self, region: RegionId, id: u64, changes: Vec<PeerChange>) -> Result<(), Refusal> {
        let peer = self.peer(region)?;
        if !peer.is_leader() {
            return Err(peer.not_leader());
        }
        if peer.raw.raft.has_pending_conf() {
            return Err(Refusal::Busy(region));
        }
        peer.state
            .region
            .changed(&changes)
            .map_err(|e| Refusal::Bad(e.to_string()))?;
        let me = peer.id();
        if changes.iter().any(|c| c.id() == me) {
            return Err(Refusal::Bad(
                "the leader cannot change its own role; move the leadership first".to_owned(),
            ));
        }
        let cc = codec::conf_change(&changes);
        let context = Command {
            epoch: peer.state.region.epoch,
            payload: Payload::Admin(Admin::Peers(changes)),
        }
        .encode();
        peer.propose(id, None, |raw| raw.propose_conf_change(context, cc))
    }

    /// Asks when the region's data, as applied here, has everything that was acknowledged before now. The answer comes with
    /// a [`Work`], by `id`. A follower asks its leader.
    ///
    /// # Errors
    /// When this is not the place or time; nothing will come then.
    pub fn read(&mut self, region: RegionId, id: u64) -> Result<(), Refusal> {
        self.peer(region)?.read(id)
    }

    /// The term in which this node leads a region and has applied everything from before: what it reads of its data then
    /// is the newest, if a proposal with that term succeeds.
    ///
    /// # Errors
    /// When it does not lead, or is not ready.
    pub fn leads(&self, region: RegionId) -> Result<u64, Refusal> {
        let peer = self
            .peers
            .get(&region)
            .filter(|p| p.initialized)
            .ok_or(Refusal::NoRegion(region))?;
        if !peer.is_leader() {
            return Err(peer.not_leader());
        }
        if peer.state.applied_term != peer.raw.raft.term {
            return Err(Refusal::NotReady(region));
        }
        Ok(peer.raw.raft.term)
    }

    /// Hands the leadership to another peer, as soon as that has everything.
    ///
    /// # Errors
    /// When this is not the leader, or that is no voter.
    pub fn transfer_leader(&mut self, region: RegionId, to: PeerId) -> Result<(), Refusal> {
        let peer = self.peer(region)?;
        if !peer.is_leader() {
            return Err(peer.not_leader());
        }
        if !codec::conf_state(&peer.state.region).voters.contains(&to) {
            return Err(Refusal::Bad(format!("peer {to} is no voter of region {region}")));
        }
        peer.raw.transfer_leader(to);
        Ok(())
    }

    /// Stands for election at once.
    ///
    /// # Errors
    /// When the region is not here.
    pub fn campaign(&mut self, region: RegionId) -> Result<(), Refusal> {
        let config = self.config.clone();
        let peer = self.peer(region)?;
        let _ = peer.raw.campaign();
        peer.settle(&config);
        Ok(())
    }

    /// The region as applied here.
    pub fn region(&self, region: RegionId) -> Option<&Region> {
        self.peers
            .get(&region)
            .filter(|p| p.initialized)
            .map(|p| &p.state.region)
    }

    /// The region that has a stored key.
    pub fn region_of(&self, key: &[u8]) -> Option<&Region> {
        self.peers
            .values()
            .filter(|p| p.initialized)
            .map(|p| &p.state.region)
            .find(|r| r.contains(key))
    }

    /// All regions as this node sees them.
    pub fn view(&self) -> Vec<RegionView> {
        self.peers.values().filter(|p| p.initialized).map(view).collect()
    }

    /// The last entries of a region's log: index, term, content.
    pub fn log_tail(&self, region: RegionId, n: usize) -> Vec<qd_kv_model::LogEntry> {
        self.peers
            .get(&region)
            .map_or_else(Vec::new, |p| p.raw.store().tail(n).map(codec::log_entry).collect())
    }

    /// This node's peer of a region is not one any more.
    pub(crate) fn destroy(&mut self, region: RegionId) {
        let Some(peer) = self.peers.remove(&region) else { return };
        self.refuse_all(peer, Refusal::NoRegion);
    }

    pub(crate) fn refuse_all(&mut self, mut peer: Peer, why: impl Fn(RegionId) -> Refusal) {
        let region = peer.state.region.id;
        for p in peer.proposals.drain(..) {
            self.out.outcomes.push((p.id, Err(Refusal::Timeout(region))));
        }
        let asked = peer.asked.values().flat_map(|a| a.ids.iter());
        for id in peer
            .new_reads
            .iter()
            .chain(asked)
            .chain(peer.waiting.iter().map(|(_, id)| id))
        {
            self.out.reads.push((*id, Err(why(region))));
        }
        // An empty peer has no data; one with a snapshot on its way may have.
        let mut state = peer.coming.take().unwrap_or(peer.state);
        state.gone = true;
        let has_data = peer.initialized || !state.region.peers.is_empty();
        if has_data {
            self.out.destroy.push(state.clone());
            let (purged, purged_term) = (peer.raw.store().purged, peer.raw.store().purged_term);
            let hard = codec::hard(&peer.raw.raft.hard_state());
            self.orphans.insert(
                region,
                RegionLog {
                    region,
                    hard,
                    purged,
                    purged_term,
                    entries: vec![],
                },
            );
        } else {
            self.out.writes.push(LogWrite::Forget(region));
        }
        self.out.events.push(Event::Gone(region));
        self.gone.insert(region, (state, !has_data));
    }

    /// What is to be done by now. To be asked after everything else, until it is empty.
    ///
    /// # Errors
    /// When Raft or an entry cannot be gone on from; the node must stop.
    pub fn work(&mut self) -> Result<Work, NodeError> {
        let mut waits = Vec::new();
        let ids: Vec<RegionId> = self.peers.keys().copied().collect();
        for region in ids {
            self.ready(region, &mut waits)?;
        }
        let mut work = std::mem::take(&mut self.out);
        if !waits.is_empty() || !work.writes.is_empty() || !work.installs.is_empty() {
            self.seq += 1;
            if work.writes.is_empty() && work.installs.is_empty() && self.pending.is_empty() {
                // Nothing has to be on disk for it.
                for (region, id, number, messages) in waits {
                    self.on_persisted(region, id, number);
                    work.send.extend(messages);
                }
            } else {
                work.seq = Some(self.seq);
                self.pending.push_back(Pending {
                    seq: self.seq,
                    peers: waits,
                });
            }
        }
        Ok(work)
    }

    fn ready(
        &mut self,
        region: RegionId,
        waits: &mut Vec<(RegionId, PeerId, u64, Vec<Envelope>)>,
    ) -> Result<(), NodeError> {
        let (me, now) = (self.config.node, self.now);
        let Some(peer) = self.peers.get_mut(&region) else {
            return Ok(());
        };
        peer.ask(now);
        if !peer.raw.has_ready() {
            if peer.raw.store().take_wanted() && peer.initialized {
                self.out.snapshots.push(region);
            }
            return Ok(());
        }
        let mut rd = peer.raw.ready();
        for m in rd.take_messages() {
            self.out.send.extend(envelope(me, now, peer, m));
        }
        if let Some(ss) = rd.ss() {
            let term = peer.raw.raft.term;
            if ss.raft_state != peer.role || ss.leader_id != peer.leader {
                let event = match ss.raft_state {
                    StateRole::Leader if peer.role != StateRole::Leader => Some(Event::Leads { region, term }),
                    StateRole::Leader => None,
                    _ => Some(Event::Follows {
                        region,
                        term,
                        leader: ss.leader_id,
                    }),
                };
                self.out.events.extend(event);
                (peer.role, peer.leader) = (ss.raft_state, ss.leader_id);
            }
        }
        for state in rd.take_read_states() {
            if let Some(asked) = peer.asked_by(&state.request_ctx).and_then(|n| peer.asked.remove(&n)) {
                peer.waiting.extend(asked.ids.into_iter().map(|id| (state.index, id)));
            }
        }
        if !rd.snapshot().is_empty() {
            let (mut state, data) =
                codec::read_snapshot(rd.snapshot()).map_err(|source| NodeError::Codec { region, source })?;
            state.peer = peer.id();
            let data = data.to_vec();
            peer.raw.mut_store().reset(state.applied, state.applied_term);
            peer.raw.mut_store().conf = codec::conf_state(&state.region);
            self.out
                .writes
                .push(LogWrite::Reset(region, state.applied, state.applied_term));
            self.out.installs.push(Install { state, data });
            peer.installing = Some(rd.number());
        }
        if !rd.entries().is_empty() {
            peer.raw.mut_store().append(rd.entries());
            self.out.writes.push(LogWrite::Append(
                region,
                rd.entries().iter().map(codec::log_entry).collect(),
            ));
        }
        if let Some(hs) = rd.hs() {
            // A newer commit alone is not worth a write: it is found again.
            let old = &peer.raw.store().hard;
            let promise = hs.term != old.term || hs.vote != old.vote;
            peer.raw.mut_store().hard = hs.clone();
            if promise || rd.must_sync() {
                self.out.writes.push(LogWrite::State(region, codec::hard(hs)));
            }
        }
        let committed = rd.take_committed_entries();
        if !committed.is_empty() {
            let entries = committed.iter().map(codec::log_entry).collect();
            self.out.apply.push(ApplyTask { region, entries });
        }
        let mut messages = Vec::new();
        for m in rd.take_persisted_messages() {
            messages.extend(envelope(me, now, peer, m));
        }
        let number = rd.number();
        peer.raw.advance_append_async(rd);
        waits.push((region, peer.id(), number, messages));
        if peer.raw.store().take_wanted() && peer.initialized {
            self.out.snapshots.push(region);
        }
        self.answer_reads(region);
        Ok(())
    }

    /// Regions of which peers are here, with or without data.
    pub fn regions(&self) -> BTreeSet<RegionId> {
        self.peers.keys().copied().collect()
    }
}

fn envelope(me: NodeId, now: u64, peer: &mut Peer, m: Message) -> Option<Envelope> {
    let to = peer.node_of(m.to)?;
    if m.get_msg_type() == MessageType::MsgSnapshot {
        peer.sending.insert(m.to, now);
    }
    let region = &peer.state.region;
    Some(Envelope {
        from: me,
        to,
        region: region.id,
        from_peer: peer.id(),
        to_peer: m.to,
        epoch: region.epoch,
        range: (region.start.clone(), region.end.clone()),
        body: Body::Raft(Box::new(m)),
    })
}
