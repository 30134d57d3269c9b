//! The law of the index: with it a search says what it says without it, whatever the tree, what happens to it, the flags and
//! the pattern. Also when the index is damaged, and when its building was ended.
//!
//! `QD_INDEX_ROUNDS` says how many trees (4), `QD_INDEX_SEED` where to begin.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// A small generator of numbers (SplitMix64), so that a seed says everything about a round.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const WORDS: &[&str] = &[
    "needle",
    "Needle",
    "NEEDLE",
    "haystack",
    "use-after-free",
    "naïve",
    "straße",
    "STRASSE",
    "\u{212A}elvin",
    "kelvin",
    "ſtop",
    "stop",
    "foo_bar",
    "a.b",
    "0x1f",
    "x",
    "to",
    "return 0;",
    "λόγος",
    "=>",
];
const NAMES: &[&str] = &[
    "a.rs",
    "b.c",
    "c.py",
    "Makefile",
    ".hidden",
    "d.txt",
    "e.md",
    "F.TXT",
    "long name.c",
    "g.h",
    "ä.txt",
    "h.log",
    "i.o",
];
const DIRS: &[&str] = &[
    "src",
    "lib",
    "tests",
    "target",
    ".config",
    "deep",
    "B",
    "a",
    "node_modules",
    ".git",
];
const RULES: &[&str] = &[
    "*.log",
    "!*.py",
    "/src",
    "target/",
    "*.txt",
    "!F.TXT",
    "deep/**",
    "# none",
    "a*",
    "!.hidden",
    "node_modules",
    "/lib/*.c",
];
const PATTERNS: &[&str] = &[
    "needle",
    "NEEDLE",
    "use-after-free",
    "foo_bar|haystack",
    "needle.*haystack",
    r"\bkelvin\b",
    "straße",
    "stop",
    r"ret[a-z]+ \d",
    "n[aï]+ve",
    "(needle|stop)+",
    "0x[0-9a-f]{2}",
    "nothing at all",
    "^needle",
    "haystack$",
    "λόγ",
    r"foo.bar\s",
    r"needle\s+x",
    "(?i)KELVIN",
    "(use|after)-(after|free)",
    "",
    "x",
    r"\w+",
    "NUL",
    "wide needle",
];
const FLAGS: &[&str] = &[
    "-i",
    "-S",
    "-w",
    "-x",
    "-F",
    "-v",
    "-c",
    "-l",
    "-o",
    "-n",
    "-b",
    "-U",
    "-a",
    "-q",
    "-.",
    "-u",
    "-uu",
    "-uuu",
    "-C1",
    "-m1",
    "-tc",
    "-Trust",
    "-g*.c",
    "-g!*.h",
    "-gsrc/**",
    "--iglob=*.TXT",
    "--hidden",
    "--no-ignore",
    "--no-ignore-vcs",
    "--no-ignore-dot",
    "--no-ignore-parent",
    "--no-require-git",
    "--max-depth=2",
    "--max-filesize=300",
    "--binary",
    "--null-data",
    "--crlf",
    "--count-matches",
    "--include-zero",
    "--files-without-match",
    "--passthru",
    "--json",
    "--vimgrep",
    "--heading",
    "--column",
    "--no-unicode",
    "--multiline-dotall",
    "--stop-on-nonmatch",
    "--mmap",
    "--one-file-system",
    "--follow",
    "-P",
    "--encoding=utf-16le",
    "--ignore-file=rules",
    "--ignore-file-case-insensitive",
    "--sort=modified",
    "-j1",
    "-j3",
];

struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new(dice: &mut Dice) -> Tree {
        let tree = Tree {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(tree.root()).unwrap();
        fs::write(tree.root().join("rules"), "*.md\n").unwrap();
        for _ in 0..120 {
            let path = tree.some_path(dice);
            write(&path, &text(dice));
        }
        for name in [".gitignore", ".ignore", ".rgignore"] {
            for _ in 0..2 {
                if dice.one_in(2) {
                    let rules: String = (0..dice.below(4)).map(|_| format!("{}\n", dice.pick(RULES))).collect();
                    write(&tree.some_dir(dice).join(name), rules.as_bytes());
                }
            }
        }
        if dice.one_in(2) {
            fs::create_dir_all(tree.root().join(".git/info")).unwrap();
            write(
                &tree.root().join(".git/info/exclude"),
                format!("{}\n", dice.pick(RULES)).as_bytes(),
            );
        }
        let _ = std::os::unix::fs::symlink("src", tree.root().join("link"));
        let _ = std::os::unix::fs::symlink("rules", tree.root().join("link.c"));
        tree
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn some_dir(&self, dice: &mut Dice) -> PathBuf {
        let mut dir = self.root();
        for _ in 0..dice.below(4) {
            dir.push(dice.pick(DIRS));
        }
        dir
    }

    fn some_path(&self, dice: &mut Dice) -> PathBuf {
        let name = if dice.one_in(3) {
            format!("{}{}", dice.below(100), dice.pick(NAMES))
        } else {
            dice.pick(NAMES).to_owned()
        };
        self.some_dir(dice).join(name)
    }

    /// All files and directories that are there.
    fn all(&self) -> BTreeMap<PathBuf, fs::Metadata> {
        let (mut all, mut waiting) = (BTreeMap::new(), vec![self.root()]);
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let about = path.symlink_metadata().unwrap();
                if about.is_dir() {
                    waiting.push(path.clone());
                }
                all.insert(path, about);
            }
        }
        all
    }

    /// Waits until nothing here is so new that it may change unseen.
    fn settle(&self) {
        let newest = self.all().values().map(|m| (m.ctime(), m.ctime_nsec())).max().unwrap();
        let newest = SystemTime::UNIX_EPOCH + Duration::new(newest.0 as u64, newest.1 as u32);
        while newest.elapsed().is_ok_and(|e| e < Duration::from_millis(2050)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn edit(&self, dice: &mut Dice) {
        let all: Vec<(PathBuf, bool)> = self.all().into_iter().map(|(p, m)| (p, m.is_dir())).collect();
        let (some, is_dir) = all[dice.below(all.len())].clone();
        let gone = |path: &Path| {
            if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            }
        };
        // What cannot be done is not done: a name may be taken by a directory.
        let _ = match dice.below(9) {
            0 => gone(&some),
            1 => fs::rename(&some, self.some_path(dice)),
            2 if is_dir => fs::rename(&some, self.some_dir(dice)),
            3 if is_dir => {
                // Another directory takes its place.
                let aside = self.dir.path().join("aside");
                let _ = fs::remove_dir_all(&aside);
                fs::rename(&some, &aside)
                    .and_then(|()| fs::create_dir(&some))
                    .map(|()| write(&some.join("new.c"), &text(dice)))
            }
            4 if is_dir => gone(&some).and_then(|()| std::os::unix::fs::symlink(self.root(), &some)),
            5 => {
                // The same size and the same modification time.
                let (Ok(mut bytes), Ok(about)) = (fs::read(&some), some.metadata()) else {
                    return;
                };
                bytes.reverse();
                fs::write(&some, &bytes)
                    .and_then(|()| fs::File::options().write(true).open(&some))
                    .and_then(|f| f.set_modified(about.modified().unwrap()))
            }
            6 => {
                let rules = [".gitignore", ".ignore", ".rgignore"];
                write(
                    &self.some_dir(dice).join(dice.pick(&rules)),
                    format!("{}\n", dice.pick(RULES)).as_bytes(),
                );
                Ok(())
            }
            _ => {
                write(&self.some_path(dice), &text(dice));
                Ok(())
            }
        };
    }
}

/// Writes a file, with its directories, if there is no directory in its place.
fn write(path: &Path, bytes: &[u8]) {
    if fs::create_dir_all(path.parent().unwrap()).is_ok() {
        let _ = fs::write(path, bytes);
    }
}

fn text(dice: &mut Dice) -> Vec<u8> {
    let mut text = Vec::new();
    let lines = if dice.one_in(12) { 3000 } else { dice.below(12) };
    let common = dice.one_in(6);
    for _ in 0..lines {
        for _ in 0..dice.below(6) {
            // Words are rare in most files, so that an index has something to leave out.
            if common || dice.one_in(40) {
                text.extend(dice.pick(WORDS).bytes());
            } else {
                text.extend(format!("w{:x}", dice.next() & 0xFFF).bytes());
            }
            text.push(b' ');
        }
        if dice.one_in(60) {
            text.extend(b"\0NUL");
        }
        text.extend(if dice.one_in(9) { &b"\r\n"[..] } else { b"\n" });
    }
    match dice.below(14) {
        0 => {
            let wide = format!("\u{FEFF}wide needle {}\n", String::from_utf8_lossy(&text));
            wide.encode_utf16().flat_map(u16::to_le_bytes).collect()
        }
        1 => [b"\xEF\xBB\xBF", &text[..]].concat(),
        2 => text.iter().map(|b| if *b == b'\n' { b';' } else { *b }).collect(),
        3 => [&text[..], &[0xFF, 0xFE, b'n', b'e', b'e', b'd', b'l', b'e']].concat(),
        _ => text,
    }
}

fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("examples/search")
}

struct Bench<'a> {
    tree: &'a Tree,
    state: PathBuf,
}

impl Bench<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.tree.root())
            .env("XDG_STATE_HOME", &self.state)
            .env("HOME", self.tree.dir.path())
            .env_remove("RIPGREP_CONFIG_PATH")
            .stdin(Stdio::null());
        command
    }

    fn index(&self, arguments: &[&str]) -> Output {
        self.command().arg("index").args(arguments).output().unwrap()
    }

    fn build(&self, arguments: &[&str]) {
        let output = self.index(&[&["build"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn search(&self, arguments: &[String], index: bool) -> Output {
        let mut command = self.command();
        command.args(arguments);
        if !index {
            command.arg("--no-index");
        }
        command.output().unwrap()
    }

    /// Compares a search with the index and without.
    fn compare(&self, arguments: &[String], context: &str) {
        let with = self.search(arguments, true);
        let without = self.search(arguments, false);
        // Times and the order of unsorted results are not the same in two runs of anything.
        let is_sorted = arguments.iter().any(|a| a == "--sort=path");
        let lines = |output: &Output| {
            let mut lines: Vec<Vec<u8>> = output.stdout.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            lines.retain(|line| !line.starts_with(b"{\"data\":{\"elapsed"));
            lines.iter_mut().for_each(|line| {
                if let Some(at) = find(line, b"\"elapsed\"") {
                    line.truncate(at);
                }
            });
            if !is_sorted {
                lines.sort();
            }
            lines
        };
        let show = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            lines(&with) == lines(&without),
            "{context}: {arguments:?}\nwith:\n{}\nwithout:\n{}\n{}",
            show(&with),
            show(&without),
            self.debug(arguments)
        );
        assert_eq!(with.status.code(), without.status.code(), "{context}: {arguments:?}");
        // A search that ends with its first match may end before it comes to what it would complain of.
        let ends_early = arguments.iter().any(|a| a == "-q");
        assert!(
            ends_early || with.stderr.is_empty() == without.stderr.is_empty(),
            "{context}: {arguments:?}: {}{}",
            String::from_utf8_lossy(&with.stderr),
            String::from_utf8_lossy(&without.stderr)
        );
    }

    fn debug(&self, arguments: &[String]) -> String {
        let output = self.command().args(arguments).arg("--debug").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let about: Vec<&str> = said.lines().filter(|l| l.contains("narrow")).collect();
        about.join("\n")
    }

    fn is_used(&self, arguments: &[String]) -> bool {
        self.debug(arguments).contains("the index leaves")
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.index(&["drop"]);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn query(dice: &mut Dice, tree: &Tree) -> Vec<String> {
    let mut arguments = Vec::new();
    for _ in 0..dice.below(4) {
        arguments.push(dice.pick(FLAGS).to_owned());
    }
    // Where lines do not end with line feeds they cannot be told apart, and what stands between files depends on their order.
    if dice.one_in(2) || arguments.iter().any(|a| a == "--null-data" || a == "--heading") {
        arguments.push("--sort=path".to_owned());
    }
    arguments.push("-e".to_owned());
    arguments.push(dice.pick(PATTERNS).to_owned());
    if dice.one_in(8) {
        arguments.push("-e".to_owned());
        arguments.push(dice.pick(PATTERNS).to_owned());
    }
    for _ in 0..dice.below(3) {
        let dir = tree.some_dir(dice);
        let path = match dice.below(5) {
            0 => "./".to_owned(),
            1 => dir.to_str().unwrap().to_owned(),
            2 => "link".to_owned(),
            3 => "rules".to_owned(),
            _ => tree.root().to_str().unwrap().to_owned(),
        };
        arguments.push(path);
    }
    arguments
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn with_the_index_a_search_says_what_it_says_without() {
    let seed = number("QD_INDEX_SEED", 1);
    let mut used = 0;
    for round in 0..number("QD_INDEX_ROUNDS", 4) {
        let mut dice = Dice(seed + round);
        let tree = Tree::new(&mut dice);
        let bench = Bench {
            tree: &tree,
            state: tree.dir.path().join("state"),
        };
        let watched = round % 2 == 0;
        let flags: &[&str] = if watched { &[] } else { &["--no-watch"] };
        tree.settle();
        bench.build(flags);
        for step in 0..6 {
            for number in 0..20 {
                let context = format!(
                    "round {}, watched: {watched}, step {step}, query {number}",
                    seed + round
                );
                let arguments = query(&mut dice, &tree);
                bench.compare(&arguments, &context);
                used += u32::from(number < 4 && bench.is_used(&arguments));
            }
            for _ in 0..1 + dice.below(12) {
                tree.edit(&mut dice);
            }
            if step == 3 {
                bench.build(flags);
            }
        }
        let audit = bench.index(&["audit"]);
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }
    assert!(used > 0, "no search was narrowed");
}

#[test]
fn what_is_searched_is_less_than_everything() {
    let mut dice = Dice(77);
    let tree = Tree::new(&mut dice);
    for number in 0..100 {
        fs::write(tree.root().join(format!("plain{number}")), "nothing of note\n").unwrap();
    }
    fs::write(tree.root().join("one"), "there is a unicorn here\n").unwrap();
    let bench = Bench {
        tree: &tree,
        state: tree.dir.path().join("state"),
    };
    tree.settle();
    bench.build(&["--no-watch"]);
    let arguments = ["unicorn".to_owned()];
    assert!(
        bench.debug(&arguments).contains("the index leaves 1 files"),
        "{}",
        bench.debug(&arguments)
    );
    // What nobody watched is found by its times.
    fs::write(tree.root().join("two"), "there is a second unicorn here\n").unwrap();
    assert!(
        bench.debug(&arguments).contains("the index leaves 2 files"),
        "{}",
        bench.debug(&arguments)
    );
    bench.compare(&arguments, "two");
    // Nothing is left of such a search, and it says nothing.
    bench.compare(&["--max-filesize=20K".to_owned(), "dragons".to_owned()], "none");
    bench.compare(&["-tcsv".to_owned(), "unicorn".to_owned()], "no file of that type");
    bench.compare(&["-g*.none".to_owned(), "unicorn".to_owned()], "no file of that name");
    for bypass in [
        "-v",
        "--no-index",
        "--files-without-match",
        "-P",
        "-z",
        "--stats",
        "--passthru",
    ] {
        assert!(!bench.is_used(&[bypass.to_owned(), "unicorn".to_owned()]), "{bypass}");
    }
}

/// The only directory of an index below a state directory.
fn index_dir(state: &Path) -> PathBuf {
    let home = state.join("quarterdeck/index");
    fs::read_dir(home).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_damaged_index_is_noticed_not_used_and_made_anew() {
    let mut dice = Dice(5);
    let tree = Tree::new(&mut dice);
    let bench = Bench {
        tree: &tree,
        state: tree.dir.path().join("state"),
    };
    tree.settle();
    bench.build(&["--no-watch"]);
    let dir = index_dir(&bench.state);
    let arguments = |pattern: &str| vec!["--sort=path".to_owned(), "-e".to_owned(), pattern.to_owned()];
    for name in ["segment-1", "manifest"] {
        let path = dir.join(name);
        let whole = fs::read(&path).unwrap();
        for place in (0..40).map(|n| n * (whole.len() - 1) / 39) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            bench.compare(&arguments("needle"), "damaged");
            assert_eq!(
                bench.index(&["status", "."]).status.code(),
                Some(2),
                "{name}, byte {place}"
            );
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        bench.compare(&arguments("haystack"), "cut");
        assert_eq!(bench.index(&["status", "."]).status.code(), Some(2));
        bench.build(&["--no-watch"]);
        assert_eq!(bench.index(&["status", "."]).status.code(), Some(0));
        bench.compare(&arguments("needle"), "made anew");
        fs::write(&path, "").ok();
        bench.build(&["--no-watch", "--anew"]);
    }
    fs::remove_file(dir.join("segment-1")).unwrap();
    bench.compare(&arguments("needle"), "a segment is gone");
}

#[test]
fn a_build_that_is_killed_leaves_nothing_that_is_used() {
    let mut dice = Dice(9);
    let tree = Tree::new(&mut dice);
    for number in 0..400 {
        let lines: String = (0..2000)
            .map(|_| format!("{:x} {:x}\n", dice.next(), dice.next()))
            .collect();
        fs::write(tree.root().join(format!("noise{number}")), lines).unwrap();
    }
    let bench = Bench {
        tree: &tree,
        state: tree.dir.path().join("state"),
    };
    tree.settle();
    let arguments = ["--sort=path".to_owned(), "needle|abcdef".to_owned()];
    let started = Instant::now();
    bench.build(&["--no-watch"]);
    let whole = started.elapsed();
    for step in 0..12_u32 {
        let mut child = bench
            .command()
            .args(["index", "build", "--anew", "--no-watch"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + whole * step / 11;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        bench.compare(&arguments, "killed");
        let status = bench.index(&["status", "."]);
        let said = String::from_utf8_lossy(&status.stdout);
        assert_eq!(status.status.code(), Some(0), "step {step}: {said}");
        if step % 4 == 0 {
            fs::write(tree.root().join(format!("new{step}")), "a needle\n").unwrap();
            bench.build(&["--no-watch"]);
            bench.compare(&arguments, "built after that");
        }
    }
    bench.build(&["--no-watch"]);
    let left: Vec<_> = fs::read_dir(index_dir(&bench.state))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let segments = left.iter().filter(|n| n.as_bytes().starts_with(b"segment-")).count();
    let most = bench.index(&["status", "."]);
    let status = String::from_utf8_lossy(&most.stdout).into_owned();
    assert!(status.contains(&format!("in {segments} segment")), "{status}{left:?}");
    assert!(!left.iter().any(|n| n == "runs" || n == "manifest.new"), "{left:?}");
}

#[test]
fn the_watcher_knows_at_once_and_brings_the_index_up_to_date() {
    let mut dice = Dice(3);
    let tree = Tree::new(&mut dice);
    let bench = Bench {
        tree: &tree,
        state: tree.dir.path().join("state"),
    };
    tree.settle();
    bench.build(&[]);
    let arguments = ["--sort=path".to_owned(), "-uu".to_owned(), "unicorn".to_owned()];
    let found = || String::from_utf8(bench.search(&arguments, true).stdout).unwrap();
    for number in 0..30 {
        let path = tree.root().join(format!("new{number}/deep/er"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), format!("unicorn {number}\n")).unwrap();
        assert!(found().contains(&format!("unicorn {number}\n")));
        fs::rename(
            tree.root().join(format!("new{number}")),
            tree.root().join(format!("old{number}")),
        )
        .unwrap();
        let now = found();
        assert!(
            now.contains(&format!("old{number}/deep/er/file:unicorn {number}\n")) && !now.contains("new"),
            "{now}"
        );
    }
    bench.compare(&arguments, "renamed");
    // So many that the watcher brings the index up to date by itself.
    for number in 0..600 {
        fs::write(
            tree.root().join(format!("many{number}")),
            format!("unicorn herd {number}\n"),
        )
        .unwrap();
    }
    bench.compare(&arguments, "many");
    let until = Instant::now() + Duration::from_secs(60);
    while !String::from_utf8(bench.index(&["status", "."]).stdout)
        .unwrap()
        .contains("in 2 segments")
    {
        assert!(Instant::now() < until, "the index is not brought up to date");
        bench.compare(&arguments, "while it is brought up to date");
    }
    bench.compare(&arguments, "up to date");
    assert_eq!(bench.index(&["drop"]).status.code(), Some(0));
    assert_eq!(bench.index(&["status", "."]).status.code(), Some(1));
    bench.compare(&arguments, "dropped");
}

#[test]
#[allow(unsafe_code)]
fn what_is_written_to_a_map_is_found_at_once() {
    use std::os::fd::AsRawFd;
    let mut dice = Dice(9);
    let tree = Tree::new(&mut dice);
    let path = tree.root().join("mapped");
    fs::write(&path, "nothing of note\n".repeat(1000)).unwrap();
    let bench = Bench {
        tree: &tree,
        state: tree.dir.path().join("state"),
    };
    tree.settle();
    bench.build(&[]);
    let arguments = ["-uu".to_owned(), "--sort=path".to_owned(), "unicorn".to_owned()];
    bench.compare(&arguments, "before");
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let (length, rights) = (16_000, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new map of a file that is open, at an address of the system's choice, as long as the file.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            rights,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(map, libc::MAP_FAILED);
    // What is open for writing is not what the watcher goes by.
    drop(file);
    for (number, text) in [&b"unicorn one\n"[..], b"unicorn two\n"].into_iter().enumerate() {
        // SAFETY: it is in the map, and nothing else refers to that.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), map.cast::<u8>().add(8000 * number), text.len()) };
        // Nobody says that it was written, and nobody waits.
        let found = String::from_utf8(bench.search(&arguments, true).stdout).unwrap();
        assert_eq!(found.matches("unicorn").count(), number + 1, "{found}");
        assert!(bench.is_used(&arguments));
        bench.compare(&arguments, "mapped");
    }
    // SAFETY: the map from above, which nobody refers to any more.
    unsafe { libc::munmap(map, length) };
    bench.compare(&arguments, "after");
}
