//! What the session had to say: kept for `:messages`, shown as toasts, written to the log.

use std::{collections::VecDeque, time::SystemTime};

/// How many messages are kept.
const KEPT: usize = 1_000;

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Something was done.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    pub(crate) text: String,
}

/// The messages of a session, oldest first; the oldest go when there are too many, and are counted.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    items: VecDeque<Message>,
    dropped: u64,
    unseen_errors: usize,
}

impl Messages {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Keeps one more.
    pub(crate) fn push(&mut self, level: Level, text: &str) {
        if self.items.len() == KEPT {
            self.items.pop_front();
            self.dropped += 1;
        }
        match level {
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
            Level::Error => tracing::error!("{text}"),
        }
        self.unseen_errors += usize::from(level == Level::Error);
        self.items.push_back(Message {
            at: SystemTime::now(),
            level,
            text: text.to_owned(),
        });
    }

    /// All that are kept.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.items.iter()
    }

    /// Errors since the person last looked.
    pub(crate) fn unseen_errors(&self) -> usize {
        self.unseen_errors
    }

    /// The person looks.
    pub(crate) fn mark_seen(&mut self) {
        self.unseen_errors = 0;
    }

    /// How many were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A time of day, local, in hours, minutes and seconds.
pub(crate) fn clock_text(secs: u64) -> String {
    let at = i64::try_from(secs)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(
        || "--:--:--".to_owned(),
        |t| {
            t.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%H:%M:%S")
                .to_string()
        },
    )
}
