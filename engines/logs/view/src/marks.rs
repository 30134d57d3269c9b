//! Bookmarks, tags and comments on lines, kept by which file it is and where in it, in one JSON file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::index::BLOCK_SHIFT;
use crate::row::Pos;
use crate::source::{Kind, clip};
use crate::store::Identity;
use crate::view::View;

/// How many marks are kept.
pub const MAX_MARKS: usize = 100_000;
/// How much of a line and of a comment is kept, in bytes.
const TEXT: usize = 4096;
/// How many tags a line may have.
const TAGS: usize = 32;

/// Which line: its file, and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkKey {
    /// The device of the file.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Where the line begins.
    pub offset: u64,
}

/// What is noted about a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// Whether it is bookmarked.
    pub bookmark: bool,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// A comment.
    pub comment: Option<String>,
    /// The beginning of the line when it was marked: it tells whether the file is still the same.
    pub line: String,
}

impl Mark {
    fn is_empty(&self) -> bool {
        !self.bookmark && self.tags.is_empty() && self.comment.is_none()
    }
}

/// All marks of a state directory.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    path: PathBuf,
    map: BTreeMap<MarkKey, Mark>,
}

impl Marks {
    /// Reads the marks of a state directory; none when there are none yet.
    pub fn load(state: &Path) -> Result<Marks> {
        let path = state.join("log-marks.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Marks {
                    path,
                    map: BTreeMap::new(),
                });
            }
            Err(error) => return Err(Error::Io { path, error }),
        };
        let bad = |reason: &str| Error::BadState {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))?;
        let list = value
            .get("marks")
            .and_then(Value::as_array)
            .ok_or_else(|| bad("it has no list `marks`"))?;
        let mut map = BTreeMap::new();
        for item in list.iter().take(MAX_MARKS) {
            let number = |name: &str| {
                item.get(name)
                    .and_then(Value::as_u64)
                    .ok_or_else(|| bad(&format!("a mark has no number `{name}`")))
            };
            let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
            let key = MarkKey {
                device: number("device")?,
                inode: number("inode")?,
                offset: number("offset")?,
            };
            let tags = item.get("tags").and_then(Value::as_array).into_iter().flatten();
            let mark = Mark {
                bookmark: item.get("bookmark").and_then(Value::as_bool).unwrap_or(false),
                tags: tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
                comment: text("comment"),
                line: text("line").unwrap_or_default(),
            };
            map.insert(key, mark);
        }
        Ok(Marks { path, map })
    }

    /// Writes them: into a new file that takes the old one's place when it is safely on disk.
    pub fn save(&self) -> Result<()> {
        let item = |(key, mark): (&MarkKey, &Mark)| {
            json!({
                "device": key.device, "inode": key.inode, "offset": key.offset, "bookmark": mark.bookmark,
                "tags": mark.tags, "comment": mark.comment, "line": mark.line,
            })
        };
        let value = json!({ "version": 1, "marks": self.map.iter().map(item).collect::<Vec<_>>() });
        let wrong = |error| Error::Write {
            path: self.path.clone(),
            error,
        };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(wrong)?;
        let temporary = self.path.with_extension(format!("json.{}", std::process::id()));
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(value.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            wrong(error)
        })
    }

    /// What is noted about a line.
    pub fn get(&self, key: MarkKey) -> Option<&Mark> {
        self.map.get(&key)
    }

    /// Every mark.
    pub fn iter(&self) -> impl Iterator<Item = (MarkKey, &Mark)> {
        self.map.iter().map(|(key, mark)| (*key, mark))
    }

    /// Changes what is noted about a line; a mark without anything in it is removed. `false` when there are too many.
    pub fn edit(&mut self, key: MarkKey, line: &str, change: impl FnOnce(&mut Mark)) -> bool {
        if !self.map.contains_key(&key) && self.map.len() >= MAX_MARKS {
            return false;
        }
        let mut mark = self.map.remove(&key).unwrap_or_else(|| Mark {
            line: clip(line, 200).to_owned(),
            ..Mark::default()
        });
        change(&mut mark);
        mark.tags.sort();
        mark.tags.dedup();
        mark.tags.truncate(TAGS);
        mark.comment = mark
            .comment
            .filter(|c| !c.is_empty())
            .map(|c| clip(&c, TEXT).to_owned());
        if !mark.is_empty() {
            self.map.insert(key, mark);
        }
        true
    }
}

impl View {
    /// The key under which marks of a line are kept. `None` for lines of live sources and of streams: they have no file that
    /// would be there again.
    pub fn mark_key(&self, pos: Pos) -> Result<Option<MarkKey>> {
        let source = self.shared().source(pos.source)?;
        let Identity { device, inode } = source.identity();
        if inode == 0 || matches!(source.kind, Kind::Live(_)) {
            return Ok(None);
        }
        let index = source.index();
        let lines = self.shared().lines(&source, &index, pos.block)?;
        Ok(lines.list.get(pos.line as usize).map(|line| MarkKey {
            device,
            inode,
            offset: lines.offset + u64::from(line.start),
        }))
    }

    /// The line of a mark, if its file is open and such a line begins there.
    pub fn marked(&self, key: MarkKey) -> Result<Option<Pos>> {
        let own = Identity {
            device: key.device,
            inode: key.inode,
        };
        let Some(source) = self.shared().sources().iter().find(|s| s.identity() == own).cloned() else {
            return Ok(None);
        };
        let index = source.index();
        let block = key.offset >> BLOCK_SHIFT;
        if block >= index.blocks {
            return Ok(None);
        }
        let lines = self.shared().lines(&source, &index, block)?;
        let found = lines
            .list
            .iter()
            .position(|line| lines.offset + u64::from(line.start) == key.offset);
        Ok(found.map(|line| Pos {
            source: source.id,
            generation: index.generation,
            block,
            line: line as u32,
        }))
    }

    /// The nearest marked line after (or before) a position, in the view's order by time and place.
    pub fn next_mark(&self, marks: &Marks, from: Pos, forward: bool) -> Result<Option<Pos>> {
        let place = |pos: Pos| -> Result<_> { Ok((self.time_of(pos)?, pos.source, pos.block, pos.line)) };
        let here = place(from)?;
        let mut best = None;
        for (key, _) in marks.iter() {
            let Some(pos) = self.marked(key)? else { continue };
            let there = place(pos)?;
            let beyond = if forward { there > here } else { there < here };
            let nearer = best
                .as_ref()
                .is_none_or(|(other, _)| if forward { there < *other } else { there > *other });
            if beyond && nearer {
                best = Some((there, pos));
            }
        }
        Ok(best.map(|(_, pos)| pos))
    }
}
