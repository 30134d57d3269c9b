//! Where an index lies on the disk, and how it goes from one state to the next.
//!
//! The index of a tree is a directory of its own, which only its owner may enter: immutable segments, and a manifest that
//! names those that count. A new state is written beside the old one and takes effect when the new manifest is renamed over
//! the old; whatever is not named in it is left over from something that was ended, and is removed by the next build.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::build::{self, Scratch, Stop};
use crate::error::{Error, at};
use crate::merge::{Input, Lists, merge};
use crate::segment::{Entry, Segment};
use crate::stamp::{Stamp, now};
use crate::tree::{self, Tree};
use crate::wanted::Wanted;

/// Another number is another format.
const FORMAT: u32 = 2;

/// The file that names the segments.
const MANIFEST: &str = "manifest";

/// With more segments than this all become one.
const MOST_SEGMENTS: usize = 8;

/// Where the indexes of all trees are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home(PathBuf);

impl Home {
    /// `$XDG_STATE_HOME/quarterdeck/index`, or the same below `~/.local/state`.
    ///
    /// # Errors
    /// [`Error::NoHome`] when neither variable is an absolute path.
    pub fn from_env() -> Result<Home, Error> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| Home(state.join("quarterdeck/index")))
            .ok_or(Error::NoHome)
    }

    /// Indexes are in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Home {
        Home(dir)
    }

    /// The place of the index of the tree at `root`, whether there is one or not.
    ///
    /// # Errors
    /// When `root` is no directory that can be reached.
    pub fn place(&self, root: &Path) -> Result<Place, Error> {
        let root = root.canonicalize().map_err(at(root, "cannot be found"))?;
        if !root.is_dir() {
            return Err(Error::unsuitable(&root, "it is not a directory"));
        }
        Ok(self.place_of(&root))
    }

    fn place_of(&self, root: &Path) -> Place {
        let name = format!("{:016x}", seahash::hash(root.as_os_str().as_bytes()));
        let home = self.0.canonicalize().unwrap_or_else(|_| self.0.clone());
        let own = home.strip_prefix(root).ok();
        Place {
            dir: self.0.join(name),
            own: own.map(|own| own.as_os_str().as_bytes().to_vec()),
            root: root.to_owned(),
        }
    }

    /// The nearest index that covers `path`, which is absolute and without links.
    #[must_use]
    pub fn covering(&self, path: &Path) -> Option<Place> {
        if !self.0.is_dir() {
            return None;
        }
        let places = path.ancestors().map(|root| self.place_of(root));
        places.into_iter().find(|place| place.dir.join(MANIFEST).exists())
    }

    /// The roots of all indexes.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        let dirs = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut roots: Vec<PathBuf> = dirs
            .filter_map(|dir| Manifest::read(&dir.path()).ok())
            .map(|m| PathBuf::from(std::ffi::OsStr::from_bytes(&m.root)))
            .collect();
        roots.sort();
        roots
    }
}

/// Where the index of one tree is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) root: PathBuf,
    /// The home of indexes, if it is in the tree.
    pub(crate) own: Option<Vec<u8>>,
}

impl Place {
    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the index.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the index.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none; others when it cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        if !self.dir.exists() {
            return Err(Error::Missing(self.root.clone()));
        }
        // First what makes it count, then all of it.
        match fs::remove_file(self.dir.join(MANIFEST)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(at(&self.dir, "cannot be removed")(error)),
            _ => fs::remove_dir_all(&self.dir).map_err(at(&self.dir, "cannot be removed")),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Manifest {
    format: u32,
    pub(crate) root: Vec<u8>,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) generation: u64,
    pub(crate) segments: Vec<Named>,
    pub(crate) trouble: Vec<Vec<u8>>,
    /// When it was made, in nanoseconds since 1970.
    pub(crate) made: i128,
}

/// A segment, by name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Named {
    name: String,
    /// Numbers of the files in it that do not count any more.
    pub(crate) dead: Vec<u32>,
}

impl Manifest {
    pub(crate) fn read(dir: &Path) -> Result<Manifest, Error> {
        let path = dir.join(MANIFEST);
        let bytes = fs::read(&path).map_err(at(&path, "cannot be read"))?;
        let (body, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or_else(|| Error::corrupt(&path, "it is cut"))?;
        if crc32c::crc32c(body).to_le_bytes() != *sum {
            return Err(Error::corrupt(&path, "it is not what was written"));
        }
        let manifest: Manifest = postcard::from_bytes(body).map_err(|_| Error::corrupt(&path, "it cannot be read"))?;
        if manifest.format != FORMAT {
            return Err(Error::corrupt(&path, "it is of another version"));
        }
        Ok(manifest)
    }

    fn write(&self, dir: &Path) -> Result<(), Error> {
        let (path, new) = (dir.join(MANIFEST), dir.join("manifest.new"));
        let mut bytes = postcard::to_stdvec(self).map_err(|_| Error::unsuitable(&path, "it cannot be written"))?;
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let mut file = File::create(&new).map_err(at(&new, "cannot be made"))?;
        file.write_all(&bytes).map_err(at(&new, "cannot be written"))?;
        file.sync_data().map_err(at(&new, "cannot be written"))?;
        fs::rename(&new, &path).map_err(at(&path, "cannot be renamed to"))?;
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(at(dir, "cannot be written"))
    }
}

/// An index that is open.
#[derive(Debug)]
pub struct Index {
    pub(crate) place: Place,
    pub(crate) manifest: Manifest,
    pub(crate) segments: Vec<Segment>,
}

/// What is in an index.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Files that are indexed.
    pub files: u64,
    /// Their size in bytes, when they were.
    pub text: u64,
    /// Bytes the index takes on the disk.
    pub size: u64,
    /// How many times it was brought up to date.
    pub generation: u64,
    /// Segments it is made of.
    pub segments: usize,
    /// Files of which nothing is known that could be relied upon, so that they are always searched.
    pub unsure: u64,
    /// Files that were read for the last update, when this is the answer of one.
    pub read: u64,
    /// Directories that could not be read or have rules that are not understood: what is around them is not narrowed.
    pub trouble: Vec<PathBuf>,
}

impl Index {
    /// Opens the index at a place.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, [`Error::Corrupt`] when it is damaged.
    pub fn open(place: &Place) -> Result<Index, Error> {
        for _ in 0..3 {
            let manifest = match Manifest::read(&place.dir) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    return Err(Error::Missing(place.root.clone()));
                }
                other => other?,
            };
            if manifest.root != place.root.as_os_str().as_bytes() {
                return Err(Error::corrupt(&place.dir, "it is the index of another tree"));
            }
            let names = manifest.segments.iter();
            let segments: Result<Vec<_>, _> = names.map(|s| Segment::open(&place.dir.join(&s.name))).collect();
            match segments {
                Ok(segments) => {
                    return Ok(Index {
                        place: place.clone(),
                        manifest,
                        segments,
                    });
                }
                // It may have been brought up to date between the two.
                Err(_) if Manifest::read(&place.dir).is_ok_and(|m| m.generation != manifest.generation) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy(place.root.clone()))
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Compares all of it with its checksums.
    ///
    /// # Errors
    /// [`Error::Corrupt`] at the first difference.
    pub fn verify(&self) -> Result<(), Error> {
        self.segments.iter().try_for_each(Segment::verify)
    }

    /// What is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn summary(&self) -> Result<Summary, Error> {
        let entries = self.entries()?;
        let mut summary = Summary {
            files: entries.len() as u64,
            text: entries.iter().map(|e| e.2.stamp.size).sum(),
            unsure: entries.iter().filter(|e| e.2.unsure).count() as u64,
            generation: self.manifest.generation,
            segments: self.segments.len(),
            trouble: self
                .manifest
                .trouble
                .iter()
                .map(|t| tree::below(&self.place.root, t))
                .collect(),
            ..Summary::default()
        };
        for segment in &self.segments {
            summary.size += segment
                .path()
                .metadata()
                .map_err(at(segment.path(), "cannot be looked at"))?
                .len();
        }
        Ok(summary)
    }

    /// All files that count, with the segment and the number they have there.
    pub(crate) fn entries(&self) -> Result<Vec<(usize, u32, Entry)>, Error> {
        let mut all = self.entries_in_segments(Wanted::ALWAYS)?;
        if self.segments.len() > 1 {
            all.sort_by(|a, b| tree::order(&a.2.path, &b.2.path));
        }
        Ok(all)
    }

    /// The same, in the order of the segments.
    pub(crate) fn entries_in_segments(&self, wanted: Wanted<'_>) -> Result<Vec<(usize, u32, Entry)>, Error> {
        let mut all = Vec::new();
        for (number, (segment, named)) in self.segments.iter().zip(&self.manifest.segments).enumerate() {
            let files = (0..)
                .zip(segment.files(wanted)?)
                .filter(|(id, _)| named.dead.binary_search(id).is_err());
            all.extend(files.map(|(id, entry)| (number, id, entry)));
        }
        Ok(all)
    }
}

/// Makes the index of a place, or brings it up to date: files are read that are new or not what they were, and those in
/// `changed`. An index that is damaged is made anew, and so is any with `anew`.
///
/// # Errors
/// [`Error::Busy`] while another process does the same; [`Error::Unsuitable`] when another file system begins in the tree.
pub fn update(place: &Place, changed: &HashSet<Vec<u8>>, anew: bool, stop: &Stop) -> Result<Summary, Error> {
    make_dir(&place.dir)?;
    let lock = lock(place)?;
    let root = &place.root;
    let about_root = root.metadata().map_err(at(root, "cannot be looked at"))?;
    // What there is stays in use until the new manifest takes its place.
    let before = Manifest::read(&place.dir).ok();
    let old = Index::open(place).and_then(|index| index.verify().map(|()| index));
    let old = old
        .ok()
        .filter(|old| !anew && (old.manifest.device, old.manifest.inode) == (about_root.dev(), about_root.ino()));
    remove_leftovers(&place.dir, before.as_ref());
    let scratch = Scratch::new(place.dir.join("runs"))?;

    let mut tree = tree::list(root, b"", about_root.dev(), place.own.as_deref())?;
    tree.trouble.extend(bad_rules(root, &tree));
    let trouble = std::mem::take(&mut tree.trouble);
    let (read, dead) = match &old {
        Some(old) => compare(old, tree, changed)?,
        None => (tree.files, Vec::new()),
    };
    let mut manifest = Manifest {
        format: FORMAT,
        root: root.as_os_str().as_bytes().to_vec(),
        device: about_root.dev(),
        inode: about_root.ino(),
        generation: before.map_or(1, |b| b.generation + 1),
        segments: old.as_ref().map(|o| o.manifest.segments.clone()).unwrap_or_default(),
        trouble,
        made: now(),
    };
    for (named, dead) in manifest.segments.iter_mut().zip(dead) {
        named.dead.extend(dead);
        named.dead.sort_unstable();
        named.dead.dedup();
    }
    let mut inputs = build::index(root, &read, &scratch.0, stop)?;
    if old.is_none() || !inputs.is_empty() {
        if let Some(old) = &old
            && is_scattered(old, &manifest)
        {
            inputs.extend(segments_as_inputs(old, &manifest)?);
            manifest.segments.clear();
        }
        let name = format!("segment-{}", manifest.generation);
        merge(inputs, &place.dir.join(&name))?;
        manifest.segments.push(Named { name, dead: Vec::new() });
    }
    manifest.write(&place.dir)?;
    drop(scratch);
    remove_leftovers(&place.dir, Some(&manifest));
    drop(lock);
    let mut summary = Index::open(place)?.summary()?;
    summary.read = read.len() as u64;
    Ok(summary)
}

/// Makes the directory of an index, which only its owner may enter.
fn make_dir(dir: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(at(dir, "cannot be made"))?;
    let about = fs::symlink_metadata(dir).map_err(at(dir, "cannot be looked at"))?;
    if !about.is_dir() || about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o077 != 0 {
        return Err(Error::unsuitable(
            dir,
            "it is not a directory that only its owner may enter",
        ));
    }
    Ok(())
}

fn lock(place: &Place) -> Result<File, Error> {
    let path = place.dir.join("lock");
    let file = File::create(&path).map_err(at(&path, "cannot be made"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy(place.root.clone())),
        Err(error) => Err(at(&path, "cannot be locked")(error)),
    }
}

/// Removes what an update left behind that was ended, and segments that do not count any more.
fn remove_leftovers(dir: &Path, manifest: Option<&Manifest>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name
            .to_str()
            .filter(|n| n.starts_with("segment-") || *n == "manifest.new")
        else {
            continue;
        };
        if !manifest.is_some_and(|m| m.segments.iter().any(|s| s.name == name)) {
            // What stays takes space and nothing else.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The directories with rules that are not understood.
fn bad_rules(root: &Path, tree: &Tree) -> Vec<Vec<u8>> {
    let rules = tree
        .files
        .iter()
        .map(|(path, _)| path)
        .filter(|path| tree::has_rules(path));
    let bad = rules.filter(|path| tree::has_bad_rules(&tree::below(root, path)));
    bad.map(|path| tree::parent(path.strip_suffix(b"/.git/info/exclude").unwrap_or(path)).to_vec())
        .collect()
}

type Files = Vec<(Vec<u8>, Stamp)>;

/// Which files have to be read, and which numbers do not count any more, for each segment.
fn compare(old: &Index, tree: Tree, changed: &HashSet<Vec<u8>>) -> Result<(Files, Vec<Vec<u32>>), Error> {
    let entries = old.entries()?;
    let known: HashMap<&[u8], &(usize, u32, Entry)> = entries.iter().map(|e| (&e.2.path[..], e)).collect();
    let mut alive = HashSet::new();
    let mut read = tree.files;
    read.retain(|(path, stamp)| match known.get(&path[..]) {
        Some((segment, id, entry)) if entry.stamp == *stamp && !entry.unsure && !changed.contains(path) => {
            alive.insert((*segment, *id));
            false
        }
        _ => true,
    });
    let mut dead = vec![Vec::new(); old.segments.len()];
    for (segment, id, _) in &entries {
        if !alive.contains(&(*segment, *id)) {
            dead[*segment].push(*id);
        }
    }
    Ok((read, dead))
}

/// Whether there are so many segments, or so much in them that does not count, that they should become one.
fn is_scattered(old: &Index, manifest: &Manifest) -> bool {
    let dead: usize = manifest.segments.iter().map(|s| s.dead.len()).sum();
    let files: usize = old.segments.iter().map(|s| s.contents.files as usize).sum();
    manifest.segments.len() >= MOST_SEGMENTS || dead * 5 > files
}

fn segments_as_inputs(old: &Index, manifest: &Manifest) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    for (segment, named) in old.segments.iter().zip(&manifest.segments) {
        let mut opaque = Vec::new();
        segment.opaque(|b| opaque.push(b))?;
        let files = (0..).zip(segment.files(Wanted::ALWAYS)?);
        inputs.push(Input {
            files: files
                .map(|(id, f)| (f, named.dead.binary_search(&id).is_err()))
                .collect(),
            sources: vec![Box::new(Lists::new(Segment::open(segment.path())?)?)],
            opaque,
        });
    }
    Ok(inputs)
}
