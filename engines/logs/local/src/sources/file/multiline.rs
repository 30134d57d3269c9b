//! Joining lines: what a group is, and when it ends.

use std::time::{Duration, Instant};

use qd_logs_model::BuildError;
use regex::bytes::Regex;

use super::{
    config::{FileConfig, Mode, MultilineConfig},
    mark::Mark,
};

/// Bytes beyond which a group is sent although its end was not seen.
pub(crate) const MAX_GROUP: usize = 4 << 20;

/// How lines are joined.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    start: Regex,
    condition: Regex,
    mode: Mode,
    timeout: Duration,
}

impl Rules {
    /// The rules of a configuration; `None` if lines are not joined.
    pub(crate) fn new(config: &FileConfig) -> Result<Option<Rules>, BuildError> {
        let (key, rules) = match (&config.multiline, &config.message_start_indicator) {
            (Some(m), _) => ("multiline", m.clone()),
            (None, Some(start)) => (
                "message_start_indicator",
                MultilineConfig {
                    start_pattern: start.clone(),
                    condition_pattern: start.clone(),
                    mode: Mode::HaltBefore,
                    timeout_ms: config.multi_line_timeout,
                },
            ),
            (None, None) => return Ok(None),
        };
        let compile = |name: &str, pattern: &str| {
            Regex::new(pattern).map_err(|e| {
                let key = if key == "multiline" {
                    format!("{key}.{name}")
                } else {
                    key.to_owned()
                };
                BuildError::of(&key, format!("`{pattern}` is no regular expression: {e}"))
            })
        };
        Ok(Some(Rules {
            start: compile("start_pattern", &rules.start_pattern)?,
            condition: compile("condition_pattern", &rules.condition_pattern)?,
            mode: rules.mode,
            timeout: Duration::from_millis(rules.timeout_ms),
        }))
    }
}

/// Lines that belong together, so far.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) text: Vec<u8>,
    /// Where the first line begins.
    pub(crate) start: u64,
    /// The bytes before the first line.
    pub(crate) before: Mark,
    /// When it is sent if nothing more comes.
    pub(crate) deadline: Instant,
}

impl Group {
    fn begin(rules: &Rules, line: &[u8], start: u64, before: Mark, now: Instant) -> Group {
        Group {
            text: line.to_vec(),
            start,
            before,
            deadline: now + rules.timeout,
        }
    }

    fn add(&mut self, rules: &Rules, line: &[u8], now: Instant) {
        self.text.push(b'\n');
        self.text.extend_from_slice(line);
        self.deadline = now + rules.timeout;
    }
}

/// Takes a line: `emit` gets every text that is complete now, with the place of its first line.
pub(crate) fn feed(
    rules: &Rules,
    group: &mut Option<Group>,
    line: &[u8],
    start: u64,
    before: impl FnOnce() -> Mark,
    now: Instant,
    mut emit: impl FnMut(&[u8], u64),
) {
    if let Some(g) = group {
        let matched = rules.condition.is_match(line);
        let (belongs, ends) = match rules.mode {
            Mode::ContinueThrough => (matched, !matched),
            Mode::ContinuePast => (true, !matched),
            Mode::HaltBefore => (!matched, matched),
            Mode::HaltWith => (true, matched),
        };
        if belongs {
            g.add(rules, line, now);
        }
        if ends || g.text.len() > MAX_GROUP {
            emit(&g.text, g.start);
            *group = None;
        }
        if belongs {
            return;
        }
    }
    if rules.start.is_match(line) {
        *group = Some(Group::begin(rules, line, start, before(), now));
    } else {
        emit(line, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(start: &str, condition: &str, mode: Mode, lines: &[&str]) -> Vec<String> {
        let rules = Rules {
            start: Regex::new(start).expect("a pattern"),
            condition: Regex::new(condition).expect("a pattern"),
            mode,
            timeout: Duration::from_secs(1),
        };
        let (mut group, mut out) = (None, Vec::new());
        for (i, line) in lines.iter().enumerate() {
            let mut emit = |text: &[u8], _| out.push(String::from_utf8_lossy(text).into_owned());
            feed(
                &rules,
                &mut group,
                line.as_bytes(),
                i as u64,
                Mark::default,
                Instant::now(),
                &mut emit,
            );
        }
        out.extend(group.map(|g: Group| String::from_utf8_lossy(&g.text).into_owned()));
        out
    }

    #[test]
    fn continue_through_takes_what_is_indented() {
        let lines = ["one", "two", " b", " c", "three", " d", "four"];
        // "two" matches no start by itself: the first pattern says what begins a group.
        assert_eq!(
            joined(r"^\S", r"^\s", Mode::ContinueThrough, &lines),
            ["one", "two\n b\n c", "three\n d", "four"]
        );
    }

    #[test]
    fn continue_past_takes_one_more() {
        let lines = ["plain", r"one \", r"two \", "three", "plain"];
        assert_eq!(
            joined(r"\\$", r"\\$", Mode::ContinuePast, &lines),
            ["plain", "one \\\ntwo \\\nthree", "plain"]
        );
    }

    #[test]
    fn halt_before_begins_anew_with_the_line_that_matches() {
        let lines = ["INFO a", "b", "ERROR c", "d", "e"];
        assert_eq!(
            joined("^(INFO|ERROR) ", "^(INFO|ERROR) ", Mode::HaltBefore, &lines),
            ["INFO a\nb", "ERROR c\nd\ne"]
        );
    }

    #[test]
    fn halt_with_ends_with_the_line_that_matches() {
        let lines = ["select", "from x;", "drop;", "plain"];
        // A group begins at any line that does not end with a semicolon; the first line's own match ends nothing.
        assert_eq!(
            joined("[^;]$", ";$", Mode::HaltWith, &lines),
            ["select\nfrom x;", "drop;", "plain"]
        );
    }

    #[test]
    fn a_group_has_a_limit() {
        let line = "x".repeat(MAX_GROUP / 2);
        let out = joined("^x", "^x", Mode::ContinueThrough, &[&line, &line, &line, &line]);
        assert_eq!(out.len(), 2);
    }
}
