//! Files that a process has mapped so that it may write to them, asked of the system when somebody searches.
//!
//! Writing to a map raises no event; only its end does. An event at its beginning there would be, that a file was opened, but
//! the kernel raises the same one for everybody who reads: each search by another program would fill the queue with all files.
//! So the maps of the processes are looked at, which takes about a microsecond for each.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

/// The longest list of maps that is read of one process, in bytes.
const LONGEST: u64 = 16 << 20;

/// Files below `root`, relative to it, that are mapped by processes whose maps may be read, and shared, as a map must be
/// through which a file is written. A map may be protected from writing by now, so that does not matter. Nothing more is looked
/// at after `until`, the newest processes come first.
pub(super) fn mapped(root: &Path, until: Instant) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number = |name: &OsStr| name.to_str().and_then(|n| n.parse::<u32>().ok());
    let mut processes: Vec<u32> = entries.flatten().filter_map(|e| number(&e.file_name())).collect();
    processes.sort_unstable_by(|a, b| b.cmp(a));
    let (mut found, mut maps) = (Vec::new(), Vec::new());
    for process in processes {
        if Instant::now() >= until {
            break;
        }
        maps.clear();
        // It has ended, or its maps are not for us to see.
        let read = File::open(format!("/proc/{process}/maps")).and_then(|f| f.take(LONGEST).read_to_end(&mut maps));
        if read.is_ok() {
            found.extend(shared(&maps, root.as_os_str().as_bytes()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The paths below `root` in a list of maps that are shared.
fn shared<'a>(maps: &'a [u8], root: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    maps.split(|b| *b == b'\n').filter_map(move |map| {
        // Addresses, rights, place, device, inode, and the path, which begins with the first slash.
        let rights = memchr::memchr(b' ', map).map(|i| &map[i + 1..])?;
        if rights.get(3) != Some(&b's') {
            return None;
        }
        let path = memchr::memchr(b'/', map).map(|i| &map[i..])?;
        let below = path.strip_prefix(root)?.strip_prefix(b"/")?;
        Some(unescaped(below))
    })
}

/// A path as it is: what ends a line is written with its number there.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(path.len()), path);
    while let Some(i) = memchr::memmem::find(rest, b"\\012") {
        out.extend_from_slice(&rest[..i]);
        out.push(b'\n');
        rest = &rest[i + 4..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    #[test]
    fn paths_below_the_root_that_are_shared() {
        let maps = b"7f00-7f01 rw-s 00000000 fe:00 7    /a tree/x y\n\
            7f01-7f02 rw-p 00000000 fe:00 8    /a tree/private\n\
            7f02-7f03 r--s 00000000 fe:00 9    /a tree/b\\012c\n\
            7f03-7f04 rw-s 00000000 fe:00 9    /a tree2/other\n\
            7f04-7f05 rw-s 00000000 00:01 9    /dev/zero (deleted)\n\
            7f05-7f06 rw-s 00000000 00:00 0\n\
            7f06-7f07 rw-p 00000000 00:00 0    [heap]\n\
            ffff\n";
        let paths = |root: &[u8]| shared(maps, root).collect::<Vec<_>>();
        assert_eq!(paths(b"/a tree"), [&b"x y"[..], b"b\nc"]);
        assert_eq!(paths(b"/").len(), 4);
        assert!(paths(b"/a").is_empty());
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_map_of_this_process_is_found_as_long_as_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("file");
        std::fs::write(&path, [b'x'; 5000]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let until = || Instant::now() + Duration::from_secs(60);
        assert!(mapped(&root, until()).is_empty());
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new map of a file that is open, at an address of the system's choice, which is unmapped below.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                5000,
                rights,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        drop(file);
        assert_eq!(mapped(&root, until()), [b"file"]);
        assert!(mapped(&root, Instant::now()).is_empty(), "there was no time");
        // SAFETY: the map from above, which nobody refers to.
        unsafe { libc::munmap(map, 5000) };
        assert!(mapped(&root, until()).is_empty());
    }
}
