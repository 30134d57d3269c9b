//! What the painter writes, applied to two independent terminal emulators, must give the frame.

use alacritty_terminal::{
    Term,
    event::VoidListener,
    grid::Dimensions,
    index::{Column, Line, Point},
    term::{Config, TermMode, cell::Flags},
    vte::ansi::{Color as AColor, NamedColor, Processor},
};
use proptest::prelude::*;
use qd_frame::{Caps, ColorDepth, Frame, Painter, Style};
use qd_tty::{Attrs, Cell, Color, CursorShape, LinkId, Rect, Size, Sym, Underline, link_uri};

struct Dim(Size);

impl Dimensions for Dim {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }
    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows)
    }
    fn columns(&self) -> usize {
        usize::from(self.0.cols)
    }
}

struct Both {
    vt: vt100::Parser,
    term: Term<VoidListener>,
    parser: Processor,
}

/// What somebody else may have left on the terminal. No line of it wraps: vt100 panics when one does in a single row.
const GARBAGE: &[u8] = b"\x1b[H\x1b[42mA\x1b[3;2HB\x1b[9;1H\x1b[41;4;7mC\x1b[5;9HD\x1b[?25l\x1b[2;4r";

const PIECES: &[&str] = &[
    "hello",
    "x",
    "  ",
    "a b c",
    "漢字",
    "é",
    "e\u{301}",
    "│",
    "├──┤",
    "한글",
    "ﬁ",
    "👍",
    "❤\u{fe0f}",
    "👩\u{200d}👧",
    "🇫🇷",
    "0123456789012345678901234567890",
    "                         ",
    "~",
    "\u{301}",
    "👍🏽",
    "\x1b[31m\u{9b}1m\r\n\u{7}",
];

#[derive(Debug, Clone)]
enum Op {
    Text { x: u16, y: u16, piece: usize, style: Style },
    Fill { r: (u16, u16, u16, u16), style: Style },
    Raw { x: u16, y: u16, cell: (u32, u16) },
    Scroll { up: bool, n: usize, from: u16 },
    Page { seed: usize },
    Clear,
    Cursor(Option<(u16, u16, u8)>),
}

fn color() -> impl Strategy<Value = Color> {
    prop_oneof![
        3 => Just(Color::DEFAULT),
        2 => (0u8..16).prop_map(Color::indexed),
        1 => any::<u8>().prop_map(Color::indexed),
        1 => any::<(u8, u8, u8)>().prop_map(|(r, g, b)| Color::rgb(r, g, b)),
    ]
}

fn style() -> impl Strategy<Value = Style> {
    let attrs = prop_oneof![2 => Just(0u16), 2 => (0u16..11).prop_map(|n| 1 << n), 1 => 0u16..2048];
    (color(), color(), color(), attrs, 0usize..12).prop_map(|(fg, bg, ul, a, l)| {
        let mut attrs = Attrs::from_bits_truncate(a);
        attrs = attrs.with_underline(attrs.underline());
        let uris = ["https://example.org/a", "file:///tmp/ü b", "https://example.org/;x"];
        Style {
            fg,
            bg,
            ul,
            attrs,
            link: uris.get(l).map_or(LinkId::NONE, |u| LinkId::from_uri(u)),
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let xy = (0u16..44, 0u16..16);
    prop_oneof![
        8 => (xy.clone(), 0..PIECES.len(), style()).prop_map(|((x, y), piece, style)| Op::Text { x, y, piece, style }),
        2 => ((0u16..44, 0u16..16, 0u16..44, 0u16..6), style()).prop_map(|(r, style)| Op::Fill { r, style }),
        1 => (xy, any::<u32>(), any::<u16>()).prop_map(|((x, y), c, a)| Op::Raw { x, y, cell: (c, a) }),
        2 => (any::<bool>(), 1usize..4, 0u16..4).prop_map(|(up, n, from)| Op::Scroll { up, n, from }),
        1 => (0usize..20).prop_map(|seed| Op::Page { seed }),
        1 => Just(Op::Clear),
        2 => prop::option::of((0u16..44, 0u16..16, 0u8..7)).prop_map(Op::Cursor),
    ]
}

fn apply(f: &mut Frame, op: &Op) {
    match op {
        Op::Text { x, y, piece, style } => {
            f.put_str(*x, *y, 99, PIECES[*piece], *style);
        }
        Op::Fill { r, style } => f.fill(Rect::new(r.0, r.1, r.2, r.3), style.cell(Sym::SPACE)),
        Op::Raw { x, y, cell } => {
            let c = char::from_u32(cell.0 % 0x3000).unwrap_or('x');
            let cell = Cell {
                sym: Sym::from_char(c),
                attrs: Attrs::from_bits_truncate(cell.1),
                ..Cell::BLANK
            };
            if let Some(at) = f.row_mut(*y).get_mut(usize::from(*x)) {
                *at = cell;
            }
        }
        Op::Scroll { up, n, from } => {
            let rows = usize::from(f.size().rows);
            let from = usize::from(*from);
            let old: Vec<Vec<Cell>> = (0..rows).map(|y| f.row(y as u16).to_vec()).collect();
            for y in from..rows.saturating_sub(1) {
                let src = if *up { y + n } else { y.wrapping_sub(*n) };
                if let Some(src) = old.get(src).filter(|_| src >= from) {
                    f.row_mut(y as u16).copy_from_slice(src);
                }
            }
        }
        Op::Page { seed } => {
            for y in 0..f.size().rows {
                let n = seed + usize::from(y);
                f.put_str(0, y, 99, &format!("{n} ").repeat(n % 9 + 3), Style::default());
            }
        }
        Op::Clear => f.clear(),
        Op::Cursor(c) => {
            let shapes = [
                CursorShape::Default,
                CursorShape::BlinkingBlock,
                CursorShape::SteadyBlock,
            ];
            f.set_cursor(c.map(|(x, y, s)| {
                (
                    x,
                    y,
                    shapes.get(usize::from(s)).copied().unwrap_or(CursorShape::SteadyBar),
                )
            }));
        }
    }
}

impl Both {
    fn new(s: Size) -> Self {
        Self {
            vt: vt100::Parser::new(s.rows, s.cols, 0),
            term: Term::new(
                Config {
                    scrolling_history: 0,
                    ..Config::default()
                },
                &Dim(s),
                VoidListener,
            ),
            parser: Processor::new(),
        }
    }

    /// Another size. The emulators are made anew, for one of them cannot reflow wide characters into one column; what
    /// a terminal makes of its content is not ours to know anyway.
    fn resize(&mut self, s: Size) {
        *self = Self::new(s);
        self.feed(GARBAGE);
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.vt.process(bytes);
        self.parser.advance(&mut self.term, bytes);
    }
}

/// The colour as the depth used by the test shows it; only depths that change nothing here are compared.
fn vt_color(c: Color) -> vt100::Color {
    match (c.as_indexed(), c.as_rgb()) {
        (Some(i), _) => vt100::Color::Idx(i),
        (_, Some((r, g, b))) => vt100::Color::Rgb(r, g, b),
        _ => vt100::Color::Default,
    }
}

fn same_alacritty(c: Color, a: AColor, default: NamedColor) -> bool {
    match a {
        AColor::Named(n) => match c.as_indexed() {
            Some(i) => i < 16 && n as usize == usize::from(i),
            None => c.is_default() && n == default,
        },
        AColor::Indexed(i) => c.as_indexed() == Some(i),
        AColor::Spec(s) => c.as_rgb() == Some((s.r, s.g, s.b)),
    }
}

fn compare(f: &Frame, b: &Both, caps: &Caps) -> Result<(), TestCaseError> {
    let s = f.size();
    let lossless = caps.depth == ColorDepth::True;
    for y in 0..s.rows {
        let row = f.row(y);
        for x in 0..s.cols {
            let i = usize::from(x);
            let c = row[i];
            let at = format!("column {x}, row {y}: {c:?}");
            let Some(vc) = b.vt.screen().cell(y, x) else {
                return Err(TestCaseError::fail(format!("no {at}")));
            };
            let ac = &b.term.grid()[Point::new(Line(i32::from(y)), Column(i))];
            if c.attrs.contains(Attrs::WIDE_TAIL) {
                continue;
            }
            let wide = c.attrs.contains(Attrs::WIDE);
            let mut text = String::new();
            c.sym.push_to(&mut text);
            let plain = text == " " && !wide;
            if c.attrs.contains(Attrs::UNSURE_WIDTH) {
                // The emulators disagree about it; what is beside it must be right.
                continue;
            }
            let mut atext = ac.c.to_string();
            atext.extend(ac.zerowidth().into_iter().flatten());
            let vtext = if vc.has_contents() { vc.contents() } else { " " };
            prop_assert_eq!(vtext, &text, "vt100 text, {}", &at);
            prop_assert_eq!(&atext, &text, "alacritty text, {}", &at);
            prop_assert_eq!(vc.is_wide(), wide);
            prop_assert_eq!(ac.flags.contains(Flags::WIDE_CHAR), wide);
            let a = c.attrs;
            let underlined = a.underline() != Underline::None;
            let fg_seen = !plain || a.contains(Attrs::REVERSE) || underlined || a.contains(Attrs::STRIKE);
            let bits = [
                (Attrs::BOLD, vc.bold(), Flags::BOLD),
                (Attrs::DIM, vc.dim(), Flags::DIM),
                (Attrs::ITALIC, vc.italic(), Flags::ITALIC),
            ];
            if fg_seen {
                for (attr, v, af) in bits {
                    // vt100 has one of bold and dim, not both.
                    if !(a.contains(Attrs::BOLD | Attrs::DIM) && (Attrs::BOLD | Attrs::DIM).contains(attr)) {
                        prop_assert_eq!(v, a.contains(attr), "vt100 {:?}, {}", attr, &at);
                    }
                    prop_assert_eq!(ac.flags.contains(af), a.contains(attr), "alacritty {:?}, {}", attr, &at);
                }
                prop_assert_eq!(ac.flags.contains(Flags::HIDDEN), a.contains(Attrs::HIDDEN));
            }
            prop_assert_eq!(vc.inverse(), a.contains(Attrs::REVERSE), "vt100 reverse, {}", &at);
            prop_assert_eq!(
                ac.flags.contains(Flags::INVERSE),
                a.contains(Attrs::REVERSE),
                "alacritty reverse, {}",
                &at
            );
            prop_assert_eq!(
                ac.flags.contains(Flags::STRIKEOUT),
                a.contains(Attrs::STRIKE),
                "strike, {}",
                &at
            );
            let kinds = match a.underline() {
                Underline::None => Flags::empty(),
                Underline::Double if caps.styled_underline => Flags::DOUBLE_UNDERLINE,
                Underline::Curly if caps.styled_underline => Flags::UNDERCURL,
                Underline::Dotted if caps.styled_underline => Flags::DOTTED_UNDERLINE,
                Underline::Dashed if caps.styled_underline => Flags::DASHED_UNDERLINE,
                _ => Flags::UNDERLINE,
            };
            prop_assert_eq!(ac.flags & Flags::ALL_UNDERLINES, kinds, "underline, {}", &at);
            if !caps.styled_underline {
                prop_assert_eq!(vc.underline(), underlined, "vt100 underline, {}", &at);
            }
            if lossless {
                prop_assert_eq!(vc.bgcolor(), vt_color(c.bg), "vt100 background, {}", &at);
                prop_assert!(
                    same_alacritty(c.bg, ac.bg, NamedColor::Background),
                    "background {:?}, {}",
                    ac.bg,
                    &at
                );
                if fg_seen {
                    prop_assert_eq!(vc.fgcolor(), vt_color(c.fg), "vt100 foreground, {}", &at);
                    prop_assert!(
                        same_alacritty(c.fg, ac.fg, NamedColor::Foreground),
                        "foreground {:?}, {}",
                        ac.fg,
                        &at
                    );
                }
                if caps.styled_underline && underlined {
                    let ul = ac.underline_color();
                    let fits = ul.map_or(c.ul.is_default(), |u| same_alacritty(c.ul, u, NamedColor::Foreground));
                    prop_assert!(fits, "underline colour {:?}, {}", ul, &at);
                }
            }
            let link = ac.hyperlink().map(|h| h.uri().to_owned());
            let wanted = link_uri(c.link)
                .filter(|_| caps.hyperlinks)
                .map(|u| u.replace('ü', "%C3%BC"));
            prop_assert_eq!(link, wanted, "link, {}", &at);
        }
    }
    let visible = b.term.mode().contains(TermMode::SHOW_CURSOR);
    prop_assert_eq!(visible, f.cursor().is_some());
    prop_assert_eq!(b.vt.screen().hide_cursor(), f.cursor().is_none());
    if let Some((x, y, _)) = f.cursor() {
        prop_assert_eq!(b.vt.screen().cursor_position(), (y, x));
        let p = b.term.grid().cursor.point;
        prop_assert_eq!((p.column.0, p.line.0), (usize::from(x), i32::from(y)));
    }
    Ok(())
}

/// The frame as it can be shown: broken halves and symbols without a width are blanks.
fn shown(f: &Frame) -> Frame {
    let mut g = Frame::new(f.size());
    for y in 0..f.size().rows {
        let row = f.row(y);
        let mut x = 0;
        while x < row.len() {
            let mut c = row[x];
            let tail = row.get(x + 1).is_some_and(|n| n.attrs.contains(Attrs::WIDE_TAIL));
            let whole = c.attrs.contains(Attrs::WIDE) && !c.attrs.contains(Attrs::WIDE_TAIL) && tail;
            if c.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL) && !whole {
                c.sym = Sym::SPACE;
                c.attrs -= Attrs::WIDE | Attrs::WIDE_TAIL | Attrs::UNSURE_WIDTH;
            }
            if let Some(ch) = c.sym.as_char() {
                use unicode_width::UnicodeWidthChar;
                match ch.width() {
                    None | Some(0) => c.sym = Sym::SPACE,
                    Some(n) if n != 1 + usize::from(whole) => c.attrs |= Attrs::UNSURE_WIDTH,
                    _ => {}
                }
            }
            g.row_mut(y)[x] = c;
            if whole {
                g.row_mut(y)[x + 1] = Cell {
                    attrs: Attrs::WIDE_TAIL,
                    ..Cell::BLANK
                };
                x += 1;
            }
            x += 1;
        }
    }
    g.set_cursor(f.cursor());
    g
}

fn caps() -> impl Strategy<Value = Caps> {
    let depth = prop_oneof![
        6 => Just(ColorDepth::True),
        1 => Just(ColorDepth::Indexed256),
        1 => Just(ColorDepth::Ansi16),
        1 => Just(ColorDepth::Mono)
    ];
    (depth, any::<[bool; 6]>()).prop_map(|(depth, b)| Caps {
        depth,
        sync: b[0],
        styled_underline: b[1],
        hyperlinks: b[2],
        erase_chars: b[3],
        bce: b[4],
        scroll_regions: b[5],
    })
}

#[derive(Debug, Clone)]
enum Step {
    Draw(Vec<Op>),
    Resize(u16, u16),
    Invalidate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec(op(), 0..6).prop_map(Step::Draw),
        1 => (1u16..44, 1u16..16).prop_map(|(c, r)| Step::Resize(c, r)),
        1 => Just(Step::Invalidate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("QD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(600), ..ProptestConfig::default() })]

    #[test]
    fn two_emulators_show_the_frame(
        caps in caps(),
        size in (1u16..44, 1u16..16),
        every in 1usize..4,
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut frame = Frame::new(Size::new(size.0, size.1));
        let mut both = Both::new(frame.size());
        let mut painter = Painter::new(caps);
        let mut out = Vec::new();
        for (n, s) in steps.iter().enumerate() {
            match s {
                Step::Draw(ops) => ops.iter().for_each(|o| apply(&mut frame, o)),
                Step::Resize(c, r) => {
                    frame.resize(Size::new(*c, *r));
                    both.resize(frame.size());
                    painter.invalidate();
                }
                Step::Invalidate => {
                    both.feed(GARBAGE);
                    painter.invalidate();
                }
            }
            // Frames in between are dropped, as for a slow terminal.
            if n % every != 0 && n + 1 != steps.len() && !matches!(s, Step::Invalidate | Step::Resize(..)) {
                continue;
            }
            out.clear();
            painter.paint(&frame, &mut out);
            both.feed(&out);
            compare(&shown(&frame), &both, &caps)?;
            out.clear();
            prop_assert!(!painter.paint(&frame, &mut out), "a second paint wrote {:?}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn a_repaint_from_nothing_equals_the_differences(ops in prop::collection::vec(op(), 1..30)) {
        let mut frame = Frame::new(Size::new(40, 12));
        let mut painter = Painter::new(Caps::default());
        let mut out = Vec::new();
        for o in &ops {
            apply(&mut frame, o);
            painter.paint(&frame, &mut out);
        }
        let mut fresh = Painter::new(Caps::default());
        fresh.paint(&frame, &mut out);
        prop_assert_eq!(fresh.shadow(), painter.shadow());
        let text: Vec<u8> = out.iter().copied().filter(|b| *b < 0x20 && !matches!(b, 0x1b | b'\r' | 8)).collect();
        prop_assert!(text.is_empty(), "control characters {text:?}");
    }
}

/// What keeps screens with replacement characters from being compared in vt100: it draws none, where every terminal has
/// one column of it. That it knows no way to turn automatic wrapping off does no harm, for nothing is written past the
/// last column.
#[test]
fn vt100_leaves_replacement_characters_out() {
    let mut b = Both::new(Size::new(10, 2));
    b.feed("a\u{fffd}b".as_bytes());
    assert_eq!(b.vt.screen().contents(), "ab");
    assert_eq!(b.term.grid()[Line(0)][Column(2)].c, 'b');
    let mut vt = vt100::Parser::new(2, 4, 0);
    vt.process(b"\x1b[?7labcdefg");
    assert_eq!(vt.screen().contents(), "abcdefg", "it wrapped");
    assert!(vt.screen().rows(0, 4).nth(1).is_some_and(|r| r == "efg"));
}
