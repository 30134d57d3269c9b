//! The supervisor: starts lives, watches how they end, and decides what comes next.
//!
//! One task an engine owns its life from start to shutdown; the engine itself runs in a task of its own, so that one which
//! never yields cannot keep its supervisor from meeting a deadline. Wishes reach the task as one watched value, so that
//! none can be lost to a full queue and the newest wins.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::caught::{self, Caught, Panic};
use super::engine::{Context, Engine, StopToken, Tasks};
use super::handle::{EngineHandle, Handle, Shared};
use super::state::{Ending, EngineState, Failure, FailureKind, Health, Policy, Restart};
use crate::clock::Clock;
use crate::publish::{Published, Wakers};
use crate::record::SourceId;
use crate::stream::Hub;

/// How long a life that was cut off may take to let go of the processor.
const GRACE: Duration = Duration::from_millis(250);

/// What is wanted of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Run,
    Stop,
    Shutdown,
}

/// The newest wish.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intent {
    pub(super) goal: Goal,
    pub(super) restarts: u64,
    pub(super) deadline: Duration,
}

/// Why a supervisor could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// It is being shut down.
    #[error("cannot start {kind} engine `{source_name}`: the session is shutting down")]
    Closing {
        /// The kind of the engine.
        kind: &'static str,
        /// Its name.
        source_name: String,
    },
}

struct Charge {
    handle: Arc<dyn Handle>,
    task: JoinHandle<()>,
}

struct Charges {
    list: Vec<Charge>,
    closing: bool,
}

/// Starts engines on a runtime and answers for all of them. Clones share the engines.
#[derive(Clone)]
pub struct Supervisor {
    runtime: Runtime,
    clock: Arc<dyn Clock>,
    charges: Arc<Mutex<Charges>>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("engines", &self.handles()).finish()
    }
}

impl Supervisor {
    /// A supervisor for engines on this runtime. Installs the panic hook that keeps their panics off the terminal.
    pub fn new(runtime: Runtime, clock: Arc<dyn Clock>) -> Supervisor {
        caught::install();
        Supervisor {
            runtime,
            clock,
            charges: Arc::new(Mutex::new(Charges {
                list: Vec::new(),
                closing: false,
            })),
        }
    }

    /// Starts an engine and keeps it alive by `policy`. Can be called from any thread.
    pub fn start<E: Engine>(
        &self,
        source: SourceId,
        config: E::Config,
        policy: Policy,
    ) -> Result<EngineHandle<E>, SupervisorError> {
        let mut charges = self.charges.lock();
        if charges.closing {
            return Err(SupervisorError::Closing {
                kind: E::KIND,
                source_name: source.to_string(),
            });
        }
        charges.list.retain(|charge| !charge.task.is_finished());
        let wakers = Wakers::default();
        let shared = Arc::new(Shared::<E> {
            source,
            schema: Arc::new(E::schema()),
            clock: Arc::clone(&self.clock),
            state: Published::with_wakers(EngineState::Starting, wakers.clone()),
            health: Published::with_wakers(Health::default(), wakers.clone()),
            snapshot: Published::with_wakers(E::Snapshot::default(), wakers.clone()),
            failure: ArcSwapOption::empty(),
            records: Hub::default(),
            requests: ArcSwapOption::empty(),
            intent: watch::Sender::new(Intent {
                goal: Goal::Run,
                restarts: 0,
                deadline: policy.stop_deadline,
            }),
            ended: watch::Sender::new(false),
            wakers,
        });
        let handle = EngineHandle(Arc::clone(&shared));
        let life = Life {
            shared,
            config,
            policy,
            runtime: self.runtime.clone(),
            failures: 0,
        };
        // The first life is prepared here, so that a command sent right after this call is not refused.
        let first = life.begin();
        let task = self.runtime.spawn(life.live(first));
        charges.list.push(Charge {
            handle: Arc::new(handle.clone()),
            task,
        });
        Ok(handle)
    }

    /// Every engine that was not shut down, in the order they were started.
    pub fn handles(&self) -> Vec<Arc<dyn Handle>> {
        let charges = self.charges.lock();
        charges
            .list
            .iter()
            .filter(|c| !c.task.is_finished())
            .map(|c| Arc::clone(&c.handle))
            .collect()
    }

    /// Ends every engine for good, all at once, each within `deadline`, and waits for them. Nothing can be started after.
    pub async fn shutdown(&self, deadline: Duration) {
        let list = {
            let mut charges = self.charges.lock();
            charges.closing = true;
            std::mem::take(&mut charges.list)
        };
        let endings: Vec<_> = list.iter().map(|charge| charge.handle.shutdown(deadline)).collect();
        for ending in endings {
            ending.await;
        }
        for charge in list {
            let _ = charge.task.await;
        }
    }

    /// As [`Supervisor::shutdown`], for a thread outside the runtime. Never call it on a runtime's thread.
    pub fn shutdown_blocking(&self, deadline: Duration) {
        self.runtime.block_on(self.shutdown(deadline));
    }
}

/// One life while it lasts.
struct Incarnation {
    task: JoinHandle<Result<Result<(), String>, Panic>>,
    stop: watch::Sender<bool>,
    faults: mpsc::Receiver<Panic>,
    tasks: Tasks,
    begun: Instant,
}

/// How a life ended.
enum Outcome {
    Finished,
    Failed(Failure),
    CutOff,
}

struct Life<E: Engine> {
    shared: Arc<Shared<E>>,
    config: E::Config,
    policy: Policy,
    runtime: Runtime,
    failures: u32,
}

/// An error with everything that caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors already show their cause; saying it twice helps nobody.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl<E: Engine> Life<E> {
    fn set(&self, state: EngineState) {
        self.shared.state.publish(state);
    }

    fn failure(&self, kind: FailureKind, message: String, place: Option<String>) -> Failure {
        let failure = Failure {
            kind,
            message,
            place,
            at: self.shared.clock.now(),
        };
        self.shared.failure.store(Some(Arc::new(failure.clone())));
        failure
    }

    fn begin(&self) -> Incarnation {
        let (request_sender, requests) = mpsc::channel(self.policy.command_queue.max(1));
        let (stop, stop_token) = watch::channel(false);
        let (fault_sender, faults) = mpsc::channel(1);
        let tasks: Tasks = Arc::new(Mutex::new(JoinSet::new()));
        let cx = Context {
            shared: Arc::clone(&self.shared),
            requests,
            stop: StopToken(stop_token),
            faults: fault_sender,
            tasks: Arc::clone(&tasks),
            runtime: self.runtime.clone(),
        };
        self.set(EngineState::Starting);
        self.shared.requests.store(Some(Arc::new(request_sender)));
        let config = self.config.clone();
        // The call itself may panic before there is a future, so it happens inside the caught one.
        let run = Caught::new(async move { E::run(config, cx).await.map_err(|error| chain(&error)) });
        let task = self.runtime.spawn(run);
        let begun = {
            // The timer belongs to the runtime, and this may be another thread.
            let _inside = self.runtime.enter();
            Instant::now()
        };
        Incarnation {
            task,
            stop,
            faults,
            tasks,
            begun,
        }
    }

    /// From the first life to shutdown.
    async fn live(mut self, first: Incarnation) {
        let mut wishes = self.shared.intent.subscribe();
        let mut seen = 0;
        let mut next = Some(first);
        loop {
            let intent = *wishes.borrow_and_update();
            if intent.restarts != seen {
                self.failures = 0;
                seen = intent.restarts;
            }
            let life = match (intent.goal, next.take()) {
                (Goal::Shutdown, None) => {
                    self.rest();
                    break;
                }
                (Goal::Stop, None) => {
                    self.rest();
                    if wishes.changed().await.is_err() {
                        break;
                    }
                    continue;
                }
                (_, Some(life)) => life,
                (Goal::Run, None) => self.begin(),
            };
            let begun = life.begun;
            let (outcome, asked) = self.watch(life, &mut wishes, seen).await;
            self.settle(outcome, asked, begun.elapsed(), &mut wishes, seen).await;
        }
        self.shared.ended.send_replace(true);
        self.shared.wakers.wake();
    }

    /// Shows an engine that waited for its next life as stopped; one that lies there crashed is left so.
    fn rest(&self) {
        if matches!(*self.shared.state.load(), EngineState::BackingOff { .. }) {
            self.set(EngineState::Stopped(Ending::Asked));
        }
    }

    /// Waits for the end of a life or for a wish that ends it; says whether the end was asked for.
    async fn watch(&self, mut life: Incarnation, wishes: &mut watch::Receiver<Intent>, seen: u64) -> (Outcome, bool) {
        let mut asked = false;
        let outcome = loop {
            let intent = *wishes.borrow_and_update();
            if intent.goal != Goal::Run || intent.restarts != seen {
                asked = true;
                let deadline = if intent.goal == Goal::Run {
                    self.policy.stop_deadline
                } else {
                    intent.deadline
                };
                self.set(EngineState::Stopping);
                life.stop.send_replace(true);
                break match timeout(deadline, &mut life.task).await {
                    Ok(result) => self.outcome(result),
                    Err(_) => Outcome::CutOff,
                };
            }
            tokio::select! {
                result = &mut life.task => break self.outcome(result),
                Some(panic) = life.faults.recv() => {
                    break Outcome::Failed(self.failure(FailureKind::Panic, panic.message, panic.place));
                }
                // An error is impossible while this task holds the sender.
                _ = wishes.changed() => {}
            }
        };
        // A panic of a helper may be why the engine ended; it says more than the engine's own parting words.
        let outcome = match (life.faults.try_recv(), outcome) {
            (Ok(panic), Outcome::Finished) => {
                Outcome::Failed(self.failure(FailureKind::Panic, panic.message, panic.place))
            }
            (_, outcome) => outcome,
        };
        self.shared.requests.store(None);
        life.stop.send_replace(true);
        life.task.abort();
        // What was cut off is given a moment to be gone, so that two lives do not overlap unless one never yields.
        if !life.task.is_finished() {
            let _ = timeout(GRACE, &mut life.task).await;
        }
        let mut helpers = std::mem::take(&mut *life.tasks.lock());
        let _ = timeout(GRACE, helpers.shutdown()).await;
        self.shared.health.publish(Health::default());
        (outcome, asked)
    }

    fn outcome(&self, result: Result<Result<Result<(), String>, Panic>, tokio::task::JoinError>) -> Outcome {
        match result {
            Ok(Ok(Ok(()))) => Outcome::Finished,
            Ok(Ok(Err(message))) => Outcome::Failed(self.failure(FailureKind::Error, message, None)),
            Ok(Err(panic)) => Outcome::Failed(self.failure(FailureKind::Panic, panic.message, panic.place)),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Outcome::Failed(self.failure(FailureKind::Panic, caught::message(&*payload), None)),
                Err(_) => Outcome::CutOff,
            },
        }
    }

    /// Shows how a life ended and waits until it is time for the next one.
    async fn settle(
        &mut self,
        outcome: Outcome,
        asked: bool,
        lasted: Duration,
        wishes: &mut watch::Receiver<Intent>,
        seen: u64,
    ) {
        let failure = match (outcome, asked) {
            (Outcome::Failed(failure), false) => failure,
            (outcome, true) => {
                self.set(EngineState::Stopped(match outcome {
                    Outcome::Finished => Ending::Asked,
                    Outcome::Failed(failure) => Ending::Failed(failure),
                    Outcome::CutOff => Ending::CutOff,
                }));
                return;
            }
            (outcome, false) => {
                let ending = if matches!(outcome, Outcome::CutOff) {
                    Ending::CutOff
                } else {
                    Ending::Finished
                };
                self.set(EngineState::Stopped(ending));
                return wish(wishes, seen).await;
            }
        };
        if lasted >= self.policy.healthy_after {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let given_up = self.policy.max_failures.is_some_and(|max| self.failures > max);
        if given_up || self.policy.restart == Restart::Never {
            self.set(EngineState::Crashed(failure));
            return wish(wishes, seen).await;
        }
        let delay = self.policy.backoff.delay(self.failures);
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let retry_at = crate::time::Mono(self.shared.clock.now().mono.0.saturating_add(nanos));
        self.set(EngineState::BackingOff {
            failure,
            attempt: self.failures,
            retry_at,
        });
        // Either the delay passes or a wish comes; both mean that the loop looks again.
        let _ = timeout(delay, wish(wishes, seen)).await;
    }
}

/// Waits for a wish that is not the one already granted.
async fn wish(wishes: &mut watch::Receiver<Intent>, seen: u64) {
    let _ = wishes
        .wait_for(|intent| intent.goal != Goal::Run || intent.restarts != seen)
        .await;
}
