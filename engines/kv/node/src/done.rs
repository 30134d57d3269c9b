//! What the node hears of its own work: what is on disk, what is applied, what is durable in the data.

use qd_kv_model::{LogWrite, PeerId, RegionId, RegionState};

use crate::apply::Applied;
use crate::codec;
use crate::node::Node;
use crate::work::{Event, NodeError, Refusal};

impl Node {
    /// The work with this number is on disk, and with it all before.
    ///
    /// # Errors
    /// When Raft cannot go on.
    pub fn persisted(&mut self, seq: u64) -> Result<(), NodeError> {
        while let Some(first) = self.pending.front() {
            if first.seq > seq {
                break;
            }
            let Some(done) = self.pending.pop_front() else { break };
            for (region, id, number, messages) in done.peers {
                self.on_persisted(region, id, number);
                self.out.send.extend(messages);
            }
        }
        Ok(())
    }

    pub(crate) fn on_persisted(&mut self, region: RegionId, id: PeerId, number: u64) {
        let Some(peer) = self.peers.get_mut(&region).filter(|p| p.id() == id) else {
            return;
        };
        peer.raw.on_persist_ready(number);
        // A newer work may have been asked for already; the snapshot is there when its own is on disk.
        if peer.installing.take_if(|n| *n <= number).is_some()
            && let Some(state) = peer.coming.take()
        {
            let index = state.applied;
            peer.state = state;
            peer.initialized = true;
            peer.raw.advance_apply_to(index);
            self.out.events.push(Event::Installed { region, index });
            self.out.events.push(Event::Shape(Box::new(peer.state.region.clone())));
            self.answer_reads(region);
        }
    }

    pub(crate) fn answer_reads(&mut self, region: RegionId) {
        let Some(peer) = self.peers.get_mut(&region) else {
            return;
        };
        let applied = peer.state.applied;
        let out = &mut self.out.reads;
        peer.waiting.retain(|(index, id)| {
            let wait = *index > applied;
            if !wait {
                out.push((*id, Ok(applied)));
            }
            wait
        });
    }

    /// Entries are applied.
    ///
    /// # Errors
    /// When Raft cannot go on.
    pub fn applied(&mut self, done: Applied) -> Result<(), NodeError> {
        let region = done.state.region.id;
        let config = self.config.clone();
        let Some(peer) = self.peers.get_mut(&region).filter(|p| p.id() == done.state.peer) else {
            return Ok(());
        };
        let err = |source| NodeError::Raft { region, source };
        let was_leader = peer.is_leader();
        for (changes, after) in &done.conf {
            let conf = peer.raw.apply_conf_change(&codec::conf_change(changes)).map_err(err)?;
            let wanted = codec::conf_state(after);
            if !codec::same_conf(&conf, &wanted) {
                let what = format!("Raft has the peers {conf:?}, the data {wanted:?}");
                return Err(NodeError::Disorder { region, what });
            }
            peer.raw.mut_store().conf = conf;
            // A snapshot from before would bring back who is gone.
            peer.raw.mut_store().drop_snapshot();
            peer.settle(&config);
        }
        if !done.conf.is_empty() || !done.born.is_empty() {
            self.out.events.push(Event::Shape(Box::new(done.state.region.clone())));
        }
        let index = done.state.applied;
        for (index, term, outcome) in done.outcomes {
            while peer.proposals.front().is_some_and(|p| p.index <= index) {
                let Some(p) = peer.proposals.pop_front() else { break };
                let ours = p.index == index && p.term == term;
                self.out.outcomes.push((
                    p.id,
                    if ours {
                        Ok(outcome.clone())
                    } else {
                        Err(Refusal::Lost(region))
                    },
                ));
            }
        }
        peer.state = done.state;
        if peer.state.gone {
            if let Some(peer) = self.peers.remove(&region) {
                // Its data is gone with the entry.
                self.refuse_all(peer, Refusal::NoRegion);
                self.out.destroy.retain(|s| s.region.id != region);
            }
        } else {
            peer.raw.advance_apply_to(index);
            peer.settle(&config);
            self.answer_reads(region);
        }
        for state in done.born {
            let id = state.region.id;
            self.out.events.push(Event::Shape(Box::new(state.region.clone())));
            self.bring_up(state)?;
            if was_leader && let Some(p) = self.peers.get_mut(&id) {
                // The others learn of it at the same time; there is no reason to wait for an election.
                let _ = p.raw.campaign();
                p.settle(&config);
            }
        }
        Ok(())
    }

    /// A snapshot of a region was made of its data: what is known of it, and the data as bytes.
    pub fn snapshot_built(&mut self, state: &RegionState, data: &[u8]) {
        if let Some(peer) = self
            .peers
            .get_mut(&state.region.id)
            .filter(|p| p.initialized && !state.gone)
        {
            peer.raw.mut_store().set_snapshot(codec::snapshot(state, data));
        }
    }

    /// The data is durable up to these indexes: what the log has of that may go, and what is left of removed peers.
    pub fn checkpointed(&mut self, durable: &[(RegionId, u64)]) {
        for (region, index) in durable {
            if let Some(peer) = self.peers.get_mut(region) {
                let write = peer.purge(*index, &self.config);
                self.out.writes.extend(write);
            } else if let Some((state, forgotten)) = self.gone.get_mut(region)
                && !*forgotten
                && *index >= state.applied
            {
                *forgotten = true;
                self.orphans.remove(region);
                self.out.writes.push(LogWrite::Forget(*region));
            }
        }
    }
}
