//! Output of a piece of a file, in which the numbers that depend on where the piece lies can be told from all else.
//!
//! A printer counts lines and bytes from the beginning of what is searched. It announces each number by a colour, so line and
//! byte numbers are given colours that nobody can ask for, and are known by them: byte numbers are put right at once, line
//! numbers when it is known how many lines come before.

use std::io::{self, Write};

use grep_printer::{ColorSpecs, UserColorSpec};
use termcolor::{Buffer, ColorSpec, WriteColor};

/// The colours that stand for numbers, as the flag `--colors` takes them.
const MARKS: [&str; 8] = [
    "line:none",
    "line:fg:1,2,3",
    "line:bg:3,2,1",
    "line:style:intense",
    "column:none",
    "column:fg:3,2,1",
    "column:bg:1,2,3",
    "column:style:intense",
];

/// The colours of `list`, with the marks for the numbers. None if something else has the colours of a mark.
pub(crate) fn marks(list: &[UserColorSpec]) -> Option<ColorSpecs> {
    let mut list = list.to_vec();
    for mark in MARKS {
        list.push(mark.parse().ok()?);
    }
    let specs = ColorSpecs::new(&list);
    let marks = [specs.line(), specs.column()];
    let others = [specs.path(), specs.matched(), specs.highlight()];
    (!others.iter().any(|o| marks.contains(o))).then_some(specs)
}

/// What is written next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Next {
    #[default]
    Text,
    LineNumber,
    ByteNumber,
}

/// Takes what a printer with the colours of [`marks`] writes.
#[derive(Debug)]
pub(crate) struct Marked {
    text: Buffer,
    line: (ColorSpec, ColorSpec),
    column: (ColorSpec, ColorSpec),
    /// The second kind of number is that of a byte, not of a column.
    bytes: bool,
    /// Bytes before the piece.
    before: u64,
    next: Next,
    /// Where in the text a line number belongs, and the number in the piece.
    lines: Vec<(usize, u64)>,
}

impl Marked {
    /// Writes to `text` with the colours of `real`, when it is given those of `marked`. With `bytes` there are numbers of bytes
    /// and none of columns.
    pub(crate) fn new(text: Buffer, real: &ColorSpecs, marked: &ColorSpecs, bytes: bool) -> Self {
        Marked {
            text,
            line: (marked.line().clone(), real.line().clone()),
            column: (marked.column().clone(), real.column().clone()),
            bytes,
            before: 0,
            next: Next::Text,
            lines: Vec::new(),
        }
    }

    /// Begins a piece that has so many bytes before it.
    pub(crate) fn begin(&mut self, before: u64) {
        self.text.clear();
        self.lines.clear();
        self.before = before;
    }

    /// What was written since the piece began.
    pub(crate) fn take(&mut self) -> Text {
        Text {
            bytes: self.text.as_slice().to_vec(),
            lines: std::mem::take(&mut self.lines),
        }
    }
}

impl Write for Marked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::mem::take(&mut self.next) {
            Next::Text => return self.text.write(bytes),
            Next::LineNumber => self.lines.push((self.text.len(), number(bytes))),
            Next::ByteNumber => {
                let mut digits = [0; 20];
                self.text.write_all(decimal(self.before + number(bytes), &mut digits))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.flush()
    }
}

/// A number in decimal, which is written into `digits` from the end.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        // A decimal digit.
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[first..];
        }
    }
}

/// A number that a printer wrote in decimal.
fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .filter(|d| d.is_ascii_digit())
        .fold(0, |n, d| n * 10 + u64::from(d - b'0'))
}

impl WriteColor for Marked {
    fn supports_color(&self) -> bool {
        self.text.supports_color()
    }

    fn supports_hyperlinks(&self) -> bool {
        self.text.supports_hyperlinks()
    }

    fn set_color(&mut self, spec: &ColorSpec) -> io::Result<()> {
        if *spec == self.line.0 {
            self.next = Next::LineNumber;
            self.text.set_color(&self.line.1)
        } else if *spec == self.column.0 {
            if self.bytes {
                self.next = Next::ByteNumber;
            }
            self.text.set_color(&self.column.1)
        } else {
            self.text.set_color(spec)
        }
    }

    fn set_hyperlink(&mut self, link: &termcolor::HyperlinkSpec<'_>) -> io::Result<()> {
        self.text.set_hyperlink(link)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.text.reset()
    }

    fn is_synchronous(&self) -> bool {
        false
    }
}

/// What was written of one piece, without its line numbers.
#[derive(Debug, Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    lines: Vec<(usize, u64)>,
}

impl Text {
    /// Nothing yet, with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Text {
            bytes: Vec::with_capacity(bytes),
            lines: Vec::new(),
        }
    }

    /// Adds a number.
    pub(crate) fn push_number(&mut self, number: u64) {
        let mut digits = [0; 20];
        self.bytes.extend_from_slice(decimal(number, &mut digits));
    }

    /// Adds a line number, counted from the beginning of the piece.
    pub(crate) fn push_line_number(&mut self, number: u64) {
        self.lines.push((self.bytes.len(), number));
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<(usize, u64)>()
    }

    /// Adds what has no line numbers.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes it to `out`, where so many lines come before the piece.
    pub(crate) fn write(&self, before: u64, out: &mut impl Write) -> io::Result<()> {
        let mut start = 0;
        for &(at, line) in &self.lines {
            out.write_all(&self.bytes[start..at])?;
            let mut digits = [0; 20];
            out.write_all(decimal(before + line, &mut digits))?;
            start = at;
        }
        out.write_all(&self.bytes[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list: &[&str]) -> Vec<UserColorSpec> {
        list.iter().map(|s| s.parse().unwrap()).collect()
    }

    #[test]
    fn marks_leave_the_other_colours() {
        for wanted in [
            &[][..],
            &["match:fg:red", "match:style:bold", "path:fg:1,2,3", "line:bg:77"],
            &["match:none", "path:style:italic", "line:fg:0xff"],
        ] {
            let (real, marked) = (ColorSpecs::new(&list(wanted)), marks(&list(wanted)).unwrap());
            assert_eq!(marked.matched(), real.matched());
            assert_ne!(marked.line(), real.line());
            assert_ne!(marked.line(), marked.column());
        }
        let same = ["match:fg:1,2,3", "match:bg:3,2,1", "match:style:intense"];
        assert!(marks(&list(&same)).is_none(), "somebody wants these very colours");
    }

    #[test]
    fn line_numbers_are_put_in_later_and_byte_numbers_at_once() {
        let real = ColorSpecs::new(&list(&["line:fg:green"]));
        let marked = marks(&list(&["line:fg:green"])).unwrap();
        let mut out = Marked::new(Buffer::ansi(), &real, &marked, true);
        out.begin(100);
        out.set_color(marked.line()).unwrap();
        out.write_all(b"7").unwrap();
        out.reset().unwrap();
        out.write_all(b":").unwrap();
        out.set_color(marked.column()).unwrap();
        out.write_all(b"23").unwrap();
        out.reset().unwrap();
        out.write_all(b":42\n").unwrap();
        let mut bytes = Vec::new();
        out.take().write(1000, &mut bytes).unwrap();
        let plain = String::from_utf8(bytes).unwrap();
        assert!(plain.starts_with("\u{1b}[0m\u{1b}[32m1007\u{1b}[0m:"), "{plain:?}");
        assert!(plain.contains("123\u{1b}[0m:42\n"), "{plain:?}");
    }
}
