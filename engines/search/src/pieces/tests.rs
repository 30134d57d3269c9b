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
            "-A1",
            "-B1",
            "-C1",
            "-A3",
            "-B4",
            "-C2",
            "-A7",
            "-C9",
            "--json",
            "--json",
            "--context-separator=xx",
            "--no-context-separator",
            "--field-context-separator=2",
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
    let searched = pieces.search(worker.engine(), &mut ours).unwrap();
    let whole = worker.search(&found.unwrap()).unwrap();
    let whole = (whole.matched, timeless(worker.output().as_slice()));
    let pieces = match searched {
        Searched::All(outcome) => (outcome.matched, timeless(&ours)),
        // The rest is what the whole has after that.
        Searched::Begun(printed) => {
            assert_eq!(printed, ours.len() as u64);
            ours.extend_from_slice(whole.1.get(ours.len()..).unwrap());
            (whole.0, ours)
        }
    };
    Some([whole, pieces])
}

/// Output without the times in messages, and what they change in it.
fn timeless(output: &[u8]) -> Vec<u8> {
    let Some(at) = output.find(b"{\"type\":\"end\"") else {
        return output.to_vec();
    };
    let mut end: serde_json::Value = serde_json::from_slice(&output[at..]).unwrap();
    end["data"]["stats"]["elapsed"] = serde_json::Value::Null;
    [&output[..at], end.to_string().as_bytes()].concat()
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let (mut dice, mut compared) = (Dice(88_172_645_463_325_252), 0);
    for case in 0..1500 {
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
    assert!(compared > 600, "{compared}");
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
    assert!(pieces(b"x\n", "-C1") && pieces(b"x\n", "--json -A3"));
    for flags in [
        "-C1 -m1",
        "-A2000",
        "-U",
        "--crlf",
        "--json -m1",
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
    let searched = pieces.search(worker.engine(), &mut out).unwrap();
    assert!(matches!(searched, Searched::All(Outcome { matched: true, .. })));
    assert_eq!(out, b"1:x1\n2:x2\n3:x3\n");
}
