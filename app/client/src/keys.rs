//! What complete sequences mean: keys in all the encodings terminals use, the mouse, and replies. Tables and pure
//! functions; it never buffers anything.

use qd_tty::{InputEvent, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind};

use crate::decode::{Decoded, Reply, Scheme};

/// A control sequence without its introducer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Csi<'a> {
    /// Parameter bytes, with a private prefix.
    pub(crate) params: &'a [u8],
    /// Intermediate bytes.
    pub(crate) between: &'a [u8],
    /// The final byte.
    pub(crate) last: u8,
}

/// How a mouse protocol tells that a button went up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// It did not.
    No,
    /// It did, and is named.
    Named,
    /// Button 3 stands for any of them.
    Unnamed,
}

impl<'a> Csi<'a> {
    /// Whether only a terminal that was asked sends such a thing.
    pub(crate) fn is_reply(&self) -> bool {
        matches!(self.params.first(), Some(b'?' | b'>' | b'=')) || matches!(self.last, b'n' | b't' | b'y' | b'c')
    }

    fn prefix(&self) -> Option<u8> {
        self.params.first().copied().filter(|b| matches!(b, b'<'..=b'?'))
    }

    fn fields(&self) -> impl Iterator<Item = &'a [u8]> {
        let skip = usize::from(self.prefix().is_some());
        self.params.get(skip..).unwrap_or_default().split(|b| *b == b';')
    }

    /// The first number of the `i`th parameter.
    fn number(&self, i: usize) -> Option<u32> {
        self.fields().nth(i).and_then(|f| sub(f, 0))
    }

    fn numbers(&self) -> Vec<u16> {
        self.fields()
            .take(32)
            .map(|f| sub(f, 0).and_then(|n| u16::try_from(n).ok()).unwrap_or(0))
            .collect()
    }
}

/// The `i`th part of a parameter with colons.
fn sub(field: &[u8], i: usize) -> Option<u32> {
    std::str::from_utf8(field.split(|b| *b == b':').nth(i)?)
        .ok()?
        .parse()
        .ok()
}

/// A typed character.
pub(crate) const fn typed(c: char) -> (Key, Mods) {
    match c {
        '\0' => (Key::Char(' '), Mods::CTRL),
        '\t' => (Key::Tab, Mods::empty()),
        '\r' => (Key::Enter, Mods::empty()),
        '\u{1b}' => (Key::Esc, Mods::empty()),
        '\u{7f}' => (Key::Backspace, Mods::empty()),
        '\u{1}'..='\u{1a}' => (Key::Char((c as u8 + b'a' - 1) as char), Mods::CTRL),
        '\u{1c}' => (Key::Char('\\'), Mods::CTRL),
        '\u{1d}' => (Key::Char(']'), Mods::CTRL),
        '\u{1e}' => (Key::Char('^'), Mods::CTRL),
        '\u{1f}' => (Key::Char('_'), Mods::CTRL),
        _ => (Key::Char(c), Mods::empty()),
    }
}

/// Modifiers as terminals number them: one more than the bits.
fn mods(n: u32) -> Mods {
    Mods::from_bits_truncate((n.clamp(1, 256) - 1) as u8 & 0x3f)
}

fn letter(b: u8) -> Option<Key> {
    Some(match b {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'E' => Key::Begin,
        b'F' => Key::End,
        b'H' => Key::Home,
        b'P' => Key::F(1),
        b'Q' => Key::F(2),
        b'R' => Key::F(3),
        b'S' => Key::F(4),
        _ => return None,
    })
}

fn arrow(b: u8) -> Option<Key> {
    letter(b.to_ascii_uppercase()).filter(|_| matches!(b, b'a'..=b'd'))
}

/// `ESC O x`, with the modifiers some terminals put in between.
pub(crate) fn ss3(last: u8, modifiers: u32) -> Option<KeyEvent> {
    let m = mods(modifiers);
    if let Some(k) = letter(last) {
        return Some(KeyEvent::new(k, m));
    }
    if let Some(k) = arrow(last) {
        return Some(KeyEvent::new(k, Mods::CTRL));
    }
    let k = match last {
        b'M' => Key::Enter,
        b'I' => Key::Tab,
        b' ' => Key::Char(' '),
        b'X' => Key::Char('='),
        // The keypad in application mode: * + , - . / 0 to 9.
        b'j'..=b'y' => Key::Char(char::from(last - b'j' + b'*')),
        _ => return None,
    };
    Some(KeyEvent::new(k, m))
}

/// `CSI n ~`.
fn tilde(n: u32) -> Option<Key> {
    Some(match n {
        1 | 7 => Key::Home,
        2 => Key::Insert,
        3 => Key::Delete,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        11..=15 => Key::F((n - 10) as u8),
        17..=21 => Key::F((n - 11) as u8),
        23..=26 => Key::F((n - 12) as u8),
        28 => Key::F(15),
        29 => Key::Menu,
        31..=34 => Key::F((n - 14) as u8),
        _ => return None,
    })
}

/// The keys of the kitty protocol that have numbers of their own.
fn functional(n: u32) -> Option<Key> {
    Some(match n {
        57_363 => Key::Menu,
        57_376..=57_398 => Key::F((n - 57_376 + 13) as u8),
        57_399..=57_408 => Key::Char(char::from(b'0' + (n - 57_399) as u8)),
        57_409 => Key::Char('.'),
        57_410 => Key::Char('/'),
        57_411 => Key::Char('*'),
        57_412 => Key::Char('-'),
        57_413 => Key::Char('+'),
        57_414 => Key::Enter,
        57_415 => Key::Char('='),
        57_416 => Key::Char(','),
        57_417 => Key::Left,
        57_418 => Key::Right,
        57_419 => Key::Up,
        57_420 => Key::Down,
        57_421 => Key::PageUp,
        57_422 => Key::PageDown,
        57_423 => Key::Home,
        57_424 => Key::End,
        57_425 => Key::Insert,
        57_426 => Key::Delete,
        57_427 => Key::Begin,
        _ => return None,
    })
}

/// A key given by its code point (`CSI code u` and modifyOtherKeys).
fn code_point(code: u32, shifted: Option<u32>, base: Option<u32>, m: Mods) -> Option<Key> {
    match code {
        8 | 127 => return Some(Key::Backspace),
        9 => return Some(Key::Tab),
        10 | 13 | 57_345 => return Some(Key::Enter),
        27 | 57_344 => return Some(Key::Esc),
        _ => {}
    }
    if (57_344..=63_743).contains(&code) {
        return functional(code);
    }
    let c = char::from_u32(code).filter(|c| !c.is_control())?;
    let shifted = shifted.and_then(char::from_u32).filter(|c| !c.is_control());
    let base = base.and_then(char::from_u32).filter(char::is_ascii_graphic);
    if m.intersects(Mods::CTRL | Mods::ALT | Mods::SUPER)
        && let Some(b) = base.filter(|_| !c.is_ascii())
    {
        // A chord is meant by its place on the keyboard where the layout is not Latin.
        return Some(Key::Char(if m.contains(Mods::SHIFT) {
            b.to_ascii_uppercase()
        } else {
            b
        }));
    }
    Some(Key::Char(match shifted {
        Some(s) if m.contains(Mods::SHIFT) => s,
        _ if m.contains(Mods::SHIFT) => c.to_ascii_uppercase(),
        _ => c,
    }))
}

/// A mouse report; `col` and `row` are 0-based.
pub(crate) fn mouse(code: u16, col: u16, row: u16, up: Up, held: &mut MouseButton) -> Option<MouseEvent> {
    let mut m = Mods::empty();
    m.set(Mods::SHIFT, code & 4 != 0);
    m.set(Mods::ALT, code & 8 != 0);
    m.set(Mods::CTRL, code & 16 != 0);
    if code >= 128 {
        return None;
    }
    let button = match code & 3 {
        0 => Some(MouseButton::Left),
        1 => Some(MouseButton::Middle),
        2 => Some(MouseButton::Right),
        _ => None,
    };
    let kind = if code & 64 != 0 {
        if up == Up::Named {
            return None;
        }
        [
            MouseKind::WheelUp,
            MouseKind::WheelDown,
            MouseKind::WheelLeft,
            MouseKind::WheelRight,
        ]
        .get(usize::from(code & 3))
        .copied()?
    } else {
        match (button, code & 32 != 0, up) {
            (Some(b), _, Up::Named) => MouseKind::Release(b),
            (None, _, Up::Named) => MouseKind::Release(*held),
            (Some(b), true, _) => MouseKind::Drag(b),
            (None, true, _) => MouseKind::Move,
            (Some(b), false, _) => MouseKind::Press(b),
            (None, false, Up::Unnamed) => MouseKind::Release(*held),
            (None, false, Up::No) => return None,
        }
    };
    if let MouseKind::Press(b) = kind {
        *held = b;
    }
    Some(MouseEvent {
        kind,
        col,
        row,
        mods: m,
    })
}

fn key(k: Key, m: Mods, kind: KeyKind) -> Option<Decoded> {
    Some(Decoded::Event(InputEvent::Key(KeyEvent { key: k, mods: m, kind })))
}

/// What a control sequence means.
pub(crate) fn csi(s: &Csi<'_>, held: &mut MouseButton) -> Option<Decoded> {
    let reply = |r| Some(Decoded::Reply(r));
    let small = |n: Option<u32>| n.and_then(|n| u16::try_from(n).ok());
    match (s.prefix(), s.between, s.last) {
        (Some(b'<'), b"", b'M' | b'm') => {
            let up = if s.last == b'm' { Up::Named } else { Up::No };
            let at = |i| Some(s.number(i)?.clamp(1, 65_535) as u16 - 1);
            let m = mouse(small(s.number(0))?, at(1)?, at(2)?, up, held)?;
            return Some(Decoded::Event(InputEvent::Mouse(m)));
        }
        (None, b"", b'M') => {
            let at = |i| Some(s.number(i)?.clamp(1, 65_535) as u16 - 1);
            let m = mouse(small(s.number(0))?.checked_sub(32)?, at(1)?, at(2)?, Up::Unnamed, held)?;
            return Some(Decoded::Event(InputEvent::Mouse(m)));
        }
        (Some(b'?'), b"", b'c') => return reply(Reply::PrimaryAttributes(s.numbers())),
        (Some(b'>'), b"", b'c') => return reply(Reply::SecondaryAttributes(s.numbers())),
        (Some(b'?'), b"", b'u') => return reply(Reply::Kitty(s.number(0).unwrap_or(0) as u8)),
        (Some(b'?'), b"$", b'y') => {
            return reply(Reply::Mode {
                mode: small(s.number(0))?,
                state: s.number(1).unwrap_or(0).min(255) as u8,
            });
        }
        (Some(b'?'), b"", b'n') if s.number(0) == Some(997) => {
            return match s.number(1) {
                Some(1) => reply(Reply::ColorScheme(Scheme::Dark)),
                Some(2) => reply(Reply::ColorScheme(Scheme::Light)),
                _ => None,
            };
        }
        (Some(_), ..) => return None,
        _ => {}
    }
    if !s.between.is_empty() {
        return None;
    }
    let second = s.fields().nth(1).unwrap_or_default();
    let m = mods(sub(second, 0).unwrap_or(1));
    let kind = match sub(second, 1) {
        Some(2) => KeyKind::Repeat,
        Some(3) => KeyKind::Release,
        _ => KeyKind::Press,
    };
    match s.last {
        b'I' if s.params.is_empty() => Some(Decoded::Event(InputEvent::FocusGained)),
        b'O' if s.params.is_empty() => Some(Decoded::Event(InputEvent::FocusLost)),
        b'Z' => key(Key::Tab, m | Mods::SHIFT, kind),
        b'R' if s.number(0).is_some_and(|n| n != 1) || s.number(1).is_some_and(|n| n > 64) => {
            reply(Reply::CursorPosition {
                row: small(s.number(0))?,
                col: small(s.number(1))?,
            })
        }
        b'~' if s.number(0) == Some(27) && s.number(2).is_some() => {
            key(code_point(s.number(2)?, None, None, m)?, m, KeyKind::Press)
        }
        b'~' => key(tilde(s.number(0)?)?, m, kind),
        b'$' => key(tilde(s.number(0)?)?, Mods::SHIFT, kind),
        b'^' => key(tilde(s.number(0)?)?, Mods::CTRL, kind),
        b'@' => key(tilde(s.number(0)?)?, Mods::CTRL | Mods::SHIFT, kind),
        b'a'..=b'd' if s.params.is_empty() => key(arrow(s.last)?, Mods::SHIFT, kind),
        b'u' => {
            let first = s.fields().next().unwrap_or_default();
            key(code_point(sub(first, 0)?, sub(first, 1), sub(first, 2), m)?, m, kind)
        }
        // Without parameters, or as `CSI 1 ; modifiers x`.
        b if s.number(0).is_none_or(|n| n == 1) => key(letter(b)?, m, kind),
        _ => None,
    }
}

/// A colour as OSC 10 and 11 report it.
fn color(s: &str) -> Option<(u8, u8, u8)> {
    if let Some(hex) = s.strip_prefix('#') {
        let n = hex.len() / 3;
        if hex.len() != n * 3 || !(1..=4).contains(&n) || !hex.is_ascii() {
            return None;
        }
        let part = |i: usize| channel(hex.get(i * n..(i + 1) * n)?);
        return Some((part(0)?, part(1)?, part(2)?));
    }
    let mut parts = s.strip_prefix("rgba:").or_else(|| s.strip_prefix("rgb:"))?.split('/');
    Some((
        channel(parts.next()?)?,
        channel(parts.next()?)?,
        channel(parts.next()?)?,
    ))
}

/// One to four hexadecimal digits, scaled to a byte.
fn channel(s: &str) -> Option<u8> {
    if !(1..=4).contains(&s.len()) || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let max = (1u32 << (4 * s.len())) - 1;
    Some((u32::from_str_radix(s, 16).ok()? * 255 / max) as u8)
}

/// A control string without its first escape and without its end.
pub(crate) fn string(body: &[u8]) -> Reply {
    let other = || Reply::Other(body.to_vec());
    if let Some(v) = body.strip_prefix(b"P>|") {
        return Reply::Version(
            String::from_utf8_lossy(v)
                .chars()
                .filter(|c| !c.is_control())
                .take(128)
                .collect(),
        );
    }
    let osc = |prefix: &[u8]| {
        body.strip_prefix(prefix)
            .and_then(|s| std::str::from_utf8(s).ok())
            .and_then(color)
    };
    if let Some((r, g, b)) = osc(b"]11;") {
        return Reply::Background { r, g, b };
    }
    if let Some((r, g, b)) = osc(b"]10;") {
        return Reply::Foreground { r, g, b };
    }
    other()
}
