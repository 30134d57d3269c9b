//! The access log: a line for each request, in a file.
//!
//! Lines wait in a bounded queue for a thread that writes them in batches. The file is opened again when another one stands
//! in its place, or none, as after `logrotate`.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use qd_core::Timestamp;

use crate::{
    forward::Sum,
    plan::{AccessFormat, AccessLog},
    tellers::Told,
};

/// Lines that may wait.
const QUEUE: usize = 8_192;
/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The longest text of a client that goes into a line.
const LONGEST: usize = 4_096;

/// Why an access log can't be written.
#[derive(Debug, thiserror::Error)]
#[error("the access log `{}` can't be opened: {reason}", path.display())]
pub struct AccessError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct AccessFile {
    pub(crate) plan: AccessLog,
    queue: SyncSender<String>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Whether the path still leads to the file.
fn is_there(path: &Path, file: &File) -> bool {
    let id = |m: std::fs::Metadata| (m.dev(), m.ino());
    let there = std::fs::metadata(path).map(id).ok();
    there.is_some() && there == file.metadata().map(id).ok()
}

fn write(path: &Path, mut file: File, lines: &Receiver<String>, counts: &Counts) {
    let mut batch = String::new();
    let mut looked = std::time::Instant::now();
    loop {
        let first = lines.recv_timeout(LOOK);
        let mut count = 0;
        if let Ok(line) = &first {
            batch.push_str(line);
            count += 1;
            while batch.len() < BATCH
                && let Ok(line) = lines.try_recv()
            {
                batch.push_str(&line);
                count += 1;
            }
        }
        if looked.elapsed() >= LOOK {
            looked = std::time::Instant::now();
            if !is_there(path, &file)
                && let Ok(new) = open(path)
            {
                file = new;
            }
        }
        match file.write_all(batch.as_bytes()) {
            Ok(()) => counts.written.fetch_add(count, Ordering::Relaxed),
            Err(e) => {
                tracing::warn!("the access log is not written: {e}");
                counts.lost.fetch_add(count, Ordering::Relaxed)
            }
        };
        batch.clear();
        if first == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

impl AccessFile {
    /// Opens the file and begins to write it.
    pub(crate) fn open(plan: &AccessLog) -> Result<Arc<AccessFile>, AccessError> {
        let failed = |e: std::io::Error| AccessError {
            path: plan.path.clone(),
            reason: e.to_string(),
        };
        let file = open(&plan.path).map_err(failed)?;
        let (queue, lines) = sync_channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let (path, told) = (plan.path.clone(), Arc::clone(&counts));
        std::thread::Builder::new()
            .name("proxy-access".to_owned())
            .spawn(move || write(&path, file, &lines, &told))
            .map_err(failed)?;
        Ok(Arc::new(AccessFile {
            plan: plan.clone(),
            queue,
            counts,
        }))
    }

    /// Lines that were written, and those that were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (get(&self.counts.written), get(&self.counts.lost))
    }

    /// Writes a line, if there is room for it.
    pub(crate) fn offer(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a line says beside the request's head.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
    pub(crate) client: Option<std::net::IpAddr>,
    pub(crate) tls: bool,
    pub(crate) cause: Option<&'static str>,
    /// Whether it counts as a failure.
    pub(crate) failed: bool,
    pub(crate) sum: &'a Sum,
}

/// A text of a client in quotes, such that it can't end them or the line.
fn quoted(out: &mut String, text: &str) {
    for c in text.chars().take(LONGEST) {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// One line.
pub(crate) fn line(format: AccessFormat, told: &Told, l: &Line<'_>) -> String {
    match format {
        AccessFormat::Json => json(told, l),
        AccessFormat::Common | AccessFormat::Combined => common(format, told, l),
    }
}

fn common(format: AccessFormat, told: &Told, l: &Line<'_>) -> String {
    let mut out = String::with_capacity(160);
    match l.client {
        Some(ip) => drop(write!(out, "{}", ip.to_canonical())),
        None => out.push('-'),
    }
    let date = jiff::Timestamp::from_nanosecond(i128::from(l.at.0)).unwrap_or_default();
    let date = date.to_zoned(jiff::tz::TimeZone::UTC);
    let _ = write!(out, " - - [{}] \"", date.strftime("%d/%b/%Y:%H:%M:%S %z"));
    quoted(&mut out, &told.method);
    out.push(' ');
    quoted(&mut out, &told.target);
    let _ = write!(out, " {}\" {} {}", told.version, l.sum.status, l.sum.response_bytes);
    if format == AccessFormat::Combined {
        for field in [&told.referrer, &told.agent] {
            out.push_str(" \"");
            quoted(&mut out, field.as_deref().unwrap_or("-"));
            out.push('"');
        }
    }
    out.push('\n');
    out
}

fn json(told: &Told, l: &Line<'_>) -> String {
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let span = told.span.as_ref().map(|(span, _)| span.to_string());
    let trace = span.as_deref().and_then(|s| s.split('-').nth(1)).map(str::to_owned);
    let line = serde_json::json!({
        "time": l.at.to_string(),
        "client": l.client.map(|c| c.to_canonical().to_string()),
        "method": cut(&told.method),
        "path": cut(&told.target),
        "host": cut(&told.host),
        "version": told.version,
        "tls": l.tls,
        "status": l.sum.status,
        "grpc_status": l.sum.grpc,
        "duration_ms": l.took.as_secs_f64() * 1e3,
        "request_bytes": l.sum.request_bytes,
        "response_bytes": l.sum.response_bytes,
        "route": l.sum.way.as_ref().map(|w| w.route.name.as_ref()),
        "cluster": l.sum.cluster.as_deref(),
        "endpoint": l.sum.endpoint.as_ref().map(|e| e.name.as_ref()),
        "attempts": l.sum.attempts,
        "reused": l.sum.reused,
        "cause": l.cause,
        "user_agent": told.agent.as_deref().map(cut),
        "referrer": told.referrer.as_deref().map(cut),
        "trace": trace,
    });
    let mut out = line.to_string();
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            method: "GET".to_owned(),
            target: "/a\"b".to_owned(),
            host: "h".to_owned(),
            version: "HTTP/1.1",
            agent: Some("x\ny".to_owned()),
            ..Told::default()
        }
    }

    #[test]
    fn lines_have_the_form_that_readers_know() {
        let sum = Sum {
            status: 200,
            response_bytes: 12,
            ..Sum::default()
        };
        let l = Line {
            at: Timestamp(1_764_000_000_000_000_000),
            took: Duration::from_micros(1_500),
            client: "::ffff:192.0.2.1".parse().ok(),
            tls: false,
            cause: Some("no-route"),
            failed: false,
            sum: &sum,
        };
        assert_eq!(
            line(AccessFormat::Common, &told(), &l),
            "192.0.2.1 - - [24/Nov/2025:16:00:00 +0000] \"GET /a\\\"b HTTP/1.1\" 200 12\n"
        );
        assert!(line(AccessFormat::Combined, &told(), &l).ends_with(" 200 12 \"-\" \"x\\x0ay\"\n"));
        let json: serde_json::Value = serde_json::from_str(&line(AccessFormat::Json, &told(), &l)).unwrap();
        assert_eq!(
            (json["status"].as_u64(), json["path"].as_str()),
            (Some(200), Some("/a\"b"))
        );
        assert_eq!(
            (json["duration_ms"].as_f64(), json["cause"].as_str()),
            (Some(1.5), Some("no-route"))
        );
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = AccessFile::open(&AccessLog {
            path: path.clone(),
            format: AccessFormat::Json,
        })
        .unwrap();
        log.offer("one\n".to_owned());
        while log.counts().0 < 1 {
            std::thread::yield_now();
        }
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        let mut tries = 0;
        while !path.exists() {
            tries += 1;
            assert!(tries < 20_000, "it was not made again");
            std::thread::sleep(Duration::from_millis(1));
        }
        log.offer("two\n".to_owned());
        while log.counts().0 < 2 {
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("old")).unwrap(), "one\n");
    }
}
