//! The law of the index for the search as one types: with it a query finds what it finds without it, whatever the tree, what
//! happens to it and the query.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use proptest::{prelude::*, sample::select, test_runner::TestCaseError};
use qd_search_index::{Home, Manners, Place, update, watch, watching};
use qd_search_live::{
    Candidates, Case, Entry, Files, Generations, Progress, Query, Results, Source, Token, TreeIndex, run,
};

const WORDS: &[&str] = &[
    "anchor",
    "Anchor",
    "ANCHOR",
    "rope",
    "straße",
    "STRASSE",
    "\u{212A}not",
    "knot",
    "tide_table",
    "a.b",
    "=>",
    "ſail",
    "sail",
];
const NAMES: &[&str] = &["a.rs", "b.c", ".dot", "notes.txt", "F.TXT", "g h.md", "skip.log", "ö.c"];
const DIRS: &[&str] = &["", "hold", "hold/aft", "deck", ".locker", "deck/.git", "skip"];
const RULES: &[&str] = &[
    "*.log",
    "skip/",
    "!a.rs",
    "/deck/*.c",
    "*.TXT",
    "hold/**",
    "!.dot",
    "# none",
    "**/aft",
];
/// A rule that is none.
const BAD: &str = "a[";
const TEXTS: &[&str] = &[
    "anchor",
    "ANCHOR",
    "Anchor",
    "knot",
    "strasse",
    "straße",
    "tide_table",
    "a.b",
    "sail",
    "an",
    "x",
    "nowhere at all",
    "rope anchor",
    r"anch\w+",
    "anchor|rope",
    r"a.b\b",
    "^anchor",
    "rope$",
    r"\w+",
    "(tide|rope)[_ ].",
    "n[oö]t",
    "wide rope",
    "past the nul",
];

/// What stands in a file: lines of words, by their numbers, and how it is written.
#[derive(Debug, Clone)]
struct Body {
    lines: Vec<Vec<usize>>,
    form: u8,
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for line in &self.lines {
            for word in line {
                // Words are rare, so that there is something to leave out.
                match WORDS.get(*word) {
                    Some(w) => text.push_str(w),
                    None => text.push_str(&format!("w{word:x}")),
                }
                text.push(' ');
            }
            text.push('\n');
        }
        match self.form {
            0 => format!("\u{FEFF}wide rope {text}")
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
            1 => [text.as_bytes(), b"\0past the nul rope\n"].concat(),
            2 => text.replace('\n', "\r\n").into_bytes(),
            3 => [text.trim_end().as_bytes(), b"\xFF\xFErope"].concat(),
            _ => text.into_bytes(),
        }
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Write(PathBuf, Body),
    /// The same size and the same modification time.
    Reverse(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf),
    Rules(PathBuf, &'static str),
    Lock(PathBuf),
}

fn body() -> impl Strategy<Value = Body> {
    let word = prop_oneof![1 => 0..WORDS.len(), 12 => 100..4000_usize];
    let lines = prop::collection::vec(prop::collection::vec(word, 0..6), 0..8);
    (lines, 0..12_u8).prop_map(|(lines, form)| Body { lines, form })
}

fn path() -> impl Strategy<Value = PathBuf> {
    (select(DIRS), 0..30_u8, select(NAMES)).prop_map(|(dir, number, name)| match number {
        0..10 => Path::new(dir).join(name),
        _ => Path::new(dir).join(format!("{number}{name}")),
    })
}

fn rules() -> impl Strategy<Value = (PathBuf, &'static str)> {
    let file = select(&[".ignore", ".gitignore"][..]);
    (select(DIRS), file, select(RULES)).prop_map(|(dir, file, rule)| (Path::new(dir).join(file), rule))
}

fn edit() -> impl Strategy<Value = Edit> {
    let dir = || {
        select(DIRS)
            .prop_filter("not the root", |d| !d.is_empty())
            .prop_map(PathBuf::from)
    };
    prop_oneof![
        4 => (path(), body()).prop_map(|(p, b)| Edit::Write(p, b)),
        2 => path().prop_map(Edit::Reverse),
        2 => path().prop_map(Edit::Remove),
        1 => dir().prop_map(Edit::Remove),
        2 => (path(), path()).prop_map(|(a, b)| Edit::Rename(a, b)),
        1 => (dir(), dir()).prop_map(|(a, b)| Edit::Rename(a, b)),
        1 => dir().prop_map(Edit::Link),
        2 => rules().prop_map(|(p, r)| Edit::Rules(p, r)),
        1 => rules().prop_map(|(p, _)| Edit::Rules(p, BAD)),
        1 => path().prop_map(Edit::Lock),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let case = select(&[Case::Smart, Case::Insensitive, Case::Sensitive][..]);
    let globs = select(&["", "", "", "*.rs", "!*.c", "hold/** *.txt", "!.dot"][..]);
    let types = select(&["", "", "", "rust", "!c", "txt"][..]);
    let flags = (any::<bool>(), prop::bool::weighted(0.2), any::<bool>());
    (select(TEXTS), case, globs, types, flags).prop_map(|(text, case, globs, types, (regex, word, hidden))| Query {
        text: text.to_owned(),
        regex,
        word,
        case,
        hidden,
        globs: globs.to_owned(),
        types: types.to_owned(),
    })
}

/// Writes a file, with its directories, where no directory is in its place.
fn write(path: &Path, bytes: &[u8]) {
    if fs::create_dir_all(path.parent().unwrap()).is_ok() {
        let _ = fs::write(path, bytes);
    }
}

impl Edit {
    /// What cannot be done is not done.
    fn make(&self, root: &Path) {
        match self {
            Self::Write(p, b) => write(&root.join(p), &b.bytes()),
            Self::Reverse(p) => {
                let path = root.join(p);
                let (Ok(mut bytes), Ok(about)) = (fs::read(&path), path.metadata()) else {
                    return;
                };
                bytes.reverse();
                let _ = fs::write(&path, bytes);
                if let Ok(f) = fs::File::options().write(true).open(&path) {
                    f.set_modified(about.modified().unwrap()).unwrap();
                }
            }
            Self::Remove(p) => {
                let path = root.join(p);
                let _ = fs::remove_file(&path);
                let _ = fs::remove_dir_all(&path);
            }
            Self::Rename(a, b) => {
                let _ = fs::rename(root.join(a), root.join(b));
            }
            Self::Link(p) => {
                Self::Remove(p.clone()).make(root);
                let _ = std::os::unix::fs::symlink(root, root.join(p));
            }
            Self::Rules(p, rule) => write(&root.join(p), format!("{rule}\n").as_bytes()),
            Self::Lock(p) => {
                let _ = fs::set_permissions(root.join(p), fs::Permissions::from_mode(0o0));
            }
        }
    }
}

/// The newest time of a change in a tree.
fn newest(dir: &Path) -> SystemTime {
    let about = dir.symlink_metadata().unwrap();
    let own = SystemTime::UNIX_EPOCH + Duration::new(about.ctime() as u64, about.ctime_nsec() as u32);
    if !about.is_dir() {
        return own;
    }
    let entries = fs::read_dir(dir).unwrap().map(|e| newest(&e.unwrap().path()));
    entries.fold(own, std::cmp::Ord::max)
}

/// An index, and how often it spoke and how often not.
struct Counted {
    index: TreeIndex,
    spoke: AtomicUsize,
    asked: AtomicUsize,
}

impl Counted {
    fn new(home: &Home, root: &Path) -> Arc<Self> {
        Arc::new(Self {
            index: TreeIndex::new(home.clone(), root),
            spoke: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Candidates for Counted {
    fn candidates(&self, query: &Query, token: &Token) -> Option<Vec<Vec<u8>>> {
        let files = self.index.candidates(query, token);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.spoke.fetch_add(usize::from(files.is_some()), Ordering::Relaxed);
        files
    }
}

type Lines = Vec<(u64, u64, u64, u32)>;
type Finds = (BTreeSet<(Vec<u8>, Lines)>, BTreeSet<(String, String)>);

/// Everything that a query finds, and what it tells.
fn finds(files: Files, query: &Query) -> Finds {
    let (results, progress) = (Results::default(), Progress::default());
    let token = Generations::default().begin();
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(files)];
    run::search(
        &query.compile().unwrap(),
        &sources,
        None,
        &token,
        &results,
        &progress,
        &|| {},
    );
    results.settle();
    let line = |e: &Entry| (e.line, e.offset, e.column, e.matches);
    let groups = results.groups(0, results.listed());
    let found = groups.iter().map(|g| {
        let entries = results.entries(g.id, 0, g.lines as usize);
        (g.name.clone(), entries.iter().map(line).collect())
    });
    let faults = progress.faults().into_iter().map(|f| (f.what, f.why));
    (found.collect(), faults.collect())
}

/// A tree with an index that is removed with it.
struct Bench {
    dir: tempfile::TempDir,
    home: Home,
}

impl Bench {
    fn new(files: &[(PathBuf, Body)], rules: &[(PathBuf, &'static str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("indexes"));
        let bench = Self { dir, home };
        for (path, body) in files {
            write(&bench.root().join(path), &body.bytes());
        }
        for (path, rule) in rules {
            write(&bench.root().join(path), format!("{rule}\n").as_bytes());
        }
        bench
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn place(&self) -> Place {
        self.home.place(&self.root()).unwrap()
    }

    /// Makes the index when nothing is so new that it may change unseen.
    fn build(&self) {
        let newest = newest(&self.root());
        while newest.elapsed().is_ok_and(|e| e < Duration::from_millis(2050)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        update(&self.place(), &HashSet::new(), false, &AtomicBool::new(false)).unwrap();
    }

    /// Compares all queries with the index and without, over the tree and over a directory in it; how often the index spoke.
    fn compare(&self, queries: &[Query], when: &str) -> Result<usize, TestCaseError> {
        let mut spoke = 0;
        for root in [self.root(), self.root().join("hold")] {
            let index = Counted::new(&self.home, &root);
            for query in queries {
                let with = finds(Files::new(&root).with_index(index.clone()), query);
                let without = finds(Files::new(&root), query);
                prop_assert_eq!(with, without, "{}: {:?} below {}", when, query, root.display());
            }
            prop_assert_eq!(index.asked.load(Ordering::Relaxed), queries.len());
            spoke += index.spoke.load(Ordering::Relaxed);
        }
        Ok(spoke)
    }

    /// Does this while a watcher answers.
    fn watched<T>(&self, then: impl FnOnce() -> T) -> T {
        let place = self.place();
        let watcher = std::thread::spawn({
            let place = place.clone();
            move || watch(&place, Manners::default())
        });
        let end = Instant::now() + Duration::from_secs(60);
        while watching(&place).is_none_or(|w| w.behind.is_some()) {
            assert!(
                Instant::now() < end && !watcher.is_finished(),
                "the watcher does not answer"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let result = then();
        qd_search_index::end_watch(&place);
        watcher.join().unwrap().unwrap();
        result
    }

    /// Changes a byte in all files of the index.
    fn damage(&self, at: usize) {
        for entry in fs::read_dir(self.place().dir()).unwrap() {
            let path = entry.unwrap().path();
            let Ok(mut bytes) = fs::read(&path) else { continue };
            let n = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at % n) {
                *byte ^= 0x20;
            }
            fs::write(&path, bytes).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn with_the_index_the_same_is_found(
        files in prop::collection::vec((path(), body()), 260..320),
        rules in prop::collection::vec(rules(), 0..3),
        gusts in prop::collection::vec(prop::collection::vec(edit(), 1..12), 3),
        queries in prop::collection::vec(query(), 40),
        at in any::<usize>(),
    ) {
        let bench = Bench::new(&files, &rules);
        prop_assert_eq!(bench.compare(&queries, "without an index")?, 0);
        bench.build();
        prop_assert!(bench.compare(&queries, "as it was indexed")? > 0, "the index is of no use");
        for edit in &gusts[0] {
            edit.make(&bench.root());
        }
        bench.compare(&queries, "edited, with nobody watching")?;
        bench.watched(|| {
            for gust in &gusts[1..] {
                for edit in gust {
                    edit.make(&bench.root());
                }
                bench.compare(&queries, "edited and watched")?;
            }
            Ok::<_, TestCaseError>(())
        })?;
        bench.damage(at);
        bench.compare(&queries, "with a damaged index")?;
    }
}

/// Enough files for an index to speak.
fn some_files() -> Vec<(PathBuf, Body)> {
    let body = |n: usize| Body {
        lines: vec![vec![if n == 77 { 0 } else { 1000 + n }]],
        form: 9,
    };
    (0..200)
        .map(|n| (PathBuf::from(format!("f{n}.txt")), body(n)))
        .collect()
}

fn q(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        ..Query::default()
    }
}

#[test]
fn only_what_can_match_is_read_and_a_query_that_is_over_gets_no_answer() {
    let bench = Bench::new(&some_files(), &[]);
    bench.build();
    let index = TreeIndex::new(bench.home.clone(), bench.root());
    let all = Generations::default();
    let token = all.begin();
    let candidates = || index.candidates(&q("anchor"), &token);
    assert_eq!(candidates(), Some(vec![b"f77.txt".to_vec()]));
    assert_eq!(bench.watched(candidates), Some(vec![b"f77.txt".to_vec()]));
    all.cancel();
    assert_eq!(candidates(), None);
    let (results, progress) = (Results::default(), Progress::default());
    let token = all.begin();
    let files: Arc<dyn Source> = Arc::new(Files::new(bench.root()).with_index(Arc::new(index)));
    let compiled = q("anchor").compile().unwrap();
    run::search(&compiled, &[files], None, &token, &results, &progress, &|| {});
    assert_eq!(results.totals().matches, 1);
    assert_eq!(progress.files.load(Ordering::Relaxed), 1);
}

#[test]
fn a_line_that_is_too_long_is_told_with_the_index_too() {
    let bench = Bench::new(&some_files(), &[]);
    fs::write(bench.root().join("long"), b"ab".repeat(9 << 20)).unwrap();
    bench.build();
    let index = Counted::new(&bench.home, &bench.root());
    let (found, faults) = finds(Files::new(bench.root()).with_index(index.clone()), &q("anchor"));
    assert_eq!(index.spoke.load(Ordering::Relaxed), 1);
    assert_eq!(found.len(), 1);
    assert_eq!(
        faults.into_iter().map(|f| f.0).collect::<Vec<_>>(),
        ["long"],
        "the line is longer than is searched"
    );
}
