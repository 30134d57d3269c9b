//! Three nodes with real databases, in one thread: what is acknowledged is on a majority of disks, and comes back.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use std::collections::VecDeque;
use std::path::Path;

use qd_kv::Disk;
use qd_kv_model::{Cf, Modify, NewRegion, Payload, PeerChange, Snapshot};
use qd_kv_node::{Config, Envelope, Node, Outcome, first_region};
use qd_kv_store::Identity;

struct Member {
    node: Node,
    disk: Disk,
}

struct Cluster {
    members: Vec<Option<Member>>,
    mail: VecDeque<Envelope>,
    outcomes: Vec<(u64, Outcome)>,
    reads: Vec<u64>,
    next: u64,
}

fn open(root: &Path, n: u64, found: bool) -> Member {
    let peers = [(101, 1), (102, 2), (103, 3)];
    let first = first_region(1, &peers, n).filter(|_| found);
    let identity = Identity { cluster: 9, node: n };
    let (disk, opened) = Disk::open(&root.join(n.to_string()), identity, first.as_ref(), 2).unwrap();
    let mut config = Config::new(n, n);
    (config.keep_entries, config.log_entries) = (2, 8);
    Member {
        node: Node::new(config, opened.regions, opened.logs).unwrap(),
        disk,
    }
}

impl Cluster {
    fn new(root: &Path, n: u64) -> Self {
        let members = (1..=n).map(|i| Some(open(root, i, true))).collect();
        Self {
            members,
            mail: VecDeque::new(),
            outcomes: vec![],
            reads: vec![],
            next: 0,
        }
    }

    fn pump(&mut self) {
        loop {
            let mut idle = true;
            for m in self.members.iter_mut().flatten() {
                let work = m.node.work().unwrap();
                idle &= work.is_empty();
                self.mail.extend(work.send);
                if let Some(seq) = work.seq {
                    m.disk.persist(&work.installs, &work.writes).unwrap();
                    m.node.persisted(seq).unwrap();
                }
                m.disk.destroy(&work.destroy).unwrap();
                for done in m.disk.apply(&work.apply).unwrap() {
                    m.node.applied(done).unwrap();
                }
                for region in work.snapshots {
                    if let Some((state, data)) = m.disk.snapshot(region).unwrap() {
                        m.node.snapshot_built(&state, &data);
                    }
                }
                self.outcomes
                    .extend(work.outcomes.into_iter().filter_map(|(id, o)| Some((id, o.ok()?))));
                self.reads
                    .extend(work.reads.into_iter().filter_map(|(id, r)| r.ok().map(|_| id)));
            }
            if let Some(env) = self.mail.pop_front() {
                idle = false;
                if let Some(Some(m)) = self.members.get_mut(env.to as usize - 1) {
                    m.node.receive(env);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn until<T>(&mut self, what: &str, mut f: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..2_000 {
            self.pump();
            if let Some(t) = f(self) {
                return t;
            }
            for m in self.members.iter_mut().flatten() {
                m.node.tick();
            }
        }
        panic!("it never came: {what}");
    }

    fn leader(&mut self, region: u64) -> usize {
        self.until("a leader", |c| {
            c.members
                .iter()
                .position(|m| m.as_ref().is_some_and(|m| m.node.leads(region).is_ok()))
        })
    }

    /// Does it on the leader, again until it is done.
    fn act(&mut self, region: u64, mut f: impl FnMut(&mut Node, u64) -> bool) -> Outcome {
        loop {
            let at = self.leader(region);
            self.next += 1;
            let id = self.next;
            if f(&mut self.members[at].as_mut().unwrap().node, id) {
                let found = self.until("an outcome", |c| {
                    let done = c.outcomes.iter().find(|(i, _)| *i == id).map(|(_, o)| o.clone());
                    done.map(Some).or_else(|| (c.leader(region) != at).then_some(None))
                });
                if let Some(o) = found {
                    return o;
                }
            }
            for m in self.members.iter_mut().flatten() {
                m.node.tick();
            }
        }
    }

    fn put(&mut self, region: u64, key: &str, value: &str) {
        let payload = Payload::Write(vec![Modify::Put(Cf::Raw, key.into(), value.into())]);
        let o = self.act(region, |n, id| n.propose(region, id, None, payload.clone()).is_ok());
        assert_eq!(o, Outcome::Written);
    }

    fn has(&self, at: usize, key: &str) -> Option<String> {
        let view = self.members[at].as_ref()?.disk.readers().view().unwrap();
        view.get(Cf::Raw, key.as_bytes())
            .unwrap()
            .map(|v| String::from_utf8(v).unwrap())
    }

    fn checkpoint(&mut self) {
        for m in self.members.iter_mut().flatten() {
            let durable = m.disk.checkpoint().unwrap();
            m.node.checkpointed(&durable);
        }
        self.pump();
    }
}

#[test]
fn what_is_acknowledged_comes_back_after_all_have_stopped() {
    let tmp = tempfile::tempdir().unwrap();
    let mut c = Cluster::new(tmp.path(), 3);
    for n in 0..20 {
        c.put(1, &format!("k{n}"), &format!("v{n}"));
    }
    let at = c.leader(1);
    drop(c);
    let mut c = Cluster::new(tmp.path(), 3);
    let view = c.members[at].as_ref().unwrap().node.view();
    assert!(view[0].last >= 25, "{view:?}");
    c.put(1, "again", "yes");
    c.until("all have it", |c| {
        (0..3).all(|i| c.has(i, "again").is_some()).then_some(())
    });
    for i in 0..3 {
        for n in 0..20 {
            assert_eq!(c.has(i, &format!("k{n}")), Some(format!("v{n}")));
        }
    }
}

#[test]
fn who_was_away_too_long_gets_a_snapshot_with_data() {
    let tmp = tempfile::tempdir().unwrap();
    let mut c = Cluster::new(tmp.path(), 3);
    c.put(1, "a", "1");
    let away = (c.leader(1) + 1) % 3;
    c.members[away] = None;
    for n in 0..30 {
        c.put(1, &format!("k{n}"), "v");
        c.checkpoint();
    }
    let at = c.leader(1);
    assert!(c.members[at].as_ref().unwrap().node.view()[0].purged > 20);
    c.members[away] = Some(open(tmp.path(), away as u64 + 1, true));
    c.until("the data", |c| c.has(away, "k29").map(drop));
    assert_eq!(c.has(away, "k0"), Some("v".into()));
    // And it is found again there.
    c.members[away] = None;
    c.members[away] = Some(open(tmp.path(), away as u64 + 1, true));
    assert_eq!(c.has(away, "k29"), Some("v".into()));
}

#[test]
fn regions_split_and_move_to_a_new_node() {
    let tmp = tempfile::tempdir().unwrap();
    let mut c = Cluster::new(tmp.path(), 3);
    c.put(1, "a", "1");
    c.put(1, "x", "2");
    let new = vec![NewRegion {
        id: 2,
        start: b"m".to_vec(),
        peers: vec![201, 202, 203],
    }];
    let o = c.act(1, |n, id| n.propose_split(1, id, new.clone()).is_ok());
    assert!(matches!(o, Outcome::Split(ref r) if r.len() == 2), "{o:?}");
    c.put(2, "y", "3");
    c.put(1, "b", "4");
    let wrong = Payload::Write(vec![Modify::Put(Cf::Raw, b"y".to_vec(), vec![])]);
    let o = c.act(1, |n, id| n.propose(1, id, None, wrong.clone()).is_ok());
    assert!(matches!(o, Outcome::Refused(_)), "{o:?}");
    // A fourth node comes, as a learner first, and takes the place of a voter in one step.
    c.members.push(Some(open(tmp.path(), 4, false)));
    let o = c.act(2, |n, id| {
        n.propose_peers(2, id, vec![PeerChange::Learner { id: 204, node: 4 }])
            .is_ok()
    });
    assert!(matches!(o, Outcome::Peers(_)), "{o:?}");
    let leader = c.leader(2);
    let out = (leader + 1) % 3;
    let (out_peer, out_node) = (201 + out as u64, out as u64 + 1);
    let swap = vec![
        PeerChange::Voter { id: 204, node: 4 },
        PeerChange::Learner {
            id: out_peer,
            node: out_node,
        },
    ];
    c.act(2, |n, id| n.propose_peers(2, id, swap.clone()).is_ok());
    c.until("the end of the joint configuration", |c| {
        let at = c.leader(2);
        let node = &c.members[at].as_ref()?.node;
        (!node.region(2)?.is_joint()).then_some(())
    });
    c.act(2, |n, id| {
        n.propose_peers(2, id, vec![PeerChange::Remove { id: out_peer }])
            .is_ok()
    });
    c.put(2, "z", "5");
    c.until("the data on the new node", |c| c.has(3, "z").map(drop));
    assert_eq!((c.has(3, "x"), c.has(3, "a")), (Some("2".into()), None));
    c.until("no data on the old node", |c| c.has(out, "x").is_none().then_some(()));
    assert_eq!(c.has(out, "a"), Some("1".into()));
    // All of it is found again.
    drop(c);
    let mut c = Cluster::new(tmp.path(), 3);
    c.members.push(Some(open(tmp.path(), 4, false)));
    c.put(2, "zz", "6");
    c.until("the new write on the new node", |c| c.has(3, "zz").map(drop));
}

#[test]
fn reads_wait_for_what_was_acknowledged_before_them() {
    let tmp = tempfile::tempdir().unwrap();
    let mut c = Cluster::new(tmp.path(), 3);
    c.put(1, "a", "1");
    let leader = c.leader(1);
    for at in [leader, (leader + 1) % 3] {
        let id = 1_000 + at as u64;
        c.until("a read is taken", |c| {
            c.members[at].as_mut().unwrap().node.read(1, id).is_ok().then_some(())
        });
        c.until("a read is answered", |c| c.reads.contains(&id).then_some(()));
        assert_eq!(c.has(at, "a"), Some("1".into()));
    }
}
