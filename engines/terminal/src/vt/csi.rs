//! Control and escape sequences: which they are, what they do to the screen, and what they are answered.
//! Facts from xterm's ctlseqs (<https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>) and the kitty keyboard protocol
//! (<https://sw.kovidgoyal.net/kitty/keyboard-protocol/>).

use alacritty_terminal::{
    grid::Dimensions,
    index::{Column, Line},
    term::TermMode,
    vte::ansi::{
        CharsetIndex, ClearMode, Handler, LineClearMode, Mode, NamedMode, NamedPrivateMode, PrivateMode,
        StandardCharset, TabulationClearMode,
    },
};
use qd_tty::CursorShape;

use super::{
    core::{Core, Sync},
    parser::Params,
};
use crate::{ModifyOtherKeys, Scheme, VtEvent};

/// The size of a cell that is told to programs which ask in pixels: what most fonts have, about.
const CELL_PIXELS: (usize, usize) = (8, 16);
/// How deep the stacks of titles and of keyboard flags are.
pub(super) const STACK_MAX: usize = 32;

fn private(mode: u16) -> Option<NamedPrivateMode> {
    use NamedPrivateMode as M;
    Some(match mode {
        1 => M::CursorKeys,
        6 => M::Origin,
        7 => M::LineWrap,
        12 => M::BlinkingCursor,
        25 => M::ShowCursor,
        1000 => M::ReportMouseClicks,
        1002 => M::ReportCellMouseMotion,
        1003 => M::ReportAllMouseMotion,
        1004 => M::ReportFocusInOut,
        1005 => M::Utf8Mouse,
        1006 => M::SgrMouse,
        1007 => M::AlternateScroll,
        1042 => M::UrgencyHints,
        2004 => M::BracketedPaste,
        _ => return None,
    })
}

impl Core {
    pub(super) fn on_csi(&mut self, p: &Params, inter: &[u8], last: u8) {
        match (inter, last) {
            ([], b'm') => return self.sgr(p),
            ([], b'A' | b'B' | b'C' | b'D' | b'E' | b'F' | b'G' | b'H' | b'a' | b'd' | b'e' | b'f' | b'`') => {
                return self.motion(p, last);
            }
            _ => self.touched = true,
        }
        let n = usize::from(p.get(0, 1));
        let rows = self.dims.rows;
        match (inter, last) {
            ([], b'@') => self.term.insert_blank(n),
            ([], b'I') => self.term.move_forward_tabs(p.get(0, 1).min(self.cols16())),
            ([], b'Z') => {
                self.term.grid_mut().cursor.input_needs_wrap = false;
                self.term.move_backward_tabs(p.get(0, 1).min(self.cols16()));
            }
            ([] | [b'?'], b'J') => self.erase_display(p.get(0, 0), inter.is_empty()),
            ([] | [b'?'], b'K') => {
                let mode = match p.get(0, 0) {
                    0 => LineClearMode::Right,
                    1 => LineClearMode::Left,
                    2 => LineClearMode::All,
                    _ => return,
                };
                self.term.clear_line(mode);
            }
            ([], b'L') => self.term.insert_blank_lines(n.min(rows)),
            ([], b'M') => {
                self.room(rows);
                self.term.delete_lines(n.min(rows));
            }
            ([], b'P') => self.term.delete_chars(n),
            ([], b'S') => {
                self.room(rows);
                self.term.scroll_up(n.min(rows));
            }
            ([], b'T') => self.term.scroll_down(n.min(rows)),
            ([], b'X') => self.term.erase_chars(n),
            ([], b'b') => {
                if let Some(c) = self.last_char {
                    for _ in 0..n.min(rows * self.dims.cols) {
                        self.put(c);
                    }
                }
            }
            ([], b'c') if p.get(0, 0) == 0 => self.reply(b"\x1b[?62;22c"),
            ([b'>'], b'c') if p.get(0, 0) == 0 => self.reply(b"\x1b[>0;400;0c"),
            ([b'='], b'c') if p.get(0, 0) == 0 => self.reply(b"\x1bP!|51444B00\x1b\\"),
            ([], b'g') => match p.get(0, 0) {
                0 => {
                    self.term.clear_tabs(TabulationClearMode::Current);
                    self.set_tab(false);
                }
                3 => {
                    self.term.clear_tabs(TabulationClearMode::All);
                    self.tabs.0.fill(false);
                }
                _ => {}
            },
            ([b'?'], b'W') if p.get(0, 0) == 5 => self.term.set_tabs(8),
            ([], b'h' | b'l') => {
                for m in p.iter() {
                    self.set_mode(m[0], last == b'h');
                }
            }
            ([b'?'], b'h' | b'l') => {
                for m in p.iter() {
                    self.set_private(m[0], last == b'h');
                }
            }
            ([b'>'], b'm') => self.modify_other_keys(p),
            ([b'?'], b'm') if p.get(0, 0) == 4 => {
                let level = self.more.modify_other as u8;
                self.reply(format!("\x1b[>4;{level}m").as_bytes());
            }
            ([b'>'], b'n') if p.get(0, 0) == 4 => self.more.modify_other = ModifyOtherKeys::Off,
            ([], b'n') => self.status(p.get(0, 0)),
            ([b'?'], b'n') => self.private_status(p.get(0, 0)),
            ([b'!'], b'p') => self.soft_reset(),
            ([b'$'], b'p') => {
                let mode = p.get(0, 0);
                let state = match mode {
                    4 => self.on(TermMode::INSERT),
                    20 => self.on(TermMode::LINE_FEED_NEW_LINE),
                    _ => 0,
                };
                self.reply(format!("\x1b[{mode};{state}$y").as_bytes());
            }
            ([b'?', b'$'], b'p') => {
                let mode = p.get(0, 0);
                let state = self.private_state(mode);
                self.reply(format!("\x1b[?{mode};{state}$y").as_bytes());
            }
            ([b'*'], b'y') => self.rectangle_checksum(p),
            ([b' '], b'q') => self.cursor_style(p.get(0, 0)),
            ([b'>'], b'q') if p.get(0, 0) == 0 => {
                self.reply(concat!("\x1bP>|Quarterdeck ", env!("CARGO_PKG_VERSION"), "\x1b\\").as_bytes());
            }
            ([], b'r') => self.set_region(p),
            ([], b's') => self.term.save_cursor_position(),
            ([], b'u') => self.restore_cursor(),
            ([], b't') => self.window(p),
            ([b'?' | b'=' | b'>' | b'<'], b'u') => self.kitty_keys(inter[0], p),
            _ => {}
        }
    }

    /// Notes a tab stop in the cursor's column, or none.
    fn set_tab(&mut self, on: bool) {
        let col = self.term.grid().cursor.point.column.0;
        if let Some(t) = self.tabs.0.get_mut(col) {
            *t = on;
        }
    }

    fn cols16(&self) -> u16 {
        u16::try_from(self.dims.cols).unwrap_or(u16::MAX)
    }

    fn motion(&mut self, p: &Params, last: u8) {
        let n = usize::from(p.get(0, 1));
        let n32 = i32::from(p.get(0, 1));
        match last {
            b'A' | b'F' => self.vertical(-n32, last == b'F'),
            b'B' | b'e' | b'E' => self.vertical(n32, last == b'E'),
            b'C' | b'a' => self.term.move_forward(n),
            b'D' => {
                self.term.move_backward(n);
            }
            b'G' | b'`' => {
                let line = self.term.grid().cursor.point.line;
                let cursor = &mut self.term.grid_mut().cursor;
                cursor.point.line = line;
                cursor.point.column = Column((n - 1).min(self.dims.cols - 1));
                cursor.input_needs_wrap = false;
            }
            b'd' => self.term.goto(n32 - 1, self.term.grid().cursor.point.column.0),
            _ => self.term.goto(n32 - 1, usize::from(p.get(1, 1)) - 1),
        }
    }

    /// Moves up or down; the margins stop a cursor that is inside them.
    fn vertical(&mut self, by: i32, home: bool) {
        let bottom = i32::try_from(self.dims.rows).unwrap_or(i32::MAX) - 1;
        let (start, end) = (
            i32::try_from(self.region.start).unwrap_or(0),
            i32::try_from(self.region.end).unwrap_or(i32::MAX) - 1,
        );
        let cursor = &mut self.term.grid_mut().cursor;
        let at = cursor.point.line.0;
        let to = at.saturating_add(by);
        let to = if by < 0 {
            to.max(if at >= start { start } else { 0 })
        } else {
            to.min(if at <= end { end } else { bottom })
        };
        cursor.point.line = Line(to.clamp(0, bottom));
        if home {
            cursor.point.column = Column(0);
        }
        cursor.input_needs_wrap = false;
    }

    fn erase_display(&mut self, mode: u16, all: bool) {
        let mode = match mode {
            0 => ClearMode::Below,
            1 => ClearMode::Above,
            2 => ClearMode::All,
            3 if all => return self.clear_history(),
            _ => return,
        };
        self.room(self.dims.rows);
        let second = matches!(mode, ClearMode::Above) && self.term.grid().cursor.point.line == 1;
        self.term.clear_screen(mode);
        if second {
            // `Term` forgets the first line when the cursor is on the second.
            self.term.grid_mut().reset_region(Line(0)..Line(1));
        }
    }

    pub(super) fn clear_history(&mut self) {
        let hot = self.hot() as u64;
        self.with_main(|c| {
            c.term.grid_mut().clear_history();
            c.widths.clear();
        });
        self.store.clear(hot);
        self.view = None;
        let top = self.store.next();
        self.prompts.retain(|p| *p >= top);
    }

    /// DECRQCRA: conformance suites read the screen by it, a cell at a time. The sum of the characters, negated as xterm
    /// does.
    fn rectangle_checksum(&mut self, p: &Params) {
        let (id, rows, cols) = (p.get(0, 0), self.dims.rows, self.dims.cols);
        let origin = if self.term.mode().contains(TermMode::ORIGIN) {
            self.region.start
        } else {
            0
        };
        let row = |i: usize, default: usize| match usize::from(p.get(i, 0)) {
            0 => default,
            n => n + origin,
        };
        let top = row(2, 1 + origin).max(1) - 1;
        let bottom = row(4, rows).min(rows);
        let left = usize::from(p.get(3, 1)) - 1;
        let right = match usize::from(p.get(5, 0)) {
            0 => cols,
            n => n.min(cols),
        };
        let grid = self.term.grid();
        let mut sum = 0u32;
        for y in top..bottom {
            let line = &grid[Line(i32::try_from(y).unwrap_or(0))];
            for x in left..right {
                sum = sum.wrapping_add(u32::from(line[Column(x)].c));
            }
        }
        let sum = sum.wrapping_neg() & 0xffff;
        self.reply(format!("\x1bP{id}!~{sum:04X}\x1b\\").as_bytes());
    }

    fn set_region(&mut self, p: &Params) {
        let rows = self.dims.rows;
        let top = usize::from(p.get(0, 1));
        let bottom = match usize::from(p.get(1, 0)) {
            0 => rows,
            b => b.min(rows),
        };
        if top < bottom {
            self.region = top - 1..bottom;
            self.term.set_scrolling_region(top, Some(bottom));
        }
    }

    fn restore_cursor(&mut self) {
        self.term.restore_cursor_position();
        let (rows, cols) = (self.dims.rows, self.dims.cols);
        let cursor = &mut self.term.grid_mut().cursor;
        cursor.point.line = Line(
            cursor
                .point
                .line
                .0
                .clamp(0, i32::try_from(rows).unwrap_or(i32::MAX) - 1),
        );
        cursor.point.column = Column(cursor.point.column.0.min(cols - 1));
    }

    pub(super) fn cursor_style(&mut self, n: u16) {
        let shape = match n {
            0 => CursorShape::Default,
            1 => CursorShape::BlinkingBlock,
            2 => CursorShape::SteadyBlock,
            3 => CursorShape::BlinkingUnderline,
            4 => CursorShape::SteadyUnderline,
            5 => CursorShape::BlinkingBar,
            6 => CursorShape::SteadyBar,
            _ => return,
        };
        if self.cursor_shape != shape {
            self.cursor_shape = shape;
            self.event(VtEvent::CursorShape(shape));
        }
    }

    fn modify_other_keys(&mut self, p: &Params) {
        match (p.get(0, 0), p.get(1, 0)) {
            (0 | 4, 0) => self.more.modify_other = ModifyOtherKeys::Off,
            (4, 1) => self.more.modify_other = ModifyOtherKeys::Some,
            (4, 2) => self.more.modify_other = ModifyOtherKeys::All,
            _ => {}
        }
    }

    fn kitty_keys(&mut self, kind: u8, p: &Params) {
        let screen = usize::from(self.alt());
        let now = self.kitty_flags();
        let stack = &mut self.kitty[screen];
        let flags = (p.get(0, 0) & 31) as u8;
        match kind {
            b'?' => self.reply(format!("\x1b[?{now}u").as_bytes()),
            b'=' => {
                let new = match p.get(1, 1) {
                    2 => now | flags,
                    3 => now & !flags,
                    _ => flags,
                };
                match stack.last_mut() {
                    Some(top) => *top = new,
                    None => stack.push(new),
                }
            }
            b'>' => {
                if stack.is_empty() {
                    // Popping it brings back what was in force before.
                    stack.push(0);
                }
                if stack.len() >= STACK_MAX {
                    stack.remove(0);
                }
                stack.push(flags);
            }
            _ => {
                let left = stack.len().saturating_sub(usize::from(p.get(0, 1)));
                stack.truncate(left);
            }
        }
    }

    /// The kitty keyboard flags in force.
    pub(super) fn kitty_flags(&self) -> u8 {
        self.kitty[usize::from(self.alt())].last().copied().unwrap_or(0)
    }

    fn status(&mut self, what: u16) {
        match what {
            5 => self.reply(b"\x1b[0n"),
            6 => {
                let (row, col) = self.report_position();
                self.reply(format!("\x1b[{row};{col}R").as_bytes());
            }
            _ => {}
        }
    }

    fn report_position(&self) -> (i64, usize) {
        let at = self.term.grid().cursor.point;
        let top = if self.term.mode().contains(TermMode::ORIGIN) {
            self.region.start as i64
        } else {
            0
        };
        (i64::from(at.line.0) - top + 1, at.column.0 + 1)
    }

    fn private_status(&mut self, what: u16) {
        match what {
            6 => {
                let (row, col) = self.report_position();
                self.reply(format!("\x1b[?{row};{col};1R").as_bytes());
            }
            15 => self.reply(b"\x1b[?13n"),
            25 => self.reply(b"\x1b[?20n"),
            26 => self.reply(b"\x1b[?27;1;0;0n"),
            53 | 55 => self.reply(b"\x1b[?50n"),
            56 => self.reply(b"\x1b[?57;0n"),
            996 => self.report_scheme(),
            _ => {}
        }
    }

    pub(super) fn report_scheme(&mut self) {
        self.reply(match self.palette.scheme {
            Scheme::Dark => b"\x1b[?997;1n",
            Scheme::Light => b"\x1b[?997;2n",
        });
    }

    /// Window operations: the questions are answered, the orders are not obeyed.
    fn window(&mut self, p: &Params) {
        let (rows, cols) = (usize::from(self.told.rows), usize::from(self.told.cols));
        let (w, h) = CELL_PIXELS;
        let text = match p.get(0, 0) {
            11 => "\x1b[1t".to_owned(),
            13 => "\x1b[3;0;0t".to_owned(),
            14 => format!("\x1b[4;{};{}t", rows * h, cols * w),
            15 => format!("\x1b[5;{};{}t", rows * h, cols * w),
            16 => format!("\x1b[6;{h};{w}t"),
            18 => format!("\x1b[8;{rows};{cols}t"),
            19 => format!("\x1b[9;{rows};{cols}t"),
            // A title comes from anywhere; sent back it would be typed into the shell.
            20 => "\x1b]L\x1b\\".to_owned(),
            21 => "\x1b]l\x1b\\".to_owned(),
            22 if p.get(1, 0) != 1 => {
                if self.titles.len() >= STACK_MAX {
                    self.titles.remove(0);
                }
                self.titles.push(self.title.clone());
                return;
            }
            23 if p.get(1, 0) != 1 => {
                if let Some(t) = self.titles.pop() {
                    self.set_title(t);
                }
                return;
            }
            _ => return,
        };
        self.reply(text.as_bytes());
    }

    pub(super) fn set_mode(&mut self, mode: u16, on: bool) {
        let named = match mode {
            4 => NamedMode::Insert,
            20 => NamedMode::LineFeedNewLine,
            _ => return,
        };
        if on {
            self.term.set_mode(Mode::Named(named));
        } else {
            self.term.unset_mode(Mode::Named(named));
        }
    }

    fn set_private(&mut self, mode: u16, on: bool) {
        match mode {
            5 => self.more.reverse_screen = on,
            9 => {
                for m in [1000, 1002, 1003] {
                    self.forward_private(m, false);
                }
                self.more.mouse_x10 = on;
            }
            47 | 1047 | 1049 => self.switch_screen(on),
            1048 if on => self.term.save_cursor_position(),
            1048 => self.restore_cursor(),
            66 if on => self.term.set_keypad_application_mode(),
            66 => self.term.unset_keypad_application_mode(),
            67 => self.more.backarrow = on,
            1015 => {
                if on {
                    self.forward_private(1005, false);
                    self.forward_private(1006, false);
                }
                self.more.urxvt_mouse = on;
            }
            2026 => {
                self.sync = if on {
                    if self.sync == Sync::Closed {
                        Sync::Open
                    } else {
                        self.sync
                    }
                } else {
                    Sync::Closed
                }
            }
            2031 => self.more.scheme_events = on,
            _ => {
                if matches!(mode, 1000 | 1002 | 1003) {
                    self.more.mouse_x10 = false;
                }
                if on && matches!(mode, 1005 | 1006) {
                    self.more.urxvt_mouse = false;
                }
                self.forward_private(mode, on);
            }
        }
    }

    pub(super) fn forward_private(&mut self, mode: u16, on: bool) {
        let Some(named) = private(mode) else { return };
        if on {
            self.term.set_private_mode(PrivateMode::Named(named));
        } else {
            self.term.unset_private_mode(PrivateMode::Named(named));
        }
        if mode == 6 && !on {
            self.term.goto(0, 0);
        }
    }

    fn switch_screen(&mut self, alt: bool) {
        if alt == self.alt() {
            return;
        }
        if alt {
            self.hot_behind = self.term.grid().history_size();
            self.alt_used = true;
        }
        self.term.swap_alt();
        self.touched = true;
        self.event(VtEvent::ScreenSwitched);
    }

    fn on(&self, flag: TermMode) -> u8 {
        if self.term.mode().contains(flag) { 1 } else { 2 }
    }

    fn private_state(&self, mode: u16) -> u8 {
        let own = |on: bool| if on { 1 } else { 2 };
        match mode {
            1 => self.on(TermMode::APP_CURSOR),
            5 => own(self.more.reverse_screen),
            6 => self.on(TermMode::ORIGIN),
            7 => self.on(TermMode::LINE_WRAP),
            9 => own(self.more.mouse_x10),
            12 => own(matches!(
                self.cursor_shape,
                CursorShape::BlinkingBlock | CursorShape::BlinkingUnderline | CursorShape::BlinkingBar
            )),
            25 => self.on(TermMode::SHOW_CURSOR),
            47 | 1047 | 1049 => self.on(TermMode::ALT_SCREEN),
            66 => self.on(TermMode::APP_KEYPAD),
            67 => own(self.more.backarrow),
            1000 => self.on(TermMode::MOUSE_REPORT_CLICK),
            1002 => self.on(TermMode::MOUSE_DRAG),
            1003 => self.on(TermMode::MOUSE_MOTION),
            1004 => self.on(TermMode::FOCUS_IN_OUT),
            1005 => self.on(TermMode::UTF8_MOUSE),
            1006 => self.on(TermMode::SGR_MOUSE),
            1007 => self.on(TermMode::ALTERNATE_SCROLL),
            1015 => own(self.more.urxvt_mouse),
            1042 => self.on(TermMode::URGENCY_HINTS),
            2004 => self.on(TermMode::BRACKETED_PASTE),
            2026 => own(self.sync != Sync::Closed),
            2031 => own(self.more.scheme_events),
            _ => 0,
        }
    }

    pub(super) fn on_esc(&mut self, inter: &[u8], last: u8) {
        match (inter, last) {
            ([], b'D') => self.linefeed(),
            ([], b'E') => {
                self.linefeed();
                self.term.carriage_return();
            }
            ([], b'H') => {
                self.term.set_horizontal_tabstop();
                self.set_tab(true);
            }
            ([], b'M') => self.term.reverse_index(),
            ([], b'Z') => self.reply(b"\x1b[?62;22c"),
            ([], b'c') => self.full_reset(),
            ([], b'7') => self.term.save_cursor_position(),
            ([], b'8') => self.restore_cursor(),
            ([], b'=') => self.term.set_keypad_application_mode(),
            ([], b'>') => self.term.unset_keypad_application_mode(),
            ([b'#'], b'8') => self.term.decaln(),
            ([g @ (b'(' | b')' | b'*' | b'+')], set @ (b'B' | b'0' | b'A')) => {
                let index = match g {
                    b'(' => CharsetIndex::G0,
                    b')' => CharsetIndex::G1,
                    b'*' => CharsetIndex::G2,
                    _ => CharsetIndex::G3,
                };
                let set = if set == b'0' {
                    StandardCharset::SpecialCharacterAndLineDrawing
                } else {
                    StandardCharset::Ascii
                };
                self.term.configure_charset(index, set);
            }
            ([], b'n') => self.set_charset(CharsetIndex::G2),
            ([], b'o') => self.set_charset(CharsetIndex::G3),
            _ => {}
        }
    }
}
