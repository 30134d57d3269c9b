//! What the keys of a search pane do. In the query line letters are letters, and the switches are Alt with a letter; in the
//! list the verbs are those of every list.

use qd_search_live::engine::{Command, State};
use qd_tty::{Key, KeyEvent, Mods};
use qd_ui::edit::{Edit, LineEdit};

use super::{Ask, Region, Role, SearchPane, panel::Panel, query::Field};

/// Keys and what they do.
pub(super) type Hints = &'static [(&'static str, &'static str)];

/// The keys for the hint bar, for what is going on now.
pub(super) fn hints(pane: &SearchPane) -> Hints {
    if let Some((ask, _)) = &pane.typing {
        return match ask {
            Ask::Sure => &[("y", "replace"), ("n", "leave")],
            _ => &[("Enter", "done"), ("Esc", "leave")],
        };
    }
    if pane.replacing.is_some() {
        return &[
            ("Enter", "replace"),
            ("Space", "leave out"),
            ("j k", "move"),
            ("Esc", "leave"),
        ];
    }
    if pane.panel.is_some() {
        return &[("j k", "move"), ("Enter", "choose"), ("Esc", "close")];
    }
    match (pane.region, pane.role) {
        (Region::Query, Role::Pane) => &[
            ("Enter", "list"),
            ("Alt-r", "regex"),
            ("Alt-w", "word"),
            ("Alt-c", "case"),
            ("Alt-h", "hidden"),
            ("Tab", "globs"),
            ("Ctrl-p", "before"),
        ],
        (Region::Query, Role::Picker) => &[
            ("Enter", "go there"),
            ("\u{2191} \u{2193}", "move"),
            ("Alt-r", "regex"),
            ("Alt-w", "word"),
            ("Alt-c", "case"),
            ("Tab", "globs"),
            ("Esc", "close"),
        ],
        (Region::List, _) => &[
            ("Enter", "go there"),
            ("/", "query"),
            ("a", "actions"),
            ("Space", "mark"),
            ("c", "context"),
            ("p", "preview"),
            ("y", "copy"),
            ("R", "replace"),
            ("?", "keys"),
        ],
    }
}

/// The keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("/", "to the query; Enter, Tab: on from there to the list"),
    ("Alt-r Alt-w Alt-c Alt-h", "regex, whole words, case, hidden files"),
    (
        "Alt-g Alt-t",
        "only files by globs (*.rs !target/**), by types (rust !js)",
    ),
    ("Ctrl-p Ctrl-n, [ ]", "the searches of before"),
    ("j k \u{2191} \u{2193}", "one row down, up"),
    ("Ctrl-d Ctrl-u PgDn PgUp", "half a page, a page"),
    ("g g, G", "to the beginning, to the end"),
    ("n N", "the next, previous file"),
    (
        "Enter, o, e",
        "open: an editor at the line, the place in its pane; a heading folds",
    ),
    ("x X", "fold this file, all files"),
    ("c, + -", "lines of context: none, two; more, fewer"),
    ("p", "the file around the line"),
    ("Space, V", "mark this line; from the last mark to here"),
    ("y", "copy: y all, p path, n place, l line, r the rg command"),
    ("s", "send to a shell, without Enter: p path, t text"),
    ("R", "replace what was found, after a preview"),
    ("u", "take the last replacement back"),
    ("m, '", "give this search a name; the searches with one"),
    ("l", "what could not be searched"),
    ("r", "search again, everywhere"),
    ("\\", "clear the query"),
    ("a", "everything that can be done"),
    ("?", "these keys"),
    ("Esc", "one level out: panel, marks, search that runs, query"),
];

impl SearchPane {
    /// Takes a key; answers whether it was used.
    pub(super) fn key(&mut self, k: &KeyEvent) -> bool {
        if self.typing.is_some() {
            return self.answer_key(k);
        }
        self.note = None;
        if let Some(first) = self.pending.take() {
            return self.second_key(first, k);
        }
        if self.replacing.is_some() {
            return self.plan_key(k);
        }
        if self.panel.is_some() && self.panel_key(k) {
            return true;
        }
        if self.switch_key(k) {
            return true;
        }
        match self.region {
            Region::Query => self.query_key(k),
            Region::List => self.list_key(k),
        }
    }

    /// The switches, wherever the keys go.
    fn switch_key(&mut self, k: &KeyEvent) -> bool {
        if k.mods != Mods::ALT {
            return false;
        }
        match k.key {
            Key::Char('r') => self.switch(|q| q.regex = !q.regex),
            Key::Char('w') => self.switch(|q| q.word = !q.word),
            Key::Char('c') => self.switch(|q| q.case = q.case.next()),
            Key::Char('h') => self.switch(|q| q.hidden = !q.hidden),
            Key::Char('g') => self.enter_field(Field::Globs),
            Key::Char('t') => self.enter_field(Field::Types),
            _ => return false,
        }
        true
    }

    fn enter_field(&mut self, field: Field) {
        self.panel = None;
        self.region = Region::Query;
        self.field = field;
    }

    fn query_key(&mut self, k: &KeyEvent) -> bool {
        let page = i64::from(self.height.max(2)) - 1;
        match (k.key, k.mods) {
            (Key::Down, _) => self.scroll(1),
            (Key::Up, _) => self.scroll(-1),
            (Key::PageDown, _) => self.scroll(page),
            (Key::PageUp, _) => self.scroll(-page),
            (Key::Char('p'), Mods::CTRL) => self.travel(true),
            (Key::Char('n'), Mods::CTRL) => self.travel(false),
            (Key::Tab, m) if m.is_empty() => match self.field {
                Field::Text => self.field = Field::Globs,
                Field::Globs => self.field = Field::Types,
                Field::Types => {
                    self.field = Field::Text;
                    self.region = Region::List;
                }
            },
            (Key::Tab, _) => {
                self.field = match self.field {
                    Field::Text => Field::Types,
                    Field::Globs => Field::Text,
                    Field::Types => Field::Globs,
                }
            }
            (Key::Enter, _) if self.role == Role::Picker => self.enter(),
            (Key::Enter, _) => {
                self.remember();
                self.field = Field::Text;
                self.region = Region::List;
            }
            (Key::Esc, _) if self.field != Field::Text => self.field = Field::Text,
            (Key::Esc, _) if self.role == Role::Picker => self.leave = true,
            (Key::Esc, _) => self.region = Region::List,
            (Key::Char('c'), Mods::CTRL) if self.role == Role::Picker => self.leave = true,
            _ => match self.edit().key(k) {
                Edit::Ignored => return false,
                Edit::Moved => {}
                Edit::Changed => self.typed(),
            },
        }
        true
    }

    /// Goes where the cursor is; a heading folds.
    pub(super) fn enter(&mut self) {
        match self.at {
            Some(at) if at.line.is_none() && self.marked.is_empty() => self.fold(),
            Some(_) => self.open_chosen(),
            None => self.say("nothing was found", true),
        }
    }

    fn list_key(&mut self, k: &KeyEvent) -> bool {
        let page = i64::from(self.height.max(2)) - 1;
        let ctrl = k.mods.contains(Mods::CTRL);
        match k.key {
            Key::Char('d') if ctrl => self.scroll((page / 2).max(1)),
            Key::Char('u') if ctrl => self.scroll(-(page / 2).max(1)),
            Key::Char('f') if ctrl => self.scroll(page),
            Key::Char('b') if ctrl => self.scroll(-page),
            Key::Char('p') if ctrl => self.travel(true),
            Key::Char('n') if ctrl => self.travel(false),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            Key::Down | Key::Char('j') => self.scroll(1),
            Key::Up | Key::Char('k') => self.scroll(-1),
            Key::PageDown => self.scroll(page),
            Key::PageUp => self.scroll(-page),
            Key::Home => self.go_to_end(false),
            Key::End | Key::Char('G') => self.go_to_end(true),
            Key::Char(c @ ('g' | 'y' | 's')) => self.pending = Some(c),
            Key::Tab => self.enter_field(Field::Text),
            Key::Char('/' | 'i') => self.enter_field(Field::Text),
            Key::Char('n') => self.next_file(true),
            Key::Char('N') => self.next_file(false),
            Key::Enter => self.enter(),
            Key::Char('o' | 'e') => self.open_chosen(),
            Key::Char('x') => self.fold(),
            Key::Char('X') => self.fold_all(),
            Key::Char('c') => self.set_context(if self.context == 0 { 2 } else { 0 }),
            Key::Char('+' | '=') => self.set_context(self.context.saturating_add(1)),
            Key::Char('-') => self.set_context(self.context.saturating_sub(1)),
            Key::Char('p') => self.toggle_preview(),
            Key::Char(' ') => self.toggle_mark(),
            Key::Char('V') => self.mark_range(),
            Key::Char('R') => self.ask_template(),
            Key::Char('u') => self.tell(Command::Undo),
            Key::Char('m') => self.typing = Some((Ask::Name, LineEdit::new(""))),
            Key::Char('\'') => self.panel = Some(Panel::saved(&self.keep)),
            Key::Char('[') => self.travel(true),
            Key::Char(']') => self.travel(false),
            Key::Char('l') => self.panel = Some(Panel::faults()),
            Key::Char('r') => self.tell(Command::Again),
            Key::Char('\\') => {
                self.fields.iter_mut().for_each(|f| f.set(""));
                self.typed();
                self.enter_field(Field::Text);
            }
            Key::Char('a') => self.panel = Some(Panel::menu()),
            Key::Char('?') => self.panel = Some(Panel::help()),
            Key::Esc => return self.out(),
            _ => return false,
        }
        true
    }

    fn set_context(&mut self, n: u8) {
        self.context = n.min(9);
        let v = self.view();
        if let Some(at) = self.at {
            self.select(&v, at);
        }
        self.say(
            match self.context {
                0 => "no context".to_owned(),
                1 => "one line of context".to_owned(),
                n => format!("{n} lines of context"),
            },
            false,
        );
    }

    /// One level out: the panel, the marks, the search that runs, the list.
    fn out(&mut self) -> bool {
        if self.panel.take().is_some() {
            return true;
        }
        if !self.marked.is_empty() {
            self.marked.clear();
            return true;
        }
        if self.view().state == State::Running {
            self.tell(Command::Cancel);
            return true;
        }
        if self.role == Role::Picker {
            self.leave = true;
            return true;
        }
        false
    }

    fn second_key(&mut self, first: char, k: &KeyEvent) -> bool {
        let Key::Char(c) = k.key else { return true };
        match (first, c) {
            ('g', 'g') => self.go_to_end(false),
            ('y', 'y' | 'p' | 'n' | 'l' | 'r') => self.yank(c),
            ('s', 'p' | 't') => self.send(c),
            _ => self.say(format!("{first} {c} does nothing here; ? shows the keys"), true),
        }
        true
    }

    /// A key for the question at the bottom.
    fn answer_key(&mut self, k: &KeyEvent) -> bool {
        let Some((ask, edit)) = &mut self.typing else {
            return false;
        };
        let ask = *ask;
        if ask == Ask::Sure {
            let yes = matches!(k.key, Key::Char('y' | 'Y'));
            self.typing = None;
            if yes {
                self.apply_plan();
            } else {
                self.say("nothing was replaced", false);
            }
            return true;
        }
        match k.key {
            Key::Esc => self.typing = None,
            Key::Enter => {
                let text = edit.text().to_owned();
                self.typing = None;
                match ask {
                    Ask::Template => self.tell(Command::Plan(text)),
                    Ask::Name => self.save(text.trim()),
                    Ask::Sure => {}
                }
            }
            _ => return edit.key(k) != Edit::Ignored,
        }
        true
    }

    fn save(&mut self, name: &str) {
        if name.is_empty() || self.query.text.is_empty() {
            self.say("a search and a name for it are wanted", true);
            return;
        }
        match self.keep.save(name, &self.query) {
            Ok(()) => self.say(format!("kept as {name}; ' shows all"), false),
            Err(e) => self.say(format!("it could not be kept: {e}"), true),
        }
    }
}
