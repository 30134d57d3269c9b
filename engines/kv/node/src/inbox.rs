//! Messages of other nodes: what is for whom, and what makes a peer come or go.

use qd_kv_model::{Epoch, HardState, LogWrite, NodeId, PeerId, Range, Region, RegionId, RegionLog, RegionState};
use raft::eraftpb::{Message, MessageType};

use crate::codec;
use crate::node::Node;
use crate::peer::Peer;
use crate::work::{Body, Envelope, NodeError};

impl Node {
    /// A message came.
    pub fn receive(&mut self, env: Envelope) {
        if let Some((state, _)) = self.gone.get(&env.region)
            && state.peer >= env.to_peer
        {
            // Whoever speaks to a peer that is gone and not of the region any more is gone too, and does not know.
            let (epoch, member) = (state.region.epoch, state.region.peer(env.from_peer).is_some());
            if !member && env.epoch.conf_ver < epoch.conf_ver {
                self.say_gone(&env, epoch);
            }
            return;
        }
        match self.peers.get(&env.region) {
            Some(p) if env.to_peer < p.id() => return,
            Some(p) if env.to_peer > p.id() => {
                // Another peer of the region was put on this node, so this one was taken away from it.
                if p.initialized || p.coming.is_none() {
                    self.destroy(env.region);
                }
                return;
            }
            Some(p) if p.initialized => {
                let epoch = p.state.region.epoch;
                let member = p.state.region.peer(env.from_peer).is_some();
                if !member && env.epoch.conf_ver < epoch.conf_ver && matches!(env.body, Body::Raft(_)) {
                    self.say_gone(&env, epoch);
                    return;
                }
            }
            Some(_) => {}
            None => {
                if !self.may_be_new(&env) || self.bring_up_empty(&env).is_err() {
                    return;
                }
            }
        }
        match env.body {
            Body::Gone(epoch) => {
                if self
                    .peers
                    .get(&env.region)
                    .is_some_and(|p| p.initialized && p.state.region.epoch.conf_ver < epoch.conf_ver)
                {
                    self.destroy(env.region);
                }
            }
            Body::Raft(m) => self.step(env.region, env.from_peer, env.from, *m),
        }
    }

    fn step(&mut self, region: RegionId, from_peer: PeerId, from: NodeId, m: Message) {
        let coming = if m.get_msg_type() == MessageType::MsgSnapshot {
            match self.admit(region, &m) {
                Some(state) => Some(state),
                None => return,
            }
        } else {
            None
        };
        let Some(peer) = self.peers.get_mut(&region) else {
            return;
        };
        peer.nodes.insert(from_peer, from);
        while peer.nodes.len() > 64 {
            peer.nodes.pop_first();
        }
        let index = m.get_snapshot().get_metadata().index;
        peer.step(m);
        peer.settle(&self.config);
        if let Some(state) = coming
            && peer.raw.snap().is_some_and(|s| s.get_metadata().index == index)
        {
            peer.coming = Some(state);
        }
    }

    /// Whether a snapshot can be taken: it is of this peer's region, and no other region here has its keys.
    fn admit(&self, region: RegionId, m: &Message) -> Option<RegionState> {
        let (mut state, _) = codec::read_snapshot(m.get_snapshot()).ok()?;
        let me = self.peers.get(&region)?;
        state.region.peer(me.id())?;
        let meta = m.get_snapshot().get_metadata();
        if state.region.id != region || state.applied != meta.index || state.applied_term != meta.term {
            return None;
        }
        // One that is on its way to the disk is not overtaken.
        if me.coming.is_some() || self.taken(region, state.region.range()) {
            return None;
        }
        state.peer = me.id();
        Some(state)
    }

    /// Whether another region here has keys of a range, or will have.
    fn taken(&self, but: RegionId, range: Range<'_>) -> bool {
        self.peers.iter().filter(|(id, _)| **id != but).any(|(_, p)| {
            (p.initialized && p.state.region.overlaps(range))
                || p.coming.as_ref().is_some_and(|c| c.region.overlaps(range))
        })
    }

    fn may_be_new(&self, env: &Envelope) -> bool {
        let Body::Raft(m) = &env.body else { return false };
        let from_leader = matches!(
            m.get_msg_type(),
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
        );
        // When keys of it are here, a split that was not applied yet brings the region, or a peer goes first.
        from_leader && env.to_peer != 0 && !self.taken(env.region, Range::new(&env.range.0, &env.range.1))
    }

    fn bring_up_empty(&mut self, env: &Envelope) -> Result<(), NodeError> {
        let old = self.orphans.remove(&env.region).unwrap_or_default();
        if old.purged > 0 || !old.entries.is_empty() {
            // What is left of a peer that was here before.
            self.out.writes.push(LogWrite::Reset(env.region, 0, 0));
        }
        // The vote counts; entries of a peer without data do not.
        let hard = HardState { commit: 0, ..old.hard };
        let log = RegionLog {
            region: env.region,
            hard,
            ..RegionLog::default()
        };
        let region = Region {
            id: env.region,
            ..Region::default()
        };
        let state = RegionState {
            region,
            peer: env.to_peer,
            applied: 0,
            applied_term: 0,
            gone: false,
        };
        let mut peer = Peer::new(&self.config, state, false, &log)?;
        peer.nodes.insert(env.from_peer, env.from);
        self.peers.insert(env.region, peer);
        Ok(())
    }

    fn say_gone(&mut self, env: &Envelope, epoch: Epoch) {
        self.out.send.push(Envelope {
            from: env.to,
            to: env.from,
            region: env.region,
            from_peer: env.to_peer,
            to_peer: env.from_peer,
            epoch,
            range: env.range.clone(),
            body: Body::Gone(epoch),
        });
    }
}
