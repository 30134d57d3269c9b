//! Drawing a log pane: the lines, the panel, the state at the bottom.

use qd_core::Severity;
use qd_frame::{Frame, Style};
use qd_logs_view::{Colour, Piece, Row, Screen, plain, sanitize};
use qd_tty::{Attrs, Cell, Color, CursorShape, Rect};
use qd_ui::{Look, Role, fit};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{LogPane, Times, Tone, now};
use crate::{Cursor, Focus};

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

/// The part of a text from column `from` on.
fn from_column(text: &str, from: usize) -> (&str, usize) {
    let mut at = 0;
    for (i, c) in text.char_indices() {
        if at >= from {
            return (text.get(i..).unwrap_or_default(), at);
        }
        at += c.width().unwrap_or(0);
    }
    ("", at)
}

impl LogPane {
    /// Draws everything; says where the caret of the prompt stands.
    pub(super) fn paint(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        frame.fill(area, look.style(Role::Background).cell(Cell::BLANK.sym));
        self.shown.clear();
        self.text.clear();
        if area.h == 0 || area.w == 0 {
            return None;
        }
        let bottom = Rect::new(area.x, area.bottom() - 1, area.w, 1);
        let panel = self.panel.as_ref().map_or(0, |p| p.height(self.size)).min(area.h - 1);
        let lines = Rect::new(area.x, area.y, area.w, area.h - 1 - panel);
        let screen = self.screen();
        match &screen {
            Ok(s) => self.paint_lines(frame, lines, look, focus, s),
            Err(e) => {
                crate::put_wrapped(frame, lines, &plain(&e.to_string()), look.style(Role::TextError));
            }
        }
        if panel > 0 {
            self.paint_panel(frame, Rect::new(area.x, lines.bottom(), area.w, panel), look);
        }
        let cursor = self.paint_bottom(frame, bottom, look, screen.as_ref().ok());
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

    fn paint_lines(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus, screen: &Screen) {
        if area.h == 0 {
            return;
        }
        let snapshot = self.snapshot();
        if screen.rows.is_empty() {
            let words = if snapshot.sources.is_empty() {
                "Nothing is open. r opens it again.".to_owned()
            } else if screen.pending || !snapshot.indexed {
                format!("Reading: {:.0} % of it is indexed.", snapshot.progress * 100.0)
            } else if snapshot.lines > 0 {
                format!(
                    "0 of {} lines pass the filters. \\ takes the last filter away, F lists them.",
                    super::grouped(snapshot.lines)
                )
            } else {
                "There are no lines yet.".to_owned()
            };
            crate::put_wrapped(frame, area, &words, look.style(Role::TextDim));
            return;
        }
        let bar = area.w > 2;
        let many = snapshot.sources.len() > 1;
        let reference = screen.rows.get(screen.at).and_then(|r| r.time);
        let zone = now().zone;
        let body = Rect::new(area.x, area.y, area.w - u16::from(bar), area.h);
        // With wrapped lines the rows before the selected one may take more room than there is: begin so that it is seen.
        let selected = self.cursor;
        let heights: Vec<u16> = screen.rows.iter().map(|r| self.row_height(r, body.w, many)).collect();
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
            let used = self.paint_row(
                frame,
                Rect::new(body.x, y, body.w, body.bottom() - y),
                look,
                row,
                many,
                reference,
                &zone,
            );
            if is_selected && focus == Focus::Focused && !self.follow {
                let wash = look.style(Role::Selection);
                frame.restyle(Rect::new(body.x, y, body.w, used), |c| {
                    c.bg = wash.bg;
                    c.attrs |= wash.attrs & Attrs::STYLE;
                });
            }
            y += used;
        }
        if bar {
            self.paint_scrollbar(frame, Rect::new(area.right() - 1, area.y, 1, area.h), look, screen);
        }
    }

    /// What stands before the text of a line: the source's colour, the level, the time.
    fn prefix(
        &self,
        row: &Row,
        many: bool,
        reference: Option<qd_core::Timestamp>,
        zone: &jiff::tz::TimeZone,
    ) -> String {
        let mut out = String::new();
        if many {
            out.push('\u{258c}');
        }
        out.push_str(letter(row.level.filter(|_| !row.continues)));
        out.push(' ');
        match (self.times, row.time) {
            (Times::Hidden, _) => {}
            (_, None) => out.push_str("             "),
            (Times::Clock, Some(t)) => out.push_str(&format!("{:<12.12} ", t.time_of_day(zone))),
            (Times::Relative, Some(t)) => {
                let text = reference.map_or_else(String::new, |r| relative(t.0.saturating_sub(r.0)));
                out.push_str(&format!("{text:>12} "));
            }
        }
        out
    }

    fn row_height(&self, row: &Row, w: u16, many: bool) -> u16 {
        if !self.wrap || w == 0 {
            return 1;
        }
        let prefix = usize::from(many) + 2 + if self.times == Times::Hidden { 0 } else { 13 };
        let room = usize::from(w).saturating_sub(prefix).max(1);
        let width: usize = sanitize(&row.text()).iter().map(|p| p.text.width()).sum();
        u16::try_from(width.div_ceil(room).max(1)).unwrap_or(u16::MAX)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a row is drawn from, all of it different on every row"
    )]
    fn paint_row(
        &self,
        frame: &mut Frame,
        area: Rect,
        look: &Look,
        row: &Row,
        many: bool,
        reference: Option<qd_core::Timestamp>,
        zone: &jiff::tz::TimeZone,
    ) -> u16 {
        let base = look.style(role(row.level));
        let prefix = self.prefix(row, many, reference, zone);
        let mut x = area.x;
        let mut rest = prefix.as_str();
        if many {
            let mut s = base;
            if look.depth() != qd_frame::ColorDepth::Mono {
                let i = row.pos.source as usize % SOURCES.len();
                s.fg = Color::indexed(SOURCES.get(i).copied().unwrap_or(7));
            }
            x += frame.put_str(x, area.y, area.w, &look.text("\u{258c}"), s);
            rest = rest.trim_start_matches('\u{258c}');
        }
        x += frame.put_str(
            x,
            area.y,
            area.right().saturating_sub(x),
            rest,
            look.style(Role::TextDim),
        );
        let left = x;
        let mut y = area.y;
        let text = row.text();
        let mut skip = if self.wrap { 0 } else { usize::from(self.side) };
        for piece in sanitize(&text) {
            let (mut shown, passed) = from_column(&piece.text, skip);
            skip = skip.saturating_sub(passed.max(if shown.is_empty() { piece.text.width() } else { 0 }));
            let style = styled(&piece, base, look);
            loop {
                let room = area.right().saturating_sub(x);
                let folded = look.text(shown);
                let used = frame.put_str(x, y, room, &folded, style);
                x += used;
                let (more, _) = from_column(shown, usize::from(used));
                if more.is_empty() || !self.wrap || y + 1 >= area.bottom() || (used == 0 && x == left) {
                    break;
                }
                shown = more;
                y += 1;
                x = left;
            }
            if !self.wrap && x >= area.right() {
                let end = area.right().saturating_sub(1);
                frame.put_str(end, y, 1, look.marks().more_right, look.style(Role::TextDim));
                break;
            }
        }
        if row.cut {
            let note = " cut";
            let w = u16::try_from(note.len()).unwrap_or(0);
            frame.put_str(area.right().saturating_sub(w), y, w, note, look.style(Role::TextWarn));
        }
        y - area.y + 1
    }

    fn paint_scrollbar(&self, frame: &mut Frame, area: Rect, look: &Look, screen: &Screen) {
        let s = self.snapshot();
        let marks = look.marks();
        for y in area.y..area.bottom() {
            frame.put_str(area.x, y, 1, marks.vertical, look.style(Role::Scrollbar));
        }
        let total = s.rows.max(1) as f64;
        let top = screen.rows.first().and_then(|r| self.view.row_of(r.pos).ok().flatten());
        let share = match top {
            Some(n) => n as f64 / total,
            None if screen.at_end => 1.0,
            None => return,
        };
        let h = f64::from(area.h);
        let size = (h * screen.rows.len() as f64 / total).clamp(1.0, h);
        let from = (share * h).min(h - size).max(0.0);
        for i in 0..(size.round() as u16).max(1) {
            let y = area.y.saturating_add(from.round() as u16).saturating_add(i);
            if y < area.bottom() {
                frame.put_str(area.x, y, 1, marks.thumb, look.style(Role::ScrollbarThumb));
            }
        }
    }

    fn paint_panel(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        let items = self.panel_items();
        let Some(p) = &mut self.panel else { return };
        p.at = p.at.min(items.len().saturating_sub(1));
        let head = look.style(Role::BarText);
        frame.fill(Rect::new(area.x, area.y, area.w, 1), head.cell(Cell::BLANK.sym));
        frame.put_str(area.x, area.y, area.w, &look.text(p.heading()), head);
        let rows = usize::from(area.h.saturating_sub(1));
        if items.is_empty() {
            frame.put_str(area.x, area.y + 1, area.w, "there are none", look.style(Role::TextDim));
        }
        let from = p.at.saturating_sub(rows.saturating_sub(1));
        let widest = items
            .iter()
            .map(|i| i.left.width())
            .max()
            .unwrap_or(0)
            .min(usize::from(area.w) / 2);
        let lists = !matches!(p.kind, super::panel::Kind::Details(_) | super::panel::Kind::Help);
        for (i, item) in items.iter().enumerate().skip(from).take(rows) {
            let y = area.y + 1 + u16::try_from(i - from).unwrap_or(0);
            let style = look.style(if item.off { Role::TextDim } else { Role::Text });
            let pointer = if lists && i == p.at { look.marks().pointer } else { " " };
            let mut x = area.x + frame.put_str(area.x, y, area.w, pointer, look.style(Role::TextInfo));
            let w = u16::try_from(widest).unwrap_or(area.w);
            frame.put_str(
                x,
                y,
                w,
                &look.text(&fit(&item.left, widest, look.marks().ellipsis)),
                style,
            );
            x = x.saturating_add(w).saturating_add(2);
            let room = area.right().saturating_sub(x);
            let right = fit(&item.right, usize::from(room), look.marks().ellipsis);
            frame.put_str(x, y, room, &look.text(&right), look.style(Role::TextDim));
        }
    }

    fn paint_bottom(&self, frame: &mut Frame, area: Rect, look: &Look, screen: Option<&Screen>) -> Cursor {
        let bar = look.style(Role::BarText);
        frame.fill(area, look.style(Role::BarBackground).cell(Cell::BLANK.sym));
        if let Some(t) = &self.typing {
            let label = format!("{}: ", t.ask.label());
            let used = frame.put_str(
                area.x,
                area.y,
                area.w,
                &label,
                look.on(Role::HintKey, Role::BarBackground),
            );
            let error = t
                .error
                .as_deref()
                .map(|e| format!("  {}", plain(e.lines().next().unwrap_or_default())));
            let room = area.w.saturating_sub(used);
            let (text, _, caret) = t.edit.view(usize::from(room));
            let x = area.x + used;
            let typed = frame.put_str(
                x,
                area.y,
                room,
                &look.text(&text),
                look.on(Role::Text, Role::BarBackground),
            );
            if let Some(e) = error {
                let at = x.saturating_add(typed);
                let left = area.right().saturating_sub(at);
                let e = fit(&e, usize::from(left), look.marks().ellipsis).into_owned();
                frame.put_str(
                    at,
                    area.y,
                    left,
                    &look.text(&e),
                    look.on(Role::TextError, Role::BarBackground),
                );
            }
            let cx = x
                .saturating_add(u16::try_from(caret).unwrap_or(0))
                .min(area.right().saturating_sub(1));
            return Some((cx, area.y, CursorShape::default()));
        }
        let (left, style) = match (&self.note, self.pending) {
            (_, Some(c)) => (
                pending_words(c).to_owned(),
                look.on(Role::HintLabel, Role::BarBackground),
            ),
            (Some((n, Tone::Error)), None) => (plain(n), look.on(Role::TextError, Role::BarBackground)),
            (Some((n, Tone::Plain)), None) => (plain(n), bar),
            (None, None) => (self.place(screen), bar),
        };
        let left = fit(&left, usize::from(area.w), look.marks().ellipsis).into_owned();
        let used = frame.put_str(area.x, area.y, area.w, &look.text(&left), style);
        let s = self.snapshot();
        let dropped: u64 = s.sources.iter().map(|x| x.dropped).sum();
        let mut right = String::new();
        if dropped > 0 {
            right.push_str(&format!("{} dropped  ", super::grouped(dropped)));
        }
        right.push_str("/ filter  ? keys ");
        let w = u16::try_from(right.width()).unwrap_or(u16::MAX);
        if used.saturating_add(w).saturating_add(2) < area.w {
            frame.put_str(
                area.right() - w,
                area.y,
                w,
                &right,
                look.on(Role::HintLabel, Role::BarBackground),
            );
        }
        None
    }

    /// Where the selected line is, in words.
    fn place(&self, screen: Option<&Screen>) -> String {
        let Some(row) = screen.and_then(|s| s.rows.iter().find(|r| Some(r.pos) == self.cursor)) else {
            return String::new();
        };
        let s = self.snapshot();
        let name = s
            .sources
            .iter()
            .find(|x| x.id == row.pos.source)
            .map(|x| x.name.as_str())
            .unwrap_or_default();
        let short = name.rsplit('/').next().unwrap_or(name);
        let mut out = format!(" {}  {}", plain(short), Self::number(row.number));
        if let Some(t) = row.time {
            out.push_str(&format!("  {}", t.date_time(&now().zone)));
        }
        if let Some(f) = row.format() {
            out.push_str(&format!("  {f}"));
        }
        out
    }
}

/// What a key that waits for the next one offers.
fn pending_words(c: char) -> &'static str {
    match c {
        'g' => " g beginning  t time  l line  % share",
        't' => " t go to time  r how times are shown  l live",
        _ => " y copy the line  f copy its fields",
    }
}

/// A distance in time with a sign, four digits at most.
fn relative(nanos: i64) -> String {
    let sign = if nanos < 0 { '\u{2212}' } else { '+' };
    let s = nanos.unsigned_abs() as f64 / 1e9;
    if nanos == 0 {
        "0".to_owned()
    } else if s < 1.0 {
        format!("{sign}{:.3}ms", s * 1e3)
    } else if s < 60.0 {
        format!("{sign}{s:.3}s")
    } else if s < 3600.0 {
        format!("{sign}{}m{:02}s", s as u64 / 60, s as u64 % 60)
    } else if s < 86_400.0 {
        format!("{sign}{}h{:02}m", s as u64 / 3600, s as u64 / 60 % 60)
    } else {
        format!("{sign}{}d{:02}h", s as u64 / 86_400, s as u64 / 3600 % 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_short() {
        assert_eq!(relative(0), "0");
        assert_eq!(relative(1_500_000), "+1.500ms");
        assert_eq!(relative(-2_000_000_000), "\u{2212}2.000s");
        assert_eq!(relative(61_000_000_000), "+1m01s");
        assert_eq!(relative(3_660_000_000_000), "+1h01m");
        assert_eq!(relative(90_000_000_000_000), "+1d01h");
    }

    #[test]
    fn columns_are_counted_by_width() {
        assert_eq!(from_column("abcdef", 2), ("cdef", 2));
        assert_eq!(from_column("\u{4e2d}\u{6587}x", 2), ("\u{6587}x", 2));
        assert_eq!(from_column("ab", 9), ("", 2));
    }
}
