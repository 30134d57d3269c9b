//! Random command lines on random trees, compared with a real `rg`: standard output, whether there was anything on standard
//! error, and the exit code.
//!
//! The reference is the program that `QD_RG` names, or `rg` on the path; without either nothing is compared. `QD_RG_CASES` says
//! how many cases (300), `QD_RG_SEED` where to begin. The program under test is the example `rg`, or what `QD_RG_OURS` names.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small generator of numbers (SplitMix64), so that a seed says everything about a case.
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
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const WORDS: &[&str] = &[
    "foo",
    "bar",
    "Foo",
    "FOO",
    "needle",
    "naïve",
    "straße",
    "ſtop",
    "K",
    "x1",
    "foo_bar",
    "a.b",
    "42",
    "--",
    "λόγος",
    "\t",
    "  ",
    "(",
    "",
];
const NAMES: &[&str] = &[
    "a.rs",
    "b.rs",
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
    "-dash",
    "z.gz",
];
const DIRS: &[&str] = &["src", "lib", ".git", "tests", "target", ".config", "deep", "B", "a"];
const RULES: &[&str] = &[
    "*.log", "!*.py", "/src", "target/", "*.txt", "!F.TXT", "deep/**", "# none", "[", "a*",
];
const PATTERNS: &[&str] = &[
    "foo",
    "Foo",
    "needle",
    "foo|bar",
    "\\w+",
    "^",
    "$",
    "^foo",
    "bar$",
    "o+",
    "[a-z]+_[a-z]+",
    "\\d+",
    "(foo)(bar)?",
    "(",
    "s",
    "k",
    ".",
    "foo\\s+bar",
    "\\bfoo\\b",
    "(?i)foo",
    "é",
    "ß",
    "",
    "x*",
    "nothing here",
    "a\\nb",
    "\\x00",
    "\\p{Greek}",
    "foo.*bar",
    "[",
    "^$",
    "(?P<n>o+)",
    "\\r",
    "\\s",
    "[^a]",
    "(?-u)\\xFF",
    "-x",
];
const FLAGS: &[&str] = &[
    "-i",
    "-s",
    "-S",
    "-w",
    "-x",
    "-v",
    "-F",
    "-c",
    "-l",
    "-o",
    "-n",
    "-N",
    "-H",
    "-I",
    "-b",
    "-U",
    "-a",
    "-0",
    "-q",
    "-L",
    "-z",
    "-.",
    "-u",
    "-uu",
    "-uuu",
    "-p",
    "-P",
    "--files",
    "--files-without-match",
    "--count-matches",
    "--json",
    "--column",
    "--no-column",
    "--heading",
    "--no-heading",
    "--vimgrep",
    "--trim",
    "--crlf",
    "--null-data",
    "--passthru",
    "--include-zero",
    "--no-ignore",
    "--no-ignore-vcs",
    "--no-ignore-dot",
    "--hidden",
    "--no-hidden",
    "--binary",
    "--no-binary",
    "--mmap",
    "--no-mmap",
    "--multiline-dotall",
    "--stop-on-nonmatch",
    "--no-unicode",
    "--max-columns-preview",
    "--no-messages",
    "--no-ignore-messages",
    "--no-require-git",
    "--one-file-system",
    "--byte-offset",
    "--no-context-separator",
    "--glob-case-insensitive",
    "--ignore-file-case-insensitive",
    "--no-ignore-parent",
    "--line-buffered",
    "--block-buffered",
    "--auto-hybrid-regex",
    "--no-pcre2-unicode",
    "--no-stats",
    "--sort-files",
    "--no-json",
    "--no-text",
    "--no-invert-match",
    "--no-crlf",
    "--no-fixed-strings",
    "--unknown-flag",
    "--maxdepth=1",
    "--passthrough",
    "--ignore",
    "--no-encoding",
    "--no-pre",
    "--type-list",
    "--no-multiline",
    "--no-follow",
    "--unicode",
    "--require-git",
    "--no-sort-files",
    "--no-trim",
    "--no-mmap",
];
const VALUED: &[(&str, &[&str])] = &[
    ("-A", &["0", "1", "3", "x"]),
    ("-B", &["0", "1", "2"]),
    ("-C", &["0", "1", "2", "-1"]),
    ("-m", &["0", "1", "2"]),
    ("-M", &["0", "5", "20"]),
    ("-d", &["0", "1", "2"]),
    ("-g", &["*.rs", "!*.rs", "src/**", "*.TXT", "[", "!src"]),
    ("--iglob", &["*.txt", "!f*"]),
    ("-t", &["rust", "py", "all", "nonsense"]),
    ("-T", &["rust", "md"]),
    ("--type-add", &["mine:*.log", "bad"]),
    ("--type-clear", &["rust"]),
    ("-r", &["X", "$0$0", "[$1]", "${n}", "$$", ""]),
    ("-E", &["utf-8", "latin1", "utf-16le", "none", "auto", "bogus"]),
    ("-j", &["1", "2", "4", "0"]),
    ("--sort", &["path", "none", "modified", "bogus"]),
    ("--sortr", &["path", "none"]),
    ("--color", &["always", "never", "ansi", "auto"]),
    (
        "--colors",
        &["match:fg:blue", "path:none", "line:style:bold", "match:bg:1,2,3", "bad"],
    ),
    ("--context-separator", &["", "~~", "\\t", "\\x00"]),
    ("--field-match-separator", &["", "|", "\\t"]),
    ("--field-context-separator", &["", "+"]),
    ("--path-separator", &["/", "\\\\", "", "ab"]),
    ("--engine", &["default", "pcre2", "auto", "none"]),
    ("--max-filesize", &["10", "1K", "1Q"]),
    ("--regex-size-limit", &["10", "1M"]),
    ("--dfa-size-limit", &["1K", "10M"]),
    ("--pre", &["cat", "false", "/does/not/exist", ""]),
    ("--pre-glob", &["*.rs", "!*.rs"]),
    (
        "--hyperlink-format",
        &["none", "default", "file://{path}", "x://{path}:{line}", "{bad"],
    ),
    ("--ignore-file", &["rules", "absent"]),
    ("-f", &["patterns", "absent"]),
    ("-e", &["bar", "o", "-x"]),
];

fn line(dice: &mut Dice, out: &mut Vec<u8>) {
    for _ in 0..dice.below(7) {
        out.extend_from_slice(dice.pick(WORDS).as_bytes());
        out.push(if dice.one_in(6) { b'\t' } else { b' ' });
    }
    match dice.below(400) {
        0 => out.push(0),
        1 => out.extend_from_slice(b"\xFF\xFE"),
        2 => out.extend(std::iter::repeat_n(b'q', 300)),
        _ => {}
    }
    let ends: &[&[u8]] = if dice.one_in(10) {
        &[b"\r\n"]
    } else {
        &[b"\n", b"\n", b"\n", b"\n", b"\n\n"]
    };
    out.extend_from_slice(dice.pick(ends));
}

fn contents(dice: &mut Dice) -> Vec<u8> {
    let mut text = Vec::new();
    // A few files are longer than the blocks they are read in.
    let lines = if dice.one_in(40) { 6000 } else { dice.below(14) };
    for _ in 0..lines {
        line(dice, &mut text);
    }
    if dice.one_in(5) {
        text.pop();
    }
    match dice.below(30) {
        0 => {
            let mut wide = vec![0xFF, 0xFE];
            wide.extend(String::from_utf8_lossy(&text).encode_utf16().flat_map(u16::to_le_bytes));
            wide
        }
        1 => [b"\xEF\xBB\xBF".as_slice(), &text].concat(),
        2 => [b"\0".as_slice(), &text].concat(),
        3 => [text.as_slice(), b"\0foo\0\n"].concat(),
        _ => text,
    }
}

fn tree(dice: &mut Dice, root: &Path) {
    let mut dirs = vec![root.to_owned()];
    for _ in 0..dice.below(6) {
        let at = dirs[dice.below(dirs.len())].join(dice.pick(DIRS));
        if fs::create_dir_all(&at).is_ok() {
            dirs.push(at);
        }
    }
    for _ in 0..1 + dice.below(12) {
        let at = dirs[dice.below(dirs.len())].join(dice.pick(NAMES));
        // A name may be a directory's already.
        let _ = fs::write(at, contents(dice));
    }
    for _ in 0..dice.below(3) {
        let name = dice.pick(&[".gitignore", ".ignore", ".rgignore"]);
        let rules: Vec<&str> = (0..1 + dice.below(3)).map(|_| dice.pick(RULES)).collect();
        let _ = fs::write(dirs[dice.below(dirs.len())].join(name), rules.join("\n"));
    }
    if dice.one_in(4) {
        let _ = fs::create_dir(root.join(".git"));
    }
    if dice.one_in(6) {
        let _ = std::os::unix::fs::symlink(
            dice.pick(&["..", "nowhere", "a.rs", "src"]),
            dirs[dirs.len() - 1].join("link"),
        );
    }
    if dice.one_in(12) {
        let _ = fs::write(root.join(OsString::from_vec(b"bad\xFF.txt".to_vec())), "foo bar\n");
    }
    let _ = fs::write(
        root.join("patterns"),
        dice.pick(&["foo\nneedle\n", "(\n", "", "\n", "bar"]),
    );
    let _ = fs::write(root.join("rules"), dice.pick(&["*.rs\n", "!a.rs\n*.md\n"]));
}

fn arguments(dice: &mut Dice) -> Vec<String> {
    // Without one of these the order of files may differ from run to run, and less can be compared.
    let mut arguments: Vec<String> = match dice.below(3) {
        0 => vec!["--sort=path".to_owned()],
        1 => vec!["-j1".to_owned()],
        _ => Vec::new(),
    };
    for _ in 0..dice.below(5) {
        if dice.one_in(2) {
            arguments.push(dice.pick(FLAGS).to_owned());
        } else {
            let (flag, values) = VALUED[dice.below(VALUED.len())];
            arguments.push(flag.to_owned());
            arguments.push(dice.pick(values).to_owned());
        }
    }
    if dice.one_in(8) {
        arguments.push("--".to_owned());
    }
    if !dice.one_in(30) {
        arguments.push(dice.pick(PATTERNS).to_owned());
    }
    for _ in 0..[0, 0, 0, 1, 1, 2][dice.below(6)] {
        arguments.push(
            dice.pick(&[
                "a.rs", "src", ".", "./", "./src", "absent", "d.txt", "-", "c.py", ".hidden", "a.rs/", "z.gz",
            ])
            .to_owned(),
        );
    }
    arguments
}

struct Answer {
    stdout: Vec<u8>,
    complains: bool,
    stderr: String,
    code: Option<i32>,
}

fn ask(program: &Path, root: &Path, arguments: &[String], stdin: Option<&Path>) -> io::Result<Answer> {
    let stdin = match stdin {
        Some(path) => fs::File::open(path)?.into(),
        None => Stdio::null(),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(root)
        .env_remove("RIPGREP_CONFIG_PATH");
    let output = command.stdin(stdin).output()?;
    Ok(Answer {
        stdout: output.stdout,
        complains: !output.stderr.is_empty(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    })
}

/// What may differ from run to run is taken out: times, and the order of files where nothing sorts them.
fn settled(stdout: &[u8], sorted: bool) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    // With --null and --null-data, lines and paths end with NUL.
    for line in stdout.split_inclusive(|b| matches!(b, b'\n' | 0)) {
        let text = String::from_utf8_lossy(line);
        if text.starts_with("{\"type\":\"summary\"")
            || (text.starts_with("{\"data\":") && text.contains("elapsed_total"))
        {
            continue;
        }
        match text.find("\"stats\":{\"elapsed\"") {
            Some(at) if text.starts_with("{\"type\":\"end\"") => {
                let rest = text[at..].find("\"searches\"").map_or("", |s| &text[at + s..]);
                lines.push(format!("{}{rest}", &text[..at]).into_bytes());
            }
            _ => lines.push(line.to_vec()),
        }
    }
    if !sorted {
        lines.sort();
    }
    lines.concat()
}

/// Whether the arguments say in which order files come. Where it is hard to tell the answer is no.
fn has_order(arguments: &[String]) -> bool {
    let has = |list: &[&str]| arguments.iter().any(|a| list.contains(&a.as_str()));
    if has(&["none", "--no-sort-files", "-j"]) {
        return false;
    }
    has(&["--sort=path", "--sort-files", "-j1", "modified"])
}

fn ours() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("QD_RG_OURS") {
        return Some(path.into());
    }
    // Tests are in `deps`, examples beside it.
    let path = std::env::current_exe().ok()?.parent()?.parent()?.join("examples/rg");
    path.exists().then_some(path)
}

fn reference() -> Option<PathBuf> {
    let path = std::env::var_os("QD_RG").map_or_else(|| PathBuf::from("rg"), PathBuf::from);
    let answers = Command::new(&path)
        .arg("--pcre2-version")
        .output()
        .is_ok_and(|o| o.status.success());
    answers.then_some(path)
}

#[test]
fn the_same_as_ripgrep() {
    let (Some(reference), Some(ours)) = (reference(), ours()) else {
        println!("skipped: QD_RG names no rg with PCRE2 and there is none on the path, or the example rg is not built");
        return;
    };
    let number = |name, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (cases, first): (u64, u64) = (number("QD_RG_CASES", 300), number("QD_RG_SEED", 0));
    let mut different = 0;
    let dir = tempfile::tempdir().unwrap();
    for seed in first..first + cases {
        let mut dice = Dice(seed);
        let root = dir.path().join(seed.to_string());
        fs::create_dir(&root).unwrap();
        tree(&mut dice, &root);
        for _ in 0..10 {
            let arguments = arguments(&mut dice);
            let stdin = dice.one_in(10).then(|| root.join("patterns"));
            let theirs = ask(&reference, &root, &arguments, stdin.as_deref()).unwrap();
            let mine = ask(&ours, &root, &arguments, stdin.as_deref()).unwrap();
            let sorted = has_order(&arguments);
            let same = settled(&theirs.stdout, sorted) == settled(&mine.stdout, sorted)
                && theirs.complains == mine.complains
                && theirs.code == mine.code;
            if !same {
                different += 1;
                println!("seed {seed}: rg {arguments:?}, stdin {stdin:?}");
                println!(
                    "  rg:   {:?} {:?} {:?}",
                    theirs.code,
                    show(&theirs.stdout),
                    theirs.stderr
                );
                println!("  ours: {:?} {:?} {:?}", mine.code, show(&mine.stdout), mine.stderr);
            }
        }
        fs::remove_dir_all(&root).unwrap();
    }
    println!("{} command lines on {cases} trees, {different} differences", cases * 10);
    assert_eq!(different, 0);
}

fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.chars().take(700).collect();
    if short.len() < text.len() {
        format!("{short}… ({} bytes)", bytes.len())
    } else {
        short
    }
}
