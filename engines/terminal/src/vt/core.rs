//! The emulator proper: it takes what the parser finds and applies it to alacritty's `Term`, which serves as the model of
//! the screen, and keeps the state that `Term` lacks or hides. It owns both, the cold store and the pending replies and
//! events; it never blocks, reads a clock or grows without bound.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Instant,
};

use alacritty_terminal::{
    event::VoidListener,
    index::{Column, Line},
    term::{Term, TermMode, cell::Flags},
    vte::ansi::{CharsetIndex, Handler, StandardCharset},
};
use qd_tty::{CursorShape, Size};
use unicode_width::UnicodeWidthChar;

use super::{
    cells::{self, Hint},
    grid::{Dims, Tabs, new_term},
    parser::{Params, Perform, Terminator},
};
use crate::{ModifyOtherKeys, Palette, Rgb, VtEvent, scrollback::Scrollback};

/// How many zero-width characters a cell takes.
const ZERO_WIDTH_MAX: usize = 16;
/// How many events wait, at the most; later ones are dropped.
const EVENTS_MAX: usize = 1024;
/// How many bytes of replies wait, at the most; later ones are dropped.
const REPLIES_MAX: usize = 1 << 20;

/// Whether plain text takes the short way. The other one is for tests that compare the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Fast,
    #[cfg(test)]
    Slow,
}

/// The modes that `Term` does not know.
#[derive(Debug, Clone, Default)]
pub(super) struct MoreModes {
    pub(super) mouse_x10: bool,
    pub(super) urxvt_mouse: bool,
    pub(super) backarrow: bool,
    pub(super) reverse_screen: bool,
    pub(super) scheme_events: bool,
    pub(super) modify_other: ModifyOtherKeys,
}

/// A synchronized update (mode 2026).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Closed,
    /// Open; the caller has not asked about the time yet.
    Open,
    /// Open since the caller first asked.
    Since(Instant),
}

/// The emulator's state.
pub(super) struct Core {
    pub(super) term: Term<VoidListener>,
    pub(super) dims: Dims,
    /// The size that programs are told, which may be smaller than the grid's least.
    pub(super) told: Size,
    pub(super) path: Path,
    /// The scroll region, as `Term` has it.
    pub(super) region: Range<usize>,
    /// The active character set, as `Term` has it.
    pub(super) charset: CharsetIndex,
    /// The tab stops, as `Term` has them.
    pub(super) tabs: Tabs,
    pub(super) last_char: Option<char>,
    pub(super) store: Scrollback,
    /// Rows above the main screen in its grid, while the alternate screen is shown.
    pub(super) hot_behind: usize,
    /// The alternate screen was shown since the last full reset.
    pub(super) alt_used: bool,
    /// The main grid has room for all rows it may take.
    pub(super) roomy: bool,
    /// What is known of each row above the main screen.
    pub(super) widths: VecDeque<Hint>,
    /// The same for the rows of the screen; void while `touched`.
    pub(super) screen_widths: VecDeque<Hint>,
    pub(super) touched: bool,
    /// The view's top line, when it is scrolled back.
    pub(super) view: Option<u64>,
    pub(super) prompts: VecDeque<u64>,
    pub(super) more: MoreModes,
    /// The kitty keyboard flags of the main and of the alternate screen: a stack each, the last is in force.
    pub(super) kitty: [Vec<u8>; 2],
    pub(super) sync: Sync,
    pub(super) cursor_shape: CursorShape,
    pub(super) title: String,
    pub(super) titles: Vec<String>,
    pub(super) palette: Palette,
    /// Colours that the program changed: 0 to 255, then foreground, background, cursor.
    pub(super) colors: BTreeMap<u16, Rgb>,
    /// Pieces of kitty notifications (OSC 99), by id.
    pub(super) notes: VecDeque<(String, String, String)>,
    pub(super) replies: Vec<u8>,
    pub(super) events: Vec<VtEvent>,
    pub(super) generation: u64,
}

impl Core {
    pub(super) fn new(size: Size, mut store: Scrollback) -> Self {
        let dims = Dims::of(size);
        store.rewrap(dims.cols, &mut []);
        Self {
            term: new_term(dims),
            dims,
            told: size,
            path: Path::Fast,
            region: 0..dims.rows,
            charset: CharsetIndex::G0,
            tabs: Tabs::new(dims.cols),
            last_char: None,
            store,
            hot_behind: 0,
            alt_used: false,
            roomy: false,
            widths: VecDeque::new(),
            screen_widths: VecDeque::new(),
            touched: true,
            view: None,
            prompts: VecDeque::new(),
            more: MoreModes::default(),
            kitty: [Vec::new(), Vec::new()],
            sync: Sync::Closed,
            cursor_shape: CursorShape::Default,
            title: String::new(),
            titles: Vec::new(),
            palette: Palette::default(),
            colors: BTreeMap::new(),
            notes: VecDeque::new(),
            replies: Vec::new(),
            events: Vec::new(),
            generation: 0,
        }
    }

    pub(super) fn reply(&mut self, bytes: &[u8]) {
        if self.replies.len() + bytes.len() <= REPLIES_MAX {
            self.replies.extend_from_slice(bytes);
        }
    }

    pub(super) fn event(&mut self, e: VtEvent) {
        use std::mem::discriminant;
        let same = |x: &VtEvent| discriminant(x) == discriminant(&e);
        match e {
            VtEvent::Bell if self.events.contains(&e) => return,
            // They may be large, and only the newest counts.
            VtEvent::Clipboard(_) => self.events.retain(|x| !same(x)),
            // Only the newest of what comes in a row matters.
            VtEvent::Title(_) | VtEvent::Progress(_) | VtEvent::CursorShape(_) | VtEvent::Cwd(_)
                if self.events.last().is_some_and(same) =>
            {
                self.events.pop();
            }
            _ => {}
        }
        if self.events.len() < EVENTS_MAX {
            self.events.push(e);
        }
    }

    /// The number of the screen's top line.
    pub(super) fn screen_top(&self) -> u64 {
        self.store.next() + self.hot() as u64
    }

    /// The number of the line that the cursor stands on.
    pub(super) fn cursor_line(&self) -> u64 {
        self.screen_top() + u64::try_from(self.term.grid().cursor.point.line.0).unwrap_or(0)
    }

    /// Puts one character on the screen, by way of `Term`.
    pub(super) fn put(&mut self, c: char) {
        self.room(2);
        if c.width() == Some(0) {
            self.attach(c);
        } else {
            self.term.input(c);
        }
    }

    /// Attaches a zero-width character to the cell before the cursor, where it has not too many already.
    fn attach(&mut self, c: char) {
        let cursor = &self.term.grid().cursor;
        let mut col = cursor.point.column.0;
        if !cursor.input_needs_wrap {
            col = col.saturating_sub(1);
        }
        let row = &self.term.grid()[cursor.point.line];
        if row[Column(col)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            col = col.saturating_sub(1);
        }
        if row[Column(col)].zerowidth().is_none_or(|z| z.len() < ZERO_WIDTH_MAX) {
            self.term.input(c);
        }
    }

    /// Whether text may be written straight into the cells.
    #[inline]
    pub(super) fn plain(&self) -> bool {
        let mode = self.term.mode();
        let cursor = &self.term.grid().cursor;
        self.path == Path::Fast
            && mode.contains(TermMode::LINE_WRAP)
            && !mode.contains(TermMode::INSERT)
            && cursor.charsets[self.charset] == StandardCharset::Ascii
            && cursor.template.extra.is_none()
    }

    #[inline]
    fn widths_ready(&mut self) {
        if self.touched {
            self.touched = false;
            self.screen_widths.clear();
            self.screen_widths.resize(self.dims.rows, Hint::UNKNOWN);
        }
    }

    /// Writes printable ASCII straight into the cells, exactly as `Term::input` would.
    fn write_plain(&mut self, mut text: &[u8]) {
        self.widths_ready();
        let cols = self.dims.cols;
        while !text.is_empty() {
            if self.term.grid().cursor.input_needs_wrap {
                self.wrap();
            }
            let grid = self.term.grid_mut();
            let (fg, bg, flags) = (
                grid.cursor.template.fg,
                grid.cursor.template.bg,
                grid.cursor.template.flags,
            );
            let default_style = cells::default_style(&grid.cursor.template);
            let at = grid.cursor.point;
            let col = at.column.0;
            let n = text.len().min(cols - col);
            let cells = &mut grid[at.line][Column(col)..Column(col + n)];
            let mut done = n;
            for (i, (cell, b)) in cells.iter_mut().zip(text).enumerate() {
                if cell.flags.intersects(Flags::WIDE_CHAR.union(Flags::WIDE_CHAR_SPACER)) {
                    done = i;
                    break;
                }
                cell.c = char::from(*b);
                cell.fg = fg;
                cell.bg = bg;
                cell.flags = flags;
                if cell.extra.is_some() {
                    cell.extra = None;
                }
            }
            let end = col + done;
            if end == cols {
                grid.cursor.point.column = Column(cols - 1);
                grid.cursor.input_needs_wrap = true;
            } else {
                grid.cursor.point.column = Column(end);
            }
            if let Some(w) = usize::try_from(at.line.0)
                .ok()
                .and_then(|i| self.screen_widths.get_mut(i))
            {
                w.written(end, default_style);
            }
            text = &text[done..];
            if done < n {
                // Overwriting half of a wide character has rules of its own.
                if let Some((b, rest)) = text.split_first() {
                    self.put(char::from(*b));
                    self.touched = true;
                    self.widths_ready();
                    text = rest;
                }
            }
        }
    }

    /// Goes to the next line because the last one is full.
    #[inline]
    fn wrap(&mut self) {
        self.term.grid_mut().cursor_cell().flags.insert(Flags::WRAPLINE);
        // A line feed keeps the pending wrap, so this row may be one that nothing was written to yet.
        let line = usize::try_from(self.term.grid().cursor.point.line.0).unwrap_or(0);
        if let Some(w) = self.screen_widths.get_mut(line) {
            w.written(self.dims.cols, true);
        }
        let bottom = i32::try_from(self.region.end).unwrap_or(i32::MAX);
        let grid = self.term.grid_mut();
        if grid.cursor.point.line + 1 >= bottom {
            self.linefeed();
        } else {
            grid.cursor.point.line += 1;
        }
        let cursor = &mut self.term.grid_mut().cursor;
        cursor.point.column = Column(0);
        cursor.input_needs_wrap = false;
    }

    /// Line feed: down, or scrolls at the bottom of the region.
    #[inline]
    pub(super) fn linefeed(&mut self) {
        let rows = self.dims.rows;
        let next = usize::try_from(self.term.grid().cursor.point.line.0 + 1).unwrap_or(0);
        if next == self.region.end {
            if self.path == Path::Fast && self.region == (0..rows) {
                self.room(1);
                let bottom = Line(i32::try_from(rows).unwrap_or(i32::MAX));
                if !self.alt() {
                    self.sync_widths();
                    self.widths_ready();
                    let gone = self.screen_widths.pop_front().unwrap_or(Hint::UNKNOWN);
                    self.widths.push_back(gone);
                    let plain = cells::color(self.term.grid().cursor.template.bg).is_default();
                    self.screen_widths
                        .push_back(if plain { Hint::BLANK } else { Hint::UNKNOWN });
                }
                self.term.grid_mut().scroll_up(&(Line(0)..bottom), 1);
            } else {
                self.touched = true;
                self.room(1);
                self.term.linefeed();
            }
        } else if next < rows {
            self.term.grid_mut().cursor.point.line += 1;
        }
    }

    #[inline]
    fn carriage_return(&mut self) {
        let cursor = &mut self.term.grid_mut().cursor;
        cursor.point.column = Column(0);
        cursor.input_needs_wrap = false;
    }

    pub(super) fn set_charset(&mut self, index: CharsetIndex) {
        self.charset = index;
        self.term.set_active_charset(index);
    }
}

impl Perform for Core {
    #[inline]
    fn ascii(&mut self, text: &[u8]) {
        if self.plain() {
            self.write_plain(text);
        } else {
            self.touched = true;
            for b in text {
                self.put(char::from(*b));
            }
        }
        self.last_char = text.last().map(|b| char::from(*b));
    }

    fn print(&mut self, c: char) {
        self.touched = true;
        self.put(c);
        self.last_char = Some(c);
    }

    #[inline]
    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' | 0x0b | 0x0c => {
                self.linefeed();
                if self.term.mode().contains(TermMode::LINE_FEED_NEW_LINE) {
                    self.carriage_return();
                }
            }
            b'\r' => self.carriage_return(),
            b'\t' => {
                self.touched = true;
                self.room(1);
                self.term.put_tab(1);
            }
            0x08 => self.term.backspace(),
            0x07 => self.event(VtEvent::Bell),
            0x0e => self.set_charset(CharsetIndex::G1),
            0x0f => self.set_charset(CharsetIndex::G0),
            _ => {}
        }
    }

    fn csi(&mut self, params: &Params, inter: &[u8], last: u8) {
        self.on_csi(params, inter, last);
    }

    fn esc(&mut self, inter: &[u8], last: u8) {
        self.touched = true;
        self.on_esc(inter, last);
    }

    fn osc(&mut self, data: &[u8], end: Terminator) {
        self.on_osc(data, end);
    }

    fn dcs(&mut self, params: &Params, inter: &[u8], last: u8, data: &[u8]) {
        self.on_dcs(params, inter, last, data);
    }
}
