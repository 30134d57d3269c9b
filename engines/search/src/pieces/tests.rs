//! The pieces against the whole.

use super::*;
use crate::flags::{low::Mode, parse};
use crate::report::Report;

/// A small generator of numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn text(&mut self) -> Vec<u8> {
        let words: &[&[u8]] = &[
            b"foo",
            b"bar",
            b" ",
            b"\n",
            b"\n",
            b"\n\n",
            b"\r\n",
            b"oo",
            b"\xFF",
            "é".as_bytes(),
            b"x1",
            b"\t",
            b"FOO",
            b"a much longer word than any other",
            b"\xFF\xFE",
            b"\xEF\xBB\xBF",
        ];
        let mut text: Vec<u8> = (0..self.below(300))
            .flat_map(|_| words[self.below(words.len())].to_vec())
            .collect();
        if self.below(3) == 0 {
            for _ in 0..self.below(4) {
                let at = self.below(text.len() + 1);
                text.insert(at, 0);
            }
        }
        text
    }

    fn arguments(&mut self, path: &Path) -> Vec<std::ffi::OsString> {
        let flags = [
            "-n",
            "-N",
            "-b",
            "-o",
            "-i",
            "-v",
            "-w",
            "-x",
            "-c",
            "-l",
            "-q",
            "-H",
            "-a",
            "-0",
            "-P",
            "-F",
            "-m1",
            "-m2",
            "-m5",
            "-M5",
            "-rX",
            "-r$0$0",
            "--count-matches",
            "--files-without-match",
            "--column",
            "--vimgrep",
            "--trim",
            "--heading",
            "--null-data",
            "--include-zero",
            "--color=ansi",
            "--colors=line:none",
            "--colors=match:none",
            "--colors=line:fg:1,2,3",
            "--max-columns-preview",
            "--no-unicode",
            "--field-match-separator=1",
            "--line-buffered",
            "--colors=highlight:bg:2",
            "--no-encoding",
            "-Enone",
        ];
        let patterns = [
            "foo",
            "o+",
            "^",
            "$",
            "bar$",
            "\\s",
            "x\\d",
            "",
            "nothing",
            ".",
            "^$",
            "[^a]",
            "(?-u)\\xFF",
            "é",
            "\\Afoo",
            "(?-m:^)o",
            "(?m)^o",
            "(?-m)o$",
            "\\bo",
            "\\Bo",
            "o\\z",
        ];
        let mut list = vec!["-j3", "--mmap"];
        list.extend((0..self.below(5)).map(|_| flags[self.below(flags.len())]));
        list.extend(["-e", patterns[self.below(patterns.len())]]);
        list.into_iter().map(Into::into).chain([path.into()]).collect()
    }
}

/// What one thread finds, and what pieces with parts of this size do. None where it is not searched in pieces.
fn both(arguments: &[std::ffi::OsString], path: &Path, part: u64) -> Option<[(bool, Vec<u8>); 2]> {
    let plan = Plan::new(parse(arguments.iter().cloned()).unwrap()).unwrap();
    let Mode::Search(show) = plan.low.mode else {
        panic!("{arguments:?}");
    };
    let report = Report::new("test");
    let found = plan
        .walk(&report)
        .build()
        .find_map(|r| Haystack::found(r, false, &report));
    let mut worker = Worker::new(&plan, show, plan.buffers().buffer(), true).ok()?;
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let pieces = Pieces::new(&plan, show, path, file, size, part)?;
    let mut ours = Vec::new();
    let outcome = pieces.search(worker.engine(), &mut ours).unwrap();
    let whole = worker.search(&found.unwrap()).unwrap();
    Some([
        (whole.matched, worker.output().as_slice().to_vec()),
        (outcome.matched, ours),
    ])
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (mut dice, mut compared) = (Dice(88_172_645_463_325_252), 0);
    for case in 0..600 {
        let mut text = dice.text();
        // Bytes that text does not have are looked for at the beginning of a file, and only there in lines without match.
        if dice.below(2) == 0 {
            text.splice(0..0, b"some line\n".repeat(HEAD / 10 + 1));
        }
        std::fs::write(&path, &text).unwrap();
        let part = [3, 17, 64, 1000, 1 << 20][dice.below(if text.len() > HEAD { 5 } else { 3 })];
        let part = if text.len() > HEAD { part * 1000 } else { part };
        let arguments = dice.arguments(&path);
        // To print one line of this length for each of its matches takes long.
        if text.len() > HEAD && arguments.iter().any(|a| a == "--null-data") {
            continue;
        }
        if let Some([whole, pieces]) = both(&arguments, &path, part) {
            compared += 1;
            assert_eq!(
                (whole.0, whole.1.as_bstr()),
                (pieces.0, pieces.1.as_bstr()),
                "{case}: {arguments:?}, parts of {part}, {} bytes ending with {:?}",
                text.len(),
                text[text.len().saturating_sub(900)..].as_bstr()
            );
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn lines_that_depend_on_others_are_left_to_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let pieces = |text: &[u8], flags: &str| {
        std::fs::write(&path, text).unwrap();
        let list = flags.split(' ').filter(|f| !f.is_empty()).map(Into::into);
        let arguments: Vec<_> = list.chain(["-ex".into(), path.clone().into()]).collect();
        both(&arguments, &path, 9).is_some()
    };
    assert!(pieces(b"x\n", "") && pieces(b"x\n", "-n -o -c"));
    for flags in [
        "-C1",
        "-A1",
        "-U",
        "--crlf",
        "--json",
        "--stats",
        "--passthru",
        "--stop-on-nonmatch",
        "-Elatin1",
    ] {
        assert!(!pieces(b"x\n", flags), "{flags}");
    }
    assert!(!pieces(b"\xEF\xBB\xBFx\n", "") && pieces(b"\xEF\xBB\xBFx\n", "-Enone"));
    assert!(!pieces(b"\0x\n", "") && pieces(b"\0x\n", "-a"));
}

#[test]
fn a_file_that_shrinks_is_searched_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, "x1\nx2\nx3").unwrap();
    let arguments = ["-nex".into(), path.clone().into()];
    let plan = Plan::new(parse(arguments.into_iter()).unwrap()).unwrap();
    let worker = Worker::new(&plan, Show::Lines, plan.buffers().buffer(), true).unwrap();
    let pieces = Pieces::new(&plan, Show::Lines, &path, File::open(&path).unwrap(), 1000, 4).unwrap();
    let mut out = Vec::new();
    assert!(pieces.search(worker.engine(), &mut out).unwrap().matched);
    assert_eq!(out, b"1:x1\n2:x2\n3:x3\n");
}
