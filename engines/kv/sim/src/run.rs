//! One run: the hosts, the network, and what goes wrong.

use std::collections::{BTreeMap, VecDeque};

use qd_kv_model::{NewRegion, NodeId, PeerChange, RegionId, RegionState, Role, Ts, encode_bytes};
use qd_kv_node::{
    Applied, ApplyTask, Config, Envelope, Event, Node, Outcome, Target, apply, first_region, region_hash,
};
use qd_kv_txn::Oracle;

use crate::bank::{Banker, Books, opening};
use crate::disk::{Disk, Job, export};
use crate::history::is_linearizable;
use crate::luck::Luck;
use crate::raw::{Histories, KEYS, RawClient};
use crate::serve::{Ask, Server};

/// A promise that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// None.
    None,
    /// Disks say that they have written, and have not, most of the time.
    DropSync,
    /// A node believes that its writes are on disk when it has only asked for them.
    EarlyAck,
    /// A leader answers reads without asking whether it still leads.
    SkipReadIndex,
    /// The bound of timestamps is not written.
    ReuseTimestamps,
}

/// How a run is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many hosts; three of them have the first region.
    pub hosts: u64,
    /// How long things go wrong, in steps. An election takes 100 to 200 without a leader.
    pub storm: u64,
    /// Operations of each raw client.
    pub operations: u32,
    /// Transactions of each banker.
    pub transactions: u32,
    /// What is broken on purpose.
    pub mutation: Mutation,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            hosts: 4,
            storm: 5_000,
            operations: 22,
            transactions: 10,
            mutation: Mutation::None,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations of raw keys in the histories.
    pub operations: u64,
    /// Transfers that were committed.
    pub transfers: u64,
    /// Audits that read all accounts.
    pub audits: u64,
    /// Locks that were resolved by others.
    pub resolved: u64,
    /// Crashes.
    pub crashes: u64,
    /// Leaders that were elected.
    pub elections: u64,
    /// Splits that were applied somewhere.
    pub splits: u64,
    /// Changes of peers that were applied somewhere.
    pub changes: u64,
    /// Snapshots that were taken.
    pub snapshots: u64,
    /// Histories that were too unclear to be judged.
    pub unclear: u64,
}

/// What must not be, and was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(what: String) -> Self {
        Self { what }
    }
}

impl From<qd_kv_node::NodeError> for Violation {
    fn from(e: qd_kv_node::NodeError) -> Self {
        Self::new(e.to_string())
    }
}

enum Todo {
    Apply(ApplyTask),
    Destroy(RegionState),
    Build(RegionId),
}

struct Host {
    node: Option<Node>,
    disk: Disk,
    server: Server,
    life: u64,
    paused_until: u64,
    todo: VecDeque<Todo>,
    applying: bool,
    disk_free: u64,
}

enum Ev {
    Tick(usize),
    Mail(Box<Envelope>),
    Disk(usize, u64),
    Apply(usize, u64),
    Checkpoint(usize),
    Client(usize),
    Ask(usize, usize, u64, Box<Ask>),
    Hear(usize, u64, Box<crate::serve::Answer>),
    Trouble,
    Start(usize),
}

const RAW: usize = 4;
const BANK: usize = 3;
const TICK: u64 = 10;

struct Sim {
    plan: Plan,
    luck: Luck,
    now: u64,
    events: BTreeMap<(u64, u64), Ev>,
    count: u64,
    hosts: Vec<Host>,
    cut: Vec<bool>,
    loss: u64,
    calm: bool,
    raw: Vec<RawClient>,
    bank: Vec<Banker>,
    books: Books,
    histories: Histories,
    ids: u64,
    oracle: Oracle,
    bound: u64,
    clock_back: u64,
    leaders: BTreeMap<(RegionId, u64), u64>,
    entries: BTreeMap<(RegionId, u64), (u64, u64)>,
    hashes: BTreeMap<(RegionId, u64), u64>,
    report: Report,
}

/// Runs a cluster with a seed for its luck, until its clients are done, and looks at what they saw.
///
/// # Errors
/// With what must not be.
pub fn run(seed: u64, plan: Plan) -> Result<Report, Violation> {
    let mut sim = Sim::new(seed, plan)?;
    sim.go()?;
    Ok(sim.report)
}

fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Sim {
    fn new(seed: u64, plan: Plan) -> Result<Self, Violation> {
        let mut sim = Self {
            plan,
            luck: Luck::new(seed),
            now: 0,
            events: BTreeMap::new(),
            count: 0,
            hosts: Vec::new(),
            cut: vec![false; plan.hosts as usize],
            loss: 0,
            calm: false,
            raw: (0..RAW as u64)
                .map(|n| RawClient::new(n + 1, plan.operations))
                .collect(),
            bank: (0..BANK).map(|_| Banker::new(plan.transactions)).collect(),
            books: Books::default(),
            histories: Histories::default(),
            ids: 1_000,
            oracle: Oracle::new(0),
            bound: 0,
            clock_back: 0,
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            hashes: BTreeMap::new(),
            report: Report::default(),
        };
        let money = opening().map_err(|e| Violation::new(e.to_string()))?;
        for n in 1..=plan.hosts {
            let mut disk = Disk::default();
            if let Some(first) = first_region(1, &[(101, 1), (102, 2), (103, 3)], n) {
                for m in &money {
                    Target::modify(&mut disk, m)?;
                }
                disk.put_first(&first);
            }
            sim.hosts.push(Host {
                node: None,
                disk,
                server: Server::new(0, false),
                life: 0,
                paused_until: 0,
                todo: VecDeque::new(),
                applying: false,
                disk_free: 0,
            });
            let h = n as usize - 1;
            sim.start(h)?;
            sim.at(h as u64, Ev::Tick(h));
            sim.at(300 + 70 * n, Ev::Checkpoint(h));
        }
        for c in 0..RAW + BANK {
            sim.at(250 + 13 * c as u64, Ev::Client(c));
        }
        sim.at(400, Ev::Trouble);
        Ok(sim)
    }

    fn at(&mut self, after: u64, ev: Ev) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), ev);
    }

    fn tso(&mut self) -> Ts {
        let clock = (100_000 + self.now).saturating_sub(self.clock_back);
        if let Some(bound) = self.oracle.wants(clock) {
            self.bound = bound;
            self.oracle.persisted(bound);
        }
        // The bound was just renewed, so there is one.
        self.oracle.next(clock, 1).unwrap_or(Ts::MAX)
    }

    fn start(&mut self, h: usize) -> Result<(), Violation> {
        let mut config = Config::new(h as NodeId + 1, self.luck.any());
        (config.keep_entries, config.log_entries) = (4, 24);
        let host = &mut self.hosts[h];
        let (regions, logs) = host.disk.found();
        host.node = Some(Node::new(config, regions, logs)?);
        host.life += 1;
        host.server = Server::new(host.life << 40, self.plan.mutation == Mutation::SkipReadIndex);
        host.todo.clear();
        host.applying = false;
        host.disk_free = self.now;
        self.pump(h)
    }

    fn crash(&mut self, h: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[h];
        if host.node.take().is_none() {
            return Ok(());
        }
        host.life += 1;
        host.disk.crash(&mut self.luck)?;
        self.report.crashes += 1;
        let after = 20 + self.luck.below(700);
        self.at(after, Ev::Start(h));
        Ok(())
    }

    fn is_up(&self, h: usize) -> bool {
        self.hosts[h].node.is_some() && self.hosts[h].paused_until <= self.now
    }

    /// Does what a host's node wants done.
    fn pump(&mut self, h: usize) -> Result<(), Violation> {
        loop {
            let host = &mut self.hosts[h];
            let Some(node) = &mut host.node else { return Ok(()) };
            let work = node.work()?;
            if work.is_empty() && work.writes.is_empty() {
                break;
            }
            for (id, o) in work.outcomes {
                host.server.outcome(node, &host.disk, id, o)?;
            }
            for (id, r) in work.reads {
                host.server.read(node, &host.disk, id, r)?;
            }
            host.todo.extend(work.apply.into_iter().map(Todo::Apply));
            host.todo.extend(work.destroy.into_iter().map(Todo::Destroy));
            host.todo.extend(work.snapshots.into_iter().map(Todo::Build));
            if let Some(seq) = work.seq {
                host.disk.jobs.push_back(Job {
                    seq,
                    installs: work.installs,
                    writes: work.writes,
                });
                if self.plan.mutation == Mutation::EarlyAck {
                    node.persisted(seq)?;
                }
                let slow = if self.luck.one_in(20) { 80 } else { 8 };
                let took = 1 + self.luck.below(slow);
                let done = host.disk_free.max(self.now) + took;
                host.disk_free = done;
                let (life, after) = (host.life, done - self.now);
                self.at(after, Ev::Disk(h, life));
            }
            for env in work.send {
                self.send(env);
            }
            for e in work.events {
                self.heard(h, &e)?;
            }
        }
        let host = &mut self.hosts[h];
        if !host.todo.is_empty() && !host.applying {
            host.applying = true;
            let (life, after) = (host.life, 1 + self.luck.below(6));
            self.at(after, Ev::Apply(h, life));
        }
        let answers = std::mem::take(&mut self.hosts[h].server.answers);
        for (client, op, answer) in answers {
            if self.calm || !self.luck.one_in(30) {
                let after = 1 + self.luck.below(8);
                self.at(after, Ev::Hear(client, op, Box::new(answer)));
            }
        }
        Ok(())
    }

    fn send(&mut self, env: Envelope) {
        let (a, b) = (env.from as usize - 1, env.to as usize - 1);
        if b >= self.hosts.len() || self.cut[a] != self.cut[b] || (self.loss > 0 && self.luck.below(100) < self.loss) {
            return;
        }
        let late = if self.luck.one_in(25) { 150 } else { 8 };
        let after = 1 + self.luck.below(late);
        if !self.calm && self.luck.one_in(40) {
            let again = after + 1 + self.luck.below(60);
            self.at(again, Ev::Mail(Box::new(env.clone())));
        }
        self.at(after, Ev::Mail(Box::new(env)));
    }

    fn heard(&mut self, h: usize, e: &Event) -> Result<(), Violation> {
        match e {
            Event::Leads { region, term } => {
                self.report.elections += 1;
                let host = h as u64;
                let first = *self.leaders.entry((*region, *term)).or_insert(host);
                if first != host {
                    return Err(Violation::new(format!(
                        "region {region} has two leaders in term {term}: hosts {first} and {host}"
                    )));
                }
                let ts = self.tso();
                self.hosts[h].server.leads(ts);
            }
            Event::Installed { .. } => self.report.snapshots += 1,
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, h: usize) -> Result<(), Violation> {
        self.hosts[h].applying = false;
        let todo = std::mem::take(&mut self.hosts[h].todo);
        for t in todo {
            let host = &mut self.hosts[h];
            match t {
                Todo::Apply(task) => {
                    for e in &task.entries {
                        let mine = (e.term, digest(&e.data) ^ digest(&e.context));
                        let first = *self.entries.entry((task.region, e.index)).or_insert(mine);
                        if first != mine {
                            return Err(Violation::new(format!(
                                "region {}: two entries at {}: {first:?} and {mine:?}",
                                task.region, e.index
                            )));
                        }
                    }
                    let done = apply(&mut host.disk, task.region, &task.entries)?;
                    host.disk.commit();
                    if let Some(done) = done {
                        self.look_at(&done)?;
                        if let Some(node) = &mut self.hosts[h].node {
                            node.applied(done)?;
                        }
                    }
                }
                Todo::Destroy(state) => {
                    for cf in qd_kv_model::Cf::ALL {
                        let (a, b) = (state.region.start.clone(), state.region.end.clone());
                        host.disk.modify(&qd_kv_model::Modify::DeleteRange(cf, a, b))?;
                    }
                    host.disk.put_region(&state)?;
                    host.disk.commit();
                }
                Todo::Build(region) => {
                    if let (Some(state), Some(node)) =
                        (host.disk.data.regions.get(&region).filter(|s| !s.gone), &mut host.node)
                    {
                        let data = export(&host.disk.data, state)?;
                        node.snapshot_built(&state.clone(), &data);
                    }
                }
            }
        }
        self.no_overlap(h)
    }

    fn look_at(&mut self, done: &Applied) -> Result<(), Violation> {
        let region = done.state.region.id;
        for (index, _, o) in &done.outcomes {
            match o {
                Outcome::Hash(hash) => {
                    let first = *self.hashes.entry((region, *index)).or_insert(*hash);
                    if first != *hash {
                        return Err(Violation::new(format!("region {region}: replicas differ at {index}")));
                    }
                }
                Outcome::Split(_) => self.report.splits += 1,
                Outcome::Peers(_) => self.report.changes += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn no_overlap(&self, h: usize) -> Result<(), Violation> {
        let all: Vec<_> = self.hosts[h]
            .disk
            .data
            .regions
            .values()
            .filter(|s| !s.gone)
            .map(|s| &s.region)
            .collect();
        for (i, a) in all.iter().enumerate() {
            if let Some(b) = all[i + 1..].iter().find(|b| a.overlaps(b.range())) {
                return Err(Violation::new(format!(
                    "host {h} has regions {} and {} for the same keys",
                    a.id, b.id
                )));
            }
        }
        Ok(())
    }

    fn one(&mut self, ev: Ev) -> Result<(), Violation> {
        match ev {
            Ev::Tick(h) => {
                self.at(TICK, Ev::Tick(h));
                if self.is_up(h) {
                    if let Some(node) = &mut self.hosts[h].node {
                        node.tick();
                    }
                    self.pump(h)?;
                }
            }
            Ev::Mail(env) => {
                let h = env.to as usize - 1;
                if self.hosts[h].node.is_some() && !self.is_up(h) {
                    // Who is paused hears it later.
                    let after = self.hosts[h].paused_until - self.now + 1;
                    self.at(after, Ev::Mail(env));
                } else if let Some(node) = &mut self.hosts[h].node {
                    node.receive(*env);
                    self.pump(h)?;
                }
            }
            Ev::Disk(h, life) => {
                if self.hosts[h].life == life && self.hosts[h].node.is_some() {
                    let lie = self.plan.mutation == Mutation::DropSync && !self.luck.one_in(10);
                    let seq = self.hosts[h].disk.finish(lie)?;
                    if let (Some(seq), Some(node), true) =
                        (seq, &mut self.hosts[h].node, self.plan.mutation != Mutation::EarlyAck)
                    {
                        node.persisted(seq)?;
                    }
                    self.pump(h)?;
                }
            }
            Ev::Apply(h, life) => {
                if self.hosts[h].life == life && self.hosts[h].node.is_some() {
                    self.apply(h)?;
                    self.pump(h)?;
                }
            }
            Ev::Checkpoint(h) => {
                let after = 100 + self.luck.below(400);
                self.at(after, Ev::Checkpoint(h));
                if self.is_up(h) {
                    let host = &mut self.hosts[h];
                    let durable = host.disk.checkpoint();
                    if let Some(node) = &mut host.node {
                        node.checkpointed(&durable);
                    }
                    self.pump(h)?;
                }
            }
            Ev::Client(c) => self.client(c)?,
            Ev::Ask(h, c, op, ask) => {
                if self.is_up(h) {
                    let host = &mut self.hosts[h];
                    if let Some(node) = &mut host.node {
                        host.server.ask(node, &host.disk, c, op, *ask)?;
                    }
                    self.pump(h)?;
                }
            }
            Ev::Hear(c, op, answer) => {
                if c < RAW {
                    let now = self.now;
                    self.raw[c].answer(now, op, &answer, &mut self.histories);
                } else {
                    let mut banker = std::mem::replace(&mut self.bank[c - RAW], Banker::new(0));
                    let mut books = self.books;
                    banker.answer(op, *answer, &mut books, || self.tso())?;
                    self.books = books;
                    self.bank[c - RAW] = banker;
                }
            }
            Ev::Trouble => {
                if self.now < self.plan.storm {
                    let after = 30 + self.luck.below(250);
                    self.at(after, Ev::Trouble);
                    self.trouble()?;
                }
            }
            Ev::Start(h) => {
                if self.hosts[h].node.is_none() {
                    self.start(h)?;
                }
            }
        }
        Ok(())
    }

    fn client(&mut self, c: usize) -> Result<(), Violation> {
        let after = 5 + self.luck.below(if self.calm { 20 } else { 60 });
        self.at(after, Ev::Client(c));
        let asked = if c < RAW {
            let now = self.now;
            self.raw[c].give_up(now, &mut self.histories);
            self.raw[c].begin(now, &mut self.luck)
        } else {
            let mut banker = std::mem::replace(&mut self.bank[c - RAW], Banker::new(0));
            let (now, calm, books) = (self.now, self.calm, self.books);
            let mut luck = self.luck.clone();
            let asked = banker.next(now, calm, &mut luck, &books, || self.tso())?;
            self.luck = luck;
            self.bank[c - RAW] = banker;
            asked
        };
        if let Some((op, ask)) = asked {
            self.ask(c, op, ask);
        }
        Ok(())
    }

    fn ask(&mut self, c: usize, op: u64, ask: Ask) {
        // A client mostly knows who leads, and sometimes asks anybody.
        let key = match &ask {
            Ask::Put(k, _) | Ask::Get(k) | Ask::Cas(k, ..) => k.clone(),
            Ask::TxnGet(k, _) => encode_bytes(k),
            Ask::Step(s) => s.keys().first().map(|k| encode_bytes(k)).unwrap_or_default(),
        };
        let leads = |host: &Host| {
            host.node
                .as_ref()
                .is_some_and(|n| n.region_of(&key).is_some_and(|r| n.leads(r.id).is_ok()))
        };
        let leaders: Vec<usize> = (0..self.hosts.len()).filter(|h| leads(&self.hosts[*h])).collect();
        let any = self.luck.below(self.hosts.len() as u64) as usize;
        let h = if self.luck.one_in(5) {
            any
        } else {
            self.luck.pick(&leaders).copied().unwrap_or(any)
        };
        if self.calm || !self.luck.one_in(30) {
            let after = 1 + self.luck.below(8);
            self.at(after, Ev::Ask(h, c, op, Box::new(ask)));
        }
    }

    fn trouble(&mut self) -> Result<(), Violation> {
        let h = self.luck.below(self.hosts.len() as u64) as usize;
        match self.luck.below(14) {
            0 | 1 => self.crash(h)?,
            2 => {
                // The power of all goes at once.
                if self.luck.one_in(3) {
                    for h in 0..self.hosts.len() {
                        self.crash(h)?;
                    }
                }
            }
            3 | 4 => self.hosts[h].paused_until = self.now + 50 + self.luck.below(600),
            5 | 6 => {
                for at in 0..self.cut.len() {
                    self.cut[at] = self.luck.one_in(2);
                }
            }
            7 => self.cut.fill(false),
            8 => self.loss = [0, 0, 5, 20][self.luck.below(4) as usize],
            9 => {
                // The timestamps' server starts again, and its clock may have gone back.
                self.clock_back = self.luck.below(2_000);
                let bound = if self.plan.mutation == Mutation::ReuseTimestamps {
                    0
                } else {
                    self.bound
                };
                self.oracle = Oracle::new(bound);
            }
            _ => self.order(h)?,
        }
        Ok(())
    }

    /// An order to a region that is led from a host.
    fn order(&mut self, h: usize) -> Result<(), Violation> {
        let (up, all) = (self.is_up(h), self.hosts.len() as u64);
        let Some(node) = self.hosts[h].node.as_mut().filter(|_| up) else {
            return Ok(());
        };
        let led: Vec<_> = node.view().into_iter().filter(|v| v.leads).collect();
        let Some(v) = self.luck.pick(&led).cloned() else {
            return Ok(());
        };
        let (region, peers) = (v.region.id, v.region.peers.clone());
        self.ids += 10;
        let id = self.ids;
        // What becomes of it is seen in what is applied.
        let _ = match self.luck.below(6) {
            0 => {
                let to = self.luck.pick(&peers).map_or(0, |p| p.id);
                node.transfer_leader(region, to)
            }
            1 => node.propose(region, id, None, qd_kv_model::Payload::Admin(qd_kv_model::Admin::Hash)),
            2 if self.report.splits < 12 => {
                let all: [Vec<u8>; 5] = [
                    encode_bytes(b"k"),
                    encode_bytes(b"p"),
                    b"dog".to_vec(),
                    b"m".to_vec(),
                    b"s".to_vec(),
                ];
                let start = all[self.luck.below(5) as usize].clone();
                let new = NewRegion {
                    id,
                    start,
                    peers: (1..=peers.len() as u64).map(|n| id + n).collect(),
                };
                node.propose_split(region, id, vec![new])
            }
            _ => {
                let free = (1..=all).find(|n| peers.iter().all(|p| p.node != *n));
                let learner = peers.iter().find(|p| p.role == Role::Learner);
                let other = peers.iter().find(|p| p.role == Role::Voter && p.id != v.peer);
                let voters = peers.iter().filter(|p| p.role == Role::Voter).count();
                let change = match (free, learner, other) {
                    (Some(node), None, _) => vec![PeerChange::Learner { id, node }],
                    (_, Some(l), Some(o)) if voters >= 3 && self.luck.one_in(2) => vec![
                        PeerChange::Voter { id: l.id, node: l.node },
                        PeerChange::Learner { id: o.id, node: o.node },
                    ],
                    (_, Some(l), _) if self.luck.one_in(2) => vec![PeerChange::Voter { id: l.id, node: l.node }],
                    (_, Some(l), _) => vec![PeerChange::Remove { id: l.id }],
                    (_, None, Some(o)) if voters > 3 => vec![PeerChange::Remove { id: o.id }],
                    _ => vec![],
                };
                node.propose_peers(region, id, change)
            }
        };
        self.pump(h)
    }

    fn until(&mut self, end: u64, what: &str, mut over: impl FnMut(&Self) -> bool) -> Result<(), Violation> {
        while let Some(((at, _), ev)) = self.events.pop_first() {
            self.now = at;
            self.one(ev)?;
            if over(self) {
                return Ok(());
            }
            if self.now > end {
                break;
            }
        }
        Err(Violation::new(format!("at {} it still has not come: {what}", self.now)))
    }

    fn go(&mut self) -> Result<(), Violation> {
        let storm = self.plan.storm;
        self.until(storm + 500, "the end of the storm", |s| s.now >= storm)?;
        self.calm = true;
        self.cut.fill(false);
        self.loss = 0;
        for h in 0..self.hosts.len() {
            self.hosts[h].paused_until = 0;
            if self.hosts[h].node.is_none() {
                self.start(h)?;
            }
        }
        let end = self.now + 40_000;
        self.until(end, "clients that are done", |s| {
            s.raw.iter().all(RawClient::is_over) && s.bank.iter().all(Banker::is_over)
        })?;
        // What is there at last is part of what was seen.
        for key in 0..KEYS.len() {
            loop {
                let now = self.now;
                let Some((op, ask)) = self.raw[0].look(now, key) else {
                    break;
                };
                self.ask(0, op, ask);
                let end = self.now + crate::raw::PATIENCE;
                self.until(end, "an answer", |s| s.raw[0].current.is_none())?;
                if self
                    .histories
                    .0
                    .get(&key)
                    .and_then(|h| h.last())
                    .is_some_and(|o| o.from == now)
                {
                    break;
                }
            }
        }
        let audits = self.books.audits;
        self.bank[0].audit_once();
        let end = self.now + 20_000;
        self.until(end, "a last audit", |s| s.books.audits > audits || s.bank[0].is_over())?;
        let end = self.now + 20_000;
        self.until(end, "replicas that are the same", Self::is_settled)?;
        self.look_back()
    }

    /// Whether all replicas of each region have applied the same, and the regions have all keys.
    fn is_settled(&self) -> bool {
        let led: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|h| h.node.as_ref())
            .flat_map(|n| n.view().into_iter().filter(|v| v.leads && n.leads(v.region.id).is_ok()))
            .collect();
        let mut regions: Vec<_> = led.iter().map(|v| &v.region).collect();
        regions.sort_by(|a, b| a.start.cmp(&b.start));
        let mut at: Option<&[u8]> = Some(b"");
        for r in &regions {
            if at != Some(r.start.as_slice()) {
                return false;
            }
            at = (!r.end.is_empty()).then_some(r.end.as_slice());
        }
        at.is_none()
            && led.iter().all(|v| {
                v.applied == v.last
                    && v.region.peers.iter().all(|p| {
                        let data = &self.hosts[p.node as usize - 1].disk.data;
                        data.regions
                            .get(&v.region.id)
                            .is_some_and(|s| !s.gone && s.applied == v.applied)
                    })
            })
    }

    fn look_back(&mut self) -> Result<(), Violation> {
        let mut hashes: BTreeMap<RegionId, u64> = BTreeMap::new();
        let led: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|h| h.node.as_ref())
            .flat_map(Node::view)
            .filter(|v| v.leads)
            .collect();
        for v in led {
            for p in &v.region.peers {
                let hash = region_hash(&self.hosts[p.node as usize - 1].disk.data, &v.region)?;
                if *hashes.entry(v.region.id).or_insert(hash) != hash {
                    return Err(Violation::new(format!(
                        "region {}: replicas differ at the end",
                        v.region.id
                    )));
                }
            }
        }
        for (key, ops) in &self.histories.0 {
            self.report.operations += ops.len() as u64;
            match is_linearizable(ops) {
                Some(true) => {}
                None => self.report.unclear += 1,
                Some(false) => {
                    return Err(Violation::new(format!(
                        "key {} is not linearizable: {ops:?}",
                        String::from_utf8_lossy(KEYS[*key])
                    )));
                }
            }
        }
        self.report.transfers = self.books.transfers;
        self.report.audits = self.books.audits;
        self.report.resolved = self.books.resolved;
        Ok(())
    }
}
