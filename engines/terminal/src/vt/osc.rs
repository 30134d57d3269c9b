//! Operating system commands and device control strings: titles, directories, colours, links, the clipboard, prompts,
//! notifications and progress. What is not known is dropped without a word.

use std::path::PathBuf;

use alacritty_terminal::vte::ansi::{Color, Handler, Hyperlink};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    core::Core,
    parser::{Params, Terminator},
};
use crate::{Progress, Rgb, VtEvent};

const TITLE_MAX: usize = 256;
const NOTE_MAX: usize = 2048;
pub(super) const PROMPTS_MAX: usize = 4096;
pub(super) const LINK_MAX: usize = 2083;

/// Text without control characters (also not the 8-bit ones, nor those that turn the direction of writing), bounded.
fn clean(bytes: &[u8], max: usize) -> String {
    let bad = |c: &char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}');
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| !bad(c))
        .take(max)
        .collect()
}

fn number(b: &[u8]) -> Option<u32> {
    std::str::from_utf8(b).ok()?.parse().ok()
}

/// The first piece up to a `;`, and the rest behind it.
fn split(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b';', data) {
        Some(i) => (&data[..i], Some(&data[i + 1..])),
        None => (data, None),
    }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while let Some(b) = text.get(i) {
        match (b, hex(text.get(i + 1)), hex(text.get(i + 2))) {
            (b'%', Some(hi), Some(lo)) => {
                out.push((hi * 16 + lo) as u8);
                i += 3;
            }
            _ => {
                out.push(*b);
                i += 1;
            }
        }
    }
    out
}

fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let sane = bytes.first() == Some(&b'/') && bytes.len() <= 4096 && !bytes.iter().any(|b| *b < 0x20 || *b == 0x7f);
    sane.then(|| PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// A colour as X11 writes it: `rgb:r/g/b` with 1 to 4 digits each, or `#rgb` with 1 to 4 digits each.
fn x_color(spec: &[u8]) -> Option<Rgb> {
    let spec = std::str::from_utf8(spec).ok().filter(|s| s.is_ascii())?;
    let scaled = |s: &str| {
        let max = 16u32.checked_pow(u32::try_from(s.len()).ok().filter(|n| (1..=4).contains(n))?)? - 1;
        u8::try_from(u32::from_str_radix(s, 16).ok()? * 255 / max).ok()
    };
    if let Some(rest) = spec.strip_prefix("rgb:") {
        let mut parts = rest.split('/');
        let rgb = Rgb::new(scaled(parts.next()?)?, scaled(parts.next()?)?, scaled(parts.next()?)?);
        return parts.next().is_none().then_some(rgb);
    }
    let hex = spec.strip_prefix('#')?;
    let n = hex.len() / 3;
    if !matches!(hex.len(), 3 | 6 | 9 | 12) {
        return None;
    }
    // The digits given are the highest ones.
    let part = |i: usize| {
        let v = u32::from_str_radix(&hex[i * n..(i + 1) * n], 16).ok()?;
        u8::try_from(v << (16 - 4 * n) >> 8).ok()
    };
    Some(Rgb::new(part(0)?, part(1)?, part(2)?))
}

const FOREGROUND: u16 = 256;

impl Core {
    pub(super) fn on_osc(&mut self, data: &[u8], end: Terminator) {
        let (code, rest) = split(data);
        let Some(code) = number(code) else { return };
        let body = rest.unwrap_or_default();
        match code {
            0 | 2 if rest.is_some() => self.set_title(clean(body, TITLE_MAX).trim().to_owned()),
            4 => self.indexed_colors(body, end),
            7 => {
                let path = match body.strip_prefix(b"file://") {
                    Some(url) => memchr::memchr(b'/', url).map(|i| &url[i..]),
                    None => Some(body),
                };
                if let Some(path) = path.and_then(|p| path_of(percent_decode(p))) {
                    self.event(VtEvent::Cwd(path));
                }
            }
            8 => self.link(body),
            9 => self.osc9(body),
            10..=12 => self.dynamic_colors(code as u16, body, end),
            52 => self.clipboard(body),
            99 => self.kitty_note(body),
            104 if body.is_empty() => self.colors.retain(|i, _| *i >= FOREGROUND),
            104 => {
                for i in body.split(|b| *b == b';').filter_map(number).filter(|i| *i < 256) {
                    self.colors.remove(&(i as u16));
                }
            }
            110..=112 => {
                self.colors.remove(&(FOREGROUND + (code - 110) as u16));
            }
            133 => self.prompt(body),
            777 => {
                let mut parts = body.splitn(3, |b| *b == b';');
                if parts.next() == Some(b"notify") {
                    let title = clean(parts.next().unwrap_or_default(), TITLE_MAX);
                    let body = clean(parts.next().unwrap_or_default(), NOTE_MAX);
                    self.event(VtEvent::Notify { title, body });
                }
            }
            _ => {}
        }
    }

    pub(super) fn set_title(&mut self, title: String) {
        if self.title != title {
            self.title.clone_from(&title);
            self.event(VtEvent::Title(title));
        }
    }

    fn link(&mut self, body: &[u8]) {
        let (params, uri) = split(body);
        let Some(uri) = uri else { return };
        let uri = String::from_utf8_lossy(uri);
        if uri.is_empty() || uri.len() > LINK_MAX || uri.chars().any(char::is_control) {
            self.term.set_hyperlink(None);
            return;
        }
        let id = params
            .split(|b| *b == b':')
            .find_map(|kv| kv.strip_prefix(b"id="))
            .map(|id| clean(id, 128));
        self.term.set_hyperlink(Some(Hyperlink {
            id: Some(id.unwrap_or_default()),
            uri: uri.into_owned(),
        }));
    }

    /// OSC 9: a notification, or one of ConEmu's commands.
    fn osc9(&mut self, body: &[u8]) {
        let (first, rest) = split(body);
        match (first, rest) {
            (b"4", Some(rest)) => {
                let (state, value) = split(rest);
                let value = value.and_then(|v| number(split(v).0)).map(|v| v.min(100) as u8);
                let p = match state {
                    b"0" | b"" => Progress::Clear,
                    b"1" => Progress::Percent(value.unwrap_or(0)),
                    b"2" => Progress::Error(value),
                    b"3" => Progress::Indeterminate,
                    b"4" => Progress::Paused(value),
                    _ => return,
                };
                self.event(VtEvent::Progress(p));
            }
            (b"9", Some(path)) => {
                let path = path
                    .strip_prefix(b"\"")
                    .and_then(|p| p.strip_suffix(b"\""))
                    .unwrap_or(path);
                if let Some(path) = path_of(path.to_vec()) {
                    self.event(VtEvent::Cwd(path));
                }
            }
            // The other numbers are commands that a terminal of this kind has no use for.
            (n, Some(_)) if number(n).is_some_and(|n| n <= 12) => {}
            _ => self.event(VtEvent::Notify {
                title: String::new(),
                body: clean(body, NOTE_MAX),
            }),
        }
    }

    /// OSC 99: notifications that may come in pieces.
    fn kitty_note(&mut self, body: &[u8]) {
        let (meta, Some(payload)) = split(body) else { return };
        let key = |k: &[u8]| {
            meta.split(|b| *b == b':')
                .find_map(|kv| kv.strip_prefix(k).and_then(|v| v.strip_prefix(b"=")))
        };
        let id = clean(key(b"i").unwrap_or_default(), 64);
        let payload = if key(b"e") == Some(b"1") {
            BASE64.decode(payload).unwrap_or_default()
        } else {
            payload.to_vec()
        };
        let payload = clean(&payload, NOTE_MAX);
        let at = self.notes.iter().position(|n| n.0 == id);
        let mut note = at
            .and_then(|i| self.notes.remove(i))
            .unwrap_or((id, String::new(), String::new()));
        let part = match key(b"p").unwrap_or(b"title") {
            b"title" => &mut note.1,
            b"body" => &mut note.2,
            _ => return,
        };
        if part.len() < NOTE_MAX {
            part.push_str(&payload);
        }
        if key(b"d") == Some(b"0") {
            if self.notes.len() >= 16 {
                self.notes.pop_front();
            }
            self.notes.push_back(note);
        } else {
            self.event(VtEvent::Notify {
                title: note.1,
                body: note.2,
            });
        }
    }

    fn clipboard(&mut self, body: &[u8]) {
        let (_, Some(data)) = split(body) else { return };
        if data == b"?" {
            self.event(VtEvent::ClipboardQuery);
        } else if let Ok(bytes) = BASE64.decode(data) {
            self.event(VtEvent::Clipboard(bytes));
        }
    }

    fn prompt(&mut self, body: &[u8]) {
        let (kind, rest) = split(body);
        match kind {
            b"A" | b"N" => {
                if !self.alt() {
                    let line = self.cursor_line();
                    while self.prompts.back().is_some_and(|p| *p >= line) {
                        self.prompts.pop_back();
                    }
                    if self.prompts.len() >= PROMPTS_MAX {
                        self.prompts.pop_front();
                    }
                    self.prompts.push_back(line);
                }
                self.event(VtEvent::PromptStart);
            }
            b"B" => self.event(VtEvent::InputStart),
            b"C" => self.event(VtEvent::CommandStart),
            b"D" => {
                let exit = rest.and_then(|r| std::str::from_utf8(split(r).0).ok()?.parse().ok());
                self.event(VtEvent::CommandEnd { exit });
            }
            _ => {}
        }
    }

    fn color(&self, index: u16) -> Rgb {
        if let Some(c) = self.colors.get(&index) {
            return *c;
        }
        let p = &self.palette;
        match index {
            0..=15 => p.ansi[usize::from(index)],
            16..=231 => {
                let level = |v: u16| if v == 0 { 0 } else { (55 + 40 * v) as u8 };
                let i = index - 16;
                Rgb::new(level(i / 36), level(i / 6 % 6), level(i % 6))
            }
            232..=255 => {
                let v = (8 + 10 * (index - 232)) as u8;
                Rgb::new(v, v, v)
            }
            256 => p.foreground,
            257 => p.background,
            _ => p.cursor,
        }
    }

    fn reply_color(&mut self, prefix: &str, index: u16, end: Terminator) {
        let c = self.color(index);
        let end = if end == Terminator::Bell { "\x07" } else { "\x1b\\" };
        let (r, g, b) = (c.r, c.g, c.b);
        self.reply(format!("\x1b]{prefix};rgb:{r:02x}{r:02x}/{g:02x}{g:02x}/{b:02x}{b:02x}{end}").as_bytes());
    }

    fn indexed_colors(&mut self, body: &[u8], end: Terminator) {
        let mut parts = body.split(|b| *b == b';');
        while let (Some(index), Some(spec)) = (parts.next(), parts.next()) {
            let Some(index) = number(index).filter(|i| *i < 256) else {
                continue;
            };
            let index = index as u16;
            if spec == b"?" {
                self.reply_color(&format!("4;{index}"), index, end);
            } else if let Some(c) = x_color(spec) {
                self.colors.insert(index, c);
            }
        }
    }

    fn dynamic_colors(&mut self, code: u16, body: &[u8], end: Terminator) {
        for (code, spec) in (code..=12).zip(body.split(|b| *b == b';')) {
            let index = FOREGROUND + code - 10;
            if spec == b"?" {
                self.reply_color(&code.to_string(), index, end);
            } else if let Some(c) = x_color(spec) {
                self.colors.insert(index, c);
            }
        }
    }

    pub(super) fn on_dcs(&mut self, _params: &Params, inter: &[u8], last: u8, data: &[u8]) {
        match (inter, last) {
            // DECRQSS.
            ([b'$'], b'q') => {
                let text = match data {
                    b"m" => format!("{}m", self.sgr_report()),
                    b"r" => format!("{};{}r", self.region.start + 1, self.region.end),
                    b" q" => format!("{} q", self.cursor_shape.decscusr()),
                    b"\"p" => "62;1\"p".to_owned(),
                    b"\"q" => "0\"q".to_owned(),
                    _ => return self.reply(b"\x1bP0$r\x1b\\"),
                };
                self.reply(format!("\x1bP1$r{text}\x1b\\").as_bytes());
            }
            // XTGETTCAP: terminfo says it all; a plain no lets nobody wait.
            ([b'+'], b'q') => self.reply(b"\x1bP0+r\x1b\\"),
            _ => {}
        }
    }

    /// The present attributes as SGR parameters.
    fn sgr_report(&self) -> String {
        use alacritty_terminal::term::cell::Flags;
        let t = &self.term.grid().cursor.template;
        let mut out = String::from("0");
        for (flag, n) in [
            (Flags::BOLD, "1"),
            (Flags::DIM, "2"),
            (Flags::ITALIC, "3"),
            (Flags::UNDERLINE, "4"),
            (Flags::DOUBLE_UNDERLINE, "4:2"),
            (Flags::UNDERCURL, "4:3"),
            (Flags::DOTTED_UNDERLINE, "4:4"),
            (Flags::DASHED_UNDERLINE, "4:5"),
            (Flags::INVERSE, "7"),
            (Flags::HIDDEN, "8"),
            (Flags::STRIKEOUT, "9"),
        ] {
            if t.flags.contains(flag) {
                out.push(';');
                out.push_str(n);
            }
        }
        for (color, base) in [(Some(t.fg), 30), (Some(t.bg), 40), (t.underline_color(), 50)] {
            let text = match color {
                Some(Color::Named(n)) if (n as usize) < 8 => format!(";{}", base + n as usize),
                Some(Color::Named(n)) if (n as usize) < 16 => format!(";{}", base + 60 + n as usize - 8),
                Some(Color::Indexed(i)) => format!(";{}:5:{i}", base + 8),
                Some(Color::Spec(c)) => format!(";{}:2::{}:{}:{}", base + 8, c.r, c.g, c.b),
                _ => String::new(),
            };
            out.push_str(&text);
        }
        out
    }

    /// Answers a clipboard query.
    pub(super) fn answer_clipboard(&mut self, data: &[u8]) {
        let text = format!("\x1b]52;c;{}\x1b\\", BASE64.encode(data));
        self.reply(text.as_bytes());
    }
}
