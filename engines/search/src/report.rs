//! Messages on standard error, and whether there was one that matters for the exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where one command line's messages go.
pub(crate) struct Report {
    name: String,
    errors: AtomicBool,
    about_ignore_files: AtomicBool,
    errored: AtomicBool,
    /// What was said, if it is kept rather than written.
    held: Option<Mutex<Vec<Said>>>,
}

/// A message that is kept until its turn comes.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// None if nobody wants it.
    text: Option<String>,
    /// It matters for the exit code.
    error: bool,
}

impl Said {
    /// How much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Said>() + self.text.as_ref().map_or(0, String::len)
    }
}

impl Report {
    /// Messages that begin with `name`; none are held back yet.
    pub(crate) fn new(name: &str) -> Self {
        Report {
            name: name.to_owned(),
            errors: AtomicBool::new(true),
            about_ignore_files: AtomicBool::new(true),
            errored: AtomicBool::new(false),
            held: None,
        }
    }

    /// A report of the same kind that keeps what it is told.
    pub(crate) fn holding(&self) -> Report {
        Report {
            name: self.name.clone(),
            errors: AtomicBool::new(self.errors.load(Relaxed)),
            about_ignore_files: AtomicBool::new(self.about_ignore_files.load(Relaxed)),
            errored: AtomicBool::new(false),
            held: Some(Mutex::default()),
        }
    }

    /// What was kept since this was asked last.
    pub(crate) fn take(&self) -> Vec<Said> {
        let held = self.held.as_ref();
        held.map_or_else(Vec::new, |h| {
            std::mem::take(&mut *h.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Says what another report kept.
    pub(crate) fn say(&self, said: Said) {
        if said.error {
            self.errored.store(true, Relaxed);
        }
        if let Some(text) = said.text {
            say(&self.name, &text);
        }
    }

    /// What the program is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Says which messages are wanted.
    pub(crate) fn want(&self, errors: bool, about_ignore_files: bool) {
        self.errors.store(errors, Relaxed);
        self.about_ignore_files.store(about_ignore_files, Relaxed);
    }

    /// Something went wrong and the search goes on; the exit code will tell.
    pub(crate) fn error(&self, what: impl Display) {
        self.errored.store(true, Relaxed);
        self.tell(what, true);
    }

    /// Something worth a message that does not change the exit code.
    pub(crate) fn note(&self, what: impl Display) {
        self.tell(what, false);
    }

    fn tell(&self, what: impl Display, error: bool) {
        let wanted = self.errors.load(Relaxed);
        match &self.held {
            None if wanted => say(&self.name, &what),
            None => {}
            Some(held) if wanted || error => {
                let text = wanted.then(|| what.to_string());
                held.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Said { text, error });
            }
            Some(_) => {}
        }
    }

    /// Something is wrong with a file of ignore rules.
    pub(crate) fn ignore_rule(&self, what: impl Display) {
        if self.about_ignore_files.load(Relaxed) {
            self.note(what);
        }
    }

    /// Why nothing could be done at all; this is said whatever is wanted.
    pub(crate) fn fatal(&self, what: impl Display) {
        say(&self.name, &what);
    }

    /// Whether there was an error.
    pub(crate) fn errored(&self) -> bool {
        self.errored.load(Relaxed)
    }

    /// Sends what the crates log to standard error, down to `level`.
    pub(crate) fn log(&self, level: log::LevelFilter) {
        // A program that has a logger already keeps it.
        if log::set_logger(LOGGER.get_or_init(|| Logger(self.name.clone()))).is_ok() || level > log::max_level() {
            log::set_max_level(level);
        }
    }
}

/// One message, whole: results of other threads are written under the lock of standard output, so it is taken here too.
fn say(name: &str, what: &dyn Display) {
    let _results = io::stdout().lock();
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{name}: {what}");
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

struct Logger(String);

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (level, target, what) = (record.level(), record.target(), record.args());
        match (record.file(), record.line()) {
            (Some(file), Some(line)) => say(&self.0, &format_args!("{level}|{target}|{file}:{line}: {what}")),
            (Some(file), None) => say(&self.0, &format_args!("{level}|{target}|{file}: {what}")),
            _ => say(&self.0, &format_args!("{level}|{target}: {what}")),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_remembered_also_when_its_message_is_not_wanted() {
        let report = Report::new("rg");
        report.want(false, false);
        report.note("a note");
        report.ignore_rule("a rule");
        assert!(!report.errored());
        report.error("an error");
        assert!(report.errored());
    }
}
