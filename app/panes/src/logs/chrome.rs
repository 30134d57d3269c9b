//! Drawing around the lines: the scrollbar, the panel, the state and the prompt at the bottom.

use qd_frame::Frame;
use qd_logs_view::{Screen, plain};
use qd_tty::{Attrs, Cell, CursorShape, Rect, Underline};
use qd_ui::{Look, Role, fit};
use unicode_width::UnicodeWidthStr;

use super::{
    LogPane, Tone, now,
    panel::{Kind, table_line},
};
use crate::Cursor;

/// How many completions are shown at once.
const OFFERED: usize = 8;

impl LogPane {
    pub(super) fn paint_scrollbar(&mut self, frame: &mut Frame, area: Rect, look: &Look, screen: &Screen) {
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
        self.refresh_ticks();
        for (share, role) in self.ticks.all() {
            let y = (share * h).min(h - 1.0) as u16;
            frame.put_str(area.x, area.y.saturating_add(y), 1, marks.tick, look.style(role));
        }
    }

    pub(super) fn paint_panel(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        let items = self.panel_items();
        let Some(p) = &mut self.panel else { return };
        p.at = p.at.min(items.len().saturating_sub(1));
        let head = look.style(Role::BarText);
        frame.fill(Rect::new(area.x, area.y, area.w, 1), head.cell(Cell::BLANK.sym));
        let heading = fit(&p.heading(), usize::from(area.w), look.marks().ellipsis).into_owned();
        frame.put_str(area.x, area.y, area.w, &look.text(&heading), head);
        let mut top = area.y + 1;
        if let Kind::Table(t, widths, from) = &p.kind
            && top < area.bottom()
        {
            let names = t.columns.iter().skip(*from).map(|c| c.as_str().into());
            let line = table_line(names, widths.get(*from..).unwrap_or_default());
            let mut style = look.style(Role::Text);
            style.attrs |= Attrs::BOLD;
            frame.put_str(area.x + 1, top, area.w.saturating_sub(1), &look.text(&line), style);
            top += 1;
        }
        let rows = usize::from(area.bottom().saturating_sub(top));
        if items.is_empty() {
            frame.put_str(area.x, top, area.w, "there are none", look.style(Role::TextDim));
        }
        let selects = p.selects();
        let from = if selects {
            p.at.saturating_sub(rows.saturating_sub(1))
        } else {
            p.at
        };
        let one = items.iter().all(|i| i.right.is_empty());
        let most = if one {
            usize::from(area.w)
        } else {
            usize::from(area.w) / 2
        };
        let widest = items.iter().map(|i| i.left.width()).max().unwrap_or(0).min(most);
        for (i, item) in items.iter().enumerate().skip(from).take(rows) {
            let y = top + u16::try_from(i - from).unwrap_or(0);
            let style = look.style(if item.off { Role::TextDim } else { Role::Text });
            let here = selects && i == p.at;
            let pointer = if here { look.marks().pointer } else { " " };
            let mut x = area.x + frame.put_str(area.x, y, area.w, pointer, look.style(Role::TextInfo));
            let w = u16::try_from(widest)
                .unwrap_or(area.w)
                .min(area.right().saturating_sub(x));
            let left = fit(&item.left, usize::from(w), look.marks().ellipsis).into_owned();
            frame.put_str(x, y, w, &look.text(&left), style);
            x = x.saturating_add(w).saturating_add(2);
            let room = area.right().saturating_sub(x);
            let right = fit(&item.right, usize::from(room), look.marks().ellipsis).into_owned();
            frame.put_str(x, y, room, &look.text(&right), look.style(Role::TextDim));
            if here {
                let wash = look.style(Role::Selection);
                frame.restyle(Rect::new(area.x, y, area.w, 1), |c| {
                    c.bg = wash.bg;
                    c.attrs |= wash.attrs & Attrs::STYLE;
                });
            }
        }
    }

    /// The line above the prompt: what is wrong, or what can be typed; and what is offered at the caret.
    pub(super) fn paint_words(&self, frame: &mut Frame, area: Rect, look: &Look) {
        let Some(t) = &self.typing else { return };
        if area.h < 2 {
            return;
        }
        let (words, bad) = t.words(&self.snapshot());
        let y = area.bottom() - 2;
        let role = if bad { Role::TextError } else { Role::TextDim };
        let blank = look.style(Role::Background).cell(Cell::BLANK.sym);
        frame.fill(Rect::new(area.x, y, area.w, 1), blank);
        let words = fit(&words, usize::from(area.w), look.marks().ellipsis).into_owned();
        frame.put_str(area.x, y, area.w, &look.text(&words), look.style(role));
        let Some(c) = &t.choices else { return };
        let rows = c.list.len().min(OFFERED).min(usize::from(area.h).saturating_sub(3));
        let from = c.at.saturating_sub(rows.saturating_sub(1));
        for (i, choice) in c.list.iter().enumerate().skip(from).take(rows) {
            let y = y - u16::try_from(rows - (i - from)).unwrap_or(0);
            frame.fill(Rect::new(area.x, y, area.w, 1), blank);
            let here = i == c.at;
            let pointer = if here { look.marks().pointer } else { " " };
            let text = format!("{pointer}{}  {}", plain(&choice.label), plain(&choice.detail));
            let text = fit(&text, usize::from(area.w), look.marks().ellipsis).into_owned();
            let role = if here { Role::TextInfo } else { Role::Text };
            frame.put_str(area.x, y, area.w, &look.text(&text), look.style(role));
        }
    }

    /// The prompt, with what is wrong in it underlined.
    fn paint_prompt(&self, frame: &mut Frame, area: Rect, look: &Look) -> Cursor {
        let t = self.typing.as_ref()?;
        let label = format!("{}: ", t.ask.label());
        let used = frame.put_str(
            area.x,
            area.y,
            area.w,
            &label,
            look.on(Role::HintKey, Role::BarBackground),
        );
        let room = area.w.saturating_sub(used);
        let (text, start, caret) = t.edit.view(usize::from(room));
        let x = area.x + used;
        let style = look.on(Role::Text, Role::BarBackground);
        frame.put_str(x, area.y, room, &look.text(&text), style);
        let column = |byte: usize| {
            let at = byte.saturating_sub(start).min(text.len());
            u16::try_from(text.get(..at).map_or(0, UnicodeWidthStr::width)).unwrap_or(u16::MAX)
        };
        for f in t.faults.iter().rev() {
            let role = match f.level {
                qd_core::filter::Level::Error => Role::TextError,
                qd_core::filter::Level::Warning => Role::TextWarn,
            };
            let fg = look.on(role, Role::BarBackground).fg;
            let (a, b) = (column(f.span.start), column(f.span.end));
            let x = x.saturating_add(a);
            let w = b.saturating_sub(a).max(1).min(area.right().saturating_sub(x));
            frame.restyle(Rect::new(x, area.y, w, 1), |c| {
                c.fg = fg;
                c.attrs = c.attrs.with_underline(Underline::Single);
            });
        }
        let cx = x
            .saturating_add(u16::try_from(caret).unwrap_or(0))
            .min(area.right().saturating_sub(1));
        Some((cx, area.y, CursorShape::default()))
    }

    pub(super) fn paint_bottom(&self, frame: &mut Frame, area: Rect, look: &Look, screen: Option<&Screen>) -> Cursor {
        let bar = look.style(Role::BarText);
        frame.fill(area, look.style(Role::BarBackground).cell(Cell::BLANK.sym));
        if self.typing.is_some() {
            return self.paint_prompt(frame, area, look);
        }
        let (left, style) = match (&self.note, self.pending, &self.work) {
            (_, Some(c), _) => (
                pending_words(c).to_owned(),
                look.on(Role::HintLabel, Role::BarBackground),
            ),
            (_, None, Some(w)) => (
                format!(" {}{} Esc stops it", plain(&w.words()), look.marks().ellipsis),
                look.on(Role::TextInfo, Role::BarBackground),
            ),
            (Some((n, Tone::Error)), ..) => (plain(n), look.on(Role::TextError, Role::BarBackground)),
            (Some((n, Tone::Plain)), ..) => (plain(n), bar),
            (None, None, None) => (self.place_words(screen), bar),
        };
        let left = fit(&left, usize::from(area.w), look.marks().ellipsis).into_owned();
        let used = frame.put_str(area.x, area.y, area.w, &look.text(&left), style);
        let s = self.snapshot();
        let dropped: u64 = s.sources.iter().map(|x| x.dropped).sum();
        // What matters most is left when there is little room.
        let mut parts = Vec::new();
        if let (_, Some(at)) = crate::moment::shared() {
            parts.push(format!("all at {:.8}", at.time_of_day(&now().zone)));
        }
        if dropped > 0 {
            parts.push(format!("{} dropped", super::grouped(dropped)));
        }
        if let Some(found) = &s.search {
            let so_far = if s.indexed && found.evaluated >= s.lines {
                ""
            } else {
                " so far"
            };
            parts.push(format!("{} hits{so_far}", super::grouped(found.hits)));
            let text = plain(&found.text);
            parts.push(format!("find: {}", fit(&text, 24, look.marks().ellipsis)));
        }
        let room = usize::from(area.w.saturating_sub(used)).saturating_sub(2);
        while !parts.is_empty() && parts.join("  ").width() + 1 > room {
            parts.pop();
        }
        let right = parts.join("  ");
        let w = u16::try_from(right.width() + 1).unwrap_or(u16::MAX);
        if !parts.is_empty() {
            frame.put_str(
                area.right().saturating_sub(w),
                area.y,
                w,
                &look.text(&right),
                look.on(Role::HintLabel, Role::BarBackground),
            );
        }
        None
    }

    /// Where the selected line is, in words.
    fn place_words(&self, screen: Option<&Screen>) -> String {
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
        if let Some(c) = self.mark_of(row).and_then(|m| m.comment.as_ref()) {
            out.push_str(&format!("  \u{201c}{}\u{201d}", plain(c)));
        }
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
        'g' => " g beginning  e E error  w W warning  t time  l line  % share",
        't' => " t strip  c all logs here  : all to a time  l live  r times shown  a adjust clock",
        _ => " y line  b body  f fields  j fields as JSON  p place",
    }
}
