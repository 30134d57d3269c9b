//! Batches of what was read: lines of the block itself, or text that was decoded or joined, and the range of the file that
//! each stands for.

use std::time::Instant;

use bytes::Bytes;
use encoding_rs::Encoding;
use qd_logs_model::{Line, MAX_BATCH_BYTES, MAX_BATCH_EVENTS};

use super::{
    super::{
        mark::{Mark, last},
        multiline,
    },
    MARKS, Piece, Reading, Tail,
};

impl Tail {
    fn mark(&mut self, end: u64, tail: Mark) {
        if self.known.marks.len() == MARKS {
            self.known.marks.pop_front();
        }
        self.known.marks.push_back((end, tail));
    }

    /// Nothing came of what was read: what was skipped needs no delivery.
    pub(super) fn pass(&mut self, data: &[u8], at: u64) {
        let end = self.begin;
        if end > self.known.sent && self.group.is_none() {
            let tail = tail_at(data, at, end);
            self.known.progress.delivered(self.known.sent, end, tail);
            self.mark(end, tail);
            self.known.sent = end;
        }
    }

    /// Lines of the block itself.
    pub(super) fn share(
        &mut self,
        cx: &Reading,
        block: Vec<u8>,
        n: usize,
        at: u64,
        lines: Vec<Line>,
        out: &mut Vec<Piece>,
    ) {
        let all = self.begin;
        let mut cuts: Vec<(usize, u64, Mark)> = Vec::new();
        {
            let data = block.get(..n).unwrap_or_default();
            let mut from = 0;
            while from < lines.len() {
                let to = chunk_end(&lines, from);
                let end = lines.get(to).map_or(all, |l| l.offset);
                cuts.push((to, end, tail_at(data, at, end)));
                from = to;
            }
        }
        let block = cx.pool.share(block, n);
        let mut lines = lines.into_iter();
        let mut from = 0;
        for (to, end, tail) in cuts {
            let lines: Vec<Line> = lines.by_ref().take(to - from).collect();
            from = to;
            out.push(self.piece(block.clone(), lines, end, tail));
        }
    }

    fn piece(&mut self, block: Bytes, lines: Vec<Line>, end: u64, tail: Mark) -> Piece {
        let range = self.known.sent..end;
        self.mark(end, tail);
        self.known.sent = end;
        Piece {
            block,
            bytes: lines.iter().map(|l| u64::from(l.end - l.start)).sum(),
            lines,
            range,
            tail,
        }
    }

    /// Lines of new text: decoded, or joined. `None` where the block's own will do.
    pub(super) fn pieces(&mut self, cx: &Reading, data: &[u8], at: u64, lines: &[Line]) -> Option<Vec<Piece>> {
        if cx.charset.is_none() && cx.rules.is_none() {
            return None;
        }
        let now = Instant::now();
        let mut made = Made::default();
        let mut group = self.group.take();
        for line in lines {
            let raw = data.get(line.start as usize..line.end as usize).unwrap_or_default();
            made.raw += raw.len() as u64;
            let decoded = cx.charset.map(|c| decode(c, raw));
            let text = decoded.as_deref().map_or(raw, str::as_bytes);
            match &cx.rules {
                Some(rules) => {
                    let before = || tail_at(data, at, line.offset);
                    multiline::feed(rules, &mut group, text, line.offset, before, now, |t, o| {
                        made.push(t, o)
                    });
                }
                None => made.push(text, line.offset),
            }
        }
        self.group = group;
        let (end, tail) = match &self.group {
            Some(g) => (g.start, g.before),
            None => (self.begin, tail_at(data, at, self.begin)),
        };
        Some(self.made(made, data, at, end, tail))
    }

    /// Batches of made text, up to the place `all`. A batch ends where the next one's first line begins.
    fn made(&mut self, made: Made, data: &[u8], at: u64, all: u64, tail: Mark) -> Vec<Piece> {
        if made.lines.is_empty() {
            if all > self.known.sent && self.group.is_none() {
                self.known.progress.delivered(self.known.sent, all, tail);
                self.mark(all, tail);
                self.known.sent = all;
            }
            return Vec::new();
        }
        let block = Bytes::from(made.text);
        let mut out = Vec::new();
        let mut from = 0;
        while from < made.lines.len() {
            let to = chunk_end(&made.lines, from);
            let lines = made.lines.get(from..to).unwrap_or_default().to_vec();
            let (end, tail) = match made.lines.get(to) {
                Some(next) => (next.offset, tail_at(data, at, next.offset)),
                None => (all, tail),
            };
            out.push(self.piece(block.clone(), lines, end, tail));
            from = to;
        }
        if let Some(p) = out.first_mut() {
            p.bytes = made.raw;
        }
        for p in out.iter_mut().skip(1) {
            p.bytes = 0;
        }
        out
    }

    /// The group's time is over.
    pub(crate) fn flush_group(&mut self) -> Vec<Piece> {
        let Some(group) = self.group.take() else {
            return Vec::new();
        };
        let mut made = Made::default();
        made.push(&group.text, group.start);
        let tail = Mark::of(&self.before);
        self.made(made, &[], self.begin, self.begin, tail)
    }

    /// Nothing more will come: what has no end is a line all the same.
    pub(crate) fn flush(&mut self, cx: &Reading) -> Vec<Piece> {
        let mut out = Vec::new();
        if self.has_partial() {
            let data = [self.before.as_slice(), &self.partial].concat();
            let at = self.begin - self.before.len() as u64;
            let start = u32::try_from(self.before.len()).unwrap_or(u32::MAX);
            let line = Line {
                start,
                end: u32::try_from(data.len()).unwrap_or(u32::MAX),
                offset: self.begin,
            };
            self.begin += self.partial.len() as u64;
            self.partial.clear();
            self.before = last(&data).to_vec();
            match self.pieces(cx, &data, at, &[line]) {
                Some(pieces) => out = pieces,
                None => {
                    let tail = Mark::of(&self.before);
                    out.push(self.piece(Bytes::from(data), vec![line], self.begin, tail));
                }
            }
        }
        out.extend(self.flush_group());
        out
    }
}

/// Text made of lines.
#[derive(Default)]
struct Made {
    text: Vec<u8>,
    lines: Vec<Line>,
    raw: u64,
}

impl Made {
    fn push(&mut self, text: &[u8], offset: u64) {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(text);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.lines.push(Line { start, end, offset });
    }
}

/// The end of the batch that begins at line `from`.
fn chunk_end(lines: &[Line], from: usize) -> usize {
    let most = (from + MAX_BATCH_EVENTS).min(lines.len());
    let Some(chunk) = lines.get(from..most) else {
        return lines.len();
    };
    let begin = chunk.first().map_or(0, |l| l.start);
    let fits = chunk.partition_point(|l| (l.end - begin) as usize <= MAX_BATCH_BYTES);
    from + fits.max(1)
}

/// The mark of the bytes before `end`; `data` begins at `at`.
fn tail_at(data: &[u8], at: u64, end: u64) -> Mark {
    let i = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    Mark::of(last(data.get(..i.min(data.len())).unwrap_or_default()))
}

/// A line in UTF-8; what has no meaning in the character set becomes U+FFFD, and a byte order mark goes.
fn decode(charset: &'static Encoding, raw: &[u8]) -> String {
    let (text, _) = charset.decode_without_bom_handling(raw);
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text.into_owned(),
    }
}
