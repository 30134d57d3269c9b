//! Bytes from a terminal become events and replies. It owns the bytes of a sequence that has not ended yet, never more
//! than a few kilobytes of them besides the paste that is being received, and gives the same events wherever the stream
//! is cut. It knows no clock: who owns one calls [`Decoder::flush`] when [`Decoder::patience`] has run out.

use std::time::Duration;

use qd_tty::{InputEvent, Key, KeyEvent, Mods, MouseButton};

use crate::keys::{self, Csi};

/// What came out of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The person did something.
    Event(InputEvent),
    /// The terminal answered.
    Reply(Reply),
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Light text on a dark background.
    Dark,
    /// Dark text on a light background.
    Light,
}

/// An answer of the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// DA1.
    PrimaryAttributes(Vec<u16>),
    /// DA2.
    SecondaryAttributes(Vec<u16>),
    /// XTVERSION: name and version.
    Version(String),
    /// The keyboard protocol's flags in force.
    Kitty(u8),
    /// DECRPM: the state of a private mode.
    Mode {
        /// The mode.
        mode: u16,
        /// 0 not known, 1 set, 2 reset, 3 always set, 4 always reset.
        state: u8,
    },
    /// The default background.
    Background {
        /// Red.
        r: u8,
        /// Green.
        g: u8,
        /// Blue.
        b: u8,
    },
    /// The default foreground.
    Foreground {
        /// Red.
        r: u8,
        /// Green.
        g: u8,
        /// Blue.
        b: u8,
    },
    /// The colour scheme the desktop prefers.
    ColorScheme(Scheme),
    /// The cursor's place, 1-based.
    CursorPosition {
        /// Row.
        row: u16,
        /// Column.
        col: u16,
    },
    /// An answer to something nobody here asks.
    Other(Vec<u8>),
}

/// The longest control sequence that is waited for.
const MAX_CSI: usize = 256;
/// The longest control string that is kept; of a longer one the rest is dropped.
const MAX_STRING: usize = 4096;
/// The longest paste in one event. What is beyond comes in further events.
const MAX_PASTE: usize = 16 << 20;
/// How long the rest of a sequence that cannot be a key may take.
const SLOW: Duration = Duration::from_secs(1);
const PASTE_END: &[u8] = b"\x1b[201~";

/// What the bytes at the front of the buffer are.
enum Front {
    /// So many bytes are dealt with. None are when only the state has changed.
    Taken(usize),
    /// Nothing can be said before more bytes come.
    Wait,
}

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    buf: Vec<u8>,
    paste: Option<Vec<u8>>,
    paste_limit: usize,
    /// Inside of a control string that was too long.
    dropping: Dropping,
    /// The button that is down, for mouse protocols that do not name it when it goes up.
    held: MouseButton,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropping {
    No,
    Yes,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn press(out: &mut Vec<Decoded>, key: Key, mods: Mods) {
    out.push(Decoded::Event(InputEvent::Key(KeyEvent::new(key, mods))));
}

fn unknown(out: &mut Vec<Decoded>, bytes: &[u8]) {
    out.push(Decoded::Event(InputEvent::Unknown(bytes.to_vec())));
}

/// One character at the front of `s`: itself, `Err(true)` when it is not complete, `Err(false)` when it is not UTF-8.
fn utf8(s: &[u8]) -> Result<char, bool> {
    let n = match s.first() {
        None => return Err(true),
        Some(0..0x80) => 1,
        Some(0xc2..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..0xf5) => 4,
        Some(_) => return Err(false),
    };
    let part = s.get(..n.min(s.len())).unwrap_or_default();
    match std::str::from_utf8(part) {
        Ok(t) => t.chars().next().ok_or(false),
        Err(e) => Err(e.error_len().is_none()),
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buf: Vec::new(),
            paste: None,
            paste_limit: MAX_PASTE,
            dropping: Dropping::No,
            held: MouseButton::Left,
        }
    }

    /// Takes bytes in and appends what they mean to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Decoded>) {
        let mut buf = std::mem::take(&mut self.buf);
        buf.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(rest) = buf.get(at..).filter(|r| !r.is_empty()) {
            match self.front(rest, out) {
                Front::Taken(n) => at += n,
                Front::Wait => break,
            }
        }
        buf.drain(..at.min(buf.len()));
        self.buf = buf;
    }

    /// Whether an incomplete sequence is kept back.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.patience(SLOW).is_some()
    }

    /// How long to wait for the rest of what is kept back, before [`Decoder::flush`]: `escape` where it may be a key
    /// that was pressed, longer where it can only be the start of something. `None` when nothing is kept back.
    #[must_use]
    pub fn patience(&self, escape: Duration) -> Option<Duration> {
        if self.paste.is_some() {
            return None;
        }
        if self.buf.is_empty() {
            return (self.dropping == Dropping::Yes).then_some(SLOW);
        }
        let key = self.buf.first() == Some(&0x1b) && self.buf.len() <= 2 && self.dropping == Dropping::No;
        Some(if key { escape } else { SLOW })
    }

    /// Nothing followed: what is kept back is what it looks like (a lone Escape, Alt with a key), or unknown.
    pub fn flush(&mut self, out: &mut Vec<Decoded>) {
        if self.paste.is_some() {
            return;
        }
        self.dropping = Dropping::No;
        let buf = std::mem::take(&mut self.buf);
        match buf.as_slice() {
            [] => {}
            [0x1b] => press(out, Key::Esc, Mods::empty()),
            [0x1b, 0x1b] => {
                press(out, Key::Esc, Mods::empty());
                press(out, Key::Esc, Mods::empty());
            }
            [0x1b, c @ 0x20..0x7f] => press(out, Key::Char(char::from(*c)), Mods::ALT),
            other => unknown(out, other),
        }
    }

    fn front(&mut self, s: &[u8], out: &mut Vec<Decoded>) -> Front {
        if self.paste.is_some() {
            return self.pasting(s, out);
        }
        if self.dropping == Dropping::Yes {
            return self.drop_string(s);
        }
        match s.first() {
            Some(0x1b) => self.escape(s, out),
            _ => text(s, Mods::empty(), out),
        }
    }

    fn pasting(&mut self, s: &[u8], out: &mut Vec<Decoded>) -> Front {
        let limit = self.paste_limit;
        let Some(paste) = self.paste.as_mut() else {
            return Front::Taken(0);
        };
        if s.starts_with(PASTE_END) {
            let all = self.paste.take().unwrap_or_default();
            out.push(Decoded::Event(InputEvent::Paste(all)));
            return Front::Taken(PASTE_END.len());
        }
        if PASTE_END.starts_with(s) {
            return Front::Wait;
        }
        let n = s.iter().skip(1).position(|b| *b == 0x1b).map_or(s.len(), |n| n + 1);
        let n = n.min(limit - paste.len().min(limit)).max(1);
        paste.extend_from_slice(s.get(..n).unwrap_or_default());
        if paste.len() >= limit {
            // Cut between characters, where there are any.
            let lead = paste
                .iter()
                .rev()
                .take(3)
                .position(|b| b & 0xc0 != 0x80)
                .map_or(0, |i| i + 1);
            let tail = paste.get(paste.len() - lead..).unwrap_or_default();
            let keep = if lead > 0 && utf8(tail) == Err(true) { lead } else { 0 };
            let rest = paste.split_off(paste.len() - keep);
            out.push(Decoded::Event(InputEvent::Paste(std::mem::replace(paste, rest))));
        }
        Front::Taken(n)
    }

    fn drop_string(&mut self, s: &[u8]) -> Front {
        match s {
            [0x1b] => Front::Wait,
            [0x1b, b'\\', ..] => {
                self.dropping = Dropping::No;
                Front::Taken(2)
            }
            [0x1b, ..] => {
                self.dropping = Dropping::No;
                // The escape starts something else; look again.
                Front::Taken(0)
            }
            [7 | 0x18 | 0x1a, ..] => {
                self.dropping = Dropping::No;
                Front::Taken(1)
            }
            _ => Front::Taken(
                s.iter()
                    .position(|b| matches!(b, 7 | 0x18 | 0x1a | 0x1b))
                    .unwrap_or(s.len()),
            ),
        }
    }

    fn escape(&mut self, s: &[u8], out: &mut Vec<Decoded>) -> Front {
        match s.get(1..).unwrap_or_default() {
            [] => Front::Wait,
            [0x1b] => Front::Wait,
            [0x1b, b'[' | b'O', ..] => {
                let inner = s.get(1..).unwrap_or_default();
                let from = out.len();
                match self.sequence(inner, out) {
                    Front::Wait => Front::Wait,
                    Front::Taken(n) => {
                        match out.get_mut(from..) {
                            // Alt with a key that has a sequence of its own.
                            Some([Decoded::Event(InputEvent::Key(k))]) if n > 2 => k.mods |= Mods::ALT,
                            _ => out.insert(
                                from.min(out.len()),
                                Decoded::Event(InputEvent::Key(KeyEvent::new(Key::Esc, Mods::empty()))),
                            ),
                        }
                        Front::Taken(n + 1)
                    }
                }
            }
            [0x1b, ..] => {
                press(out, Key::Esc, Mods::empty());
                Front::Taken(1)
            }
            [b'[' | b'O', ..] => self.sequence(s, out),
            [b']' | b'P' | b'_'] => Front::Wait,
            [b']', b'0'..=b'9', ..] | [b'P', b'0'..=b'9' | b'>' | b'!' | b'$' | b'+', ..] | [b'_', b'G', ..] => {
                self.string(s, out)
            }
            rest => match text(rest, Mods::ALT, out) {
                Front::Taken(n) => Front::Taken(n + 1),
                Front::Wait => Front::Wait,
            },
        }
    }

    /// CSI and SS3; `s` starts with the escape and `[` or `O`.
    fn sequence(&mut self, s: &[u8], out: &mut Vec<Decoded>) -> Front {
        let body = s.get(2..).unwrap_or_default();
        if s.get(1) == Some(&b'O') {
            let digits = body.iter().take_while(|b| b.is_ascii_digit()).take(3).count();
            let Some(last) = body.get(digits) else {
                return Front::Wait;
            };
            let n = body
                .get(..digits)
                .and_then(|d| std::str::from_utf8(d).ok())
                .and_then(|d| d.parse().ok());
            if let Some(k) = keys::ss3(*last, n.unwrap_or(1)) {
                out.push(Decoded::Event(InputEvent::Key(k)));
                return Front::Taken(3 + digits);
            }
            press(out, Key::Char('O'), Mods::ALT);
            return Front::Taken(2);
        }
        match body {
            [] => return Front::Wait,
            // The mouse of the first xterms: three bytes, any value.
            [b'M', rest @ ..] => {
                let Some(&[b, x, y]) = rest.first_chunk::<3>() else {
                    return Front::Wait;
                };
                let at = |v: u8| u16::from(v.saturating_sub(33));
                let m = keys::mouse(
                    u16::from(b.saturating_sub(32)),
                    at(x),
                    at(y),
                    keys::Up::Unnamed,
                    &mut self.held,
                );
                match m {
                    Some(m) => out.push(Decoded::Event(InputEvent::Mouse(m))),
                    None => unknown(out, s.get(..6).unwrap_or_default()),
                }
                return Front::Taken(6);
            }
            // Function keys of the Linux console.
            [b'['] => return Front::Wait,
            [b'[', c @ b'A'..=b'E', ..] => {
                press(out, Key::F(c - b'A' + 1), Mods::empty());
                return Front::Taken(4);
            }
            _ => {}
        }
        let params = body.iter().take_while(|b| matches!(b, 0x30..0x40)).count();
        let between = body.iter().skip(params).take_while(|b| matches!(b, 0x20..0x30)).count();
        let end = params + between;
        // Shifted keys of rxvt end with what is no final byte.
        let first = body.get(..params).unwrap_or_default();
        if (1..=2).contains(&params) && first.iter().all(u8::is_ascii_digit) && body.get(params) == Some(&b'$') {
            let csi = Csi {
                params: first,
                between: b"",
                last: b'$',
            };
            let n = 3 + params;
            match keys::csi(&csi, &mut self.held) {
                Some(d) => out.push(d),
                None => unknown(out, s.get(..n).unwrap_or_default()),
            }
            return Front::Taken(n);
        }
        if end + 2 >= MAX_CSI {
            unknown(out, s.get(..MAX_CSI).unwrap_or(s));
            return Front::Taken(MAX_CSI.min(s.len()));
        }
        match body.get(end) {
            None => Front::Wait,
            Some(last @ 0x40..0x7f) => {
                let n = 3 + end;
                let csi = Csi {
                    params: first,
                    between: body.get(params..end).unwrap_or_default(),
                    last: *last,
                };
                if csi.params == b"200" && csi.between.is_empty() && *last == b'~' {
                    self.paste = Some(Vec::new());
                } else {
                    match keys::csi(&csi, &mut self.held) {
                        Some(d) => out.push(d),
                        None if csi.is_reply() => {
                            out.push(Decoded::Reply(Reply::Other(s.get(..n).unwrap_or_default().to_vec())));
                        }
                        None => unknown(out, s.get(..n).unwrap_or_default()),
                    }
                }
                Front::Taken(n)
            }
            Some(_) if end == 0 => {
                press(out, Key::Char('['), Mods::ALT);
                Front::Taken(2)
            }
            Some(_) => {
                unknown(out, s.get(..2 + end).unwrap_or_default());
                Front::Taken(2 + end)
            }
        }
    }

    /// OSC, DCS and APC, to their end.
    fn string(&mut self, s: &[u8], out: &mut Vec<Decoded>) -> Front {
        let window = s.get(..s.len().min(MAX_STRING)).unwrap_or_default();
        let stop = window
            .iter()
            .skip(2)
            .position(|b| matches!(b, 7 | 0x18 | 0x1a | 0x1b))
            .map(|i| i + 2);
        let Some(stop) = stop else {
            if s.len() >= MAX_STRING {
                self.dropping = Dropping::Yes;
                return Front::Taken(MAX_STRING);
            }
            return Front::Wait;
        };
        let body = s.get(1..stop).unwrap_or_default();
        match (s.get(stop), s.get(stop + 1)) {
            (Some(7), _) => {
                out.push(Decoded::Reply(keys::string(body)));
                Front::Taken(stop + 1)
            }
            (Some(0x1b), None) => Front::Wait,
            (Some(0x1b), Some(b'\\')) => {
                out.push(Decoded::Reply(keys::string(body)));
                Front::Taken(stop + 2)
            }
            (Some(0x1b), _) => {
                unknown(out, s.get(..stop).unwrap_or_default());
                Front::Taken(stop)
            }
            _ => {
                unknown(out, s.get(..=stop).unwrap_or_default());
                Front::Taken(stop + 1)
            }
        }
    }
}

/// A character or a control character.
fn text(s: &[u8], mods: Mods, out: &mut Vec<Decoded>) -> Front {
    let c = match utf8(s) {
        Ok(c) => c,
        Err(true) => return Front::Wait,
        Err(false) => {
            let n = if mods.contains(Mods::ALT) {
                press(out, Key::Esc, Mods::empty());
                0
            } else {
                unknown(out, s.get(..1).unwrap_or_default());
                1
            };
            return Front::Taken(n);
        }
    };
    let (key, more) = keys::typed(c);
    press(out, key, mods | more);
    Front::Taken(c.len_utf8())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
