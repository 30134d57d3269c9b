//! What is typed in a proxy pane: filters, comments, faults, names of files, times.

use qd_core::filter::{self, Completion};
use qd_proxy::telemetry::{schema, tilde::is_tilde};
use qd_tty::{Key, KeyEvent};
use qd_ui::edit::{Edit, LineEdit};

use super::ProxyPane;

/// Values that are offered for a field.
const VALUES: usize = 50;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Filter,
    Comment,
    Fault,
    Hold,
    Save,
    Load,
    Moment,
}

impl Ask {
    pub(super) fn lead(self) -> &'static str {
        match self {
            Ask::Filter => "/ ",
            Ask::Comment => "comment: ",
            Ask::Fault => "fault: ",
            Ask::Hold => "hold: ",
            Ask::Save => "save flows to: ",
            Ask::Load => "load flows from: ",
            Ask::Moment => "time: ",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Ask::Filter => "status:>=500 path:/api/* header.x:y -word \u{b7} ~m POST & ~c 500 \u{b7} Tab completes",
            Ask::Comment => "a word about this flow; nothing takes it away",
            Ask::Fault => "delay 200ms | abort 503 | reset, then 50% for 30s and a filter",
            Ask::Hold => "request | answer | both, then for 60s and a filter",
            Ask::Save => "a HAR file; secrets are covered",
            Ask::Load => "a HAR file, of this program or another",
            Ask::Moment => "12:03:41, -5m, 2026-01-31 12:00: all panes go there",
        }
    }
}

/// A prompt that is open.
#[derive(Debug)]
pub(super) struct Typing {
    pub(super) ask: Ask,
    pub(super) edit: LineEdit,
    /// Why what is typed is wrong.
    pub(super) wrong: Option<String>,
    /// The filter before the prompt was opened.
    before: String,
    /// What could stand at the caret, and which of it does.
    pub(super) choices: Vec<Completion>,
    pub(super) choice: usize,
}

impl ProxyPane {
    pub(super) fn ask(&mut self, ask: Ask, text: &str) {
        let before = self.filter.as_ref().map(|(t, _)| t.clone()).unwrap_or_default();
        self.panel = None;
        self.typing = Some(Typing {
            ask,
            edit: LineEdit::new(text),
            wrong: None,
            before,
            choices: Vec::new(),
            choice: 0,
        });
    }

    pub(super) fn paste(&mut self, text: &str) -> bool {
        let Some(t) = &mut self.typing else { return false };
        t.edit.insert(text);
        self.typed();
        true
    }

    pub(super) fn type_key(&mut self, k: &KeyEvent) -> bool {
        match k.key {
            Key::Esc => {
                let Some(t) = self.typing.take() else { return true };
                if t.ask == Ask::Filter {
                    // It was a filter before.
                    let _same = self.set_filter(&t.before);
                }
            }
            Key::Enter => self.entered(),
            Key::Tab if self.typing.as_ref().is_some_and(|t| t.ask == Ask::Filter) => self.complete(),
            _ => {
                let Some(t) = &mut self.typing else { return true };
                if t.edit.key(k) == Edit::Changed {
                    t.choices.clear();
                    self.typed();
                }
            }
        }
        true
    }

    /// Takes what is typed for the filter while it is one.
    fn typed(&mut self) {
        let Some(t) = &self.typing else { return };
        let text = t.edit.text().to_owned();
        let wrong = match t.ask {
            Ask::Filter => self.set_filter(&text).err(),
            _ => None,
        };
        if let Some(t) = &mut self.typing {
            t.wrong = wrong;
        }
    }

    fn entered(&mut self) {
        let Some(t) = &self.typing else { return };
        let (ask, text) = (t.ask, t.edit.text().to_owned());
        let done = match ask {
            Ask::Filter => self.set_filter(&text),
            Ask::Comment => {
                self.comment(&text);
                Ok(())
            }
            Ask::Fault => self.inject(&text),
            Ask::Hold => self.hold(&text),
            Ask::Save => self.save(&text),
            Ask::Load => self.load(&text),
            Ask::Moment => self.set_moment_at(&text),
        };
        match done {
            Ok(()) => self.typing = None,
            Err(e) => {
                if let Some(t) = &mut self.typing {
                    t.wrong = Some(e);
                }
            }
        }
    }

    /// Puts the next thing that fits at the caret.
    fn complete(&mut self) {
        let Some(t) = &mut self.typing else { return };
        if t.choices.is_empty() {
            let before = t.edit.before().to_owned();
            if is_tilde(&before) {
                t.wrong = Some("mitmproxy's expressions are not completed".to_owned());
                return;
            }
            let values = |field: &str, _: &str| {
                let mut seen = std::collections::BTreeSet::new();
                for flow in self.shown.iter().rev().take(2000) {
                    if let Some(v) = qd_core::Fields::field(&flow.told, field) {
                        seen.insert(v.to_string());
                    }
                    if seen.len() >= VALUES {
                        break;
                    }
                }
                seen.into_iter().collect()
            };
            let found = filter::complete(&before, before.len(), &schema(), &values);
            let Some(t) = &mut self.typing else { return };
            if found.is_empty() {
                t.wrong = Some("nothing known goes on like this".to_owned());
                return;
            }
            (t.choices, t.choice) = (found, 0);
        } else {
            t.choice = (t.choice + 1) % t.choices.len();
        }
        let Some(t) = &mut self.typing else { return };
        let Some(c) = t.choices.get(t.choice).cloned() else {
            return;
        };
        t.edit.replace(c.span.start..t.edit.caret(), &c.text);
        if t.choices.len() == 1 {
            t.choices.clear();
        }
        self.typed();
    }
}
