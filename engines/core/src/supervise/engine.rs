//! What an engine is: the trait, and the context through which it meets the world.
//!
//! An engine sees only its configuration and a [`Context`]. It publishes snapshots, emits records, answers requests and
//! ends when told to; it never sees who watches it, and it must never block a runtime thread.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::caught::{Caught, Panic, catch};
use super::handle::Shared;
use super::state::{EngineState, Health};
use crate::clock::{Clock, Instant};
use crate::filter::Schema;
use crate::publish::{Published, Wakers};
use crate::record::{Record, RecordBuilder, Severity, SourceId};
use crate::stream::Hub;

/// Work without a screen.
///
/// The type is the engine's kind; one life of it is one call of [`Engine::run`]. A restart is a new call with a fresh copy
/// of the configuration, so nothing of a life that failed can leak into the next.
pub trait Engine: Sized + Send + 'static {
    /// What it is started with, kept for restarts.
    type Config: Clone + Send + Sync + 'static;
    /// What it can be asked to do.
    type Command: Send + 'static;
    /// What it answers.
    type Reply: Send + 'static;
    /// What panes read. The default is shown before the first one is published.
    type Snapshot: Default + Send + Sync + 'static;
    /// Why it can fail.
    type Error: std::error::Error + Send + 'static;

    /// The kind's name: `vm`, `proxy`, `kv`, `logs`.
    const KIND: &'static str;

    /// The fields of its records, for filters and completion.
    fn schema() -> Schema;

    /// One life. It sets itself up, says [`Context::running`], and works until [`Context::next`] gives `None` or its
    /// [`StopToken`] is set; then it finishes what it has begun and returns. Returning `Ok` earlier means that the work is
    /// done. A thread it started must be gone when this returns, unless it came from [`Context::thread`].
    fn run(config: Self::Config, cx: Context<Self>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Set when an engine shall stop. Clones observe the same request.
#[derive(Debug, Clone)]
pub struct StopToken(pub(super) watch::Receiver<bool>);

impl StopToken {
    /// Whether it is set, or nobody is left who could set it.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is set.
    pub async fn wait(&mut self) {
        // An error means that the supervisor is gone, which is a request to stop too.
        let _ = self.0.wait_for(|set| *set).await;
    }
}

/// A command and the way to answer it.
#[derive(Debug)]
pub struct Request<C, R> {
    /// What is asked.
    pub command: C,
    /// Where the answer goes.
    pub reply: ReplyTo<R>,
}

/// Answers one request. Dropping it tells the caller that the answer is lost.
pub struct ReplyTo<R> {
    pub(super) sender: Option<oneshot::Sender<R>>,
    pub(super) wakers: Wakers,
}

impl<R> ReplyTo<R> {
    /// Sends the answer; it goes nowhere if the caller has lost interest.
    pub fn send(mut self, reply: R) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(reply);
        }
    }

    /// Whether the caller still waits.
    pub fn is_wanted(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

impl<R> Drop for ReplyTo<R> {
    fn drop(&mut self) {
        // The answer (or its loss) must be there before anyone is woken to look for it.
        drop(self.sender.take());
        self.wakers.wake();
    }
}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyTo").field("wanted", &self.is_wanted()).finish()
    }
}

pub(super) type Tasks = Arc<Mutex<JoinSet<()>>>;

/// Everything an engine gets from the house for one life.
pub struct Context<E: Engine> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) requests: mpsc::Receiver<Request<E::Command, E::Reply>>,
    pub(super) stop: StopToken,
    pub(super) faults: mpsc::Sender<Panic>,
    pub(super) tasks: Tasks,
    pub(super) runtime: Runtime,
}

impl<E: Engine> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("kind", &E::KIND)
            .field("source", self.source())
            .finish()
    }
}

impl<E: Engine> Context<E> {
    /// Says that it is up. The first [`Context::next`] says it too.
    pub fn running(&self) {
        if matches!(*self.shared.state.load(), EngineState::Starting) {
            self.shared.state.publish(EngineState::Running { since: self.now() });
            if *self.shared.health.load() == Health::default() {
                self.set_health(Health::healthy());
            }
        }
    }

    /// Waits for the next request; `None` when it is time to stop. May be dropped and called again (`select!`).
    pub async fn next(&mut self) -> Option<Request<E::Command, E::Reply>> {
        self.running();
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.wait() => None,
            request = self.requests.recv() => request,
        }
    }

    /// The next request that has come already, also while stopping.
    pub fn try_next(&mut self) -> Option<Request<E::Command, E::Reply>> {
        self.requests.try_recv().ok()
    }

    /// A token that is set when it is time to stop.
    pub fn stop_token(&self) -> StopToken {
        self.stop.clone()
    }

    /// Publishes what panes read.
    pub fn publish(&self, snapshot: E::Snapshot) {
        self.shared.snapshot.publish(snapshot);
    }

    /// The published snapshot, for tasks and threads of the engine that publish by themselves.
    pub fn snapshot(&self) -> Published<E::Snapshot> {
        self.shared.snapshot.clone()
    }

    /// The stream of records that it emits, for tasks and threads of the engine.
    pub fn records(&self) -> Hub<Record> {
        self.shared.records.clone()
    }

    /// Emits a record, waiting for readers whose policy is to block.
    pub async fn emit(&self, record: Record) {
        self.shared.records.send(record).await;
    }

    /// Starts a record of this engine that happens now.
    pub fn record(&self, severity: Severity) -> RecordBuilder {
        Record::build(self.source(), self.now(), severity)
    }

    /// Says how well it does.
    pub fn set_health(&self, health: Health) {
        if *self.shared.health.load() != health {
            self.shared.health.publish(health);
        }
    }

    /// The name under which its records go.
    pub fn source(&self) -> &SourceId {
        &self.shared.source
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// The runtime it runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Runs a task beside the engine. It is cut off when this life ends; if it panics, this life ends as crashed.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let faults = self.faults.clone();
        let task = async move {
            if let Err(panic) = Caught::new(task).await {
                let _ = faults.try_send(panic);
            }
        };
        let mut tasks = self.tasks.lock();
        // Takes the finished ones out, or a long life with many short tasks would keep them all.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// Starts a thread for work that would block. It is given a token and must return soon after that is set; if it
    /// panics, this life ends as crashed.
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce(StopToken) + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let faults = self.faults.clone();
        let stop = self.stop.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = catch(|| work(stop)) {
                let _ = faults.try_send(panic);
            }
        })
    }
}
