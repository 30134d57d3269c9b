//! What the emulator knows besides cells, in checkpoints: modes, margins, tab stops, titles, colours, what waits to be
//! told to the program and to the session.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use alacritty_terminal::{
    index::{Column, Line},
    term::TermMode,
    vte::ansi::{CharsetIndex, Handler, TabulationClearMode},
};
use qd_tty::CursorShape;

use crate::{
    ModifyOtherKeys, Palette, Progress, RestoreError, Scheme, VtEvent,
    codec::{Reader, put, put_bytes, put_len, put_rgb},
    vt::{
        core::{Core, MoreModes, Sync},
        csi::STACK_MAX,
        grid::Tabs,
    },
};

/// More than any text of these is long.
const TEXT_MAX: usize = 1 << 20;
/// No event is longer: a clipboard, from a string of the parser's longest.
const EVENT_MAX: usize = 4 << 20;

/// The modes that are set one by one, with their numbers.
const PRIVATE: [(TermMode, u16); 14] = [
    (TermMode::APP_CURSOR, 1),
    (TermMode::ORIGIN, 6),
    (TermMode::LINE_WRAP, 7),
    (TermMode::SHOW_CURSOR, 25),
    (TermMode::MOUSE_REPORT_CLICK, 1000),
    (TermMode::MOUSE_DRAG, 1002),
    (TermMode::MOUSE_MOTION, 1003),
    (TermMode::FOCUS_IN_OUT, 1004),
    (TermMode::UTF8_MOUSE, 1005),
    (TermMode::SGR_MOUSE, 1006),
    (TermMode::ALTERNATE_SCROLL, 1007),
    (TermMode::URGENCY_HINTS, 1042),
    (TermMode::BRACKETED_PASTE, 2004),
    // Last, because it has another way.
    (TermMode::APP_KEYPAD, 66),
];

const SHAPES: [CursorShape; 7] = [
    CursorShape::Default,
    CursorShape::BlinkingBlock,
    CursorShape::SteadyBlock,
    CursorShape::BlinkingUnderline,
    CursorShape::SteadyUnderline,
    CursorShape::BlinkingBar,
    CursorShape::SteadyBar,
];

const CHARSETS: [CharsetIndex; 4] = [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];
const OTHER_KEYS: [ModifyOtherKeys; 3] = [ModifyOtherKeys::Off, ModifyOtherKeys::Some, ModifyOtherKeys::All];

/// Appends all but the grids and the cold store.
pub(super) fn save(c: &Core, out: &mut Vec<u8>) {
    let mode = *c.term.mode();
    let mut bits = 0_u64;
    for (i, (flag, _)) in PRIVATE.iter().enumerate() {
        bits |= u64::from(mode.contains(*flag)) << i;
    }
    let m = &c.more;
    let flags = [
        mode.contains(TermMode::INSERT),
        mode.contains(TermMode::LINE_FEED_NEW_LINE),
        m.mouse_x10,
        m.urxvt_mouse,
        m.backarrow,
        m.reverse_screen,
        m.scheme_events,
        c.sync != Sync::Closed,
        c.palette.scheme == Scheme::Light,
    ];
    for (i, on) in flags.into_iter().enumerate() {
        bits |= u64::from(on) << (PRIVATE.len() + i);
    }
    put(out, bits);
    out.push(m.modify_other as u8);
    out.push(c.charset as u8);
    out.push(c.cursor_shape.decscusr());
    put_len(out, c.region.start);
    put_len(out, c.region.end);
    put(out, c.last_char.map_or(0, |c| u64::from(u32::from(c)) + 1));
    for chunk in c.tabs.0.chunks(8) {
        out.push(chunk.iter().rev().fold(0, |byte, t| byte << 1 | u8::from(*t)));
    }
    for stack in &c.kitty {
        put_bytes(out, stack);
    }
    put_bytes(out, c.title.as_bytes());
    put_len(out, c.titles.len());
    for t in &c.titles {
        put_bytes(out, t.as_bytes());
    }
    let p = &c.palette;
    for rgb in [p.foreground, p.background, p.cursor].iter().chain(&p.ansi) {
        put_rgb(out, *rgb);
    }
    put_len(out, c.colors.len());
    for (i, rgb) in &c.colors {
        put(out, u64::from(*i));
        put_rgb(out, *rgb);
    }
    put_len(out, c.notes.len());
    for (id, title, body) in &c.notes {
        for text in [id, title, body] {
            put_bytes(out, text.as_bytes());
        }
    }
    put(out, c.generation);
    put(out, c.view.map_or(0, |v| v + 1));
    put_len(out, c.prompts.len());
    let mut last = 0;
    for p in &c.prompts {
        put(out, p.wrapping_sub(last));
        last = *p;
    }
    put_bytes(out, &c.replies);
    put_len(out, c.events.len());
    for e in &c.events {
        save_event(e, out);
    }
}

/// Reads what [`save`] wrote into a core of the size that has no history yet. The view and the prompts are not looked at:
/// that needs the lines.
pub(super) fn load(c: &mut Core, r: &mut Reader<'_>) -> Result<(), RestoreError> {
    r.part("the modes");
    let bits = r.at_most((1 << (PRIVATE.len() + 9)) - 1)?;
    let on = |i: usize| bits >> i & 1 != 0;
    // Some of them exclude each other: what is on is set after what is off.
    for want in [false, true] {
        for (i, (_, number)) in PRIVATE.iter().enumerate().filter(|(i, _)| on(*i) == want) {
            if *number != 66 {
                c.forward_private(*number, want);
            } else if on(i) {
                c.term.set_keypad_application_mode();
            }
        }
    }
    let more = |i: usize| on(PRIVATE.len() + i);
    c.set_mode(4, more(0));
    c.set_mode(20, more(1));
    let pick = |r: &mut Reader<'_>, n: usize| -> Result<usize, RestoreError> { r.len(n - 1) };
    c.more = MoreModes {
        mouse_x10: more(2),
        urxvt_mouse: more(3),
        backarrow: more(4),
        reverse_screen: more(5),
        scheme_events: more(6),
        modify_other: OTHER_KEYS[pick(r, OTHER_KEYS.len())?],
    };
    c.sync = if more(7) { Sync::Open } else { Sync::Closed };
    let scheme = if more(8) { Scheme::Light } else { Scheme::Dark };
    c.set_charset(CHARSETS[pick(r, CHARSETS.len())?]);
    c.cursor_shape = SHAPES[pick(r, SHAPES.len())?];
    r.part("the margins and the tab stops");
    let start = r.len(c.dims.rows - 1)?;
    let end = r.len(c.dims.rows)?;
    r.check(start < end)?;
    c.region = start..end;
    c.term.set_scrolling_region(start + 1, Some(end));
    c.last_char = match r.number()? {
        0 => None,
        n => Some(
            u32::try_from(n - 1)
                .ok()
                .and_then(char::from_u32)
                .ok_or_else(|| r.bad())?,
        ),
    };
    let cols = c.dims.cols;
    let packed = r.take(cols.div_ceil(8))?;
    c.tabs = Tabs((0..cols).map(|i| packed[i / 8] >> (i % 8) & 1 != 0).collect());
    c.term.clear_tabs(TabulationClearMode::All);
    for i in (0..cols).filter(|i| packed[i / 8] >> (i % 8) & 1 != 0) {
        c.term.grid_mut().cursor.point.column = Column(i);
        c.term.set_horizontal_tabstop();
    }
    c.term.grid_mut().cursor.point.column = Column(0);
    c.term.grid_mut().cursor.point.line = Line(0);
    r.part("the titles");
    for stack in &mut c.kitty {
        *stack = r.bytes(STACK_MAX + 1)?.to_vec();
    }
    c.title = r.text(TEXT_MAX)?.to_owned();
    let n = r.count(STACK_MAX)?;
    for _ in 0..n {
        c.titles.push(r.text(TEXT_MAX)?.to_owned());
    }
    r.part("the colours");
    let mut p = Palette {
        foreground: r.rgb()?,
        background: r.rgb()?,
        cursor: r.rgb()?,
        scheme,
        ..Palette::default()
    };
    for rgb in &mut p.ansi {
        *rgb = r.rgb()?;
    }
    c.palette = p;
    let n = r.count(259)?;
    for _ in 0..n {
        let i = r.u16()?;
        r.check(i < 259)?;
        c.colors.insert(i, r.rgb()?);
    }
    r.part("the notifications");
    let n = r.count(16)?;
    for _ in 0..n {
        let mut text = || r.text(TEXT_MAX).map(str::to_owned);
        c.notes.push_back((text()?, text()?, text()?));
    }
    r.part("the view and the prompts");
    c.generation = r.at_most(u64::MAX >> 1)?;
    c.view = r.number()?.checked_sub(1);
    let n = r.count(crate::vt::osc::PROMPTS_MAX)?;
    let mut last = 0_u64;
    for _ in 0..n {
        last = last.wrapping_add(r.number()?);
        c.prompts.push_back(last);
    }
    r.part("the replies and the events");
    c.replies = r.bytes(EVENT_MAX)?.to_vec();
    let n = r.count(4096)?;
    for _ in 0..n {
        let e = load_event(r)?;
        c.events.push(e);
    }
    Ok(())
}

fn save_event(e: &VtEvent, out: &mut Vec<u8>) {
    let mut text = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        put_bytes(out, bytes);
    };
    match e {
        VtEvent::Title(t) => text(0, t.as_bytes()),
        VtEvent::Clipboard(data) => text(1, data),
        VtEvent::Cwd(path) => text(2, path.as_os_str().as_encoded_bytes()),
        VtEvent::Notify { title, body } => {
            text(3, title.as_bytes());
            put_bytes(out, body.as_bytes());
        }
        VtEvent::Bell => out.push(4),
        VtEvent::ClipboardQuery => out.push(5),
        VtEvent::PromptStart => out.push(6),
        VtEvent::InputStart => out.push(7),
        VtEvent::CommandStart => out.push(8),
        VtEvent::ScreenSwitched => out.push(9),
        VtEvent::CommandEnd { exit: None } => out.push(10),
        VtEvent::CommandEnd { exit: Some(n) } => {
            out.push(11);
            out.extend_from_slice(&n.to_le_bytes());
        }
        VtEvent::CursorShape(s) => out.extend_from_slice(&[12, s.decscusr()]),
        VtEvent::Progress(p) => {
            let (kind, percent) = match p {
                Progress::Clear => (0, None),
                Progress::Percent(n) => (1, Some(*n)),
                Progress::Error(n) => (2, *n),
                Progress::Indeterminate => (3, None),
                Progress::Paused(n) => (4, *n),
            };
            out.extend_from_slice(&[13, kind, percent.unwrap_or(u8::MAX)]);
        }
    }
}

fn load_event(r: &mut Reader<'_>) -> Result<VtEvent, RestoreError> {
    Ok(match r.byte()? {
        0 => VtEvent::Title(r.text(TEXT_MAX)?.to_owned()),
        1 => VtEvent::Clipboard(r.bytes(EVENT_MAX)?.to_vec()),
        2 => VtEvent::Cwd(PathBuf::from(OsString::from_vec(r.bytes(TEXT_MAX)?.to_vec()))),
        3 => VtEvent::Notify {
            title: r.text(TEXT_MAX)?.to_owned(),
            body: r.text(TEXT_MAX)?.to_owned(),
        },
        4 => VtEvent::Bell,
        5 => VtEvent::ClipboardQuery,
        6 => VtEvent::PromptStart,
        7 => VtEvent::InputStart,
        8 => VtEvent::CommandStart,
        9 => VtEvent::ScreenSwitched,
        10 => VtEvent::CommandEnd { exit: None },
        11 => VtEvent::CommandEnd {
            exit: Some(i32::from_le_bytes(r.array()?)),
        },
        12 => {
            let n = r.len(SHAPES.len() - 1)?;
            VtEvent::CursorShape(SHAPES[n])
        }
        13 => {
            let [kind, percent] = r.array()?;
            let percent = Some(percent).filter(|n| *n <= 100);
            VtEvent::Progress(match kind {
                0 => Progress::Clear,
                1 => Progress::Percent(percent.unwrap_or(0)),
                2 => Progress::Error(percent),
                3 => Progress::Indeterminate,
                4 => Progress::Paused(percent),
                _ => return Err(r.bad()),
            })
        }
        _ => return Err(r.bad()),
    })
}
