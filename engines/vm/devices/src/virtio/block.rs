//! virtio-blk on a file, read and written where guest memory lies.
//!
//! A request is answered when its system call is done. What the guest may ask is bounded by the file's size when it was
//! opened, in whole sectors; a file that is shorter by then is an I/O error of that request. A flush is offered where the
//! drive's cache type says so, and then is one of the file.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use serde::{Deserialize, Serialize};

use super::queue::{Broken, Buffer, Chain, Queue};
use super::{Device, Progress, read_space};
use crate::Memory;
use crate::limiter::Limiter;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
const F_RO: u64 = 1 << 5;
const F_FLUSH: u64 = 1 << 9;
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const OK: u8 = 0;
const IO_ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;
/// Parts of one system call; the kernel takes 1024.
const VECTOR: usize = 256;

/// A drive's numbers since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that read.
    pub reads: u64,
    /// Requests that wrote.
    pub writes: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub write_bytes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// Times that a request had to wait for its rate.
    pub throttled: u64,
}

/// How a drive behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether it may only be read.
    pub read_only: bool,
    /// Whether a flush of the guest is one of the file.
    pub writeback: bool,
}

/// The device.
#[derive(Debug)]
pub struct Block {
    file: File,
    sectors: u64,
    id: [u8; 20],
    options: Options,
    limiter: Limiter,
    counts: Counts,
}

impl Block {
    /// A drive on a file or a block device, of which the bytes beyond the last whole sector are not seen.
    ///
    /// # Errors
    /// The size cannot be asked.
    pub fn new(file: File, name: &str, options: Options, limiter: Limiter) -> io::Result<Block> {
        let mut id = [0; 20];
        id.iter_mut().zip(name.bytes()).for_each(|(d, s)| *d = s);
        Ok(Block {
            sectors: size(&file)? / SECTOR,
            file,
            id,
            options,
            limiter,
            counts: Counts::default(),
        })
    }

    /// Its numbers.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Its size in sectors.
    pub const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Takes another file.
    ///
    /// # Errors
    /// The size cannot be asked; the old file is kept.
    pub fn swap(&mut self, file: File) -> io::Result<()> {
        self.sectors = size(&file)? / SECTOR;
        self.file = file;
        Ok(())
    }

    /// Its limits.
    pub const fn limits(&self) -> Limiter {
        self.limiter
    }

    /// Takes other limits.
    pub fn limit(&mut self, limiter: Limiter) {
        self.limiter = limiter;
    }

    /// The status of a request, and the bytes that were written before it.
    fn request(&mut self, memory: &Memory, chain: &Chain, data: &[Buffer]) -> (u8, u32) {
        let mut head = [0; 16];
        if chain.read(memory, &mut head) < head.len() {
            return (IO_ERROR, 0);
        }
        let [a, b, c, d, _, _, _, _, rest @ ..] = head;
        let (kind, sector) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(rest));
        match kind {
            IN => self.transfer(memory, data, sector, Direction::Read),
            OUT if self.options.read_only => (IO_ERROR, 0),
            OUT => {
                let data = after_head(&chain.readable);
                self.transfer(memory, &data, sector, Direction::Write)
            }
            FLUSH if self.options.writeback => {
                self.counts.flushes += 1;
                if self.file.sync_data().is_ok() {
                    (OK, 0)
                } else {
                    (IO_ERROR, 0)
                }
            }
            // Not offered, and asked all the same: nothing is cached.
            FLUSH => (OK, 0),
            GET_ID => {
                let Some(slice) = data.first().filter(|b| b.len >= 20).and_then(|b| b.slice(memory)) else {
                    return (IO_ERROR, 0);
                };
                slice.copy_from(&self.id);
                (OK, 20)
            }
            _ => (UNSUPPORTED, 0),
        }
    }

    fn transfer(&mut self, memory: &Memory, data: &[Buffer], sector: u64, direction: Direction) -> (u8, u32) {
        let bytes: u64 = data.iter().map(|b| u64::from(b.len)).sum();
        let capacity = self.sectors.saturating_mul(SECTOR);
        let from = sector.checked_mul(SECTOR);
        let end = from.and_then(|f| f.checked_add(bytes));
        let (Some(from), Some(end)) = (from, end) else {
            return (IO_ERROR, 0);
        };
        if end > capacity || !bytes.is_multiple_of(SECTOR) || u32::try_from(bytes).is_err() {
            return (IO_ERROR, 0);
        }
        if all(self.file.as_raw_fd(), memory, data, from, direction).is_err() {
            return (IO_ERROR, 0);
        }
        match direction {
            Direction::Read => {
                self.counts.reads += 1;
                self.counts.read_bytes += bytes;
                (OK, u32::try_from(bytes).unwrap_or(0))
            }
            Direction::Write => {
                self.counts.writes += 1;
                self.counts.write_bytes += bytes;
                (OK, 0)
            }
        }
    }
}

fn size(file: &File) -> io::Result<u64> {
    use io::{Seek, SeekFrom};
    // A block device's metadata says 0.
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// The buffers behind the first 16 bytes.
fn after_head(readable: &[Buffer]) -> Vec<Buffer> {
    let (mut skip, mut out) = (16u32, Vec::with_capacity(readable.len()));
    for b in readable {
        let n = skip.min(b.len);
        skip -= n;
        out.extend(b.tail(n).filter(|b| b.len > 0));
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Moves all of the buffers from or to the file, with as few system calls as the kernel needs.
fn all(fd: RawFd, memory: &Memory, data: &[Buffer], mut at: u64, direction: Direction) -> io::Result<()> {
    let outside = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut rest = data.to_vec();
    rest.retain(|b| b.len > 0);
    // Every buffer is looked at before the first byte moves.
    if rest.iter().any(|b| b.slice(memory).is_none()) {
        return Err(outside());
    }
    rest.reverse();
    while !rest.is_empty() {
        let slices: Vec<_> = rest.iter().rev().take(VECTOR).filter_map(|b| b.slice(memory)).collect();
        let guards: Vec<_> = slices.iter().map(|s| (s.ptr_guard_mut(), s.len())).collect();
        let vector: Vec<libc::iovec> = guards
            .iter()
            .map(|(g, len)| libc::iovec {
                iov_base: g.as_ptr().cast(),
                iov_len: *len,
            })
            .collect();
        let count = libc::c_int::try_from(vector.len()).map_err(|_| outside())?;
        let offset = libc::off_t::try_from(at).map_err(|_| outside())?;
        #[allow(unsafe_code)]
        // SAFETY: each part points into guest memory that stays mapped while `guards` lives, for exactly its length; the
        // guest may change it meanwhile, which the kernel's copy does not mind and Rust never sees.
        let n = unsafe {
            match direction {
                Direction::Read => libc::preadv(fd, vector.as_ptr(), count, offset),
                Direction::Write => libc::pwritev(fd, vector.as_ptr(), count, offset),
            }
        };
        let Ok(mut n) = u64::try_from(n) else {
            let e = io::Error::last_os_error();
            if e.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(e);
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if direction == Direction::Read {
            slices
                .iter()
                .for_each(|s| vm_memory::bitmap::Bitmap::mark_dirty(s.bitmap(), 0, s.len()));
        }
        at += n;
        while n > 0 {
            let Some(b) = rest.pop() else { break };
            if n < u64::from(b.len) {
                rest.extend(b.tail(u32::try_from(n).unwrap_or(0)));
                break;
            }
            n -= u64::from(b.len);
        }
    }
    Ok(())
}

impl Device for Block {
    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn kind(&self) -> u32 {
        2
    }

    fn features(&self) -> u64 {
        let ro = if self.options.read_only { F_RO } else { 0 };
        ro | if self.options.writeback { F_FLUSH } else { 0 }
    }

    fn queues(&self) -> &'static [u16] {
        &[256]
    }

    fn config(&self, offset: u64, out: &mut [u8]) {
        read_space(&self.sectors.to_le_bytes(), offset, out);
    }

    fn activate(&mut self, _features: u64) {}

    fn reset(&mut self) {}

    fn work(&mut self, _index: usize, queue: &mut Queue, memory: &Memory, now: u64) -> Result<Progress, Broken> {
        let mut progress = Progress::default();
        let mut any = false;
        'queue: loop {
            while let Some(chain) = queue.pop(memory)? {
                // The last byte that can be written is the status.
                let mut data = chain.writable.clone();
                let status = data.iter().rposition(|b| b.len > 0).and_then(|i| {
                    data.truncate(i + 1);
                    let last = data.pop()?;
                    let place = last.tail(last.len - 1);
                    data.extend((last.len > 1).then_some(Buffer {
                        len: last.len - 1,
                        ..last
                    }));
                    place
                });
                let moved = chain
                    .readable
                    .iter()
                    .chain(&data)
                    .map(|b| u64::from(b.len))
                    .sum::<u64>();
                if !self.limiter.is_open()
                    && let Err(wait) = self.limiter.take(moved.saturating_sub(16), now)
                {
                    queue.undo_pop();
                    self.counts.throttled += 1;
                    progress.again = Some(wait);
                    break 'queue;
                }
                let mut written = 0;
                // A request whose status cannot be written is given back with nothing done.
                if let Some(place) = status.and_then(|s| s.slice(memory)) {
                    let (said, n) = self.request(memory, &chain, &data);
                    self.counts.errors += u64::from(said != OK);
                    place.copy_from(&[said]);
                    written = n.saturating_add(1);
                } else {
                    self.counts.errors += 1;
                }
                queue.push(memory, chain.head, written)?;
                any = true;
            }
            if !queue.listen(memory)? {
                break;
            }
        }
        progress.interrupt = any && queue.wants_interrupt(memory)?;
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use vm_memory::{Bytes, GuestAddress};

    use super::super::queue::tests::{DESC, describe, memory, offer, queue};
    use super::*;
    use crate::limiter::Bucket;

    const NEXT: u16 = 1;
    const WRITE: u16 = 2;

    fn drive(bytes: &[u8], options: Options) -> (Block, File) {
        let mut f = tempfile::tempfile().unwrap();
        f.write_all(bytes).unwrap();
        (
            Block::new(f.try_clone().unwrap(), "disk", options, Limiter::default()).unwrap(),
            f,
        )
    }

    const PLAIN: Options = Options {
        read_only: false,
        writeback: true,
    };

    fn head(m: &Memory, kind: u32, sector: u64) {
        let mut raw = u64::from(kind).to_le_bytes().to_vec();
        raw.extend(sector.to_le_bytes());
        m.write_slice(&raw, GuestAddress(0x5000)).unwrap();
        m.write_obj(0xffu8, GuestAddress(0x5100)).unwrap();
    }

    /// One request with these data buffers: its status.
    fn ask(b: &mut Block, q: &mut Queue, m: &Memory, kind: u32, sector: u64, data: &[(u64, u32)]) -> u8 {
        head(m, kind, sector);
        describe(m, DESC, 0, 0x5000, 16, NEXT, 1);
        let flags = if kind == OUT { NEXT } else { NEXT | WRITE };
        for (i, (at, len)) in data.iter().enumerate() {
            let i = u16::try_from(i).unwrap() + 1;
            describe(m, DESC, i, *at, *len, flags, i + 1);
        }
        describe(m, DESC, u16::try_from(data.len()).unwrap() + 1, 0x5100, 1, WRITE, 0);
        offer(m, q.size, 0);
        assert!(b.work(0, q, m, 0).unwrap().interrupt);
        m.read_obj(GuestAddress(0x5100)).unwrap()
    }

    #[test]
    fn reads_and_writes_in_pieces() {
        let image: Vec<u8> = (0..4096u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let (mut b, mut f) = drive(&image, PLAIN);
        let (m, mut q) = (memory(), queue(8));
        assert_eq!(
            ask(
                &mut b,
                &mut q,
                &m,
                IN,
                1,
                &[(0x8000, 100), (0x9000, 412), (0xa000, 512)]
            ),
            OK
        );
        let mut got = vec![0; 1024];
        m.read_slice(&mut got[..100], GuestAddress(0x8000)).unwrap();
        m.read_slice(&mut got[100..512], GuestAddress(0x9000)).unwrap();
        m.read_slice(&mut got[512..], GuestAddress(0xa000)).unwrap();
        assert_eq!(got, image[512..1536]);
        m.write_slice(&[7; 512], GuestAddress(0x8000)).unwrap();
        assert_eq!(ask(&mut b, &mut q, &m, OUT, 7, &[(0x8000, 512)]), OK);
        assert_eq!(ask(&mut b, &mut q, &m, FLUSH, 0, &[]), OK);
        let mut disk = Vec::new();
        f.rewind().unwrap();
        f.read_to_end(&mut disk).unwrap();
        assert_eq!(disk[..3584], image[..3584]);
        assert_eq!(disk[3584..], [7; 512]);
        assert_eq!(ask(&mut b, &mut q, &m, GET_ID, 0, &[(0x8000, 20)]), OK);
        assert_eq!(m.read_obj::<[u8; 5]>(GuestAddress(0x8000)).unwrap(), *b"disk\0");
        let c = b.counts();
        assert_eq!(
            (c.reads, c.writes, c.flushes, c.read_bytes, c.errors),
            (1, 1, 1, 1024, 0)
        );
    }

    #[test]
    fn what_cannot_be_read() {
        let (mut b, f) = drive(&[1; 1024 + 100], PLAIN);
        assert_eq!(b.sectors(), 2);
        let (m, mut q) = (memory(), queue(8));
        for (sector, data) in [
            (2, (0x8000, 512)),
            (1, (0x8000, 1024)),
            (u64::MAX, (0x8000, 512)),
            (u64::MAX / 512, (0x8000, 512)),
            (0, (0x8000, 511)),
            (0, ((1 << 20) - 256, 512)),
            (0, (u64::MAX - 3, 512)),
            (0, (0x8000, u32::MAX)),
        ] {
            assert_eq!(
                ask(&mut b, &mut q, &m, IN, sector, &[data]),
                IO_ERROR,
                "{sector} {data:?}"
            );
            assert_eq!(
                ask(&mut b, &mut q, &m, OUT, sector, &[data]),
                IO_ERROR,
                "{sector} {data:?}"
            );
        }
        assert_eq!(ask(&mut b, &mut q, &m, 99, 0, &[]), UNSUPPORTED);
        assert_eq!(ask(&mut b, &mut q, &m, GET_ID, 0, &[(0x8000, 19)]), IO_ERROR);
        // The file became shorter.
        f.set_len(512).unwrap();
        assert_eq!(ask(&mut b, &mut q, &m, IN, 1, &[(0x8000, 512)]), IO_ERROR);
        assert_eq!(ask(&mut b, &mut q, &m, IN, 0, &[(0x8000, 512)]), OK);
        let (mut ro, _) = drive(
            &[1; 512],
            Options {
                read_only: true,
                writeback: false,
            },
        );
        assert_eq!(ro.features(), F_RO);
        assert_eq!(ask(&mut ro, &mut q, &m, OUT, 0, &[(0x8000, 512)]), IO_ERROR);
        // No status, or none that can be written.
        head(&m, IN, 0);
        describe(&m, DESC, 0, 0x5000, 16, 0, 0);
        offer(&m, 8, 0);
        b.work(0, &mut q, &m, 0).unwrap();
        describe(&m, DESC, 0, 0x5000, 16, NEXT, 1);
        describe(&m, DESC, 1, u64::MAX, 1, WRITE, 0);
        offer(&m, 8, 0);
        b.work(0, &mut q, &m, 0).unwrap();
        assert_eq!(q.next_used, q.next_available, "all are given back");
    }

    #[test]
    fn a_limited_drive_waits_and_goes_on() {
        let (mut b, _) = drive(&[1; 4096], PLAIN);
        b.limit(Limiter {
            bytes: Bucket::new(512, 0, 100, 0),
            ops: None,
        });
        let (m, mut q) = (memory(), queue(8));
        assert_eq!(ask(&mut b, &mut q, &m, IN, 0, &[(0x8000, 512)]), OK);
        head(&m, IN, 1);
        offer(&m, 8, 0);
        let p = b.work(0, &mut q, &m, 50_000_000).unwrap();
        assert_eq!(
            p,
            Progress {
                interrupt: false,
                again: Some(50_000_000)
            }
        );
        assert!(b.work(0, &mut q, &m, 100_000_000).unwrap().interrupt);
        assert_eq!(b.counts().throttled, 1);
    }
}
