//! One terminal's writer: compares a frame with the shadow of what that terminal shows and appends the bytes that make
//! up the difference. It owns the shadow; it never writes anywhere but into the buffer it is given, and allocates
//! nothing once its buffers have grown.

use qd_tty::{Attrs, Cell, Color, CursorShape, LinkId, Size, same_cells};

use crate::{
    caps::Caps,
    frame::{Frame, normalise},
    pen::bare,
    scroll::{self, Print},
    writer::{Place, Writer},
};

/// A paint of more bytes than this is worth a synchronized update, or hiding the cursor.
const LARGE: usize = 64;
/// Fewer changed rows than this are never looked at for scrolling.
const SCROLL_ROWS: usize = 3;

/// What is known about the terminal's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Unknown,
    Hidden,
    Visible,
}

/// Turns frames into bytes for one terminal.
#[derive(Debug)]
pub struct Painter {
    size: Size,
    /// What the terminal shows; wide characters are whole in it.
    shadow: Vec<Cell>,
    /// Fingerprints of the shadow's rows, where they are known.
    prints: Vec<Option<Print>>,
    /// Fingerprints of old and new rows while a scroll is looked for.
    before: Vec<Print>,
    fresh: Vec<Print>,
    line: Vec<Cell>,
    known: Known,
    shown: Shown,
    shape: Option<CursorShape>,
    w: Writer,
}

/// Whether the shadow can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

impl Painter {
    /// A painter for a terminal of which nothing is known but what it can do.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            size: Size::default(),
            shadow: Vec::new(),
            prints: Vec::new(),
            before: Vec::new(),
            fresh: Vec::new(),
            line: Vec::new(),
            known: Known::No,
            shown: Shown::Unknown,
            shape: None,
            w: Writer::new(caps),
        }
    }

    /// What the terminal can do.
    #[must_use]
    pub const fn caps(&self) -> &Caps {
        &self.w.caps
    }

    /// More is known about the terminal. Where that changes how cells look, everything is drawn anew.
    pub fn set_caps(&mut self, caps: Caps) {
        let old = std::mem::replace(&mut self.w.caps, caps);
        let looks = |c: &Caps| (c.depth, c.styled_underline, c.hyperlinks);
        if looks(&old) != looks(&caps) {
            self.invalidate();
        }
    }

    /// Forgets what the terminal shows: the next paint draws everything.
    pub fn invalidate(&mut self) {
        self.known = Known::No;
    }

    /// What the terminal shows after the last paint, row by row; empty where that is not known.
    #[must_use]
    pub fn shadow(&self) -> &[Cell] {
        match self.known {
            Known::Yes => &self.shadow,
            Known::No => &[],
        }
    }

    /// Appends to `out` what turns the terminal's picture into `frame`, and says whether that was anything.
    pub fn paint(&mut self, frame: &Frame, out: &mut Vec<u8>) -> bool {
        self.w.buf.clear();
        let full = self.known == Known::No || self.size != frame.size();
        if full {
            self.start_over(frame);
        } else {
            self.try_scroll(frame);
        }
        let cols = usize::from(self.size.cols);
        let blank_from = if full { self.blank_rows(frame) } else { self.size.rows };
        for y in 0..blank_from {
            let at = usize::from(y) * cols;
            let Some(old) = self.shadow.get_mut(at..at + cols) else {
                break;
            };
            let new = frame.row(y);
            if !full && same_cells(old, new) {
                continue;
            }
            normalise(new, &mut self.line);
            if paint_row(&mut self.w, y, (!full).then_some(&*old), &self.line) {
                old.copy_from_slice(&self.line);
                if let Some(p) = self.prints.get_mut(usize::from(y)) {
                    *p = None;
                }
            }
        }
        if full && blank_from < self.size.rows {
            self.w.move_to(0, blank_from, &[]);
            self.w.erase_with(Color::DEFAULT);
            self.w.raw(b"\x1b[J");
            for y in blank_from..self.size.rows {
                let at = usize::from(y) * cols;
                if let Some(old) = self.shadow.get_mut(at..at + cols) {
                    old.copy_from_slice(frame.row(y));
                }
            }
        }
        self.w.set_link(LinkId::NONE);
        self.finish(frame, out)
    }

    /// The first of the rows at the end that hold nothing but default background.
    fn blank_rows(&self, frame: &Frame) -> u16 {
        let empty = |y: &u16| {
            frame
                .row(*y)
                .iter()
                .all(|c| bare(c) && self.w.background(c).is_default())
        };
        let n = (0..self.size.rows).rev().take_while(empty).count();
        self.size.rows.saturating_sub(n as u16)
    }

    fn start_over(&mut self, frame: &Frame) {
        self.size = frame.size();
        self.shadow.clear();
        self.shadow.resize(self.size.area(), Cell::BLANK);
        self.prints.clear();
        self.prints.resize(usize::from(self.size.rows), None);
        self.known = Known::Yes;
        self.shown = Shown::Unknown;
        self.shape = None;
        self.w.forget();
        self.w.cols = self.size.cols;
        // A region that somebody left would stop the cursor on its way down.
        self.w.raw(b"\x1b[m\x1b[r\x1b[H");
        self.w.place = Place::At(0, 0);
    }

    /// Scrolls a region of the terminal and of the shadow, when that saves bytes.
    fn try_scroll(&mut self, frame: &Frame) {
        let cols = usize::from(self.size.cols);
        if !self.w.caps.scroll_regions || cols == 0 {
            return;
        }
        let rows = || (0..self.size.rows).zip(self.shadow.chunks_exact(cols));
        if rows()
            .filter(|(y, old)| !same_cells(old, frame.row(*y)))
            .take(SCROLL_ROWS)
            .count()
            < SCROLL_ROWS
        {
            return;
        }
        self.fresh.clear();
        self.before.clear();
        for (p, (y, old)) in self.prints.iter_mut().zip(rows()) {
            self.before.push(*p.get_or_insert_with(|| Print::of(old)));
            self.fresh.push(Print::of(frame.row(y)));
        }
        let Some(s) = scroll::find(&self.before, &self.fresh) else {
            return;
        };
        let (top, bottom, n) = (s.top, s.bottom, s.up.unsigned_abs());
        self.w.erase_with(Color::DEFAULT);
        let whole = top == 0 && bottom == usize::from(self.size.rows);
        if !whole {
            self.w.region(top as u16, bottom as u16);
        }
        self.w.csi(n as u16, if s.up > 0 { b'S' } else { b'T' });
        if !whole {
            self.w.raw(b"\x1b[r");
            self.w.place = Place::At(0, 0);
        }
        let Some(cells) = self.shadow.get_mut(top * cols..bottom * cols) else {
            return;
        };
        let Some(prints) = self.prints.get_mut(top..bottom) else {
            return;
        };
        let shift = n * cols;
        if s.up > 0 {
            cells.copy_within(shift.., 0);
            prints.copy_within(n.., 0);
            let keep = cells.len() - shift;
            cells.iter_mut().skip(keep).for_each(|c| *c = Cell::BLANK);
            let keep = prints.len() - n;
            prints.iter_mut().skip(keep).for_each(|p| *p = None);
        } else {
            let keep = cells.len() - shift;
            cells.copy_within(..keep, shift);
            cells.iter_mut().take(shift).for_each(|c| *c = Cell::BLANK);
            let keep = prints.len() - n;
            prints.copy_within(..keep, n);
            prints.iter_mut().take(n).for_each(|p| *p = None);
        }
    }

    /// Places the cursor and moves everything to `out`.
    fn finish(&mut self, frame: &Frame, out: &mut Vec<u8>) -> bool {
        let large = self.w.buf.len() > LARGE;
        let cursor = frame.cursor();
        if let Some((x, y, shape)) = cursor {
            if self.shape != Some(shape) {
                self.w.raw(&[0x1b, b'[', b'0' + shape.decscusr(), b' ', b'q']);
                self.shape = Some(shape);
            }
            self.w.move_to(x, y, frame.row(y));
        }
        let sync = large && self.w.caps.sync;
        // A synchronized update shows no cursor on its way; otherwise it would be seen jumping about.
        let hide = self.shown != Shown::Hidden && (cursor.is_none() || (large && !sync));
        let show = cursor.is_some() && (hide || self.shown != Shown::Visible);
        if self.w.buf.is_empty() && !hide && !show {
            return false;
        }
        if sync {
            out.extend_from_slice(b"\x1b[?2026h");
        }
        if hide {
            out.extend_from_slice(b"\x1b[?25l");
        }
        out.extend_from_slice(&self.w.buf);
        if show {
            out.extend_from_slice(b"\x1b[?25h");
        }
        if sync {
            out.extend_from_slice(b"\x1b[?2026l");
        }
        self.shown = if cursor.is_some() {
            Shown::Visible
        } else {
            Shown::Hidden
        };
        true
    }
}

/// Whether `c` is ASCII text that looks like `before`, and not the start of a run of blanks.
fn follows(before: &Cell, c: &Cell, next: &Cell) -> bool {
    let shown = match c.sym.as_char() {
        Some('!'..='~') => true,
        Some(' ') => next.sym != c.sym,
        _ => false,
    };
    shown
        && !c.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL | Attrs::UNSURE_WIDTH)
        && (c.fg, c.bg, c.ul, c.attrs, c.link) == (before.fg, before.bg, before.ul, before.attrs, before.link)
        && !bare(before)
}

/// Draws the difference of a row; says whether there was one. `old` is `None` where the terminal's row is not known.
fn paint_row(w: &mut Writer, y: u16, old: Option<&[Cell]>, new: &[Cell]) -> bool {
    let same = |x: usize| old.is_some_and(|o| o.get(x) == new.get(x));
    let Some(first) = (0..new.len()).find(|x| !same(*x)) else {
        return false;
    };
    let Some(last) = (first..new.len()).rev().find(|x| !same(*x)) else {
        return false;
    };
    let mut end = last + 1;
    let erase = tail(w, new)
        .and_then(|t| (t.max(first)..end).find(|x| !same(*x)))
        .filter(|s| end - s > 3);
    if let Some(from) = erase {
        end = from;
    }
    let mut x = first;
    // Up to here the terminal's cells cannot be trusted, whatever the shadow says.
    let mut touched = 0;
    while x < end.max(touched).min(new.len()) {
        let Some(cell) = new.get(x) else { break };
        if (same(x) && x >= touched) || cell.attrs.contains(Attrs::WIDE_TAIL) {
            x += 1;
            continue;
        }
        let blanks = blank_run(w, new, x, end.max(touched), &same);
        w.move_to(x as u16, y, new);
        if let Some(n) = blanks {
            w.erase_with(w.background(cell));
            w.csi(n as u16, b'X');
            x += n;
            continue;
        }
        let reach = usize::from(w.draw(x as u16, y, cell, new));
        let width = 1 + usize::from(cell.attrs.contains(Attrs::WIDE));
        x += width;
        if reach > x {
            touched = touched.max(reach);
        } else if width == 1 {
            // Mostly text of the same look follows.
            let more = new
                .get(x..end)
                .unwrap_or_default()
                .iter()
                .zip(new.get(x + 1..).unwrap_or_default());
            let run = more
                .enumerate()
                .take_while(|(i, (c, next))| !same(x + i) && follows(cell, c, next))
                .count();
            x += w.text(y, new.get(x..x + run).unwrap_or_default());
        }
    }
    if let Some(from) = erase {
        let bg = new.get(from).map_or(Color::DEFAULT, |c| w.background(c));
        w.move_to(from as u16, y, new);
        w.erase_with(bg);
        w.raw(b"\x1b[K");
    }
    true
}

/// Where the empty end of the row begins that EL can make.
fn tail(w: &Writer, row: &[Cell]) -> Option<usize> {
    let bg = w.background(row.last()?);
    if !w.can_erase(bg) {
        return None;
    }
    let n = row
        .iter()
        .rev()
        .take_while(|c| bare(c) && w.background(c) == bg)
        .count();
    (n > 0).then_some(row.len() - n)
}

/// The number of cells from `x` on that one ECH should make, if that is cheaper than blanks.
fn blank_run(w: &Writer, row: &[Cell], x: usize, end: usize, same: &impl Fn(usize) -> bool) -> Option<usize> {
    if !w.caps.erase_chars {
        return None;
    }
    let bg = w.background(row.get(x)?);
    if !w.can_erase(bg) {
        return None;
    }
    let run = row
        .get(x..end)?
        .iter()
        .take_while(|c| bare(c) && w.background(c) == bg)
        .count();
    // Blanks that are there already are left out at the end.
    let n = (x..x + run).rev().find(|i| !same(*i)).map_or(0, |i| i + 1 - x);
    let more = x + n < end;
    // `CSI n X`, and `CSI n C` if something follows.
    let cost = if more { 11 } else { 6 };
    (n > cost).then_some(n)
}
