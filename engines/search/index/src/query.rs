//! From a plan to the files that are worth searching.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::Error;
use crate::fresh::{self, Changes};
use crate::plan::Query;
use crate::segment::{GROUP, GROUPS_AT_ONCE, Postings, Segment};
use crate::store::Index;
use crate::tree;
use crate::wanted::Wanted;

/// Where more of the blocks than this many in a hundred are candidates, all files are searched.
const MOST_CANDIDATES: u64 = 40;

/// With fewer files to search, they are searched.
const FEW_FILES: u64 = 64;

/// What looking into a file costs, in values of a list that could be read meanwhile.
const COST_OF_A_BLOCK: u64 = 2000;

/// Within what the grams of a match must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// A line, before the first NUL byte of its file: where a search ends that stops at NUL bytes.
    LinesOfText,
    /// A file.
    Files,
}

/// A question to an index.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is searched for.
    pub query: &'a Query,
    /// The directory that is searched, relative to the root of the index; empty for the root.
    pub dir: &'a [u8],
    /// Within what a match is.
    pub scope: Scope,
    /// Whether the answer is still waited for.
    pub wanted: Wanted<'a>,
}

/// What an index says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// All files have to be searched, for this reason.
    Scan(&'static str),
    /// In no other files than these can there be a match. Paths are relative to the root of the index, in the order of a
    /// sorted walk. Some may not be files any more.
    Files(Vec<Vec<u8>>),
}

impl Index {
    /// Asks which files have to be searched.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the index is damaged, others when it cannot be read: everything is to be searched then.
    /// [`Error::Unwanted`] when nobody waits any more.
    pub fn ask(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        if *ask.query == Query::All {
            return Ok(Answer::Scan("the pattern has no gram that a match must have"));
        }
        if let Some(reason) = self.unfit(ask.dir)? {
            return Ok(Answer::Scan(reason));
        }
        let mut files = 0;
        for segment in &self.segments {
            let (from, to) = segment.groups_in(ask.dir)?;
            files += ((to - from.min(to)) * GROUP) as u64;
        }
        if files < FEW_FILES {
            return Ok(Answer::Scan("there are few files"));
        }
        // The watcher answers while the lists are read.
        let asked = fresh::ask(self);
        let (mut candidates, mut found, mut all) = (Vec::new(), 0, 0);
        for (segment, named) in self.segments.iter().zip(&self.manifest.segments) {
            ask.wanted.check()?;
            let part = Lookup::new(segment, ask)?.files(ask, &named.dead)?;
            candidates.extend(part.paths);
            found += part.blocks;
            all += part.all_blocks;
        }
        if found * 100 > all * MOST_CANDIDATES {
            return Ok(Answer::Scan("too many files could match"));
        }
        let changes = match fresh::changes(self, ask.dir, asked, ask.wanted)? {
            Ok(changes) => changes,
            Err(reason) => return Ok(Answer::Scan(reason)),
        };
        if let Some(reason) = self.unfit_now(&changes) {
            return Ok(Answer::Scan(reason));
        }
        let mut files = changed(candidates, changes, ask.dir);
        if let Some(own) = self
            .place
            .own
            .as_deref()
            .filter(|own| tree::is_in(own, ask.dir) || tree::is_in(ask.dir, own))
        {
            let listed = tree::gather(&self.place.root, own, self.manifest.device, None, ask.wanted)?;
            files.extend(
                listed
                    .files
                    .into_iter()
                    .map(|f| f.0)
                    .filter(|f| tree::is_in(f, ask.dir)),
            );
        }
        // They are a few lists that are sorted, which this kind of sorting puts together in one pass.
        files.sort_by(|a, b| tree::order(a, b));
        files.dedup();
        Ok(Answer::Files(files))
    }

    /// Why the index cannot speak for a directory.
    fn unfit(&self, dir: &[u8]) -> Result<Option<&'static str>, Error> {
        use std::os::unix::fs::MetadataExt;
        let root = &self.place.root;
        let about = root.metadata().map_err(crate::error::at(root, "cannot be looked at"))?;
        if (about.dev(), about.ino()) != (self.manifest.device, self.manifest.inode) {
            return Ok(Some("the root is another directory now"));
        }
        if has_mounts(root) {
            return Ok(Some("a file system is mounted in the tree"));
        }
        let near = |t: &Vec<u8>| tree::is_in(t, dir) || tree::is_in(dir, t);
        Ok(self
            .manifest
            .trouble
            .iter()
            .any(near)
            .then_some("a directory in the tree cannot be read, or has rules that are not understood"))
    }

    fn unfit_now(&self, changes: &Changes) -> Option<&'static str> {
        let bad = |path: &Vec<u8>| tree::has_rules(path) && tree::has_bad_rules(&tree::below(&self.place.root, path));
        changes
            .dirty
            .iter()
            .any(bad)
            .then_some("a file of ignore rules is not understood")
    }
}

/// The candidates, without what is gone and with what has changed.
fn changed(candidates: Vec<Vec<u8>>, changes: Changes, dir: &[u8]) -> Vec<Vec<u8>> {
    let mut files = candidates;
    if !changes.gone.is_empty() {
        let gone: HashSet<&[u8]> = changes.gone.iter().map(|g| &g[..]).collect();
        files.retain(|file| {
            let mut part = &file[..];
            while !part.is_empty() {
                if gone.contains(part) {
                    return false;
                }
                part = tree::parent(part);
            }
            true
        });
    }
    files.extend(changes.dirty.into_iter().filter(|path| tree::is_in(path, dir)));
    files
}

/// Whether a file system is mounted somewhere below `root`, as far as the system says.
pub(crate) fn has_mounts(root: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else {
        // Without it mounts are noticed only where devices differ.
        return false;
    };
    let root = root.as_os_str().as_bytes();
    let mut points = mounts
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b' ').nth(4));
    points.any(|point| {
        let point = unescaped(point);
        point.len() > root.len() && tree::is_in(&point, if root == b"/" { b"" } else { root })
    })
}

/// A path as it was before blanks and the like became `\040` and the like.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .first_chunk::<3>()
            .filter(|d| byte == b'\\' && d.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(d) = digits {
            let value = d.iter().fold(0_u32, |v, d| v * 8 + u32::from(d - b'0'));
            out.push(value as u8);
            rest = &after[3..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    out
}

/// A set of blocks, or of files.
#[derive(Clone, Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn none(n: usize) -> Bits {
        Bits(vec![0; n.div_ceil(64)])
    }

    fn all(n: usize) -> Bits {
        Bits(vec![u64::MAX; n.div_ceil(64)])
    }

    fn add(&mut self, n: u32) {
        if let Some(word) = self.0.get_mut(n as usize / 64) {
            *word |= 1 << (n % 64);
        }
    }

    fn has(&self, n: u32) -> bool {
        self.0
            .get(n as usize / 64)
            .is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    fn any(&self, from: u32, to: u32) -> bool {
        let (first, last) = (from as usize / 64, (to as usize).div_ceil(64));
        self.0[first.min(self.0.len())..last.min(self.0.len())]
            .iter()
            .any(|w| *w != 0)
            && (from..to).any(|n| self.has(n))
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    fn and(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    fn or(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

/// Candidates of one segment.
#[derive(Default)]
struct Part {
    paths: Vec<Vec<u8>>,
    /// Blocks of those files, and of all in the directory.
    blocks: u64,
    all_blocks: u64,
}

/// The evaluation of a plan in one segment.
struct Lookup<'a> {
    segment: &'a Segment,
    grams: HashMap<u32, Postings>,
    /// The file of each block, when files are what is asked for.
    file_of: Option<Vec<u32>>,
    wanted: Wanted<'a>,
}

impl<'a> Lookup<'a> {
    fn new(segment: &'a Segment, ask: Ask<'a>) -> Result<Self, Error> {
        let mut file_of = None;
        if ask.scope == Scope::Files {
            let blocks = segment.contents.blocks as usize;
            let mut files = Vec::with_capacity(blocks);
            for from in (0..segment.group_count()).step_by(GROUPS_AT_ONCE) {
                ask.wanted.check()?;
                let to = (from + GROUPS_AT_ONCE).min(segment.group_count());
                segment.groups(from, to, |number, _, entry| {
                    files.resize((files.len() + entry.blocks as usize).min(blocks), number);
                })?;
            }
            file_of = Some(files);
        }
        Ok(Lookup {
            segment,
            grams: HashMap::new(),
            file_of,
            wanted: ask.wanted,
        })
    }

    fn size(&self) -> usize {
        match self.file_of {
            Some(_) => self.segment.contents.files as usize,
            None => self.segment.contents.blocks as usize,
        }
    }

    fn postings(&mut self, gram: u32) -> Result<&Postings, Error> {
        use std::collections::hash_map::Entry;
        match self.grams.entry(gram) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(self.segment.postings(gram)?)),
        }
    }

    /// How many values have to be read for this, about.
    fn cost(&mut self, query: &Query) -> Result<u64, Error> {
        self.wanted.check()?;
        let all = self.segment.contents.blocks;
        Ok(match query {
            Query::All => u64::from(all),
            Query::Gram(gram) => u64::from(self.postings(*gram)?.count(all)),
            Query::And(parts) => {
                let mut least = u64::MAX;
                for part in parts {
                    least = least.min(self.cost(part)?);
                }
                least
            }
            Query::Or(parts) => {
                let mut sum = 0;
                for part in parts {
                    sum += self.cost(part)?;
                }
                sum
            }
        })
    }

    fn eval(&mut self, query: &Query) -> Result<Bits, Error> {
        self.wanted.check()?;
        let size = self.size();
        match query {
            Query::All => Ok(Bits::all(size)),
            Query::Gram(gram) => {
                self.postings(*gram)?;
                let mut bits = Bits::none(size);
                match &self.grams[gram] {
                    Postings::Most => return Ok(Bits::all(size)),
                    postings => match &self.file_of {
                        Some(files) => self.segment.blocks(postings, |b| {
                            if let Some(file) = files.get(b as usize) {
                                bits.add(*file);
                            }
                        })?,
                        None => self.segment.blocks(postings, |b| bits.add(b))?,
                    },
                }
                Ok(bits)
            }
            Query::Or(parts) => {
                let mut bits = Bits::none(size);
                for part in parts {
                    bits.or(&self.eval(part)?);
                }
                Ok(bits)
            }
            Query::And(parts) => {
                let mut costs = Vec::with_capacity(parts.len());
                for part in parts {
                    costs.push((self.cost(part)?, part));
                }
                costs.sort_by_key(|(cost, _)| *cost);
                let (mut bits, mut left) = (Bits::all(size), size as u64);
                let all = u64::from(self.segment.contents.blocks).max(1);
                for (number, (cost, part)) in costs.into_iter().enumerate() {
                    // What it would rule out is worth less than reading it.
                    let ruled_out = left.saturating_mul(all.saturating_sub(cost)) / all;
                    if number > 0 && ruled_out.saturating_mul(COST_OF_A_BLOCK) < cost {
                        continue;
                    }
                    bits.and(&self.eval(part)?);
                    left = bits.count();
                    if left == 0 {
                        break;
                    }
                }
                Ok(bits)
            }
        }
    }

    fn files(mut self, ask: Ask<'_>, dead: &[u32]) -> Result<Part, Error> {
        let mut bits = self.eval(ask.query)?;
        match &self.file_of {
            Some(files) => self.segment.opaque(|b| {
                if let Some(file) = files.get(b as usize) {
                    bits.add(*file);
                }
            })?,
            None => self.segment.opaque(|b| bits.add(b))?,
        }
        let mut unsure = HashSet::new();
        self.segment.unsure(|file| {
            unsure.insert(file as usize / GROUP);
        })?;
        let by_file = self.file_of.is_some();
        let (from, to) = self.segment.groups_in(ask.dir)?;
        let mut part = Part::default();
        for group in from..to {
            let (first, end) = self.segment.group_blocks(group);
            part.all_blocks += u64::from(end - first.min(end));
            let worth = if by_file {
                bits.any((group * GROUP) as u32, ((group + 1) * GROUP) as u32)
            } else {
                bits.any(first, end)
            };
            if !worth && !unsure.contains(&group) {
                continue;
            }
            self.wanted.check()?;
            self.segment.groups(group, group + 1, |number, block, entry| {
                let wanted = entry.unsure
                    || if by_file {
                        bits.has(number)
                    } else {
                        bits.any(block, block + entry.head)
                    };
                if wanted && tree::is_in(&entry.path, ask.dir) && dead.binary_search(&number).is_err() {
                    part.blocks += u64::from(entry.blocks);
                    part.paths.push(entry.path.clone());
                }
            })?;
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_system_writes_them() {
        assert_eq!(unescaped(br"/a\040b\134c\0"), b"/a b\\c\\0");
        assert!(has_mounts(Path::new("/")));
        assert!(!has_mounts(Path::new("/no/such/place")));
    }

    #[test]
    fn what_is_gone_goes_with_what_is_in_it() {
        let list = |paths: &[&str]| paths.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
        let changes = Changes {
            dirty: list(&["d/new", "x/y"]),
            gone: list(&["d/a", "e"]),
        };
        let files = changed(list(&["d/a/b", "d/ab", "e", "e/f", "g"]), changes.clone(), b"");
        assert_eq!(files, list(&["d/ab", "g", "d/new", "x/y"]));
        assert_eq!(changed(Vec::new(), changes, b"x"), list(&["x/y"]));
    }
}
