//! What would be replaced, worked out on the files as they are.

use std::{io::Read, ops::Range, path::PathBuf, sync::Arc};

use grep_matcher::{Captures, Match, Matcher};

use super::{ReplaceError, Stamp};
use crate::{files::open_regular, haystack::Source, query::Compiled, results::Results};

/// Lines that may change in one plan.
const HUNKS: usize = 200_000;
/// Bytes of lines that may change in one plan.
const BYTES: usize = 128 << 20;
/// The largest file that is changed.
const FILE: u64 = 256 << 20;
/// Haystacks that are read from the list at once.
const CHUNK: usize = 1024;

/// A line that would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its number, from 1.
    pub line: u64,
    /// Where it begins in the file.
    pub at: usize,
    /// As it is, without its end.
    pub old: Vec<u8>,
    /// As it would be.
    pub new: Vec<u8>,
}

/// A file that would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Its path.
    pub path: PathBuf,
    /// What it is called in the list.
    pub title: String,
    /// What it was when the plan was made.
    pub stamp: Stamp,
    /// Its lines that would change, in order.
    pub hunks: Vec<Hunk>,
}

/// What would be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is put in the place of each match.
    pub template: String,
    /// The files, in the order of the list.
    pub files: Vec<FilePlan>,
    /// Files in which something was found that cannot be changed, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Plan {
    /// Works it out for everything that was found in files. In the template of a regular expression `$1`, `$name` and
    /// `${name}` are what its groups have matched, and `$$` is a dollar sign; in that of a fixed text everything means itself.
    ///
    /// # Errors
    /// When it is too much, or the expression matches the empty text.
    pub fn make(
        results: &Results,
        sources: &[Arc<dyn Source>],
        compiled: &Compiled,
        template: &str,
    ) -> Result<Self, ReplaceError> {
        let mut plan = Self {
            template: template.to_owned(),
            files: Vec::new(),
            skipped: Vec::new(),
        };
        let (mut hunks, mut bytes, mut any, mut from) = (0, 0, false, 0);
        loop {
            let groups = results.groups(from, CHUNK);
            if groups.is_empty() {
                break;
            }
            from += groups.len();
            for g in groups {
                let source = sources.get(usize::from(g.source));
                let Some((path, title)) = source.and_then(|s| Some((s.path(&g.name)?, s.title(&g.name)))) else {
                    continue;
                };
                any = true;
                match of_file(path.clone(), title, compiled, template) {
                    Ok(file) => {
                        hunks += file.hunks.len();
                        bytes += file.hunks.iter().map(|h| h.old.len() + h.new.len()).sum::<usize>();
                        if !file.hunks.is_empty() {
                            plan.files.push(file);
                        }
                    }
                    Err(Why::Skip(why)) => plan.skipped.push((path, why)),
                    Err(Why::Stop(e)) => return Err(e),
                }
                if hunks > HUNKS {
                    return Err(ReplaceError::TooMuch(hunks, HUNKS));
                }
                if bytes > BYTES {
                    return Err(ReplaceError::TooLong(BYTES >> 20));
                }
            }
        }
        if any { Ok(plan) } else { Err(ReplaceError::NoFiles) }
    }

    /// How many lines would change.
    #[must_use]
    pub fn hunk_count(&self) -> usize {
        self.files.iter().map(|f| f.hunks.len()).sum()
    }
}

/// Why a file is not in the plan, or there is no plan.
enum Why {
    Skip(String),
    Stop(ReplaceError),
}

fn of_file(path: PathBuf, title: String, compiled: &Compiled, template: &str) -> Result<FilePlan, Why> {
    let skip = |e: std::io::Error| Why::Skip(e.to_string());
    let mut file = open_regular(&path).map_err(skip)?;
    let meta = file.metadata().map_err(skip)?;
    if meta.len() > FILE {
        return Err(Why::Skip(format!("it is larger than {} MiB", FILE >> 20)));
    }
    let mut text = Vec::new();
    (&mut file).take(FILE).read_to_end(&mut text).map_err(skip)?;
    if matches!(text.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(Why::Skip("it is UTF-16".to_owned()));
    }
    if memchr::memchr(0, &text).is_some() {
        return Err(Why::Skip("it is binary".to_owned()));
    }
    Ok(FilePlan {
        hunks: hunks(&text, compiled, template)?,
        stamp: Stamp::of(&meta),
        path,
        title,
    })
}

/// The lines of a text that change, with what becomes of them.
fn hunks(text: &[u8], compiled: &Compiled, template: &str) -> Result<Vec<Hunk>, Why> {
    let matcher = &compiled.matcher;
    let stop = |e: grep_matcher::NoError| Why::Stop(ReplaceError::Matcher(e.to_string()));
    let mut captures = matcher.new_captures().map_err(stop)?;
    let mut found: Vec<(Match, Vec<u8>)> = Vec::new();
    let mut empty = false;
    matcher
        .captures_iter(text, &mut captures, |c| {
            let Some(m) = c.get(0) else { return true };
            if m.is_empty() {
                empty = true;
                return false;
            }
            let mut new = Vec::new();
            if compiled.query.regex {
                c.interpolate(|name| matcher.capture_index(name), text, template.as_bytes(), &mut new);
            } else {
                new.extend_from_slice(template.as_bytes());
            }
            found.push((m, new));
            found.len() <= 4 * HUNKS
        })
        .map_err(stop)?;
    if empty {
        return Err(Why::Stop(ReplaceError::Empty));
    }
    let mut out: Vec<Hunk> = Vec::new();
    let (mut line, mut counted) = (1u64, 0usize);
    let mut found = found.into_iter().peekable();
    while let Some((m, _)) = found.peek() {
        let range = line_around(text, m.start());
        line += memchr::memchr_iter(b'\n', text.get(counted..range.start).unwrap_or_default()).count() as u64;
        counted = range.start;
        let mut new = Vec::with_capacity(range.len());
        let mut at = range.start;
        while let Some((m, by)) = found.next_if(|(m, _)| m.start() < range.end.max(range.start + 1)) {
            new.extend_from_slice(text.get(at..m.start()).unwrap_or_default());
            new.extend_from_slice(&by);
            at = m.end();
        }
        new.extend_from_slice(text.get(at..range.end).unwrap_or_default());
        let old = text.get(range.clone()).unwrap_or_default();
        if old != new {
            out.push(Hunk {
                line,
                at: range.start,
                old: old.to_vec(),
                new,
            });
        }
        if at > range.end {
            // A match across lines, which the matcher does not make: nothing of it is touched.
            break;
        }
    }
    Ok(out)
}

/// The line that a byte is in, without its end.
fn line_around(text: &[u8], at: usize) -> Range<usize> {
    let from = memchr::memrchr(b'\n', text.get(..at).unwrap_or_default()).map_or(0, |i| i + 1);
    let to = memchr::memchr(b'\n', text.get(at..).unwrap_or_default()).map_or(text.len(), |i| at + i);
    from..to
}

impl FilePlan {
    /// The file's text with the hunks that `on` wants; `None` when it is not the text that the plan was made of.
    pub(super) fn changed(&self, text: &[u8], on: impl Fn(usize) -> bool) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (i, h) in self.hunks.iter().enumerate().filter(|(i, _)| on(*i)) {
            let _ = i;
            let end = h.at + h.old.len();
            if text.get(h.at..end)? != h.old {
                return None;
            }
            out.extend_from_slice(text.get(at..h.at)?);
            out.extend_from_slice(&h.new);
            at = end;
        }
        out.extend_from_slice(text.get(at..)?);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use proptest::prelude::*;

    fn made(text: &str, pattern: &str, regex: bool, template: &str) -> Vec<Hunk> {
        let q = Query {
            text: pattern.into(),
            regex,
            ..Query::default()
        };
        hunks(text.as_bytes(), &q.compile().unwrap(), template).unwrap_or_else(|_| panic!("no plan"))
    }

    fn shown(h: &Hunk) -> (u64, String, String) {
        let s = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (h.line, s(&h.old), s(&h.new))
    }

    #[test]
    fn lines_that_change_are_hunks() {
        let h = made("one two\nthree\ntwo two\r\nlast two", "two", false, "2$1");
        let shown: Vec<_> = h.iter().map(shown).collect();
        assert_eq!(shown[0], (1, "one two".into(), "one 2$1".into()));
        assert_eq!(shown[1], (3, "two two\r".into(), "2$1 2$1\r".into()));
        assert_eq!(shown[2], (4, "last two".into(), "last 2$1".into()));
        let h = made(
            "fn a(x)\nfn b()\n",
            r"fn (?P<name>\w+)\((.*)\)",
            true,
            "def ${name}[$2]$$",
        );
        assert_eq!(shown_new(&h), ["def a[x]$", "def b[]$"]);
    }

    fn shown_new(h: &[Hunk]) -> Vec<String> {
        h.iter().map(|h| shown(h).2).collect()
    }

    #[test]
    fn the_empty_match_is_refused() {
        let q = Query {
            text: "x*".into(),
            regex: true,
            ..Query::default()
        };
        let got = hunks(b"aaa", &q.compile().unwrap(), "y");
        assert!(matches!(got, Err(Why::Stop(ReplaceError::Empty))));
    }

    proptest! {
        #[test]
        fn all_hunks_together_are_a_plain_replacement(text in "[ab\n]{0,60}", off in prop::collection::btree_set(0usize..20, 0..6)) {
            let hunks = made(&text, "ab", false, "XYZ");
            let file = FilePlan { path: "x".into(), title: "x".into(), stamp: stamp(), hunks };
            let all = file.changed(text.as_bytes(), |_| true).unwrap();
            prop_assert_eq!(String::from_utf8(all).unwrap(), text.replace("ab", "XYZ"));
            // A line whose hunk is off stays as it is.
            let some = file.changed(text.as_bytes(), |i| !off.contains(&i)).unwrap();
            let some = String::from_utf8(some).unwrap();
            for (i, h) in file.hunks.iter().enumerate() {
                let line = some.split('\n').nth(h.line as usize - 1).unwrap();
                let want = if off.contains(&i) { &h.old } else { &h.new };
                prop_assert_eq!(line.as_bytes(), want.as_slice());
            }
        }
    }

    fn stamp() -> Stamp {
        Stamp::of(&std::fs::metadata("/").unwrap())
    }
}
