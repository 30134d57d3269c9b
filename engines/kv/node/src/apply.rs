//! What entries do to the data. The same on every replica: it depends on the entries and on what is there, on nothing else.

use qd_kv_model::{
    Admin, Cf, CodecError, Command, LogEntry, Modify, NewRegion, Payload, PeerChange, ReadError, Region, RegionId,
    RegionState, Snapshot,
};

use crate::boot::{INIT_INDEX, INIT_TERM};
use crate::hash::region_hash;

/// Where the data is written: one transaction, which reads what it has written.
pub trait Target: Snapshot {
    /// Why it cannot be written.
    type Error: From<ReadError> + From<CodecError>;

    /// Does one write.
    ///
    /// # Errors
    /// When it cannot; the transaction is nothing then.
    fn modify(&mut self, m: &Modify) -> Result<(), Self::Error>;

    /// Writes what is known of a region.
    ///
    /// # Errors
    /// When it cannot; the transaction is nothing then.
    fn put_region(&mut self, state: &RegionState) -> Result<(), Self::Error>;

    /// What is known of a region.
    ///
    /// # Errors
    /// When it cannot be read.
    fn region(&self, id: RegionId) -> Result<Option<RegionState>, Self::Error>;
}

/// What came of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was wanted.
    Nothing,
    /// It is written.
    Written,
    /// It was made for another shape of the region, which is as said now. Nothing is written.
    StaleEpoch(Box<Region>),
    /// The region is split: itself and the new ones.
    Split(Vec<Region>),
    /// Its peers are changed.
    Peers(Box<Region>),
    /// The hash of all that this replica has.
    Hash(u64),
    /// It makes no sense. Nothing is written.
    Refused(String),
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The region as it is known now.
    pub state: RegionState,
    /// For each entry: its index, its term, and what came of it.
    pub outcomes: Vec<(u64, u64, Outcome)>,
    /// Regions that are new on this node.
    pub born: Vec<RegionState>,
    /// Changes of peers that Raft has to be told, with the region after each.
    pub conf: Vec<(Vec<PeerChange>, Region)>,
}

/// Applies entries of a region, in order.
///
/// # Errors
/// When the data cannot be read or written, or an entry cannot be read, which no replica can go on from.
pub fn apply<T: Target>(target: &mut T, region: RegionId, entries: &[LogEntry]) -> Result<Option<Applied>, T::Error> {
    let Some(state) = target.region(region)?.filter(|s| !s.gone) else {
        return Ok(None);
    };
    let mut done = Applied {
        state,
        outcomes: Vec::with_capacity(entries.len()),
        born: vec![],
        conf: vec![],
    };
    for e in entries {
        // After a restart some are there already.
        if e.index <= done.state.applied {
            continue;
        }
        let outcome = one(target, e, &mut done)?;
        done.state.applied = e.index;
        done.state.applied_term = e.term;
        done.outcomes.push((e.index, e.term, outcome));
        if done.state.gone {
            destroy(target, &done.state)?;
            return Ok(Some(done));
        }
    }
    target.put_region(&done.state)?;
    Ok(Some(done))
}

/// Takes a region's data away and writes that its peer is gone.
pub(crate) fn destroy<T: Target>(target: &mut T, state: &RegionState) -> Result<(), T::Error> {
    for cf in Cf::ALL {
        target.modify(&Modify::DeleteRange(
            cf,
            state.region.start.clone(),
            state.region.end.clone(),
        ))?;
    }
    target.put_region(state)
}

fn one<T: Target>(target: &mut T, e: &LogEntry, done: &mut Applied) -> Result<Outcome, T::Error> {
    if e.kind != 0 {
        return Ok(conf(e, done)?);
    }
    if e.data.is_empty() {
        return Ok(Outcome::Nothing);
    }
    let command = Command::decode(&e.data)?;
    let region = &done.state.region;
    match command.payload {
        Payload::Write(all) => {
            if command.epoch.version != region.epoch.version {
                return Ok(Outcome::StaleEpoch(Box::new(region.clone())));
            }
            if let Some(m) = all
                .iter()
                .find(|m| !matches!(m, Modify::DeleteRange(..)) && !region.contains(m.key()))
            {
                return Ok(Outcome::Refused(format!(
                    "a key of {} bytes is not in region {}",
                    m.key().len(),
                    region.id
                )));
            }
            for m in &all {
                match m {
                    Modify::DeleteRange(cf, start, end) => {
                        if let Some((start, end)) = within(region, start, end) {
                            target.modify(&Modify::DeleteRange(*cf, start, end))?;
                        }
                    }
                    m => target.modify(m)?,
                }
            }
            Ok(Outcome::Written)
        }
        Payload::Admin(Admin::Split(new)) => {
            if command.epoch != region.epoch {
                return Ok(Outcome::StaleEpoch(Box::new(region.clone())));
            }
            split(target, &new, done)
        }
        Payload::Admin(Admin::Hash) => Ok(Outcome::Hash(region_hash(target, region)?)),
        Payload::Admin(Admin::Peers(_)) => Ok(Outcome::Refused("a change of peers in a plain entry".to_owned())),
    }
}

/// The part of a range that a region has.
fn within(region: &Region, start: &[u8], end: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let start = start.max(&region.start);
    let end = match (end.is_empty(), region.end.is_empty()) {
        (true, _) => &region.end,
        (false, true) => end,
        (false, false) => end.min(&region.end),
    };
    (end.is_empty() || start < end).then(|| (start.to_vec(), end.to_vec()))
}

fn conf(e: &LogEntry, done: &mut Applied) -> Result<Outcome, CodecError> {
    let before = &done.state.region;
    if e.context.is_empty() {
        // Raft leaves the joint configuration by itself, with an entry that says nothing.
        let after = before.left_joint();
        done.conf.push((vec![], after.clone()));
        done.state.region = after.clone();
        return Ok(Outcome::Peers(Box::new(after)));
    }
    let command = Command::decode(&e.context)?;
    let Payload::Admin(Admin::Peers(changes)) = command.payload else {
        return Ok(Outcome::Refused(
            "a change of peers that says something else".to_owned(),
        ));
    };
    if command.epoch != before.epoch {
        return Ok(Outcome::StaleEpoch(Box::new(before.clone())));
    }
    let after = match before.changed(&changes) {
        Ok(after) => after,
        Err(why) => return Ok(Outcome::Refused(why.to_string())),
    };
    done.conf.push((changes, after.clone()));
    done.state.gone = after.peer(done.state.peer).is_none();
    done.state.region = after.clone();
    Ok(Outcome::Peers(Box::new(after)))
}

fn split<T: Target>(target: &mut T, new: &[NewRegion], done: &mut Applied) -> Result<Outcome, T::Error> {
    let before = &done.state.region;
    let refused = |what: &str| Ok(Outcome::Refused(what.to_owned()));
    if new.is_empty() || before.is_joint() {
        return refused("a split needs keys, and peers that are not changing");
    }
    let in_order = new.windows(2).all(|w| w[0].start < w[1].start)
        && new.iter().all(|n| before.contains(&n.start) && n.start != before.start);
    if !in_order {
        return refused("the keys of a split must be within the region and in order");
    }
    if new.iter().any(|n| n.peers.len() != before.peers.len()) {
        return refused("a split needs a number for each peer");
    }
    let Some(mine) = before.peers.iter().position(|p| p.id == done.state.peer) else {
        return refused("this node has no peer of the region");
    };
    let mut parent = before.clone();
    parent.epoch.version += new.len() as u64;
    let mut regions = Vec::with_capacity(new.len() + 1);
    for (i, n) in new.iter().enumerate() {
        let mut r = parent.clone();
        r.id = n.id;
        r.start.clone_from(&n.start);
        r.end = new.get(i + 1).map_or_else(|| before.end.clone(), |n| n.start.clone());
        for (p, id) in r.peers.iter_mut().zip(&n.peers) {
            p.id = *id;
        }
        regions.push(r);
    }
    parent.end.clone_from(&new[0].start);
    for r in &regions {
        let peer = r.peers[mine].id;
        let state = RegionState {
            region: r.clone(),
            peer,
            applied: INIT_INDEX,
            applied_term: INIT_TERM,
            gone: false,
        };
        match target.region(r.id)? {
            // It was removed from this node before the node came to know how it was born.
            Some(there) if there.gone && there.peer >= peer => destroy(
                target,
                &RegionState {
                    gone: true,
                    peer: there.peer,
                    ..state
                },
            )?,
            Some(there) if !there.gone => {}
            _ => {
                target.put_region(&state)?;
                done.born.push(state);
            }
        }
    }
    done.state.region = parent.clone();
    regions.insert(0, parent);
    Ok(Outcome::Split(regions))
}
