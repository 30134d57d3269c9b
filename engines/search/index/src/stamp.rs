//! Stamps: what the system says of a file, and when that proves that its bytes are those that were indexed.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

/// A change this short before a snapshot may be followed by another one with the same time, in nanoseconds.
const TOO_FRESH: i128 = 2_000_000_000;

/// What tells one state of a file from another, besides its device.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i128,
    /// Nanoseconds since 1970 at which anything about the file changed.
    pub(crate) changed: i128,
}

/// Bytes of a stamp as it is stored.
pub(crate) const STORED: usize = 8 + 8 + 12 + 12;

impl Stamp {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    pub(crate) fn new(stat: &Stat) -> Stamp {
        let time = |seconds, nanos| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Stamp {
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }

    /// Whether the file changed so shortly before `now` (nanoseconds since 1970) that it may change again unseen.
    pub(crate) fn is_fresh(&self, now: i128) -> bool {
        self.changed >= now - TOO_FRESH || self.modified > now
    }

    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        to.extend(self.inode.to_le_bytes());
        to.extend(self.size.to_le_bytes());
        for time in [self.modified, self.changed] {
            // Twelve bytes are enough for 10^12 years.
            to.extend(&time.to_le_bytes()[..12]);
        }
    }

    pub(crate) fn get(bytes: &[u8; STORED]) -> Stamp {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let time = |at: usize| {
            let sign = if bytes[at + 11] & 0x80 == 0 { 0 } else { 0xFF };
            let mut time = [sign; 16];
            time[..12].copy_from_slice(&bytes[at..at + 12]);
            i128::from_le_bytes(time)
        };
        Stamp {
            inode: word(0),
            size: word(8),
            modified: time(16),
            changed: time(28),
        }
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX))
}

/// Who may write to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Writers {
    /// Nobody has it open for writing, nor mapped.
    None,
    /// Somebody has.
    Some,
    /// The system does not say.
    Unknown,
}

/// The command of fcntl that says which signal is sent, the same on every processor that Linux runs on and Rust knows.
const F_SETSIG: libc::c_int = 10;

/// Asks whether anybody has this file, which is open for reading, open for writing or mapped so: bytes that are written to a
/// map change neither a time nor raise an event as they are written. The kernel gives a read lease only when nobody has.
#[allow(unsafe_code)]
pub(crate) fn writers(file: impl AsFd) -> Writers {
    let file = file.as_fd().as_raw_fd();
    // SAFETY: these commands of fcntl take an integer and touch no memory of ours; the descriptor is open, as it is borrowed.
    // Whoever opens the file for writing meanwhile lets the kernel send us SIGURG, which is ignored unless it is waited for,
    // and has to wait the moment until the lease is given back.
    let result = unsafe {
        if libc::fcntl(file, F_SETSIG, libc::SIGURG) == -1 {
            return Writers::Unknown;
        }
        let result = libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK);
        if result != -1 {
            libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
        }
        result
    };
    if result != -1 {
        return Writers::None;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Writers::Some,
        _ => Writers::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn stamps_come_back() {
        for (modified, changed) in [(0, 0), (-5, 7), (1_800_000_000_123_456_789, -1)] {
            let stamp = Stamp {
                inode: u64::MAX - 3,
                size: 12,
                modified,
                changed,
            };
            let mut bytes = Vec::new();
            stamp.put(&mut bytes);
            assert_eq!(Stamp::get(&bytes.try_into().unwrap()), stamp);
        }
    }

    #[test]
    fn a_change_just_before_is_fresh() {
        let stamp = |changed| Stamp {
            changed,
            ..Stamp::default()
        };
        assert!(stamp(10_000_000_000).is_fresh(11_000_000_000));
        assert!(stamp(10_000_000_000).is_fresh(12_000_000_000));
        assert!(!stamp(10_000_000_000).is_fresh(12_000_000_001));
        assert!(stamp(10_000_000_000).is_fresh(0), "the clock was set back");
    }

    #[test]
    fn writers_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let free = writers(&reader);
        assert_ne!(free, Writers::None);
        drop(writer);
        // Where leases are not to be had, the answer is the same for both.
        assert!(writers(&reader) == Writers::None || free == Writers::Unknown);
    }
}
