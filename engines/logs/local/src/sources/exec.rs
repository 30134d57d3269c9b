//! The source `exec`: what a program writes.
//!
//! The program gets a process group of its own. When the source ends, the whole group is sent SIGTERM, and SIGKILL
//! [`GRACE`] later.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use qd_core::Severity;
use qd_logs_codecs::{DecodingConfig, FramingConfig};
use qd_logs_model::{
    BoxFuture, BuildError, Closed, ComponentError, Context, Entry, Origin, OutputPort, Shutdown, Source, SourceConfig,
    SourceOut, Value,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::process::{Child, Command};
use vrl::path::OwnedValuePath;

use super::{
    keys::{hostname, legacy_namespace},
    stream::{Codec, Over, Received, origin, pump},
};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Scheduled,
    Streaming,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    #[serde(default = "interval")]
    exec_interval_secs: u64,
}

fn interval() -> u64 {
    60
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Streaming {
    #[serde(default = "yes")]
    respawn_on_exit: bool,
    #[serde(default = "respawn_interval")]
    respawn_interval_secs: u64,
}

fn yes() -> bool {
    true
}

fn respawn_interval() -> u64 {
    5
}

fn buffer_size() -> usize {
    1_000_000
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mode: Mode,
    scheduled: Option<Scheduled>,
    streaming: Option<Streaming>,
    command: Vec<String>,
    environment: Option<BTreeMap<String, String>>,
    #[serde(default)]
    clear_environment: bool,
    working_directory: Option<PathBuf>,
    #[serde(default = "yes")]
    include_stderr: bool,
    #[serde(default = "buffer_size")]
    maximum_buffer_size_bytes: usize,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "exec",
        about: "runs a program, once in a while or all the time, and reads what it writes",
        parse: |node| Ok(Box::new(qd_logs_config::decode::<Config>(node)?)),
    }
}

impl SourceConfig for Config {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: self.decoding.kinds(),
        }]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            if self.command.is_empty() {
                return Err(BuildError::of("command", "`command` must name a program"));
            }
            if self.maximum_buffer_size_bytes == 0 {
                return Err(BuildError::of(
                    "maximum_buffer_size_bytes",
                    "the buffer must not be empty",
                ));
            }
            let most = self.maximum_buffer_size_bytes;
            Ok(Box::new(Exec {
                codec: Codec::stream(&cx, self.framing.as_ref(), &self.decoding, Some(most))?,
                received: Received::new(&cx, "none"),
                config: self.clone(),
                cx,
            }) as Box<dyn Source>)
        })
    }
}

struct Exec {
    config: Config,
    cx: Context,
    codec: Codec,
    received: Received,
}

impl Source for Exec {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            match self.config.mode {
                Mode::Scheduled => {
                    let every = self
                        .config
                        .scheduled
                        .as_ref()
                        .map_or_else(interval, |s| s.exec_interval_secs);
                    let every = Duration::from_secs(every.max(1));
                    let mut timer = tokio::time::interval(every);
                    loop {
                        tokio::select! {
                            _ = timer.tick() => {}
                            () = shutdown.wait() => break,
                        }
                        if self.once(&out, &mut shutdown, Some(every)).await.is_err() {
                            break;
                        }
                    }
                }
                Mode::Streaming => {
                    let streaming = self.config.streaming.clone().unwrap_or(Streaming {
                        respawn_on_exit: true,
                        respawn_interval_secs: respawn_interval(),
                    });
                    loop {
                        if self.once(&out, &mut shutdown, None).await.is_err() || !streaming.respawn_on_exit {
                            break;
                        }
                        tokio::select! {
                            () = tokio::time::sleep(Duration::from_secs(streaming.respawn_interval_secs)) => {}
                            () = shutdown.wait() => break,
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

impl Exec {
    fn line(&self) -> String {
        self.config.command.join(" ")
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let c = &self.config;
        let mut words = c.command.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words);
        if c.clear_environment {
            command.env_clear();
        }
        command.envs(c.environment.iter().flatten());
        if let Some(dir) = &c.working_directory {
            command.current_dir(dir);
        }
        command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if c.include_stderr {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .spawn()
    }

    fn origin(&self, stream: &str, pid: Option<u32>) -> Arc<Origin> {
        let field = OwnedValuePath::single_field;
        let mut fields = vec![(field("stream"), Value::from(stream))];
        fields.extend(pid.map(|p| (field("pid"), Value::from(i64::from(p)))));
        fields.extend(self.cx.globals.log_schema.host_key.clone().zip(hostname(&self.cx)));
        let command = self.config.command.iter().map(|w| Value::from(w.as_str())).collect();
        fields.push((field("command"), Value::Array(command)));
        origin(&self.cx, "exec", fields)
    }

    /// Runs the program once, for at most `most`.
    async fn once(&self, out: &SourceOut, shutdown: &mut Shutdown, most: Option<Duration>) -> Result<(), Closed> {
        if shutdown.is_set() {
            return Ok(());
        }
        let begin = tokio::time::Instant::now();
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(e) => {
                let text = format!("cannot run `{}`: {e}", self.line());
                self.received.error("command_failed", text);
                return Ok(());
            }
        };
        let pid = child.id();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut stop1, mut stop2) = (shutdown.clone(), shutdown.clone());
        let read_out = async {
            match stdout {
                Some(s) => {
                    let (d, o) = (self.codec.decoder(), self.origin("stdout", pid));
                    pump(s, d, &o, &self.received, out, &mut stop1, most, |_| {}).await
                }
                None => Ok(Over::End),
            }
        };
        let read_err = async {
            match stderr {
                Some(s) => {
                    let (d, o) = (self.codec.decoder(), self.origin("stderr", pid));
                    pump(s, d, &o, &self.received, out, &mut stop2, most, |_| {}).await
                }
                None => Ok(Over::End),
            }
        };
        let (a, b) = tokio::join!(read_out, read_err);
        let over = (a, b);
        if over == (Ok(Over::End), Ok(Over::End)) {
            // Both pipes are closed: the program has ended, or is about to.
            let rest = most.map_or(GRACE, |m| m.saturating_sub(begin.elapsed()));
            let _late = tokio::time::timeout(rest, child.wait()).await;
        }
        if let (Ok(Over::Time), _) | (_, Ok(Over::Time)) = over {
            let text = format!("`{}` did not end before its next run and was stopped", self.line());
            self.received.error("timed_out", text);
        }
        self.end(&mut child, pid).await;
        let status = child.try_wait().ok().flatten();
        let code = status.and_then(|s| s.code());
        let t = self.received.telemetry();
        t.counter("command_executed_total").add(1);
        t.histogram("command_execution_duration_seconds")
            .record(begin.elapsed());
        let severity = if code == Some(0) {
            Severity::Debug
        } else {
            Severity::Info
        };
        let text = match status {
            Some(s) => format!("`{}` has ended: {s}", self.line()),
            None => format!("`{}` was left", self.line()),
        };
        self.received.say(severity, text);
        a.and(b).map(|_| ())
    }

    /// Ends the process group if the program is still there.
    async fn end(&self, child: &mut Child, pid: Option<u32>) {
        let group = pid.and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw);
        let Some(group) = group else { return };
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _gone = kill_process_group(group, Signal::TERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            let _gone = kill_process_group(group, Signal::KILL);
            let _waited = child.wait().await;
        }
    }
}
