//! How a region begins, and how a node finds its regions again.

use qd_kv_model::{Epoch, NodeId, Peer, PeerId, Region, RegionId, RegionState, Role};

/// The index behind which a new region's log begins. Not 0, so that "nothing yet" is something else.
pub const INIT_INDEX: u64 = 5;
/// That index's term.
pub const INIT_TERM: u64 = 5;

/// The first region of a new cluster, which has all keys, as one of its nodes knows it. All nodes must be given the same
/// peers: number and node of each.
pub fn first_region(id: RegionId, peers: &[(PeerId, NodeId)], me: NodeId) -> Option<RegionState> {
    let peers: Vec<Peer> = peers
        .iter()
        .map(|(id, node)| Peer {
            id: *id,
            node: *node,
            role: Role::Voter,
        })
        .collect();
    let peer = peers.iter().find(|p| p.node == me)?.id;
    let region = Region {
        id,
        start: vec![],
        end: vec![],
        epoch: Epoch {
            conf_ver: 1,
            version: 1,
        },
        peers,
    };
    Some(RegionState {
        region,
        peer,
        applied: INIT_INDEX,
        applied_term: INIT_TERM,
        gone: false,
    })
}
