//! Asking the index that covers a directory, wherever its root is.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::client::renew;
use crate::error::Error;
use crate::plan::Query;
use crate::query::{Answer, Ask, Scope};
use crate::store::{Home, Index};
use crate::wanted::Wanted;

/// A directory in a tree that has an index.
#[derive(Debug)]
pub struct Below {
    index: Index,
    dir: Vec<u8>,
}

impl Below {
    /// The directory `path` and the nearest index that covers it; none when there is none, or `path` is no directory. A
    /// damaged index is told to its watcher, which makes it anew.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the index is damaged, others when it cannot be read: everything is to be searched then.
    pub fn find(home: &Home, path: &Path) -> Result<Option<Below>, Error> {
        let Some(path) = path.canonicalize().ok().filter(|p| p.is_dir()) else {
            return Ok(None);
        };
        let Some(place) = home.covering(&path) else {
            return Ok(None);
        };
        let Ok(dir) = path.strip_prefix(place.root()) else {
            return Ok(None);
        };
        let dir = dir.as_os_str().as_bytes().to_vec();
        match Index::open(&place) {
            Ok(index) => Ok(Some(Below { index, dir })),
            Err(error) => {
                if error.is_corrupt() {
                    renew(&place);
                }
                Err(error)
            }
        }
    }

    /// Asks which files of the directory have to be searched. Paths in the answer are relative to the directory.
    ///
    /// # Errors
    /// As those of [`Index::ask`]; a damaged index is told to its watcher.
    pub fn ask(&self, query: &Query, scope: Scope, wanted: Wanted<'_>) -> Result<Answer, Error> {
        let answer = self.index.ask(Ask {
            query,
            dir: &self.dir,
            scope,
            wanted,
        });
        match answer {
            Ok(Answer::Files(mut files)) => {
                let skip = if self.dir.is_empty() { 0 } else { self.dir.len() + 1 };
                for file in files.iter_mut().filter(|_| skip > 0) {
                    file.drain(..skip.min(file.len()));
                }
                Ok(Answer::Files(files))
            }
            Err(error) if error.is_corrupt() => {
                renew(self.index.place());
                Err(error)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Syntax, plan};
    use crate::store::update;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

    #[test]
    fn an_answer_that_nobody_wants_is_not_worked_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, home) = (dir.path().join("tree"), Home::new(dir.path().join("indexes")));
        for d in 0..4 {
            let sub = root.join(format!("d{d}"));
            std::fs::create_dir_all(&sub).unwrap();
            for f in 0..100 {
                std::fs::write(sub.join(format!("f{f}")), format!("word{f} and{d}\n")).unwrap();
            }
        }
        let place = home.place(&root).unwrap();
        update(&place, &HashSet::new(), false, &AtomicBool::new(false)).unwrap();
        let syntax = Syntax {
            fixed_strings: true,
            any_case: false,
            unicode: true,
            dot_matches_new_line: false,
            crlf: false,
        };
        let query = plan(&["word7"], syntax);
        // Somebody who listens to the questions of searches and never answers.
        for silent in [false, true] {
            let _watcher = silent.then(|| std::os::unix::net::UnixListener::bind(place.dir().join("watch")).unwrap());
            let below = Below::find(&home, &root).unwrap().unwrap();
            // It is looked again and again, and each time it may be the last.
            let mut looks = 0;
            loop {
                let left = AtomicUsize::new(looks);
                let is_wanted = || left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok();
                match below.ask(&query, Scope::LinesOfText, Wanted::so_long(&is_wanted)) {
                    Err(Error::Unwanted) => looks += 1,
                    Ok(_) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(looks >= 4, "it was looked {looks} times only");
        }
    }
}
