//! What an engine's life looks like from outside, and the rules it is lived by.
//!
//! Plain data: states, health, failures and the restart policy. Nothing here acts.

use std::fmt;
use std::time::Duration;

use crate::clock::Instant;
use crate::time::Mono;

/// Where an engine is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// It was started and has not said yet that it is up.
    Starting,
    /// It is up.
    Running {
        /// Since when.
        since: Instant,
    },
    /// It was asked to stop and is finishing what it has begun.
    Stopping,
    /// It does nothing; a restart brings it back.
    Stopped(Ending),
    /// It failed and will be started again by itself.
    BackingOff {
        /// What happened.
        failure: Failure,
        /// How many failures in a row, this one included.
        attempt: u32,
        /// When it will be started again, on the clock of the supervisor.
        retry_at: Mono,
    },
    /// It failed and stays down until someone restarts it.
    Crashed(Failure),
}

impl EngineState {
    /// One lower-case word.
    pub fn word(&self) -> &'static str {
        match self {
            EngineState::Starting => "starting",
            EngineState::Running { .. } => "running",
            EngineState::Stopping => "stopping",
            EngineState::Stopped(_) => "stopped",
            EngineState::BackingOff { .. } => "backing off",
            EngineState::Crashed(_) => "crashed",
        }
    }

    /// The failure that led here, if one did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            EngineState::BackingOff { failure, .. }
            | EngineState::Crashed(failure)
            | EngineState::Stopped(Ending::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether it takes commands.
    pub fn is_running(&self) -> bool {
        matches!(self, EngineState::Running { .. })
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self.failure() {
            Some(failure) => write!(f, ": {failure}"),
            None => Ok(()),
        }
    }
}

/// How an engine came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to, and finished in time.
    Asked,
    /// Its work was done.
    Finished,
    /// It was asked to and did not finish within the deadline, so it was cut off; what it had not written is lost.
    CutOff,
    /// It was asked to and failed while finishing.
    Failed(Failure),
}

/// What went wrong, when and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A panic or an error.
    pub kind: FailureKind,
    /// The panic's message, or the error with its causes.
    pub message: String,
    /// `file:line:column` of a panic.
    pub place: Option<String>,
    /// When it was noticed.
    pub at: Instant,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.place) {
            (FailureKind::Panic, Some(place)) => write!(f, "panicked at {place}: {}", self.message),
            (FailureKind::Panic, None) => write!(f, "panicked: {}", self.message),
            (FailureKind::Error, _) => f.write_str(&self.message),
        }
    }
}

/// How an engine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A defect: it panicked.
    Panic,
    /// It returned an error.
    Error,
}

/// How well a running engine does its work, in its own judgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// The judgement.
    pub level: HealthLevel,
    /// One sentence; empty when there is nothing to say.
    pub detail: String,
}

impl Health {
    /// All is well.
    pub fn healthy() -> Health {
        Health {
            level: HealthLevel::Healthy,
            detail: String::new(),
        }
    }

    /// It works, but something is wrong.
    pub fn degraded(detail: impl Into<String>) -> Health {
        Health {
            level: HealthLevel::Degraded,
            detail: detail.into(),
        }
    }

    /// It is up and cannot do its work.
    pub fn failing(detail: impl Into<String>) -> Health {
        Health {
            level: HealthLevel::Failing,
            detail: detail.into(),
        }
    }
}

/// The judgement of a [`Health`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum HealthLevel {
    /// Nothing is known: it is not running, or has not said.
    #[default]
    Unknown,
    /// All is well.
    Healthy,
    /// It works, but something is wrong.
    Degraded,
    /// It is up and cannot do its work.
    Failing,
}

/// Whether a failed engine is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Yes, after a delay.
    #[default]
    OnFailure,
    /// No; a person decides.
    Never,
}

/// The delay before each restart: `first`, then `factor` times the one before, never above `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// By how much each further failure multiplies it.
    pub factor: u32,
    /// The longest delay.
    pub cap: Duration,
}

impl Default for Backoff {
    /// 250 ms, doubling, up to 30 s.
    fn default() -> Self {
        Backoff {
            first: Duration::from_millis(250),
            factor: 2,
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The delay after the `attempt`th failure in a row, counted from 1.
    pub fn delay(&self, attempt: u32) -> Duration {
        let factor = self
            .factor
            .max(1)
            .checked_pow(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.first.checked_mul(factor).unwrap_or(self.cap).min(self.cap)
    }
}

/// The rules of an engine's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is started again after a failure.
    pub restart: Restart,
    /// After which delays.
    pub backoff: Backoff,
    /// A life at least this long makes the next failure count as the first again.
    pub healthy_after: Duration,
    /// After more failures in a row than this it stays down; `None` means never.
    pub max_failures: Option<u32>,
    /// How long it may take to finish when it is restarted by hand.
    pub stop_deadline: Duration,
    /// How many commands may wait before callers are refused; at least one.
    pub command_queue: usize,
}

impl Default for Policy {
    /// Restart on failure, reset after 60 s, give up after 10 failures in a row, 5 s to finish, 256 commands.
    fn default() -> Self {
        Policy {
            restart: Restart::OnFailure,
            backoff: Backoff::default(),
            healthy_after: Duration::from_secs(60),
            max_failures: Some(10),
            stop_deadline: Duration::from_secs(5),
            command_queue: 256,
        }
    }
}
