//! The short cut for floods: of many plain lines that come at once, those that would scroll through the screen and the
//! grid's history go straight to the cold store. What is left behind is what the long way leaves behind.

use alacritty_terminal::{
    grid::Dimensions,
    index::{Column, Line},
    term::TermMode,
};

use super::{
    cells::{self, Hint},
    core::{Core, Path},
    parser::ascii_prefix,
};

/// A flood is at least this many bytes.
pub(super) const FLOOD: usize = 8 * 1024;

impl Core {
    /// Takes lines from the start of `bytes`, which must be at the start of a line in the ground state; the number of
    /// bytes taken, 0 when it is no flood.
    pub(super) fn skip_lines(&mut self, bytes: &[u8]) -> usize {
        if !self.floodable() {
            return 0;
        }
        let (rows, cols) = (self.dims.rows, self.dims.cols);
        // So many lines are written to the grid after all: they are its screen and its history.
        let stay = self.dims.keep() + rows;
        let mut ends = Vec::with_capacity(bytes.len() / 32);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let n = ascii_prefix(rest);
            if n > cols || !rest[n..].starts_with(b"\r\n") {
                break;
            }
            at += n + 2;
            ends.push(at);
        }
        let skip = ends.len().saturating_sub(stay);
        if skip < stay {
            return 0;
        }
        self.drain(0);
        for y in 0..rows - 1 {
            let row = &self.term.grid()[Line(i32::try_from(y).unwrap_or(0))];
            let hint = self.screen_widths.get(y).copied().unwrap_or(Hint::UNKNOWN);
            cells::pack(&row[Column(0)..Column(cols)], hint, &mut self.store);
        }
        let mut start = 0;
        for end in &ends[..skip] {
            let line = bytes[start..end - 2].trim_ascii_end();
            let mut w = self.store.push();
            if let Some(buf) = w.buffer() {
                buf.extend_from_slice(line);
            }
            w.ascii(line.len());
            w.finish(false);
            start = *end;
        }
        self.term.grid_mut().reset_region(..);
        self.term.grid_mut().cursor.point.line = Line(0);
        for w in &mut self.screen_widths {
            *w = Hint::BLANK;
        }
        start
    }

    /// Whether the cursor stands at the start of a blank last line, and text is as plain as it can be.
    fn floodable(&mut self) -> bool {
        if self.alt() || self.path != Path::Fast || self.region != (0..self.dims.rows) || self.touched || !self.plain()
        {
            return false;
        }
        let mode = self.term.mode();
        let cursor = &self.term.grid().cursor;
        let bottom = usize::try_from(cursor.point.line.0).unwrap_or(0) + 1 == self.dims.rows;
        bottom
            && !mode.contains(TermMode::INSERT)
            && cursor.point.column == Column(0)
            && !cursor.input_needs_wrap
            && cells::default_style(&cursor.template)
            && self.screen_widths.back() == Some(&Hint::BLANK)
            && self.term.grid().columns() == self.dims.cols
    }
}
