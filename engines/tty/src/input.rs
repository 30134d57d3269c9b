//! Keys, mouse events and the text form of a key chord (`Ctrl-Space`, `Alt-x`, `F12`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A key, without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// A key that types this character (as it would with the modifiers but Ctrl and Alt applied: `A`, not `a` + Shift).
    Char(char),
    /// A function key, 1 to 35.
    F(u8),
    /// Up arrow.
    Up,
    /// Down arrow.
    Down,
    /// Left arrow.
    Left,
    /// Right arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Insert.
    Insert,
    /// Delete (forwards).
    Delete,
    /// Backspace.
    Backspace,
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Escape.
    Esc,
    /// The menu key.
    Menu,
    /// The keypad's 5 without number lock.
    Begin,
}

bitflags::bitflags! {
    /// Modifier keys.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    pub struct Mods: u8 {
        /// Shift.
        const SHIFT = 1;
        /// Alt (Option).
        const ALT = 2;
        /// Control.
        const CTRL = 4;
        /// Super (Command, Windows).
        const SUPER = 8;
        /// Hyper.
        const HYPER = 16;
        /// Meta.
        const META = 32;
    }
}

impl Serialize for Mods {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.bits())
    }
}

impl<'de> Deserialize<'de> for Mods {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self::from_bits_truncate(u8::deserialize(d)?))
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum KeyKind {
    /// It went down.
    #[default]
    Press,
    /// It is held.
    Repeat,
    /// It went up (only terminals with the kitty keyboard protocol tell).
    Release,
}

/// A key event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyEvent {
    /// The key.
    pub key: Key,
    /// The modifiers held.
    pub mods: Mods,
    /// Press, repeat or release.
    pub kind: KeyKind,
}

impl KeyEvent {
    /// A press of `key` with `mods`.
    #[must_use]
    pub const fn new(key: Key, mods: Mods) -> Self {
        Self {
            key,
            mods,
            kind: KeyKind::Press,
        }
    }

    /// The chord it makes: Shift is dropped from characters, which already carry it.
    #[must_use]
    pub fn chord(&self) -> Chord {
        Chord::new(self.key, self.mods)
    }
}

/// A mouse button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MouseButton {
    /// Left.
    Left,
    /// Middle.
    Middle,
    /// Right.
    Right,
}

/// What the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MouseKind {
    /// A button went down.
    Press(MouseButton),
    /// A button went up.
    Release(MouseButton),
    /// It moved with a button held.
    Drag(MouseButton),
    /// It moved with none held.
    Move,
    /// The wheel turned up.
    WheelUp,
    /// The wheel turned down.
    WheelDown,
    /// The wheel tilted left.
    WheelLeft,
    /// The wheel tilted right.
    WheelRight,
}

/// A mouse event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MouseEvent {
    /// What it did.
    pub kind: MouseKind,
    /// Column, 0-based.
    pub col: u16,
    /// Row, 0-based.
    pub row: u16,
    /// Modifier keys held.
    pub mods: Mods,
}

/// What a person did at the outer terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputEvent {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text pasted in brackets, as it came.
    Paste(Vec<u8>),
    /// The terminal got the focus.
    FocusGained,
    /// The terminal lost the focus.
    FocusLost,
    /// Bytes that mean nothing to us; a program in a pane may know them.
    Unknown(Vec<u8>),
}

/// A key with its modifiers, as keymaps name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chord {
    /// The key.
    pub key: Key,
    /// Its modifiers.
    pub mods: Mods,
}

impl Chord {
    /// A normalised chord: no Shift on characters, Ctrl with lower-case letters.
    #[must_use]
    pub fn new(key: Key, mut mods: Mods) -> Self {
        let key = match key {
            Key::Char(c) => {
                let shifted = mods.contains(Mods::SHIFT);
                mods.remove(Mods::SHIFT);
                let c = if mods.contains(Mods::CTRL) {
                    c.to_ascii_lowercase()
                } else if shifted {
                    c.to_ascii_uppercase()
                } else {
                    c
                };
                Key::Char(c)
            }
            k => k,
        };
        Self { key, mods }
    }
}

/// Why a chord's text is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\u{201c}{0}\u{201d} is not a key: write it like a, Ctrl-Space, Alt-x, Shift-Tab, F12, PageUp")]
pub struct ChordError(pub String);

const NAMES: &[(&str, Key)] = &[
    ("Space", Key::Char(' ')),
    ("Up", Key::Up),
    ("Down", Key::Down),
    ("Left", Key::Left),
    ("Right", Key::Right),
    ("Home", Key::Home),
    ("End", Key::End),
    ("PageUp", Key::PageUp),
    ("PageDown", Key::PageDown),
    ("Insert", Key::Insert),
    ("Delete", Key::Delete),
    ("Backspace", Key::Backspace),
    ("Enter", Key::Enter),
    ("Tab", Key::Tab),
    ("Esc", Key::Esc),
    ("Menu", Key::Menu),
    ("Begin", Key::Begin),
];

/// Other words for the same keys, as other programs' files write them.
const ALIASES: &[(&str, Key)] = &[
    ("Escape", Key::Esc),
    ("Return", Key::Enter),
    ("Del", Key::Delete),
    ("Ins", Key::Insert),
    ("PgUp", Key::PageUp),
    ("PgDn", Key::PageDown),
    ("BS", Key::Backspace),
    ("BSpace", Key::Backspace),
];

const MODS: &[(&str, Mods)] = &[
    ("Ctrl", Mods::CTRL),
    ("Alt", Mods::ALT),
    ("Shift", Mods::SHIFT),
    ("Super", Mods::SUPER),
    ("Hyper", Mods::HYPER),
    ("Meta", Mods::META),
    ("C", Mods::CTRL),
    ("M", Mods::ALT),
    ("S", Mods::SHIFT),
];

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, m) in MODS.iter().take(6) {
            if self.mods.contains(*m) {
                write!(f, "{name}-")?;
            }
        }
        match self.key {
            Key::F(n) => write!(f, "F{n}"),
            Key::Char(c) if c != ' ' => write!(f, "{c}"),
            k => match NAMES.iter().find(|(_, x)| *x == k) {
                Some((name, _)) => f.write_str(name),
                None => f.write_str("?"),
            },
        }
    }
}

impl FromStr for Chord {
    type Err = ChordError;

    /// Reads `Ctrl-Space`, `C-a`, `Alt-Shift-Up`, `F12`, `x`; names are not case-sensitive, `-` or `+` or a blank (as
    /// zellij writes it) stands between the parts, and a single character is itself.
    fn from_str(s: &str) -> Result<Self, ChordError> {
        let bad = || ChordError(s.to_owned());
        let mut rest = s;
        let mut mods = Mods::empty();
        loop {
            let mut chars = rest.chars();
            if let (Some(c), None) = (chars.next(), chars.next()) {
                if c.is_control() {
                    return Err(bad());
                }
                return Ok(Self::new(Key::Char(c), mods));
            }
            let cut = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '+' | ' '));
            if let Some((i, _)) = cut {
                let (head, tail) = (&rest[..i], &rest[i + 1..]);
                let m = MODS
                    .iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(head))
                    .ok_or_else(bad)?;
                mods |= m.1;
                rest = tail;
                if rest.is_empty() {
                    return Err(bad());
                }
                continue;
            }
            if let Some((_, k)) = NAMES.iter().chain(ALIASES).find(|(n, _)| n.eq_ignore_ascii_case(rest)) {
                return Ok(Self::new(*k, mods));
            }
            let f = rest
                .strip_prefix(['F', 'f'])
                .and_then(|n| n.parse::<u8>().ok())
                .filter(|n| (1..=35).contains(n));
            return f.map(|n| Self::new(Key::F(n), mods)).ok_or_else(bad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_read_back_what_they_print() {
        for s in [
            "Ctrl-Space",
            "a",
            "A",
            "Alt-x",
            "F12",
            "Shift-Tab",
            "Ctrl-Alt-PageUp",
            "-",
            "Ctrl--",
            "Alt-+",
        ] {
            let c: Chord = s.parse().unwrap();
            assert_eq!(c.to_string(), s);
        }
        assert_eq!("C-A".parse::<Chord>().unwrap(), Chord::new(Key::Char('a'), Mods::CTRL));
        assert_eq!(
            "ctrl g".parse::<Chord>().unwrap(),
            Chord::new(Key::Char('g'), Mods::CTRL)
        );
        for s in ["", "Ctrl-", "Foo-x", "F99", "Spacee"] {
            assert!(s.parse::<Chord>().is_err(), "{s}");
        }
    }
}
