//! The place up to which all is acknowledged, in a file of its own.
//!
//! It is written whenever the sink has finished something: into one of two slots by turns, each with a number and a
//! checksum, so that a write cut short leaves the one before it. The file has its size from the beginning: writing
//! needs no room on a disk that is full.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use parking_lot::Mutex;

use super::record::MAGIC;

/// Its name in the buffer's folder.
const NAME: &str = "acked";
/// The version of the file that is written, and the only one that is read.
const VERSION: u32 = 2;
/// Bytes of a slot that say something.
const LEN: usize = 48;
/// From one slot to the other: they never share what a disk writes at once.
const STRIDE: u64 = 4096;

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    /// The segment.
    pub(super) segment: u64,
    /// The byte in it.
    pub(super) at: u64,
    /// The number of the first event behind it.
    pub(super) seq: u64,
}

#[derive(Debug)]
struct State {
    /// The number of the newest slot.
    number: u64,
    saved: Place,
    synced: bool,
}

/// The file.
#[derive(Debug)]
pub(super) struct PlaceFile {
    file: File,
    state: Mutex<State>,
}

fn read(file: &File, slot: u64) -> Option<(u64, Place)> {
    let mut b = [0; LEN];
    file.read_exact_at(&mut b, slot * STRIDE).ok()?;
    let u32_at = |i: usize| -> Option<u32> { Some(u32::from_le_bytes(b.get(i..i + 4)?.try_into().ok()?)) };
    let u64_at = |i: usize| -> Option<u64> { Some(u64::from_le_bytes(b.get(i..i + 8)?.try_into().ok()?)) };
    let whole = b.get(0..8)? == MAGIC && u32_at(8)? == VERSION && u32_at(44)? == crc32c::crc32c(b.get(0..44)?);
    let place = Place {
        segment: u64_at(20)?,
        at: u64_at(28)?,
        seq: u64_at(36)?,
    };
    whole.then_some((u64_at(12)?, place))
}

impl PlaceFile {
    /// Opens or makes the file in a folder, with the place that it holds; `None` if it holds none.
    pub(super) fn open(dir: &Path) -> io::Result<(PlaceFile, Option<Place>)> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(dir.join(NAME))?;
        let newest = [0, 1].into_iter().filter_map(|slot| read(&file, slot)).max();
        if newest.is_none() {
            file.write_all_at(&[0; STRIDE as usize + LEN], 0)?;
        }
        let (number, place) = newest.unwrap_or_default();
        let state = State {
            number,
            saved: place,
            synced: true,
        };
        let file = PlaceFile {
            file,
            state: Mutex::new(state),
        };
        Ok((file, newest.map(|(_, place)| place)))
    }

    fn write(&self, state: &mut State, place: Place) -> io::Result<()> {
        let number = state.number + 1;
        let mut b = Vec::with_capacity(LEN);
        b.extend(MAGIC);
        b.extend(VERSION.to_le_bytes());
        b.extend(number.to_le_bytes());
        b.extend(place.segment.to_le_bytes());
        b.extend(place.at.to_le_bytes());
        b.extend(place.seq.to_le_bytes());
        b.extend(crc32c::crc32c(&b).to_le_bytes());
        self.file.write_all_at(&b, (number % 2) * STRIDE)?;
        *state = State {
            number,
            saved: place,
            synced: false,
        };
        Ok(())
    }

    /// Writes a place down, if it is behind the one that was written last. It outlives the process from here on.
    pub(super) fn save(&self, place: Place) -> io::Result<()> {
        let mut state = self.state.lock();
        if place <= state.saved {
            return Ok(());
        }
        self.write(&mut state, place)
    }

    /// Writes a place down, whatever was written before.
    pub(super) fn reset(&self, place: Place) -> io::Result<()> {
        let mut state = self.state.lock();
        if place == state.saved {
            return Ok(());
        }
        self.write(&mut state, place)
    }

    /// Has the disk keep what was written. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        let number = {
            let state = self.state.lock();
            if state.synced {
                return Ok(());
            }
            state.number
        };
        // Without the lock: acknowledgements do not wait for a slow disk.
        self.file.sync_data()?;
        let mut state = self.state.lock();
        state.synced |= state.number == number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u64, at: u64) -> Place {
        Place { segment, at, seq: at }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (file, none) = PlaceFile::open(dir.path()).unwrap();
        assert_eq!(none, None);
        for at in 1..=5 {
            file.save(place(0, at)).unwrap();
        }
        file.save(place(0, 2)).unwrap();
        let len = file.file.metadata().unwrap().len();
        assert_eq!(PlaceFile::open(dir.path()).unwrap().1, Some(place(0, 5)));
        // The write of the newest was cut short.
        file.file.write_all_at(&[0xff; 9], STRIDE + 20).unwrap();
        assert_eq!(PlaceFile::open(dir.path()).unwrap().1, Some(place(0, 4)));
        file.sync().unwrap();
        assert_eq!(file.file.metadata().unwrap().len(), len, "it never grows");
    }
}
