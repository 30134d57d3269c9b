//! Looking into a proxy that another process runs, by a socket of its own.
//!
//! Who connects writes one line of JSON that says what to see and gets lines of JSON until either side closes. A reader
//! that is slow holds nothing up: snapshots are taken when the last one is written, and flows come by a tap, which counts
//! what it could not keep.

use std::{
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use qd_core::{EngineHandle, Now, Timestamp};
use qd_proxy_telemetry::{Flow as Told, har::Har};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{
    ProxyEngine, TapRequest,
    engine::{Command, Reply},
};

/// Bytes of a request, at the most.
const MAX_REQUEST: u64 = 64 * 1024;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Flows that may wait for a slow reader.
const QUEUE: usize = 8192;
/// Bytes of each body that are exported.
const BODY: usize = 256 * 1024;

/// What to see.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Ask {
    /// Snapshots, one after the other.
    Snapshots {
        /// Milliseconds between two.
        every_ms: u64,
    },
    /// Flows as they end, one line each.
    Tap {
        /// Only those that match; in the shared language, or mitmproxy's.
        filter: String,
    },
    /// Flows as entries of a HAR file: those that are kept, then those that come.
    Har {
        /// Only those that match.
        filter: String,
        /// Whether those that come are wanted as well.
        follow: bool,
    },
}

/// Gives the flows that are kept, the oldest first.
pub type Kept = Arc<dyn Fn() -> Vec<Told> + Send + Sync>;

/// Why a proxy cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another one has the name.
    #[error("a proxy named {0} runs already")]
    Taken(String),
    /// The name cannot be one of a file.
    #[error("`{0}` cannot be a proxy's name: letters, digits, `-`, `_` and `.`, at most 64 of them")]
    Name(String),
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What is concerned.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket of a running proxy; it is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: tokio::task::AbortHandle,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// Where the socket of a name is, within the directory of all of them.
///
/// # Errors
/// [`ControlError::Name`].
pub fn socket(dir: &Path, name: &str) -> Result<PathBuf, ControlError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(ControlError::Name(name.to_owned()));
    }
    Ok(dir.join(format!("{name}.sock")))
}

/// The proxies that have a socket in the directory, by name.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.strip_suffix(".sock").map(str::to_owned))
        .collect();
    names.sort();
    names
}

impl Control {
    /// Listens under a name, in a directory that only this person can enter.
    ///
    /// # Errors
    /// A name that is taken or is none, and what the system refuses.
    pub fn listen(
        runtime: &tokio::runtime::Handle,
        dir: &Path,
        name: &str,
        handle: EngineHandle<ProxyEngine>,
        kept: Option<Kept>,
    ) -> Result<Control, ControlError> {
        let path = socket(dir, name)?;
        let fail = |source: io::Error| ControlError::Io {
            path: path.clone(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(fail)?;
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(ControlError::Taken(name.to_owned()));
        }
        // Whoever left it behind is gone.
        let _not_there = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let _guard = runtime.enter();
        let listener = UnixListener::from_std(listener).map_err(fail)?;
        let task = runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handle, kept) = (handle.clone(), kept.clone());
                // Whoever breaks off, breaks off.
                tokio::spawn(async move { drop(answer(stream, &handle, kept.as_ref()).await) });
            }
        });
        Ok(Control {
            path,
            task: task.abort_handle(),
        })
    }
}

fn error(words: impl std::fmt::Display) -> String {
    format!("{}\n", serde_json::json!({ "error": words.to_string() }))
}

/// A flow in one line of JSON, for people and programs that follow along.
fn line(flow: &Told) -> String {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut value = serde_json::json!({
        "id": flow.id, "time": flow.started.to_string(), "method": flow.method, "scheme": flow.scheme,
        "host": flow.host, "path": flow.path, "status": flow.status,
        "duration_ms": flow.duration.map(|d| d.as_secs_f64() * 1e3),
        "size": flow.response.size, "request_size": flow.request.size, "retries": flow.retries,
    });
    let more = [
        ("route", some(&flow.route)),
        ("endpoint", some(&flow.endpoint)),
        ("src", flow.src.map(|s| s.to_string())),
        ("tls", flow.tls.clone()),
        ("error", some(&flow.error)),
        ("grpc_status", flow.grpc.map(|g| g.0.to_string())),
    ];
    if let Some(map) = value.as_object_mut() {
        for (key, text) in more {
            if let Some(text) = text {
                map.insert(key.to_owned(), text.into());
            }
        }
    }
    format!("{value}\n")
}

/// A flow as an entry of a HAR file, in one line.
fn entry(flow: &Told) -> Option<String> {
    let entry = Har::of([flow]).log.entries.pop()?;
    Some(format!("{}\n", serde_json::to_string(&entry).ok()?))
}

async fn answer(stream: UnixStream, handle: &EngineHandle<ProxyEngine>, kept: Option<&Kept>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut text = String::new();
    let mut read = tokio::io::BufReader::new(read.take(MAX_REQUEST));
    if tokio::time::timeout(PATIENCE, read.read_line(&mut text)).await.is_err() {
        return Ok(());
    }
    let ask: Ask = match serde_json::from_str(&text) {
        Ok(ask) => ask,
        Err(e) => return write.write_all(error(e).as_bytes()).await,
    };
    let (filter, har, follow) = match ask {
        Ask::Snapshots { every_ms } => {
            let every = Duration::from_millis(every_ms.clamp(50, 3_600_000));
            loop {
                let text = serde_json::to_string(&*handle.snapshot()).unwrap_or_default();
                write.write_all(format!("{text}\n").as_bytes()).await?;
                tokio::time::sleep(every).await;
            }
        }
        Ask::Tap { filter } => (filter, false, true),
        Ask::Har { filter, follow } => (filter, true, follow),
    };
    let at = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let now = Now::local(Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)));
    let filter = match qd_proxy_telemetry::filter(&filter, &now) {
        Ok(filter) => filter,
        Err(all) => {
            let words: Vec<String> = all.iter().map(ToString::to_string).collect();
            return write.write_all(error(words.join("; ")).as_bytes()).await;
        }
    };
    let shown = |flow: &Told| match har {
        true => entry(flow),
        false => Some(line(flow)),
    };
    let mut tap = None;
    if follow {
        let request = TapRequest {
            queue: QUEUE,
            body: if har { BODY } else { 0 },
        };
        match handle.ask(Command::Tap(request)).await {
            Ok(Reply::Tap(t)) => tap = Some(t),
            Ok(_) => return Ok(()),
            Err(e) => return write.write_all(error(e).as_bytes()).await,
        }
    }
    if har && let Some(kept) = kept {
        for flow in kept().iter().filter(|f| filter.matches(*f)) {
            write.write_all(shown(flow).unwrap_or_default().as_bytes()).await?;
        }
    }
    let Some(mut tap) = tap else { return Ok(()) };
    // Who follows is told that what comes from now on is seen.
    write.write_all(b"{\"following\":true}\n").await?;
    let mut lost = 0;
    let mut gone = [0; 1];
    loop {
        tokio::select! {
            flow = tap.next() => {
                let Some(flow) = flow else { return Ok(()) };
                let flow = flow.told();
                if filter.matches(&flow) {
                    write.write_all(shown(&flow).unwrap_or_default().as_bytes()).await?;
                }
                let dropped = tap.dropped();
                if dropped > lost {
                    let words = serde_json::json!({ "dropped": dropped - lost });
                    lost = dropped;
                    write.write_all(format!("{words}\n").as_bytes()).await?;
                }
            }
            // Nothing more is asked: this ends when the reader is gone.
            n = read.read(&mut gone) => if n.unwrap_or(0) == 0 { return Ok(()) },
        }
    }
}
