//! Drawing a proxy pane: the views' names, the rows, the flow under the cursor, and a line for what goes on.

use std::time::Duration;

use qd_core::EngineState;
use qd_frame::{Frame, Style};
use qd_proxy_content::escape;
use qd_tty::{Attrs, Cell, Rect};
use qd_ui::{Look, Role, fit};
use unicode_width::UnicodeWidthStr;

use super::{
    Panel, ProxyPane, Region, View,
    columns::Fitted,
    detail::Part,
    keys::HELP,
    rows::{self, Row},
};
use crate::{Cursor, Focus, PaneEvent, put_wrapped};

/// A line of pieces with their looks; no control characters in them.
pub(super) type Line = Vec<(String, Role)>;

/// Below this the pane says what it is and no more.
const SMALL: (u16, u16) = (20, 5);
/// From this width on a flow is shown beside the rows and not below them.
const BESIDE: u16 = 140;

/// A rate in at most five characters.
pub(super) fn rate(n: f64) -> String {
    match n {
        n if n < 0.05 => "0".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0}k", n / 1e3),
        n if n < 1e7 => format!("{:.1}M", n / 1e6),
        n if n < 1e9 => format!("{:.0}M", n / 1e6),
        n => format!("{:.1}G", n / 1e9),
    }
}

/// A count, exact as long as it fits seven characters.
pub(super) fn count(n: u64) -> String {
    match n {
        0..=9_999_999 => n.to_string(),
        _ => rate(n as f64),
    }
}

/// A duration in at most six characters.
pub(super) fn short(d: Duration) -> String {
    let us = d.as_secs_f64() * 1e6;
    match us {
        n if n < 1_000.0 => format!("{n:.0}us"),
        n if n < 10_000.0 => format!("{:.1}ms", n / 1e3),
        n if n < 1e6 => format!("{:.0}ms", n / 1e3),
        n if n < 1e7 => format!("{:.2}s", n / 1e6),
        n if n < 6e7 => format!("{:.1}s", n / 1e6),
        n => format!("{:.0}m", n / 6e7),
    }
}

fn bold(mut style: Style) -> Style {
    style.attrs |= Attrs::BOLD;
    style
}

fn wash(frame: &mut Frame, area: Rect, y: u16, look: &Look) {
    let wash = look.style(Role::Selection);
    frame.restyle(Rect::new(area.x, y, area.w, 1), |c| {
        c.bg = wash.bg;
        c.attrs |= wash.attrs & Attrs::STYLE;
    });
}

/// Puts pieces in a row; gives the column after them.
fn put_line(frame: &mut Frame, x: u16, y: u16, right: u16, line: &[(String, Role)], look: &Look) -> u16 {
    let mut x = x;
    for (text, role) in line {
        x += frame.put_str(x, y, right.saturating_sub(x), &look.text(text), look.style(*role));
    }
    x
}

impl ProxyPane {
    /// Draws everything; says where the caret stands.
    pub(super) fn paint(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        frame.fill(area, look.style(Role::Background).cell(Cell::BLANK.sym));
        self.on_screen.clear();
        self.on_bar.clear();
        self.retitle();
        let cursor = self.paint_parts(frame, area, look, focus);
        self.text = (area.y..area.bottom())
            .map(|y| {
                let row: String = frame
                    .text(y)
                    .chars()
                    .skip(usize::from(area.x))
                    .take(usize::from(area.w))
                    .collect();
                row.trim_end().to_owned()
            })
            .collect();
        cursor
    }

    /// Tells the session when the title or the hints are other ones.
    pub(super) fn retitle(&mut self) {
        let s = self.snapshot();
        let at: Vec<String> = s.listeners.iter().map(|l| l.address.clone()).collect();
        let from = if at.is_empty() {
            "proxy".to_owned()
        } else {
            format!("proxy \u{25b8} {}", at.join(", "))
        };
        let title = escape(&format!("{from} \u{25b8} {}", self.subject));
        // The hints are made anew with the title.
        let hinted = super::keys::hints(self);
        if title != self.titled || hinted != self.hinted {
            self.hinted = hinted;
            self.titled.clone_from(&title);
            self.events.push(PaneEvent::Title(title));
        }
    }

    fn paint_parts(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        if area.h == 0 || area.w == 0 {
            return None;
        }
        let state = self.handle.states().load();
        if let Some(f) = state.failure() {
            let again = match &*state {
                EngineState::BackingOff { .. } => "It is tried again by itself; r does it now.",
                _ => "r starts it again.",
            };
            let text = format!(
                "The proxy does not run.\n{}\n{again}",
                f.message.lines().map(escape).collect::<Vec<_>>().join("\n")
            );
            put_wrapped(frame, area, &look.text(&text), look.style(Role::TextError));
            return None;
        }
        if !state.is_running() {
            let words = match &*state {
                EngineState::Starting => "opening the listeners",
                EngineState::Stopped(_) => "the proxy has ended; r starts it again",
                _ => "nothing yet",
            };
            frame.put_str(area.x, area.y, area.w, words, look.style(Role::TextDim));
            return None;
        }
        if area.w < SMALL.0 || area.h < SMALL.1 {
            let words = self.numbers();
            frame.put_str(area.x, area.y, area.w, &look.text(&words), look.style(Role::Text));
            return None;
        }
        self.paint_bar(frame, area, look);
        let mut faults = self.fault_lines();
        faults.extend(self.hold_line());
        let extra = u16::try_from(faults.len()).unwrap_or(0).min(area.h / 4);
        let typing = u16::from(self.typing.is_some() && area.h > 7);
        let bottom = 1 + typing + extra;
        let room = Rect::new(area.x, area.y + 1, area.w, area.h.saturating_sub(1 + bottom));
        self.paint_room(frame, room, look);
        for (i, line) in faults.iter().take(usize::from(extra)).enumerate() {
            let y = room.bottom() + u16::try_from(i).unwrap_or(0);
            put_line(frame, area.x + 1, y, area.right(), line, look);
        }
        self.paint_bottom(frame, area, look, focus)
    }

    /// The names of the views and the numbers of now.
    fn paint_bar(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        let mut x = area.x;
        let wide = area.w >= 60;
        for (i, view) in View::ALL.into_iter().enumerate() {
            let here = self.view == view;
            let word = match (wide, here) {
                (true, _) | (_, true) => format!("{} {}", i + 1, view.word()),
                (false, false) => format!("{}", i + 1),
            };
            // Brackets say it without colours.
            let (word, style) = match here {
                true => (format!("[{word}]"), bold(look.style(Role::TextInfo))),
                false => (format!(" {word} "), look.style(Role::TextDim)),
            };
            let from = x;
            x += frame.put_str(x, area.y, area.right().saturating_sub(x), &word, style);
            self.on_bar.push((from, x, view));
        }
        let room = usize::from(area.right().saturating_sub(x + 1));
        let fitting = [self.numbers(), self.few_numbers()];
        if let Some(numbers) = fitting.iter().find(|n| n.width() <= room) {
            let w = u16::try_from(numbers.width()).unwrap_or(u16::MAX);
            let at = area.right() - w - 1;
            frame.put_str(at, area.y, w, numbers, look.style(Role::TextDim));
        }
    }

    /// The latency that a share of all requests did not pass.
    fn quantile(&self, share: f64) -> String {
        match self.snapshot().totals.quantile(share) {
            Some(u64::MAX) => ">60s".to_owned(),
            Some(us) => short(Duration::from_micros(us)),
            None => "-".to_owned(),
        }
    }

    /// The proxy in numbers.
    fn numbers(&self) -> String {
        let (half, most) = (self.quantile(0.5), self.quantile(0.99));
        format!("{}/s  p50 {half}  p99 {most}", rate(self.rate()))
    }

    /// In fewer.
    fn few_numbers(&self) -> String {
        format!("{}/s p99 {}", rate(self.rate()), self.quantile(0.99))
    }

    /// Faults that are injected: what, to whom, and how long still.
    fn fault_lines(&self) -> Vec<Line> {
        let s = self.snapshot();
        s.faults
            .iter()
            .map(|f| {
                let route = f.route.as_ref().map(|r| format!(" on {r}")).unwrap_or_default();
                vec![
                    (format!("fault {}: ", f.id), Role::TextError),
                    (
                        escape(&format!(
                            "{} to {:.0}%{route}, {} of {} met it, ends in {:.0} s",
                            f.action, f.percent, f.injected, f.matched, f.expires
                        )),
                        Role::TextWarn,
                    ),
                ]
            })
            .collect()
    }

    /// What holds flows, and how many are held.
    fn hold_line(&self) -> Option<Line> {
        let s = self.snapshot();
        if s.holds.is_empty() {
            return None;
        }
        let rules = match s.holds.len() {
            1 => "one rule holds flows".to_owned(),
            n => format!("{n} rules hold flows"),
        };
        let passed: u64 = s.holds.iter().map(|h| h.passed).sum();
        let mut words = format!("{} held now", s.held.len());
        if passed > 0 {
            words.push_str(&format!(", {} passed for want of room", count(passed)));
        }
        words.push_str(if s.held.is_empty() {
            "; a ends that"
        } else {
            "; H shows them"
        });
        Some(vec![(format!("{rules}: "), Role::TextWarn), (words, Role::Text)])
    }

    fn paint_room(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        match self.panel.clone() {
            Some(Panel::Menu(at)) => self.paint_menu(frame, area, look, at),
            Some(Panel::Held(at)) => self.paint_held(frame, area, look, at),
            Some(Panel::Help(from)) => {
                let line =
                    |(k, d): &(&str, &str)| vec![(format!("{k:<24} "), Role::TextInfo), ((*d).to_owned(), Role::Text)];
                let lines: Vec<Line> = HELP.iter().map(line).collect();
                self.paint_lines(frame, area, look, &lines, from, "keys");
            }
            Some(Panel::Diff(lines, from)) => self.paint_lines(frame, area, look, &lines, from, "the two marked flows"),
            None => {
                if self.detail.is_some() && self.current().is_none() {
                    // What was shown is no longer kept.
                    self.detail = None;
                    self.region = Region::List;
                }
                if self.detail.is_none() {
                    self.paint_list(frame, area, look);
                } else if area.w >= BESIDE {
                    let list = area.w * 45 / 100;
                    self.paint_list(frame, Rect::new(area.x, area.y, list, area.h), look);
                    let right = Rect::new(area.x + list + 1, area.y, area.w - list - 1, area.h);
                    self.paint_detail(frame, right, look);
                } else if area.h >= 12 {
                    let list = (area.h / 3).clamp(4, 12);
                    self.paint_list(frame, Rect::new(area.x, area.y, area.w, list), look);
                    let below = Rect::new(area.x, area.y + list, area.w, area.h - list);
                    self.paint_detail(frame, below, look);
                } else if self.region == Region::Detail {
                    self.paint_detail(frame, area, look);
                } else {
                    self.paint_list(frame, area, look);
                }
            }
        }
    }

    fn bar_line(&self, frame: &mut Frame, area: Rect, look: &Look, words: &str, here: bool) {
        let head = look.style(Role::BarText);
        frame.fill(Rect::new(area.x, area.y, area.w, 1), head.cell(Cell::BLANK.sym));
        let mark = if here { look.marks().pointer } else { " " };
        let x = area.x + frame.put_str(area.x, area.y, area.w, mark, head);
        let words = fit(words, usize::from(area.w.saturating_sub(2)), look.marks().ellipsis);
        frame.put_str(x, area.y, area.w.saturating_sub(1), &look.text(&words), head);
    }

    fn paint_lines(&mut self, frame: &mut Frame, area: Rect, look: &Look, lines: &[Line], from: usize, words: &str) {
        if area.h == 0 {
            return;
        }
        self.bar_line(frame, area, look, &format!("{words} \u{b7} Esc closes"), true);
        let room = usize::from(area.h - 1);
        self.page = room;
        let from = from.min(lines.len().saturating_sub(room));
        if let Some(Panel::Help(at) | Panel::Diff(_, at)) = &mut self.panel {
            *at = from;
        }
        for (i, line) in lines.iter().skip(from).take(room).enumerate() {
            let y = area.y + 1 + u16::try_from(i).unwrap_or(0);
            put_line(frame, area.x + 1, y, area.right(), line, look);
        }
    }

    fn paint_menu(&mut self, frame: &mut Frame, area: Rect, look: &Look, at: usize) {
        if area.h == 0 {
            return;
        }
        self.bar_line(frame, area, look, "actions \u{b7} Enter does it, Esc closes", true);
        let all = self.menu_rows();
        let widest = all.iter().map(|(w, ..)| w.width()).max().unwrap_or(0) + 2;
        let widest = u16::try_from(widest).unwrap_or(u16::MAX);
        let room = usize::from(area.h - 1).max(1);
        self.page = room;
        let from = at.saturating_sub(room - 1);
        for (i, (words, key, off)) in all.iter().enumerate().skip(from).take(room) {
            let y = area.y + 1 + u16::try_from(i - from).unwrap_or(0);
            if y >= area.bottom() {
                break;
            }
            let role = if *off { Role::TextDim } else { Role::Text };
            frame.put_str(
                area.x + 2,
                y,
                widest.min(area.w / 2).saturating_sub(1),
                words,
                look.style(role),
            );
            let x = area.x + 2 + widest.min(area.w / 2);
            let role = if *off { Role::TextDim } else { Role::TextInfo };
            frame.put_str(
                x,
                y,
                area.right().saturating_sub(x),
                &look.text(&escape(key)),
                look.style(role),
            );
            if i == at {
                frame.put_str(area.x, y, 1, look.marks().pointer, look.style(Role::TextInfo));
                wash(frame, area, y, look);
            }
        }
    }

    fn paint_held(&mut self, frame: &mut Frame, area: Rect, look: &Look, at: usize) {
        if area.h == 0 {
            return;
        }
        let words = "held \u{b7} Enter lets it go on, e edits it, D kills it, Esc closes";
        self.bar_line(frame, area, look, words, true);
        let lines = self.held_lines();
        let at = at.min(lines.len().saturating_sub(1));
        self.panel = Some(Panel::Held(at));
        let room = usize::from(area.h - 1);
        self.page = room;
        if lines.is_empty() {
            let words = "nothing is held now";
            frame.put_str(
                area.x + 2,
                area.y + 1,
                area.w.saturating_sub(2),
                words,
                look.style(Role::TextDim),
            );
        }
        let from = (at + 1).saturating_sub(room.max(1));
        for (i, line) in lines.iter().enumerate().skip(from).take(room) {
            let y = area.y + 1 + u16::try_from(i - from).unwrap_or(0);
            put_line(frame, area.x + 2, y, area.right(), line, look);
            if i == at {
                frame.put_str(area.x, y, 1, look.marks().pointer, look.style(Role::TextInfo));
                wash(frame, area, y, look);
            }
        }
    }

    fn paint_detail(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        if area.h == 0 {
            return;
        }
        let Some(seen) = self.current() else { return };
        let here = self.region == Region::Detail;
        let part = self.detail.map(|d| d.part).unwrap_or_default();
        self.bar_line(frame, area, look, "", here);
        let head = look.style(Role::BarText);
        let mut x = area.x + 1;
        for p in Part::ALL {
            let (word, style) = match p == part {
                true => (format!("[{}]", p.word()), bold(head)),
                false => (format!(" {} ", p.word()), head),
            };
            x += frame.put_str(x, area.y, area.right().saturating_sub(x), &word, style);
        }
        let words = format!(" {} {}", seen.told.method, seen.told.url());
        let words = escape(&words);
        let words = fit(
            &words,
            usize::from(area.right().saturating_sub(x + 1)),
            look.marks().ellipsis,
        );
        frame.put_str(x, area.y, area.right().saturating_sub(x), &look.text(&words), head);
        let inner = Rect::new(area.x + 1, area.y + 1, area.w.saturating_sub(2), area.h - 1);
        let block = if look.glyphs() == qd_ui::Glyphs::Ascii {
            "#"
        } else {
            "\u{2588}"
        };
        self.lay_detail(inner.w, block);
        let room = usize::from(inner.h);
        let Some(laid) = &self.laid else { return };
        let len = laid.lines.len();
        if let Some(d) = &mut self.detail {
            d.from = d.from.min(len.saturating_sub(room));
        }
        if here {
            self.page = room;
        }
        let from = self.detail.map_or(0, |d| d.from);
        for (i, line) in laid.lines.iter().skip(from).take(room).enumerate() {
            let y = inner.y + u16::try_from(i).unwrap_or(0);
            put_line(frame, inner.x, y, inner.right(), line, look);
        }
        if from + room < len {
            let words = format!(" {} more ", len - from - room);
            let w = u16::try_from(words.width()).unwrap_or(0);
            let at = area.right().saturating_sub(w + 1);
            frame.put_str(at, area.bottom() - 1, w, &words, look.style(Role::TextDim));
        }
    }

    /// Why there are no rows.
    fn empty_words(&self) -> String {
        let s = self.snapshot();
        let at = s.listeners.first().map(|l| l.address.clone()).unwrap_or_default();
        match self.view {
            View::Live | View::Errors if self.filter.is_some() => {
                let all = self.book.look(|k| {
                    if self.view == View::Live {
                        k.flows.len()
                    } else {
                        k.errors.len()
                    }
                });
                format!("0 of {all} pass the filter \u{b7} Esc clears it")
            }
            View::Live => match at.strip_prefix("unix:") {
                Some(path) => format!("no request yet \u{b7} try: curl --unix-socket {path} http://x/"),
                None => format!("no request yet \u{b7} try: curl http://{at}/"),
            },
            View::Errors => "nothing has gone wrong".to_owned(),
            View::Routes => "no request has taken a route yet".to_owned(),
            View::Endpoints => "there is no endpoint: a forward proxy goes where it is asked to".to_owned(),
            View::Connections => format!("no connection is open \u{b7} {at} takes them"),
        }
    }

    fn paint_list(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        if area.h < 2 {
            return;
        }
        let others = self.rows();
        let (len, at) = self.extent(&others);
        let room = usize::from(area.h - 1);
        if self.region == Region::List {
            self.page = room;
        }
        let place = self.view.place();
        let top = self.top.get(place).copied().unwrap_or(0);
        let top = top
            .min(len.saturating_sub(room))
            .min(at)
            .max((at + 1).saturating_sub(room));
        if let Some(slot) = self.top.get_mut(place) {
            *slot = top;
        }
        let shown: Vec<Row> = match self.view {
            View::Live => self
                .shown
                .iter()
                .skip(top)
                .take(room)
                .map(|s| rows::flow(s, View::Live))
                .collect(),
            View::Errors => self
                .errors
                .iter()
                .skip(top)
                .take(room)
                .map(|s| rows::flow(s, View::Errors))
                .collect(),
            _ => others.into_iter().skip(top).take(room).collect(),
        };
        let columns = Fitted::new(rows::columns(self.view), area.w);
        let head = bold(look.style(Role::TextDim));
        columns.put(frame, area, area.y, look, &mut |c| (c.head.to_owned(), head));
        if len == 0 {
            let words = self.empty_words();
            frame.put_str(
                area.x + 2,
                area.y + 1,
                area.w.saturating_sub(2),
                &look.text(&words),
                look.style(Role::TextDim),
            );
            return;
        }
        for (i, row) in shown.iter().enumerate() {
            let y = area.y + 1 + u16::try_from(i).unwrap_or(0);
            columns.put_cells(frame, area, y, look, row);
            if row.marked {
                frame.put_str(area.x + 1, y, 1, look.marks().marked, look.style(Role::ListMarked));
            }
            if top + i == at {
                frame.put_str(area.x, y, 1, look.marks().pointer, look.style(Role::TextInfo));
                if self.region == Region::List {
                    wash(frame, area, y, look);
                }
            }
            self.on_screen.push((y, top + i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.3, 12.4, 9_999.4, 10_000.0, 1_234_567.0, 12_345_678.0, 3e9];
        assert_eq!(all.map(rate), ["0", "0.3", "12", "9999", "10k", "1.2M", "12M", "3.0G"]);
        assert_eq!(count(9_999_999), "9999999");
        let us = |n| short(Duration::from_micros(n));
        assert_eq!(
            [
                us(12),
                us(1_500),
                us(45_000),
                us(1_250_000),
                us(25_000_000),
                us(180_000_000)
            ],
            ["12us", "1.5ms", "45ms", "1.25s", "25.0s", "3m"]
        );
    }
}
