//! What the mouse sends to a program: which events it wants (modes 9, 1000, 1002, 1003), in one of the four encodings.
//! Pure functions. Facts from xterm's ctlseqs, “Mouse Tracking”.

use qd_tty::{Mods, MouseButton, MouseEvent, MouseKind};

use crate::{MouseEncoding, MouseWant};

/// Added to the button of a motion report.
const MOTION: u32 = 32;
/// “No button”, and the release of any in the encodings that do not tell which.
const NONE: u32 = 3;

fn button(b: MouseButton) -> u32 {
    match b {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    }
}

/// Appends what `event` sends to `out`; false, and nothing, when the program does not want it or the encoding cannot
/// express the place.
pub fn encode_mouse(event: &MouseEvent, want: MouseWant, encoding: MouseEncoding, out: &mut Vec<u8>) -> bool {
    let (base, least, release) = match event.kind {
        MouseKind::Press(b) => (button(b), MouseWant::Press, false),
        MouseKind::Release(b) => (button(b), MouseWant::Click, true),
        MouseKind::Drag(b) => (button(b) + MOTION, MouseWant::Drag, false),
        MouseKind::Move => (NONE + MOTION, MouseWant::Motion, false),
        MouseKind::WheelUp => (64, MouseWant::Click, false),
        MouseKind::WheelDown => (65, MouseWant::Click, false),
        MouseKind::WheelLeft => (66, MouseWant::Click, false),
        MouseKind::WheelRight => (67, MouseWant::Click, false),
    };
    let rank = |w| match w {
        MouseWant::Nothing => 0,
        MouseWant::Press => 1,
        MouseWant::Click => 2,
        MouseWant::Drag => 3,
        MouseWant::Motion => 4,
    };
    if rank(want) < rank(least) {
        return false;
    }
    let mut code = base;
    if want != MouseWant::Press {
        for (m, bit) in [(Mods::SHIFT, 4), (Mods::ALT, 8), (Mods::CTRL, 16)] {
            if event.mods.contains(m) {
                code += bit;
            }
        }
    }
    let (x, y) = (u32::from(event.col) + 1, u32::from(event.row) + 1);
    // Only SGR tells which button was released.
    let anonymous = if release { code - base + NONE } else { code };
    match encoding {
        MouseEncoding::Sgr => {
            let last = if release { 'm' } else { 'M' };
            out.extend_from_slice(format!("\x1b[<{code};{x};{y}{last}").as_bytes());
        }
        MouseEncoding::Urxvt => out.extend_from_slice(format!("\x1b[{};{x};{y}M", anonymous + 32).as_bytes()),
        MouseEncoding::Utf8 => {
            let parts = [anonymous + 32, x + 32, y + 32];
            if parts.iter().any(|v| *v > 2047) {
                return false;
            }
            out.extend_from_slice(b"\x1b[M");
            for c in parts.into_iter().filter_map(char::from_u32) {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        MouseEncoding::X10 => {
            let (Ok(b), Ok(x), Ok(y)) = (u8::try_from(anonymous + 32), u8::try_from(x + 32), u8::try_from(y + 32))
            else {
                return false;
            };
            out.extend_from_slice(&[0x1b, b'[', b'M', b, x, y]);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enc(kind: MouseKind, col: u16, want: MouseWant, e: MouseEncoding) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let ok = encode_mouse(
            &MouseEvent {
                kind,
                col,
                row: 4,
                mods: Mods::CTRL,
            },
            want,
            e,
            &mut out,
        );
        assert_eq!(ok, !out.is_empty());
        ok.then_some(out)
    }

    #[test]
    fn encodings() {
        use MouseKind::{Drag, Move, Press, Release, WheelUp};
        let left = MouseButton::Left;
        let (sgr, x10) = (MouseEncoding::Sgr, MouseEncoding::X10);
        assert_eq!(enc(Press(left), 9, MouseWant::Click, sgr).unwrap(), b"\x1b[<16;10;5M");
        assert_eq!(
            enc(Release(MouseButton::Right), 9, MouseWant::Click, sgr).unwrap(),
            b"\x1b[<18;10;5m"
        );
        assert_eq!(
            enc(Release(left), 9, MouseWant::Click, x10).unwrap(),
            b"\x1b[M\x33\x2a\x25"
        );
        assert_eq!(
            enc(Press(left), 9, MouseWant::Press, x10).unwrap(),
            b"\x1b[M\x20\x2a\x25"
        );
        assert_eq!(enc(WheelUp, 9, MouseWant::Click, sgr).unwrap(), b"\x1b[<80;10;5M");
        assert_eq!(enc(Drag(left), 9, MouseWant::Drag, sgr).unwrap(), b"\x1b[<48;10;5M");
        assert_eq!(
            enc(Move, 9, MouseWant::Motion, MouseEncoding::Urxvt).unwrap(),
            b"\x1b[83;10;5M"
        );
        assert_eq!(
            enc(Press(left), 299, MouseWant::Click, MouseEncoding::Utf8).unwrap(),
            "\x1b[M0\u{14c}%".as_bytes()
        );
    }

    #[test]
    fn what_is_not_wanted_is_not_sent() {
        use MouseKind::{Drag, Move, Press, Release, WheelUp};
        let left = MouseButton::Left;
        let sgr = MouseEncoding::Sgr;
        assert!(enc(Press(left), 1, MouseWant::Nothing, sgr).is_none());
        assert!(enc(Release(left), 1, MouseWant::Press, sgr).is_none());
        assert!(enc(WheelUp, 1, MouseWant::Press, sgr).is_none());
        assert!(enc(Drag(left), 1, MouseWant::Click, sgr).is_none());
        assert!(enc(Move, 1, MouseWant::Drag, sgr).is_none());
        assert!(enc(Press(left), 300, MouseWant::Click, MouseEncoding::X10).is_none());
    }
}
