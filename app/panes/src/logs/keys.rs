//! What the keys of a log pane do. The verbs are those of every list: see the hint bar and `?`.

use qd_core::When;
use qd_logs_view::{FilterKind, LineNumber};
use qd_tty::{Key, KeyEvent, Mods};
use qd_ui::edit::{Edit, LineEdit};

use super::{Ask, LogPane, SIDE, Times, Typing, now, panel::Panel};
use crate::PaneEvent;

/// The keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("j k \u{2191} \u{2193}", "one line down, up"),
    ("Ctrl-d Ctrl-u PgDn PgUp", "half a page, a page"),
    ("\u{2190} \u{2192} h l", "to the side"),
    ("G, f", "to the end and follow; f again pauses"),
    ("g g", "to the beginning"),
    ("g t, t t", "to a time: 12:30, 2026-05-01 08:00, -15m"),
    ("g l, g %", "to a line of this source, to a share of everything"),
    ("/", "show only what a filter matches"),
    ("!", "hide what a filter matches"),
    ("*", "filter by a field of this line"),
    ("< >", "lower, raise the minimum level"),
    ("\\", "take the last filter away"),
    ("F", "the filters: Space switches, D removes"),
    ("x", "the sources: + adjusts the clock, D removes"),
    ("d, Enter", "this entry and its fields"),
    ("t r", "times: hidden, clock, distance from this line"),
    ("w", "wrap long lines"),
    ("y y, y f", "copy this line, copy its fields"),
    ("r", "open everything again"),
    ("?", "these keys"),
    ("Esc", "one level out"),
];

impl LogPane {
    /// Takes a key; answers whether it was used.
    pub(super) fn key(&mut self, k: &KeyEvent) -> bool {
        if self.typing.is_some() {
            return self.type_key(k);
        }
        self.note = None;
        if let Some(first) = self.pending.take() {
            return self.second_key(first, k);
        }
        if self.panel.is_some() && self.panel_key(k) {
            return true;
        }
        let page = i64::from(self.height().max(2)) - 1;
        let ctrl = k.mods.contains(Mods::CTRL);
        match k.key {
            Key::Char('d') if ctrl => self.scroll((page / 2).max(1)),
            Key::Char('u') if ctrl => self.scroll(-(page / 2).max(1)),
            Key::Char('f') if ctrl => self.scroll(page),
            Key::Char('b') if ctrl => self.scroll(-page),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            Key::Down | Key::Char('j') => self.step(1),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::PageDown => self.scroll(page),
            Key::PageUp => self.scroll(-page),
            Key::Right | Key::Char('l') => self.side = self.side.saturating_add(SIDE),
            Key::Left | Key::Char('h') => self.side = self.side.saturating_sub(SIDE),
            Key::Home => {
                let to = self.view.start();
                self.go(to, "line");
            }
            Key::End | Key::Char('G') => self.set_follow(true),
            Key::Char('f') => self.set_follow(!self.follow),
            Key::Char(c @ ('g' | 't' | 'y')) => self.pending = Some(c),
            Key::Char('/') => self.ask(Ask::FilterIn, ""),
            Key::Char('!') => self.ask(Ask::FilterOut, ""),
            Key::Char('\\') => self.drop_filter(),
            Key::Char('*') => self.open_fields(),
            Key::Char('<') => self.shift_level(false),
            Key::Char('>') => self.shift_level(true),
            Key::Char('F') => self.panel = Some(Panel::filters()),
            Key::Char('x') => self.panel = Some(Panel::sources()),
            Key::Char('d') | Key::Enter => self.open_details(),
            Key::Char('w') => self.wrap = !self.wrap,
            Key::Char('r') => match crate::Pane::restart(self) {
                Ok(()) => self.tell("opened again"),
                Err(e) => self.fail(&e.to_string()),
            },
            Key::Char('?') => self.panel = Some(Panel::help()),
            Key::Esc => return self.out(),
            _ => return false,
        }
        true
    }

    /// One level out: the panel, then the place to the side.
    fn out(&mut self) -> bool {
        if self.panel.take().is_some() {
            return true;
        }
        std::mem::take(&mut self.side) > 0
    }

    fn second_key(&mut self, first: char, k: &KeyEvent) -> bool {
        let Key::Char(c) = k.key else { return true };
        match (first, c) {
            ('g', 'g') => {
                let to = self.view.start();
                self.go(to, "line");
            }
            ('g' | 't', 't') => self.ask(Ask::Time, ""),
            ('g', 'l') => self.ask(Ask::Line, ""),
            ('g', '%') => self.ask(Ask::Percent, ""),
            ('t', 'l') => self.set_follow(true),
            ('t', 'r') => {
                self.times = match self.times {
                    Times::Hidden => Times::Clock,
                    Times::Clock => Times::Relative,
                    Times::Relative => Times::Hidden,
                }
            }
            ('y', 'y') => self.copy_line(),
            ('y', 'f') => self.copy_fields(),
            _ => self.fail(&format!("{first} {c} does nothing here; ? shows the keys")),
        }
        true
    }

    fn copy_line(&mut self) {
        if let Some(row) = self.selected() {
            self.events.push(PaneEvent::Copied(qd_logs_view::plain(&row.text())));
        }
    }

    fn copy_fields(&mut self) {
        if let Some(row) = self.selected() {
            let text = row.text().into_owned();
            let parsed = row.parse(&text);
            let lines: Vec<String> = parsed
                .fields
                .iter()
                .map(|f| format!("{}={}", f.name, panel::shown(&f.value)))
                .collect();
            self.events
                .push(PaneEvent::Copied(qd_logs_view::plain(&lines.join("\n"))));
        }
    }

    pub(super) fn ask(&mut self, ask: Ask, text: &str) {
        self.typing = Some(Typing {
            ask,
            edit: LineEdit::new(text),
            error: None,
        });
    }

    fn drop_filter(&mut self) {
        let s = self.snapshot();
        match s.filters.last() {
            Some(f) => match self.view.remove_filter(f.id) {
                Ok(()) => self.tell(format!("no longer: {}", f.text)),
                Err(e) => self.fail(&e.to_string()),
            },
            None if s.level.is_some() => {
                self.view.set_level(None);
                self.tell("showing every level");
            }
            None => self.fail("there is no filter"),
        }
    }

    fn type_key(&mut self, k: &KeyEvent) -> bool {
        let Some(t) = &mut self.typing else { return false };
        match k.key {
            Key::Esc => self.typing = None,
            Key::Enter => self.answer(),
            Key::Up if k.mods.is_empty() => {
                if let Some(last) = self.history.last() {
                    t.edit.set(last);
                }
            }
            _ => {
                if t.edit.key(k) != Edit::Ignored {
                    t.error = None;
                }
            }
        }
        true
    }

    /// Enter in the prompt.
    fn answer(&mut self) {
        let Some(t) = self.typing.take() else { return };
        let text = t.edit.text().trim().to_owned();
        if text.is_empty() {
            return;
        }
        let done = match &t.ask {
            Ask::FilterIn => self.add_filter(FilterKind::In, &text),
            Ask::FilterOut => self.add_filter(FilterKind::Out, &text),
            Ask::Time => When::parse(&text, &now()).map_err(|e| e.to_string()).map(|w| {
                let to = self.view.at_time(w.start(now().at));
                self.go(to, "line at or after that time");
            }),
            Ask::Line => text
                .replace(',', "")
                .parse::<u64>()
                .map_err(|e| e.to_string())
                .map(|n| {
                    let source = self.cursor.map_or(0, |c| c.source);
                    let to = self.view.at_line(source, n);
                    self.go(to, "such line (or it is not indexed yet)");
                }),
            Ask::Percent => text
                .trim_end_matches('%')
                .parse::<f64>()
                .map_err(|e| e.to_string())
                .map(|p| {
                    let to = self.view.at_share((p / 100.0).clamp(0.0, 1.0));
                    self.go(to, "line");
                }),
            Ask::Clock(source) => {
                signed_nanos(&text).and_then(|n| self.view.adjust_clock(*source, n).map_err(|e| e.to_string()))
            }
        };
        match done {
            Ok(()) => {
                self.history.push(text);
                if self.history.len() > 100 {
                    self.history.remove(0);
                }
            }
            Err(e) => {
                self.typing = Some(Typing { error: Some(e), ..t });
            }
        }
    }

    /// Adds a filter; the selection stays where it is, or at the nearest line that is left.
    pub(super) fn add_filter(&mut self, kind: FilterKind, text: &str) -> Result<(), String> {
        self.view
            .filter(kind, text, &now())
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// A line number for the status.
    pub(super) fn number(n: LineNumber) -> String {
        match n {
            LineNumber::At(n) => format!("line {}", super::grouped(n)),
            LineNumber::FromEnd(n) => format!("line \u{2212}{}", super::grouped(n)),
            LineNumber::Unknown => "line ?".to_owned(),
        }
    }
}

use super::panel;

/// A duration with a sign, in nanoseconds.
fn signed_nanos(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let d = qd_core::parse_duration(rest.trim()).map_err(|e| e.to_string())?;
    i64::try_from(d.as_nanos())
        .map(|n| sign * n)
        .map_err(|_| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_can_be_set_back() {
        assert_eq!(signed_nanos("1s"), Ok(1_000_000_000));
        assert_eq!(signed_nanos("-1m"), Ok(-60_000_000_000));
        assert_eq!(signed_nanos("+2ms"), Ok(2_000_000));
        assert!(signed_nanos("soon").is_err());
    }
}
