//! Flows that are held on their way: the rules that hold them, which they are, and letting them go on.

use std::time::Duration;

use qd_core::filter::Filter;
use qd_proxy::{Held, Hold, HoldAt, Release, engine::Command};
use qd_ui::Role;

use super::{ProxyPane, draw::Line};

/// How long one is held when nothing is said.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a body that are kept while it is held.
const BODY: usize = 1 << 20;

/// Reads `request for 60s method:POST`.
///
/// # Errors
/// What is none, in a sentence.
pub(super) fn parse(text: &str) -> Result<Hold, String> {
    let mut words = text.split_whitespace().peekable();
    let at = match words.peek().copied() {
        Some("request" | "requests") => HoldAt::Request,
        Some("answer" | "answers") => HoldAt::Answer,
        Some("both") => HoldAt::Both,
        _ => return Err("what is held: request, answer or both, then a filter".to_owned()),
    };
    words.next();
    let mut deadline = DEADLINE;
    if words.next_if_eq(&"for").is_some() {
        let time = words.next().ok_or_else(|| "for how long: 60s".to_owned())?;
        deadline = qd_core::parse_duration(time).map_err(|e| format!("{time}: {e}"))?;
    }
    let rest: Vec<&str> = words.collect();
    let filter = match rest.is_empty() {
        true => Filter::default(),
        false => {
            let made = qd_proxy::telemetry::filter(&rest.join(" "), &super::now());
            made.map_err(|all| all.first().map(ToString::to_string).unwrap_or_default())?
        }
    };
    Ok(Hold {
        at,
        filter,
        deadline,
        body: BODY,
    })
}

impl ProxyPane {
    /// Asks for what is held and not known here yet, and forgets what goes on.
    pub(super) fn poll_held(&mut self) {
        let s = self.snapshot();
        self.held.retain(|h| s.held.iter().any(|v| v.id == h.view.id));
        for view in &s.held {
            match self.held.iter_mut().find(|h| h.view.id == view.id) {
                Some(h) => h.view = view.clone(),
                None if self.asked.contains(&view.id) => {}
                None => {
                    self.asked.push(view.id);
                    self.call(Command::Held(view.id), String::new());
                }
            }
        }
        self.asked.retain(|id| s.held.iter().any(|v| v.id == *id));
    }

    pub(super) fn know_held(&mut self, held: Held) {
        self.held.push(held);
        self.held.sort_by_key(|h| h.view.id);
    }

    /// Begins to hold what is typed.
    pub(super) fn hold(&mut self, text: &str) -> Result<(), String> {
        let hold = parse(text)?;
        self.call(Command::Hold(Box::new(hold)), text.trim().to_owned());
        Ok(())
    }

    pub(super) fn end_holds(&mut self) {
        for rule in &self.snapshot().holds {
            self.call(Command::EndHold(rule.id), "nothing is held any more".to_owned());
        }
    }

    pub(super) fn release(&mut self, id: u64, how: Release) {
        let words = match how {
            Release::Kill => "it was killed",
            Release::Resume => "it goes on",
            Release::Request(_) | Release::Answer(_) => "it goes on, changed",
        };
        self.call(Command::Release(id, Box::new(how)), words.to_owned());
    }

    /// The rows of the panel: what is held, and for how long still.
    pub(super) fn held_lines(&self) -> Vec<Line> {
        let line = |h: &Held| {
            let word = |b: &[u8]| qd_proxy_content::escape(&String::from_utf8_lossy(b));
            let head = h.flow.request();
            let what = match &h.answer {
                Some(answer) => format!("answer {}", answer.status),
                None => "request".to_owned(),
            };
            vec![
                (format!("{what:<11} "), Role::TextInfo),
                (format!("{} {}", word(head.method()), word(head.target())), Role::Text),
                (
                    format!(
                        "  {} of body, goes on by itself in {:.0} s",
                        qd_core::Bytes(h.view.body as u64),
                        h.view.left
                    ),
                    Role::TextDim,
                ),
            ]
        };
        self.held.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read() {
        let h = parse("request method:POST").unwrap();
        assert_eq!((h.at, h.deadline), (HoldAt::Request, DEADLINE));
        let h = parse("both for 5s").unwrap();
        assert_eq!((h.at, h.deadline), (HoldAt::Both, Duration::from_secs(5)));
        for bad in ["", "me", "answer for", "answer for ever", "request status:abc"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
