//! The graphic state of a terminal, and the shortest SGR sequence from one state to another. It owns no buffer and
//! never knows where the cursor is.

use qd_tty::{Attrs, Cell, Color, Underline};

use crate::caps::{Caps, degrade};

/// The attributes that show on a blank.
const SEEN_ON_BLANKS: Attrs = Attrs::REVERSE
    .union(Attrs::STRIKE)
    .union(Attrs::OVERLINE)
    .union(Attrs::UL0)
    .union(Attrs::UL1)
    .union(Attrs::UL2);

/// The colours and attributes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pen {
    pub(crate) fg: Color,
    pub(crate) bg: Color,
    pub(crate) ul: Color,
    pub(crate) attrs: Attrs,
}

/// Whether a cell is empty, and only its background can be seen.
pub(crate) fn bare(c: &Cell) -> bool {
    c.sym == qd_tty::Sym::SPACE
        && c.link == qd_tty::LinkId::NONE
        && !c
            .attrs
            .intersects(SEEN_ON_BLANKS.union(Attrs::WIDE).union(Attrs::WIDE_TAIL))
}

impl Pen {
    /// The pen a cell wants on a terminal with these capabilities.
    pub(crate) fn of(c: &Cell, caps: &Caps) -> Self {
        let mut attrs = c.attrs & Attrs::STYLE;
        // Two of the eight kinds do not exist.
        attrs = attrs.with_underline(attrs.underline());
        let mut ul = Color::DEFAULT;
        match attrs.underline() {
            Underline::None => {}
            _ if !caps.styled_underline => attrs = attrs.with_underline(Underline::Single),
            _ => ul = degrade(c.ul, caps.depth),
        }
        Self {
            fg: degrade(c.fg, caps.depth),
            bg: degrade(c.bg, caps.depth),
            ul,
            attrs,
        }
    }

    /// This pen, changed as little as possible so that a blank shows nothing but the background `bg`.
    pub(crate) fn blanking(self, bg: Color) -> Self {
        let attrs = self.attrs - SEEN_ON_BLANKS;
        Self { bg, attrs, ..self }
    }

    /// Appends the shorter of the incremental form and the form that starts from a reset.
    pub(crate) fn change(self, to: Self, out: &mut Vec<u8>) {
        if self == to {
            return;
        }
        let mut inc = Params::new();
        inc.step(self, to);
        if inc.len == 0 {
            return;
        }
        let mut reset = Params::new();
        reset.separate();
        if to != Self::default() {
            reset.push(b"0");
            reset.step(Self::default(), to);
        }
        let p = if inc.len <= reset.len { &inc } else { &reset };
        out.extend_from_slice(b"\x1b[");
        out.extend_from_slice(p.bytes());
        out.push(b'm');
    }
}

/// SGR parameters under construction. The longest set is some 120 bytes.
struct Params {
    buf: [u8; 160],
    len: usize,
}

impl Params {
    const fn new() -> Self {
        Self { buf: [0; 160], len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, s: &[u8]) {
        if let Some(to) = self.buf.get_mut(self.len..self.len + s.len()) {
            to.copy_from_slice(s);
            self.len += s.len();
        }
    }

    fn separate(&mut self) {
        if self.len > 0 {
            self.push(b";");
        }
    }

    fn code(&mut self, s: &[u8]) {
        self.separate();
        self.push(s);
    }

    fn number(&mut self, n: u8) {
        if n >= 100 {
            self.push(&[b'0' + n / 100]);
        }
        if n >= 10 {
            self.push(&[b'0' + n / 10 % 10]);
        }
        self.push(&[b'0' + n % 10]);
    }

    /// A foreground (`base` 3) or background (`base` 4).
    fn color(&mut self, base: u8, c: Color) {
        self.separate();
        if let Some((r, g, b)) = c.as_rgb() {
            self.push(&[b'0' + base]);
            self.push(b"8;2");
            for v in [r, g, b] {
                self.push(b";");
                self.number(v);
            }
        } else if let Some(i) = c.as_indexed() {
            match i {
                0..8 => self.push(&[b'0' + base, b'0' + i]),
                8..16 => self.number((base + 6) * 10 + i - 8),
                _ => {
                    self.push(&[b'0' + base]);
                    self.push(b"8;5;");
                    self.number(i);
                }
            }
        } else {
            self.push(&[b'0' + base, b'9']);
        }
    }

    fn underline_color(&mut self, c: Color) {
        self.separate();
        if let Some((r, g, b)) = c.as_rgb() {
            self.push(b"58:2:");
            for v in [r, g, b] {
                self.push(b":");
                self.number(v);
            }
        } else if let Some(i) = c.as_indexed() {
            self.push(b"58:5:");
            self.number(i);
        } else {
            self.push(b"59");
        }
    }

    /// The parameters that lead from one pen to the other.
    fn step(&mut self, from: Pen, to: Pen) {
        let gone = from.attrs - to.attrs;
        let mut new = to.attrs - from.attrs;
        let weight = Attrs::BOLD | Attrs::DIM;
        if gone.intersects(weight) {
            self.code(b"22");
            new |= to.attrs & weight;
        }
        let table: [(Attrs, &[u8], &[u8]); 8] = [
            (Attrs::BOLD, b"1", b""),
            (Attrs::DIM, b"2", b""),
            (Attrs::ITALIC, b"3", b"23"),
            (Attrs::BLINK, b"5", b"25"),
            (Attrs::REVERSE, b"7", b"27"),
            (Attrs::HIDDEN, b"8", b"28"),
            (Attrs::STRIKE, b"9", b"29"),
            (Attrs::OVERLINE, b"53", b"55"),
        ];
        for (attr, on, off) in table {
            if new.contains(attr) {
                self.code(on);
            } else if gone.contains(attr) && !off.is_empty() {
                self.code(off);
            }
        }
        if from.attrs.underline() != to.attrs.underline() {
            self.code(match to.attrs.underline() {
                Underline::None => b"24",
                Underline::Single if from.attrs.underline() == Underline::None => b"4",
                Underline::Single => b"4:1",
                Underline::Double => b"4:2",
                Underline::Curly => b"4:3",
                Underline::Dotted => b"4:4",
                Underline::Dashed => b"4:5",
            });
        }
        if from.fg != to.fg {
            self.color(3, to.fg);
        }
        if from.bg != to.bg {
            self.color(4, to.bg);
        }
        if from.ul != to.ul {
            self.underline_color(to.ul);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColorDepth;

    fn pen(fg: Color, bg: Color, attrs: Attrs) -> Pen {
        Pen {
            fg,
            bg,
            ul: Color::DEFAULT,
            attrs,
        }
    }

    fn sgr(from: Pen, to: Pen) -> String {
        let mut v = Vec::new();
        from.change(to, &mut v);
        String::from_utf8(v).unwrap().replace('\x1b', "")
    }

    #[test]
    fn deltas_are_the_shortest() {
        let d = Color::DEFAULT;
        let i = Color::indexed;
        let none = Attrs::empty();
        let zero = Pen::default();
        let red = pen(i(1), d, none);
        assert_eq!(sgr(zero, zero), "");
        assert_eq!(sgr(zero, red), "[31m");
        assert_eq!(sgr(red, zero), "[m");
        assert_eq!(sgr(red, pen(i(9), d, none)), "[91m");
        assert_eq!(sgr(red, pen(i(1), i(4), Attrs::BOLD)), "[1;44m");
        assert_eq!(sgr(pen(i(1), i(4), Attrs::BOLD), red), "[0;31m");
        assert_eq!(
            sgr(pen(i(1), i(4), Attrs::BOLD | Attrs::DIM), pen(i(1), i(4), Attrs::DIM)),
            "[22;2m"
        );
        assert_eq!(sgr(pen(i(1), i(4), Attrs::all() & Attrs::STYLE), red), "[0;31m");
        assert_eq!(sgr(red, pen(d, i(200), none)), "[0;48;5;200m");
        assert_eq!(sgr(red, pen(d, d, Attrs::REVERSE)), "[0;7m");
        assert_eq!(
            sgr(zero, pen(Color::rgb(1, 20, 255), Color::rgb(0, 0, 0), none)),
            "[38;2;1;20;255;48;2;0;0;0m"
        );
        assert_eq!(sgr(zero, pen(i(15), i(15), none)), "[97;107m");
        let curly = Pen {
            ul: Color::rgb(9, 8, 7),
            attrs: none.with_underline(Underline::Curly),
            ..zero
        };
        assert_eq!(sgr(zero, curly), "[4:3;58:2::9:8:7m");
        assert_eq!(sgr(curly, Pen { ul: i(3), ..curly }), "[58:5:3m");
        assert_eq!(
            sgr(
                curly,
                Pen {
                    ul: d,
                    attrs: none.with_underline(Underline::Single),
                    ..zero
                }
            ),
            "[0;4m"
        );
        let double = pen(i(1), i(2), none.with_underline(Underline::Double));
        assert_eq!(
            sgr(double, pen(i(1), i(2), none.with_underline(Underline::Single))),
            "[4:1m"
        );
        assert_eq!(
            sgr(double, pen(i(1), i(2), Attrs::OVERLINE | Attrs::ITALIC)),
            "[3;53;24m"
        );
    }

    #[test]
    fn capabilities_limit_what_is_asked_for() {
        let c = Cell {
            fg: Color::rgb(255, 0, 0),
            ul: Color::rgb(1, 2, 3),
            attrs: (Attrs::BOLD | Attrs::WIDE).with_underline(Underline::Curly),
            ..Cell::BLANK
        };
        let mono = Caps {
            depth: ColorDepth::Mono,
            ..Caps::default()
        };
        assert_eq!(sgr(Pen::default(), Pen::of(&c, &mono)), "[1;4m");
        let full = Caps {
            depth: ColorDepth::True,
            styled_underline: true,
            ..mono
        };
        assert_eq!(
            sgr(Pen::default(), Pen::of(&c, &full)),
            "[1;4:3;38;2;255;0;0;58:2::1:2:3m"
        );
    }

    #[test]
    fn every_parameter_fits() {
        let p = Pen {
            fg: Color::rgb(255, 255, 255),
            bg: Color::rgb(255, 255, 255),
            ul: Color::rgb(255, 255, 255),
            attrs: Attrs::all() & Attrs::STYLE,
        };
        for a in 0..2048u16 {
            let q = Pen {
                attrs: Attrs::from_bits_truncate(a),
                ..p
            };
            assert!(sgr(Pen::default(), q).ends_with("58:2::255:255:255m"));
            assert!(sgr(q, p).len() < 120);
        }
    }
}
