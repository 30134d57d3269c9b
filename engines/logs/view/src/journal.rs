//! The journal's entries, from JSON to lines of RFC 5424 that people and formats can read.

use std::io::{self, BufRead, BufReader, Read};

use qd_core::Timestamp;
use serde_json::{Map, Value};

/// How long an entry may be in bytes; of a longer one the rest is dropped, and it is passed on as it stands.
const ENTRY: u64 = 4 << 20;

/// A reader of `journalctl --output=json` as lines.
pub(crate) struct Journal<R> {
    from: BufReader<R>,
    raw: Vec<u8>,
    out: Vec<u8>,
    at: usize,
}

impl<R: Read> Journal<R> {
    pub(crate) fn new(from: R) -> Journal<R> {
        Journal {
            from: BufReader::with_capacity(1 << 16, from),
            raw: Vec::new(),
            out: Vec::new(),
            at: 0,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        // As much as is there, so that what follows slowly comes at once.
        loop {
            self.raw.clear();
            if (&mut self.from).take(ENTRY).read_until(b'\n', &mut self.raw)? == 0 {
                return Ok(());
            }
            if self.raw.last() != Some(&b'\n') {
                self.from.skip_until(b'\n')?;
            }
            let line = self.raw.trim_ascii_end();
            match serde_json::from_slice::<Map<String, Value>>(line) {
                Ok(entry) => self.out.extend_from_slice(written(&entry).as_bytes()),
                Err(_) => self.out.extend_from_slice(line),
            }
            self.out.push(b'\n');
            if self.from.buffer().is_empty() || self.out.len() > 1 << 16 {
                return Ok(());
            }
        }
    }
}

impl<R: Read> Read for Journal<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            self.refill()?;
        }
        let n = buf.len().min(self.out.len() - self.at);
        buf[..n].copy_from_slice(&self.out[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// A field as text: what is no UTF-8 comes as a list of bytes, and what was set twice as a list of texts.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().all(Value::is_u64) => {
            let bytes: Vec<u8> = list.iter().filter_map(|b| b.as_u64().map(|b| b as u8)).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn written(entry: &Map<String, Value>) -> String {
    let get = |names: &[&str]| {
        let found = names.iter().find_map(|name| entry.get(*name));
        found.map(text).filter(|t| !t.is_empty())
    };
    let number = |name: &str| get(&[name]).and_then(|t| t.parse::<i64>().ok());
    // The parts of the head hold no blanks.
    let word = |names: &[&str]| match get(names) {
        Some(text) => text.replace(|c: char| c.is_whitespace() || c.is_control(), "_"),
        None => "-".to_owned(),
    };
    let priority = number("PRIORITY").filter(|p| (0..8).contains(p)).unwrap_or(6);
    let facility = number("SYSLOG_FACILITY").filter(|f| (0..24).contains(f)).unwrap_or(3);
    let micros = number("_SOURCE_REALTIME_TIMESTAMP").or_else(|| number("__REALTIME_TIMESTAMP"));
    let at = micros.map_or_else(|| "-".to_owned(), |m| Timestamp(m.saturating_mul(1000)).to_string());
    let unit = get(&["_SYSTEMD_UNIT", "UNIT", "_SYSTEMD_USER_UNIT", "USER_UNIT"]).map_or_else(
        || "-".to_owned(),
        |unit| {
            let unit = unit.replace('\\', r"\\").replace('"', "\\\"").replace(']', r"\]");
            format!("[journal unit=\"{unit}\"]")
        },
    );
    format!(
        "<{}>1 {at} {} {} {} - {unit} {}",
        facility * 8 + priority,
        word(&["_HOSTNAME"]),
        word(&["SYSLOG_IDENTIFIER", "_COMM"]),
        word(&["_PID", "SYSLOG_PID"]),
        get(&["MESSAGE"]).unwrap_or_default().trim_end_matches('\n')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let mut out = String::new();
        Journal::new(text.as_bytes()).read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn entries_are_lines_of_syslog() {
        let entry = concat!(
            r#"{"__REALTIME_TIMESTAMP":"1793534400123456","_HOSTNAME":"web-3","SYSLOG_IDENTIFIER":"my app","_PID":"812","#,
            r#""PRIORITY":"3","SYSLOG_FACILITY":"1","_SYSTEMD_UNIT":"nginx.service","MESSAGE":"it\nfailed"}"#,
            "\n"
        );
        let line = read(entry);
        assert!(line.starts_with("<11>1 2026-11-01T"), "{line}");
        assert!(
            line.ends_with(" web-3 my_app 812 - [journal unit=\"nginx.service\"] it\nfailed\n"),
            "{line}"
        );
    }

    #[test]
    fn what_is_odd_is_passed_on() {
        assert_eq!(read("no JSON\n"), "no JSON\n");
        assert_eq!(read("{}\n"), "<30>1 - - - - - - \n");
        assert!(read("{\"MESSAGE\":[104,105,255]}\n").ends_with(" hi\u{fffd}\n"));
        assert!(read("{\"MESSAGE\":null,\"_PID\":7}").contains(" 7 - - \n"));
        let long = format!(
            "{{\"MESSAGE\":\"{}\"}}\n{{\"MESSAGE\":\"after\"}}\n",
            "x".repeat(5 << 20)
        );
        assert!(read(&long).ends_with(" after\n"));
    }
}
