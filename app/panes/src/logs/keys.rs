//! What the keys of a log pane do. The verbs are those of every list: see the hint bar and `?`.

use qd_core::Severity;
use qd_logs_view::{FilterKind, LineNumber, Row, plain};
use qd_tty::{Key, KeyEvent, Mods};

use super::{
    LogPane, Region, SIDE, Times,
    jobs::{Aim, Jump},
    panel::Panel,
    prompt::{Ask, Mode},
    text::{quoted, shown},
};
use crate::PaneEvent;

/// Keys and what they do.
pub(super) type Hints = &'static [(&'static str, &'static str)];

/// The keys for the hint bar, for what is going on now.
pub(super) fn hints(pane: &LogPane) -> Hints {
    if pane.typing.is_some() {
        return &[("Enter", "done"), ("Tab", "complete"), ("Esc", "leave")];
    }
    if pane.work.is_some() {
        return &[("Esc", "stop")];
    }
    if pane.panel.is_some() {
        return &[("j k", "move"), ("Esc", "close")];
    }
    if pane.region == Region::Strip {
        return &[
            ("\u{2190} \u{2192}", "bar"),
            ("Enter", "go there"),
            ("+ -", "zoom"),
            ("Tab", "lines"),
            ("Esc", "close"),
        ];
    }
    &[
        ("/", "filter"),
        ("a", "actions"),
        ("d", "describe"),
        ("f", "follow"),
        ("g", "go to"),
        (">", "level"),
        ("t", "time"),
        ("?", "keys"),
    ]
}

/// The keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("j k \u{2191} \u{2193}", "one line down, up"),
    ("Ctrl-d Ctrl-u PgDn PgUp", "half a page, a page"),
    ("\u{2190} \u{2192}", "to the side; with columns, to another cell"),
    ("G, f", "to the end and follow; f again pauses"),
    ("g g", "to the beginning"),
    ("g e g E, g w g W", "to the next, previous error; warning or worse"),
    ("g t, g l, g %", "to a time, to a line of this source, to a share"),
    ("t c, t :, t l", "all logs to this line's time, to a time, back to live"),
    ("t a", "adjust the clock of this line's source"),
    (
        "Space, V",
        "mark this line; from here to there: y, a and m act on marked lines",
    ),
    ("u, -", "undo the last change of the view; the view before, and back"),
    ("[ ]", "back to where a jump began, and forward"),
    (".", "the last jump again"),
    ("/", "show only what matches, of what is shown; Ctrl-t: hide, find"),
    ("/ vrl:", "a condition in VRL: vrl: .status >= 500 && .path != \"/\""),
    ("n N", "the next, previous line that was found"),
    ("*", "filter by a field of this line, or by this cell"),
    ("!", "invert the last filter"),
    ("\\", "end the search, or take the last filter away"),
    ("< >", "lower, raise the minimum level"),
    ("F", "the filters: Space switches, D removes"),
    ("x", "the sources: + adjusts the clock, D removes"),
    ("d, Enter", "this entry and its fields"),
    ("p", "this entry laid out for reading"),
    ("c", "fields as columns"),
    ("m, ' \"", "bookmark this line; next, previous mark"),
    ("t t, t h", "the strip: lines over time, by level"),
    ("t r", "times: hidden, clock, distance from this line"),
    ("w", "wrap long lines"),
    ("y", "copy: y line, b body, f fields, j JSON, p place"),
    ("a", "everything else: SQL, write to a file, comment, \u{2026}"),
    ("o, r", "open another log, open everything again"),
    ("e, s", "edit the log at this line; a shell where it is"),
    ("Tab", "between the lines and the strip"),
    ("?", "these keys"),
    ("Esc", "one level out: work, panel, strip, search, filter"),
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
        if self.region == Region::Strip && self.strip_key(k) {
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
            Key::Right => self.sideways(true),
            Key::Left => self.sideways(false),
            Key::Home => {
                let to = self.view.start();
                self.go(to, "line");
            }
            Key::End | Key::Char('G') => self.set_follow(true),
            Key::Char('f') => self.set_follow(!self.follow),
            Key::Char(c @ ('g' | 't' | 'y')) => self.pending = Some(c),
            Key::Char('[') => self.travel(true),
            Key::Char(']') => self.travel(false),
            Key::Char('.') => match self.last_jump {
                Some(j) => self.jump(j),
                None => self.fail("there was no jump yet: g e, n, '"),
            },
            Key::Char('/') => self.ask(Ask::Filter(Mode::In), ""),
            Key::Char('n') => self.jump_to(Aim::Hit, true),
            Key::Char('N') => self.jump_to(Aim::Hit, false),
            Key::Char('!') => self.invert_filter(),
            Key::Char('\\') => self.clear(),
            Key::Char('*') => self.filter_by_cell(),
            Key::Char('<') => self.shift_level(false),
            Key::Char('>') => self.shift_level(true),
            Key::Char('F') => self.panel = Some(Panel::filters()),
            Key::Char('x') => self.panel = Some(Panel::sources()),
            Key::Char('d') | Key::Enter => self.open_details(),
            Key::Char('p') => self.open_pretty(),
            Key::Char('c') => self.open_columns(),
            Key::Char('a') => self.panel = Some(Panel::menu()),
            Key::Char('m') => self.toggle_bookmark(),
            Key::Char('\'') => self.jump_to(Aim::Mark, true),
            Key::Char('"') => self.jump_to(Aim::Mark, false),
            Key::Char('o') => self.ask(Ask::Open, ""),
            Key::Char('S') => self.fail("logs stand in the order of their times"),
            Key::Char('w') => self.change(|pane| pane.wrap = !pane.wrap),
            Key::Char(' ') => self.toggle_pick(),
            Key::Char('V') => self.pick_range(),
            Key::Char('u') => self.undo(),
            Key::Char('-') => self.last_view(),
            Key::Char('e') => self.edit(),
            Key::Char('s') => self.shell(),
            Key::Char('r') => self.reopen(),
            Key::Char('?') => self.panel = Some(Panel::help()),
            Key::Tab if self.strip.is_some() => self.region = Region::Strip,
            Key::Esc => return self.out(),
            _ => return false,
        }
        true
    }

    fn jump_to(&mut self, aim: Aim, forward: bool) {
        self.jump(Jump { aim, forward });
    }

    pub(super) fn reopen(&mut self) {
        match crate::Pane::restart(self) {
            Ok(()) => self.tell("opened again"),
            Err(e) => self.fail(&e.to_string()),
        }
    }

    fn sideways(&mut self, right: bool) {
        if !self.columns.is_empty() {
            let last = self.columns.len() - 1;
            self.cell = if right {
                (self.cell + 1).min(last)
            } else {
                self.cell.saturating_sub(1)
            };
        } else if right {
            self.side = self.side.saturating_add(SIDE);
        } else {
            self.side = self.side.saturating_sub(SIDE);
        }
    }

    /// One level out: what goes on, the panel, the strip, the search, the filters.
    fn out(&mut self) -> bool {
        if self.stop_work() || self.panel.take().is_some() {
            return true;
        }
        if self.strip.take().is_some() {
            self.region = Region::Lines;
            return true;
        }
        if self.drop_picks() || std::mem::take(&mut self.side) > 0 {
            return true;
        }
        let s = self.snapshot();
        if self.search.is_none() && s.filters.is_empty() && s.level.is_none() {
            return false;
        }
        self.clear();
        true
    }

    fn second_key(&mut self, first: char, k: &KeyEvent) -> bool {
        let Key::Char(c) = k.key else { return true };
        match (first, c) {
            ('g', 'g') => {
                let to = self.view.start();
                self.go(to, "line");
            }
            ('g', 'e') => self.jump_to(Aim::Level(Severity::Error), true),
            ('g', 'E') => self.jump_to(Aim::Level(Severity::Error), false),
            ('g', 'w') => self.jump_to(Aim::Level(Severity::Warn), true),
            ('g', 'W') => self.jump_to(Aim::Level(Severity::Warn), false),
            ('g', 't') => self.ask(Ask::Time, ""),
            ('t', ':') => self.ask(Ask::Moment, ""),
            ('t', 'c') => self.set_moment_here(),
            ('t', 'a') => match self.cursor {
                Some(c) => self.ask(Ask::Clock(c.source), ""),
                None => self.fail("no line is selected"),
            },
            ('g', 'l') => self.ask(Ask::Line, ""),
            ('g', '%') => self.ask(Ask::Percent, ""),
            ('t', 't' | 'h') => self.toggle_strip(),
            ('t', 'l') => {
                self.set_follow(true);
                self.set_moment(None);
            }
            ('t', 'r') => self.change(|pane| {
                pane.times = match pane.times {
                    Times::Hidden => Times::Clock,
                    Times::Clock => Times::Relative,
                    Times::Relative => Times::Hidden,
                }
            }),
            ('y', 'y' | 'b' | 'f' | 'j' | 'p') => self.copy(c),
            _ => self.fail(&format!("{first} {c} does nothing here; ? shows the keys")),
        }
        true
    }

    /// Copies something of the marked lines, or of the selected one.
    pub(super) fn copy(&mut self, what: char) {
        if let Some(row) = self.table_row().filter(|_| what == 'y') {
            self.events.push(PaneEvent::Copied(plain(&row)));
            return;
        }
        let rows = self.picked_rows();
        if rows.is_empty() {
            self.fail("no line is selected");
            return;
        }
        let copied: Vec<String> = rows.iter().map(|row| self.copy_of(row, what)).collect();
        if copied.iter().all(String::is_empty) {
            self.fail("this line has none");
            return;
        }
        let copied: Vec<String> = copied.iter().flat_map(|c| c.lines()).map(plain).collect();
        self.events.push(PaneEvent::Copied(copied.join("\n")));
        self.tell(format!("copied from {}", super::pick::lines(rows.len())));
    }

    fn copy_of(&self, row: &Row, what: char) -> String {
        let text = row.text();
        let parsed = row.parse(&text);
        let pairs = || parsed.fields.iter().map(|f| (f.name.to_string(), &f.value));
        match what {
            'b' => match &parsed.unescaped {
                Some(body) => body.clone(),
                None => text.get(parsed.body.clone()).unwrap_or(&text).to_owned(),
            },
            'f' => pairs()
                .map(|(k, v)| format!("{k}={}", shown(v)))
                .collect::<Vec<_>>()
                .join("\n"),
            'j' => super::text::json(&parsed.fields),
            'p' => {
                let s = self.snapshot();
                let name = s.sources.iter().find(|x| x.id == row.pos.source);
                let name = name.map(|x| x.name.as_str()).unwrap_or_default();
                match row.number {
                    LineNumber::At(n) => format!("{name}:{n}"),
                    _ => name.to_owned(),
                }
            }
            _ => text.to_string(),
        }
    }

    /// Ends the search, or takes the last filter away, or the minimum level.
    fn clear(&mut self) {
        if self.search.is_some() {
            self.change(LogPane::end_search);
            self.tell("the search is over");
            return;
        }
        let s = self.snapshot();
        match s.filters.last() {
            Some(f) => match self.change(|pane| pane.view.remove_filter(f.id)) {
                Ok(()) => self.tell(format!("no longer: {}", f.text)),
                Err(e) => self.fail(&e.to_string()),
            },
            None if s.level.is_some() => self.set_level(None),
            None => self.fail("there is no filter"),
        }
    }

    /// What the last filter showed is hidden, and the other way round.
    fn invert_filter(&mut self) {
        let s = self.snapshot();
        let Some(f) = s.filters.last() else {
            self.fail("there is no filter to invert; / adds one, and Ctrl-t in it hides");
            return;
        };
        let kind = match f.kind {
            FilterKind::In => FilterKind::Out,
            FilterKind::Out => FilterKind::In,
        };
        let done = self
            .add_filter(kind, &f.text)
            .and_then(|()| self.view.remove_filter(f.id).map_err(|e| e.to_string()));
        match done {
            Ok(()) => self.tell(match kind {
                FilterKind::In => format!("showing only {}", f.text),
                FilterKind::Out => format!("hiding {}", f.text),
            }),
            Err(e) => self.fail(&e),
        }
    }

    fn filter_by_cell(&mut self) {
        let Some(name) = self.columns.get(self.cell).map(|c| c.name.clone()) else {
            self.open_fields();
            return;
        };
        let value = self.selected().and_then(|row| {
            let text = row.text().into_owned();
            row.parse(&text).get(&name).map(shown)
        });
        match value {
            Some(v) => {
                if let Err(e) = self.add_filter(FilterKind::In, &format!("{name}:{}", quoted(&v))) {
                    self.fail(&e);
                }
            }
            None => self.fail("this line has no such field"),
        }
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
