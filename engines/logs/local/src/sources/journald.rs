//! The source `journald`: systemd's journal, by running `journalctl --follow --output=json`.
//!
//! The cursor of the last entry that was delivered without a gap is saved (write-temp, fsync, rename); the next start
//! goes on behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use memchr::memchr;
use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_config::common::Acknowledgements;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, Closed, ComponentError, Context, Delivery, Entry, EventKind, Finalizers, LogBatch,
    LogEvent, LogSchema, OutputPort, Shutdown, Source, SourceConfig, SourceOut, Token, Value, batch::MAX_BATCH_EVENTS,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};
use vrl::path::OwnedValuePath;

use super::{keys::legacy_namespace, stream::Received};

const CURSOR_FILE: &str = "checkpoint.txt";
/// How long a batch waits for more entries.
const LINGER: Duration = Duration::from_millis(10);
/// The time before journalctl is started again.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest entry.
const LONGEST: usize = 64 << 20;

type Matches = BTreeMap<String, BTreeSet<String>>;

fn yes() -> bool {
    true
}

fn batch_size() -> usize {
    16
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    since_now: bool,
    #[serde(default = "yes")]
    current_boot_only: bool,
    #[serde(default)]
    include_units: Vec<String>,
    #[serde(default)]
    exclude_units: Vec<String>,
    #[serde(default)]
    include_matches: Matches,
    #[serde(default)]
    exclude_matches: Matches,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    extra_args: Vec<String>,
    #[serde(default = "batch_size")]
    batch_size: usize,
    journalctl_path: Option<PathBuf>,
    journal_directory: Option<PathBuf>,
    journal_namespace: Option<String>,
    /// Accepted: cursors always wait for the delivery here.
    #[serde(default)]
    #[allow(dead_code, reason = "a key of Vector's that is always on here")]
    acknowledgements: Acknowledgements,
    #[serde(default)]
    remap_priority: bool,
    #[serde(default)]
    log_namespace: Option<bool>,
    #[serde(default)]
    emit_cursor: bool,
}

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "journald",
        about: "follows systemd's journal",
        parse: |node| Ok(Box::new(qd_logs_config::decode::<Config>(node)?)),
    }
}

fn with_units(matches: &Matches, units: &[String]) -> Matches {
    let mut all = matches.clone();
    for unit in units {
        let unit = if unit.contains('.') {
            unit.clone()
        } else {
            format!("{unit}.service")
        };
        all.entry("_SYSTEMD_UNIT".to_owned()).or_default().insert(unit);
    }
    all
}

impl SourceConfig for Config {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            if let Some(unit) = self.include_units.iter().find(|u| self.exclude_units.contains(u)) {
                let text = format!("the unit `{unit}` is both included and excluded");
                return Err(BuildError::of("exclude_units", text));
            }
            let include = with_units(&self.include_matches, &self.include_units);
            let exclude = with_units(&self.exclude_matches, &self.exclude_units);
            for (name, values) in &include {
                if let Some(v) = exclude.get(name).and_then(|e| e.intersection(values).next()) {
                    let text = format!("`{name}` = `{v}` is both included and excluded");
                    return Err(BuildError::of("exclude_matches", text));
                }
            }
            let dir = self.data_dir.as_ref().unwrap_or(&cx.globals.data_dir).join(&*cx.id);
            fs::create_dir_all(&dir)
                .map_err(|e| BuildError::of("data_dir", format!("cannot make {}: {e}", dir.display())))?;
            let program = self.journalctl_path.clone().unwrap_or_else(|| "journalctl".into());
            let version = systemd_version(&program).await?;
            // `--boot=all` came with 258; from 250 to 257 `--follow` implies the current boot.
            if !self.current_boot_only && (250..=257).contains(&version) {
                let text = format!("systemd {version} can't follow all boots (250 to 257 can't); set it to true");
                return Err(BuildError::of("current_boot_only", text));
            }
            Ok(Box::new(Journal {
                received: Received::new(&cx, "journald"),
                config: self.clone(),
                include,
                exclude,
                cursors: Arc::new(Cursors::open(&dir.join(CURSOR_FILE))?),
                program,
                version,
                cx,
            }) as Box<dyn Source>)
        })
    }
}

async fn systemd_version(program: &Path) -> Result<u32, BuildError> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = output.map_err(|e| {
        let text = format!("cannot run {}: {e}; is systemd installed?", program.display());
        BuildError::of("journalctl_path", text)
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .nth(1)
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            BuildError::of(
                "journalctl_path",
                format!("cannot tell systemd's version from `{shown}`"),
            )
        })
}

/// Which entries were delivered.
#[derive(Debug)]
struct Cursors {
    path: PathBuf,
    state: Mutex<CursorState>,
    ended: AtomicBool,
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct CursorState {
    saved: Option<String>,
    /// Of the last batch delivered without a gap.
    current: Option<String>,
    next: u64,
    /// The first batch that is not delivered.
    first: u64,
    done: BTreeMap<u64, String>,
}

impl Cursors {
    fn open(path: &Path) -> Result<Cursors, BuildError> {
        let saved = match fs::read_to_string(path) {
            Ok(text) => text.lines().next().map(str::to_owned).filter(|c| !c.is_empty()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                let text = format!("cannot read the position in {}: {e}", path.display());
                return Err(BuildError::of("data_dir", text));
            }
        };
        Ok(Cursors {
            path: path.to_owned(),
            state: Mutex::new(CursorState {
                current: saved.clone(),
                saved,
                ..CursorState::default()
            }),
            ended: AtomicBool::new(false),
            writing: Mutex::new(()),
        })
    }

    fn token(self: &Arc<Self>, aborted: &Arc<AtomicBool>, cursor: String) -> Token {
        let n = {
            let mut s = self.state.lock();
            s.next += 1;
            s.next - 1
        };
        let all = self.clone();
        Token::abort_flag(aborted.clone(), move |delivery| {
            if delivery == Delivery::Errored {
                return;
            }
            let mut s = all.state.lock();
            s.done.insert(n, cursor);
            while let Some(cursor) = {
                let first = s.first;
                s.done.remove(&first)
            } {
                s.current = Some(cursor);
                s.first += 1;
            }
            let over = s.first == s.next;
            drop(s);
            if over && all.ended.load(Ordering::Acquire) {
                // The source has gone; nobody else would write it. What fails now is read again after a restart.
                let _lost = all.save();
            }
        })
    }

    fn save(&self) -> io::Result<()> {
        let _one = self.writing.lock();
        let current = {
            let s = self.state.lock();
            if s.current == s.saved {
                return Ok(());
            }
            s.current.clone()
        };
        if let Some(cursor) = &current {
            let temp = self.path.with_extension("new");
            let mut file = fs::File::create(&temp)?;
            writeln!(file, "{cursor}")?;
            file.sync_all()?;
            fs::rename(&temp, &self.path)?;
        }
        self.state.lock().saved = current;
        Ok(())
    }
}

struct Journal {
    config: Config,
    cx: Context,
    received: Received,
    include: Matches,
    exclude: Matches,
    cursors: Arc<Cursors>,
    program: PathBuf,
    version: u32,
}

/// What is read of an entry.
struct Record {
    fields: BTreeMap<String, String>,
    cursor: Option<String>,
}

impl Source for Journal {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            // The cursor of what was sent last: after a crash of journalctl nothing is asked for twice.
            let mut sent = self.cursors.state.lock().current.clone();
            while !shutdown.is_set() {
                match self.command(sent.as_deref()).spawn() {
                    Ok(mut child) => {
                        let over = self.follow(&mut child, &mut sent, &out, &mut shutdown).await;
                        end(&mut child).await;
                        if over.is_err() {
                            break;
                        }
                    }
                    Err(e) => {
                        let text = format!("cannot run {}: {e}", self.program.display());
                        self.received.error("command_failed", text);
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(BACKOFF) => {}
                    () = shutdown.wait() => {}
                }
            }
            self.cursors.ended.store(true, Ordering::Release);
            self.save().await;
            Ok(())
        })
    }
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw) {
        let _gone = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(BACKOFF, child.wait()).await.is_err() {
        let _gone = child.kill().await;
    }
}

impl Journal {
    fn command(&self, cursor: Option<&str>) -> Command {
        let c = &self.config;
        let mut command = Command::new(&self.program);
        command.args(["--follow", "--all", "--show-cursor", "--output=json"]);
        if let Some(dir) = &c.journal_directory {
            command.arg(format!("--directory={}", dir.display()));
        }
        if let Some(namespace) = &c.journal_namespace {
            command.arg(format!("--namespace={namespace}"));
        }
        if c.current_boot_only && self.version < 250 {
            command.arg("--boot");
        } else if !c.current_boot_only && self.version >= 258 {
            command.arg("--boot=all");
        }
        command.arg(match cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None if c.since_now => "--since=now".to_owned(),
            None => "--since=2000-01-01".to_owned(),
        });
        command
            .args(&c.extra_args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn save(&self) {
        let cursors = self.cursors.clone();
        let saved = tokio::task::spawn_blocking(move || cursors.save()).await;
        if let Ok(Err(e)) = saved {
            let text = format!("cannot save the position in {}: {e}", self.cursors.path.display());
            self.received.error("writer_failed", text);
        }
    }

    /// Reads journalctl's output until it ends.
    async fn follow(
        &self,
        child: &mut Child,
        sent: &mut Option<String>,
        out: &SourceOut,
        shutdown: &mut Shutdown,
    ) -> Result<(), Closed> {
        let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Ok(());
        };
        let log = self.received.clone();
        let complaints = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.trim().is_empty() {
                    log.say(Severity::Warn, format!("journalctl: {}", line.trim()));
                }
            }
        });
        let mut input = BytesMut::new();
        let mut last_save = tokio::time::Instant::now();
        let most = self.config.batch_size.clamp(1, MAX_BATCH_EVENTS);
        let mut batch: Vec<LogEvent> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut linger: Option<tokio::time::Instant> = None;
        let ended = loop {
            while let Some(end) = memchr(b'\n', &input) {
                let line = input.split_to(end + 1);
                self.take(line.get(..end).unwrap_or_default(), &mut batch, &mut cursor);
                if batch.len() >= most {
                    self.send(&mut batch, &mut cursor, sent, out).await?;
                    linger = None;
                }
            }
            if input.len() > LONGEST {
                self.received.lost(
                    1,
                    format!("an entry of the journal is longer than {LONGEST} bytes and was dropped"),
                );
                input.clear();
            }
            if batch.is_empty() && cursor.is_some() {
                // Only entries that were left out: their place is remembered all the same.
                self.send(&mut batch, &mut cursor, sent, out).await?;
            }
            if !batch.is_empty() && linger.is_none() {
                linger = Some(tokio::time::Instant::now() + LINGER);
            }
            if last_save.elapsed() >= BACKOFF {
                self.save().await;
                last_save = tokio::time::Instant::now();
            }
            let wake = linger.unwrap_or_else(|| tokio::time::Instant::now() + BACKOFF);
            input.reserve(16 * 1024);
            tokio::select! {
                read = stdout.read_buf(&mut input) => match read {
                    Ok(0) => break "has ended".to_owned(),
                    Ok(n) => self.received.bytes(n),
                    Err(e) => {
                        self.received.error("reader_failed", format!("cannot read journalctl's output: {e}"));
                        break "can't be read".to_owned();
                    }
                },
                () = tokio::time::sleep_until(wake) => {
                    if linger.take().is_some() {
                        self.send(&mut batch, &mut cursor, sent, out).await?;
                    }
                }
                () = shutdown.wait() => break String::new(),
            }
        };
        self.send(&mut batch, &mut cursor, sent, out).await?;
        complaints.abort();
        if !ended.is_empty() {
            self.received
                .say(Severity::Warn, format!("journalctl {ended}; it is started again"));
        }
        Ok(())
    }

    async fn send(
        &self,
        batch: &mut Vec<LogEvent>,
        cursor: &mut Option<String>,
        sent: &mut Option<String>,
        out: &SourceOut,
    ) -> Result<(), Closed> {
        let Some(cursor) = cursor.take() else {
            return Ok(());
        };
        let token = self.cursors.token(&self.cx.aborted, cursor.clone());
        *sent = Some(cursor);
        let mut logs = LogBatch::events(std::mem::take(batch));
        logs.finalizers = Finalizers::one(token);
        self.received.events(logs.len(), logs.size());
        out.send(Batch::Logs(logs)).await
    }

    fn take(&self, line: &[u8], batch: &mut Vec<LogEvent>, cursor: &mut Option<String>) {
        if line.is_empty() {
            return;
        }
        match record(line) {
            Ok(record) => {
                if record.cursor.is_some() {
                    cursor.clone_from(&record.cursor);
                }
                let matches = |m: &Matches| {
                    m.iter()
                        .any(|(k, vs)| record.fields.get(k).is_some_and(|v| vs.contains(v)))
                };
                let wanted = (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude);
                if wanted {
                    batch.push(self.event(record));
                }
            }
            Err(e) => {
                self.received.telemetry().error("parser_failed", "processing");
                self.received
                    .lost(1, format!("an entry of the journal can't be read: {e}"));
            }
        }
    }

    fn event(&self, record: Record) -> LogEvent {
        let schema: &LogSchema = &self.cx.globals.log_schema;
        let mut fields = record.fields;
        if self.config.emit_cursor
            && let Some(cursor) = record.cursor
        {
            fields.insert("__CURSOR".to_owned(), cursor);
        }
        if self.config.remap_priority
            && let Some(p) = fields.get_mut("PRIORITY")
        {
            let names = ["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];
            let name = p
                .parse::<usize>()
                .ok()
                .map(|n| names.get(n).copied().unwrap_or("UNKNOWN"));
            if let Some(name) = name {
                *p = name.to_owned();
            }
        }
        let message = fields.remove("MESSAGE");
        let host = fields.remove("_HOSTNAME");
        let micros = fields
            .get("_SOURCE_REALTIME_TIMESTAMP")
            .or_else(|| fields.get("__REALTIME_TIMESTAMP"))
            .and_then(|t| t.parse::<i64>().ok());
        let mut value = Value::Object(Default::default());
        for (k, v) in fields {
            value.insert(&OwnedValuePath::single_field(&k), Value::from(v));
        }
        if let Some(m) = message {
            value.insert(&schema.message_key, Value::from(m));
        }
        if let (Some(path), Some(h)) = (&schema.host_key, host) {
            value.insert(path, Value::from(h));
        }
        if let (Some(path), Some(t)) = (
            &schema.timestamp_key,
            micros.and_then(DateTime::<Utc>::from_timestamp_micros),
        ) {
            value.insert(path, Value::Timestamp(t));
        }
        if let Some(path) = &schema.source_type_key {
            value.insert(path, Value::from("journald"));
        }
        LogEvent::new(value)
    }
}

/// Reads one line of journalctl's JSON: values are text, or lists of bytes where they are no UTF-8.
fn record(line: &[u8]) -> Result<Record, String> {
    let text = String::from_utf8_lossy(line);
    let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let mut fields = BTreeMap::new();
    for (name, v) in parsed {
        let v = match v {
            serde_json::Value::String(s) => s,
            // A field that is too large for JSON output, or empty.
            serde_json::Value::Null => continue,
            serde_json::Value::Array(items) => {
                let bytes: Option<Vec<u8>> = items
                    .iter()
                    .map(|i| i.as_u64().and_then(|n| u8::try_from(n).ok()))
                    .collect();
                match bytes {
                    Some(b) => String::from_utf8_lossy(&b).into_owned(),
                    // Several values of one field.
                    None => serde_json::Value::Array(items).to_string(),
                }
            }
            other => other.to_string(),
        };
        fields.insert(name, v);
    }
    let cursor = fields.remove("__CURSOR");
    Ok(Record { fields, cursor })
}
