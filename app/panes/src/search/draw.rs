//! Drawing a search pane: the query and its switches, the list, what stands beside it, the numbers.

use qd_frame::{Frame, Style};
use qd_search_live::{
    Case, Field as Wrong, Kind,
    engine::{State, View},
    look::Row,
};
use qd_tty::{CursorShape, LinkId, Rect};
use qd_ui::{Look, Role};
use unicode_width::UnicodeWidthStr;

use super::{Ask, Region, SearchPane, WIDE, query::Field};
use crate::{Cursor, Focus, Pane};

/// Below this the pane says what it is and no more.
const SMALL: (u16, u16) = (20, 4);
/// Links to files that a pane makes: the terminal's table of them has an end.
const LINKS: usize = 2000;
/// Columns of a tab stop.
const TAB: usize = 4;

/// A number with its thousands apart.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in a few characters.
fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n < 1e3 => format!("{n:.0} B"),
        n if n < 1e6 => format!("{:.0} kB", n / 1e3),
        n if n < 1e9 => format!("{:.0} MB", n / 1e6),
        n => format!("{:.1} GB", n / 1e9),
    }
}

/// Text as it stands on a screen: tabs are blanks, other control characters are seen.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut col = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let n = TAB - col % TAB;
                out.extend(std::iter::repeat_n(' ', n));
                col += n;
            }
            c if c.is_control() => {
                out.push('\u{b7}');
                col += 1;
            }
            c => {
                out.push(c);
                col += 1;
            }
        }
    }
    out
}

/// The part of a path as a URI has it.
fn file_uri(path: &std::path::Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    if !path.is_absolute() {
        return None;
    }
    let mut out = String::from("file://");
    for b in path.as_os_str().as_bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    Some(out)
}

/// One row of the screen, written from left to right.
pub(super) struct Line<'f> {
    frame: &'f mut Frame,
    x: u16,
    y: u16,
    end: u16,
}

impl<'f> Line<'f> {
    pub(super) fn new(frame: &'f mut Frame, area: Rect, y: u16) -> Self {
        Self {
            frame,
            x: area.x,
            y,
            end: area.right(),
        }
    }

    pub(super) fn put(&mut self, text: &str, style: Style) {
        let room = self.end.saturating_sub(self.x);
        self.x += self.frame.put_str(self.x, self.y, room, text, style);
    }
}

impl SearchPane {
    /// Draws everything; says where the caret stands.
    pub(super) fn paint(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus, v: &View) -> Cursor {
        frame.fill(area, look.blank(Role::Background));
        self.shown.clear();
        let cursor = self.paint_parts(frame, area, look, focus, v);
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

    fn paint_parts(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus, v: &View) -> Cursor {
        if area.is_empty() {
            return None;
        }
        self.size = area.size();
        if area.w < SMALL.0 || area.h < SMALL.1 {
            frame.put_str(area.x, area.y, area.w, &self.title, look.style(Role::Text));
            return None;
        }
        let state = self.handle.states().load();
        if let Some(f) = state.failure() {
            let text = format!("The search failed: {}\nr starts it again.", f.message);
            crate::put_wrapped(frame, area, &text, look.style(Role::TextError));
            return None;
        }
        self.offer_preview();
        let caret = self.paint_query(frame, area, look, v);
        let body = Rect::new(area.x, area.y + 2, area.w, area.h - 3);
        let bottom = Rect::new(area.x, area.bottom() - 1, area.w, 1);
        let (list, beside) = self.split(body);
        self.height = list.h;
        if self.replacing.is_some() {
            self.height = body.h;
            self.paint_plan(frame, body, look);
        } else if self.panel.is_some() {
            self.height = body.h;
            self.paint_panel(frame, body, look);
        } else {
            self.ask_page();
            self.paint_list(frame, list, look, v, area.y);
            if let Some(r) = beside {
                self.ask_preview();
                self.paint_preview(frame, r, look, v, r.x > list.x);
            }
        }
        let asked = self.paint_bottom(frame, bottom, look, v);
        if focus == Focus::Unfocused {
            return None;
        }
        asked.or(caret.filter(|_| self.prompts()))
    }

    /// The room of the list, and that of the preview.
    fn split(&self, body: Rect) -> (Rect, Option<Rect>) {
        if self.preview.is_none() || body.h < 4 {
            return (body, None);
        }
        if body.w >= WIDE {
            let w = body.w / 2;
            let left = Rect::new(body.x, body.y, body.w - w, body.h);
            (left, Some(Rect::new(left.right(), body.y, w, body.h)))
        } else if body.h >= 10 {
            let h = body.h / 2;
            let above = Rect::new(body.x, body.y, body.w, body.h - h);
            (above, Some(Rect::new(body.x, above.bottom(), body.w, h)))
        } else {
            (body, None)
        }
    }

    /// The query in the first row; its switches, or what is wrong with it, in the second.
    fn paint_query(&mut self, frame: &mut Frame, area: Rect, look: &Look, v: &View) -> Cursor {
        let label = "search: ";
        let mut caret = None;
        let mut line = Line::new(frame, area, area.y);
        line.put(label, look.on(Role::InputPrompt, Role::Background));
        let room = usize::from(line.end.saturating_sub(line.x));
        let [text, globs, types] = &self.fields;
        let (seen, start, col) = text.view(room);
        let from = line.x;
        if self.region == Region::Query && self.field == Field::Text {
            caret = Some((from + u16::try_from(col).unwrap_or(0), area.y, CursorShape::SteadyBar));
        }
        line.put(&seen, look.style(Role::Text));
        if text.text().is_empty() {
            line.put("what to search for", look.style(Role::TextDim));
        }
        let y = area.y + 1;
        if let Some(e) = v.error.as_ref().filter(|e| e.field == Wrong::Text) {
            let before = text.text().get(start..e.span.start.max(start)).unwrap_or_default();
            let x = from
                + u16::try_from(before.width())
                    .unwrap_or(0)
                    .min(area.w.saturating_sub(10));
            let wide = text.text().get(e.span.clone()).map_or(1, str::width).max(1);
            let marks = "^".repeat(wide.min(usize::from(area.w) / 2));
            let style = look.on(Role::InputError, Role::Background);
            let words = format!(" {}", e.message);
            let needs = u16::try_from(marks.width() + words.width()).unwrap_or(u16::MAX);
            if x.saturating_add(needs) <= area.right() {
                frame.put_str(x, y, area.right() - x, &format!("{marks}{words}"), style);
            } else {
                // There is no room at the right: the words stand before the place.
                frame.put_str(area.x, y, area.w, &e.message, style);
                frame.put_str(x, y, area.right().saturating_sub(x), &marks, style);
            }
            return caret;
        }
        let mut line = Line::new(frame, area, y);
        let chip = |line: &mut Line<'_>, on: bool, text: &str| {
            let style = if on {
                look.on(Role::PopupButton, Role::PopupButton)
            } else {
                look.style(Role::TextDim)
            };
            // What is on differs without colour, too.
            let text = if on { format!("[{text}]") } else { format!(" {text} ") };
            line.put(&text, style);
            line.put(" ", look.style(Role::Text));
        };
        let q = &self.query;
        chip(&mut line, q.regex, "regex");
        chip(&mut line, q.word, "word");
        chip(&mut line, q.case != Case::Smart, &format!("case:{}", q.case.word()));
        chip(&mut line, q.hidden, "hidden");
        for (field, name, edit, wrong) in [
            (Field::Globs, "globs: ", globs, Wrong::Globs),
            (Field::Types, "types: ", types, Wrong::Types),
        ] {
            let bad = v.error.as_ref().filter(|e| e.field == wrong);
            let here = self.region == Region::Query && self.field == field;
            let label = if here { Role::InputPrompt } else { Role::TextDim };
            line.put(name, look.on(label, Role::Background));
            let room = usize::from(line.end.saturating_sub(line.x)).min(if here { 40 } else { 20 });
            let (seen, _, col) = edit.view(room);
            if here {
                caret = Some((line.x + u16::try_from(col).unwrap_or(0), y, CursorShape::SteadyBar));
            }
            let role = if bad.is_some() { Role::InputError } else { Role::Text };
            let seen = if edit.text().is_empty() && !here {
                "any".into()
            } else {
                seen
            };
            line.put(&seen, look.on(role, Role::Background));
            if let Some(e) = bad {
                line.put(&format!(" {}", e.message), look.style(Role::TextError));
            }
            line.put("  ", look.style(Role::Text));
        }
        caret
    }

    fn paint_list(&mut self, frame: &mut Frame, area: Rect, look: &Look, v: &View, origin: u16) {
        let empty = |frame: &mut Frame, text: &str| {
            frame.put_str(area.x, area.y, area.w, text, look.style(Role::TextDim));
        };
        if v.query.text.is_empty() {
            let words = match self.role {
                super::Role::Pane => "Type to search the files of this directory. ? in the list shows the keys.",
                super::Role::Picker => "Type to search files, scrollback, open logs and shell history.",
            };
            empty(frame, words);
            return;
        }
        if v.totals.lines == 0 {
            match v.state {
                State::Running => empty(frame, &format!("searching, {:.1} s", v.elapsed.as_secs_f64())),
                State::Cancelled => empty(frame, "stopped before anything was found \u{b7} r searches again"),
                State::Idle | State::Done => empty(
                    frame,
                    &format!(
                        "nothing found in {} files \u{b7} Alt-h searches hidden ones too",
                        grouped(v.files)
                    ),
                ),
            }
            return;
        }
        let Some(page) = &v.page else { return };
        // What is asked for may be on its way; then what is wanted is often among the rows of before.
        let height = usize::from(area.h);
        let top = page.rows.iter().position(|r| r.place() == self.top).unwrap_or(0);
        // The selected row is in view: with context it may be further down than there are rows.
        let at = self.row_of(page).map_or(top, |(i, _)| i);
        let first = if at >= top + height { at + 1 - height } else { top };
        let rows = page.rows.get(first..).unwrap_or_default();
        self.paint_rows(frame, area, look, v, rows, origin);
    }

    fn paint_rows(&mut self, frame: &mut Frame, area: Rect, look: &Look, v: &View, rows: &[Row], origin: u16) {
        let widest = rows
            .iter()
            .map(|r| match r {
                Row::Line { entry, .. } | Row::Gone { entry, .. } => entry.line,
                Row::Context { line, .. } => *line,
                Row::Heading { .. } | Row::Gap => 0,
            })
            .max()
            .unwrap_or(0);
        let digits = widest.to_string().len().max(3);
        for (i, row) in rows.iter().take(usize::from(area.h)).enumerate() {
            let y = area.y + u16::try_from(i).unwrap_or(0);
            let place = row.place();
            let here = place.is_some() && place == self.at;
            if let Some(p) = place {
                self.shown.push((y - origin, p));
            }
            let under = if here { Role::ListSelected } else { Role::Background };
            if here {
                let r = Rect::new(area.x, y, area.w, 1);
                frame.fill(r, look.blank(Role::ListSelected));
            }
            let mut line = Line::new(frame, area, y);
            let marked = place.is_some_and(|p| self.marked.contains_key(&p));
            let sign = match (here, marked) {
                (_, true) => look.marks().marked,
                (true, false) => look.marks().pointer,
                (false, false) => " ",
            };
            line.put(sign, look.on(if marked { Role::ListMarked } else { Role::Text }, under));
            let number = |n: u64| format!("{n:>digits$}");
            match row {
                Row::Heading { group, title, folded } => {
                    let source = v.sources.get(usize::from(group.source));
                    let mut style = look.on(Role::TextInfo, under);
                    if let Some(uri) = source.and_then(|s| s.path(&group.name)).and_then(|p| file_uri(&p))
                        && (self.links.len() < LINKS || self.links.contains(&(v.number, group.id)))
                    {
                        style.link = LinkId::from_uri(&uri);
                        self.links.insert((v.number, group.id));
                    }
                    if let Some(kind) = source.map(|s| s.kind()).filter(|k| *k != Kind::Files) {
                        line.put(&format!("{}: ", kind.word()), look.on(Role::TextDim, under));
                    }
                    line.put(&visible(title), style);
                    let hidden = if *folded { " +" } else { "" };
                    line.put(
                        &format!("  {}{hidden}", grouped(group.matches)),
                        look.on(Role::TextDim, under),
                    );
                }
                Row::Line {
                    entry,
                    text,
                    cut,
                    marks,
                    ..
                } => {
                    line.put(&format!("{} ", number(entry.line)), look.on(Role::TextOk, under));
                    if *cut {
                        line.put(look.marks().more_left, look.on(Role::TextDim, under));
                    }
                    let mut at = 0;
                    for m in marks {
                        line.put(
                            &visible(text.get(at..m.start).unwrap_or_default()),
                            look.on(Role::Text, under),
                        );
                        line.put(
                            &visible(text.get(m.clone()).unwrap_or_default()),
                            look.style(Role::SearchMatch),
                        );
                        at = m.end;
                    }
                    line.put(&visible(text.get(at..).unwrap_or_default()), look.on(Role::Text, under));
                    if marks.is_empty() {
                        line.put("  (changed since)", look.on(Role::TextWarn, under));
                    }
                }
                Row::Context { line: n, text, .. } => {
                    let dim = look.on(Role::TextDim, under);
                    line.put(&format!("{} {}", number(*n), visible(text)), dim);
                }
                Row::Gap => line.put(
                    &format!("{} \u{22ef}", " ".repeat(digits)),
                    look.on(Role::TextDim, under),
                ),
                Row::Gone { entry, why, .. } => {
                    line.put(&format!("{} ", number(entry.line)), look.on(Role::TextDim, under));
                    line.put(why, look.on(Role::TextError, under));
                }
            }
        }
    }

    /// The last row: a question, what happened last, or the numbers.
    fn paint_bottom(&mut self, frame: &mut Frame, area: Rect, look: &Look, v: &View) -> Cursor {
        let mut line = Line::new(frame, area, area.y);
        if let Some((ask, edit)) = &self.typing {
            let label = match ask {
                Ask::Template if self.query.regex => "replace by ($1, $name are groups): ".to_owned(),
                Ask::Template => "replace by: ".to_owned(),
                Ask::Name => "name of this search: ".to_owned(),
                Ask::Sure => self.sure(),
            };
            line.put(&label, look.on(Role::InputPrompt, Role::Background));
            let room = usize::from(line.end.saturating_sub(line.x));
            let (seen, _, col) = edit.view(room);
            let caret = (line.x + u16::try_from(col).unwrap_or(0), area.y, CursorShape::SteadyBar);
            line.put(&seen, look.style(Role::Text));
            return Some(caret);
        }
        if let Some((text, bad)) = &self.note {
            let role = if *bad { Role::TextError } else { Role::TextOk };
            line.put(text, look.style(role));
            return None;
        }
        if let Some(r) = &self.replacing {
            let (n, files) = r.wanted();
            let skipped = match r.plan.skipped.len() {
                0 => String::new(),
                n => format!(", {n} files cannot be changed"),
            };
            let text =
                format!("{n} lines in {files} files would change{skipped} \u{b7} Enter replaces, Space leaves one out");
            line.put(&text, look.style(Role::TextWarn));
            return None;
        }
        if v.query.text.is_empty() {
            return None;
        }
        let t = v.totals;
        let seconds = v.elapsed.as_secs_f64();
        let rate = if seconds > 0.05 { v.bytes as f64 / seconds } else { 0.0 };
        let mut text = format!(
            "{} in {} of {} files, {}, {seconds:.2} s",
            grouped(t.matches),
            grouped(t.groups),
            grouped(v.files),
            bytes(v.bytes),
        );
        if rate > 0.0 {
            text.push_str(&format!(", {}/s", bytes(rate as u64)));
        }
        if v.query != self.query {
            // What was typed last has no list yet, or cannot have one.
            line.put("the query before: ", look.style(Role::TextWarn));
        }
        line.put(&text, look.style(Role::TextDim));
        if t.unlisted > 0 {
            let text = format!("  {} lines are not listed", grouped(t.unlisted));
            line.put(&text, look.style(Role::TextWarn));
        }
        if v.fault_count > 0 {
            let text = format!("  {} not searched (l)", grouped(v.fault_count));
            line.put(&text, look.style(Role::TextWarn));
        }
        if v.state == State::Running {
            line.put("  Esc stops", look.style(Role::TextInfo));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_uris() {
        assert_eq!(
            file_uri(std::path::Path::new("/a b/\u{e4}")).unwrap(),
            "file:///a%20b/%C3%A4"
        );
        assert_eq!(file_uri(std::path::Path::new("a")), None);
    }

    #[test]
    fn control_characters_are_seen_and_not_obeyed() {
        assert_eq!(visible("a\tb\u{1b}[31m"), "a   b\u{b7}[31m");
    }
}
