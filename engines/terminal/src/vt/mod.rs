//! The emulator: bytes in; cells, replies and events out. [`Vt`] is its whole interface; the work is done by the parser
//! (`parser`), by `core` with its sequences (`csi`, `osc`) on alacritty's `Term`, and by `grid`, `cells`, `view` and
//! `search`. It has no clock, no descriptor and no thread, and no input may make it panic or grow without bound.

mod cells;
mod checkpoint;
mod copy;
mod core;
mod csi;
mod flood;
mod grid;
mod osc;
mod parser;
mod reset;
mod search;
mod sgr;
#[cfg(test)]
mod tests;
mod types;
mod view;

use std::time::Instant;

use alacritty_terminal::{grid::Dimensions, term::TermMode};
use qd_tty::{Cell, CursorShape, KeyEvent, MouseEvent, Size};

pub(crate) use self::checkpoint::seal_checkpoint;
pub use self::checkpoint::{CELLS_MAX, Checkpoint, Restored};
pub use self::copy::LinesCopy;
pub use self::types::{
    Case, Direction, Match, MatchCount, Pos, Query, QueryKind, SYNC_TIMEOUT, ScrollbackLimits, Shape,
};
use self::{
    core::{Core, Sync},
    grid::Dims,
    parser::Parser,
};
use crate::{
    KeyModes, Modes, MouseEncoding, MouseWant, Palette, Scheme, SearchError, VtEvent, encode_key, encode_mouse,
    scrollback::Scrollback,
};

/// A terminal emulator: bytes in; cells, replies and events out.
pub struct Vt {
    parser: Parser,
    core: Core,
}

impl Vt {
    /// An empty screen of `size`, of at least one cell.
    #[must_use]
    pub fn new(size: Size, limits: ScrollbackLimits) -> Self {
        let store = Scrollback::new(usize::try_from(limits.lines).unwrap_or(usize::MAX), limits.bytes);
        let size = Size::new(size.cols.max(1), size.rows.max(1));
        Self {
            parser: Parser::new(),
            core: Core::new(size, store),
        }
    }

    /// Parses what the program printed. May be cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.core.generation += 1;
            let mut rest = bytes;
            if bytes.len() >= flood::FLOOD {
                // Only at the start of a line can it be seen whether a flood of plain lines follows.
                let line = memchr::memchr(b'\n', bytes).map_or(0, |i| i + 1);
                self.parser.advance(&mut self.core, &bytes[..line]);
                rest = &bytes[line..];
                if self.parser.at_rest() {
                    rest = &rest[self.core.skip_lines(rest)..];
                }
            }
            self.parser.advance(&mut self.core, rest);
        }
    }

    /// Moves the replies for the program to the end of `out`.
    pub fn take_replies(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.core.replies);
    }

    /// Whether there are replies for the program.
    #[must_use]
    pub fn has_replies(&self) -> bool {
        !self.core.replies.is_empty()
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<VtEvent> {
        std::mem::take(&mut self.core.events)
    }

    /// Changes the size; the main screen's text and the scrollback are wrapped anew, so that line numbers change when the
    /// width does. Prompts and a scrolled view keep their place.
    pub fn resize(&mut self, size: Size) {
        let size = Size::new(size.cols.max(1), size.rows.max(1));
        if size != self.core.told {
            self.core.generation += 1;
            self.core.told = size;
            self.core.set_dims(Dims::of(size));
        }
    }

    /// The present size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.core.told
    }

    /// Writes the visible row `y` at the present scroll offset to `out`; blanks where there is no such row or column.
    pub fn row(&self, y: u16, out: &mut [Cell]) {
        let line = self.core.view_top() + u64::from(y);
        match self.core.line(line) {
            Some(row) if y < self.core.told.rows => row.fill(out),
            _ => out.fill(Cell::BLANK),
        }
    }

    /// Writes the line of a number to `out`; blanks where there is none.
    pub fn line_cells(&self, line: u64, out: &mut [Cell]) {
        match self.core.line(line) {
            Some(row) => row.fill(out),
            None => out.fill(Cell::BLANK),
        }
    }

    /// Where the cursor stands (column, row), and its shape; `None` when it is hidden or scrolled away.
    #[must_use]
    pub fn cursor(&self) -> Option<(u16, u16, CursorShape)> {
        if !self.core.term.mode().contains(TermMode::SHOW_CURSOR) {
            return None;
        }
        let (x, y) = self.cursor_cell();
        let row = self.core.screen_top() + u64::from(y) - self.core.view_top();
        let row = u16::try_from(row).ok().filter(|r| *r < self.core.told.rows)?;
        Some((x, row, self.core.cursor_shape))
    }

    /// Where the cursor stands on the live screen (column, row), hidden or not.
    #[must_use]
    pub fn cursor_cell(&self) -> (u16, u16) {
        let at = self.core.term.grid().cursor.point;
        let x = u16::try_from(at.column.0)
            .unwrap_or(u16::MAX)
            .min(self.core.told.cols - 1);
        (x, u16::try_from(at.line.0).unwrap_or(0).min(self.core.told.rows - 1))
    }

    /// The modes the program has set.
    #[must_use]
    pub fn modes(&self) -> Modes {
        let m = *self.core.term.mode();
        let more = &self.core.more;
        Modes {
            alt_screen: m.contains(TermMode::ALT_SCREEN),
            app_cursor: m.contains(TermMode::APP_CURSOR),
            app_keypad: m.contains(TermMode::APP_KEYPAD),
            bracketed_paste: m.contains(TermMode::BRACKETED_PASTE),
            focus_events: m.contains(TermMode::FOCUS_IN_OUT),
            alternate_scroll: m.contains(TermMode::ALTERNATE_SCROLL),
            scheme_events: more.scheme_events,
            reverse_screen: more.reverse_screen,
            mouse: if m.contains(TermMode::MOUSE_MOTION) {
                MouseWant::Motion
            } else if m.contains(TermMode::MOUSE_DRAG) {
                MouseWant::Drag
            } else if m.contains(TermMode::MOUSE_REPORT_CLICK) {
                MouseWant::Click
            } else if more.mouse_x10 {
                MouseWant::Press
            } else {
                MouseWant::Nothing
            },
            mouse_encoding: if m.contains(TermMode::SGR_MOUSE) {
                MouseEncoding::Sgr
            } else if more.urxvt_mouse {
                MouseEncoding::Urxvt
            } else if m.contains(TermMode::UTF8_MOUSE) {
                MouseEncoding::Utf8
            } else {
                MouseEncoding::X10
            },
        }
    }

    /// What decides how keys are written.
    #[must_use]
    pub fn key_modes(&self) -> KeyModes {
        let m = *self.core.term.mode();
        KeyModes {
            app_cursor: m.contains(TermMode::APP_CURSOR),
            app_keypad: m.contains(TermMode::APP_KEYPAD),
            backarrow: self.core.more.backarrow,
            newline: m.contains(TermMode::LINE_FEED_NEW_LINE),
            modify_other: self.core.more.modify_other,
            kitty: self.core.kitty_flags(),
        }
    }

    /// Appends what a key sends to the program.
    pub fn encode_key(&self, key: &KeyEvent, out: &mut Vec<u8>) {
        encode_key(key, &self.key_modes(), out);
    }

    /// Appends what a mouse event sends to the program; false when it does not want it.
    pub fn encode_mouse(&self, event: &MouseEvent, out: &mut Vec<u8>) -> bool {
        let modes = self.modes();
        encode_mouse(event, modes.mouse, modes.mouse_encoding, out)
    }

    /// Whether a synchronized update (mode 2026) is open: the screen should not be drawn now.
    #[must_use]
    pub fn sync_pending(&self) -> bool {
        self.core.sync != Sync::Closed
    }

    /// Whether the screen may be drawn: no synchronized update is open, or it is for longer than [`SYNC_TIMEOUT`] since
    /// this was first asked, and is closed now.
    pub fn sync_expired(&mut self, now: Instant) -> bool {
        match self.core.sync {
            Sync::Closed => return true,
            Sync::Open => self.core.sync = Sync::Since(now),
            Sync::Since(t) if now.saturating_duration_since(t) >= SYNC_TIMEOUT => self.core.sync = Sync::Closed,
            Sync::Since(_) => {}
        }
        self.core.sync == Sync::Closed
    }

    /// Scrolls the view by `lines`; more than 0 is back in time. The alternate screen does not scroll.
    pub fn scroll_by(&mut self, lines: i64) {
        let top = self.core.view_top();
        let to = if lines >= 0 {
            top.saturating_sub(lines.unsigned_abs())
        } else {
            top.saturating_add(lines.unsigned_abs())
        };
        self.core.set_view(to);
    }

    /// Scrolls the view to the oldest line.
    pub fn scroll_to_top(&mut self) {
        self.core.set_view(0);
    }

    /// Scrolls the view to the live screen.
    pub fn scroll_to_bottom(&mut self) {
        self.core.set_view(u64::MAX);
    }

    /// Scrolls the view the least that shows `line`.
    pub fn scroll_to_line(&mut self, line: u64) {
        let top = self.core.view_top();
        let rows = u64::from(self.core.told.rows);
        if line < top {
            self.core.set_view(line);
        } else if line >= top + rows {
            self.core.set_view(line + 1 - rows);
        }
    }

    /// How many lines the view is scrolled back; 0 is live. It grows while output arrives below a scrolled view.
    #[must_use]
    pub fn scroll_offset(&self) -> u64 {
        self.core.screen_top() - self.core.view_top()
    }

    /// How many lines there are above the screen; none above the alternate one.
    #[must_use]
    pub fn history_len(&self) -> u64 {
        self.core.screen_top() - self.core.first_line()
    }

    /// The number of the oldest line that can be reached.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        self.core.first_line()
    }

    /// The number of the live screen's top line.
    #[must_use]
    pub fn screen_top_line(&self) -> u64 {
        self.core.screen_top()
    }

    /// The number of the view's top line.
    #[must_use]
    pub fn view_top_line(&self) -> u64 {
        self.core.view_top()
    }

    /// The text between two places, both included, in either order. Lines that were only wrapped are joined, trailing
    /// blanks go; whole lines end with a line feed.
    #[must_use]
    pub fn text_range(&self, start: Pos, end: Pos, shape: Shape) -> String {
        self.core.text_range(start, end, shape)
    }

    /// The text of a line, without trailing blanks unless it goes on; `None` when there is no such line.
    #[must_use]
    pub fn line_text(&self, line: u64) -> Option<String> {
        let row = self.core.line(line)?;
        let mut out = String::new();
        row.push_text(0, usize::MAX, &mut out, None);
        Some(out)
    }

    /// A copy of the newest lines of the scrollback and the screen: of so many rows, and of the beginning of the first one's
    /// line as far as it is kept in one piece. It is cheap to take; [`LinesCopy::text`] does the work.
    #[must_use]
    pub fn copy_lines(&self, most: u64) -> LinesCopy {
        let end = self.core.screen_top() + u64::from(self.core.told.rows);
        let first = self.core.first_line().max(end.saturating_sub(most));
        let cold = if first < self.core.cold_end() {
            self.core.copy_cold(first)
        } else {
            Vec::new()
        };
        let mut copy = LinesCopy::new(cold);
        for line in first.max(self.core.cold_end())..end {
            if let Some(row) = self.core.line(line) {
                copy.push(line, self.core.wrapped(line), |out| {
                    row.push_text(0, usize::MAX, out, None);
                });
            }
        }
        copy
    }

    /// Whether a line goes on in the next.
    #[must_use]
    pub fn line_wrapped(&self, line: u64) -> bool {
        self.core.wrapped(line)
    }

    /// The first match that begins at `from` or after it, or the last that begins at `from` or before it. It does not
    /// wrap around.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn search(&self, query: &Query, from: Pos, dir: Direction) -> Result<Option<Match>, SearchError> {
        self.core.search(query, from, dir)
    }

    /// How many matches there are, counted up to `cap`.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn count_matches(&self, query: &Query, cap: usize) -> Result<MatchCount, SearchError> {
        self.core.count_matches(query, cap)
    }

    /// The matches that touch a range of lines, for highlighting.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn matches_in(&self, query: &Query, lines: std::ops::Range<u64>) -> Result<Vec<Match>, SearchError> {
        self.core.matches_in(query, lines)
    }

    /// Forgets the scrollback; the screen stays.
    pub fn clear_scrollback(&mut self) {
        self.core.generation += 1;
        self.core.clear_history();
    }

    /// Resets the emulator as `ESC c` does, also in the middle of a sequence.
    pub fn reset(&mut self) {
        self.core.generation += 1;
        self.parser = Parser::new();
        self.core.full_reset();
    }

    /// Sets the colours that queries are answered with.
    pub fn set_palette(&mut self, palette: Palette) {
        let scheme = palette.scheme;
        let before = self.core.palette.scheme;
        self.core.palette = Palette {
            scheme: before,
            ..palette
        };
        self.set_scheme(scheme);
    }

    /// Sets dark or light, and tells the program of a change where it asked (mode 2031).
    pub fn set_scheme(&mut self, scheme: Scheme) {
        if self.core.palette.scheme != scheme {
            self.core.palette.scheme = scheme;
            if self.core.more.scheme_events {
                self.core.report_scheme();
            }
        }
    }

    /// The lines where prompts begin (OSC 133;A), oldest first.
    #[must_use]
    pub fn prompts(&self) -> Vec<u64> {
        let first = self.core.store.first();
        self.core.prompts.iter().copied().filter(|p| *p >= first).collect()
    }

    /// The title; empty when there is none.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.core.title
    }

    /// Answers a clipboard query.
    pub fn answer_clipboard(&mut self, data: &[u8]) {
        self.core.answer_clipboard(data);
    }

    /// The bytes it holds, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let grid = self.core.term.grid();
        let rows = grid.total_lines() + self.core.dims.rows;
        let cell = size_of::<alacritty_terminal::term::cell::Cell>();
        size_of::<Self>() + rows * (grid.columns() * cell + 32) + self.core.store.memory() + self.parser.memory()
    }

    /// Changes the scrollback's limits.
    pub fn set_limits(&mut self, limits: ScrollbackLimits) {
        self.core
            .store
            .set_limits(usize::try_from(limits.lines).unwrap_or(usize::MAX), limits.bytes);
    }

    /// A number that grows whenever what is visible may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.core.generation
    }
}
