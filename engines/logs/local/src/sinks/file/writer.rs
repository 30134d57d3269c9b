//! The thread of a file sink.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use futures::FutureExt;
use qd_core::Severity;
use qd_logs_codecs::{Encoder, EventRef, PathConfinement, StreamCompression, Template};
use qd_logs_model::{Batch, Delivery, Gauge, SinkInput};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Truncate, out::OutFile};
use crate::sinks::report::Reporter;

/// Bytes of encoded events beyond which a file is written.
const PIECE: usize = 256 * 1024;
/// How long encoded events may wait for more of them: to be compressed together while the input pauses, or to be
/// written together while it does not.
const WAIT: Duration = Duration::from_secs(1);
/// Files that are open at a time; beyond, the one that was not used for the longest time is closed.
const MAX_OPEN: usize = 256;
/// The first and the longest wait before a full disk is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What the configuration says.
pub(super) struct Settings {
    pub(super) path: Template,
    pub(super) confinement: Option<PathConfinement>,
    pub(super) idle: Duration,
    pub(super) compression: StreamCompression,
    pub(super) truncate: Truncate,
    pub(super) file_tag: bool,
}

/// What the thread holds.
pub(super) struct Writer {
    settings: Settings,
    encoder: Encoder,
    report: Reporter,
    handle: Handle,
    stop: CancellationToken,
    files: HashMap<String, OutFile>,
    open_files: Gauge,
    /// Groups of events by path, kept for their memory.
    groups: Vec<(String, Vec<usize>)>,
}

enum Next {
    Batch(Batch),
    Pause,
    End,
}

impl Writer {
    pub(super) fn new(
        settings: Settings,
        encoder: Encoder,
        report: Reporter,
        handle: Handle,
        stop: CancellationToken,
    ) -> Writer {
        let open_files = report.telemetry.gauge("open_files");
        Writer {
            settings,
            encoder,
            report,
            handle,
            stop,
            files: HashMap::new(),
            open_files,
            groups: Vec::new(),
        }
    }

    pub(super) fn run(mut self, mut input: SinkInput) {
        let mut looked = Instant::now();
        loop {
            // An input that never pauses must not keep a file with few events from being written.
            if looked.elapsed() >= WAIT {
                self.pause();
                looked = Instant::now();
            }
            let next = match input.recv().now_or_never() {
                Some(Some(batch)) => Next::Batch(batch),
                Some(None) => Next::End,
                None => {
                    // The input pauses: whoever reads the file wants to see what there is.
                    let wait = self.pause();
                    self.wait(&mut input, wait)
                }
            };
            match next {
                Next::Batch(batch) => self.batch(&batch),
                Next::Pause => {}
                Next::End => break,
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        let all: Vec<String> = self.files.keys().cloned().collect();
        for path in all {
            self.close(&path);
        }
    }

    fn wait(&self, input: &mut SinkInput, wait: Option<Duration>) -> Next {
        let stop = &self.stop;
        self.handle.block_on(async {
            let pause = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => Next::End,
                batch = input.recv() => batch.map_or(Next::End, Next::Batch),
                () = pause => Next::Pause,
            }
        })
    }

    /// Writes what is due, closes idle files; how long there is nothing else to do.
    fn pause(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let compressed = self.settings.compression != StreamCompression::None;
        let due: Vec<String> = self
            .files
            .iter()
            .filter(|(_, f)| !f.is_clean())
            .filter(|(_, f)| !compressed || f.since.is_none_or(|s| now.duration_since(s) >= WAIT))
            .map(|(p, _)| p.clone())
            .collect();
        for path in due {
            self.flush(&path);
        }
        let idle = self.settings.idle;
        let expired: Vec<String> = self
            .files
            .iter()
            .filter(|(_, f)| now.duration_since(f.used) >= idle)
            .map(|(p, _)| p.clone())
            .collect();
        for path in expired {
            self.close(&path);
        }
        let next = |f: &OutFile| {
            let idle = idle.saturating_sub(now.duration_since(f.used));
            match f.since {
                Some(s) => idle.min(WAIT.saturating_sub(now.duration_since(s))),
                None => idle,
            }
        };
        let wait = self.files.values().map(next).min();
        wait.map(|w| w.max(Duration::from_millis(1)))
    }

    fn batch(&mut self, batch: &Batch) {
        if self.settings.path.is_static() {
            let path = self.settings.path.source().to_owned();
            return self.append(&path, batch, None);
        }
        let mut groups = std::mem::take(&mut self.groups);
        let mut used = 0;
        let mut last = 0;
        let mut path = String::new();
        for i in 0..batch.len() {
            let Some(event) = EventRef::of(batch, i) else { break };
            path.clear();
            if let Err(e) = self.settings.path.render_into(event, &mut path) {
                self.report
                    .drop_events(batch, 1, Delivery::Errored, "template_failed", || {
                        format!("an event has no path: {e}")
                    });
                continue;
            }
            let same = |g: &(String, Vec<usize>)| g.0 == path;
            let found = match groups.get(last) {
                Some(g) if last < used && same(g) => Some(last),
                _ => groups.get(..used).and_then(|g| g.iter().position(same)),
            };
            last = found.unwrap_or(used);
            if found.is_none() {
                used += 1;
            }
            match groups.get_mut(last) {
                Some(g) => {
                    if found.is_none() {
                        g.0.clone_from(&path);
                    }
                    g.1.push(i);
                }
                None => groups.push((path.clone(), vec![i])),
            }
        }
        for (path, events) in groups.iter_mut().take(used) {
            self.append(path, batch, Some(events));
            events.clear();
        }
        // Many paths at once are rare; their memory is not kept.
        groups.truncate(64);
        self.groups = groups;
    }

    /// Adds events (all, or some) to the file of a rendered path.
    fn append(&mut self, rendered: &str, batch: &Batch, some: Option<&[usize]>) {
        let count = some.map_or(batch.len(), <[usize]>::len);
        let empty = self.must_empty(rendered);
        if empty && self.files.contains_key(rendered) {
            self.close(rendered);
        }
        if !self.files.contains_key(rendered) {
            match self.open(rendered, empty) {
                Ok(file) => {
                    self.files.insert(rendered.to_owned(), file);
                    self.open_files.set(self.files.len() as f64);
                }
                Err(e) => {
                    self.report
                        .drop_events(batch, count, Delivery::Errored, "failed_opening_file", || {
                            format!(
                                "`{}` can't be opened, its events are dropped: {e}",
                                rendered.escape_debug()
                            )
                        });
                    return;
                }
            }
        }
        let Some(file) = self.files.get_mut(rendered) else {
            return;
        };
        let now = Instant::now();
        let encoded = match some {
            None => self.encoder.encode_batch(batch, &mut file.pending, |_, _| {}),
            Some(events) => self
                .encoder
                .encode_events(batch, events.iter().copied(), &mut file.pending, |_, _| {}),
        };
        self.report.encoded(batch, &encoded);
        file.used = now;
        file.since.get_or_insert(now);
        file.events += encoded.events;
        if !batch.finalizers().is_empty() {
            file.waiting.push(batch.finalizers().clone());
        }
        if file.pending.len() >= PIECE {
            self.flush(rendered);
        }
    }

    fn must_empty(&self, rendered: &str) -> bool {
        let t = &self.settings.truncate;
        let longer = |d: Duration, limit: Option<std::num::NonZeroU64>| limit.is_some_and(|l| d.as_secs() > l.get());
        match self.files.get(rendered) {
            Some(f) => longer(f.opened.elapsed(), t.after_secs) || longer(f.used.elapsed(), t.after_modified_time_secs),
            None if t.after_close_time_secs.is_none() => false,
            None => std::fs::metadata(rendered).and_then(|m| m.modified()).is_ok_and(|m| {
                SystemTime::now()
                    .duration_since(m)
                    .is_ok_and(|d| longer(d, t.after_close_time_secs))
            }),
        }
    }

    fn open(&mut self, rendered: &str, empty: bool) -> io::Result<OutFile> {
        while self.files.len() >= MAX_OPEN {
            self.close_oldest();
        }
        let mut wait = RETRY.0;
        loop {
            match self.try_open(rendered, empty) {
                Err(e) if is_full(&e) => {
                    if !self.full(rendered, &e, &mut wait) {
                        return Err(e);
                    }
                }
                Err(e) if too_many(&e) && !self.files.is_empty() => self.close_oldest(),
                other => {
                    if wait > RETRY.0 {
                        self.report.telemetry.trouble(None);
                    }
                    return other;
                }
            }
        }
    }

    fn try_open(&mut self, rendered: &str, empty: bool) -> io::Result<OutFile> {
        let path: PathBuf = match &mut self.settings.confinement {
            Some(c) => {
                let path = c.check(rendered).map_err(io::Error::other)?;
                c.prepare(&path).map_err(io::Error::other)?
            }
            None => {
                let path = Path::new(rendered);
                if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    std::fs::create_dir_all(parent)?;
                }
                path.to_owned()
            }
        };
        let follow = self.settings.confinement.is_none();
        let delimiter = self.encoder.framing().delimiter();
        let mut file = OutFile::open(&path, self.settings.compression, delimiter, empty, follow)?;
        if self.settings.file_tag {
            let tagged = self.report.telemetry.with([("file", rendered.to_owned())]);
            file.tagged = Some(tagged.counter("component_sent_bytes_total"));
        }
        Ok(file)
    }

    fn close_oldest(&mut self) {
        let oldest = self.files.iter().min_by_key(|(_, f)| f.used).map(|(p, _)| p.clone());
        if let Some(path) = oldest {
            self.close(&path);
        }
    }

    /// Waits before a full disk is tried again, and says so; false when it is time to give up.
    fn full(&mut self, rendered: &str, error: &io::Error, wait: &mut Duration) -> bool {
        self.report.telemetry.error("disk_full", "sending");
        self.report.complain("disk_full", Severity::Error, || {
            format!(
                "`{}` can't be written: {error}; waiting for room, nothing is dropped",
                rendered.escape_debug()
            )
        });
        self.report.telemetry.trouble(Some(format!(
            "`{}` can't be written: {error}; waiting for room, nothing is dropped",
            rendered.escape_debug()
        )));
        let stop = &self.stop;
        let sleep = *wait;
        *wait = (sleep * 2).min(RETRY.1);
        self.handle.block_on(async {
            tokio::select! {
                () = stop.cancelled() => false,
                () = tokio::time::sleep(sleep) => true,
            }
        })
    }

    /// Writes what is pending for a file, and tells who waits for it.
    fn flush(&mut self, rendered: &str) {
        let mut wait = RETRY.0;
        let mut waited = false;
        loop {
            let Some(file) = self.files.get_mut(rendered) else {
                return;
            };
            let error = match file.flush() {
                Ok(bytes) => {
                    self.report
                        .sent(file.events, if file.tagged.is_some() { 0 } else { bytes });
                    if let Some(tagged) = &file.tagged {
                        tagged.add(bytes as u64);
                    }
                    file.events = 0;
                    file.since = None;
                    file.waiting.clear();
                    if waited {
                        self.report.telemetry.trouble(None);
                        self.report.say(
                            Severity::Info,
                            format!("`{}` is written again", rendered.escape_debug()),
                        );
                    }
                    return;
                }
                Err(e) => e,
            };
            if is_full(&error) && self.full(rendered, &error, &mut wait) {
                waited = true;
                continue;
            }
            let Some(file) = self.files.get_mut(rendered) else {
                return;
            };
            let lost = file.events;
            for waiting in file.waiting.drain(..) {
                waiting.report(Delivery::Errored);
            }
            file.give_up();
            self.report.telemetry.error("failed_writing_file", "sending");
            self.report
                .telemetry
                .discarded(lost as u64, qd_logs_model::telemetry::Intent::Unintended);
            self.report.complain("failed_writing_file", Severity::Error, || {
                format!(
                    "`{}` can't be written, {lost} events are dropped: {error}",
                    rendered.escape_debug()
                )
            });
            return;
        }
    }

    fn close(&mut self, rendered: &str) {
        self.flush(rendered);
        let Some(file) = self.files.remove(rendered) else {
            return;
        };
        self.open_files.set(self.files.len() as f64);
        if let Err(e) = file.sync() {
            self.report.telemetry.error("failed_closing_file", "sending");
            self.report.complain("failed_closing_file", Severity::Error, || {
                format!("`{}` can't be put on the disk: {e}", rendered.escape_debug())
            });
        }
    }
}

/// Whether the disk, the quota or the device has no room now; that may change.
fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn too_many(e: &io::Error) -> bool {
    use rustix::io::Errno;
    let os = e.raw_os_error();
    os == Some(Errno::MFILE.raw_os_error()) || os == Some(Errno::NFILE.raw_os_error())
}
