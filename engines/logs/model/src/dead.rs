//! Dead letters: events that a receiver refuses for good, kept for a person to look at.
//!
//! A sink that is told that an event will never be taken appends it to `dead_letters/ID.jsonl` in the pipeline's
//! `data_dir`: one JSON object a line with the time, the sink's words and the event as it was sent (in hexadecimal digits,
//! if that is no text). The file is bounded; when it is full it replaces the one before it (`ID.1.jsonl`). What is kept is counted
//! (`component_dead_letter_events_total`), what could not be kept is said in the log.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use qd_core::Severity;
use serde::Serialize;

use crate::{Context, Counter, InternalLog};

/// Bytes of a file, at the most (unless one letter is longer); there are two files to a sink.
pub const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// The folder in `data_dir`.
pub const FOLDER: &str = "dead_letters";

#[derive(Serialize)]
struct Letter<'a> {
    time: String,
    component: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    /// What is no text, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    id: Arc<str>,
    name: String,
    max: u64,
    kept: Counter,
    log: InternalLog,
    /// Held while a file is written.
    writing: Mutex<()>,
}

/// Where a sink puts what is refused. Clones write to the same file; nothing is opened before the first letter.
#[derive(Debug, Clone)]
pub struct DeadLetters(Arc<Shared>);

impl DeadLetters {
    /// The dead letters of a component.
    pub fn of(cx: &Context) -> DeadLetters {
        DeadLetters::bounded(cx, MAX_BYTES)
    }

    fn bounded(cx: &Context, max: u64) -> DeadLetters {
        // Ids may hold anything; a file's name here is letters, digits, `_`, `-` and `%XX`.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let name = cx.id.bytes().fold(String::new(), |mut name, b| {
            if plain(b) {
                name.push(char::from(b));
            } else {
                name.push_str(&format!("%{b:02X}"));
            }
            name
        });
        DeadLetters(Arc::new(Shared {
            dir: cx.globals.data_dir.join(FOLDER),
            id: cx.id.clone(),
            name,
            max,
            kept: cx.telemetry.counter("component_dead_letter_events_total"),
            log: cx.log.clone(),
            writing: Mutex::new(()),
        }))
    }

    /// Keeps events with the reason of their refusal. Blocks while the file is written; a failure is said in the log.
    pub fn keep<'a>(&self, reason: &str, events: impl IntoIterator<Item = &'a [u8]>) {
        let s = &*self.0;
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (mut text, mut count) = (Vec::new(), 0);
        for event in events {
            let text_of_it = std::str::from_utf8(event).ok();
            let letter = Letter {
                time: time.clone(),
                component: &s.id,
                reason,
                event: text_of_it,
                bytes: text_of_it
                    .is_none()
                    .then(|| event.iter().map(|b| format!("{b:02x}")).collect()),
            };
            if serde_json::to_writer(&mut text, &letter).is_ok() {
                text.push(b'\n');
                count += 1;
            }
        }
        if count == 0 {
            return;
        }
        match self.append(&text) {
            Ok(path) => {
                s.kept.add(count);
                let message = format!("{count} refused events are kept in {}", path.display());
                s.log.say(Severity::Info, message, Vec::new());
            }
            Err(e) => {
                let message = format!("{count} refused events could not be kept in {}: {e}", s.dir.display());
                s.log.say(Severity::Error, message, Vec::new());
            }
        }
    }

    fn append(&self, text: &[u8]) -> io::Result<PathBuf> {
        let s = &*self.0;
        let _one_at_a_time = s.writing.lock();
        fs::create_dir_all(&s.dir)?;
        let path = s.dir.join(format!("{}.jsonl", s.name));
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let len = file.metadata()?.len();
        if len > 0 && len + text.len() as u64 > s.max {
            fs::rename(&path, s.dir.join(format!("{}.1.jsonl", s.name)))?;
            file = OpenOptions::new().create(true).append(true).open(&path)?;
        }
        let len = file.metadata()?.len();
        if let Err(e) = file.write_all(text) {
            // No half lines.
            let _as_it_is = file.set_len(len);
            return Err(e);
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::{Globals, LogSchema, ProxySettings, Telemetry};

    fn cx(dir: &std::path::Path) -> Context {
        Context {
            id: "a/../b".into(),
            globals: Arc::new(Globals {
                data_dir: dir.to_owned(),
                timezone: None,
                log_schema: LogSchema::default(),
                hostname: "here".into(),
                proxy: Arc::new(ProxySettings::default()),
            }),
            telemetry: Telemetry::new(),
            log: InternalLog::new(),
            aborted: Arc::new(AtomicBool::new(false)),
            acknowledgements: false,
        }
    }

    #[test]
    fn letters_are_lines_and_the_files_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let dead = DeadLetters::bounded(&cx, 400);
        for i in 0..20 {
            let event = format!("line {i} \"\u{1b}[31m\n");
            dead.keep("400 Bad Request", [event.as_bytes(), b"\xff"]);
        }
        let folder = dir.path().join(FOLDER);
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let (old, new) = (text("a%2F%2E%2E%2Fb.1.jsonl"), text("a%2F%2E%2E%2Fb.jsonl"));
        assert!(old.len() <= 400 && new.len() <= 400, "{} {}", old.len(), new.len());
        let last: serde_json::Value = serde_json::from_str(new.lines().rev().nth(1).unwrap()).unwrap();
        assert_eq!(last["event"], "line 19 \"\u{1b}[31m\n");
        assert_eq!(last["reason"], "400 Bad Request");
        assert_eq!(last["component"], "a/../b");
        let binary: serde_json::Value = serde_json::from_str(new.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&binary["bytes"], &binary["event"]),
            (&"ff".into(), &serde_json::Value::Null)
        );
        assert_eq!(cx.telemetry.counter("component_dead_letter_events_total").get(), 40);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
    }
}
