//! What the keys of a proxy pane do. The verbs are those of every list: see the hint bar and `?`.

use qd_tty::{Key, KeyEvent, Mods};

use super::{Panel, ProxyPane, Region, View, detail::Detail, menu::Act, prompt::Ask};
use crate::Pane as _;

/// The keys for the hint bar, for what is going on now.
pub(super) fn hints(pane: &ProxyPane) -> Vec<(String, String)> {
    let own = |list: &[(&str, &str)]| list.iter().map(|(k, l)| ((*k).to_owned(), (*l).to_owned())).collect();
    if let Some(t) = &pane.typing {
        return match t.ask {
            Ask::Filter => own(&[("Enter", "done"), ("Tab", "complete"), ("Esc", "leave")]),
            _ => own(&[("Enter", "done"), ("Esc", "leave")]),
        };
    }
    if pane.confirm.is_some() {
        return own(&[("y", "yes"), ("Esc", "no")]);
    }
    match (&pane.panel, pane.pending) {
        (_, Some('y')) => return own(&[("c", "curl"), ("h", "HAR"), ("r", "raw"), ("b", "body"), ("u", "URL")]),
        (_, Some('t')) => return own(&[("c", "time of this flow"), (":", "a time"), ("l", "live")]),
        (Some(Panel::Held(_)), _) => {
            return own(&[("Enter", "let go"), ("e", "edit"), ("D", "kill"), ("Esc", "close")]);
        }
        (Some(Panel::Menu(_)), _) => return own(&[("j k", "move"), ("Enter", "do"), ("Esc", "close")]),
        (Some(_), _) => return own(&[("j k", "scroll"), ("Esc", "close")]),
        _ => {}
    }
    if pane.region == Region::Detail {
        return own(&[
            ("\u{2190} \u{2192}", "part"),
            ("j k", "scroll"),
            ("v", "as"),
            ("y", "copy"),
            (".", "replay"),
            ("Tab", "list"),
            ("Esc", "close"),
        ]);
    }
    match pane.view {
        View::Live | View::Errors if pane.current().is_some() => own(&[
            ("Enter", "open"),
            ("/", "filter"),
            ("f", if pane.follow { "pause" } else { "follow" }),
            (".", "replay"),
            ("e", "edit"),
            ("y", "copy"),
            ("a", "actions"),
            ("?", "keys"),
        ]),
        View::Endpoints => own(&[
            ("Enter", "its flows"),
            ("D", "drain"),
            ("S", "sort"),
            ("a", "actions"),
            ("?", "keys"),
        ]),
        View::Connections => own(&[
            ("Enter", "its flows"),
            ("D", "close"),
            ("S", "sort"),
            ("a", "actions"),
            ("?", "keys"),
        ]),
        View::Routes => own(&[
            ("Enter", "its flows"),
            ("i", "fault"),
            ("S", "sort"),
            ("a", "actions"),
            ("?", "keys"),
        ]),
        _ => own(&[
            ("1-5", "views"),
            ("/", "filter"),
            ("o", "load"),
            ("i", "fault"),
            ("a", "actions"),
            ("?", "keys"),
        ]),
    }
}

/// The keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("1 2 3 4 5", "live flows, routes, endpoints, connections, errors"),
    ("j k \u{2191} \u{2193}", "another row; in the lower part: scroll"),
    ("Ctrl-d Ctrl-u PgDn PgUp", "half a page, a page"),
    ("g g, G", "to the first row; to the last, and follow"),
    ("f", "pause the view, and follow again; traffic never waits"),
    (
        "Enter, d",
        "everything about a flow; the flows of a route, endpoint, connection",
    ),
    ("\u{2190} \u{2192}", "request, answer, time, raw"),
    ("v", "the body as JSON, form, gRPC, msgpack, HTML, text, hex"),
    ("Tab", "between the rows and the lower part"),
    ("/", "show only what matches: words, field:value, mitmproxy's ~u ~m ~c"),
    ("*, !, \\", "filter by this row; invert the filter; take it away"),
    ("S", "sort the routes, endpoints, connections by the next column"),
    ("Space", "mark; = compares two marked flows"),
    ("#", "comment on this flow"),
    (".", "send the request again"),
    ("e", "edit the request in $EDITOR, then send it"),
    ("y", "copy: c curl, h HAR, r raw, b body, u URL"),
    ("o", "load flows from a HAR file; a saves them"),
    (
        "h, H",
        "hold requests or answers; what is held: Enter lets go, e edits, D kills",
    ),
    ("i, I", "inject a fault that ends by itself; end all of them"),
    ("D", "drain this endpoint; close this connection"),
    (
        "t c, t :, t l",
        "all panes to this flow's time, to a time, back to live",
    ),
    ("w", "wrap long lines"),
    ("r", "read the configuration again; restart, when it does not run"),
    ("a", "all actions, and why one cannot be done now"),
    ("?", "these keys"),
    ("Esc", "one level out: panel, lower part, filter, view"),
];

impl ProxyPane {
    /// Takes a key; answers whether it was used.
    pub(super) fn key(&mut self, k: &KeyEvent) -> bool {
        if self.typing.is_some() {
            return self.type_key(k);
        }
        if let Some((_, act)) = self.confirm.clone() {
            if matches!(k.key, Key::Char('y' | 'Y')) {
                self.confirm = None;
                self.carry_out(act);
            } else if matches!(k.key, Key::Esc | Key::Char('n' | 'N' | 'q')) {
                self.confirm = None;
                if act == Act::SendEdited {
                    self.editing = None;
                }
                self.tell("nothing was done", false);
            }
            return true;
        }
        self.note = None;
        if let Some(Panel::Held(at)) = self.panel
            && self.held_key(at, k)
        {
            return true;
        }
        if let Some(first) = self.pending.take() {
            self.second_key(first, k);
            return true;
        }
        let page = i64::try_from(self.page.max(2)).unwrap_or(2) - 1;
        let ctrl = k.mods.contains(Mods::CTRL);
        match k.key {
            Key::Char('d') if ctrl => self.step((page / 2).max(1)),
            Key::Char('u') if ctrl => self.step(-(page / 2).max(1)),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            Key::Down | Key::Char('j') => self.step(1),
            Key::Up | Key::Char('k') => self.step(-1),
            Key::PageDown => self.step(page),
            Key::PageUp => self.step(-page),
            Key::Home => self.step(i64::MIN),
            Key::End | Key::Char('G') => self.step(i64::MAX),
            Key::Char(c @ '1'..='5') => {
                let place = (c as usize).saturating_sub('1' as usize);
                if let Some(view) = View::ALL.get(place) {
                    self.show(*view);
                }
            }
            Key::Char(c @ ('g' | 't' | 'y')) => self.pending = Some(c),
            Key::Tab if self.detail.is_some() => {
                self.region = match self.region {
                    Region::List => Region::Detail,
                    Region::Detail => Region::List,
                };
            }
            Key::Left if self.detail.is_some() => self.turn_detail(false),
            Key::Right if self.detail.is_some() => self.turn_detail(true),
            Key::Char('v') if self.detail.is_some() => self.next_kind(),
            Key::Enter => self.enter(),
            Key::Char('d') => self.describe(),
            Key::Char('/') => self.act_on(Act::Filter),
            Key::Char('\\') => drop(self.set_filter("")),
            Key::Char('*') => self.filter_by_row(),
            Key::Char('!') => self.invert(),
            Key::Char('f') => self.act_on(Act::Follow),
            Key::Char(' ') => self.act_on(Act::Mark),
            Key::Char('#') => self.act_on(Act::Comment),
            Key::Char('=') => self.act_on(Act::Diff),
            Key::Char('.') => self.act_on(Act::Replay),
            Key::Char('e') => self.act_on(Act::Edit),
            Key::Char('o') => self.act_on(Act::Load),
            Key::Char('i') => self.act_on(Act::Inject),
            Key::Char('h') => self.act_on(Act::Hold),
            Key::Char('H') => self.act_on(Act::ShowHeld),
            Key::Char('I') => self.act_on(Act::EndFaults),
            Key::Char('S') => self.next_order(),
            Key::Char('w') => {
                self.wrap = !self.wrap;
                self.laid = None;
            }
            Key::Char('D') => match self.view {
                View::Endpoints => self.act_on(Act::Drain),
                View::Connections => self.act_on(Act::Close),
                _ => self.tell("D drains an endpoint (3) or closes a connection (4)", true),
            },
            Key::Char('r') => {
                if self.handle.states().load().is_running() {
                    self.act_on(Act::Reload);
                } else {
                    // What was wrong may be right now.
                    let _always_ok = self.restart();
                }
            }
            Key::Char('a') => self.panel = Some(Panel::Menu(0)),
            Key::Char('?') => self.panel = Some(Panel::Help(0)),
            Key::Esc => return self.out(),
            _ => return false,
        }
        true
    }

    /// A key for what is held under the cursor; whether it was one.
    fn held_key(&mut self, at: usize, k: &KeyEvent) -> bool {
        let Some(held) = self.held.get(at).cloned() else {
            return false;
        };
        match k.key {
            Key::Enter => self.release(held.view.id, qd_proxy::Release::Resume),
            Key::Char('e') => self.edit_held(&held),
            Key::Char('D') => {
                let words = "kill it? Its client gets no answer.".to_owned();
                self.confirm = Some((words, Act::Kill(held.view.id)));
            }
            _ => return false,
        }
        true
    }

    fn second_key(&mut self, first: char, k: &KeyEvent) {
        let Key::Char(c) = k.key else { return };
        match (first, c) {
            ('g', 'g') => self.step(i64::MIN),
            ('t', 'c') => self.set_moment_here(),
            ('t', ':') => self.ask(Ask::Moment, ""),
            ('t', 'l') => self.go_live(),
            ('y', c) => match self.current() {
                Some(seen) => self.copy(&seen, c),
                None => self.tell("no flow is selected", true),
            },
            _ => self.tell(format!("{first} {c} does nothing here; ? shows the keys"), true),
        }
    }

    pub(super) fn show(&mut self, view: View) {
        self.view = view;
        self.panel = None;
        self.region = Region::List;
        if !view.is_flows() {
            self.detail = None;
        } else if view == View::Errors {
            let there = self.errors.iter().any(|s| Some(s.seq) == self.at);
            if !there {
                self.at = self.errors.last().map(|s| s.seq);
            }
        } else if self.follow {
            self.at = self.shown.back().map(|s| s.seq);
        }
    }

    /// Moves the cursor, or scrolls what has no cursor.
    pub(super) fn step(&mut self, by: i64) {
        let moved = |at: usize, last: usize| {
            let to = i64::try_from(at).unwrap_or(0).saturating_add(by).max(0);
            usize::try_from(to).unwrap_or(usize::MAX).min(last)
        };
        let rows = self.menu_rows().len();
        let held = self.held.len();
        match &mut self.panel {
            Some(Panel::Menu(at)) => {
                *at = moved(*at, rows.saturating_sub(1));
                return;
            }
            Some(Panel::Held(at)) => {
                *at = moved(*at, held.saturating_sub(1));
                return;
            }
            Some(Panel::Help(from)) => {
                *from = moved(*from, HELP.len().saturating_sub(1));
                return;
            }
            Some(Panel::Diff(lines, from)) => {
                *from = moved(*from, lines.len().saturating_sub(1));
                return;
            }
            None => {}
        }
        if self.region == Region::Detail {
            if let Some(d) = &mut self.detail {
                d.from = moved(d.from, usize::MAX / 2);
            }
            return;
        }
        self.move_row(by);
    }

    fn enter(&mut self) {
        if let Some(Panel::Menu(at)) = self.panel {
            self.menu_act(at);
            return;
        }
        match self.view {
            View::Live | View::Errors => {
                if self.detail.is_none() {
                    self.describe();
                }
                if self.detail.is_some() {
                    self.region = Region::Detail;
                }
            }
            _ => self.drill(),
        }
    }

    /// Opens everything about the flow, or closes it.
    fn describe(&mut self) {
        if !self.view.is_flows() {
            self.drill();
            return;
        }
        if self.detail.take().is_some() {
            self.region = Region::List;
            return;
        }
        match self.current() {
            // What is read must not run away.
            Some(_) => {
                self.follow = false;
                self.detail = Some(Detail::default());
            }
            None => self.tell("no flow is selected", true),
        }
    }

    /// The flows of the route, endpoint or connection under the cursor.
    fn drill(&mut self) {
        match self.row_filter() {
            Some(text) => match self.set_filter(&text) {
                Ok(()) => self.set_follow(true),
                Err(e) => self.tell(e, true),
            },
            None => self.tell("there is no row", true),
        }
    }

    fn filter_by_row(&mut self) {
        match self.row_filter() {
            Some(text) => {
                if let Err(e) = self.set_filter(&text) {
                    self.tell(e, true);
                }
            }
            None => self.tell("there is no row", true),
        }
    }

    fn invert(&mut self) {
        let Some((text, _)) = &self.filter else {
            self.tell("there is no filter to invert", true);
            return;
        };
        let new = match qd_proxy::telemetry::tilde::is_tilde(text) {
            true => format!("!({text})"),
            false => format!("-({text})"),
        };
        let new = text
            .strip_prefix("-(")
            .and_then(|t| t.strip_suffix(')'))
            .map_or(new, str::to_owned);
        if let Err(e) = self.set_filter(&new) {
            self.tell(e, true);
        }
    }

    /// One level out; whether there was one.
    fn out(&mut self) -> bool {
        if self.panel.take().is_some() {
            return true;
        }
        if self.region == Region::Detail || self.detail.is_some() {
            self.region = Region::List;
            self.detail = None;
            return true;
        }
        if self.filter.is_some() {
            return self.set_filter("").is_ok();
        }
        if self.view != View::Live {
            self.show(View::Live);
            return true;
        }
        false
    }

    /// The mouse was pressed at a place of the pane.
    pub(super) fn click(&mut self, col: u16, row: u16) {
        let (x, y) = (self.origin.0 + col, self.origin.1 + row);
        if y == self.origin.1
            && let Some((.., view)) = self.on_bar.iter().find(|(a, b, _)| (*a..*b).contains(&x))
        {
            self.show(*view);
            return;
        }
        if let Some((_, place)) = self.on_screen.iter().find(|(at, _)| *at == y) {
            let place = *place;
            self.region = Region::List;
            self.go_to_row(place);
        }
    }
}
