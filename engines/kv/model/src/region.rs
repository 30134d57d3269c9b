//! Regions: a range of keys, who keeps it, and the epoch by which a request tells which of its shapes it means.

use crate::codec::{CodecError, Reader, Writer};
use crate::read::{Range, contains};

/// A region's number; never used again.
pub type RegionId = u64;
/// A node's number (TiKV calls it a store).
pub type NodeId = u64;
/// The number of one replica; never used again, so that one that was removed is not taken for one that was added.
pub type PeerId = u64;

/// Counts the shapes of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch {
    /// Grows with every change of its peers.
    pub conf_ver: u64,
    /// Grows with every change of its range.
    pub version: u64,
}

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Votes.
    Voter = 0,
    /// Gets everything and does not vote.
    Learner = 1,
    /// Becomes a voter when the joint configuration is left.
    Incoming = 2,
    /// Becomes a learner when the joint configuration is left.
    Demoting = 3,
}

/// A replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its number.
    pub id: PeerId,
    /// Where it lives.
    pub node: NodeId,
    /// What it may do.
    pub role: Role,
}

/// A range of keys and who keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    /// Its number.
    pub id: RegionId,
    /// The first key, as it is stored.
    pub start: Vec<u8>,
    /// The key behind the last, or empty for the end of everything.
    pub end: Vec<u8>,
    /// Its shape's number.
    pub epoch: Epoch,
    /// Its replicas, in the order in which they came.
    pub peers: Vec<Peer>,
}

/// One change of a region's peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerChange {
    /// A peer becomes a voter, or comes as one.
    Voter {
        /// Its number.
        id: PeerId,
        /// Where it lives.
        node: NodeId,
    },
    /// A peer becomes a learner, or comes as one.
    Learner {
        /// Its number.
        id: PeerId,
        /// Where it lives.
        node: NodeId,
    },
    /// A peer goes.
    Remove {
        /// Its number.
        id: PeerId,
    },
}

impl PeerChange {
    /// Whose change it is.
    pub const fn id(&self) -> PeerId {
        match self {
            Self::Voter { id, .. } | Self::Learner { id, .. } | Self::Remove { id } => *id,
        }
    }
}

/// Why peers cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// The change before is not finished.
    #[error("the region is in a joint configuration; wait until it is left")]
    Joint,
    /// Nothing would change.
    #[error("the change names no peer")]
    Empty,
    /// The peer is not there.
    #[error("the region has no peer {0}")]
    NoPeer(PeerId),
    /// Two changes are of one peer.
    #[error("peer {0} is changed twice")]
    Twice(PeerId),
    /// A node may keep a region once.
    #[error("node {0} keeps the region already")]
    NodeTaken(NodeId),
    /// The peer is what it shall become.
    #[error("peer {0} is that already")]
    Same(PeerId),
    /// Nobody would vote.
    #[error("the region would have no voter")]
    NoVoter,
    /// A voter must become a learner before it goes, when other peers change with it.
    #[error("peer {0} votes; with other changes it can only be demoted")]
    RemoveVoter(PeerId),
}

impl Region {
    /// The keys it has.
    pub fn range(&self) -> Range<'_> {
        Range::new(&self.start, &self.end)
    }

    /// Whether a stored key is its.
    pub fn contains(&self, key: &[u8]) -> bool {
        contains(&self.start, &self.end, key)
    }

    /// Whether the ranges have a key in common.
    pub fn overlaps(&self, other: Range<'_>) -> bool {
        (other.end.is_empty() || self.start.as_slice() < other.end)
            && (self.end.is_empty() || other.start < self.end.as_slice())
    }

    /// The peer with a number.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.iter().find(|p| p.id == id)
    }

    /// The peer on a node.
    pub fn peer_on(&self, node: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|p| p.node == node)
    }

    /// Whether old and new voters decide together now.
    pub fn is_joint(&self) -> bool {
        self.peers
            .iter()
            .any(|p| matches!(p.role, Role::Incoming | Role::Demoting))
    }

    /// The region with its peers changed: one change at once, several by a joint configuration that has to be left.
    ///
    /// # Errors
    /// When the change makes no sense; see [`ConfError`].
    pub fn changed(&self, changes: &[PeerChange]) -> Result<Self, ConfError> {
        if self.is_joint() {
            return Err(ConfError::Joint);
        }
        if changes.is_empty() {
            return Err(ConfError::Empty);
        }
        let joint = changes.len() > 1;
        let mut next = self.clone();
        for (i, change) in changes.iter().enumerate() {
            let id = change.id();
            if changes[..i].iter().any(|c| c.id() == id) {
                return Err(ConfError::Twice(id));
            }
            let place = next.peers.iter().position(|p| p.id == id);
            match (*change, place) {
                (PeerChange::Remove { .. }, None) => return Err(ConfError::NoPeer(id)),
                (PeerChange::Remove { .. }, Some(at)) => {
                    if joint && next.peers[at].role == Role::Voter {
                        return Err(ConfError::RemoveVoter(id));
                    }
                    next.peers.remove(at);
                }
                (PeerChange::Voter { node, .. } | PeerChange::Learner { node, .. }, None) => {
                    if next.peer_on(node).is_some() {
                        return Err(ConfError::NodeTaken(node));
                    }
                    let role = match change {
                        PeerChange::Voter { .. } if joint => Role::Incoming,
                        PeerChange::Voter { .. } => Role::Voter,
                        _ => Role::Learner,
                    };
                    next.peers.push(Peer { id, node, role });
                }
                (PeerChange::Voter { .. }, Some(at)) => match next.peers[at].role {
                    Role::Learner => next.peers[at].role = if joint { Role::Incoming } else { Role::Voter },
                    _ => return Err(ConfError::Same(id)),
                },
                (PeerChange::Learner { .. }, Some(at)) => match next.peers[at].role {
                    Role::Voter => next.peers[at].role = if joint { Role::Demoting } else { Role::Learner },
                    _ => return Err(ConfError::Same(id)),
                },
            }
        }
        if !next
            .peers
            .iter()
            .any(|p| matches!(p.role, Role::Voter | Role::Incoming))
        {
            return Err(ConfError::NoVoter);
        }
        next.epoch.conf_ver += changes.len() as u64;
        Ok(next)
    }

    /// The region after the joint configuration.
    pub fn left_joint(&self) -> Self {
        let mut next = self.clone();
        for peer in &mut next.peers {
            let role = match peer.role {
                Role::Incoming => Role::Voter,
                Role::Demoting => Role::Learner,
                same => same,
            };
            if role != peer.role {
                next.epoch.conf_ver += 1;
                peer.role = role;
            }
        }
        next
    }

    /// Writes it.
    pub fn write(&self, w: &mut Writer) {
        w.num(self.id).bytes(&self.start).bytes(&self.end);
        w.num(self.epoch.conf_ver)
            .num(self.epoch.version)
            .num(self.peers.len() as u64);
        for p in &self.peers {
            w.num(p.id).num(p.node).byte(p.role as u8);
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (id, start, end) = (r.num()?, r.bytes()?.to_vec(), r.bytes()?.to_vec());
        let epoch = Epoch {
            conf_ver: r.num()?,
            version: r.num()?,
        };
        let count = r.count()?;
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, node) = (r.num()?, r.num()?);
            let role = match r.byte()? {
                0 => Role::Voter,
                1 => Role::Learner,
                2 => Role::Incoming,
                3 => Role::Demoting,
                n => return Err(r.kind(u64::from(n))),
            };
            peers.push(Peer { id, node, role });
        }
        Ok(Self {
            id,
            start,
            end,
            epoch,
            peers,
        })
    }
}

/// What a node knows of a region by having applied its log so far. It is written with the data, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionState {
    /// The region as of `applied`. When the peer is gone, as it was last.
    pub region: Region,
    /// The number of this node's peer.
    pub peer: PeerId,
    /// The last entry that was applied.
    pub applied: u64,
    /// That entry's term.
    pub applied_term: u64,
    /// Whether this node's peer was removed. Messages to it, or to an older one, are not for anybody.
    pub gone: bool,
}

impl RegionState {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64 + self.region.start.len() + self.region.end.len());
        w.byte(1)
            .byte(u8::from(self.gone))
            .num(self.peer)
            .num(self.applied)
            .num(self.applied_term);
        self.region.write(&mut w);
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new("region state", bytes);
        match r.byte()? {
            1 => {}
            n => return Err(r.kind(u64::from(n))),
        }
        let gone = r.byte()? != 0;
        let (peer, applied, applied_term) = (r.num()?, r.num()?, r.num()?);
        let region = Region::read(&mut r)?;
        r.end()?;
        Ok(Self {
            region,
            peer,
            applied,
            applied_term,
            gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(roles: &[Role]) -> Region {
        Region {
            id: 7,
            start: b"b".to_vec(),
            end: b"d".to_vec(),
            epoch: Epoch {
                conf_ver: 3,
                version: 4,
            },
            peers: roles
                .iter()
                .zip(1..)
                .map(|(r, n)| Peer {
                    id: 10 + n,
                    node: n,
                    role: *r,
                })
                .collect(),
        }
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let r = region(&[Role::Voter]);
        assert!(r.contains(b"b") && r.contains(b"czz") && !r.contains(b"d") && !r.contains(b"a"));
        assert!(!r.overlaps(Range::new(b"a", b"b")) && !r.overlaps(Range::new(b"d", b"")));
        assert!(
            r.overlaps(Range::new(b"", b""))
                && r.overlaps(Range::new(b"c", b"c1"))
                && r.overlaps(Range::new(b"a", b"b1"))
        );
    }

    #[test]
    fn peers_change_one_by_one_and_together() {
        let r = region(&[Role::Voter, Role::Voter, Role::Voter]);
        let one = r.changed(&[PeerChange::Learner { id: 20, node: 9 }]).unwrap();
        assert_eq!((one.peers[3].role, one.epoch.conf_ver), (Role::Learner, 4));
        let swap = [
            PeerChange::Voter { id: 20, node: 9 },
            PeerChange::Learner { id: 11, node: 1 },
        ];
        let joint = one.changed(&swap).unwrap();
        assert!(joint.is_joint());
        assert_eq!(joint.changed(&swap), Err(ConfError::Joint));
        let left = joint.left_joint();
        assert!(!left.is_joint());
        assert_eq!(
            (left.peers[0].role, left.peers[3].role, left.epoch.conf_ver),
            (Role::Learner, Role::Voter, 8)
        );
        let gone = left.changed(&[PeerChange::Remove { id: 11 }]).unwrap();
        assert_eq!(gone.peers.len(), 3);
    }

    #[test]
    fn changes_without_sense_are_refused() {
        let r = region(&[Role::Voter]);
        assert_eq!(r.changed(&[]), Err(ConfError::Empty));
        assert_eq!(r.changed(&[PeerChange::Remove { id: 11 }]), Err(ConfError::NoVoter));
        assert_eq!(r.changed(&[PeerChange::Remove { id: 12 }]), Err(ConfError::NoPeer(12)));
        assert_eq!(
            r.changed(&[PeerChange::Voter { id: 11, node: 1 }]),
            Err(ConfError::Same(11))
        );
        assert_eq!(
            r.changed(&[PeerChange::Voter { id: 12, node: 1 }]),
            Err(ConfError::NodeTaken(1))
        );
    }

    #[test]
    fn state_comes_back_and_every_cut_is_refused() {
        let s = RegionState {
            region: region(&[Role::Voter, Role::Learner]),
            peer: 11,
            applied: 900,
            applied_term: 3,
            gone: false,
        };
        let bytes = s.encode();
        assert_eq!(RegionState::decode(&bytes).unwrap(), s);
        for n in 0..bytes.len() {
            assert!(RegionState::decode(&bytes[..n]).is_err());
        }
    }
}
