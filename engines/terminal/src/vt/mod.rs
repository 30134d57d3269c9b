//! skeleton
use std::time::{Duration, Instant};

use qd_tty::{Cell, CursorShape, KeyEvent, MouseEvent, Size};

use crate::{KeyModes, Modes, Palette, Scheme, SearchError, VtEvent};

/// How long a synchronized update (mode 2026) may hold back the screen.
pub const SYNC_TIMEOUT: Duration = Duration::from_millis(150);

/// How much scrollback a terminal keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrollbackLimits {
    /// Lines, at the most.
    pub lines: u32,
    /// Bytes of packed text and styles, at the most.
    pub bytes: usize,
}

impl Default for ScrollbackLimits {
    fn default() -> Self {
        Self {
            lines: 10_000,
            bytes: 16 << 20,
        }
    }
}

/// A place in the scrollback or on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos {
    /// Line, counted from the first line ever; it stays the same while output arrives.
    pub line: u64,
    /// Column, 0-based.
    pub col: u16,
}

/// The shape of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// From one place to the other, as text runs.
    #[default]
    Stream,
    /// Whole lines.
    Line,
    /// The rectangle between two corners.
    Block,
}

/// How letters compare in a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// Case matters when the query has a capital letter.
    #[default]
    Smart,
    /// Case matters.
    Sensitive,
    /// Case does not matter.
    Insensitive,
}

/// What the text of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryKind {
    /// Text as it stands.
    #[default]
    Literal,
    /// A regular expression.
    Regex,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What to look for.
    pub text: String,
    /// How letters compare.
    pub case: Case,
    /// What the text is.
    pub kind: QueryKind,
}

/// The direction of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards newer lines.
    Forward,
    /// Towards older lines.
    Backward,
}

/// A match: its first and its last cell, both inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The first cell.
    pub start: Pos,
    /// The last cell.
    pub end: Pos,
}

/// How many matches there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchCount {
    /// Exactly so many.
    Exact(usize),
    /// At least so many: counting stopped there.
    AtLeast(usize),
}

/// A terminal emulator: bytes in; cells, replies and events out.
pub struct Vt {
    size: Size,
}

impl Vt {
    /// An empty screen of `size`.
    #[must_use]
    pub fn new(size: Size, _limits: ScrollbackLimits) -> Self {
        Self { size }
    }
    /// Parses what the program printed.
    pub fn feed(&mut self, _bytes: &[u8]) {}
    /// Moves the replies for the program to the end of `out`.
    pub fn take_replies(&mut self, _out: &mut Vec<u8>) {}
    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<VtEvent> {
        Vec::new()
    }
    /// Changes the size; text is re-wrapped.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }
    /// The present size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }
    /// Writes the visible row `y` at the present scroll offset to `out`.
    pub fn row(&self, _y: u16, out: &mut [Cell]) {
        out.fill(Cell::BLANK);
    }
    /// Where the cursor stands, and its shape; `None` when hidden or scrolled away.
    #[must_use]
    pub fn cursor(&self) -> Option<(u16, u16, CursorShape)> {
        None
    }
    /// The modes the program has set.
    #[must_use]
    pub fn modes(&self) -> Modes {
        Modes::default()
    }
    /// What decides how keys are written.
    #[must_use]
    pub fn key_modes(&self) -> KeyModes {
        KeyModes::default()
    }
    /// Appends what a key sends.
    pub fn encode_key(&self, _key: &KeyEvent, _out: &mut Vec<u8>) {}
    /// Appends what a mouse event sends; false when the program does not want it.
    pub fn encode_mouse(&self, _event: &MouseEvent, _out: &mut Vec<u8>) -> bool {
        false
    }
    /// Whether a synchronized update is open: the screen should not be drawn now.
    #[must_use]
    pub fn sync_pending(&self) -> bool {
        false
    }
    /// Ends a synchronized update that is open for longer than [`SYNC_TIMEOUT`]; true when the screen may be drawn.
    pub fn sync_expired(&mut self, _now: Instant) -> bool {
        true
    }
    /// Scrolls the view by `lines`; more than 0 is back in time.
    pub fn scroll_by(&mut self, _lines: i64) {}
    /// Scrolls the view to the oldest line.
    pub fn scroll_to_top(&mut self) {}
    /// Scrolls the view to the live screen.
    pub fn scroll_to_bottom(&mut self) {}
    /// Scrolls the least that shows `line`.
    pub fn scroll_to_line(&mut self, _line: u64) {}
    /// How many lines the view is scrolled back; 0 is live.
    #[must_use]
    pub fn scroll_offset(&self) -> u64 {
        0
    }
    /// How many lines there are above the screen.
    #[must_use]
    pub fn history_len(&self) -> u64 {
        0
    }
    /// The number of the oldest line kept.
    #[must_use]
    pub fn first_line(&self) -> u64 {
        0
    }
    /// The number of the live screen's top line.
    #[must_use]
    pub fn screen_top_line(&self) -> u64 {
        0
    }
    /// The number of the view's top line.
    #[must_use]
    pub fn view_top_line(&self) -> u64 {
        0
    }
    /// The text between two places, both included.
    #[must_use]
    pub fn text_range(&self, _start: Pos, _end: Pos, _shape: Shape) -> String {
        String::new()
    }
    /// The text of a line, without trailing blanks; `None` when there is no such line.
    #[must_use]
    pub fn line_text(&self, _line: u64) -> Option<String> {
        None
    }
    /// Whether a line goes on in the next.
    #[must_use]
    pub fn line_wrapped(&self, _line: u64) -> bool {
        false
    }
    /// The first match at or after (or before) `from`; it does not wrap around.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn search(&self, _query: &Query, _from: Pos, _dir: Direction) -> Result<Option<Match>, SearchError> {
        Ok(None)
    }
    /// How many matches there are, counted up to `cap`.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn count_matches(&self, _query: &Query, _cap: usize) -> Result<MatchCount, SearchError> {
        Ok(MatchCount::Exact(0))
    }
    /// The matches in a range of lines.
    ///
    /// # Errors
    /// When the query is empty or not a regular expression.
    pub fn matches_in(&self, _query: &Query, _lines: std::ops::Range<u64>) -> Result<Vec<Match>, SearchError> {
        Ok(Vec::new())
    }
    /// Forgets the scrollback.
    pub fn clear_scrollback(&mut self) {}
    /// Resets the emulator as `ESC c` does.
    pub fn reset(&mut self) {}
    /// Sets the colours that queries are answered with.
    pub fn set_palette(&mut self, _palette: Palette) {}
    /// Tells the program that dark and light changed, where it asked (2031).
    pub fn set_scheme(&mut self, _scheme: Scheme) {}
    /// The lines where prompts begin (OSC 133;A), oldest first.
    #[must_use]
    pub fn prompts(&self) -> Vec<u64> {
        Vec::new()
    }
    /// The title; empty when none.
    #[must_use]
    pub fn title(&self) -> &str {
        ""
    }
    /// Answers a clipboard query.
    pub fn answer_clipboard(&mut self, _data: &[u8]) {}
    /// The bytes it holds, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        0
    }
    /// Changes the scrollback's limits.
    pub fn set_limits(&mut self, _limits: ScrollbackLimits) {}
    /// A number that changes whenever the visible content may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        0
    }
}
