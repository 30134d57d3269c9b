//! Checkpoints: the whole of an emulator as bytes, made often and read seldom. What the cold scrollback has closed is
//! written once, by blocks; all else is written anew each time, and is little. It owns the form, which has a number: a
//! program reads the checkpoints of its own form only.

mod parser;
mod rows;
mod state;

use std::ops::Range;

use alacritty_terminal::{
    Grid,
    grid::Dimensions,
    index::{Column, Line},
    term::cell::Cell,
};
use qd_tty::Size;

use self::rows::{CellReader, CellWriter};
use super::{
    Vt,
    cells::Hint,
    core::Core,
    grid::{self, Dims},
    types::ScrollbackLimits,
};
use crate::{
    RestoreError,
    codec::{Reader, put, put_len, sum},
    scrollback::{ClosedBlock, NUMBER_MAX, Scrollback},
};

const MAGIC: [u8; 4] = *b"qdvt";
/// The form that is written and read; another one for every change of it.
const FORM: u8 = 1;
/// The magic, the form, the body's length and its checksum.
const HEAD: usize = 4 + 1 + 4 + 4;

/// How many cells a screen may have at the most, its rows multiplied by its columns, to be restored.
pub const CELLS_MAX: usize = 1 << 22;

/// What a checkpoint needs besides its own bytes: the closed blocks of the scrollback.
///
/// A keeper does with it, in this order: it stores the bytes of [`Checkpoint::closed`], each under its number; it puts the
/// checkpoint in the place of the one before; it drops the blocks whose numbers are not in [`Checkpoint::kept`]. When it
/// is killed in between, the older checkpoint still finds all of its blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The blocks that were closed since the last checkpoint and are still kept, with the places of their bytes in the
    /// buffer that was given for them.
    pub closed: Vec<ClosedBlock>,
    /// The numbers of all closed blocks that this checkpoint needs. Numbers are not used twice; a block that changes (lines
    /// of it were joined when the width changed) gets a new one, which then stands among older ones.
    pub kept: Vec<Range<u64>>,
}

/// A restored emulator.
#[derive(Debug)]
pub struct Restored {
    /// The emulator.
    pub vt: Vt,
    /// How many blocks of the scrollback were forgotten because one of them, the newest of these, was not given or was
    /// damaged. The lines that are left keep their numbers.
    pub lost_blocks: usize,
}

/// Makes the length and the checksum fit: for the fuzzer, which would not get further else.
pub(crate) fn seal_checkpoint(state: &mut [u8]) {
    if let Some((head, body)) = state.split_at_mut_checked(HEAD) {
        head[..4].copy_from_slice(&MAGIC);
        head[4] = FORM;
        head[5..9].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        head[9..].copy_from_slice(&sum(body).to_le_bytes());
    }
}

impl std::fmt::Debug for Vt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vt")
            .field("size", &self.core.told)
            .field("first_line", &self.core.first_line())
            .field("screen_top", &self.core.screen_top())
            .finish_non_exhaustive()
    }
}

impl Vt {
    /// Writes the whole state down: `state` gets the checkpoint at its end, `blocks` the blocks of the scrollback that were
    /// closed since the last call. Neither is cleared before.
    ///
    /// The checkpoint is of the place in the stream up to which bytes were fed; fed with what comes after it, the restored
    /// emulator does what this one does. That goes also for replies and events: those that wait are in the checkpoint,
    /// and those of the bytes that are fed again come again. Who does not want them twice takes them
    /// ([`Vt::take_replies`], [`Vt::take_events`]) before the checkpoint, and after feeding again throws away what this
    /// emulator is known to have been asked for already.
    ///
    /// An open synchronized update is in the checkpoint, the time that it is open is not: [`Vt::sync_expired`] counts anew.
    ///
    /// It is made for floods: about as fast as a memory copy of the text of the screen, of as many lines above it and of
    /// the block that is open, which has up to some 50 KB of text. A closed block costs a copy of its bytes, once.
    pub fn checkpoint(&mut self, state: &mut Vec<u8>, blocks: &mut Vec<u8>) -> Checkpoint {
        self.core.with_main(|c| c.drain(c.dims.keep()));
        let closed = self.core.store.hand_out(blocks);
        let from = state.len();
        state.extend_from_slice(&MAGIC);
        state.push(FORM);
        state.extend_from_slice(&[0; 8]);
        let body = state.len();
        self.save(state);
        let sum = sum(&state[body..]);
        let len = u32::try_from(state.len() - body).unwrap_or(u32::MAX);
        state[from + 5..from + 9].copy_from_slice(&len.to_le_bytes());
        state[from + 9..body].copy_from_slice(&sum.to_le_bytes());
        Checkpoint {
            closed,
            kept: self.core.store.closed(),
        }
    }

    /// The next checkpoint hands out all closed blocks once more, under the same numbers and with the same bytes: for when
    /// what was handed out could not be stored, or is stored in a new place.
    pub fn hand_out_again(&mut self) {
        self.core.store.hand_out_again();
    }

    /// The emulator of a checkpoint, of which `state` is the beginning. `blocks` are the blocks that were handed out with
    /// it and before it, each a slice, in any order; those that it does not need are passed over
    /// ([`crate::split_blocks`] takes them apart where they were stored one behind the other). They count as handed out.
    ///
    /// The scrollback has `limits`; when they are smaller than those before, the oldest lines go.
    ///
    /// # Errors
    /// When it is no checkpoint, of another form, cut off or damaged, or of a screen with more than [`CELLS_MAX`] cells.
    /// Missing or damaged blocks are no error: see [`Restored::lost_blocks`].
    pub fn restore<'a>(
        state: &[u8],
        blocks: impl IntoIterator<Item = &'a [u8]>,
        limits: ScrollbackLimits,
    ) -> Result<Restored, RestoreError> {
        let head = state.first_chunk::<HEAD>().ok_or(RestoreError::Torn {
            have: state.len(),
            want: HEAD,
        });
        let [m0, m1, m2, m3, form, l0, l1, l2, l3, s0, s1, s2, s3] = *head?;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(RestoreError::Foreign);
        }
        if form != FORM {
            return Err(RestoreError::Version {
                found: form,
                known: FORM,
            });
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let body = state[HEAD..]
            .get(..len)
            .filter(|b| sum(b) == u32::from_le_bytes([s0, s1, s2, s3]));
        let body = body.ok_or(RestoreError::Torn {
            have: state.len(),
            want: HEAD.saturating_add(len),
        })?;
        Self::load(&mut Reader::new(body, "the size"), blocks, limits)
    }

    fn save(&mut self, out: &mut Vec<u8>) {
        let size = self.core.told;
        put(out, u64::from(size.cols));
        put(out, u64::from(size.rows));
        parser::save(&self.parser, out);
        state::save(&self.core, out);
        self.core.store.save(out);
        let mut w = CellWriter::default();
        let core = &mut self.core;
        let alt = core.alt();
        // What is known of the screen's rows counts for the main screen only.
        let hints = !alt && !core.touched;
        out.push(u8::from(alt) | u8::from(core.alt_used) << 1 | u8::from(core.roomy) << 2 | u8::from(hints) << 3);
        core.with_main(|c| {
            c.sync_widths();
            put_len(out, c.term.grid().history_size());
            for h in &c.widths {
                put(out, u64::from(h.0));
            }
            if hints {
                c.screen_widths.resize(c.dims.rows, Hint::UNKNOWN);
                for h in &c.screen_widths {
                    put(out, u64::from(h.0));
                }
            }
            let known = c.widths.iter().chain(c.screen_widths.iter().filter(|_| hints));
            save_grid(&mut w, c.term.grid(), known, out);
        });
        if alt {
            save_grid(&mut w, core.term.grid(), [].iter(), out);
        } else if core.alt_used {
            core.with_hidden(|g| w.cursor(&g.saved_cursor, out));
        }
    }

    fn load<'a>(
        r: &mut Reader<'_>,
        blocks: impl IntoIterator<Item = &'a [u8]>,
        limits: ScrollbackLimits,
    ) -> Result<Restored, RestoreError> {
        let (cols, rows) = (r.u16()?, r.u16()?);
        r.check(cols > 0 && rows > 0)?;
        let size = Size::new(cols, rows);
        let dims = Dims::of(size);
        if dims.cols * dims.rows > CELLS_MAX {
            return Err(RestoreError::TooLarge { cols, rows });
        }
        r.part("the sequence that was cut");
        let parser = parser::load(r)?;
        let lines = usize::try_from(limits.lines).unwrap_or(usize::MAX);
        let mut core = Core::new(size, Scrollback::new(lines, limits.bytes));
        state::load(&mut core, r)?;
        r.part("the scrollback");
        let lost_blocks = core.store.load(r, blocks)?;
        load_grids(&mut core, r)?;
        r.check(r.left() == 0)?;
        // What is said of lines that are not there would be looked for in vain, and for long.
        let (top, end) = (core.screen_top(), core.end_line());
        core.view = core.view.map(|v| v.min(top));
        core.prompts.retain(|p| *p < end);
        Ok(Restored {
            vt: Self { parser, core },
            lost_blocks,
        })
    }
}

/// Appends the cursors and the rows, with those above the screen.
fn save_grid<'h>(w: &mut CellWriter, grid: &Grid<Cell>, mut known: impl Iterator<Item = &'h Hint>, out: &mut Vec<u8>) {
    w.cursor(&grid.cursor, out);
    w.cursor(&grid.saved_cursor, out);
    for row in rows_of(grid) {
        let hint = known.next().copied().unwrap_or(Hint::UNKNOWN);
        let row = &grid[row];
        w.row(&row[Column(0)..Column(row.len())], hint, out);
    }
}

/// All rows, from the oldest above the screen.
fn rows_of(grid: &Grid<Cell>) -> impl Iterator<Item = Line> + use<> {
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    (-number(grid.history_size())..number(grid.screen_lines())).map(Line)
}

/// Reads what [`save_grid`] wrote into a blank grid.
fn load_grid(
    cells: &mut CellReader,
    r: &mut Reader<'_>,
    dims: Dims,
    grid: &mut Grid<Cell>,
) -> Result<(), RestoreError> {
    let cursor = cells.cursor(r, dims)?;
    let saved_cursor = cells.cursor(r, dims)?;
    for row in rows_of(grid) {
        cells.row(r, &mut grid[row])?;
    }
    grid.cursor = cursor;
    grid.saved_cursor = saved_cursor;
    Ok(())
}

fn load_grids(core: &mut Core, r: &mut Reader<'_>) -> Result<(), RestoreError> {
    r.part("the main screen");
    let dims = core.dims;
    let flags = r.byte()?;
    r.check(flags < 16)?;
    let (alt, hints) = (flags & 1 != 0, flags & 8 != 0);
    core.alt_used = flags & 2 != 0;
    core.roomy = flags & 4 != 0;
    let history = r.len(dims.cap())?;
    r.check(core.store.next() <= 2 * NUMBER_MAX)?;
    let spare = if core.roomy { dims.cap() - history } else { 0 };
    let mut known = Vec::new();
    for _ in 0..history + if hints { dims.rows } else { 0 } {
        known.push(Hint(r.u16()?));
    }
    let mut cells = CellReader::default();
    let mut main = grid::blank(dims, history, spare, dims.cap());
    load_grid(&mut cells, r, dims, &mut main)?;
    for (hint, row) in known.iter_mut().zip(rows_of(&main)) {
        let row = &main[row];
        if *hint != Hint::UNKNOWN && !hint.holds(&row[Column(0)..Column(row.len())]) {
            *hint = Hint::UNKNOWN;
        }
    }
    if hints {
        core.touched = false;
        core.screen_widths = known.split_off(history).into();
    }
    core.widths = known.into();
    r.part("the alternate screen");
    if alt {
        let mut other = grid::blank(dims, 0, 0, 0);
        load_grid(&mut cells, r, dims, &mut other)?;
        core.hot_behind = history;
        *core.term.grid_mut() = main;
        core.term.swap_alt();
        *core.term.grid_mut() = other;
    } else {
        if core.alt_used {
            let saved = cells.cursor(r, dims)?;
            core.with_hidden(|g| g.saved_cursor = saved);
        }
        *core.term.grid_mut() = main;
    }
    Ok(())
}
