//! What keys send to a program: the legacy forms of xterm, its modifyOtherKeys, and the kitty keyboard protocol.
//! Pure functions. Facts from xterm's ctlseqs (“PC-Style Function Keys”, “modifyOtherKeys”) and from
//! <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>.

use qd_tty::{Key, KeyEvent, KeyKind, Mods};

/// The state of xterm's modifyOtherKeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModifyOtherKeys {
    /// Off.
    #[default]
    Off,
    /// Level 1: keys without a usual meaning.
    Some,
    /// Level 2: all modified keys.
    All,
}

/// What decides how keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyModes {
    /// Cursor keys send `ESC O` (DECCKM).
    pub app_cursor: bool,
    /// The keypad sends its application codes (DECKPAM).
    pub app_keypad: bool,
    /// Backspace sends 0x08 (DECBKM).
    pub backarrow: bool,
    /// Enter sends CR LF (LNM).
    pub newline: bool,
    /// xterm's modifyOtherKeys.
    pub modify_other: ModifyOtherKeys,
    /// The kitty keyboard protocol's flags, 0 where it is off.
    pub kitty: u8,
}

const DISAMBIGUATE: u8 = 1;
const EVENT_TYPES: u8 = 2;
const ALTERNATES: u8 = 4;
const ALL_KEYS: u8 = 8;
const TEXT: u8 = 16;

/// The form of a key that types nothing.
enum Form {
    /// `CSI 1 ; m X`, or `ESC O X` with application cursor keys.
    Cursor(u8),
    /// `ESC O X`, modified `CSI 1 ; m X`.
    Ss3(u8),
    /// `CSI n ; m ~`.
    Tilde(u16),
    /// `CSI n ; m u`, in the kitty protocol only.
    Code(u32),
}

/// The form of a key, and modifiers that it stands for by itself.
fn form(key: Key, kitty: bool) -> Option<(Form, Mods)> {
    let plain = |f| Some((f, Mods::empty()));
    match key {
        Key::Up => plain(Form::Cursor(b'A')),
        Key::Down => plain(Form::Cursor(b'B')),
        Key::Right => plain(Form::Cursor(b'C')),
        Key::Left => plain(Form::Cursor(b'D')),
        Key::Begin => plain(Form::Cursor(b'E')),
        Key::End => plain(Form::Cursor(b'F')),
        Key::Home => plain(Form::Cursor(b'H')),
        Key::Insert => plain(Form::Tilde(2)),
        Key::Delete => plain(Form::Tilde(3)),
        Key::PageUp => plain(Form::Tilde(5)),
        Key::PageDown => plain(Form::Tilde(6)),
        Key::Menu if kitty => plain(Form::Code(57363)),
        Key::Menu => plain(Form::Tilde(29)),
        // `CSI R` is also a cursor report.
        Key::F(3) if kitty => plain(Form::Tilde(13)),
        Key::F(n @ 1..=4) if kitty => plain(Form::Cursor(b'P' + n - 1)),
        Key::F(n @ 1..=4) => plain(Form::Ss3(b'P' + n - 1)),
        Key::F(n @ 5..=12) => plain(Form::Tilde([15, 17, 18, 19, 20, 21, 23, 24][usize::from(n) - 5])),
        Key::F(n @ 13..=35) if kitty => plain(Form::Code(57376 + u32::from(n) - 13)),
        Key::F(n @ 13..=20) => plain(Form::Tilde([25, 26, 28, 29, 31, 32, 33, 34][usize::from(n) - 13])),
        // Further ones are what terminfo calls them: shifted and controlled F keys.
        Key::F(n @ 21..=24) => form(Key::F(n - 12), false).map(|(f, _)| (f, Mods::SHIFT)),
        Key::F(n @ 25..=35) => form(Key::F(n - 24), false).map(|(f, _)| (f, Mods::CTRL)),
        _ => None,
    }
}

/// The code of a key that types or controls text, in `CSI … u` and `CSI 27 ; …` forms.
fn code(key: Key) -> Option<u32> {
    match key {
        Key::Char(c) => Some(u32::from(c)),
        Key::Enter => Some(13),
        Key::Tab => Some(9),
        Key::Esc => Some(27),
        Key::Backspace => Some(127),
        _ => None,
    }
}

/// What Ctrl makes of a character, where it makes something of it.
fn control(c: char) -> Option<u8> {
    Some(match c {
        'a'..='z' | 'A'..='Z' => c as u8 & 0x1f,
        ' ' | '@' | '2' | '`' => 0,
        '[' | '3' | '{' => 0x1b,
        '\\' | '4' | '|' => 0x1c,
        ']' | '5' | '}' => 0x1d,
        '^' | '6' | '~' => 0x1e,
        '_' | '7' | '/' | '-' => 0x1f,
        '?' | '8' => 0x7f,
        _ => return None,
    })
}

fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Appends what `key` sends under `modes` to `out`; nothing for keys that send nothing.
pub fn encode_key(key: &KeyEvent, modes: &KeyModes, out: &mut Vec<u8>) {
    if modes.kitty != 0 {
        kitty(key, modes, out);
    } else if key.kind != KeyKind::Release {
        legacy(key, modes, out);
    }
}

fn legacy(key: &KeyEvent, modes: &KeyModes, out: &mut Vec<u8>) {
    if let Some((form, own)) = form(key.key, false) {
        return function(&form, key.mods | own, modes.app_cursor, out);
    }
    if modes.modify_other != ModifyOtherKeys::Off && modify_other(key, modes.modify_other, out) {
        return;
    }
    let (alt, ctrl, shift) = (
        key.mods.contains(Mods::ALT),
        key.mods.contains(Mods::CTRL),
        key.mods.contains(Mods::SHIFT),
    );
    if alt {
        out.push(0x1b);
    }
    match key.key {
        Key::Char(c) => match control(c).filter(|_| ctrl) {
            Some(b) => out.push(b),
            None => push_char(c, out),
        },
        Key::Enter => out.extend_from_slice(if modes.newline { b"\r\n" } else { b"\r" }),
        Key::Tab if shift => out.extend_from_slice(b"\x1b[Z"),
        Key::Tab => out.push(b'\t'),
        Key::Backspace => out.push(if ctrl == modes.backarrow { 0x7f } else { 0x08 }),
        Key::Esc => out.push(0x1b),
        _ => {}
    }
}

/// Appends a function key with xterm's modifiers.
fn function(form: &Form, mods: Mods, app_cursor: bool, out: &mut Vec<u8>) {
    let m = xterm_mods(mods);
    let text = match (form, m) {
        (Form::Cursor(x), 1) if !app_cursor => format!("\x1b[{}", char::from(*x)),
        (Form::Cursor(x) | Form::Ss3(x), 1) => format!("\x1bO{}", char::from(*x)),
        (Form::Cursor(x) | Form::Ss3(x), m) => format!("\x1b[1;{m}{}", char::from(*x)),
        (Form::Tilde(n), 1) => format!("\x1b[{n}~"),
        (Form::Tilde(n), m) => format!("\x1b[{n};{m}~"),
        (Form::Code(_), _) => return,
    };
    out.extend_from_slice(text.as_bytes());
}

/// Shift, Alt, Control and Meta as xterm counts them.
fn xterm_mods(mods: Mods) -> u8 {
    let meta = if mods.contains(Mods::META) { 8 } else { 0 };
    1 + (mods & (Mods::SHIFT | Mods::ALT | Mods::CTRL)).bits() + meta
}

/// Appends the `CSI 27 ; m ; code ~` form, where the level asks for it.
fn modify_other(key: &KeyEvent, level: ModifyOtherKeys, out: &mut Vec<u8>) -> bool {
    let mut mods = key.mods & (Mods::SHIFT | Mods::ALT | Mods::CTRL | Mods::META);
    let Some(code) = code(key.key) else { return false };
    if let Key::Char(c) = key.key {
        if (mods - Mods::SHIFT).is_empty() {
            return false;
        }
        if c.is_ascii_uppercase() {
            mods |= Mods::SHIFT;
        }
    }
    if mods.is_empty() {
        return false;
    }
    let usual = match key.key {
        Key::Char(c) => !mods.contains(Mods::CTRL) || (control(c).is_some() && mods == Mods::CTRL),
        Key::Tab => mods == Mods::SHIFT,
        Key::Backspace => mods == Mods::CTRL || mods == Mods::ALT,
        Key::Enter | Key::Esc => mods == Mods::ALT,
        _ => false,
    };
    if level == ModifyOtherKeys::Some && usual {
        return false;
    }
    out.extend_from_slice(format!("\x1b[27;{};{code}~", xterm_mods(mods)).as_bytes());
    true
}

fn kitty(key: &KeyEvent, modes: &KeyModes, out: &mut Vec<u8>) {
    let flags = modes.kitty;
    let all = flags & ALL_KEYS != 0;
    let event = match key.kind {
        KeyKind::Press => 1,
        _ if flags & EVENT_TYPES == 0 && key.kind == KeyKind::Release => return,
        _ if flags & EVENT_TYPES == 0 => 1,
        KeyKind::Repeat => 2,
        KeyKind::Release => 3,
    };
    if let Some((form, own)) = form(key.key, true) {
        let unusual = flags & (DISAMBIGUATE | ALL_KEYS) != 0 || event != 1;
        if !unusual {
            return legacy(key, modes, out);
        }
        let mods = key.mods | own;
        let (number, last) = match form {
            Form::Cursor(x) | Form::Ss3(x) => (1, char::from(x)),
            Form::Tilde(n) => (u32::from(n), '~'),
            Form::Code(n) => (n, 'u'),
        };
        let text = match (mods.bits() + 1, event, last) {
            (1, 1, 'A'..='S') => format!("\x1b[{last}"),
            (1, 1, _) => format!("\x1b[{number}{last}"),
            (m, 1, _) => format!("\x1b[{number};{m}{last}"),
            (m, e, _) => format!("\x1b[{number};{m}:{e}{last}"),
        };
        return out.extend_from_slice(text.as_bytes());
    }
    let Some(mut number) = code(key.key) else { return };
    let mut mods = key.mods;
    let mut shifted = None;
    let mut typed = None;
    match key.key {
        Key::Char(c) => {
            let lower = c.to_lowercase().next().unwrap_or(c);
            if lower != c && c.to_lowercase().count() == 1 {
                // The key's own code is the unshifted one.
                number = u32::from(lower);
                shifted = Some(u32::from(c));
                mods |= Mods::SHIFT;
            }
            if (mods - Mods::SHIFT).is_empty() {
                typed = Some(c);
                if !all && event != 3 {
                    return push_char(c, out);
                }
            } else if flags & (DISAMBIGUATE | ALL_KEYS) == 0 && event != 3 {
                return legacy(key, modes, out);
            }
        }
        Key::Esc if flags & (DISAMBIGUATE | ALL_KEYS) == 0 && event == 1 => return legacy(key, modes, out),
        Key::Esc => {}
        // These stay as they are, so that a shell is usable after a program that forgot to switch back.
        _ if !all && event == 3 => return,
        _ if !all && (mods.is_empty() || flags & DISAMBIGUATE == 0) => return legacy(key, modes, out),
        _ => {}
    }
    let mut text = format!("\x1b[{number}");
    if let Some(s) = shifted.filter(|_| flags & ALTERNATES != 0) {
        text.push_str(&format!(":{s}"));
    }
    let typed = typed.filter(|_| flags & TEXT != 0 && all && event != 3);
    let m = mods.bits() + 1;
    match (m, event) {
        (1, 1) if typed.is_none() => {}
        (1, 1) => text.push(';'),
        (m, 1) => text.push_str(&format!(";{m}")),
        (m, e) => text.push_str(&format!(";{m}:{e}")),
    }
    if let Some(c) = typed {
        text.push_str(&format!(";{}", u32::from(c)));
    }
    text.push('u');
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use qd_tty::Chord;

    use super::*;

    fn enc(chord: &str, modes: &KeyModes) -> String {
        let c: Chord = chord.parse().unwrap();
        let mut out = Vec::new();
        encode_key(&KeyEvent::new(c.key, c.mods), modes, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(modes: &KeyModes, table: &[(&str, &str)]) {
        for (chord, want) in table {
            assert_eq!(enc(chord, modes), *want, "{chord} under {modes:?}");
        }
    }

    #[test]
    fn legacy_forms() {
        check(
            &KeyModes::default(),
            &[
                ("a", "a"),
                ("A", "A"),
                ("\u{e9}", "\u{e9}"),
                ("Ctrl-a", "\x01"),
                ("Ctrl-Space", "\0"),
                ("Ctrl-@", "\0"),
                ("Ctrl-[", "\x1b"),
                ("Ctrl-\\", "\x1c"),
                ("Ctrl-]", "\x1d"),
                ("Ctrl-^", "\x1e"),
                ("Ctrl-_", "\x1f"),
                ("Ctrl-/", "\x1f"),
                ("Ctrl-?", "\x7f"),
                ("Ctrl-1", "1"),
                ("Alt-x", "\x1bx"),
                ("Ctrl-Alt-x", "\x1b\x18"),
                ("Enter", "\r"),
                ("Alt-Enter", "\x1b\r"),
                ("Tab", "\t"),
                ("Shift-Tab", "\x1b[Z"),
                ("Esc", "\x1b"),
                ("Alt-Esc", "\x1b\x1b"),
                ("Backspace", "\x7f"),
                ("Ctrl-Backspace", "\x08"),
                ("Alt-Backspace", "\x1b\x7f"),
                ("Up", "\x1b[A"),
                ("Left", "\x1b[D"),
                ("Home", "\x1b[H"),
                ("End", "\x1b[F"),
                ("Ctrl-Right", "\x1b[1;5C"),
                ("Alt-Shift-Up", "\x1b[1;4A"),
                ("PageUp", "\x1b[5~"),
                ("Shift-Delete", "\x1b[3;2~"),
                ("Insert", "\x1b[2~"),
                ("F1", "\x1bOP"),
                ("F4", "\x1bOS"),
                ("Ctrl-F1", "\x1b[1;5P"),
                ("F5", "\x1b[15~"),
                ("F12", "\x1b[24~"),
                ("Shift-F5", "\x1b[15;2~"),
                ("F20", "\x1b[34~"),
                ("F21", "\x1b[20;2~"),
                ("F25", "\x1b[1;5P"),
            ],
        );
        let app = KeyModes {
            app_cursor: true,
            ..KeyModes::default()
        };
        check(
            &app,
            &[
                ("Up", "\x1bOA"),
                ("Home", "\x1bOH"),
                ("Ctrl-Up", "\x1b[1;5A"),
                ("PageUp", "\x1b[5~"),
            ],
        );
        let odd = KeyModes {
            backarrow: true,
            newline: true,
            ..KeyModes::default()
        };
        check(
            &odd,
            &[("Backspace", "\x08"), ("Ctrl-Backspace", "\x7f"), ("Enter", "\r\n")],
        );
    }

    #[test]
    fn modify_other_keys() {
        let some = KeyModes {
            modify_other: ModifyOtherKeys::Some,
            ..KeyModes::default()
        };
        check(
            &some,
            &[
                ("a", "a"),
                ("A", "A"),
                ("Ctrl-a", "\x01"),
                ("Alt-x", "\x1bx"),
                ("Ctrl-1", "\x1b[27;5;49~"),
                ("Ctrl-Enter", "\x1b[27;5;13~"),
                ("Shift-Enter", "\x1b[27;2;13~"),
                ("Ctrl-Tab", "\x1b[27;5;9~"),
                ("Shift-Tab", "\x1b[Z"),
                ("Enter", "\r"),
            ],
        );
        let all = KeyModes {
            modify_other: ModifyOtherKeys::All,
            ..KeyModes::default()
        };
        check(
            &all,
            &[
                ("a", "a"),
                ("Ctrl-a", "\x1b[27;5;97~"),
                ("Alt-x", "\x1b[27;3;120~"),
                ("Alt-X", "\x1b[27;4;88~"),
                ("Shift-Tab", "\x1b[27;2;9~"),
                ("Enter", "\r"),
                ("Up", "\x1b[A"),
            ],
        );
    }

    #[test]
    fn kitty_disambiguates() {
        let k = KeyModes {
            kitty: 1,
            app_cursor: true,
            ..KeyModes::default()
        };
        check(
            &k,
            &[
                ("a", "a"),
                ("A", "A"),
                ("Esc", "\x1b[27u"),
                ("Ctrl-a", "\x1b[97;5u"),
                ("Alt-a", "\x1b[97;3u"),
                ("Alt-A", "\x1b[97;4u"),
                ("Ctrl-i", "\x1b[105;5u"),
                ("Ctrl-Space", "\x1b[32;5u"),
                ("Enter", "\r"),
                ("Tab", "\t"),
                ("Backspace", "\x7f"),
                ("Shift-Enter", "\x1b[13;2u"),
                ("Shift-Tab", "\x1b[9;2u"),
                ("Ctrl-Backspace", "\x1b[127;5u"),
                ("Up", "\x1b[A"),
                ("Ctrl-Up", "\x1b[1;5A"),
                ("F1", "\x1b[P"),
                ("F3", "\x1b[13~"),
                ("Shift-F3", "\x1b[13;2~"),
                ("F5", "\x1b[15~"),
                ("F13", "\x1b[57376u"),
                ("Menu", "\x1b[57363u"),
                ("Super-a", "\x1b[97;9u"),
                ("Delete", "\x1b[3~"),
            ],
        );
    }

    #[test]
    fn kitty_reports_events_alternates_and_text() {
        let mut k = KeyModes {
            kitty: 1 | 2,
            ..KeyModes::default()
        };
        let enc = |key, mods, kind, k: &KeyModes| {
            let mut out = Vec::new();
            encode_key(&KeyEvent { key, mods, kind }, k, &mut out);
            String::from_utf8(out).unwrap()
        };
        let none = Mods::empty();
        assert_eq!(enc(Key::Up, none, KeyKind::Repeat, &k), "\x1b[1;1:2A");
        assert_eq!(enc(Key::Up, Mods::CTRL, KeyKind::Release, &k), "\x1b[1;5:3A");
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Press, &k), "a");
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Release, &k), "\x1b[97;1:3u");
        assert_eq!(enc(Key::Enter, none, KeyKind::Release, &k), "");
        k.kitty = 1;
        assert_eq!(enc(Key::Up, none, KeyKind::Release, &k), "");
        k.kitty = 8;
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Press, &k), "\x1b[97u");
        assert_eq!(enc(Key::Char('A'), none, KeyKind::Press, &k), "\x1b[97;2u");
        assert_eq!(enc(Key::Enter, none, KeyKind::Press, &k), "\x1b[13u");
        k.kitty = 8 | 4 | 16 | 2;
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Press, &k), "\x1b[97;;97u");
        assert_eq!(enc(Key::Char('A'), none, KeyKind::Press, &k), "\x1b[97:65;2;65u");
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Release, &k), "\x1b[97;1:3u");
        assert_eq!(enc(Key::Char('a'), Mods::CTRL, KeyKind::Repeat, &k), "\x1b[97;5:2u");
        // Off, releases are nobody's business.
        assert_eq!(enc(Key::Char('a'), none, KeyKind::Release, &KeyModes::default()), "");
    }
}
