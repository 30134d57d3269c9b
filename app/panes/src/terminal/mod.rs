//! The terminal pane: a program on a PTY, its screen, its scrollback, and copy mode over both. The emulation and the
//! process belong to the engine (`qd-terminal`); this module places cells in the frame and turns input into the bytes
//! that the program expects.

mod select;

use std::{os::fd::BorrowedFd, path::PathBuf, sync::Arc, time::Instant};

use qd_frame::Frame;
use qd_mux::{Action, CopyOp, PaneId};
use qd_search_live::{Kind, Source, Text, Texts};
use qd_terminal::{
    Adopted, ExitStatus, Focus as TermFocus, Link, LinkError, Look as Remains, More, Palette, Pos, Query, Rgb, Scheme,
    SpawnSpec, Terminal, TerminalError, Turn, VtEvent,
};
use qd_tty::{Attrs, Cell, InputEvent, Rect, Size};
use qd_ui::{Look, pane_frame::Scroll};

use self::select::Selection;
use crate::{CopyMode, Cursor, Focus, Pane, PaneEvent, Refused, copy::Outcome};

/// The newest rows of a terminal that can be searched from outside: their bytes are copied on the session's thread.
const SEARCHED: u64 = 500_000;

/// How a terminal pane behaves, from the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalOptions {
    /// Whether a mouse selection is copied when the button is released.
    pub copy_on_select: CopyOnSelect,
}

/// Whether a mouse selection is copied at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CopyOnSelect {
    /// At once.
    #[default]
    Yes,
    /// When asked.
    No,
}

/// Who starts a pane's program, and keeps it.
#[derive(Debug, Clone)]
pub enum Keeper {
    /// This process: the program ends with it.
    Own,
    /// A holder, to which the pane is known by a number.
    Holder(Link, u32),
}

impl Keeper {
    fn spawn(&self, spec: &SpawnSpec) -> Result<Terminal, Refused> {
        match self {
            Self::Own => Terminal::spawn(spec),
            Self::Holder(link, meta) => match Terminal::spawn_held(link, *meta, spec) {
                // Without its holder a session goes on as it can.
                Err(TerminalError::Holder(LinkError::Gone | LinkError::Io(_))) => Terminal::spawn(spec),
                other => other,
            },
        }
        .map_err(|e| Refused(e.to_string()))
    }
}

/// A program on a PTY and what is seen of it.
pub struct TerminalPane {
    term: Terminal,
    keeper: Keeper,
    spec: SpawnSpec,
    exit: Option<ExitStatus>,
    options: TerminalOptions,
    copy: Option<CopyMode>,
    selection: Option<Selection>,
    clicks: (Option<Instant>, u16, u16, u8),
    last_query: Option<Query>,
    events: Vec<PaneEvent>,
    row: Vec<Cell>,
    size: Size,
}

impl TerminalPane {
    /// Starts the program of `spec`.
    ///
    /// # Errors
    /// One sentence, when it cannot be started.
    pub fn spawn(spec: SpawnSpec, options: TerminalOptions, keeper: Keeper) -> Result<Self, Refused> {
        let term = keeper.spawn(&spec)?;
        Ok(Self::new(term, spec, options, keeper))
    }

    /// Takes over a terminal that the server before this one left.
    ///
    /// # Errors
    /// One sentence, when what it left cannot be read.
    pub fn adopt(link: &Link, adopted: Adopted, look: Remains, options: TerminalOptions) -> Result<Self, Refused> {
        let keeper = Keeper::Holder(link.clone(), adopted.meta);
        let spec = adopted.spec.clone();
        let term = Terminal::adopt(link, adopted, look).map_err(|e| Refused(e.to_string()))?;
        let mut pane = Self::new(term, spec, options, keeper);
        pane.size = pane.term.vt().size();
        pane.collect();
        // What happened before this server was told by the one before; names stay.
        pane.events
            .retain(|e| matches!(e, PaneEvent::Title(_) | PaneEvent::Cwd(_)));
        Ok(pane)
    }

    fn new(term: Terminal, spec: SpawnSpec, options: TerminalOptions, keeper: Keeper) -> Self {
        let size = spec.size;
        Self {
            term,
            keeper,
            spec,
            exit: None,
            options,
            copy: None,
            selection: None,
            clicks: (None, 0, 0, 0),
            last_query: None,
            events: Vec::new(),
            row: Vec::new(),
            size,
        }
    }

    /// What its terminal's holder knows it by.
    #[must_use]
    pub fn holder_key(&self) -> Option<u64> {
        self.term.holder_key()
    }

    /// Whether [`TerminalPane::settle`] has something to do.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        self.term.unsettled()
    }

    /// Gives back memory that only a lively program needs.
    pub fn settle(&mut self) {
        self.term.settle();
    }

    /// Reads what the program has written, at most about `budget` bytes.
    pub fn read_turn(&mut self, budget: usize) -> Turn {
        let turn = self.term.read_turn(budget).unwrap_or(Turn {
            bytes: 0,
            more: More::Eof,
        });
        if turn.bytes > 0 {
            self.collect();
        }
        turn
    }

    fn collect(&mut self) {
        for e in self.term.take_events() {
            match e {
                VtEvent::Title(t) => self.events.push(PaneEvent::Title(t)),
                VtEvent::Bell => self.events.push(PaneEvent::Bell),
                VtEvent::Clipboard(data) => self.events.push(PaneEvent::Clipboard(data)),
                VtEvent::ClipboardQuery => self.events.push(PaneEvent::ClipboardQuery),
                VtEvent::Cwd(p) => self.events.push(PaneEvent::Cwd(p)),
                VtEvent::Notify { title, body } => self.events.push(PaneEvent::Notify { title, body }),
                _ => {}
            }
        }
    }

    /// Looks whether the program has ended; reaps it.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.term.try_wait();
            if let Some(s) = self.exit {
                self.events.push(PaneEvent::Exited(describe_exit(s)));
            }
        }
        self.exit
    }

    /// How the program ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// Whether bytes for the program wait for room in the PTY.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.term.wants_write()
    }

    /// Writes what waits, as far as the PTY takes it.
    pub fn flush(&mut self) {
        let _ = self.term.flush();
    }

    /// Bytes for the program, as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.term.write(bytes);
    }

    /// Answers a program that asked for the clipboard.
    pub fn answer_clipboard(&mut self, data: &[u8]) {
        self.term.vt_mut().answer_clipboard(data);
        self.term.send_replies();
    }

    /// Tells the program whether the surroundings are light or dark, for when it asks.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        let (dark, light) = (Rgb::new(0x1e, 0x1e, 0x2e), Rgb::new(0xef, 0xf1, 0xf5));
        let (foreground, background) = if scheme == Scheme::Light {
            (dark, light)
        } else {
            (light, dark)
        };
        let palette = Palette {
            foreground,
            background,
            cursor: foreground,
            scheme,
            ..Palette::default()
        };
        self.term.vt_mut().set_palette(palette);
        self.term.send_replies();
    }

    /// Takes other options from now on.
    pub fn set_options(&mut self, options: TerminalOptions) {
        self.options = options;
    }

    /// Tells the program that its terminal goes away.
    pub fn hang_up(&mut self) {
        self.term.hangup();
    }

    /// Ends the program without asking it.
    pub fn kill(&mut self) {
        self.term.kill();
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Terminal {
        &self.term
    }

    /// Whether copy mode is on.
    #[must_use]
    pub fn in_copy_mode(&self) -> bool {
        self.copy.is_some()
    }

    /// Enters copy mode, with the cursor where the program's is.
    pub fn enter_copy(&mut self) {
        if self.copy.is_none() {
            let vt = self.term.vt();
            let (x, y) = vt
                .cursor()
                .map_or((0, self.size.rows.saturating_sub(1)), |(x, y, _)| (x, y));
            let line = vt.view_top_line() + u64::from(y);
            self.copy = Some(CopyMode::new(Pos { line, col: x }, self.last_query.clone()));
        }
    }

    /// Leaves copy mode; the view returns to the newest line.
    pub fn leave_copy(&mut self) {
        if let Some(c) = self.copy.take() {
            self.last_query = c.query().cloned();
            self.term.vt_mut().scroll_to_bottom();
        }
    }

    /// Whether a paste of this text would run commands the person may not mean to: more than one line, for a program
    /// that did not ask for bracketed paste.
    #[must_use]
    pub fn paste_needs_confirmation(&self, text: &[u8]) -> bool {
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        self.exit.is_none()
            && !self.term.vt().modes().bracketed_paste
            && body.iter().any(|b| matches!(b, b'\n' | b'\r'))
    }

    /// Starts a search from copy mode or from the newest line; enters copy mode.
    ///
    /// # Errors
    /// One sentence, when the text is no valid expression or nothing matches.
    pub fn search(&mut self, text: &str, back: SearchDirection) -> Result<(), Refused> {
        self.enter_copy();
        let Some(copy) = self.copy.as_mut() else { return Ok(()) };
        copy.set_query(text, back);
        copy.search_again(self.term.vt_mut(), back).map_err(Refused)
    }

    /// How many matches the search has, and which one the cursor is on (1-based), for the frame.
    fn copy_status(&self) -> Option<String> {
        self.copy.as_ref().map(CopyMode::status)
    }

    fn copy_op(&mut self, op: CopyOp) -> Result<(), Refused> {
        self.enter_copy();
        let Some(copy) = self.copy.as_mut() else { return Ok(()) };
        match copy.apply(op, self.term.vt_mut()).map_err(Refused)? {
            Outcome::Stay => {}
            Outcome::Prompt(direction) => {
                self.events.push(PaneEvent::SearchPrompt {
                    back: direction == SearchDirection::Older,
                });
            }
            Outcome::Yank(text) => {
                self.events.push(PaneEvent::Copied(text));
                self.leave_copy();
            }
            Outcome::Leave => self.leave_copy(),
        }
        Ok(())
    }

    fn scroll(&mut self, action: &Action) {
        let page = i64::from(self.size.rows.max(2) - 1);
        let vt = self.term.vt_mut();
        match action {
            Action::ScrollUp => vt.scroll_by(1),
            Action::ScrollDown => vt.scroll_by(-1),
            Action::PageScrollUp => vt.scroll_by(page),
            Action::PageScrollDown => vt.scroll_by(-page),
            Action::HalfPageScrollUp => vt.scroll_by((page + 1) / 2),
            Action::HalfPageScrollDown => vt.scroll_by(-(page + 1) / 2),
            Action::ScrollToTop => vt.scroll_to_top(),
            _ => vt.scroll_to_bottom(),
        }
    }
}

/// Towards which end a search runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchDirection {
    /// Towards older lines.
    Older,
    /// Towards newer lines.
    Newer,
}

/// An exit status in words.
fn describe_exit(s: ExitStatus) -> String {
    match (s.code, s.signal) {
        (_, Some(sig)) => format!("killed by signal {sig}"),
        (Some(code), _) => format!("exit {code}"),
        _ => "ended".to_owned(),
    }
}

impl Pane for TerminalPane {
    fn kind(&self) -> &str {
        "terminal"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        let cols = self.term.vt().size().cols;
        self.row.resize(usize::from(cols), Cell::BLANK);
        let rows = self.term.vt().size().rows;
        let w = usize::from(area.w.min(cols));
        for y in 0..area.h {
            let dest_y = area.y + y;
            if dest_y >= frame.size().rows {
                break;
            }
            let line = frame.row_mut(dest_y);
            let (from, to) = (
                usize::from(area.x).min(line.len()),
                usize::from(area.right()).min(line.len()),
            );
            let dest = &mut line[from..to];
            if y < rows {
                self.term.vt().row(y, &mut self.row);
                let n = w.min(dest.len());
                dest[..n].copy_from_slice(&self.row[..n]);
                dest[n..].fill(Cell::BLANK);
                if let Some(last) = dest.get_mut(n.wrapping_sub(1))
                    && n < usize::from(cols)
                    && last.attrs.contains(Attrs::WIDE)
                {
                    *last = Cell::BLANK;
                }
            } else {
                dest.fill(Cell::BLANK);
            }
        }
        if self.copy.is_some() || self.selection.is_some() {
            self.paint_marks(frame, area, look);
        }
        if focus == Focus::Unfocused {
            return None;
        }
        let (x, y, shape) = match &self.copy {
            Some(c) => {
                let at = c.cursor();
                let y = at.line.checked_sub(self.term.vt().view_top_line())?;
                (at.col, u16::try_from(y).ok()?, qd_tty::CursorShape::SteadyBlock)
            }
            None if self.exit.is_some() => return None,
            None => self.term.vt().cursor()?,
        };
        (x < area.w && y < area.h).then_some((area.x + x, area.y + y, shape))
    }

    fn resize(&mut self, size: Size) {
        if size.cols == 0 || size.rows == 0 || size == self.size {
            return;
        }
        self.size = size;
        self.spec.size = size;
        self.selection = None;
        self.term.resize(size);
    }

    fn input(&mut self, event: &InputEvent) -> bool {
        if self.exit.is_some() && !matches!(event, InputEvent::Mouse(_)) {
            return false;
        }
        match event {
            InputEvent::Key(k) => {
                if k.kind != qd_tty::KeyKind::Release {
                    self.selection = None;
                    self.term.vt_mut().scroll_to_bottom();
                }
                self.term.key(k);
            }
            InputEvent::Paste(data) => {
                self.term.vt_mut().scroll_to_bottom();
                self.term.paste(data);
            }
            InputEvent::Mouse(m) => return self.mouse(m),
            InputEvent::FocusGained => self.term.focus(TermFocus::In),
            InputEvent::FocusLost => self.term.focus(TermFocus::Out),
            InputEvent::Unknown(bytes) => self.term.write(bytes),
        }
        true
    }

    fn act(&mut self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::Write(bytes) => self.term.write(bytes),
            Action::WriteChars(text) => self.term.write(text.as_bytes()),
            Action::Paste(text) => self.term.paste(text.as_bytes()),
            Action::SendKeys(chords) => {
                for c in chords {
                    self.term.key(&qd_tty::KeyEvent::new(c.key, c.mods));
                }
            }
            Action::GoToLine(n) => return self.go_to(None, n.saturating_sub(1)),
            Action::ClearScrollback => self.term.vt_mut().clear_scrollback(),
            Action::Copy(op) => return self.copy_op(*op),
            Action::SearchScrollback(text) => return self.search(text, SearchDirection::Older),
            _ => self.scroll(action),
        }
        Ok(())
    }

    fn go_to(&mut self, _part: Option<u32>, line: u64) -> Result<(), Refused> {
        self.enter_copy();
        if let Some(copy) = self.copy.as_mut() {
            copy.visit(Pos { line, col: 0 }, self.term.vt_mut());
        }
        Ok(())
    }

    fn source(&mut self, id: PaneId, title: &str) -> Option<Arc<dyn Source>> {
        let copy = self.term.vt().copy_lines(SEARCHED);
        let text = Text::later(crate::part_id(id, 0), title, move || copy.text());
        Some(Arc::new(Texts::new(Kind::Scrollback, vec![text])))
    }

    fn status(&self) -> String {
        if let Some(s) = self.copy_status() {
            return s;
        }
        match self.exit {
            Some(s) => format!("{} \u{b7} Enter reruns \u{b7} Ctrl-c closes", describe_exit(s)),
            None => String::new(),
        }
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        if self.exit.is_none() {
            self.term.hangup();
        }
        let mut spec = self.spec.clone();
        spec.size = self.size;
        self.term = self.keeper.spawn(&spec)?;
        self.exit = None;
        self.copy = None;
        self.selection = None;
        Ok(())
    }

    fn is_dead(&self) -> bool {
        self.exit.is_some()
    }

    fn screen_text(&self) -> String {
        let vt = self.term.vt();
        let top = vt.view_top_line();
        lines(vt, top, top + u64::from(vt.size().rows))
    }

    fn full_text(&self) -> String {
        let vt = self.term.vt();
        lines(vt, vt.first_line(), vt.screen_top_line() + u64::from(vt.size().rows))
    }

    fn terminal(&mut self) -> Option<&mut TerminalPane> {
        Some(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.term.fd()
    }

    fn pid(&self) -> Option<u32> {
        self.term.pid()
    }

    fn has_selection(&self) -> bool {
        self.selection_range().is_some()
    }

    fn is_scrolled(&self) -> bool {
        self.term.vt().scroll_offset() > 0
    }

    fn scroll(&self) -> Option<Scroll> {
        let vt = self.term.vt();
        let total = vt.history_len() + u64::from(vt.size().rows);
        (vt.scroll_offset() > 0).then(|| Scroll {
            top: vt.history_len().saturating_sub(vt.scroll_offset()),
            visible: u64::from(vt.size().rows),
            total,
        })
    }
}

/// Lines `from` up to `to`, each with its blanks at the end cut, and no blank lines at the end.
fn lines(vt: &qd_terminal::Vt, from: u64, to: u64) -> String {
    let mut out = String::new();
    for n in from..to {
        let line = vt.line_text(n).unwrap_or_default();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let keep = out.trim_end_matches('\n').len();
    out.truncate(keep);
    if keep > 0 {
        out.push('\n');
    }
    out
}

/// The directory a pane's process works in, by the process table.
#[must_use]
pub fn process_cwd(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}
