//! One container's logs.

use std::{sync::Arc, time::Duration};

use bollard::{Docker, container::LogOutput, query_parameters::LogsOptions};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt};
use qd_core::Severity;
use qd_logs_model::{Context, EventKind, LogEvent, LogSchema, MAX_BATCH_EVENTS, Value};
use vrl::path::OwnedValuePath;

use super::super::{Entrance, vector::batches};

/// Bytes of a merged line, at the most; what comes after begins a new one.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// What all containers of a source share.
pub(super) struct Shared {
    pub(super) docker: Docker,
    pub(super) entrance: Entrance,
    pub(super) schema: LogSchema,
    pub(super) host_key: Option<OwnedValuePath>,
    pub(super) hostname: Arc<str>,
    /// Marks parts of lines that are not merged.
    pub(super) marker: Option<OwnedValuePath>,
    pub(super) merges: bool,
    pub(super) backoff: Duration,
    pub(super) cx: Context,
}

/// What ended.
enum End {
    /// The pipeline: nobody takes events any more.
    Pipeline,
    /// The stream: the container has ended, or the daemon.
    Stream,
}

/// Reads one container until it ends.
pub(super) struct Follower {
    shared: Arc<Shared>,
    id: String,
    /// The time of the last line that was read, or from which on lines are wanted.
    since: Option<DateTime<Utc>>,
    /// What was that when the stream began: lines up to it are not wanted. (Lines of one nanosecond may be many.)
    resumed: Option<DateTime<Utc>>,
    /// Parts of lines by stream: standard output and error.
    parts: [BytesMut; 2],
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, id: String, since: Option<DateTime<Utc>>) -> Follower {
        Follower {
            shared,
            id,
            since,
            resumed: since,
            parts: Default::default(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let about = match self.shared.docker.inspect_container(&self.id, None).await {
                Ok(found) => found,
                // It is gone.
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return,
                Err(e) => {
                    self.complain(&format!("container {} can't be looked at: {e}", self.id));
                    tokio::time::sleep(self.shared.backoff).await;
                    continue;
                }
            };
            let mut base = Value::Object(Default::default());
            let mut set = |name: &str, v: Value| {
                base.insert(&OwnedValuePath::single_field(name), v);
            };
            let config = about.config.unwrap_or_default();
            let name = about.name.unwrap_or_default();
            set("container_id", Value::from(self.id.as_str()));
            set("container_name", Value::from(name.trim_start_matches('/')));
            set("image", Value::from(config.image.unwrap_or_default()));
            if let Some(created) = about.created {
                let created = created.to_string();
                let time = DateTime::parse_from_rfc3339(&created).map(|t| Value::Timestamp(t.to_utc()));
                set("container_created_at", time.unwrap_or_else(|_| Value::from(created)));
            }
            if let Some(labels) = config.labels.filter(|l| !l.is_empty()) {
                let labels = labels.into_iter().map(|(k, v)| (k.into(), Value::from(v))).collect();
                set("label", Value::Object(labels));
            }
            if let Some(path) = &self.shared.host_key {
                base.insert(path, Value::from(&*self.shared.hostname));
            }
            if let Some(path) = &self.shared.schema.source_type_key {
                base.insert(path, Value::from("docker_logs"));
            }
            match self.stream(&base).await {
                Ok(End::Pipeline) => return,
                // A daemon that restarts ends the stream as well.
                Ok(End::Stream) if !self.runs().await => return,
                Ok(End::Stream) => tokio::time::sleep(self.shared.backoff).await,
                Err(why) => {
                    self.complain(&format!("the logs of container {} broke off: {why}", self.id));
                    tokio::time::sleep(self.shared.backoff).await;
                }
            }
        }
    }

    /// Whether the container runs, as far as the daemon can be asked.
    async fn runs(&self) -> bool {
        match self.shared.docker.inspect_container(&self.id, None).await {
            Ok(about) => about.state.and_then(|s| s.running).unwrap_or(false),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => false,
            Err(_) => true,
        }
    }

    fn complain(&self, why: &str) {
        self.shared.cx.telemetry.error("connection_failed", "receiving");
        self.shared.cx.log.say(Severity::Warn, why, Vec::new());
    }

    /// Reads to the end of the stream.
    async fn stream(&mut self, base: &Value) -> Result<End, String> {
        let since = self
            .since
            .map_or(0, |t| i32::try_from(t.timestamp()).unwrap_or(i32::MAX));
        let docker = self.shared.docker.clone();
        let options = LogsOptions {
            follow: true,
            stdout: true,
            stderr: true,
            timestamps: true,
            since,
            ..LogsOptions::default()
        };
        let mut stream = Box::pin(docker.logs(&self.id, Some(options)));
        // Parts that were read before the stream broke off come again.
        self.parts = Default::default();
        self.resumed = self.since;
        while let Some(first) = stream.next().await {
            let mut events = Vec::new();
            let mut next = Some(first);
            let mut broken = None;
            while let Some(output) = next.take() {
                match output {
                    Ok(output) => events.extend(self.line(output, base)),
                    Err(e) => broken = Some(e.to_string()),
                }
                if broken.is_none() && events.len() < MAX_BATCH_EVENTS {
                    next = stream.next().now_or_never().flatten();
                }
            }
            if self
                .shared
                .entrance
                .push(batches(events, EventKind::Log, 0))
                .await
                .is_err()
            {
                return Ok(End::Pipeline);
            }
            if let Some(why) = broken {
                return Err(why);
            }
        }
        Ok(End::Stream)
    }

    /// The event of a line, unless it has only begun or was read before.
    fn line(&mut self, output: LogOutput, base: &Value) -> Option<LogEvent> {
        let (stream, message) = match output {
            LogOutput::StdErr { message } => ("stderr", message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => ("stdout", message),
            LogOutput::StdIn { message } => ("stdin", message),
        };
        self.shared.entrance.received(message.len());
        let (time, mut text) = timestamped(message);
        if time.is_some_and(|time| self.resumed.is_some_and(|since| time <= since)) {
            return None;
        }
        let whole = text.last() == Some(&b'\n');
        if whole {
            text.truncate(text.len() - 1);
            if text.last() == Some(&b'\r') {
                text.truncate(text.len() - 1);
            }
        }
        let slot = usize::from(stream == "stderr");
        let mut partial = !whole;
        if self.shared.merges
            && let Some(parts) = self.parts.get_mut(slot)
        {
            parts.extend_from_slice(&text);
            if !whole && parts.len() < MAX_LINE {
                return None;
            }
            text = parts.split().freeze();
            partial = false;
        }
        if whole {
            // A part has the time of its own; only a whole line moves on.
            self.since = time.or(self.since);
        }
        let mut value = base.clone();
        value.insert(&self.shared.schema.message_key, Value::Bytes(text));
        value.insert(&OwnedValuePath::single_field("stream"), Value::from(stream));
        if let Some(path) = &self.shared.schema.timestamp_key {
            value.insert(path, Value::Timestamp(time.unwrap_or_else(Utc::now)));
        }
        if let (true, Some(marker)) = (partial, &self.shared.marker) {
            value.insert(marker, Value::Boolean(true));
        }
        Some(LogEvent::new(value))
    }
}

/// Takes the time from the beginning of a line; a line without one is left as it is.
fn timestamped(message: Bytes) -> (Option<DateTime<Utc>>, Bytes) {
    let found = memchr::memchr(b' ', &message).and_then(|end| {
        let text = std::str::from_utf8(message.get(..end)?).ok()?;
        Some((DateTime::parse_from_rfc3339(text).ok()?.to_utc(), end))
    });
    match found {
        Some((time, end)) => (Some(time), message.slice(end + 1..)),
        None => (None, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_before_the_line() {
        let (time, text) = timestamped(Bytes::from_static(b"2024-01-02T03:04:05.000000006Z a b\n"));
        assert_eq!(time.unwrap().timestamp_subsec_nanos(), 6);
        assert_eq!(text, "a b\n");
        let (time, text) = timestamped(Bytes::from_static(b"no time\n"));
        assert!(time.is_none());
        assert_eq!(text, "no time\n");
    }
}
