//! Looking into a pipeline that another process runs: `qd logs top` and `qd logs tap`.
//!
//! `qd logs run` listens on a socket `logs/NAME.sock` below the runtime directory (which only this person can enter). Who
//! connects writes one line of JSON that says what to see, and gets a line of JSON for each snapshot or event until either
//! side closes. A reader that is slow holds nothing up: snapshots are taken when the last one is written, and the tap is a
//! bounded ring that counts what it could not keep.

use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use qd_logs::{Pipeline, TapRequest};
use qd_logs_view::plain;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream as Stream},
};

use super::args::{TapArgs, TopArgs};
use crate::{Failure, connect, print};

/// Bytes of a request, at the most.
const MAX_REQUEST: u64 = 64 * 1024;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

fn folder() -> Result<PathBuf, Failure> {
    Ok(connect::paths()?.runtime_dir.join("logs"))
}

/// The socket of a running pipeline; it is removed when this is dropped.
pub(super) struct Control {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Control {
    /// Listens under a name; must be called within the runtime.
    pub(super) fn listen(name: &str) -> Result<Control, Failure> {
        qd_server::check_name(name).map_err(|e| Failure::usage(e.to_string()))?;
        let dir = folder()?;
        let path = dir.join(format!("{name}.sock"));
        let fail = |e: std::io::Error| Failure::failed(format!("{}: {e}", path.display()));
        {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(fail)?;
        }
        if UnixStream::connect(&path).is_ok() {
            return Err(Failure::usage(format!(
                "a pipeline named {name} runs already; --name gives this one another"
            )));
        }
        // Whoever left it behind is gone.
        let _not_there = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(fail)?;
        Ok(Control {
            path,
            listener: Some(listener),
        })
    }

    /// Serves until the runtime ends.
    pub(super) fn serve(&mut self, pipeline: &Pipeline) {
        let Some(listener) = self.listener.take() else { return };
        let pipeline = pipeline.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pipeline = pipeline.clone();
                // Whoever breaks off, breaks off.
                tokio::spawn(async move { drop(answer(stream, &pipeline).await) });
            }
        });
    }
}

async fn answer(stream: Stream, pipeline: &Pipeline) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(MAX_REQUEST));
    if tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await.is_err() {
        return Ok(());
    }
    let ask: Value = match serde_json::from_str(&line) {
        Ok(v) => v,
        Err(e) => {
            return write
                .write_all(format!("{}\n", json!({"error": e.to_string()})).as_bytes())
                .await;
        }
    };
    let every = Duration::from_millis(ask["every_ms"].as_u64().unwrap_or(1000).clamp(50, 3_600_000));
    match ask["ask"].as_str() {
        Some("snapshots") => loop {
            let text = serde_json::to_string(&*pipeline.snapshot()).unwrap_or_default();
            write.write_all(format!("{text}\n").as_bytes()).await?;
            tokio::time::sleep(every).await;
        },
        Some("tap") => {
            let words = |key: &str| -> Vec<String> {
                let list = ask[key].as_array().map(Vec::as_slice).unwrap_or_default();
                list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            };
            let tap = pipeline.tap(TapRequest {
                outputs_of: words("outputs_of"),
                inputs_of: words("inputs_of"),
                limit: usize::try_from(ask["limit"].as_u64().unwrap_or(100)).unwrap_or(100),
                interval: every,
            });
            let mut missed = 0;
            while let Some(t) = tap.next().await {
                let now = tap.missed();
                let event = serde_json::to_value(&t.value).unwrap_or(Value::Null);
                let line = json!({
                    "output": t.output.to_string(), "time": t.time.to_rfc3339(), "event": event,
                    "missed": now.saturating_sub(missed),
                });
                missed = now;
                write.write_all(format!("{line}\n").as_bytes()).await?;
            }
            Ok(())
        }
        _ => write.write_all(b"{\"error\":\"ask is `snapshots` or `tap`\"}\n").await,
    }
}

/// The pipeline of a name, or the only one.
fn find(name: Option<&str>) -> Result<UnixStream, Failure> {
    let dir = folder()?;
    let open = |path: &Path| {
        UnixStream::connect(path)
            .map_err(|e| Failure::failed(format!("no pipeline answers at {}: {e}", path.display())))
    };
    if let Some(name) = name {
        qd_server::check_name(name).map_err(|e| Failure::usage(e.to_string()))?;
        return open(&dir.join(format!("{name}.sock")));
    }
    let mut alive: Vec<(String, UnixStream)> = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().to_str()?.strip_suffix(".sock")?.to_owned();
            Some((name, UnixStream::connect(e.path()).ok()?))
        })
        .collect();
    match alive.len() {
        0 => Err(Failure::failed("no pipeline runs; qd logs run starts one")),
        1 => Ok(alive.remove(0).1),
        _ => {
            let names: Vec<String> = alive.into_iter().map(|(n, _)| n).collect();
            Err(Failure::usage(format!(
                "several pipelines run, name one with --name: {}",
                names.join(", ")
            )))
        }
    }
}

/// Sends a request and gives each line of the answer, until it ends or `see` has had enough.
fn follow(
    name: Option<&str>,
    ask: &Value,
    mut see: impl FnMut(&Value) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut stream = find(name)?;
    stream
        .write_all(format!("{ask}\n").as_bytes())
        .map_err(|e| Failure::failed(format!("the pipeline does not listen: {e}")))?;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return Ok(()) };
        let v: Value =
            serde_json::from_str(&line).map_err(|e| Failure::failed(format!("the pipeline's answer: {e}")))?;
        if let Some(e) = v["error"].as_str() {
            return Err(Failure::failed(e));
        }
        if !see(&v)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes a line; false when nobody reads any more.
fn line(text: &str) -> bool {
    writeln!(std::io::stdout(), "{text}").is_ok()
}

/// `qd logs tap`.
pub(super) fn tap(a: &TapArgs) -> Result<(), Failure> {
    let mut outputs: Vec<&String> = a.patterns.iter().chain(&a.outputs_of).collect();
    let all = "*".to_owned();
    if outputs.is_empty() && a.inputs_of.is_empty() {
        outputs.push(&all);
    }
    let ask = json!({
        "ask": "tap", "outputs_of": outputs, "inputs_of": a.inputs_of, "limit": a.limit, "every_ms": a.interval,
    });
    follow(a.name.as_deref(), &ask, |v| {
        if let Some(n) = v["missed"].as_u64().filter(|n| *n > 0 && !a.quiet) {
            crate::complain(&format!("{n} events passed that are not shown"));
        }
        let event = &v["event"];
        Ok(line(&if a.meta { v.to_string() } else { event.to_string() }))
    })
}

/// `qd logs top`.
pub(super) fn top(a: &TopArgs) -> Result<(), Failure> {
    let screen = std::io::stdout().is_terminal() && !a.json && !a.once;
    follow(
        a.name.as_deref(),
        &json!({"ask": "snapshots", "every_ms": a.interval}),
        |v| {
            if a.json {
                return Ok(line(&v.to_string()) && !a.once);
            }
            if screen {
                // Home, and clear what is below.
                print("\x1b[H\x1b[J");
            }
            print(&table(v));
            Ok(screen)
        },
    )
}

/// A snapshot as a table.
fn table(v: &Value) -> String {
    let head = [
        "id", "kind", "type", "in", "in/s", "out", "out/s", "errors", "dropped", "buffer", "busy", "state",
    ];
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(|s| (*s).to_owned()).collect()];
    for c in v["components"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |k: &str| plain(c[k].as_str().unwrap_or_default());
        let count = |k: &str| c[k].as_u64().unwrap_or(0).to_string();
        let rate = |k: &str| format!("{:.0}", c[k].as_f64().unwrap_or(0.0));
        rows.push(vec![
            text("id"),
            text("kind"),
            text("ty"),
            count("events_in"),
            rate("rate_in"),
            count("events_out"),
            rate("rate_out"),
            count("errors"),
            (c["discarded"].as_u64().unwrap_or(0) + c["lost"].as_u64().unwrap_or(0)).to_string(),
            c["buffer"]["events"]
                .as_u64()
                .map_or_else(String::new, |n| n.to_string()),
            c["utilization"]
                .as_f64()
                .map_or_else(String::new, |u| format!("{:.0}%", u * 100.0)),
            text("state"),
        ]);
    }
    let width = |i: usize| {
        rows.iter()
            .filter_map(|r| r.get(i))
            .map(|s| qd_ui::width(s))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for r in &rows {
        let cells: Vec<String> = r
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (s, w))| {
                let pad = " ".repeat(w.saturating_sub(qd_ui::width(s)));
                // Numbers stand right.
                if (3..11).contains(&i) {
                    format!("{pad}{s}")
                } else {
                    format!("{s}{pad}")
                }
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    for c in v["components"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if let Some(trouble) = c["trouble"].as_str() {
            let id = c["id"].as_str().unwrap_or_default();
            out.push_str(&format!("{}: {}\n", plain(id), plain(trouble)));
        }
    }
    out
}
