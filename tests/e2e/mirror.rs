//! A second emulator of another make (alacritty's), fed the same bytes as the first, and the comparison of the two,
//! cell by cell: text, width, colours, weight and reversal.

use alacritty_terminal::{
    Term,
    event::VoidListener,
    grid::Dimensions,
    index::{Column, Line},
    term::{Config, cell::Flags},
    vte::ansi::{Color, NamedColor, Processor},
};

#[derive(Clone, Copy)]
struct Size {
    cols: usize,
    rows: usize,
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.rows
    }
    fn screen_lines(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.cols
    }
}

pub(crate) struct Mirror {
    term: Term<VoidListener>,
    parser: Processor,
}

impl Mirror {
    pub(crate) fn new(cols: u16, rows: u16) -> Self {
        let size = Size {
            cols: usize::from(cols),
            rows: usize::from(rows),
        };
        Self {
            term: Term::new(Config::default(), &size, VoidListener),
            parser: Processor::new(),
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.term, bytes);
    }

    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        self.term.resize(Size {
            cols: usize::from(cols),
            rows: usize::from(rows),
        });
    }

    /// The first cell in which the two differ. A screen of one column is not compared: alacritty's has two at least.
    pub(crate) fn differs(&self, other: &vt100::Screen) -> Option<String> {
        let (rows, cols) = other.size();
        for y in 0..rows {
            for x in 0..cols {
                let a = other.cell(y, x)?;
                let b = &self.term.grid()[Line(i32::from(y))][Column(usize::from(x))];
                let spacer = b.flags.contains(Flags::WIDE_CHAR_SPACER);
                let blank = spacer || b.c == ' ' || b.c == '\t';
                let mut text = if blank { String::new() } else { b.c.to_string() };
                text.extend(b.zerowidth().unwrap_or_default());
                let ours = a.contents().trim_end_matches(' ');
                // Where nothing is written, the colour and the weight of writing say nothing.
                let empty = text.is_empty() && !a.inverse();
                let fg = |c: Plain| if empty { None } else { c };
                let look_a = (
                    fg(color(a.fgcolor())),
                    color(a.bgcolor()),
                    a.bold() && !empty,
                    a.inverse(),
                );
                let bold = b.flags.contains(Flags::BOLD) && !empty;
                let look_b = (fg(named(b.fg)), named(b.bg), bold, b.flags.contains(Flags::INVERSE));
                if ours != text || a.is_wide_continuation() != spacer || (!spacer && look_a != look_b) {
                    return Some(format!(
                        "at {x},{y}: vt100 has {ours:?} {look_a:?}, alacritty {text:?} {look_b:?}"
                    ));
                }
            }
        }
        None
    }
}

/// A colour in a form that both can be brought to: nothing for the default, an index, or red, green and blue.
type Plain = Option<Result<u8, (u8, u8, u8)>>;

fn color(c: vt100::Color) -> Plain {
    match c {
        vt100::Color::Default => None,
        vt100::Color::Idx(i) => Some(Ok(i)),
        vt100::Color::Rgb(r, g, b) => Some(Err((r, g, b))),
    }
}

fn named(c: Color) -> Plain {
    match c {
        Color::Named(NamedColor::Foreground | NamedColor::Background) => None,
        Color::Named(n) => Some(Ok(u8::try_from(n as usize).unwrap_or(255))),
        Color::Indexed(i) => Some(Ok(i)),
        Color::Spec(c) => Some(Err((c.r, c.g, c.b))),
    }
}
