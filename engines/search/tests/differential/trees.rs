//! Random trees of files.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::dice::Dice;

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

/// What is in a file. One line longer than a block makes the blocks larger in which the thread reads other files; how far they are
/// searched before a NUL byte is found then depends on which thread it was, so there are no such lines in trees with `large` files.
fn contents(dice: &mut Dice, large: bool) -> Vec<u8> {
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
        0 => wide(b"\xFF\xFE", &text, u16::to_le_bytes),
        1 => [b"\xEF\xBB\xBF".as_slice(), &text].concat(),
        2 => [b"\0".as_slice(), &text].concat(),
        3 => [text.as_slice(), b"\0foo\0\n"].concat(),
        4 => wide(b"\xFE\xFF", &text, u16::to_be_bytes),
        5 => wide(b"", &text, u16::to_le_bytes),
        6 => b"foo caf\xE9\nna\xEFve\n".repeat(2),
        7 if !large => vec![b'f'; 70_000],
        _ => text,
    }
}

fn wide(mark: &[u8], text: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let units: Vec<u16> = String::from_utf8_lossy(text).encode_utf16().collect();
    [mark, &units.into_iter().flat_map(bytes).collect::<Vec<u8>>()].concat()
}

/// What a program makes of `text`, if it is installed.
fn packed(program: &str, text: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(text).ok()?;
    Some(child.wait_with_output().ok()?.stdout)
}

/// Fills `root`. Nothing in it needs rights to be read but what is meant to.
pub(crate) fn tree(dice: &mut Dice, root: &Path) {
    let large = dice.one_in(100);
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
        if fs::write(&at, contents(dice, large)).is_ok() {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + dice.below(20) as u64 * 1000);
            let _ = fs::File::options()
                .append(true)
                .open(&at)
                .and_then(|f| f.set_modified(time));
        }
    }
    for _ in 0..dice.below(3) {
        let name = dice.pick(&[".gitignore", ".ignore", ".rgignore"]);
        let rules: Vec<&str> = (0..1 + dice.below(3)).map(|_| dice.pick(RULES)).collect();
        let _ = fs::write(dirs[dice.below(dirs.len())].join(name), rules.join("\n"));
    }
    if dice.one_in(4) {
        let _ = fs::create_dir_all(root.join(".git/info"));
        let _ = fs::write(root.join(".git/info/exclude"), dice.pick(RULES));
    }
    if dice.one_in(4) {
        let target = dice.pick(&["..", ".", "nowhere", "a.rs", "src", "link", "../d.txt"]);
        let _ = symlink(target, dirs[dice.below(dirs.len())].join("link"));
    }
    if dice.one_in(12) {
        let _ = fs::write(root.join(OsString::from_vec(b"bad\xFF.txt".to_vec())), "foo bar\n");
    }
    if dice.one_in(3) {
        let (program, name) = [("gzip", "z.gz"), ("bzip2", "y.bz2"), ("xz", "x.xz"), ("zstd", "w.zst")][dice.below(4)];
        if let Some(bytes) = packed(program, &contents(dice, large)) {
            let _ = fs::write(root.join(name), bytes);
        }
    }
    if dice.one_in(8) {
        let _ = Command::new("mkfifo")
            .arg(dirs[dice.below(dirs.len())].join("pipe"))
            .status();
    }
    if large {
        // Long enough to be searched in pieces.
        let mut text = contents(dice, large);
        text.extend(b"a line without anything in it, and another one\n".repeat(190_000));
        text.extend(contents(dice, large));
        let _ = fs::write(root.join("a.rs"), text);
    }
    let patterns = dice.pick(&["foo\nneedle\n", "(\n", "", "\n", "bar", "foo\r\nbar\r\n"]);
    let _ = fs::write(root.join("patterns"), patterns);
    let _ = fs::write(root.join("rules"), dice.pick(&["*.rs\n", "!a.rs\n*.md\n", "[\n"]));
    let config = dice.pick(&[
        "-n\n",
        "# none\n\n  -i  \n--color=always\n",
        "--no-such-flag\n",
        "-g\n*.rs\n",
        "--max-count=1",
        "-C1\n--heading\n",
        "\t-uu\n",
    ]);
    let _ = fs::write(root.join("config"), config);
    forbid(dice, &dirs);
}

/// Takes away the right to read a file or a directory, sometimes.
fn forbid(dice: &mut Dice, dirs: &[PathBuf]) {
    if !dice.one_in(6) {
        return;
    }
    let name = dirs[dice.below(dirs.len())].join(dice.pick(NAMES));
    let at = if dice.one_in(3) && dirs.len() > 1 {
        &dirs[1 + dice.below(dirs.len() - 1)]
    } else {
        &name
    };
    let _ = fs::set_permissions(at, fs::Permissions::from_mode(0o0));
}

/// Gives it back, so that all can be removed.
pub(crate) fn allow(at: &Path) {
    let _ = fs::set_permissions(at, fs::Permissions::from_mode(0o755));
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            allow(&entry.path());
        }
    }
}
