//! Holding an engine: what panes, the server and the command line have of it.
//!
//! A handle reads published state, sends commands and asks for a restart or a stop. It holds no logic of the engine, never
//! waits for it unless the caller awaits, and stays valid whatever happens to the engine.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::engine::{Engine, ReplyTo, Request};
use super::life::{Goal, Intent};
use super::state::{EngineState, Failure, Health};
use crate::clock::Clock;
use crate::filter::Schema;
use crate::publish::{Published, Wake, WakeGuard, Wakers};
use crate::record::{Record, SourceId};
use crate::stream::{Counters, Hub, Overflow, Receiver};

pub(super) type RequestSender<E> = mpsc::Sender<Request<<E as Engine>::Command, <E as Engine>::Reply>>;

/// What the handles, the supervisor and the engine's context share.
pub(super) struct Shared<E: Engine> {
    pub(super) source: SourceId,
    pub(super) schema: Arc<Schema>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Published<EngineState>,
    pub(super) health: Published<Health>,
    pub(super) snapshot: Published<E::Snapshot>,
    pub(super) failure: ArcSwapOption<Failure>,
    pub(super) records: Hub<Record>,
    pub(super) requests: ArcSwapOption<RequestSender<E>>,
    pub(super) intent: watch::Sender<Intent>,
    pub(super) ended: watch::Sender<bool>,
    pub(super) wakers: Wakers,
}

/// Why a command has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The engine takes no commands in its present state.
    #[error("the engine is {0}; restart it first")]
    NotRunning(&'static str),
    /// Too many commands wait already.
    #[error("the engine is busy: its command queue is full; try again")]
    Busy,
    /// The engine took the command and ended, or dropped it, before it answered.
    #[error("the engine ended before it answered; whether the command was done is unknown")]
    Lost,
}

/// An answer on its way: await it, poll it with [`Pending::try_take`], or block on [`Pending::wait`].
#[derive(Debug)]
pub struct Pending<R>(oneshot::Receiver<R>);

impl<R> Pending<R> {
    /// The answer if it is there (or certain not to come). The engine's wakers are called when it is. `None` after that
    /// is not possible: a taken answer leaves [`CallError::Lost`].
    pub fn try_take(&mut self) -> Option<Result<R, CallError>> {
        match self.0.try_recv() {
            Ok(reply) => Some(Ok(reply)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(CallError::Lost)),
        }
    }

    /// Blocks this thread until the answer is there. Never call it on a runtime's thread.
    pub fn wait(self) -> Result<R, CallError> {
        self.0.blocking_recv().map_err(|_| CallError::Lost)
    }
}

impl<R> Future for Pending<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| CallError::Lost)
    }
}

/// A future in a box, as object-safe traits need it.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An engine of any kind, as the server holds it.
pub trait Handle: Send + Sync + fmt::Debug {
    /// The kind's name.
    fn kind(&self) -> &'static str;
    /// The name under which its records go.
    fn source(&self) -> &SourceId;
    /// The fields of its records.
    fn schema(&self) -> Arc<Schema>;
    /// Where it is in its life.
    fn state(&self) -> Arc<EngineState>;
    /// How well it does.
    fn health(&self) -> Arc<Health>;
    /// The last failure of any life, also after it has recovered.
    fn last_failure(&self) -> Option<Arc<Failure>>;
    /// The newest snapshot; downcast it to the kind's own type.
    fn snapshot_any(&self) -> Arc<dyn Any + Send + Sync>;
    /// A number that grows with every published snapshot.
    fn snapshot_version(&self) -> u64;
    /// Reads its records from now on.
    fn subscribe(&self, capacity: usize, overflow: Overflow) -> Receiver<Record>;
    /// What each reader's queue has seen.
    fn counters(&self) -> Vec<Counters>;
    /// Calls `wake` after a new state, health, snapshot or answer, for as long as the guard lives.
    fn on_change(&self, wake: Wake) -> WakeGuard;
    /// Starts it again at once, ending the present life first if there is one. Forgets earlier failures.
    fn restart(&self);
    /// Ends the present life within `deadline`; a restart brings it back.
    fn stop(&self, deadline: Duration);
    /// Ends it for good; the future is done when it is gone. The request holds even if the future is dropped.
    fn shutdown(&self, deadline: Duration) -> Boxed<()>;
    /// Itself, for [`dyn Handle::downcast`].
    fn as_any(&self) -> &dyn Any;
}

impl dyn Handle {
    /// The handle of a known kind of engine, with its commands and snapshots.
    pub fn downcast<E: Engine>(&self) -> Option<&EngineHandle<E>> {
        self.as_any().downcast_ref()
    }
}

/// An engine of a known kind. Clones hold the same engine.
pub struct EngineHandle<E: Engine>(pub(super) Arc<Shared<E>>);

impl<E: Engine> Clone for EngineHandle<E> {
    fn clone(&self) -> Self {
        EngineHandle(Arc::clone(&self.0))
    }
}

impl<E: Engine> fmt::Debug for EngineHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle")
            .field("kind", &E::KIND)
            .field("source", &self.0.source)
            .field("state", &self.0.state.load())
            .finish()
    }
}

impl<E: Engine> EngineHandle<E> {
    /// Sends a command. An engine that is starting gets it once it is up. Never waits.
    pub fn call(&self, command: E::Command) -> Result<Pending<E::Reply>, CallError> {
        let requests = self.0.requests.load();
        let Some(requests) = requests.as_ref() else {
            return Err(CallError::NotRunning(self.0.state.load().word()));
        };
        let (sender, receiver) = oneshot::channel();
        let reply = ReplyTo {
            sender: Some(sender),
            wakers: self.0.wakers.clone(),
        };
        match requests.try_send(Request { command, reply }) {
            Ok(()) => Ok(Pending(receiver)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(CallError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(CallError::NotRunning(self.0.state.load().word())),
        }
    }

    /// Sends a command and waits for the answer.
    pub async fn ask(&self, command: E::Command) -> Result<E::Reply, CallError> {
        self.call(command)?.await
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<E::Snapshot> {
        self.0.snapshot.load()
    }

    /// The published snapshot, to watch it.
    pub fn snapshots(&self) -> &Published<E::Snapshot> {
        &self.0.snapshot
    }

    /// The published state, to watch it.
    pub fn states(&self) -> &Published<EngineState> {
        &self.0.state
    }

    /// Waits until the state is as wanted and gives it; `None` when the engine is shut down before.
    pub async fn wait_state(&self, wanted: impl Fn(&EngineState) -> bool) -> Option<Arc<EngineState>> {
        let mut changes = self.0.state.watch();
        let mut ended = self.0.ended.subscribe();
        loop {
            changes.borrow_and_update();
            let state = self.0.state.load();
            if wanted(&state) {
                return Some(state);
            }
            if *ended.borrow_and_update() {
                return None;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = ended.changed() => {}
            }
        }
    }

    fn intend(&self, change: impl FnOnce(&mut Intent)) {
        self.0.intent.send_modify(|intent| {
            if intent.goal != Goal::Shutdown {
                change(intent);
            }
        });
    }
}

impl<E: Engine> Handle for EngineHandle<E> {
    fn kind(&self) -> &'static str {
        E::KIND
    }

    fn source(&self) -> &SourceId {
        &self.0.source
    }

    fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.0.schema)
    }

    fn state(&self) -> Arc<EngineState> {
        self.0.state.load()
    }

    fn health(&self) -> Arc<Health> {
        self.0.health.load()
    }

    fn last_failure(&self) -> Option<Arc<Failure>> {
        self.0.failure.load_full()
    }

    fn snapshot_any(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.snapshot.load()
    }

    fn snapshot_version(&self) -> u64 {
        self.0.snapshot.version()
    }

    fn subscribe(&self, capacity: usize, overflow: Overflow) -> Receiver<Record> {
        self.0.records.subscribe(capacity, overflow)
    }

    fn counters(&self) -> Vec<Counters> {
        self.0.records.counters()
    }

    fn on_change(&self, wake: Wake) -> WakeGuard {
        self.0.wakers.add(wake)
    }

    fn restart(&self) {
        self.intend(|intent| {
            intent.restarts += 1;
            intent.goal = Goal::Run;
        });
    }

    fn stop(&self, deadline: Duration) {
        self.intend(|intent| {
            intent.goal = Goal::Stop;
            intent.deadline = deadline;
        });
    }

    fn shutdown(&self, deadline: Duration) -> Boxed<()> {
        self.intend(|intent| {
            intent.goal = Goal::Shutdown;
            intent.deadline = deadline;
        });
        let mut ended = self.0.ended.subscribe();
        Box::pin(async move {
            let _ = ended.wait_for(|ended| *ended).await;
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
