//! The source `file`: follows files.
//!
//! One thread of its own finds and reads ([`server`]); positions are saved by another ([`checkpoint`]). A file is known
//! by its place on the disk and its content ([`recall`]), so that every way of rotating it loses and repeats nothing.
//! Keys and defaults are Vector's ([`config`]).

mod checkpoint;
pub mod config;
mod content;
mod discover;
mod finder;
mod mark;
mod metrics;
mod multiline;
mod notify;
mod pool;
mod recall;
mod server;
mod share;
mod split;
mod tail;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use qd_logs_model::{
    BoxFuture, BuildError, ComponentError, Context, Entry, EventKind, Origin, OutputPort, Shutdown, Source,
    SourceConfig, SourceOut, Value,
};
use rustix::event::{EventfdFlags, eventfd};

use self::{
    checkpoint::{Store, StoreError},
    config::{FileConfig, Fingerprint, ReadFrom},
    finder::Finder,
    metrics::Metrics,
    multiline::Rules,
    server::{Plan, Server},
    split::Delimiter,
    tail::Reading,
};
use super::keys::{host_key, hostname, legacy_namespace};

/// How often positions are written when they changed: what was delivered since is delivered again after a crash.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(100);
/// How long a source waits for the one it replaces to let go of their directory.
const HANDOVER: Duration = Duration::from_secs(60);

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "file",
        about: "follows files, through every way of rotating them",
        parse: |node| Ok(Box::new(qd_logs_config::decode::<FileConfig>(node)?)),
    }
}

impl SourceConfig for FileConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move { Ok(Box::new(self.source(cx)?) as Box<dyn Source>) })
    }
}

impl FileConfig {
    fn source(&self, cx: Context) -> Result<FileSource, BuildError> {
        legacy_namespace(self.log_namespace)?;
        let charset = match &self.encoding {
            Some(e) => Some(encoding_rs::Encoding::for_label(e.charset.as_bytes()).ok_or_else(|| {
                BuildError::of(
                    "encoding.charset",
                    format!("`{}` is no character set of the Encoding Standard", e.charset),
                )
            })?),
            None => None,
        };
        let delimiter = Delimiter::new(&self.line_delimiter, charset).ok_or_else(|| {
            let text = "the line delimiter must not be empty, and must exist in the character set";
            BuildError::of("line_delimiter", text)
        })?;
        let dir = self.data_dir.as_ref().unwrap_or(&cx.globals.data_dir).join(&*cx.id);
        // Whether the directory can be used is known now; it is taken when the source runs, as the one that this
        // replaces may still hold it.
        match Store::open(&dir) {
            Ok(_) => {}
            Err(StoreError::Busy { ref pid, .. }) if *pid == std::process::id().to_string() => {}
            Err(e) => return Err(BuildError::of("data_dir", e.to_string())),
        }
        let ignore_checkpoints = self.ignore_checkpoints.unwrap_or(self.start_at_beginning == Some(true));
        let schema = &cx.globals.log_schema;
        let mut fields = Vec::new();
        if let Some(path) = &schema.source_type_key {
            fields.push((path.clone(), Value::from("file")));
        }
        if let (Some(path), Some(host)) = (host_key(&self.host_key, schema), hostname(&cx)) {
            fields.push((path, host));
        }
        let plan = Plan {
            finder: Finder::new(self)?,
            reading: Reading {
                delimiter,
                max_line: self.max_line_bytes,
                charset,
                rules: Rules::new(self)?,
                pool: pool::Pool::default(),
            },
            origin: Origin {
                source: cx.id.clone(),
                source_type: "file",
                message: schema.message_key.clone(),
                timestamp: schema.timestamp_key.clone(),
                offset: self.offset_key.as_ref().and_then(|k| k.0.clone()),
                fields,
            },
            file_key: self.file_key.0.clone(),
            turn: self.max_read_bytes,
            oldest_first: self.oldest_first,
            from_end: self.read_from == ReadFrom::End,
            use_saved: !ignore_checkpoints,
            checksum: match self.fingerprint {
                Fingerprint::Checksum {
                    ignored_header_bytes,
                    lines,
                } => Some((lines, ignored_header_bytes)),
                Fingerprint::DevInode => None,
            },
            ignore_before: self
                .ignore_older_secs
                .and_then(|s| SystemTime::now().checked_sub(Duration::from_secs(s))),
            ignore_not_found: self.ignore_not_found,
            cooldown: Duration::from_millis(self.glob_minimum_cooldown_ms),
            remove_after: self.remove_after_secs.map(Duration::from_secs),
            rotate_wait: self.rotate_wait_secs.map(Duration::from_secs),
        };
        Ok(FileSource {
            plan,
            dir,
            metrics: Metrics::new(&cx, self.internal_metrics.include_file_tag),
            cx,
        })
    }
}

struct FileSource {
    plan: Plan,
    dir: PathBuf,
    metrics: Metrics,
    cx: Context,
}

impl Source for FileSource {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let store = match self.take_directory(&mut shutdown).await? {
                Some(store) => Arc::new(store),
                None => return Ok(()),
            };
            let failed = |what: &str, e: std::io::Error| ComponentError::new(format!("cannot {what}: {e}"));
            let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|e| failed("make an eventfd", e.into()))?;
            let waker: OwnedFd = wake.try_clone().map_err(|e| failed("share an eventfd", e))?;
            let (done, finished) = tokio::sync::oneshot::channel::<()>();
            let stop = Arc::new(AtomicBool::new(false));
            let writer = spawn("checkpoints", {
                let (store, stop) = (store.clone(), stop.clone());
                move || {
                    while !stop.load(Ordering::Acquire) {
                        if store.is_dirty() {
                            store.save();
                        }
                        std::thread::park_timeout(CHECKPOINT_EVERY);
                    }
                }
            })?;
            let server = Server::new(
                self.plan,
                self.metrics,
                store,
                self.cx.aborted.clone(),
                out,
                shutdown.clone(),
                wake,
            );
            let reader = spawn("files", move || {
                server.run();
                stop.store(true, Ordering::Release);
                let _nobody_waits = done.send(());
            })?;
            let mut finished = std::pin::pin!(finished);
            tokio::select! {
                () = shutdown.wait() => {
                    let _full = rustix::io::write(&waker, &1u64.to_ne_bytes());
                    let _gone = finished.await;
                }
                _gone = &mut finished => {}
            }
            writer.thread().unpark();
            let ended = tokio::task::spawn_blocking(move || reader.join().is_ok() & writer.join().is_ok()).await;
            match ended {
                Ok(true) => Ok(()),
                _ => Err(ComponentError::new("the thread that reads files has failed")),
            }
        })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, ComponentError> {
    std::thread::Builder::new()
        .name(format!("logs-{name}"))
        .spawn(work)
        .map_err(|e| ComponentError::new(format!("cannot start a thread: {e}")))
}

impl FileSource {
    /// Takes the directory of positions, waiting for a source of this process that this one replaces; `None` if the
    /// shutdown comes first.
    async fn take_directory(&self, shutdown: &mut Shutdown) -> Result<Option<Store>, ComponentError> {
        let begin = Instant::now();
        loop {
            match Store::open(&self.dir) {
                Ok(store) => return Ok(Some(store)),
                Err(StoreError::Busy { ref pid, .. })
                    if *pid == std::process::id().to_string() && begin.elapsed() < HANDOVER => {}
                Err(e) => return Err(ComponentError::new(e.to_string())),
            }
            tokio::select! {
                () = shutdown.wait() => return Ok(None),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }
}
