//! What the `file` source counts: Vector's names.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_model::{Context, Counter, Gauge, InternalLog, Origin, Telemetry, Value, telemetry::Intent};

/// How often it is said that positions still cannot be saved.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// The counters of a source.
#[derive(Debug)]
pub(crate) struct Metrics {
    telemetry: Telemetry,
    log: InternalLog,
    per_file: bool,
    bytes: Counter,
    events: Counter,
    event_bytes: Counter,
    checkpoints: Counter,
    open: Gauge,
    /// When it was said last that positions cannot be saved; `None` while they can.
    unsaved: Mutex<Option<Instant>>,
}

impl Metrics {
    pub(crate) fn new(cx: &Context, per_file: bool) -> Metrics {
        let t = &cx.telemetry;
        Metrics {
            bytes: t
                .with([("protocol", "file".to_owned())])
                .counter("component_received_bytes_total"),
            events: t.counter("component_received_events_total"),
            event_bytes: t.counter("component_received_event_bytes_total"),
            checkpoints: t.counter("checkpoints_total"),
            open: t.gauge("open_files"),
            telemetry: t.clone(),
            log: cx.log.clone(),
            per_file,
            unsaved: Mutex::new(None),
        }
    }

    fn of(&self, path: &Path) -> Telemetry {
        if self.per_file {
            self.telemetry.with([("file", path.to_string_lossy().into_owned())])
        } else {
            self.telemetry.clone()
        }
    }

    /// Lines were read.
    pub(crate) fn received(&self, path: &Path, bytes: u64, events: u64, event_bytes: u64) {
        if self.per_file {
            let t = self.of(path);
            t.with([("protocol", "file".to_owned())])
                .counter("component_received_bytes_total")
                .add(bytes);
            t.counter("component_received_events_total").add(events);
            t.counter("component_received_event_bytes_total").add(event_bytes);
        } else {
            self.bytes.add(bytes);
            self.events.add(events);
            self.event_bytes.add(event_bytes);
        }
    }

    /// Lines were dropped because they were too long.
    pub(crate) fn too_long(&self, path: &Path, count: u64, max: usize) {
        let labels = [
            ("error_code", "reading_line_from_file".to_owned()),
            ("error_type", "condition_failed".to_owned()),
            ("stage", "receiving".to_owned()),
        ];
        self.telemetry.with(labels).counter("component_errors_total").add(count);
        self.telemetry.discarded(count, Intent::Unintended);
        let text = format!(
            "{count} line(s) longer than max_line_bytes ({max}) were dropped from {}",
            path.display()
        );
        self.say(Severity::Warn, text, path);
    }

    /// Something failed on a file; `code` is Vector's.
    pub(crate) fn error(&self, code: &str, error_type: &str, path: &Path, message: String) {
        self.of(path)
            .with([
                ("error_code", code.to_owned()),
                ("error_type", error_type.to_owned()),
                ("stage", "receiving".to_owned()),
            ])
            .counter("component_errors_total")
            .add(1);
        self.say(Severity::Error, message, path);
    }

    /// Positions cannot be saved: counted each time, said at first and then every ten seconds, shown until they can.
    pub(crate) fn unsaved(&self, message: String) {
        let labels = [
            ("error_code", "writing_checkpoints".to_owned()),
            ("error_type", "writer_failed".to_owned()),
            ("stage", "receiving".to_owned()),
        ];
        self.telemetry.with(labels).counter("component_errors_total").add(1);
        let mut said = self.unsaved.lock();
        if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            self.telemetry.trouble(Some(message.clone()));
            self.log.say(Severity::Error, message, Vec::new());
        }
    }

    /// Positions were saved.
    pub(crate) fn saved(&self) {
        if self.unsaved.lock().take().is_some() {
            self.telemetry.trouble(None);
            self.log.say(Severity::Info, "positions are saved again", Vec::new());
        }
    }

    pub(crate) fn say(&self, severity: Severity, message: String, path: &Path) {
        let file = Value::from(path.to_string_lossy().into_owned());
        self.log.say(severity, message, vec![("file", file)]);
    }

    pub(crate) fn added(&self, path: &Path) {
        self.of(path).counter("files_added_total").add(1);
        self.say(Severity::Info, format!("found a new file: {}", path.display()), path);
    }

    pub(crate) fn resumed(&self, path: &Path, offset: u64) {
        self.of(path).counter("files_resumed_total").add(1);
        self.say(
            Severity::Info,
            format!("resuming {} at byte {offset}", path.display()),
            path,
        );
    }

    pub(crate) fn unwatched(&self, path: &Path, at_end: bool) {
        self.of(path)
            .with([("reached_eof", at_end.to_string())])
            .counter("files_unwatched_total")
            .add(1);
        self.say(Severity::Info, format!("stopped reading {}", path.display()), path);
    }

    pub(crate) fn deleted(&self, path: &Path) {
        self.of(path).counter("files_deleted_total").add(1);
        self.say(
            Severity::Info,
            format!("deleted {} after reading it", path.display()),
            path,
        );
    }

    /// A file has too few lines to be told apart.
    pub(crate) fn too_small(&self, path: &Path) {
        self.of(path).counter("checksum_errors_total").add(1);
        let text = format!("{} has too few lines yet to be told apart from others", path.display());
        self.say(Severity::Debug, text, path);
    }

    pub(crate) fn open(&self, count: usize) {
        self.open.set(count as f64);
    }

    pub(crate) fn checkpoints(&self, written: u64) {
        self.checkpoints.add(written);
    }
}

/// About how many bytes an event with an empty message has as JSON: what Vector estimates sizes by.
pub(crate) fn empty_event_size(origin: &Origin) -> u64 {
    let key = |p: &vrl::path::OwnedValuePath| p.to_string().len() as u64 + 4;
    let mut size = 2 + key(&origin.message) + 2;
    if let Some(path) = &origin.timestamp {
        size += key(path) + 32;
    }
    if let Some(path) = &origin.offset {
        size += key(path) + 8;
    }
    for (path, value) in &origin.fields {
        let value = value.as_bytes().map_or(4, |b| b.len() as u64 + 2);
        size += key(path) + value;
    }
    size
}
