//! A cluster within one process: its members speak by calls, and have nothing else in common.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use qd_kv_model::NodeId;
use qd_kv_node::{Config, Envelope, Node, NodeError, first_region};
use qd_kv_store::Identity;

use crate::{Disk, DiskError, Member, MemberHandle, Transport};

/// Why a cluster cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A disk.
    #[error("node {node}: {source}")]
    Disk {
        /// Which.
        node: NodeId,
        /// Why.
        source: DiskError,
    },
    /// What is on it.
    #[error("node {node}: {source}")]
    Node {
        /// Which.
        node: NodeId,
        /// Why.
        source: NodeError,
    },
    /// A thread.
    #[error("node {node}: cannot start a thread: {source}")]
    Thread {
        /// Which.
        node: NodeId,
        /// Why.
        source: std::io::Error,
    },
}

type Book = Arc<RwLock<Vec<MemberHandle>>>;

struct Calls(Book);

impl Transport for Calls {
    fn send(&self, env: Envelope) {
        let Ok(book) = self.0.read() else { return };
        if let Some(to) = book.iter().find(|m| m.node() == env.to) {
            to.receive(env);
        }
    }
}

/// Members that are started and stopped together, each with a directory of its own below the cluster's.
#[derive(Debug)]
pub struct Local {
    members: Vec<Member>,
}

impl Local {
    /// Starts `nodes` members on the directories `1`, `2`, … below `root`. New ones make a cluster of one region.
    ///
    /// # Errors
    /// When a directory cannot be used, or what is on it cannot be gone on from.
    pub fn start(root: &Path, cluster: u64, nodes: u64, tick: Duration) -> Result<Self, StartError> {
        let book: Book = Arc::default();
        let peers: Vec<(u64, NodeId)> = (1..=nodes).map(|n| (100 + n, n)).collect();
        let mut members = Vec::new();
        for node in 1..=nodes {
            let first = first_region(1, &peers, node);
            let (disk, found) = Disk::open(
                &root.join(node.to_string()),
                Identity { cluster, node },
                first.as_ref(),
                4,
            )
            .map_err(|source| StartError::Disk { node, source })?;
            // Nodes of one cluster should not stand for election at the same time, time and again.
            let core = Node::new(Config::new(node, cluster ^ node), found.regions, found.logs)
                .map_err(|source| StartError::Node { node, source })?;
            let member = Member::start(node, core, disk, tick, Calls(Arc::clone(&book)))
                .map_err(|source| StartError::Thread { node, source })?;
            if let Ok(mut book) = book.write() {
                book.push(member.handle());
            }
            members.push(member);
        }
        Ok(Self { members })
    }

    /// Ways to speak to the members, by number.
    pub fn handles(&self) -> Vec<MemberHandle> {
        self.members.iter().map(Member::handle).collect()
    }
}
