//! One generation of one file: what was read of it, and reading more.
//!
//! A tail keeps the place where the unfinished line begins, the bytes of that line and a few before it. Each read begins
//! with those bytes again and compares: a file that was truncated and written anew, however long, does not have them.
//! Lines are ranges of the block that was read; nothing is copied but the unfinished line.

mod pieces;

use std::{
    collections::VecDeque,
    fs::File,
    io,
    ops::{ControlFlow, Range},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use encoding_rs::Encoding;
use qd_logs_model::{Line, MAX_BATCH_EVENTS, Origin};

use super::{
    checkpoint::Progress,
    content::{Gzip, Kind, Opened, head, kind, read_full},
    mark::{HEAD, Mark, last},
    multiline::{Group, Rules},
    pool::Pool,
    split::Delimiter,
};

/// How many places are remembered to know a shorter copy.
const MARKS: usize = 64;
/// Bytes read at once, at the most, however long a line may be.
const LONGEST: usize = 1 << 30;

/// What is the same for all files of a source.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) delimiter: Delimiter,
    pub(crate) max_line: usize,
    pub(crate) charset: Option<&'static Encoding>,
    pub(crate) rules: Option<Rules>,
    pub(crate) pool: Pool,
}

/// Lines to send, and the range of the file they stand for.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) block: Bytes,
    pub(crate) lines: Vec<Line>,
    /// Bytes of the lines as they are in the file, without delimiters.
    pub(crate) bytes: u64,
    pub(crate) range: Range<u64>,
    pub(crate) tail: Mark,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// There may be more.
    More,
    /// That was all for now.
    End,
    /// The file is another one now: truncated, or written anew.
    Replaced,
}

/// What was read of a generation: enough to know it, or a copy of it, again.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) progress: Arc<Progress>,
    /// The content's first bytes.
    pub(crate) head: Vec<u8>,
    /// Everything before it was sent.
    pub(crate) sent: u64,
    /// Places before `sent` with the bytes before them, the latest last.
    pub(crate) marks: VecDeque<(u64, Mark)>,
}

#[derive(Debug)]
enum Content {
    /// Too short to say.
    Unknown,
    Plain,
    Gzip {
        reader: Box<Gzip>,
        /// Decompressed, not yet looked at.
        ahead: Vec<u8>,
    },
}

/// One generation of one file.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) known: Known,
    pub(crate) origin: Arc<Origin>,
    pub(crate) created: SystemTime,
    pub(crate) group: Option<Group>,
    /// Whether there may be more to read.
    pub(crate) ready: bool,
    /// Since when there was nothing more.
    pub(crate) end_since: Option<Instant>,
    /// When there was something last.
    pub(crate) last_data: Instant,
    /// Since when no path leads to it.
    pub(crate) lost_since: Option<Instant>,
    /// Lines that were too long, since it was last asked.
    pub(crate) too_long: u64,
    file: File,
    content: Content,
    /// Where the unfinished line begins.
    begin: u64,
    before: Vec<u8>,
    partial: Vec<u8>,
    /// The unfinished line is too long already.
    skipping: bool,
    changed: Option<(i64, i64)>,
}

impl Tail {
    /// Follows a file from a place in its content on.
    ///
    /// # Errors
    /// The file can't be read, or ends before that place.
    pub(crate) fn new(
        opened: Opened,
        path: &Path,
        offset: u64,
        progress: Arc<Progress>,
        origin: Arc<Origin>,
    ) -> io::Result<Tail> {
        let Opened { file, meta } = opened;
        let mut before = Vec::new();
        let kind = kind(&file)?;
        let content = match kind {
            Kind::Unknown => Content::Unknown,
            Kind::Plain => Content::Plain,
            Kind::Gzip => Content::Gzip {
                reader: Box::new(Gzip::new(&file)?),
                ahead: Vec::new(),
            },
        };
        let mut tail = Tail {
            path: path.to_owned(),
            dev: meta.dev(),
            ino: meta.ino(),
            known: Known {
                head: head(&file, kind)?,
                progress,
                sent: offset,
                marks: VecDeque::new(),
            },
            origin,
            created: meta
                .created()
                .or_else(|_| meta.modified())
                .unwrap_or_else(|_| SystemTime::now()),
            group: None,
            ready: true,
            end_since: None,
            last_data: Instant::now(),
            lost_since: None,
            too_long: 0,
            file,
            content,
            begin: offset,
            before: Vec::new(),
            partial: Vec::new(),
            skipping: false,
            changed: None,
        };
        match &mut tail.content {
            Content::Gzip { reader, ahead } => match reader.skip_to(offset)? {
                Some(found) => (before, *ahead) = found,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            },
            _ => {
                let len = offset.min(super::mark::TAIL as u64);
                before.resize(usize::try_from(len).unwrap_or(0), 0);
                let n = read_full(&tail.file, &mut before, offset - len)?;
                if n < before.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        tail.before = before;
        if offset > 0 {
            tail.known.marks.push_back((offset, Mark::of(&tail.before)));
        }
        tail.update_progress();
        Ok(tail)
    }

    fn update_progress(&self) {
        let head = Mark::of(&self.known.head);
        let (path, dev, ino) = (&self.path, self.dev, self.ino);
        let born = super::checkpoint::born(self.file.metadata().and_then(|m| m.created()).ok());
        self.known.progress.update(|e| {
            e.head = head;
            e.path.clone_from(path);
            (e.dev, e.ino, e.born) = (dev, ino, born);
        });
    }

    /// The file has this path now.
    pub(crate) fn renamed(&mut self, path: &Path, origin: Arc<Origin>) {
        self.path = path.to_owned();
        self.origin = origin;
        self.update_progress();
    }

    /// Whether the file changed since it was last read to its end; also its state for [`Tail::is_unlinked`].
    pub(crate) fn look(&mut self) -> io::Result<bool> {
        let meta = self.file.metadata()?;
        let changed = (
            meta.size().cast_signed(),
            meta.ctime().wrapping_mul(1_000_000_000).wrapping_add(meta.ctime_nsec()),
        );
        let is_new = self.changed != Some(changed);
        self.changed = Some(changed);
        if is_new {
            self.ready = true;
        }
        Ok(is_new)
    }

    /// When the last name of the file was removed; `None` while it has one.
    pub(crate) fn unlinked_at(&self) -> Option<i64> {
        let meta = self.file.metadata().ok()?;
        (meta.nlink() == 0).then(|| meta.ctime().wrapping_mul(1_000_000_000).wrapping_add(meta.ctime_nsec()))
    }

    /// The end of what was read.
    pub(crate) fn position(&self) -> u64 {
        self.begin + self.partial.len() as u64
    }

    /// Whether an unfinished line waits for its end.
    pub(crate) fn has_partial(&self) -> bool {
        !self.partial.is_empty() && !self.skipping
    }

    /// What is wrong with compressed content, once.
    pub(crate) fn take_damage(&mut self) -> Option<io::Error> {
        match &mut self.content {
            Content::Gzip { reader, .. } => reader.damage.take(),
            _ => None,
        }
    }

    pub(crate) fn is_gzip(&self) -> bool {
        matches!(self.content, Content::Gzip { .. })
    }

    /// Looks whether the content still begins as it did, and remembers more of it if it grew.
    fn same_head(&mut self) -> io::Result<bool> {
        let mut now = [0; HEAD];
        let n = read_full(&self.file, &mut now, 0)?;
        let now = now.get(..n).unwrap_or_default();
        if !now.starts_with(&self.known.head) {
            return Ok(false);
        }
        if now.len() > self.known.head.len() {
            self.known.head = now.to_vec();
            self.update_progress();
        }
        Ok(true)
    }

    /// Reads up to about `limit` bytes, and puts the complete lines out; with `at_most`, no further line once more bytes
    /// than that were put out.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn read(
        &mut self,
        cx: &Reading,
        limit: usize,
        at_most: Option<usize>,
        out: &mut Vec<Piece>,
    ) -> io::Result<Status> {
        if matches!(self.content, Content::Unknown) {
            self.content = match kind(&self.file)? {
                Kind::Unknown if self.position() > 0 => Content::Plain,
                Kind::Unknown => return Ok(Status::End),
                Kind::Plain => Content::Plain,
                Kind::Gzip => Content::Gzip {
                    reader: Box::new(Gzip::new(&self.file)?),
                    ahead: Vec::new(),
                },
            };
        }
        if !self.is_gzip() && (self.end_since.is_some() || self.known.head.len() < HEAD) && !self.same_head()? {
            return Ok(Status::Replaced);
        }
        let prefix = self.before.len() + self.partial.len();
        let at = self.begin - self.before.len() as u64;
        let want = limit.max(self.partial.len()).min(LONGEST);
        let (block, n) = match &mut self.content {
            Content::Gzip { reader, ahead } => {
                let mut block = [self.before.as_slice(), &self.partial, ahead].concat();
                let had = ahead.len();
                ahead.clear();
                if had < want {
                    reader.read(want - had, &mut block)?;
                }
                let n = block.len();
                (block, n)
            }
            _ => {
                let mut block = cx.pool.take(prefix + want);
                let n = read_full(&self.file, block.get_mut(..prefix + want).unwrap_or_default(), at)?;
                let same = n >= prefix
                    && block.get(..self.before.len()) == Some(&self.before[..])
                    && block.get(self.before.len()..prefix) == Some(&self.partial[..]);
                if !same {
                    cx.pool.give(block);
                    return Ok(Status::Replaced);
                }
                (block, n)
            }
        };
        if n == prefix {
            cx.pool.give(block);
            return Ok(Status::End);
        }
        self.last_data = Instant::now();
        self.end_since = None;
        let data = block.get(..n).unwrap_or_default();
        let (lines, rest, stopped) = self.split(cx, data, at, at_most);
        self.keep(cx, data, at, rest, stopped);
        let pieces = self.pieces(cx, data, at, &lines);
        match pieces {
            Some(pieces) => {
                out.extend(pieces);
                cx.pool.give(block);
            }
            None if lines.is_empty() => {
                self.pass(data, at);
                cx.pool.give(block);
            }
            None => self.share(cx, block, n, at, lines, out),
        }
        Ok(if n < prefix + want && !stopped {
            Status::End
        } else {
            Status::More
        })
    }

    /// Cuts a block into lines. Gives them with the place where the rest begins, and whether it stopped because
    /// `at_most` bytes of lines were found.
    fn split(&mut self, cx: &Reading, data: &[u8], at: u64, at_most: Option<usize>) -> (Vec<Line>, usize, bool) {
        let mut begin = self.before.len();
        let from = begin + self.partial.len().saturating_sub(cx.delimiter.len() - 1);
        let mut lines = Vec::with_capacity((data.len() / 256).min(MAX_BATCH_EVENTS));
        let (mut skipping, mut too_long, mut taken, mut stopped) = (self.skipping, 0, 0, false);
        cx.delimiter.each(data, from, at, |i| {
            let offset = at + begin as u64;
            if skipping {
                skipping = false;
            } else if i - begin > cx.max_line {
                too_long += 1;
            } else {
                lines.push(Line {
                    start: u32::try_from(begin).unwrap_or(u32::MAX),
                    end: u32::try_from(i).unwrap_or(u32::MAX),
                    offset,
                });
                taken += i - begin;
            }
            begin = i + cx.delimiter.len();
            if at_most.is_some_and(|m| taken > m) {
                stopped = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        // A byte order mark is no part of the first line (a charset's own is removed when it is decoded).
        if let Some(first) = lines.first_mut().filter(|l| l.offset == 0)
            && cx.charset.is_none()
            && data
                .get(first.start as usize..first.end as usize)
                .is_some_and(|t| t.starts_with(b"\xef\xbb\xbf"))
        {
            first.start += 3;
        }
        self.skipping = skipping;
        self.too_long += too_long;
        (lines, begin, stopped)
    }

    /// Remembers the unfinished line.
    fn keep(&mut self, cx: &Reading, data: &[u8], at: u64, mut rest: usize, stopped: bool) {
        let unread = data.get(rest..).unwrap_or_default();
        if stopped {
            self.partial.clear();
            if let Content::Gzip { ahead, .. } = &mut self.content {
                *ahead = unread.to_vec();
            }
        } else {
            if !self.skipping && unread.len() > cx.max_line {
                self.skipping = true;
                self.too_long += 1;
            }
            if self.skipping {
                // Only so much is kept that a delimiter across two reads is seen.
                rest = rest.max(data.len().saturating_sub(cx.delimiter.len() - 1));
            }
            self.partial.clear();
            self.partial.extend_from_slice(data.get(rest..).unwrap_or_default());
        }
        self.before.clear();
        self.before
            .extend_from_slice(last(data.get(..rest).unwrap_or_default()));
        self.begin = at + rest as u64;
    }

    /// The file was truncated or written anew: what is known of the old content, and the file to begin with again.
    pub(crate) fn replaced(self) -> (Known, io::Result<Opened>) {
        let opened = self.file.metadata().map(|meta| Opened { file: self.file, meta });
        (self.known, opened)
    }
}
