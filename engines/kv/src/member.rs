//! A node at work: a thread that decides and writes the log, and one that applies.
//!
//! What comes while the log is being synced waits, and is one commit the next time: that is the group commit, and there is
//! no other delay in it. Calls and messages are bounded; beyond the bound a call is refused as busy and a message is lost,
//! which Raft allows for. When a write fails, or something cannot be gone on from, the member stops, says why, and answers
//! nothing more; what is on disk is where it starts again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qd_kv_model::{Modify, NewRegion, NodeId, Payload, PeerChange, PeerId, RegionId, RegionState};
use qd_kv_node::{Applied, ApplyTask, Envelope, Event, Install, Node, Outcome, Refusal, RegionView};
use qd_kv_store::{Readers, View};

use crate::{DataDisk, Disk, DiskError, LogDisk};

/// Inputs that may wait. Beyond that the member is busy.
const MOST_WAITING: usize = 4096;
/// Inputs that are taken at once.
const ROUND: usize = 256;
/// Tasks of the thread that applies that may wait; then the one that decides waits.
const MOST_TASKS: usize = 64;
/// The data is made durable after so many bytes of entries, or so long after the first of them.
const CHECKPOINT_BYTES: usize = 8 << 20;
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);

/// Takes messages to other nodes. It must not wait.
pub trait Transport: Send + 'static {
    /// Sends a message, or loses it.
    fn send(&self, env: Envelope);
}

type Reply<T> = SyncSender<Result<T, Refusal>>;

enum Input {
    Mail(Box<Envelope>),
    Write(RegionId, Option<u64>, Vec<Modify>, Reply<Outcome>),
    Split(RegionId, Vec<NewRegion>, Reply<Outcome>),
    Peers(RegionId, Vec<PeerChange>, Reply<Outcome>),
    Transfer(RegionId, PeerId, Reply<()>),
    Read(RegionId, Reply<u64>),
    Leads(RegionId, Reply<u64>),
    Look(SyncSender<Vec<RegionView>>),
    // From the thread that applies; not counted, since there are never more than there are tasks.
    Applied(Vec<Applied>),
    Built(Box<RegionState>, Vec<u8>),
    Durable(Vec<(RegionId, u64)>),
    Failed(String),
    Stop,
}

enum Task {
    Apply(Vec<ApplyTask>),
    Destroy(Vec<RegionState>),
    Install(Vec<Install>, SyncSender<()>),
    Build(Vec<RegionId>),
}

/// What is known of a member from outside.
#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    failure: Mutex<Option<String>>,
    events: Mutex<Vec<Event>>,
}

/// Events that are kept until somebody asks.
const MOST_EVENTS: usize = 1024;

/// A way to speak to a member. Clones speak to the same.
#[derive(Clone)]
pub struct MemberHandle {
    node: NodeId,
    input: Sender<Input>,
    shared: Arc<Shared>,
    readers: Readers,
}

impl std::fmt::Debug for MemberHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberHandle").field("node", &self.node).finish()
    }
}

/// A member. Dropping it stops its threads, after what they are doing.
#[derive(Debug)]
pub struct Member {
    handle: MemberHandle,
    threads: Vec<JoinHandle<()>>,
}

impl Member {
    /// Starts the threads of a node.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        id: NodeId,
        node: Node,
        disk: Disk,
        tick: Duration,
        transport: impl Transport,
    ) -> std::io::Result<Self> {
        let (input, inbox) = channel();
        let (tasks, todo) = sync_channel(MOST_TASKS);
        let readers = disk.readers();
        let (log, data) = disk.split();
        let shared = Arc::new(Shared::default());
        let handle = MemberHandle {
            node: id,
            input: input.clone(),
            shared: Arc::clone(&shared),
            readers,
        };
        let applier = std::thread::Builder::new()
            .name(format!("kv-apply-{id}"))
            .spawn(move || Applier { data, todo, out: input }.run())?;
        let decider = std::thread::Builder::new()
            .name(format!("kv-raft-{id}"))
            .spawn(move || {
                let shared = Arc::clone(&shared);
                let mut d = Decider {
                    node,
                    log,
                    inbox,
                    tasks,
                    transport,
                    shared,
                    next: 0,
                    writes: BTreeMap::new(),
                    reads: BTreeMap::new(),
                    since: 0,
                };
                if let Err(why) = d.run(tick) {
                    *d.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                }
            })?;
        Ok(Self {
            handle,
            threads: vec![decider, applier],
        })
    }

    /// A way to speak to it.
    pub fn handle(&self) -> MemberHandle {
        self.handle.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.handle.input.send(Input::Stop);
        for t in self.threads.drain(..) {
            let _ = t.join();
        }
    }
}

impl MemberHandle {
    /// The node's number.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Why it stopped, if it did.
    pub fn failure(&self) -> Option<String> {
        self.shared
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What happened since somebody asked last; the newest, if it was too much.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.shared.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A message from another node. It is lost when too much waits.
    pub fn receive(&self, env: Envelope) {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let _ = self.input.send(Input::Mail(Box::new(env)));
    }

    fn call<T>(&self, region: RegionId, f: impl FnOnce(Reply<T>) -> Input) -> Result<T, Refusal> {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Busy(region));
        }
        let (reply, answer) = sync_channel(1);
        // Who does not answer has stopped, and what was asked may have been done.
        self.input.send(f(reply)).map_err(|_| Refusal::NoRegion(region))?;
        answer.recv().unwrap_or(Err(Refusal::Timeout(region)))
    }

    /// Writes; waits until it is durable on a majority and applied here. With a term only if the region is still led in it.
    ///
    /// # Errors
    /// As [`Node::propose`]; with [`Refusal::Timeout`] nobody knows.
    pub fn write(&self, region: RegionId, term: Option<u64>, writes: Vec<Modify>) -> Result<Outcome, Refusal> {
        self.call(region, |r| Input::Write(region, term, writes, r))
    }

    /// Splits a region.
    ///
    /// # Errors
    /// As [`Node::propose_split`].
    pub fn split(&self, region: RegionId, new: Vec<NewRegion>) -> Result<Outcome, Refusal> {
        self.call(region, |r| Input::Split(region, new, r))
    }

    /// Changes a region's peers.
    ///
    /// # Errors
    /// As [`Node::propose_peers`].
    pub fn change_peers(&self, region: RegionId, changes: Vec<PeerChange>) -> Result<Outcome, Refusal> {
        self.call(region, |r| Input::Peers(region, changes, r))
    }

    /// Hands the leadership over.
    ///
    /// # Errors
    /// As [`Node::transfer_leader`].
    pub fn transfer_leader(&self, region: RegionId, to: PeerId) -> Result<(), Refusal> {
        self.call(region, |r| Input::Transfer(region, to, r))
    }

    /// Whether the region is led from here and ready, and in which term.
    ///
    /// # Errors
    /// As [`Node::leads`].
    pub fn leads(&self, region: RegionId) -> Result<u64, Refusal> {
        self.call(region, |r| Input::Leads(region, r))
    }

    /// The data, with everything that was acknowledged before the call.
    ///
    /// # Errors
    /// As [`Node::read`].
    pub fn read(&self, region: RegionId) -> Result<View, Refusal> {
        self.call(region, |r| Input::Read(region, r))?;
        self.readers.view().map_err(|e| Refusal::Bad(e.to_string()))
    }

    /// The regions as this node sees them; none when it has stopped.
    pub fn look(&self) -> Vec<RegionView> {
        let (reply, answer) = sync_channel(1);
        let _ = self.input.send(Input::Look(reply));
        answer.recv().unwrap_or_default()
    }
}

struct Decider<T> {
    node: Node,
    log: LogDisk,
    inbox: Receiver<Input>,
    tasks: SyncSender<Task>,
    transport: T,
    shared: Arc<Shared>,
    next: u64,
    writes: BTreeMap<u64, Reply<Outcome>>,
    reads: BTreeMap<u64, Reply<u64>>,
    /// Commits of the log since its file was last brought down.
    since: usize,
}

impl<T: Transport> Decider<T> {
    fn run(&mut self, tick: Duration) -> Result<(), String> {
        let mut due = Instant::now() + tick;
        self.work()?;
        loop {
            let mut left = ROUND;
            match self.inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(i) => {
                    if !self.take(i)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => left = 0,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while left > 0 {
                left -= 1;
                match self.inbox.try_recv() {
                    Ok(i) => {
                        if !self.take(i)? {
                            return Ok(());
                        }
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            let now = Instant::now();
            if now >= due {
                self.node.tick();
                // A process that was stopped has missed ticks; they are not made up for, as nobody could have been heard.
                due = (due + tick).max(now);
            }
            self.work()?;
        }
    }

    fn proposed(&mut self, reply: Reply<Outcome>, f: impl FnOnce(&mut Node, u64) -> Result<(), Refusal>) {
        self.next += 1;
        match f(&mut self.node, self.next) {
            Ok(()) => {
                self.writes.insert(self.next, reply);
            }
            Err(e) => {
                let _ = reply.try_send(Err(e));
            }
        }
    }

    /// One thing that happened. False when it is time to stop.
    fn take(&mut self, i: Input) -> Result<bool, String> {
        let counted = matches!(
            i,
            Input::Mail(_)
                | Input::Write(..)
                | Input::Split(..)
                | Input::Peers(..)
                | Input::Transfer(..)
                | Input::Read(..)
                | Input::Leads(..)
        );
        if counted {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        match i {
            Input::Mail(env) => self.node.receive(*env),
            Input::Write(region, term, all, reply) => {
                self.proposed(reply, |n, id| n.propose(region, id, term, Payload::Write(all)));
            }
            Input::Split(region, new, reply) => self.proposed(reply, |n, id| n.propose_split(region, id, new)),
            Input::Peers(region, changes, reply) => self.proposed(reply, |n, id| n.propose_peers(region, id, changes)),
            Input::Transfer(region, to, reply) => {
                let _ = reply.try_send(self.node.transfer_leader(region, to));
            }
            Input::Read(region, reply) => {
                self.next += 1;
                match self.node.read(region, self.next) {
                    Ok(()) => {
                        self.reads.insert(self.next, reply);
                    }
                    Err(e) => {
                        let _ = reply.try_send(Err(e));
                    }
                }
            }
            Input::Leads(region, reply) => {
                let _ = reply.try_send(self.node.leads(region));
            }
            Input::Look(reply) => {
                let _ = reply.try_send(self.node.view());
            }
            Input::Applied(all) => {
                for done in all {
                    self.node.applied(done).map_err(|e| e.to_string())?;
                }
            }
            Input::Built(state, data) => self.node.snapshot_built(&state, &data),
            Input::Durable(all) => self.node.checkpointed(&all),
            Input::Failed(why) => return Err(why),
            Input::Stop => return Ok(false),
        }
        Ok(true)
    }

    fn task(&self, t: Task) -> Result<(), String> {
        self.tasks
            .send(t)
            .map_err(|_| "the thread that applies has ended".to_owned())
    }

    fn work(&mut self) -> Result<(), String> {
        loop {
            let work = self.node.work().map_err(|e| e.to_string())?;
            if work.is_empty() {
                return Ok(());
            }
            for env in work.send {
                self.transport.send(env);
            }
            if !work.apply.is_empty() {
                self.task(Task::Apply(work.apply))?;
            }
            if !work.installs.is_empty() {
                let (done, wait) = sync_channel(1);
                self.task(Task::Install(work.installs, done))?;
                wait.recv()
                    .map_err(|_| "a snapshot could not be put in place".to_owned())?;
            }
            if let Some(seq) = work.seq {
                if !work.writes.is_empty() {
                    self.log.commit(&work.writes).map_err(|e| e.to_string())?;
                    self.since += 1;
                }
                self.node.persisted(seq).map_err(|e| e.to_string())?;
            }
            if !work.destroy.is_empty() {
                self.task(Task::Destroy(work.destroy))?;
            }
            if !work.snapshots.is_empty() {
                self.task(Task::Build(work.snapshots))?;
            }
            for (id, o) in work.outcomes {
                if let Some(reply) = self.writes.remove(&id) {
                    let _ = reply.try_send(o);
                }
            }
            for (id, r) in work.reads {
                if let Some(reply) = self.reads.remove(&id) {
                    let _ = reply.try_send(r);
                }
            }
            if !work.events.is_empty() {
                let mut events = self.shared.events.lock().unwrap_or_else(PoisonError::into_inner);
                events.extend(work.events);
                let over = events.len().saturating_sub(MOST_EVENTS);
                events.drain(..over);
            }
            if self.since >= 512 {
                self.since = 0;
                self.log.checkpoint().map_err(|e| e.to_string())?;
            }
        }
    }
}

struct Applier {
    data: DataDisk,
    todo: Receiver<Task>,
    out: Sender<Input>,
}

impl Applier {
    fn run(mut self) {
        if let Err(e) = self.work() {
            let _ = self.out.send(Input::Failed(e.to_string()));
        }
    }

    fn work(&mut self) -> Result<(), DiskError> {
        let mut bytes = 0;
        let mut due: Option<Instant> = None;
        loop {
            let wait = due.map_or(Duration::from_secs(3600), |d| {
                d.saturating_duration_since(Instant::now())
            });
            match self.todo.recv_timeout(wait) {
                Ok(Task::Apply(mut all)) => {
                    // What waits is one commit with it.
                    let mut next = None;
                    while all.len() < ROUND {
                        match self.todo.try_recv() {
                            Ok(Task::Apply(more)) => all.extend(more),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    bytes += all.iter().flat_map(|t| &t.entries).map(|e| e.data.len()).sum::<usize>();
                    let done = self.data.apply(&all)?;
                    let _ = self.out.send(Input::Applied(done));
                    due.get_or_insert_with(|| Instant::now() + CHECKPOINT_AFTER);
                    if let Some(t) = next {
                        self.other(t)?;
                    }
                }
                Ok(t) => {
                    self.other(t)?;
                    due.get_or_insert_with(|| Instant::now() + CHECKPOINT_AFTER);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if due.is_some_and(|d| bytes >= CHECKPOINT_BYTES || d <= Instant::now()) {
                let durable = self.data.checkpoint()?;
                let _ = self.out.send(Input::Durable(durable));
                (bytes, due) = (0, None);
            }
        }
    }

    fn other(&mut self, t: Task) -> Result<(), DiskError> {
        match t {
            Task::Apply(all) => {
                let done = self.data.apply(&all)?;
                let _ = self.out.send(Input::Applied(done));
            }
            Task::Destroy(all) => self.data.destroy(&all)?,
            Task::Install(all, done) => {
                self.data.install(&all)?;
                let _ = done.send(());
            }
            Task::Build(regions) => {
                for r in regions {
                    if let Some((state, data)) = self.data.snapshot(r)? {
                        let _ = self.out.send(Input::Built(Box::new(state), data));
                    }
                }
            }
        }
        Ok(())
    }
}
