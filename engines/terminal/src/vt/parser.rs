//! The state machine that splits a byte stream into text, controls and sequences, after Paul Williams' diagram
//! (<https://vt100.net/emu/dec_ansi_parser>) with UTF-8 text. It owns the unfinished sequence and nothing else, bounds
//! what it keeps of a string however long, and never looks at the meaning of what it found.

/// What is kept of an OSC string; a longer one is swallowed whole.
pub(super) const OSC_MAX: usize = 1 << 20;
/// What is kept of a DCS string; a longer one is swallowed whole.
const DCS_MAX: usize = 4096;
/// How many numeric parameters a sequence may have.
pub(super) const PARAMS_MAX: usize = 32;

/// How an OSC string ended: a reply ends in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terminator {
    /// BEL.
    Bell,
    /// ST.
    String,
}

/// What the parser calls.
pub(super) trait Perform {
    /// A run of printable ASCII.
    fn ascii(&mut self, text: &[u8]);
    /// A character that is not ASCII.
    fn print(&mut self, c: char);
    /// A C0 control.
    fn execute(&mut self, byte: u8);
    /// A control sequence.
    fn csi(&mut self, params: &Params, inter: &[u8], last: u8);
    /// An escape sequence.
    fn esc(&mut self, inter: &[u8], last: u8);
    /// An operating system command.
    fn osc(&mut self, data: &[u8], end: Terminator);
    /// A device control string.
    fn dcs(&mut self, params: &Params, inter: &[u8], last: u8, data: &[u8]);
}

/// The numeric parameters of a sequence.
#[derive(Debug)]
pub(super) struct Params {
    pub(super) values: [u16; PARAMS_MAX],
    /// Bit i is set when value i came after a colon.
    pub(super) sub: u32,
    pub(super) len: usize,
}

impl Params {
    const fn new() -> Self {
        Self {
            values: [0; PARAMS_MAX],
            sub: 0,
            len: 0,
        }
    }

    /// Parameter `i`, or `default` where it is missing or 0.
    pub(super) fn get(&self, i: usize, default: u16) -> u16 {
        match self.iter().nth(i) {
            Some([v, ..]) if *v != 0 => *v,
            _ => default,
        }
    }

    /// The parameters, each with its sub-parameters.
    pub(super) fn iter(&self) -> ParamsIter<'_> {
        ParamsIter { params: self, at: 0 }
    }
}

/// Walks over parameters.
pub(super) struct ParamsIter<'a> {
    params: &'a Params,
    at: usize,
}

impl<'a> Iterator for ParamsIter<'a> {
    type Item = &'a [u16];

    #[inline]
    fn next(&mut self) -> Option<&'a [u16]> {
        let p = self.params;
        if self.at >= p.len {
            return None;
        }
        let start = self.at;
        self.at += 1;
        while self.at < p.len && p.sub >> self.at & 1 == 1 {
            self.at += 1;
        }
        p.values.get(start..self.at)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ground,
    Escape,
    EscapeInter,
    Csi,
    CsiInter,
    CsiIgnore,
    Osc,
    Dcs,
    DcsInter,
    DcsBody,
    /// SOS, PM, APC, or a DCS that is not wanted.
    Swallow,
}

/// The parser.
#[derive(Debug)]
pub(super) struct Parser {
    pub(super) state: State,
    pub(super) params: Params,
    pub(super) param: u16,
    pub(super) next_is_sub: bool,
    /// The sequence has too many parts: it is read to its end and dropped.
    pub(super) overfull: bool,
    pub(super) inter: [u8; 2],
    pub(super) inter_len: usize,
    /// The final byte of a DCS; in a CSI, 1 once a parameter byte was seen.
    pub(super) last: u8,
    pub(super) text: Vec<u8>,
    pub(super) text_overfull: bool,
    pub(super) utf8: [u8; 4],
    pub(super) utf8_len: usize,
}

impl Parser {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Ground,
            params: Params::new(),
            param: 0,
            next_is_sub: false,
            overfull: false,
            inter: [0; 2],
            inter_len: 0,
            last: 0,
            text: Vec::new(),
            text_overfull: false,
            utf8: [0; 4],
            utf8_len: 0,
        }
    }

    /// The bytes it holds.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
    }

    /// Whether it stands between two characters of plain text.
    pub(super) fn at_rest(&self) -> bool {
        self.state == State::Ground && self.utf8_len == 0
    }

    /// Parses `bytes`.
    pub(super) fn advance<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = if self.state == State::Ground {
                self.ground(p, rest)
            } else {
                self.sequence(p, rest)
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Takes from the ground state; the number of bytes used, at least 1.
    #[inline]
    fn ground<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        if self.utf8_len > 0 {
            return self.finish_utf8(p, bytes);
        }
        let n = ascii_prefix(bytes);
        if n > 0 {
            p.ascii(&bytes[..n]);
            if n == bytes.len() {
                return n;
            }
        }
        match bytes[n] {
            0x1b => {
                self.begin(State::Escape);
                n + 1
            }
            b if b < 0x20 => {
                p.execute(b);
                n + 1
            }
            0x7f => n + 1,
            _ => n + self.unicode(p, &bytes[n..]),
        }
    }

    /// Text that begins with a byte over 0x7f: up to the next control.
    fn unicode<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        let end = bytes
            .iter()
            .position(|b| *b < 0x20 || *b == 0x7f)
            .unwrap_or(bytes.len());
        let run = &bytes[..end];
        let (valid, error) = match std::str::from_utf8(run) {
            Ok(s) => (s, None),
            Err(e) => (
                std::str::from_utf8(&run[..e.valid_up_to()]).unwrap_or_default(),
                Some(e.error_len()),
            ),
        };
        for c in valid.chars() {
            if c.is_ascii() {
                p.ascii(&[c as u8]);
            } else if !('\u{80}'..='\u{9f}').contains(&c) {
                p.print(c);
            }
        }
        match error {
            None => end,
            Some(Some(len)) => {
                // A lone C1 byte is a control nobody uses in UTF-8; anything else shows that something was lost.
                if len > 1 || run[valid.len()] > 0x9f {
                    p.print('\u{fffd}');
                }
                valid.len() + len
            }
            Some(None) if end < bytes.len() => {
                p.print('\u{fffd}');
                end
            }
            Some(None) => {
                let tail = &run[valid.len()..];
                self.utf8_len = tail.len().min(3);
                self.utf8[..self.utf8_len].copy_from_slice(&tail[..self.utf8_len]);
                end
            }
        }
    }

    /// Goes on with a character that the last chunk cut.
    fn finish_utf8<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        for (i, b) in bytes.iter().enumerate() {
            self.utf8[self.utf8_len] = *b;
            match std::str::from_utf8(&self.utf8[..=self.utf8_len]) {
                Ok(s) => {
                    self.utf8_len = 0;
                    if let Some(c) = s.chars().next().filter(|c| !('\u{80}'..='\u{9f}').contains(c)) {
                        p.print(c);
                    }
                    return i + 1;
                }
                Err(e) if e.error_len().is_none() && self.utf8_len < 3 => self.utf8_len += 1,
                Err(_) => {
                    self.utf8_len = 0;
                    p.print('\u{fffd}');
                    // The byte that broke it is looked at again, from the ground state.
                    return i + if i == 0 { self.ground(p, bytes) } else { 0 };
                }
            }
        }
        bytes.len()
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.params.len = 0;
        self.params.sub = 0;
        self.param = 0;
        self.next_is_sub = false;
        self.overfull = false;
        self.inter_len = 0;
        self.last = 0;
    }

    fn begin_text(&mut self, state: State) {
        self.state = state;
        self.text.clear();
        // A long clipboard is rare: its room is not kept.
        if self.text.capacity() > 4 * DCS_MAX {
            self.text = Vec::new();
        }
        self.text_overfull = false;
    }

    #[inline]
    fn push_param(&mut self) {
        if self.params.len == PARAMS_MAX {
            self.overfull = true;
            return;
        }
        self.params.values[self.params.len] = self.param;
        if self.next_is_sub {
            self.params.sub |= 1 << self.params.len;
        }
        self.params.len += 1;
        self.param = 0;
    }

    fn collect(&mut self, b: u8) {
        if self.inter_len == self.inter.len() {
            self.overfull = true;
        } else {
            self.inter[self.inter_len] = b;
            self.inter_len += 1;
        }
    }

    /// Takes one byte of numbers and separators.
    #[inline]
    fn number(&mut self, b: u8) {
        match b {
            b'0'..=b'9' => self.param = self.param.saturating_mul(10).saturating_add(u16::from(b - b'0')),
            b':' => {
                self.push_param();
                self.next_is_sub = true;
            }
            _ => {
                self.push_param();
                self.next_is_sub = false;
            }
        }
    }

    /// Takes bytes inside a sequence; the number of bytes used, at least 1.
    fn sequence<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        let b = bytes[0];
        // What ends a sequence from anywhere.
        match (b, self.state) {
            (0x18 | 0x1a, _) => {
                self.state = State::Ground;
                p.execute(b);
                return 1;
            }
            (0x1b, State::Osc) => {
                self.end_osc(p, Terminator::String);
                self.begin(State::Escape);
                return 1;
            }
            (0x1b, State::DcsBody) => {
                self.end_dcs(p);
                self.begin(State::Escape);
                return 1;
            }
            (0x1b, _) => {
                self.begin(State::Escape);
                return 1;
            }
            _ => {}
        }
        match self.state {
            State::Ground => return self.ground(p, bytes),
            State::Csi => return self.csi(p, bytes),
            State::Osc | State::DcsBody | State::Swallow => return self.string(p, bytes),
            State::Escape => self.escape(p, b),
            State::EscapeInter => match b {
                0..=0x1f => p.execute(b),
                0x20..=0x2f => self.collect(b),
                0x30..=0x7e => {
                    self.state = State::Ground;
                    if !self.overfull {
                        p.esc(&self.inter[..self.inter_len], b);
                    }
                }
                _ => {}
            },
            State::CsiInter => match b {
                0..=0x1f => p.execute(b),
                0x20..=0x2f => self.collect(b),
                0x30..=0x3f => self.state = State::CsiIgnore,
                0x40..=0x7e => self.end_csi(p, b),
                _ => {}
            },
            State::CsiIgnore => match b {
                0..=0x1f => p.execute(b),
                0x40..=0x7e => self.state = State::Ground,
                _ => {}
            },
            State::Dcs => match b {
                0x20..=0x2f => {
                    self.collect(b);
                    self.state = State::DcsInter;
                }
                0x30..=0x3b => self.number(b),
                0x3c..=0x3f => self.collect(b),
                0x40..=0x7e => self.begin_dcs(b),
                _ => {}
            },
            State::DcsInter => match b {
                0x20..=0x2f => self.collect(b),
                0x30..=0x3f => self.begin_text(State::Swallow),
                0x40..=0x7e => self.begin_dcs(b),
                _ => {}
            },
        }
        1
    }

    fn escape<P: Perform>(&mut self, p: &mut P, b: u8) {
        match b {
            0..=0x1f => p.execute(b),
            0x20..=0x2f => {
                self.collect(b);
                self.state = State::EscapeInter;
            }
            b'[' => self.state = State::Csi,
            b']' => self.begin_text(State::Osc),
            b'P' => self.state = State::Dcs,
            b'X' | b'^' | b'_' => self.begin_text(State::Swallow),
            0x30..=0x7e => {
                self.state = State::Ground;
                p.esc(&[], b);
            }
            _ => {}
        }
    }

    /// Reads a control sequence to its end, as far as it is here.
    fn csi<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        for (i, b) in bytes.iter().enumerate() {
            match *b {
                b'0'..=b'9' => {
                    self.param = self.param.saturating_mul(10).saturating_add(u16::from(*b - b'0'));
                    self.last = 1;
                }
                b':' | b';' => {
                    self.number(*b);
                    self.last = 1;
                }
                0x40..=0x7e => {
                    self.end_csi(p, *b);
                    return i + 1;
                }
                0x20..=0x2f => {
                    self.collect(*b);
                    self.state = State::CsiInter;
                    return i + 1;
                }
                // A private marker stands first or makes the sequence meaningless.
                0x3c..=0x3f => {
                    if self.params.len == 0 && self.param == 0 && self.inter_len == 0 && self.last == 0 {
                        self.collect(*b);
                    } else {
                        self.state = State::CsiIgnore;
                        return i + 1;
                    }
                }
                // The caller deals with what ends a sequence from anywhere, and has looked at the first byte.
                0x18 | 0x1a | 0x1b => return i,
                0..=0x1f => p.execute(*b),
                _ => {}
            }
        }
        bytes.len()
    }

    fn end_csi<P: Perform>(&mut self, p: &mut P, last: u8) {
        self.push_param();
        self.state = State::Ground;
        if !self.overfull {
            p.csi(&self.params, &self.inter[..self.inter_len], last);
        }
    }

    fn begin_dcs(&mut self, last: u8) {
        self.push_param();
        self.last = last;
        self.begin_text(if self.overfull { State::Swallow } else { State::DcsBody });
    }

    /// Takes the body of a string up to what may end it.
    fn string<P: Perform>(&mut self, p: &mut P, bytes: &[u8]) -> usize {
        let end = match self.state {
            State::Osc => memchr::memchr3(0x1b, 0x07, 0x18, bytes),
            _ => memchr::memchr2(0x1b, 0x18, bytes),
        };
        let end = end.unwrap_or(bytes.len());
        let body = &bytes[..end];
        // SUB is the one byte that ends a string and has no place in memchr's three.
        let end = memchr::memchr(0x1a, body).unwrap_or(end);
        let body = &bytes[..end];
        let max = match self.state {
            State::Osc => OSC_MAX,
            State::DcsBody => DCS_MAX,
            _ => 0,
        };
        if max > 0 && !self.text_overfull {
            if self.text.len() + body.len() > max {
                self.text_overfull = true;
                self.text = Vec::new();
            } else {
                self.text.extend(body.iter().filter(|b| **b >= 0x20));
            }
        }
        if self.state == State::Osc && bytes.get(end) == Some(&0x07) {
            self.end_osc(p, Terminator::Bell);
            self.state = State::Ground;
            return end + 1;
        }
        // Called with an ending byte first only for BEL, so this is at least 1.
        end.max(1)
    }

    fn end_osc<P: Perform>(&mut self, p: &mut P, end: Terminator) {
        if !self.text_overfull {
            p.osc(&self.text, end);
        }
    }

    fn end_dcs<P: Perform>(&mut self, p: &mut P) {
        if !self.text_overfull {
            p.dcs(&self.params, &self.inter[..self.inter_len], self.last, &self.text);
        }
    }
}

/// How many bytes at the start are printable ASCII.
#[inline]
pub(super) fn ascii_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut n = 0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let Ok(arr) = <[u8; 8]>::try_from(chunk) else { break };
        let x = u64::from_le_bytes(arr);
        // Bytes under 0x20, bytes of 0x7f, and bytes over it; the lowest flagged byte is always right.
        let low = x.wrapping_sub(ONES * 0x20) & !x;
        let del = (x ^ (ONES * 0x7f)).wrapping_sub(ONES) & !(x ^ (ONES * 0x7f));
        let bad = (low | del | x) & HIGH;
        if bad != 0 {
            return n + (bad.trailing_zeros() / 8) as usize;
        }
        n += 8;
    }
    n + chunks
        .remainder()
        .iter()
        .position(|b| !(0x20..0x7f).contains(b))
        .unwrap_or(chunks.remainder().len())
}
