//! The bytes on their way to a terminal, with what is known about it: where its cursor is, which pen and which link
//! are in force. It owns the choice of the cheapest movement; it never decides what should be drawn.

use qd_tty::{Attrs, Cell, Color, LinkId, link_uri};

use crate::{
    caps::{Caps, ColorDepth, degrade},
    glyph::{self, Glyph},
    pen::{Pen, bare},
};

/// What is known of the cursor's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing; also after a character in the last column.
    Unknown,
    /// The row only: a symbol of disputed width was written.
    Row(u16),
    /// Column and row.
    At(u16, u16),
}

/// The output buffer and the state of the terminal behind it.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) buf: Vec<u8>,
    pub(crate) caps: Caps,
    pub(crate) place: Place,
    pub(crate) cols: u16,
    pub(crate) pen: Pen,
    link: LinkId,
    scratch: String,
    /// The last cell style that was turned into a pen, and that pen: neighbours mostly share it.
    memo: (Color, Color, Color, Attrs, Pen),
}

const fn digits(n: u16) -> usize {
    match n {
        0..10 => 1,
        10..100 => 2,
        100..1000 => 3,
        1000..10_000 => 4,
        _ => 5,
    }
}

/// The length of `CSI n x`, where a 1 is left out.
const fn csi_len(n: u16) -> usize {
    if n == 1 { 3 } else { 3 + digits(n) }
}

/// A way to another column of the same row.
#[derive(Clone, Copy)]
enum Across {
    Stay,
    Return,
    Back(u16),
    Left(u16),
    Right(u16),
    Column(u16),
    Rewrite(u16),
}

impl Writer {
    pub(crate) fn new(caps: Caps) -> Self {
        Self {
            buf: Vec::new(),
            caps,
            place: Place::Unknown,
            cols: 0,
            pen: Pen::default(),
            link: LinkId::NONE,
            scratch: String::new(),
            memo: (
                Color::DEFAULT,
                Color::DEFAULT,
                Color::DEFAULT,
                Attrs::empty(),
                Pen::default(),
            ),
        }
    }

    /// Forgets everything but the capabilities.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            buf: std::mem::take(&mut self.buf),
            scratch: std::mem::take(&mut self.scratch),
            ..Self::new(self.caps)
        };
    }

    fn number(&mut self, n: u16) {
        let mut tmp = [0u8; 5];
        let mut at = tmp.len();
        let mut n = n;
        loop {
            at -= 1;
            if let Some(d) = tmp.get_mut(at) {
                *d = b'0' + (n % 10) as u8;
            }
            n /= 10;
            if n == 0 || at == 0 {
                break;
            }
        }
        self.buf.extend_from_slice(tmp.get(at..).unwrap_or_default());
    }

    /// `CSI n x`; the number 1, which is the default of all sequences used here, is left out.
    pub(crate) fn csi(&mut self, n: u16, last: u8) {
        self.buf.extend_from_slice(b"\x1b[");
        if n != 1 {
            self.number(n);
        }
        self.buf.push(last);
    }

    /// A sequence that moves nothing, word for word.
    pub(crate) fn raw(&mut self, s: &[u8]) {
        self.buf.extend_from_slice(s);
    }

    /// Sets the scroll region to the rows `top` to `bottom` (exclusive), which brings the cursor home.
    pub(crate) fn region(&mut self, top: u16, bottom: u16) {
        self.buf.extend_from_slice(b"\x1b[");
        if top > 0 {
            self.number(top + 1);
        }
        self.buf.push(b';');
        self.number(bottom);
        self.buf.push(b'r');
        self.place = Place::At(0, 0);
    }

    fn pen_of(&mut self, c: &Cell) -> Pen {
        let m = &self.memo;
        if (m.0, m.1, m.2, m.3) == (c.fg, c.bg, c.ul, c.attrs) {
            return m.4;
        }
        let pen = Pen::of(c, &self.caps);
        self.memo = (c.fg, c.bg, c.ul, c.attrs, pen);
        pen
    }

    /// The background of a cell, as it will be drawn.
    pub(crate) fn background(&self, c: &Cell) -> Color {
        if self.caps.depth == ColorDepth::True {
            c.bg
        } else {
            degrade(c.bg, self.caps.depth)
        }
    }

    /// Sets the pen.
    pub(crate) fn set_pen(&mut self, to: Pen) {
        self.pen.change(to, &mut self.buf);
        self.pen = to;
    }

    /// The pen to draw this cell with: a bare blank needs no more than its background.
    fn wanted(&mut self, c: &Cell) -> Pen {
        if bare(c) {
            let bg = self.background(c);
            return self.pen.blanking(bg);
        }
        self.pen_of(c)
    }

    fn wanted_link(&self, c: &Cell) -> LinkId {
        if self.caps.hyperlinks { c.link } else { LinkId::NONE }
    }

    /// Opens, changes or closes the hyperlink.
    pub(crate) fn set_link(&mut self, to: LinkId) {
        if to == self.link {
            return;
        }
        let uri = link_uri(to);
        if uri.is_none() && self.link == LinkId::NONE {
            return;
        }
        self.buf.extend_from_slice(b"\x1b]8;");
        match uri {
            Some(uri) => {
                self.buf.extend_from_slice(b"id=");
                self.number(to.number());
                self.buf.push(b';');
                for b in uri.bytes() {
                    if (0x20..0x7f).contains(&b) {
                        self.buf.push(b);
                    } else {
                        let hex = |n: u8| b"0123456789ABCDEF".get(usize::from(n & 15)).copied().unwrap_or(b'0');
                        self.buf.extend_from_slice(&[b'%', hex(b >> 4), hex(b)]);
                    }
                }
                self.link = to;
            }
            None => {
                self.buf.push(b';');
                self.link = LinkId::NONE;
            }
        }
        self.buf.extend_from_slice(b"\x1b\\");
    }

    /// The bytes it takes to write the cells of `row` from `from` to `to` with the pen in force; `None` where that
    /// would not give the same picture, or costs `limit` or more.
    fn rewrite_cost(&mut self, row: &[Cell], from: u16, to: u16, limit: usize) -> Option<usize> {
        let cells = row.get(usize::from(from)..usize::from(to))?;
        let mut cost = 0;
        for c in cells {
            let narrow = !c.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL | Attrs::UNSURE_WIDTH);
            let ch = c
                .sym
                .as_char()
                .filter(|c| matches!(c, ' '..='~' | '\u{2500}'..='\u{257f}'))?;
            cost += ch.len_utf8();
            if !narrow || cost >= limit || self.wanted_link(c) != self.link || self.wanted(c) != self.pen {
                return None;
            }
        }
        Some(cost)
    }

    /// Brings the cursor to column `x` of row `y`, whose cells are `row`.
    pub(crate) fn move_to(&mut self, x: u16, y: u16, row: &[Cell]) {
        if self.place == Place::At(x, y) {
            return;
        }
        let absolute = match (x, y) {
            (0, 0) => 3,
            (0, _) => 3 + digits(y + 1),
            (_, 0) => 4 + digits(x + 1),
            _ => 4 + digits(x + 1) + digits(y + 1),
        };
        let mut best = (absolute, None);
        let mut offer = |cost: usize, how: Across| {
            if cost < best.0 {
                best = (cost, Some(how));
            }
        };
        let from = match self.place {
            Place::Unknown => None,
            Place::Row(cy) => Some((None, cy)),
            Place::At(cx, cy) => Some((Some(cx), cy)),
        };
        if let Some((cx, cy)) = from {
            let down = if cy == y { 0 } else { csi_len(cy.abs_diff(y)) };
            if x == 0 {
                offer(down + 1, Across::Return);
            }
            offer(down + csi_len(x + 1), Across::Column(x + 1));
            match cx {
                Some(cx) if cx == x => offer(down, Across::Stay),
                Some(cx) if x < cx => {
                    offer(down + usize::from(cx - x), Across::Back(cx - x));
                    offer(down + csi_len(cx - x), Across::Left(cx - x));
                }
                Some(cx) => {
                    offer(down + csi_len(x - cx), Across::Right(x - cx));
                }
                None => {}
            }
            if let Some(cx) = cx.filter(|cx| cy == y && *cx < x)
                && usize::from(x - cx) < best.0
                && let Some(cost) = self.rewrite_cost(row, cx, x, best.0)
            {
                best = (cost, Some(Across::Rewrite(cx)));
            }
            if let Some(how) = best.1 {
                if cy != y {
                    self.csi(cy.abs_diff(y), if y > cy { b'B' } else { b'A' });
                }
                self.across(how, x, row);
                self.place = Place::At(x, y);
                return;
            }
        }
        self.buf.extend_from_slice(b"\x1b[");
        if y > 0 {
            self.number(y + 1);
        }
        if x > 0 {
            self.buf.push(b';');
            self.number(x + 1);
        }
        self.buf.push(b'H');
        self.place = Place::At(x, y);
    }

    fn across(&mut self, how: Across, x: u16, row: &[Cell]) {
        match how {
            Across::Stay => {}
            Across::Return => self.buf.push(b'\r'),
            Across::Back(n) => self.buf.extend(std::iter::repeat_n(8u8, usize::from(n))),
            Across::Left(n) => self.csi(n, b'D'),
            Across::Right(n) => self.csi(n, b'C'),
            Across::Column(n) => self.csi(n, b'G'),
            Across::Rewrite(from) => {
                for c in row.get(usize::from(from)..usize::from(x)).unwrap_or_default() {
                    c.sym.push_bytes(&mut self.buf);
                }
            }
        }
    }

    /// Whether erasing gives cells of this background.
    pub(crate) const fn can_erase(&self, bg: Color) -> bool {
        bg.is_default() || self.caps.bce
    }

    /// Prepares an erasure that leaves cells of background `bg`.
    pub(crate) fn erase_with(&mut self, bg: Color) {
        self.set_link(LinkId::NONE);
        self.set_pen(self.pen.blanking(bg));
    }

    fn spaces(&mut self, n: u16) {
        self.buf.extend(std::iter::repeat_n(b' ', usize::from(n)));
    }

    fn advance(&mut self, x: u16, y: u16, by: u16) {
        let to = x.saturating_add(by);
        self.place = if to >= self.cols {
            Place::Unknown
        } else {
            Place::At(to, y)
        };
    }

    /// Writes narrow ASCII cells of the look in force, which do not reach the last column. Returns how many.
    pub(crate) fn text(&mut self, y: u16, cells: &[Cell]) -> usize {
        let Place::At(x, cy) = self.place else { return 0 };
        if cy != y {
            return 0;
        }
        self.buf.extend(cells.iter().map(|c| match c.sym.as_char() {
            Some(c @ ' '..='~') => c as u8,
            _ => b' ',
        }));
        self.advance(x, y, cells.len() as u16);
        cells.len()
    }

    /// Draws the cell at `x`, `y`, where the cursor already is. Returns the column up to which the terminal's content
    /// may have been touched.
    pub(crate) fn draw(&mut self, x: u16, y: u16, cell: &Cell, row: &[Cell]) -> u16 {
        self.set_link(self.wanted_link(cell));
        let pen = self.wanted(cell);
        self.set_pen(pen);
        let w = 1 + u16::from(cell.attrs.contains(Attrs::WIDE));
        let mut text = std::mem::take(&mut self.scratch);
        let glyph = glyph::resolve(cell, &mut text);
        let mut touched = x + w;
        match glyph {
            Glyph::Ascii(b) => self.buf.push(b),
            Glyph::Blank => self.spaces(w),
            Glyph::Sure => self.buf.extend_from_slice(text.as_bytes()),
            Glyph::Unsure {
                most,
                first,
                first_columns,
            } => {
                let room = usize::from(self.cols.saturating_sub(x));
                if w == 2 {
                    // A terminal that thinks it narrow must not leave something old in its right half.
                    self.spaces(2);
                    self.advance(x, y, 2);
                    self.move_to(x, y, row);
                }
                if most <= room {
                    self.buf.extend_from_slice(text.as_bytes());
                    touched = touched.max(x + most as u16);
                } else if first_columns <= room {
                    self.buf
                        .extend_from_slice(text.as_bytes().get(..first).unwrap_or_default());
                    touched = touched.max(x + first_columns as u16);
                } else {
                    self.spaces(w);
                }
                self.place = if touched >= self.cols {
                    Place::Unknown
                } else {
                    Place::Row(y)
                };
                self.scratch = text;
                return touched;
            }
        }
        self.scratch = text;
        self.advance(x, y, w);
        touched
    }
}
