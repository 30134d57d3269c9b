//! What can go wrong with a pipeline.

use std::time::Duration;

use qd_logs_config::ConfigError;
use qd_logs_model::BuildError;

use crate::buffer::BufferError;

/// Why a pipeline did not start, did not change, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("{}", sentence(.0))]
    Config(Vec<ConfigError>),
    /// A component could not be made.
    #[error("component `{component}` could not be built: {error}")]
    Build {
        /// Its id.
        component: String,
        /// Why.
        error: BuildError,
    },
    /// An enrichment table could not be loaded.
    #[error("enrichment table `{table}`: {reason}")]
    Table {
        /// Its name.
        table: String,
        /// What is wrong, with the file.
        reason: String,
    },
    /// A buffer could not be opened.
    #[error("the buffer of sink `{component}` could not be opened: {error}")]
    Buffer {
        /// The sink's id.
        component: String,
        /// Why.
        error: BufferError,
    },
    /// The receiver of a sink is not there, and `healthchecks.require_healthy` asks for it.
    #[error("the health check of sink `{component}` failed: {reason}")]
    Unhealthy {
        /// The sink's id.
        component: String,
        /// What the check said.
        reason: String,
    },
    /// A component ended with an error.
    #[error("component `{component}` failed: {reason}")]
    Failed {
        /// Its id.
        component: String,
        /// What it said.
        reason: String,
    },
    /// A component's code panicked.
    #[error("component `{component}` crashed: {reason}")]
    Panicked {
        /// Its id.
        component: String,
        /// The panic's message.
        reason: String,
    },
    /// A change failed when parts of the old pipeline had been stopped already, and they could not be started again.
    #[error("the change failed ({change}), and the pipeline before it could not be restored: {restore}")]
    NotRestored {
        /// Why the change failed.
        change: Box<Error>,
        /// Why the old component did not start again.
        restore: Box<Error>,
    },
    /// The pipeline stops or has stopped.
    #[error("the pipeline is stopping")]
    Stopping,
}

fn sentence(errors: &[ConfigError]) -> String {
    match errors {
        [] => "the configuration cannot work".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// What a stop left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Components that did not end before the deadline, in the order of the data.
    pub late: Vec<String>,
    /// By sink: events that it had taken and not finished, or that were in its memory buffer, when the deadline passed.
    /// Sources that can resume read them again; of others they are lost.
    pub lost: Vec<(String, u64)>,
    /// By sink: events that stay in its disk buffer for the next start.
    pub kept: Vec<(String, u64)>,
    /// How long it took.
    pub took: Duration,
}

impl StopReport {
    /// Events lost in all.
    pub fn lost_events(&self) -> u64 {
        self.lost.iter().map(|(_, n)| n).sum()
    }
}
