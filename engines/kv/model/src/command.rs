//! What a Raft entry says: what is to be written, or how the region changes, and for which of its shapes that was meant.

use crate::codec::{CodecError, Reader, Writer};
use crate::read::Cf;
use crate::region::{Epoch, PeerChange, PeerId, RegionId};

/// One write. Keys are as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modify {
    /// A key gets a value.
    Put(Cf, Vec<u8>, Vec<u8>),
    /// A key goes.
    Delete(Cf, Vec<u8>),
    /// All keys of a range go; an empty end is the end of the region.
    DeleteRange(Cf, Vec<u8>, Vec<u8>),
}

impl Modify {
    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Put(_, k, v) => k.len() + v.len() + 8,
            Self::Delete(_, k) => k.len() + 4,
            Self::DeleteRange(_, a, b) => a.len() + b.len() + 8,
        }
    }

    /// The key, or the first of the range.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(_, k, _) | Self::Delete(_, k) | Self::DeleteRange(_, k, _) => k,
        }
    }
}

/// The numbers a region that comes from a split gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegion {
    /// Its number.
    pub id: RegionId,
    /// Where it begins: the key before which the range is cut.
    pub start: Vec<u8>,
    /// The numbers of its peers, in the order of the peers of the region that is split.
    pub peers: Vec<PeerId>,
}

/// A change of the region itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// The region keeps what lies before the first key; each new region gets what lies behind its key. Keys are in order.
    Split(Vec<NewRegion>),
    /// Its peers change. The entry is one of Raft's configuration changes.
    Peers(Vec<PeerChange>),
    /// Every replica says the hash of what it has at this entry.
    Hash,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Writes, all or none.
    Write(Vec<Modify>),
    /// A change of the region.
    Admin(Admin),
}

/// An entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The shape it was made for: when the region has another one at this entry, nothing happens.
    pub epoch: Epoch,
    /// What it does.
    pub payload: Payload,
}

const WHAT: &str = "entry";

impl Command {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let size = match &self.payload {
            Payload::Write(all) => all.iter().map(|m| m.size() + 8).sum(),
            Payload::Admin(_) => 64,
        };
        let mut w = Writer::with_capacity(size + 24);
        w.byte(1).num(self.epoch.conf_ver).num(self.epoch.version);
        match &self.payload {
            Payload::Write(all) => {
                w.byte(0).num(all.len() as u64);
                for m in all {
                    match m {
                        Modify::Put(cf, k, v) => w.byte(0).byte(*cf as u8).bytes(k).bytes(v),
                        Modify::Delete(cf, k) => w.byte(1).byte(*cf as u8).bytes(k),
                        Modify::DeleteRange(cf, a, b) => w.byte(2).byte(*cf as u8).bytes(a).bytes(b),
                    };
                }
            }
            Payload::Admin(Admin::Split(new)) => {
                w.byte(1).num(new.len() as u64);
                for n in new {
                    w.num(n.id).bytes(&n.start).num(n.peers.len() as u64);
                    for p in &n.peers {
                        w.num(*p);
                    }
                }
            }
            Payload::Admin(Admin::Peers(changes)) => {
                w.byte(2).num(changes.len() as u64);
                for c in changes {
                    match c {
                        PeerChange::Voter { id, node } => w.byte(0).num(*id).num(*node),
                        PeerChange::Learner { id, node } => w.byte(1).num(*id).num(*node),
                        PeerChange::Remove { id } => w.byte(2).num(*id),
                    };
                }
            }
            Payload::Admin(Admin::Hash) => {
                w.byte(3);
            }
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(WHAT, bytes);
        match r.byte()? {
            1 => {}
            n => return Err(r.kind(u64::from(n))),
        }
        let epoch = Epoch {
            conf_ver: r.num()?,
            version: r.num()?,
        };
        let payload = match r.byte()? {
            0 => Payload::Write(read_all(&mut r, read_modify)?),
            1 => Payload::Admin(Admin::Split(read_all(&mut r, read_new)?)),
            2 => Payload::Admin(Admin::Peers(read_all(&mut r, read_change)?)),
            3 => Payload::Admin(Admin::Hash),
            n => return Err(r.kind(u64::from(n))),
        };
        r.end()?;
        Ok(Self { epoch, payload })
    }
}

fn read_all<T>(
    r: &mut Reader<'_>,
    one: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = r.count()?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(one(r)?);
    }
    Ok(all)
}

fn read_cf(r: &mut Reader<'_>) -> Result<Cf, CodecError> {
    let n = r.byte()?;
    Cf::from_number(n).ok_or_else(|| r.kind(u64::from(n)))
}

fn read_modify(r: &mut Reader<'_>) -> Result<Modify, CodecError> {
    Ok(match r.byte()? {
        0 => Modify::Put(read_cf(r)?, r.bytes()?.to_vec(), r.bytes()?.to_vec()),
        1 => Modify::Delete(read_cf(r)?, r.bytes()?.to_vec()),
        2 => Modify::DeleteRange(read_cf(r)?, r.bytes()?.to_vec(), r.bytes()?.to_vec()),
        n => return Err(r.kind(u64::from(n))),
    })
}

fn read_new(r: &mut Reader<'_>) -> Result<NewRegion, CodecError> {
    Ok(NewRegion {
        id: r.num()?,
        start: r.bytes()?.to_vec(),
        peers: read_all(r, |r| r.num())?,
    })
}

fn read_change(r: &mut Reader<'_>) -> Result<PeerChange, CodecError> {
    Ok(match r.byte()? {
        0 => PeerChange::Voter {
            id: r.num()?,
            node: r.num()?,
        },
        1 => PeerChange::Learner {
            id: r.num()?,
            node: r.num()?,
        },
        2 => PeerChange::Remove { id: r.num()? },
        n => return Err(r.kind(u64::from(n))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<Command> {
        let epoch = Epoch {
            conf_ver: 300,
            version: 2,
        };
        [
            Payload::Write(vec![
                Modify::Put(Cf::Write, b"k".to_vec(), vec![7; 200]),
                Modify::Delete(Cf::Lock, b"".to_vec()),
                Modify::DeleteRange(Cf::Raw, b"a".to_vec(), b"".to_vec()),
            ]),
            Payload::Admin(Admin::Split(vec![NewRegion {
                id: 5,
                start: b"m".to_vec(),
                peers: vec![1, 2, 1 << 40],
            }])),
            Payload::Admin(Admin::Peers(vec![
                PeerChange::Voter { id: 1, node: 2 },
                PeerChange::Learner { id: 3, node: 4 },
                PeerChange::Remove { id: 5 },
            ])),
            Payload::Admin(Admin::Hash),
        ]
        .map(|payload| Command { epoch, payload })
        .to_vec()
    }

    #[test]
    fn comes_back_and_every_cut_is_refused() {
        for c in all() {
            let bytes = c.encode();
            assert_eq!(Command::decode(&bytes).unwrap(), c);
            for n in 0..bytes.len() {
                assert!(Command::decode(&bytes[..n]).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_of_anybody(mut bytes in prop::collection::vec(any::<u8>(), 0..60), which in 0usize..4, at in 0usize..40) {
            let _ = Command::decode(&bytes);
            // And one that is nearly right.
            let mut near = all()[which].encode();
            let at = at % near.len();
            near.splice(at..at, bytes.drain(..bytes.len().min(3)));
            let _ = Command::decode(&near);
        }
    }
}
