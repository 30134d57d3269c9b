//! Rows, cells and cursors of the emulator's grids in checkpoints: text and runs of cells that look the same, each run
//! told by what differs from the one before. What few cells have (links, combining characters, colours of underlines) is
//! written once, however many cells share it, and is shared again when it is read.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use alacritty_terminal::{
    grid::Cursor,
    index::{Column, Line},
    term::cell::{Cell, CellExtra, Flags, Hyperlink},
    vte::ansi::{CharsetIndex, Color, NamedColor, Rgb, StandardCharset},
};

use unicode_width::UnicodeWidthChar;

use crate::{
    RestoreError,
    codec::{Reader, put, put_bytes, put_len},
    vt::{
        cells::{DEFAULT_BG, DEFAULT_FG, Hint},
        grid::Dims,
        osc::LINK_MAX,
        sgr::named,
    },
};

const PLAIN: u8 = 1;
const WRAPPED: u8 = 2;
const ASCII: u8 = 4;
const FILLED: u8 = 8;

const FG: u64 = 1;
const BG: u64 = 2;
const FLAGS: u64 = 4;
const EXTRA: u64 = 8;

/// More zero-width characters than a cell takes.
const ZERO_WIDTH_MAX: usize = 64;

const CHARSETS: [CharsetIndex; 4] = [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];

/// Addresses are as good as random.
#[derive(Default)]
struct Address(u64);

impl Hasher for Address {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 << 8 | u64::from(*b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    fn write_usize(&mut self, n: usize) {
        self.0 = (n as u64 >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Writes cells; it remembers what they share.
#[derive(Default)]
pub(super) struct CellWriter {
    extras: HashMap<usize, u64, BuildHasherDefault<Address>>,
    last_extra: Option<(usize, u64)>,
    links: HashMap<Hyperlink, u64>,
    last_link: Option<(Hyperlink, u64)>,
}

fn put_color(out: &mut Vec<u8>, c: Color) {
    match c {
        Color::Named(NamedColor::Background) => out.push(17),
        Color::Named(n) if (n as usize) < 16 => out.push(n as u8),
        Color::Named(_) => out.push(16),
        Color::Indexed(i) => out.extend_from_slice(&[18, i]),
        Color::Spec(c) => out.extend_from_slice(&[19, c.r, c.g, c.b]),
    }
}

fn color(r: &mut Reader<'_>) -> Result<Color, RestoreError> {
    Ok(match r.byte()? {
        n @ 0..=15 => named(u16::from(n)),
        16 => DEFAULT_FG,
        17 => DEFAULT_BG,
        18 => Color::Indexed(r.byte()?),
        19 => {
            let [r, g, b] = r.array()?;
            Color::Spec(Rgb { r, g, b })
        }
        _ => return Err(r.bad()),
    })
}

fn address(extra: Option<&Arc<CellExtra>>) -> usize {
    extra.map_or(0, |e| Arc::as_ptr(e).addr())
}

/// The flags of the halves of wide characters go with the characters: else every one would begin a run, and end it.
const WIDE: Flags = Flags::WIDE_CHAR.union(Flags::WIDE_CHAR_SPACER);
const WIDE_SHIFT: u32 = Flags::WIDE_CHAR.bits().trailing_zeros();

#[inline]
fn same_look(a: &Cell, b: &Cell) -> bool {
    let flags = (a.flags.bits() ^ b.flags.bits()) & !WIDE.bits() == 0;
    flags && a.fg == b.fg && a.bg == b.bg && address(a.extra.as_ref()) == address(b.extra.as_ref())
}

/// Whether a cell is as clearing leaves it, but for its background.
#[inline]
fn cleared(c: &Cell) -> bool {
    (c.c == ' ') & (c.fg == DEFAULT_FG) & c.flags.is_empty() & c.extra.is_none()
}

/// How many cells there are up to the last that is not `cleared`: looked for by the chunk, without a branch for each.
#[inline]
fn written(cells: &[Cell], cleared: impl Fn(&Cell) -> bool) -> usize {
    let mut n = cells.len();
    for chunk in cells.rchunks(16) {
        if !chunk.iter().fold(true, |all, c| all & cleared(c)) {
            let last = chunk.iter().rposition(|c| !cleared(c));
            return n - chunk.len() + last.map_or(0, |i| i + 1);
        }
        n -= chunk.len();
    }
    0
}

impl CellWriter {
    /// Appends a row; what `hint` says of it must hold.
    pub(super) fn row(&mut self, cells: &[Cell], hint: Hint, out: &mut Vec<u8>) {
        let wrapped = cells.last().is_some_and(|c| c.flags.contains(Flags::WRAPLINE));
        if hint.plain() && (!wrapped || hint.width() >= cells.len()) {
            let cells = cells.get(..hint.width()).unwrap_or(cells);
            let n = cells.iter().rposition(|c| c.c != ' ').map_or(0, |i| i + 1);
            out.push(if wrapped { PLAIN | WRAPPED } else { PLAIN });
            put_len(out, n);
            out.extend(cells[..n].iter().map(|c| c.c as u8));
            return;
        }
        let Some(last) = cells.last() else { return };
        // Mostly a row ends with cells that were cleared together, and often it is known how many.
        let known = cells.get(..hint.width());
        let bg = known.map_or(last.bg, |_| DEFAULT_BG);
        let n = if bg == DEFAULT_BG {
            written(known.unwrap_or(cells), |c| cleared(c) & (c.bg == DEFAULT_BG))
        } else {
            written(cells, |c| cleared(c) & (c.bg == bg))
        };
        let filled = bg != DEFAULT_BG;
        let cells = &cells[..n];
        let (all, flags) = cells
            .iter()
            .fold((0, 0), |(all, flags), c| (all | c.c as u32, flags | c.flags.bits()));
        let ascii = all < 0x80 && flags & WIDE.bits() == 0;
        out.push(if ascii { ASCII } else { 0 } | if filled { FILLED } else { 0 });
        if filled {
            put_color(out, bg);
        }
        put_len(out, n);
        if ascii {
            out.extend(cells.iter().map(|c| c.c as u8));
        } else {
            for c in cells {
                let half = (c.flags.bits() & WIDE.bits()) >> WIDE_SHIFT;
                put(out, u64::from(u32::from(c.c)) << 2 | u64::from(half));
            }
        }
        let blank = Cell::default();
        let mut before = &blank;
        let mut rest = cells;
        while let Some((first, more)) = rest.split_first() {
            let n = more
                .iter()
                .position(|c| !same_look(first, c))
                .map_or(rest.len(), |i| i + 1);
            self.look(first, before, n, out);
            before = first;
            rest = &rest[n..];
        }
    }

    /// Appends what `n` cells have that look like `cell`, as far as it differs from the look before.
    fn look(&mut self, cell: &Cell, before: &Cell, n: usize, out: &mut Vec<u8>) {
        let mut tag = 0;
        if cell.fg != before.fg {
            tag |= FG;
        }
        if cell.bg != before.bg {
            tag |= BG;
        }
        let flags = cell.flags.difference(WIDE);
        if flags != before.flags.difference(WIDE) {
            tag |= FLAGS;
        }
        if cell.extra.is_some() || before.extra.is_some() {
            tag |= EXTRA;
        }
        put(out, (n as u64) << 4 | tag);
        if tag & FG != 0 {
            put_color(out, cell.fg);
        }
        if tag & BG != 0 {
            put_color(out, cell.bg);
        }
        if tag & FLAGS != 0 {
            put(out, u64::from(flags.bits()));
        }
        if tag & EXTRA != 0 {
            self.extra(cell, out);
        }
    }

    fn extra(&mut self, cell: &Cell, out: &mut Vec<u8>) {
        let at = address(cell.extra.as_ref());
        if at == 0 {
            return out.push(0);
        }
        if let Some((last, n)) = self.last_extra
            && last == at
        {
            return put(out, n + 2);
        }
        let new = self.extras.len() as u64;
        let n = *self.extras.entry(at).or_insert(new);
        self.last_extra = Some((at, n));
        if n < new {
            return put(out, n + 2);
        }
        out.push(1);
        let zero = cell.zerowidth().unwrap_or_default();
        put_len(out, zero.len());
        for z in zero {
            put(out, u64::from(u32::from(*z)));
        }
        match cell.underline_color() {
            Some(c) => {
                out.push(1);
                put_color(out, c);
            }
            None => out.push(0),
        }
        let Some(link) = cell.hyperlink() else {
            return out.push(0);
        };
        if let Some((last, n)) = &self.last_link
            && *last == link
        {
            return put(out, n + 2);
        }
        let new = self.links.len() as u64;
        let n = *self.links.entry(link.clone()).or_insert(new);
        if n < new {
            put(out, n + 2);
        } else {
            out.push(1);
            put_bytes(out, link.id().as_bytes());
            put_bytes(out, link.uri().as_bytes());
        }
        self.last_link = Some((link, n));
    }

    pub(super) fn cursor(&mut self, c: &Cursor<Cell>, out: &mut Vec<u8>) {
        put_len(out, usize::try_from(c.point.line.0).unwrap_or(0));
        put_len(out, c.point.column.0);
        let mut bits = u64::from(c.input_needs_wrap);
        for (i, g) in CHARSETS.into_iter().enumerate() {
            bits |= u64::from(c.charsets[g] != StandardCharset::Ascii) << (i + 1);
        }
        put(out, bits);
        self.look(&c.template, &Cell::default(), 1, out);
    }
}

/// Reads cells; it remembers what they share.
#[derive(Default)]
pub(super) struct CellReader {
    extras: Vec<Option<Arc<CellExtra>>>,
    links: Vec<Hyperlink>,
}

impl CellReader {
    /// Reads a row into cells that are all in their first state.
    pub(super) fn row(
        &mut self,
        r: &mut Reader<'_>,
        row: &mut alacritty_terminal::grid::Row<Cell>,
    ) -> Result<(), RestoreError> {
        let cols = row.len();
        let tag = r.byte()?;
        if tag & PLAIN != 0 {
            let n = r.len(cols)?;
            let text = r.take(n)?;
            r.check(text.iter().all(|b| (0x20..0x7f).contains(b)))?;
            for (cell, b) in row[Column(0)..Column(n)].iter_mut().zip(text) {
                cell.c = char::from(*b);
            }
            if tag & WRAPPED != 0 {
                row[Column(cols - 1)].flags.insert(Flags::WRAPLINE);
            }
            return Ok(());
        }
        if tag & FILLED != 0 {
            let bg = color(r)?;
            for cell in &mut row[Column(0)..Column(cols)] {
                cell.bg = bg;
            }
        }
        let n = r.len(cols)?;
        let cells = &mut row[Column(0)..Column(n)];
        if tag & ASCII != 0 {
            for (cell, b) in cells.iter_mut().zip(r.take(n)?) {
                r.check(b.is_ascii())?;
                cell.c = char::from(*b);
            }
        } else {
            for cell in cells.iter_mut() {
                let n = r.number()?;
                let c = u32::try_from(n >> 2).ok().and_then(char::from_u32);
                cell.c = c.ok_or_else(|| r.bad())?;
                cell.flags = Flags::from_bits_truncate((n as u16 & 3) << WIDE_SHIFT);
                r.check(!cell.flags.contains(Flags::WIDE_CHAR) || cell.c.width() == Some(2))?;
            }
        }
        let mut look = Cell::default();
        let mut at = 0;
        while at < n {
            let count = self.look(r, &mut look)?;
            r.check((1..=n - at).contains(&count))?;
            for cell in &mut cells[at..at + count] {
                cell.fg = look.fg;
                cell.bg = look.bg;
                cell.flags |= look.flags;
                cell.extra.clone_from(&look.extra);
            }
            at += count;
        }
        Ok(())
    }

    /// Changes `cell` to the next look; the number of cells that have it.
    fn look(&mut self, r: &mut Reader<'_>, cell: &mut Cell) -> Result<usize, RestoreError> {
        let tag = r.number()?;
        if tag & FG != 0 {
            cell.fg = color(r)?;
        }
        if tag & BG != 0 {
            cell.bg = color(r)?;
        }
        if tag & FLAGS != 0 {
            cell.flags = Flags::from_bits_truncate(r.u16()?).difference(WIDE);
        }
        if tag & EXTRA != 0 {
            cell.extra = self.extra(r)?;
        }
        usize::try_from(tag >> 4).map_err(|_| r.bad())
    }

    fn extra(&mut self, r: &mut Reader<'_>) -> Result<Option<Arc<CellExtra>>, RestoreError> {
        match r.len(self.extras.len() + 1)? {
            0 => return Ok(None),
            1 => {}
            n => return Ok(self.extras.get(n - 2).cloned().flatten()),
        }
        let mut cell = Cell::default();
        // This makes it have something at all, be it nothing in particular.
        cell.push_zerowidth('\u{200d}');
        cell.clear_wide();
        let n = r.count(ZERO_WIDTH_MAX)?;
        for _ in 0..n {
            cell.push_zerowidth(r.char()?);
        }
        if r.flag()? {
            cell.set_underline_color(Some(color(r)?));
        }
        match r.len(self.links.len() + 1)? {
            0 => {}
            1 => {
                let id = r.text(4 * LINK_MAX)?;
                let link = Hyperlink::new(Some(id), r.text(4 * LINK_MAX)?.to_owned());
                self.links.push(link.clone());
                cell.set_hyperlink(Some(link));
            }
            n => cell.set_hyperlink(self.links.get(n - 2).cloned()),
        }
        self.extras.push(cell.extra.clone());
        Ok(cell.extra)
    }

    pub(super) fn cursor(&mut self, r: &mut Reader<'_>, dims: Dims) -> Result<Cursor<Cell>, RestoreError> {
        let mut c = Cursor::default();
        // A saved cursor may be outside; it is brought in when it is restored, and nothing shows it before.
        let line = r.len(1 << 20)?.min(dims.rows - 1);
        c.point.line = Line(i32::try_from(line).unwrap_or(0));
        c.point.column = Column(r.len(1 << 20)?.min(dims.cols - 1));
        let bits = r.number()?;
        c.input_needs_wrap = bits & 1 != 0;
        for (i, g) in CHARSETS.into_iter().enumerate() {
            if bits >> (i + 1) & 1 != 0 {
                c.charsets[g] = StandardCharset::SpecialCharacterAndLineDrawing;
            }
        }
        self.look(r, &mut c.template)?;
        Ok(c)
    }
}
