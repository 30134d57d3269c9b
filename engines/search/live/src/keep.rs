//! What a person keeps of searches: those of before, and those with a name. Two small files in a state directory.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::query::Query;

/// Searches that are remembered.
const REMEMBERED: usize = 200;
/// Searches that may have a name.
const NAMED: usize = 500;
/// The longest file that is read.
const LONGEST: u64 = 4 << 20;

/// A search with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its name.
    pub name: String,
    /// What is searched for.
    pub query: Query,
}

/// Searches that are kept, in a directory.
#[derive(Debug, Clone)]
pub struct Keep {
    dir: PathBuf,
}

impl Keep {
    /// Those in this directory, which need not be there yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Vec<T> {
        let path = self.dir.join(name);
        if fs::metadata(&path).map_or(true, |m| m.len() > LONGEST) {
            return Vec::new();
        }
        // A damaged file is as good as none: it holds nothing that cannot be typed again.
        fs::read(&path)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default()
    }

    fn write<T: Serialize>(&self, name: &str, list: &[T]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let text = serde_json::to_vec_pretty(list).map_err(io::Error::other)?;
        let mut f = tempfile::NamedTempFile::new_in(&self.dir)?;
        f.write_all(&text)?;
        f.persist(self.dir.join(name)).map_err(|e| e.error)?;
        Ok(())
    }

    /// The searches of before, the newest last.
    #[must_use]
    pub fn history(&self) -> Vec<Query> {
        self.read("history.json")
    }

    /// Remembers a search; the same one is remembered once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, query: &Query) -> io::Result<()> {
        let mut all = self.history();
        if all.last() == Some(query) {
            return Ok(());
        }
        all.retain(|q| q != query);
        all.push(query.clone());
        let from = all.len().saturating_sub(REMEMBERED);
        self.write("history.json", all.get(from..).unwrap_or_default())
    }

    /// The searches with a name, in the order of the names.
    #[must_use]
    pub fn saved(&self) -> Vec<Saved> {
        self.read("saved.json")
    }

    /// Gives a search a name; one that has it already gives way.
    ///
    /// # Errors
    /// When there are too many, or it cannot be written.
    pub fn save(&self, name: &str, query: &Query) -> io::Result<()> {
        let mut all = self.saved();
        all.retain(|s| s.name != name);
        if all.len() >= NAMED {
            return Err(io::Error::other(format!("there are {NAMED} saved searches already")));
        }
        all.push(Saved {
            name: name.to_owned(),
            query: query.clone(),
        });
        all.sort_by(|a, b| a.name.cmp(&b.name));
        self.write("saved.json", &all)
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        let mut all = self.saved();
        all.retain(|s| s.name != name);
        self.write("saved.json", &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Query {
        Query {
            text: text.into(),
            ..Query::default()
        }
    }

    #[test]
    fn searches_are_kept_once_and_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let k = Keep::new(&dir.path().join("deep/search"));
        assert!(k.history().is_empty() && k.saved().is_empty());
        for i in 0..REMEMBERED + 5 {
            k.remember(&q(&i.to_string())).unwrap();
        }
        k.remember(&q("50")).unwrap();
        let h = k.history();
        assert_eq!((h.len(), h.last()), (REMEMBERED, Some(&q("50"))));
        assert_eq!(h.iter().filter(|x| **x == q("50")).count(), 1);
        k.save("b", &q("one")).unwrap();
        k.save("a", &q("two")).unwrap();
        k.save("b", &q("three")).unwrap();
        let s = k.saved();
        assert_eq!(s.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(s[1].query, q("three"));
        k.forget("a").unwrap();
        assert_eq!(k.saved().len(), 1);
        std::fs::write(dir.path().join("deep/search/saved.json"), "{broken").unwrap();
        assert!(k.saved().is_empty());
    }
}
