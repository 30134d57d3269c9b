//! Random command lines on random trees, compared with a real `rg`: standard output, whether there was anything on standard
//! error, and the exit code.
//!
//! The reference is the program that `QD_RG` names, or `rg` on the path; without either nothing is compared. `QD_RG_CASES` says
//! how many trees (60), with ten command lines each; `QD_RG_SEED` says where to begin. The program under test is the example
//! `rg`, or what `QD_RG_OURS` names. As root, both run as the user `nobody` where that is possible, so that some files cannot
//! be read.

mod dice;
mod trees;
mod words;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dice::Dice;
use words::{FLAGS, PATTERNS, VALUED};

/// The user and group of `nobody`.
const NOBODY: u32 = 65534;

/// Flags that are answered before anything is searched, in own words.
const ANSWERS: [&str; 6] = ["--generate", "--version", "--help", "-h", "-V", "--pcre2-version"];

/// So much output is compared, in bytes. A line may be printed for each of its matches.
const LONGEST: u64 = 64 << 20;

/// One question for both programs.
struct Case {
    arguments: Vec<OsString>,
    config: bool,
    input: Input,
    /// Nobody reads what they print.
    closed: bool,
}

/// What standard input is.
enum Input {
    Nothing,
    File,
    Pipe,
}

impl Case {
    fn new(dice: &mut Dice) -> Case {
        let mut arguments = arguments(dice);
        if dice.one_in(100) {
            arguments.push(OsString::from_vec(b"a\xFF".to_vec()));
        }
        Case {
            arguments,
            config: dice.one_in(8),
            input: match dice.below(16) {
                0 => Input::File,
                1 => Input::Pipe,
                _ => Input::Nothing,
            },
            closed: dice.one_in(40),
        }
    }

    fn has(&self, list: &[&str]) -> bool {
        self.arguments.iter().any(|a| list.iter().any(|l| a == l))
    }

    /// Whether the arguments say in which order files come. Where it is hard to tell the answer is no.
    fn has_order(&self) -> bool {
        let unclear = self.has(&["none", "--no-sort-files", "-j", "--threads", "accessed", "created"]);
        !unclear && self.has(&["--sort=path", "--sort-files", "-j1", "modified"])
    }

    /// Whether it is left to chance what is complained of before the search ends.
    fn may_complain(&self) -> bool {
        self.closed || (!self.has_order() && self.has(&["-q", "--quiet"]))
    }
}

fn arguments(dice: &mut Dice) -> Vec<OsString> {
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
        let path = dice.pick(&[
            "a.rs", "src", ".", "./", "./src", "absent", "d.txt", "-", "c.py", ".hidden", "a.rs/", "z.gz", "link",
            "y.bz2", "a.rs", "e.md", "src/..",
        ]);
        arguments.push(path.to_owned());
    }
    arguments.into_iter().map(OsString::from).collect()
}

struct Answer {
    /// There was more than is compared.
    long: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    code: Option<i32>,
}

fn ask(program: &Path, root: &Path, case: &Case, nobody: bool) -> io::Result<Answer> {
    let mut command = Command::new(program);
    command.args(&case.arguments).current_dir(root);
    command.env_remove("RIPGREP_CONFIG_PATH").env("HOME", root);
    if case.config {
        command.env("RIPGREP_CONFIG_PATH", root.join("config"));
    }
    if nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(match case.input {
        Input::Nothing => Stdio::null(),
        Input::File => fs::File::open(root.join("patterns"))?.into(),
        Input::Pipe => Stdio::piped(),
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // It may not be read.
        let _ = pipe.write_all(b"foo bar\nneedle\nFoo\n");
    }
    if case.closed {
        drop(child.stdout.take());
    }
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| err.map(|e| e.take(LONGEST).read_to_end(&mut stderr)));
        // What is left is not read: it ends there.
        out.map(|o| o.take(LONGEST).read_to_end(&mut stdout))
    })
    .transpose()?;
    let code = child.wait()?.code();
    Ok(Answer {
        long: stdout.len() as u64 == LONGEST,
        stdout,
        stderr,
        code,
    })
}

/// What may differ from run to run is taken out: times, and the order of files where nothing sorts them.
fn settled(stdout: &[u8], sorted: bool) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    // With --null and --null-data, lines and paths end with NUL.
    for line in stdout.split_inclusive(|b| matches!(b, b'\n' | 0)) {
        let text = String::from_utf8_lossy(line);
        let summary = text.starts_with("{\"type\":\"summary\"") || text.starts_with("{\"data\":");
        let time = text.ends_with("seconds spent searching\n") || text.ends_with("seconds total\n");
        if time || (summary && text.contains("elapsed_total")) {
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

fn same(case: &Case, theirs: &Answer, ours: &Answer) -> bool {
    let sorted = case.has_order();
    if theirs.long || ours.long {
        return theirs.long == ours.long && (!sorted || theirs.stdout == ours.stdout);
    }
    let answered = case.has(&ANSWERS);
    // Where one begins to say what it does, there is always something.
    let output = answered || case.closed || settled(&theirs.stdout, sorted) == settled(&ours.stdout, sorted);
    let complaints = case.may_complain() || theirs.stderr.is_empty() == ours.stderr.is_empty();
    // Where nobody reads, it ends somewhere, before or after an error.
    let code = (case.closed && !sorted) || theirs.code == ours.code;
    output && complaints && code && theirs.stdout.is_empty() == ours.stdout.is_empty()
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
    let answers = Command::new(&path).arg("--pcre2-version").output();
    answers.is_ok_and(|o| o.status.success()).then_some(path)
}

/// Whether both programs can be run as `nobody`, which takes the rights of root.
fn as_nobody(programs: [&Path; 2], root: &Path) -> bool {
    programs.iter().all(|p| {
        let mut command = Command::new(p);
        command
            .arg("--files")
            .current_dir(root)
            .uid(NOBODY)
            .gid(NOBODY)
            .stdout(Stdio::null());
        command.status().is_ok_and(|s| s.code().is_some_and(|c| c < 2))
    })
}

#[test]
fn the_same_as_ripgrep() {
    let (Some(reference), Some(ours)) = (reference(), ours()) else {
        println!("skipped: QD_RG names no rg with PCRE2 and there is none on the path, or the example rg is not built");
        return;
    };
    let number = |name, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (cases, first): (u64, u64) = (number("QD_RG_CASES", 60), number("QD_RG_SEED", 0));
    let mut different = 0;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let nobody = as_nobody([&reference, &ours], dir.path());
    for seed in first..first + cases {
        let mut dice = Dice(seed);
        let root = dir.path().join(seed.to_string());
        fs::create_dir(&root).unwrap();
        trees::tree(&mut dice, &root);
        for _ in 0..10 {
            let case = Case::new(&mut dice);
            let theirs = ask(&reference, &root, &case, nobody).unwrap();
            let mine = ask(&ours, &root, &case, nobody).unwrap();
            // Of a damaged archive ripgrep prints what it got to before the error, which depends on who was faster.
            let also = || (0..12).any(|_| same(&case, &ask(&reference, &root, &case, nobody).unwrap(), &mine));
            if !same(&case, &theirs, &mine) && !also() {
                different += 1;
                let stdin = ["nothing", "patterns", "a pipe"][match case.input {
                    Input::Nothing => 0,
                    Input::File => 1,
                    Input::Pipe => 2,
                }];
                println!(
                    "seed {seed}: rg {:?}, stdin {stdin}, config {}, closed {}",
                    case.arguments, case.config, case.closed
                );
                for (who, answer) in [("rg:  ", &theirs), ("ours:", &mine)] {
                    println!(
                        "  {who} {:?} {:?} {:?}",
                        answer.code,
                        show(&answer.stdout),
                        show(&answer.stderr)
                    );
                }
            }
        }
        trees::allow(&root);
        fs::remove_dir_all(&root).unwrap();
    }
    println!("{} command lines on {cases} trees, {different} differences", cases * 10);
    assert_eq!(different, 0);
}

#[test]
fn every_flag_of_ripgrep_is_tried() {
    let Some(reference) = reference() else {
        println!("skipped: QD_RG names no rg with PCRE2 and there is none on the path");
        return;
    };
    let answer = Command::new(reference)
        .args(["--generate", "complete-fish"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let tried: BTreeSet<&str> = FLAGS.iter().copied().chain(VALUED.iter().map(|v| v.0)).collect();
    let mut missing = Vec::new();
    for line in text.lines().filter(|l| l.starts_with("complete ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag| words.iter().position(|w| *w == flag).and_then(|i| words.get(i + 1));
        let names = [
            after("-l").map(|l| format!("--{l}")),
            after("-s").map(|s| format!("-{s}")),
        ];
        if !names.iter().flatten().any(|n| tried.contains(n.as_str())) {
            missing.push(names);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
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
