//! Everything that is below a root, with stamps: what an index covers, and what it is compared with.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, at};
use crate::stamp::Stamp;
use crate::wanted::Wanted;

/// Directories and files below a root; paths are relative to it, and sorted.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// With the root itself, as the empty path.
    pub(crate) dirs: Vec<(Vec<u8>, Stamp)>,
    pub(crate) files: Vec<(Vec<u8>, Stamp)>,
    /// Directories that could not be read, and those with rules that are not understood.
    pub(crate) trouble: Vec<Vec<u8>>,
}

/// The path below a root.
pub(crate) fn below(root: &Path, relative: &[u8]) -> PathBuf {
    if relative.is_empty() {
        return root.to_owned();
    }
    root.join(OsStr::from_bytes(relative))
}

/// The order of paths: by their parts, so that what is in one directory stands together.
pub(crate) fn order(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let part = |path: &[u8]| path.get(same).map(|b| if *b == b'/' { 0 } else { u16::from(*b) + 1 });
    part(a).cmp(&part(b))
}

/// Whether `path` is `dir` or in it.
pub(crate) fn is_in(path: &[u8], dir: &[u8]) -> bool {
    match path.strip_prefix(dir) {
        Some(rest) => dir.is_empty() || rest.is_empty() || rest[0] == b'/',
        None => false,
    }
}

/// `dir` and `name` as a path.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return name.to_vec();
    }
    [dir, b"/", name].concat()
}

/// The directory a path is in.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(b"", |slash| &path[..slash])
}

struct Queue {
    waiting: Vec<Vec<u8>>,
    busy: usize,
    failure: Option<Error>,
}

/// Lists everything in the directory `start` below `root`, which must all be on `device`, except the directory `except`; in
/// order.
pub(crate) fn list(root: &Path, start: &[u8], device: u64, except: Option<&[u8]>) -> Result<Tree, Error> {
    let mut tree = gather(root, start, device, except, Wanted::ALWAYS)?;
    tree.dirs.sort_unstable_by(|a, b| order(&a.0, &b.0));
    tree.files.sort_unstable_by(|a, b| order(&a.0, &b.0));
    Ok(tree)
}

/// The same, in no order.
pub(crate) fn gather(
    root: &Path,
    start: &[u8],
    device: u64,
    except: Option<&[u8]>,
    wanted: Wanted<'_>,
) -> Result<Tree, Error> {
    let queue = Mutex::new(Queue {
        waiting: vec![start.to_vec()],
        busy: 0,
        failure: None,
    });
    let (more, result) = (Condvar::new(), Mutex::new(Tree::default()));
    let work = || {
        let mut tree = Tree::default();
        let mut found = Vec::new();
        let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(dir) = state.waiting.pop() {
                if except == Some(&dir[..]) {
                    continue;
                }
                state.busy += 1;
                drop(state);
                let listed = one(root, &dir, device, wanted, &mut tree, &mut found);
                state = queue.lock().unwrap_or_else(PoisonError::into_inner);
                state.busy -= 1;
                state.waiting.append(&mut found);
                if let Err(error) = listed {
                    state.failure = Some(error);
                    state.waiting.clear();
                }
                more.notify_all();
            } else if state.busy == 0 {
                break;
            } else {
                state = more.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        drop(state);
        let mut all = result.lock().unwrap_or_else(PoisonError::into_inner);
        all.dirs.append(&mut tree.dirs);
        all.files.append(&mut tree.files);
        all.trouble.append(&mut tree.trouble);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads() {
            scope.spawn(work);
        }
        work();
    });
    let failure = queue.into_inner().unwrap_or_else(PoisonError::into_inner).failure;
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(result.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How many threads are worth starting.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get()).min(8)
}

fn one(
    root: &Path,
    dir: &[u8],
    device: u64,
    wanted: Wanted<'_>,
    tree: &mut Tree,
    found: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    wanted.check()?;
    let path = below(root, dir);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(fd) => fd,
        // It is gone, or is something else now.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !dir.is_empty() => return Ok(()),
        Err(error) if dir.is_empty() => return Err(at(&path, "cannot be opened")(error)),
        Err(_) => {
            tree.trouble.push(dir.to_vec());
            return Ok(());
        }
    };
    let stat = rustix::fs::fstat(&fd).map_err(at(&path, "cannot be looked at"))?;
    if stat.st_dev != device {
        return Err(Error::unsuitable(
            &path,
            "another file system begins here, and an index does not reach over it",
        ));
    }
    tree.dirs.push((dir.to_vec(), Stamp::new(&stat)));
    let entries = Dir::read_from(&fd).map_err(at(&path, "cannot be read"))?;
    for (number, entry) in entries.enumerate() {
        if number % 256 == 255 {
            wanted.check()?;
        }
        let Ok(entry) = entry else {
            tree.trouble.push(dir.to_vec());
            return Ok(());
        };
        let name = entry.file_name();
        let mut kind = entry.file_type();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if matches!(kind, FileType::RegularFile | FileType::Unknown) {
            let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::RegularFile {
                if stat.st_dev != device {
                    return Err(Error::unsuitable(
                        &path,
                        "a file of another file system is mounted here, and an index does not reach over it",
                    ));
                }
                tree.files.push((join(dir, name.to_bytes()), Stamp::new(&stat)));
            }
        }
        if kind == FileType::Directory {
            found.push(join(dir, name.to_bytes()));
        }
    }
    Ok(())
}

/// Whether this is a file of ignore rules, by its name.
pub(crate) fn has_rules(path: &[u8]) -> bool {
    let name = &path[memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)..];
    matches!(name, b".gitignore" | b".ignore" | b".rgignore")
        || path == b".git/info/exclude"
        || path.ends_with(b"/.git/info/exclude")
}

/// Whether anything is wrong with a file of ignore rules: a walk would say so, whichever files are searched.
pub(crate) fn has_bad_rules(path: &Path) -> bool {
    ignore::gitignore::GitignoreBuilder::new("/").add(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn paths_are_ordered_by_their_parts() {
        let mut paths: Vec<&[u8]> = vec![b"a.b", b"a/z", b"a", b"a/b/c", b"a-", b"b", b"a/b.c", b""];
        paths.sort_by(|a, b| order(a, b));
        let expected: Vec<&[u8]> = vec![b"", b"a", b"a/b/c", b"a/b.c", b"a/z", b"a-", b"a.b", b"b"];
        assert_eq!(paths, expected);
        let mut std = expected.clone();
        std.sort_by_key(|p| Path::new(OsStr::from_bytes(p)));
        assert_eq!(std, expected);
        assert!(is_in(b"a/b", b"a") && is_in(b"a", b"a") && is_in(b"a", b"") && !is_in(b"ab", b"a"));
        assert_eq!((parent(b"a/b/c"), parent(b"a")), (&b"a/b"[..], &b""[..]));
    }

    #[test]
    fn a_tree_is_listed_with_what_is_hidden_and_without_links() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["x/.y", "z"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        for file in ["x/.y/f", "x/g", ".h", "z/i"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("x", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("x/g", dir.path().join("z/link")).unwrap();
        let device = dir.path().metadata().unwrap().dev();
        let tree = list(dir.path(), b"", device, None).unwrap();
        let without = list(dir.path(), b"", device, Some(b"x/.y")).unwrap();
        assert_eq!(without.files.len(), 3);
        let names = |list: &[(Vec<u8>, Stamp)]| -> Vec<String> {
            list.iter().map(|f| String::from_utf8(f.0.clone()).unwrap()).collect()
        };
        assert_eq!(names(&tree.files), [".h", "x/.y/f", "x/g", "z/i"]);
        assert_eq!(names(&tree.dirs), ["", "x", "x/.y", "z"]);
        assert_eq!(
            names(&list(dir.path(), b"x", device, None).unwrap().files),
            ["x/.y/f", "x/g"]
        );
        assert!(list(dir.path(), b"", device + 1, None).is_err());
        assert!(list(&dir.path().join("none"), b"", device, None).is_err());
    }

    #[test]
    fn rules_that_are_not_understood_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join(".gitignore");
        fs::write(&rules, "*.o\n!a\n").unwrap();
        assert!(!has_bad_rules(&rules));
        fs::write(&rules, "*.o\na{b\n").unwrap();
        assert!(has_bad_rules(&rules));
        assert!(has_rules(b"x/.ignore") && has_rules(b".git/info/exclude") && !has_rules(b"x/ignore"));
    }
}
