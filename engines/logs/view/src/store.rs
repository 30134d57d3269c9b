//! The bytes of a source: a file read in place by position, or an unlinked temporary file that something is unpacked into.
//!
//! A store is never mapped and never read whole. Compressed, UTF-16 and piped input is unpacked by a thread of its own into a
//! file without a name, up to a limit; what is there so far can be read at once. Damage at the end of a compressed file
//! ends the unpacking with a note and keeps what came before.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result};

/// Which file this is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// How unpacking goes.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    pub done: AtomicBool,
    stop: AtomicBool,
    /// What ended it early, if anything did.
    pub note: Mutex<Option<String>>,
}

/// The bytes of one source.
#[derive(Debug)]
pub(crate) struct Store {
    pub path: PathBuf,
    file: File,
    pub identity: Identity,
    /// Nanoseconds since 1970 of the last change when it was opened.
    pub mtime: i64,
    len: AtomicU64,
    pub spill: Option<Spill>,
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(spill) = &self.spill {
            spill.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// What a file's first bytes say about how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
    Utf16 { big: bool },
}

fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        [0xff, 0xfe, ..] => Packing::Utf16 { big: false },
        [0xfe, 0xff, ..] => Packing::Utf16 { big: true },
        // Without a byte order mark: Latin text with a zero in every other place.
        [a, 0, b, 0, c, 0, ..] if *a != 0 && *b != 0 && *c != 0 => Packing::Utf16 { big: false },
        [0, a, 0, b, 0, c, ..] if *a != 0 && *b != 0 && *c != 0 => Packing::Utf16 { big: true },
        _ => Packing::Plain,
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::Io {
        path: path.to_owned(),
        error,
    }
}

/// Called after more bytes are there, or the last of them.
pub(crate) type Grown = Arc<dyn Fn() + Send + Sync>;

impl Store {
    /// Opens a file; compressed and UTF-16 ones are unpacked into `spill_dir`, at most `limit` bytes.
    pub(crate) fn open(path: &Path, spill_dir: &Path, limit: u64, grown: Grown) -> Result<Arc<Store>> {
        let file = File::open(path).map_err(io_error(path))?;
        let meta = file.metadata().map_err(io_error(path))?;
        if !meta.is_file() {
            // A pipe or a device: it can only be read once.
            return Store::spool(path, Box::new(file), spill_dir, limit, grown);
        }
        let mut head = [0; 6];
        let got = file.read_at(&mut head, 0).map_err(io_error(path))?;
        let identity = Identity {
            device: meta.dev(),
            inode: meta.ino(),
        };
        let mtime = meta
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(meta.mtime_nsec());
        let reader: Box<dyn Read + Send> = match packing(&head[..got]) {
            Packing::Plain => {
                return Ok(Arc::new(Store {
                    path: path.to_owned(),
                    len: AtomicU64::new(meta.len()),
                    file,
                    identity,
                    mtime,
                    spill: None,
                }));
            }
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(
                1 << 16,
                file,
            ))),
            Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file).map_err(io_error(path))?),
            Packing::Utf16 { big } => Box::new(Utf16::new(file, big)),
        };
        Store::unpack(path, reader, identity, mtime, spill_dir, limit, grown)
    }

    /// Spools a stream that can only be read once.
    pub(crate) fn spool(
        path: &Path,
        reader: Box<dyn Read + Send>,
        spill_dir: &Path,
        limit: u64,
        grown: Grown,
    ) -> Result<Arc<Store>> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as i64);
        Store::unpack(path, reader, Identity::default(), now, spill_dir, limit, grown)
    }

    fn unpack(
        path: &Path,
        reader: Box<dyn Read + Send>,
        identity: Identity,
        mtime: i64,
        spill_dir: &Path,
        limit: u64,
        grown: Grown,
    ) -> Result<Arc<Store>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(spill_dir, flags, Mode::RUSR | Mode::WUSR).map_err(|e| io_error(spill_dir)(e.into()))?;
        let file = File::from(fd);
        let writer = file.try_clone().map_err(io_error(path))?;
        let store = Arc::new(Store {
            path: path.to_owned(),
            file,
            identity,
            mtime,
            len: AtomicU64::new(0),
            spill: Some(Spill::default()),
        });
        let weak = Arc::downgrade(&store);
        let run = move || {
            let note = pour(reader, writer, limit, &|added| {
                let Some(store) = weak.upgrade() else { return false };
                store.len.fetch_add(added, Ordering::Release);
                grown();
                !store
                    .spill
                    .as_ref()
                    .is_some_and(|spill| spill.stop.load(Ordering::Relaxed))
            });
            if let Some(spill) = weak.upgrade().as_deref().and_then(|store| store.spill.as_ref()) {
                *spill.note.lock() = note;
                spill.done.store(true, Ordering::Release);
            }
            grown();
        };
        let builder = std::thread::Builder::new().name("logs-unpack".to_owned());
        builder.spawn(run).map_err(io_error(path))?;
        Ok(store)
    }

    /// How many bytes there are, as last noticed.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Whether all bytes that will ever come by unpacking are there; always so for files in place.
    pub(crate) fn settled(&self) -> bool {
        self.spill
            .as_ref()
            .is_none_or(|spill| spill.done.load(Ordering::Acquire))
    }

    /// Reads until `buf` is full or the bytes end.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut got = 0;
        while got < buf.len() {
            match self.file.read_at(&mut buf[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    /// Looks at the file again: its length now, and whether its path still leads to it.
    pub(crate) fn look(&self) -> Look {
        if self.spill.is_some() {
            return Look {
                len: self.len(),
                moved: false,
            };
        }
        let len = self.file.metadata().map_or(0, |meta| meta.len());
        let moved = match std::fs::metadata(&self.path) {
            Ok(meta) => meta.ino() != self.identity.inode || meta.dev() != self.identity.device,
            Err(_) => false,
        };
        Look { len, moved }
    }

    /// Takes note of a file's length; what is unpacked is counted by its thread alone.
    pub(crate) fn set_len(&self, len: u64) {
        if self.spill.is_none() {
            self.len.store(len, Ordering::Release);
        }
    }
}

/// What [`Store::look`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub len: u64,
    pub moved: bool,
}

/// Copies at most `limit` bytes; the note says what ended it early.
fn pour(mut reader: Box<dyn Read + Send>, mut writer: File, limit: u64, more: &dyn Fn(u64) -> bool) -> Option<String> {
    let mut buf = vec![0; 256 << 10];
    let mut total = 0u64;
    loop {
        let got = match reader.read(&mut buf) {
            Ok(0) => return None,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Some(format!("it ends in damage: {error}; what came before is shown")),
        };
        let room = usize::try_from(limit - total).unwrap_or(usize::MAX);
        let take = got.min(room);
        if let Err(error) = writer.write_all(&buf[..take]) {
            return Some(format!("it cannot be unpacked further: {error}"));
        }
        total += take as u64;
        if !more(take as u64) {
            return None;
        }
        if take < got {
            return Some(format!("it unpacks to more than {limit} bytes; only these are shown"));
        }
    }
}

/// UTF-16 to UTF-8, with replacement characters for what is no character.
struct Utf16<R> {
    inner: BufReader<R>,
    big: bool,
    first: bool,
    pending: Option<u16>,
    out: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf16<R> {
    fn new(inner: R, big: bool) -> Utf16<R> {
        Utf16 {
            inner: BufReader::with_capacity(1 << 16, inner),
            big,
            first: true,
            pending: None,
            out: Vec::new(),
            at: 0,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        let mut raw = Vec::with_capacity(1 << 15);
        (&mut self.inner).take(1 << 15).read_to_end(&mut raw)?;
        let mut units: Vec<u16> = self.pending.take().into_iter().collect();
        let unit = |pair: &[u8]| {
            let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
            if self.big {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            }
        };
        units.extend(raw.chunks(2).map(unit));
        if self.first && units.first() == Some(&0xfeff) {
            units.remove(0);
        }
        self.first = false;
        // The first half of a pair waits for the second.
        if raw.len() == 1 << 15 && units.last().is_some_and(|u| (0xd800..0xdc00).contains(u)) {
            self.pending = units.pop();
        }
        let text: String = char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        self.out = text.into_bytes();
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            self.refill()?;
        }
        let n = buf.len().min(self.out.len() - self.at);
        buf[..n].copy_from_slice(&self.out[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
