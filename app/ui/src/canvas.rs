//! Putting text and ratatui's buffers on a frame. It owns the rules of cutting (a text that does not fit ends in the
//! ellipsis) and of folding to ASCII, and must never decide what is drawn.

use std::{borrow::Cow, ops::Range};

use qd_frame::{Frame, Style};
use qd_tty::{Rect, Size};
use ratatui::{buffer::Buffer, layout};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::theme::{Glyphs, Look, cell, fold, from_rat};

/// The columns a text takes; control characters take none.
#[must_use]
pub fn width(s: &str) -> usize {
    if s.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return s.len();
    }
    s.graphemes(true)
        .filter(|g| !g.contains(char::is_control))
        .map(UnicodeWidthStr::width)
        .sum()
}

/// [`width`], held to what a screen can have.
pub(crate) fn width16(s: &str) -> u16 {
    u16::try_from(width(s)).unwrap_or(u16::MAX)
}

/// `s` without control characters, cut to `max` columns; what was cut is shown by `ellipsis`.
#[must_use]
pub fn fit<'s>(s: &'s str, max: usize, ellipsis: &str) -> Cow<'s, str> {
    let clean = !s.contains(char::is_control);
    if clean && width(s) <= max {
        return Cow::Borrowed(s);
    }
    let mut out = String::new();
    let mut used = 0;
    // Where to cut if it turns out that the text does not fit.
    let mut cut = 0;
    let room = max.saturating_sub(width(ellipsis));
    for g in s.graphemes(true).filter(|g| !g.contains(char::is_control)) {
        let w = g.width();
        if used + w > max {
            out.truncate(cut);
            if width(ellipsis) <= max {
                out.push_str(ellipsis);
            }
            return Cow::Owned(out);
        }
        used += w;
        out.push_str(g);
        if used <= room {
            cut = out.len();
        }
    }
    Cow::Owned(out)
}

/// Breaks `s` into rows of at most `cols` columns, at blanks where it can; the byte ranges of the rows. There is always
/// at least one. Control characters take no room.
pub(crate) fn wrap(s: &str, cols: usize) -> Vec<Range<usize>> {
    let cols = cols.max(1);
    let mut rows = Vec::new();
    let (mut start, mut used) = (0, 0);
    // Where the row may be broken (after a blank), and the columns up to there.
    let mut brk: Option<(usize, usize)> = None;
    for (i, g) in s.grapheme_indices(true) {
        if g == "\n" || g == "\r\n" {
            rows.push(start..i);
            (start, used, brk) = (i + g.len(), 0, None);
            continue;
        }
        let w = if g.contains(char::is_control) { 0 } else { g.width() };
        if used + w > cols && used > 0 {
            let (cut, cut_used) = if g == " " { (i, used) } else { brk.unwrap_or((i, used)) };
            rows.push(start..cut);
            (start, used, brk) = (cut, used - cut_used, None);
            if g == " " {
                // A blank at the break is not carried over.
                start = i + 1;
                continue;
            }
        }
        used += w;
        if g == " " {
            brk = Some((i + 1, used));
        }
    }
    rows.push(start..s.len());
    rows
}

/// The rows of [`wrap`] as text, without blanks at their ends.
pub(crate) fn wrapped(s: &str, cols: usize) -> Vec<String> {
    wrap(s, cols)
        .into_iter()
        .filter_map(|r| s.get(r))
        .map(|r| r.trim_end().to_owned())
        .collect()
}

/// Draws on one row of a frame, from the left, never past `end`.
pub(crate) struct Pen<'f> {
    frame: &'f mut Frame,
    look: &'f Look,
    pub(crate) x: u16,
    y: u16,
    end: u16,
}

impl<'f> Pen<'f> {
    /// A pen at the left of row `y` of `area`.
    pub(crate) fn new(frame: &'f mut Frame, look: &'f Look, area: Rect, y: u16) -> Self {
        let area = area.intersect(whole(frame.size()));
        let end = if y >= area.y && y < area.bottom() {
            area.right()
        } else {
            area.x
        };
        Self {
            frame,
            look,
            x: area.x,
            y,
            end,
        }
    }

    /// The row it draws on.
    pub(crate) const fn y(&self) -> u16 {
        self.y
    }

    /// How many columns are left.
    pub(crate) const fn room(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    /// Goes to column `x`.
    pub(crate) const fn at(mut self, x: u16) -> Self {
        self.x = x;
        self
    }

    /// Draws `s`, cut with the ellipsis if it does not fit; gives the cells used.
    pub(crate) fn put(&mut self, s: &str, style: Style) -> Rect {
        let s = self.look.text(s);
        let s = fit(&s, self.room().into(), self.look.marks().ellipsis);
        let w = self.frame.put_str(self.x, self.y, self.room(), &s, style);
        let used = Rect::new(self.x, self.y, w, 1);
        self.x = self.x.saturating_add(w);
        used
    }
}

/// The rectangle of a whole screen.
pub(crate) const fn whole(size: Size) -> Rect {
    Rect::new(0, 0, size.cols, size.rows)
}

/// Our rectangle as ratatui's.
pub(crate) const fn rat_rect(r: Rect) -> layout::Rect {
    layout::Rect {
        x: r.x,
        y: r.y,
        width: r.w,
        height: r.h,
    }
}

/// Copies a ratatui buffer onto a frame: the buffer's own area goes where it says, as far as it lies within `area`.
pub fn blit(buffer: &Buffer, area: Rect, frame: &mut Frame, look: &Look) {
    let b = buffer.area;
    let clip = Rect::new(b.x, b.y, b.width, b.height)
        .intersect(area)
        .intersect(whole(frame.size()));
    for y in clip.y..clip.bottom() {
        let mut x = clip.x;
        while x < clip.right() {
            let Some(c) = buffer.cell((x, y)) else { break };
            let style = from_rat(c);
            let symbol = match look.glyphs() {
                Glyphs::Unicode => c.symbol(),
                Glyphs::Ascii => fold(c.symbol()),
            };
            let w = width16(symbol);
            if w == 0 || w > clip.right() - x {
                frame.set(x, y, cell(" ", style));
                x += 1;
            } else if symbol.len() == 1 {
                frame.set(x, y, cell(symbol, style));
                x += 1;
            } else {
                let used = frame.put_str(x, y, w, symbol, style);
                for rest in used..w {
                    frame.set(x + rest, y, cell(" ", style));
                }
                x += w;
            }
        }
    }
}

/// The middle of `area`, at most `w` × `h` cells.
pub(crate) fn centred(area: Rect, w: u16, h: u16) -> Rect {
    let (w, h) = (w.min(area.w), h.min(area.h));
    Rect::new(area.x + (area.w - w) / 2, area.y + (area.h - h) / 2, w, h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_within_the_columns() {
        assert_eq!(fit("hello", 5, "…"), "hello");
        assert_eq!(fit("hello", 4, "…"), "hel…");
        assert_eq!(fit("hello", 1, "…"), "…");
        assert_eq!(fit("hello", 0, "…"), "");
        assert_eq!(fit("日本語", 5, "…"), "日本…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("a\u{1b}[1mb\n", 9, "…"), "a[1mb");
    }

    #[test]
    fn rows_break_at_blanks_and_lose_nothing_but_them() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("日本語", 3), ["日", "本", "語"]);
        assert_eq!(wrapped("日本", 0), ["日", "本"]);
        assert_eq!(wrapped("  indented text", 10), ["  indented", "text"]);
    }

    #[test]
    fn the_middle_never_leaves_the_area() {
        assert_eq!(centred(Rect::new(0, 0, 80, 24), 40, 10), Rect::new(20, 7, 40, 10));
        assert_eq!(centred(Rect::new(3, 2, 1, 0), 40, 10), Rect::new(3, 2, 1, 0));
    }
}
