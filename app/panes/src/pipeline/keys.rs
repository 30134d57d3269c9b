//! What the keys of a pipeline pane do.

use qd_core::Filter;
use qd_logs::engine::Command;
use qd_tty::{Key, KeyEvent, Mods};
use qd_ui::edit::{Edit, LineEdit};

use super::{Above, Below, Order, PipelinePane, Region, now, schema, tree};
use crate::PaneEvent;

/// Keys and what they do.
pub(super) type Hints = &'static [(&'static str, &'static str)];

/// The keys for the hint bar.
pub(super) fn hints(pane: &PipelinePane) -> Hints {
    if pane.typing.is_some() {
        return &[("Enter", "done"), ("Esc", "leave")];
    }
    match pane.region {
        Region::Above => &[
            ("j k", "component"),
            ("/", "filter"),
            ("d", "describe"),
            ("l", "messages"),
            ("x", "wiring"),
            ("f", "pause"),
            ("r", "reload"),
            ("?", "keys"),
        ],
        Region::Below => &[
            ("j k", "scroll"),
            ("Tab", "components"),
            ("/", "filter"),
            ("y", "copy"),
            ("f", "pause"),
            ("Esc", "back"),
            ("?", "keys"),
        ],
    }
}

/// The keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    (
        "j k \u{2191} \u{2193}, G, g",
        "another component; in the lower part: scroll",
    ),
    ("Tab", "between the components and the lower part"),
    ("Enter", "into the lower part"),
    ("x", "the wiring: the events of one edge; again: the table"),
    ("S", "sort: as the data flows, by rate, by trouble, by buffer"),
    ("d", "describe the component; again: its events"),
    ("l", "what the components say; again: events"),
    ("/", "show only events that match: words, field:value, \u{2026}"),
    ("\\", "take the filter away"),
    ("f", "pause the events, and go on"),
    ("y", "copy the newest event that is shown"),
    ("r", "read the configuration again; restart, when it does not run"),
    ("?", "these keys"),
    ("Esc", "one level out: filter, lower part, wiring"),
];

impl PipelinePane {
    /// Takes a key; answers whether it was used.
    pub(super) fn key(&mut self, k: &KeyEvent) -> bool {
        if self.typing.is_some() {
            return self.type_key(k);
        }
        self.note = None;
        let page = i64::try_from(self.page.max(2)).unwrap_or(2) - 1;
        let ctrl = k.mods.contains(Mods::CTRL);
        match k.key {
            Key::Char('d') if ctrl => self.scroll((page / 2).max(1)),
            Key::Char('u') if ctrl => self.scroll(-(page / 2).max(1)),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            Key::Down | Key::Char('j') => self.step(1),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::PageDown => self.scroll(page),
            Key::PageUp => self.scroll(-page),
            Key::Home | Key::Char('g') => self.step(i64::MIN),
            Key::End | Key::Char('G') => self.step(i64::MAX),
            Key::Tab => {
                self.region = match self.region {
                    Region::Above => Region::Below,
                    Region::Below => Region::Above,
                }
            }
            Key::Enter => self.region = Region::Below,
            Key::Char('x') => {
                self.above = match self.above {
                    Above::Table => Above::Wiring,
                    Above::Wiring => Above::Table,
                };
                self.twig = 0;
                self.region = Region::Above;
            }
            Key::Char('S') => {
                self.order = match self.order {
                    Order::Flow => Order::Rate,
                    Order::Rate => Order::Trouble,
                    Order::Trouble => Order::Buffer,
                    Order::Buffer => Order::Flow,
                };
                self.above = Above::Table;
                let words = match self.order {
                    Order::Flow => "sorted as the data flows",
                    Order::Rate => "sorted by rate",
                    Order::Trouble => "sorted by errors and losses",
                    Order::Buffer => "sorted by what waits in buffers",
                };
                self.say(words, false);
            }
            Key::Char('d') => self.turn(Below::Details),
            Key::Char('l') => self.turn(Below::Messages),
            Key::Char('?') => self.turn(Below::Help),
            Key::Char('/') => {
                let text = self.filter.as_ref().map_or("", |(t, _)| t.as_str());
                self.typing = Some(LineEdit::new(text));
                self.wrong = None;
                self.below = Below::Events;
            }
            Key::Char('\\') => self.filter = None,
            Key::Char('f') => self.paused = !self.paused,
            Key::Char('y') => self.copy(),
            Key::Char('r') => self.again(),
            Key::Esc => return self.out(),
            _ => return false,
        }
        true
    }

    fn turn(&mut self, to: Below) {
        self.below = if self.below == to { Below::Events } else { to };
        self.scrolled = 0;
    }

    /// One level out; whether there was one.
    fn out(&mut self) -> bool {
        if self.below != Below::Events {
            self.turn(Below::Events);
        } else if self.region == Region::Below {
            self.region = Region::Above;
        } else if self.filter.take().is_some() {
        } else if self.above == Above::Wiring {
            self.above = Above::Table;
        } else {
            return false;
        }
        true
    }

    fn again(&mut self) {
        if self.handle.states().load().is_running() {
            match self.handle.call(Command::Reload) {
                Ok(p) => {
                    self.reload = Some(p);
                    self.say("reading the configuration again", false);
                }
                Err(e) => self.say(e.to_string(), true),
            }
        } else {
            // What was wrong may be right now.
            let _always_ok = crate::Pane::restart(self);
        }
    }

    fn copy(&mut self) {
        let text = match self.below {
            Below::Events => self.passing().iter().rev().nth(self.scrolled).map(|s| s.line.clone()),
            Below::Messages => {
                let at = self.messages.iter().rev().nth(self.scrolled);
                at.map(|m| m.body().to_owned())
            }
            Below::Details | Below::Help => None,
        };
        match text {
            Some(t) => {
                self.say("copied", false);
                self.events.push(PaneEvent::Clipboard(t.into_bytes()));
            }
            None => self.say("there is nothing to copy", true),
        }
    }

    /// Moves the cursor above, or scrolls below.
    fn step(&mut self, by: i64) {
        if self.region == Region::Below {
            self.scroll(by);
            return;
        }
        let s = self.pipeline();
        let moved = |at: usize, len: usize| {
            let to = i64::try_from(at).unwrap_or(0).saturating_add(by).max(0);
            usize::try_from(to).unwrap_or(usize::MAX).min(len.saturating_sub(1))
        };
        match self.above {
            Above::Wiring => self.twig = moved(self.twig, tree::draw(&s).len()),
            Above::Table => {
                let rows = self.rows(&s);
                let here = self.selected(&s).and_then(|i| rows.iter().position(|r| *r == i));
                let to = rows.get(moved(here.unwrap_or(0), rows.len()));
                self.at = to.and_then(|i| s.components.get(*i)).map(|c| c.id.clone());
            }
        }
    }

    /// Puts the cursor on a row that the mouse chose.
    pub(super) fn select(&mut self, row: usize) {
        match self.above {
            Above::Wiring => self.twig = row,
            Above::Table => self.at = self.pipeline().components.get(row).map(|c| c.id.clone()),
        }
    }

    /// Scrolls the lower part: events and messages from their end, the others from their beginning.
    pub(super) fn scroll(&mut self, by: i64) {
        let from_end = matches!(self.below, Below::Events | Below::Messages);
        let by = if from_end { by.saturating_neg() } else { by };
        let to = i64::try_from(self.scrolled).unwrap_or(0).saturating_add(by).max(0);
        self.scrolled = usize::try_from(to).unwrap_or(0);
    }

    fn type_key(&mut self, k: &KeyEvent) -> bool {
        match k.key {
            Key::Esc => {
                self.typing = None;
                self.wrong = None;
            }
            Key::Enter => {
                self.typed();
                if self.wrong.is_none() {
                    self.typing = None;
                }
            }
            _ => {
                let Some(t) = &mut self.typing else { return true };
                if t.key(k) == Edit::Changed {
                    self.typed();
                }
            }
        }
        true
    }

    /// Takes what is typed for the filter, if it is one.
    pub(super) fn typed(&mut self) {
        let Some(text) = self.typing.as_ref().map(|t| t.text().to_owned()) else {
            return;
        };
        self.scrolled = 0;
        if text.trim().is_empty() {
            (self.filter, self.wrong) = (None, None);
            return;
        }
        match Filter::new(&text, &schema(), &now()) {
            Ok(f) => {
                self.filter = Some((text, f));
                self.wrong = None;
            }
            Err(all) => self.wrong = all.first().map(ToString::to_string),
        }
    }
}
