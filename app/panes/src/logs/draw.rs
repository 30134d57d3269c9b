//! Drawing the lines of a log pane. Nothing of a line reaches the screen but through `sanitize`.

use jiff::tz::TimeZone;
use qd_core::{Severity, Timestamp};
use qd_frame::{Frame, Style};
use qd_logs_view::{Colour, Piece, Row, Screen, plain, sanitize};
use qd_tty::{Attrs, Cell, Color, Rect};
use qd_ui::{Look, Role, fit};
use unicode_width::UnicodeWidthStr;

use super::{
    LogPane, Times, now,
    text::{from_column, marked, relative, shown},
};
use crate::{Cursor, Focus};

/// Below this the pane says what it is and no more.
const SMALL: (u16, u16) = (18, 3);
/// The widest a column is.
const COLUMN: usize = 40;

/// The colours that tell sources apart: the palette's own, without black and white.
const SOURCES: [u8; 12] = [6, 5, 3, 4, 2, 1, 14, 13, 11, 12, 10, 9];

/// How a line of a level looks.
fn role(level: Option<Severity>) -> Role {
    match level {
        None | Some(Severity::Info) => Role::LogInfo,
        Some(Severity::Trace) => Role::LogTrace,
        Some(Severity::Debug) => Role::LogDebug,
        Some(Severity::Warn) => Role::LogWarn,
        Some(Severity::Error | Severity::Fatal) => Role::LogError,
    }
}

/// A level as a letter, so that it does not rest on colour.
fn letter(level: Option<Severity>) -> &'static str {
    match level {
        None => " ",
        Some(Severity::Trace) => "T",
        Some(Severity::Debug) => "D",
        Some(Severity::Info) => "I",
        Some(Severity::Warn) => "W",
        Some(Severity::Error) => "E",
        Some(Severity::Fatal) => "F",
    }
}

fn color(c: Colour) -> Color {
    match c {
        Colour::Indexed(i) => Color::indexed(i),
        Colour::Rgb(r, g, b) => Color::rgb(r, g, b),
    }
}

/// A piece's own colours over the line's style.
fn styled(piece: &Piece, base: Style, look: &Look) -> Style {
    let mut s = base;
    if piece.escaped {
        s.attrs |= Attrs::REVERSE;
        return s;
    }
    if look.depth() != qd_frame::ColorDepth::Mono {
        if let Some(c) = piece.style.fg {
            s.fg = color(c);
        }
        if let Some(c) = piece.style.bg {
            s.bg = color(c);
        }
    }
    for (on, attr) in [
        (piece.style.bold, Attrs::BOLD),
        (piece.style.dim, Attrs::DIM),
        (piece.style.italic, Attrs::ITALIC),
        (piece.style.reverse, Attrs::REVERSE),
        (piece.style.strike, Attrs::STRIKE),
    ] {
        if on {
            s.attrs |= attr;
        }
    }
    s
}

/// A stretch of a row with one look.
struct Part {
    text: String,
    style: Style,
}

/// What all rows of a drawing share.
struct Page<'a> {
    look: &'a Look,
    many: bool,
    marks: bool,
    /// The time that others are shown as distances from.
    reference: Option<Timestamp>,
    zone: TimeZone,
}

impl LogPane {
    /// Draws everything; says where the caret of the prompt stands.
    pub(super) fn paint(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        self.size = area.size();
        frame.fill(area, look.style(Role::Background).cell(Cell::BLANK.sym));
        self.shown.clear();
        self.text.clear();
        if area.h == 0 || area.w == 0 {
            return None;
        }
        let cursor = if area.w < SMALL.0 || area.h < SMALL.1 {
            self.paint_small(frame, area, look);
            None
        } else {
            self.paint_parts(frame, area, look, focus)
        };
        for y in area.y..area.bottom() {
            let row: String = frame
                .text(y)
                .chars()
                .skip(usize::from(area.x))
                .take(usize::from(area.w))
                .collect();
            self.text.push(row.trim_end().to_owned());
        }
        cursor.filter(|_| focus == Focus::Focused)
    }

    /// The title and the state, where there is room for no more.
    fn paint_small(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        // The place goes on with what is shown, so that it is right when there is room again.
        let _ = self.screen();
        let lines = [crate::Pane::status(self), self.title.clone()];
        for (y, line) in (area.y..area.bottom()).zip(lines) {
            let line = fit(&line, usize::from(area.w), look.marks().ellipsis).into_owned();
            frame.put_str(area.x, y, area.w, &look.text(&line), look.style(Role::Text));
        }
    }

    fn paint_parts(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        let parts = self.areas();
        let at = |r: Rect| Rect::new(area.x + r.x, area.y + r.y, r.w, r.h);
        let screen = self.screen();
        if parts.strip.h > 0 {
            self.paint_strip(frame, at(parts.strip), look);
        }
        match &screen {
            Ok(s) => {
                self.measure(s);
                self.paint_header(frame, at(parts.header), look);
                self.paint_lines(frame, at(parts.lines), look, focus, s);
                // For the mouse, places are counted from the pane's own corner.
                for (y, _) in &mut self.shown {
                    *y += parts.lines.y;
                }
            }
            Err(e) => {
                crate::put_wrapped(
                    frame,
                    at(parts.lines),
                    &plain(&e.to_string()),
                    look.style(Role::TextError),
                );
            }
        }
        if parts.panel.h > 0 {
            self.paint_panel(frame, at(parts.panel), look);
        }
        let cursor = self.paint_bottom(frame, at(parts.bottom), look, screen.as_ref().ok());
        if self.typing.is_some() {
            self.paint_words(frame, area, look);
        }
        cursor
    }

    /// Why there is nothing to see.
    fn emptiness(&self, screen: &Screen) -> String {
        let s = self.snapshot();
        if s.sources.is_empty() {
            return "Nothing is open. o opens a log, r the same again.".to_owned();
        }
        if !s.indexed {
            return format!("Reading: {:.0} % of it is indexed.", s.progress * 100.0);
        }
        let ends: Vec<String> = s.sources.iter().filter_map(super::open::ending).collect();
        if s.lines == 0 && !ends.is_empty() {
            return format!("{}\nr opens it again.", plain(&ends.join("; ")));
        }
        if s.lines == 0 {
            return "There are no lines yet.".to_owned();
        }
        if screen.pending || !s.filtered {
            let looked = s.filters.iter().filter(|f| f.enabled).map(|f| f.evaluated).min();
            let share = looked.map_or(0.0, |n| n as f64 * 100.0 / s.lines.max(1) as f64);
            return format!(
                "Nothing passes the filters so far: {share:.0} % of {} lines are looked at.",
                super::grouped(s.lines)
            );
        }
        format!(
            "0 of {} lines pass the filters. Esc clears the last one, F lists them.",
            super::grouped(s.lines)
        )
    }

    /// Widens columns to what is shown in them.
    fn measure(&mut self, screen: &Screen) {
        if self.columns.is_empty() {
            return;
        }
        let mut columns = std::mem::take(&mut self.columns);
        for row in &screen.rows {
            let text = row.text();
            let parsed = row.parse(&text);
            for c in &mut columns {
                let value = parsed.get(&c.name).map_or(0, |v| plain(&shown(v)).width());
                c.width = c.width.max(value).max(c.name.width()).min(COLUMN);
            }
        }
        self.columns = columns;
    }

    fn paint_header(&self, frame: &mut Frame, area: Rect, look: &Look) {
        if area.h == 0 {
            return;
        }
        let head = look.style(Role::BarText);
        frame.fill(area, head.cell(Cell::BLANK.sym));
        let many = self.snapshot().sources.len() > 1;
        let mut x = area.x + u16::try_from(self.prefix_width(many)).unwrap_or(0);
        for (i, c) in self.columns.iter().enumerate() {
            let mut style = head;
            if i == self.cell {
                style.attrs |= Attrs::REVERSE;
            }
            let name = fit(&plain(&c.name), c.width, look.marks().ellipsis).into_owned();
            frame.put_str(x, area.y, area.right().saturating_sub(x), &look.text(&name), style);
            x = x.saturating_add(u16::try_from(c.width + 1).unwrap_or(u16::MAX));
        }
    }

    fn paint_lines(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus, screen: &Screen) {
        if area.h == 0 {
            return;
        }
        if screen.rows.is_empty() {
            crate::put_wrapped(frame, area, &self.emptiness(screen), look.style(Role::TextDim));
            return;
        }
        let bar = area.w > 2;
        let selected = screen.rows.get(screen.at.min(screen.rows.len() - 1)).map(|r| r.pos);
        let selected = if self.follow { self.cursor } else { selected };
        let page = Page {
            look,
            many: self.snapshot().sources.len() > 1,
            marks: self.has_signs(),
            reference: screen
                .rows
                .iter()
                .find(|r| Some(r.pos) == selected)
                .and_then(|r| r.time),
            zone: now().zone,
        };
        let body = Rect::new(area.x, area.y, area.w - u16::from(bar), area.h);
        // With wrapped lines the rows before the selected one may take more room than there is: begin so that it is seen.
        let heights: Vec<u16> = screen
            .rows
            .iter()
            .map(|r| self.row_height(r, body.w, page.many))
            .collect();
        let at = screen.rows.iter().position(|r| Some(r.pos) == selected).unwrap_or(0);
        let mut first = 0;
        let upto = |first: usize| {
            heights
                .get(first..=at)
                .map_or(0, |h| h.iter().map(|h| u32::from(*h)).sum::<u32>())
        };
        while first < at && upto(first) > u32::from(body.h) {
            first += 1;
        }
        let mut y = body.y;
        for row in screen.rows.iter().skip(first) {
            if y >= body.bottom() {
                break;
            }
            let is_selected = Some(row.pos) == selected;
            self.shown.push((y - area.y, row.pos));
            let rest = Rect::new(body.x, y, body.w, body.bottom() - y);
            let used = self.paint_row(frame, rest, row, &page, is_selected);
            if is_selected && focus == Focus::Focused && !self.follow {
                let wash = look.style(Role::Selection);
                // What the search found keeps its own look.
                let find = look.style(Role::SearchCurrent);
                let finds = self.search.is_some();
                frame.restyle(Rect::new(body.x, y, body.w, used), |c| {
                    if finds && (c.fg, c.bg, c.attrs & Attrs::STYLE) == (find.fg, find.bg, find.attrs & Attrs::STYLE) {
                        return;
                    }
                    c.bg = wash.bg;
                    c.attrs |= wash.attrs & Attrs::STYLE;
                });
            }
            y += used;
        }
        if screen.pending && y < body.bottom() {
            frame.put_str(body.x, y, body.w, "reading on", look.style(Role::TextDim));
        }
        if bar {
            self.paint_scrollbar(frame, Rect::new(area.right() - 1, area.y, 1, area.h), look, screen);
        }
    }

    /// Whether lines have signs before them: marks of either kind.
    fn has_signs(&self) -> bool {
        self.marks.iter().next().is_some() || !self.picked.lines.is_empty() || self.picked.from.is_some()
    }

    /// Columns before the text of a line.
    fn prefix_width(&self, many: bool) -> usize {
        let marks = self.has_signs();
        usize::from(many) + usize::from(marks) + 2 + if self.times == Times::Hidden { 0 } else { 13 }
    }

    /// What stands before the text of a line: the source's colour, its mark, the level, the time.
    fn prefix(&self, row: &Row, page: &Page<'_>, base: Style) -> Vec<Part> {
        let look = page.look;
        let dim = look.style(Role::TextDim);
        let mut out = Vec::new();
        let mut add = |text: String, style: Style| out.push(Part { text, style });
        if page.many {
            let mut s = base;
            if look.depth() != qd_frame::ColorDepth::Mono {
                let i = row.pos.source as usize % SOURCES.len();
                s.fg = Color::indexed(SOURCES.get(i).copied().unwrap_or(7));
            }
            add("\u{258c}".to_owned(), s);
        }
        if page.marks {
            let mark = match self.mark_of(row) {
                _ if self.picked.lines.contains(&row.pos) => "+",
                _ if self.picked.from == Some(row.pos) => "V",
                Some(m) if m.bookmark => look.marks().marked,
                Some(m) if m.comment.is_some() => "\"",
                Some(_) => "#",
                None => " ",
            };
            add(mark.to_owned(), look.style(Role::TextInfo));
        }
        let grave = row.level.is_some_and(|l| l >= Severity::Warn);
        add(
            letter(row.level.filter(|_| !row.continues)).to_owned(),
            if grave { base } else { dim },
        );
        let time = match (self.times, row.time) {
            (Times::Hidden, _) => " ".to_owned(),
            (_, None) => " ".repeat(14),
            (Times::Clock, Some(t)) => format!(" {:<12.12} ", t.time_of_day(&page.zone)),
            (Times::Relative, Some(t)) => {
                let text = page
                    .reference
                    .map_or_else(String::new, |r| relative(t.0.saturating_sub(r.0)));
                format!(" {text:>12} ")
            }
        };
        add(time, dim);
        out
    }

    fn row_height(&self, row: &Row, w: u16, many: bool) -> u16 {
        if !self.wrap || w == 0 || !self.columns.is_empty() {
            return 1;
        }
        let room = usize::from(w).saturating_sub(self.prefix_width(many)).max(1);
        let width: usize = sanitize(&row.text()).iter().map(|p| p.text.width()).sum();
        u16::try_from(width.div_ceil(room).max(1)).unwrap_or(u16::MAX)
    }

    /// The text of a row, with what the search found in it.
    fn body(&self, row: &Row, page: &Page<'_>, base: Style, selected: bool) -> Vec<Part> {
        let text = row.text();
        let find = page.look.style(if selected {
            Role::SearchCurrent
        } else {
            Role::SearchMatch
        });
        let spans = |t: &str| self.search.as_ref().map(|p| p.spans(t)).unwrap_or_default();
        let part = |(piece, found): (Piece, bool)| Part {
            style: if found { find } else { styled(&piece, base, page.look) },
            text: piece.text,
        };
        if self.columns.is_empty() || row.continues {
            return marked(&text, sanitize(&text), &spans(&text))
                .into_iter()
                .map(part)
                .collect();
        }
        let parsed = row.parse(&text);
        let mut out = Vec::new();
        for c in &self.columns {
            let value = parsed.get(&c.name).map_or_else(String::new, |v| plain(&shown(v)));
            let value = fit(&value, c.width, page.look.marks().ellipsis).into_owned();
            let blanks = " ".repeat(c.width.saturating_sub(value.width()) + 1);
            out.extend(marked(&value, sanitize(&value), &spans(&value)).into_iter().map(part));
            out.push(Part {
                text: blanks,
                style: base,
            });
        }
        out
    }

    fn paint_row(&self, frame: &mut Frame, area: Rect, row: &Row, page: &Page<'_>, selected: bool) -> u16 {
        let look = page.look;
        let base = look.style(role(row.level));
        let mut x = area.x;
        for p in self.prefix(row, page, base) {
            x += frame.put_str(x, area.y, area.right().saturating_sub(x), &look.text(&p.text), p.style);
        }
        let left = x;
        let mut y = area.y;
        let wraps = self.wrap && self.columns.is_empty();
        let mut skip = if wraps || !self.columns.is_empty() {
            0
        } else {
            usize::from(self.side)
        };
        'parts: for p in self.body(row, page, base, selected) {
            let (mut text, passed) = from_column(&p.text, skip);
            skip = skip.saturating_sub(passed.max(if text.is_empty() { p.text.width() } else { 0 }));
            while !text.is_empty() {
                let room = area.right().saturating_sub(x);
                let used = frame.put_str(x, y, room, &look.text(text), p.style);
                x += used;
                let (more, _) = from_column(text, usize::from(used));
                if more.is_empty() || (used == 0 && x == left) {
                    break;
                }
                if !wraps {
                    let end = area.right().saturating_sub(1);
                    frame.put_str(end, y, 1, look.marks().more_right, look.style(Role::TextDim));
                    break 'parts;
                }
                if y + 1 >= area.bottom() {
                    break 'parts;
                }
                text = more;
                y += 1;
                x = left;
            }
        }
        if row.cut {
            let note = " cut";
            let w = u16::try_from(note.len()).unwrap_or(0);
            frame.put_str(area.right().saturating_sub(w), y, w, note, look.style(Role::TextWarn));
        }
        y - area.y + 1
    }
}
