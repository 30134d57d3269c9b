//! The cold scrollback in checkpoints. Closed blocks are written once each and never change under their number; what
//! changes goes into every checkpoint: which blocks there are, the open one, and what joins the next row to the last.
//! Where rows begin follows from the width, and is not written.

use std::{collections::HashMap, ops::Range};

use qd_tty::{Attrs, Color, LinkId, link_uri};

use super::{
    Scrollback,
    block::{Block, NARROW, PIECES_MAX, Piece, Walk},
    row::{Run, Style},
    write::{PIECE_CELLS, Tail, may_grow},
};
use crate::{
    RestoreError,
    codec::{Reader, put, put_bytes, put_len, sum},
};

/// What a block begins with; the last byte is the form it is written in.
const MAGIC: [u8; 5] = *b"qdsb\x01";
/// The magic, the number, the body's length and its checksum.
const HEAD: usize = 5 + 8 + 4 + 4;
/// No piece has more cells than a whole one and a row.
const CELLS_MAX: u64 = PIECE_CELLS as u64 + u16::MAX as u64 + 1;
/// More lines than any terminal prints.
pub(crate) const NUMBER_MAX: u64 = 1 << 60;
/// Nothing in a block is longer.
const BODY_MAX: usize = 64 << 20;

/// A block of the scrollback that was closed since the last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBlock {
    /// Its number. No other block of the terminal has it, and what has it never changes.
    pub number: u64,
    /// Where its bytes are in the buffer that was given.
    pub at: Range<usize>,
}

/// Splits what [`crate::Vt::checkpoint`] wrote of closed blocks, one behind the other, into the blocks. It ends at the first
/// that is cut off or that does not begin as a block does. Checksums are looked at when the blocks are used.
pub fn split_blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (_, _, body) = head(rest)?;
        let (block, tail) = rest.split_at_checked(HEAD + body)?;
        rest = tail;
        Some(block)
    })
}

/// The number of a block, as [`ClosedBlock::number`]; `None` when it does not begin as a block does.
#[must_use]
pub fn block_number(block: &[u8]) -> Option<u64> {
    head(block).map(|h| h.0)
}

/// Makes the checksums of blocks fit: for the fuzzer, which would not get further else.
pub(crate) fn seal_blocks(mut blocks: &mut [u8]) {
    while let Some((_, _, body)) = head(blocks)
        && let Some((block, rest)) = std::mem::take(&mut blocks).split_at_mut_checked(HEAD + body)
    {
        let (head, body) = block.split_at_mut(HEAD);
        head[HEAD - 4..].copy_from_slice(&sum(body).to_le_bytes());
        blocks = rest;
    }
}

/// The number, the checksum and the length of the body.
fn head(block: &[u8]) -> Option<(u64, u32, usize)> {
    let rest = block.strip_prefix(&MAGIC)?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let sum = rest.first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    Some((u64::from_le_bytes(*number), u32::from_le_bytes(*sum), len))
}

fn put_color(out: &mut Vec<u8>, c: Color) {
    match (c.as_indexed(), c.as_rgb()) {
        (Some(i), _) => out.extend_from_slice(&[1, i]),
        (_, Some((r, g, b))) => out.extend_from_slice(&[2, r, g, b]),
        _ => out.push(0),
    }
}

fn color(r: &mut Reader<'_>) -> Result<Color, RestoreError> {
    Ok(match r.byte()? {
        0 => Color::DEFAULT,
        1 => Color::indexed(r.byte()?),
        2 => {
            let [red, green, blue] = r.array()?;
            Color::rgb(red, green, blue)
        }
        _ => return Err(r.bad()),
    })
}

impl Block {
    /// Appends what it holds.
    fn save(&self, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + self.runs.len() * 4 + self.pieces.len() * 4 + self.styles.len() * 8);
        let mut links: Vec<LinkId> = Vec::new();
        let mut index: HashMap<u16, usize> = HashMap::new();
        for s in self.styles.iter().filter(|s| s.link != LinkId::NONE) {
            index.entry(s.link.number()).or_insert_with(|| {
                links.push(s.link);
                links.len()
            });
        }
        put_len(out, links.len());
        for link in links {
            put_bytes(out, link_uri(link).unwrap_or_default().as_bytes());
        }
        put_len(out, self.styles.len());
        for s in &self.styles {
            let link = index.get(&s.link.number()).copied().unwrap_or(0);
            let bits = s.attrs.bits();
            // Most have no colour of the underline and no link.
            let more = !s.ul.is_default() || link != 0;
            put(out, u64::from(bits) << 1 | u64::from(more));
            put_color(out, s.fg);
            put_color(out, s.bg);
            if more {
                put_color(out, s.ul);
                put_len(out, link);
            }
        }
        put_bytes(out, &self.text);
        put_len(out, self.wide.len());
        for w in &self.wide {
            out.extend_from_slice(&w.to_le_bytes());
        }
        put_len(out, self.runs.len());
        for r in &self.runs {
            let [a, b] = r.cells.to_le_bytes();
            let [c, d] = r.style.to_le_bytes();
            out.extend_from_slice(&[a, b, c, d]);
        }
        put_len(out, self.pieces.len());
        let (mut text, mut run) = (0, 0);
        for p in &self.pieces {
            let runs = p.run_end - run;
            let flags = u8::from(p.open())
                | u8::from(p.ascii()) << 1
                | u8::from(p.wide != NARROW) << 2
                | u8::from(runs > 0) << 3
                | u8::from(p.cells() != p.text_end - text) << 4;
            out.push(flags);
            put(out, u64::from(p.text_end - text));
            if flags & 16 != 0 {
                put(out, u64::from(p.cells()));
            }
            if runs > 0 {
                put(out, u64::from(runs));
            }
            if p.wide != NARROW {
                put(out, u64::from(p.wide));
            }
            (text, run) = (p.text_end, p.run_end);
        }
    }

    /// Reads what [`Block::save`] wrote. The rows are not counted yet.
    fn load(r: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let n = r.count(usize::from(u16::MAX))?;
        let mut links = Vec::with_capacity(n);
        for _ in 0..n {
            links.push(LinkId::from_uri(r.text(1 << 16)?));
        }
        let n = r.count(usize::from(u16::MAX) + 1)?;
        let mut styles = Vec::with_capacity(n);
        for _ in 0..n {
            let bits = r.u32()?;
            let attrs = Attrs::from_bits_truncate((bits >> 1) as u16);
            let (fg, bg) = (color(r)?, color(r)?);
            let (ul, link) = if bits & 1 != 0 {
                (color(r)?, r.len(links.len())?)
            } else {
                (Color::DEFAULT, 0)
            };
            let link = link.checked_sub(1).and_then(|i| links.get(i)).copied();
            styles.push(Style {
                fg,
                bg,
                ul,
                attrs,
                link: link.unwrap_or(LinkId::NONE),
            });
        }
        let text = r.bytes(BODY_MAX)?;
        let utf8 = std::str::from_utf8(text).map_err(|_| r.bad())?;
        let n = r.len(BODY_MAX / 8)?;
        let wide: Vec<u64> = r.take(n * 8)?.chunks_exact(8).map(word).collect();
        let n = r.len(BODY_MAX / 4)?;
        let run = |b: &[u8]| Run {
            cells: u16::from_le_bytes([b[0], b[1]]),
            style: u16::from_le_bytes([b[2], b[3]]),
        };
        let runs: Vec<Run> = r.take(n * 4)?.chunks_exact(4).map(run).collect();
        let n = r.count(PIECES_MAX)?;
        let mut pieces = Vec::with_capacity(n);
        let (mut text_at, mut run_at, mut widest) = (0, 0, 0);
        for _ in 0..n {
            let flags = r.byte()?;
            let len = r.len(text.len() - text_at)?;
            let begin = text_at;
            text_at += len;
            r.check(utf8.is_char_boundary(text_at))?;
            let cells = if flags & 16 != 0 {
                r.at_most(CELLS_MAX)?
            } else {
                len as u64
            };
            r.check(cells <= CELLS_MAX)?;
            let ascii = flags & 2 != 0;
            r.check(!ascii || (cells == len as u64 && text[begin..text_at].is_ascii()))?;
            if flags & 8 != 0 {
                let count = r.len(runs.len() - run_at)?;
                let covered: u64 = runs[run_at..run_at + count].iter().map(|r| u64::from(r.cells)).sum();
                r.check(covered <= cells)?;
                run_at += count;
            }
            let cells = u32::try_from(cells).map_err(|_| r.bad())?;
            let from = if flags & 4 != 0 {
                let from = r.len(wide.len())?;
                r.check(from + cells.div_ceil(64) as usize <= wide.len())?;
                u32::try_from(from).map_err(|_| r.bad())?
            } else {
                NARROW
            };
            widest = widest.max(cells);
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            pieces.push(Piece::new(
                number(text_at),
                number(run_at),
                from,
                cells,
                flags & 1 != 0,
                ascii,
            ));
        }
        r.check(text_at == text.len() && run_at == runs.len())?;
        Ok(Self {
            widest,
            text: text.to_vec(),
            pieces,
            runs,
            styles,
            wide,
            ..Self::default()
        })
    }
}

fn word(b: &[u8]) -> u64 {
    b.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// How many pieces and rows a checkpoint says that a closed block has, and its checksum.
struct Listed {
    number: u64,
    sum: u32,
    pieces: u64,
    rows: u64,
}

impl Scrollback {
    /// Appends the blocks that were closed and not handed out yet to `out`.
    pub(crate) fn hand_out(&mut self, out: &mut Vec<u8>) -> Vec<ClosedBlock> {
        let mut closed = Vec::new();
        let open = self.blocks.len().saturating_sub(1);
        for b in self.blocks.iter_mut().take(open).filter(|b| b.handed.is_none()) {
            let from = out.len();
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&b.number.to_le_bytes());
            out.extend_from_slice(&[0; 8]);
            let body = out.len();
            b.save(out);
            let sum = sum(&out[body..]);
            let len = u32::try_from(out.len() - body).unwrap_or(u32::MAX);
            out[body - 8..body - 4].copy_from_slice(&len.to_le_bytes());
            out[body - 4..body].copy_from_slice(&sum.to_le_bytes());
            b.handed = Some(sum);
            closed.push(ClosedBlock {
                number: b.number,
                at: from..out.len(),
            });
        }
        closed
    }

    /// Hands all closed blocks out anew.
    pub(crate) fn hand_out_again(&mut self) {
        for b in &mut self.blocks {
            b.handed = None;
        }
    }

    /// The numbers of the closed blocks, from the oldest to the newest.
    pub(crate) fn closed(&self) -> Vec<Range<u64>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        for b in self.blocks.iter().take(self.blocks.len().saturating_sub(1)) {
            match out.last_mut() {
                Some(last) if last.end == b.number => last.end += 1,
                _ => out.push(b.number..b.number + 1),
            }
        }
        out
    }

    /// Appends all but the closed blocks, which must be handed out.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.first);
        put(out, u64::from(self.widest));
        put(out, self.next_block);
        put_len(out, self.blocks.len());
        let Some((front, back)) = self.blocks.front().zip(self.blocks.back()) else {
            return;
        };
        put(out, front.piece);
        put_len(out, front.gone);
        for b in self.blocks.iter().take(self.blocks.len() - 1) {
            put(out, b.number);
            out.extend_from_slice(&b.handed.unwrap_or(0).to_le_bytes());
            put_len(out, b.pieces.len());
            put(out, u64::from(b.rows() - b.rows_before(b.gone)));
        }
        put(out, back.number);
        back.save(out);
        // The rest of what is known of the last piece is in the piece.
        out.push(u8::from(self.tail.open));
        put_len(out, self.seams.len());
        for s in &self.seams {
            put(out, *s);
        }
    }

    /// Reads what [`Scrollback::save`] wrote, with the closed blocks beside it; `self` is an empty store of the width. When
    /// one is missing or damaged, it is forgotten with all that is older. The number of those that are forgotten.
    pub(crate) fn load<'a>(
        &mut self,
        r: &mut Reader<'_>,
        blocks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<usize, RestoreError> {
        self.first = r.at_most(NUMBER_MAX)?;
        self.next = self.first;
        self.widest = r.u32()?;
        self.next_block = r.at_most(NUMBER_MAX)?;
        let n = r.count(usize::MAX)?;
        let Some(closed) = n.checked_sub(1) else {
            return Ok(0);
        };
        let mut piece = r.at_most(NUMBER_MAX)?;
        let mut gone = r.len(PIECES_MAX)?;
        let mut listed = Vec::with_capacity(closed);
        for _ in 0..closed {
            listed.push(Listed {
                number: r.number()?,
                sum: u32::from_le_bytes(r.array()?),
                pieces: r.at_most(PIECES_MAX as u64)?,
                rows: r.at_most(u64::from(u32::MAX))?,
            });
        }
        let back = r.at_most(NUMBER_MAX)?;
        let mut open = Block::load(r)?;
        open.number = back;

        let mut found: HashMap<(u64, u32), &[u8]> = HashMap::new();
        for b in blocks {
            if let Some((number, sum, len)) = head(b)
                && b.len() == HEAD + len
            {
                found.insert((number, sum), &b[HEAD..]);
            }
        }
        let mut lost = 0;
        for (i, l) in listed.iter().enumerate() {
            let block = found
                .get(&(l.number, l.sum))
                .and_then(|body| self.load_closed(body, l, if i == 0 { gone } else { 0 }));
            match block {
                Some(mut b) => {
                    b.first = self.next;
                    b.piece = piece;
                    self.kept += b.pieces.len() - b.gone;
                    self.bytes += b.bytes();
                    self.next += u64::from(b.rows());
                    self.blocks.push_back(b);
                }
                None => {
                    lost = i + 1;
                    self.next += l.rows;
                    self.first = self.next;
                    self.kept = 0;
                    self.bytes = 0;
                    self.blocks.clear();
                }
            }
            piece += l.pieces;
        }
        if closed > 0 {
            gone = 0;
        }
        r.check(gone <= open.pieces.len())?;
        open.gone = gone;
        open.first = self.next;
        open.piece = piece;
        open.recount(self.cols);
        self.kept += open.pieces.len() - gone;
        self.next += u64::from(open.rows());
        let grows = r.flag()?;
        if let Some((tail, rows)) = self.tail_of(&open) {
            self.tail_rows = rows;
            self.tail = tail;
            self.tail.open &= grows;
        }
        self.blocks.push_back(open);
        self.near.set(Walk::NOWHERE);
        let n = r.count(64)?;
        for _ in 0..n {
            self.seams.push(r.at_most(2 * NUMBER_MAX)?);
        }
        self.settle();
        Ok(lost)
    }

    /// A closed block, when it is what the checkpoint says.
    fn load_closed(&self, body: &[u8], l: &Listed, gone: usize) -> Option<Block> {
        if sum(body) != l.sum {
            return None;
        }
        let mut r = Reader::new(body, "a block of the scrollback");
        let mut b = Block::load(&mut r).ok()?;
        if r.left() > 0 || b.pieces.len() as u64 != l.pieces || gone > b.pieces.len() {
            return None;
        }
        b.number = l.number;
        b.handed = Some(l.sum);
        b.gone = gone;
        b.recount(self.cols);
        (u64::from(b.rows()) == l.rows).then_some(b)
    }

    /// What is known of the last piece while rows may be added to it.
    fn tail_of(&self, open: &Block) -> Option<(Tail, u32)> {
        let i = open.pieces.len().checked_sub(1)?;
        let p = *open.pieces.get(i)?;
        let (text, run) = open.begin(i);
        let (row, start) = open.row_of(p, u32::MAX, self.cols);
        let tail = Tail {
            open: p.open() && may_grow(p.cells(), p.text_end - text, i),
            cells: p.cells(),
            covered: open.runs.get(run as usize..)?.iter().map(|r| u32::from(r.cells)).sum(),
            last: p.cells() - start,
            wide: p.wide,
            ascii: p.ascii(),
            text: text as usize,
        };
        Some((tail, row + 1))
    }
}
