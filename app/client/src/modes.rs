//! The modes a terminal is put in while we have it, and the way back. It owns these two strings of bytes and nothing
//! else. What crossterm has a command for is written by crossterm; the rest are sequences of xterm's ctlseqs and of the
//! kitty keyboard protocol.

use crossterm::{
    Command, cursor,
    event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange},
    style::ResetColor,
    terminal::{Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen},
};

/// Appends a command of crossterm's as it is written to a terminal.
fn put(out: &mut Vec<u8>, command: impl Command) {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = command.write_ansi(&mut text);
    out.extend_from_slice(text.as_bytes());
}

/// Whether the mouse is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mouse {
    /// Clicks, drags and the wheel come to us; Shift gives them back to the terminal.
    #[default]
    On,
    /// The terminal keeps the mouse.
    Off,
}

/// The bytes that take the terminal: title kept, alternate screen, plain keyboard modes, no automatic wrap, bracketed
/// paste, focus reports and, if wanted, the mouse.
pub fn enter(mouse: Mouse, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b[22;0t");
    put(out, EnterAlternateScreen);
    put(out, ResetColor);
    put(out, Clear(ClearType::All));
    put(out, cursor::MoveTo(0, 0));
    out.extend_from_slice(b"\x1b[?1l\x1b>");
    put(out, DisableLineWrap);
    put(out, EnableBracketedPaste);
    put(out, EnableFocusChange);
    if mouse == Mouse::On {
        out.extend_from_slice(b"\x1b[?1002h\x1b[?1006h");
    }
}

/// The bytes that ask for the kitty keyboard protocol: unambiguous keys, with their shifted and base forms.
pub const PUSH_KEYBOARD: &[u8] = b"\x1b[>5u";
/// The bytes that end it.
pub const POP_KEYBOARD: &[u8] = b"\x1b[<u";

/// The bytes that give the terminal back, whatever it was in the middle of: an open string and a synchronized update
/// are ended first. [`POP_KEYBOARD`] goes before them where the protocol had been asked for.
pub fn leave(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b\\\x1b[?2026l\x1b[m\x1b[r\x1b[?2031l\x1b[?1006l\x1b[?1002l");
    put(out, DisableFocusChange);
    put(out, DisableBracketedPaste);
    put(out, EnableLineWrap);
    put(out, cursor::SetCursorStyle::DefaultUserShape);
    put(out, cursor::Show);
    put(out, LeaveAlternateScreen);
    out.extend_from_slice(b"\x1b[23;0t");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_that_is_set_is_reset() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        enter(Mouse::On, &mut a);
        leave(&mut b);
        let (a, b) = (String::from_utf8(a).unwrap(), String::from_utf8(b).unwrap());
        for set in a.split('\x1b').filter(|s| s.starts_with("[?") && s.ends_with('h')) {
            let reset = format!("\x1b{}l", set.trim_end_matches('h'));
            assert!(b.contains(&reset), "{reset:?}");
        }
        assert!(b.contains("\x1b[?7h"));
    }
}
