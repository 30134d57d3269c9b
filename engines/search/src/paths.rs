//! What is searched for and where: patterns and paths, and what is meant when they are not given.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::flags::low::PatternSource;

/// Standard input, which can be read once: for patterns or as a haystack.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stdin {
    /// Patterns were read from it.
    pub(crate) used: bool,
}

/// The patterns of a search. Without `--regexp` and `--file` the first argument that is not a flag is the pattern, and is
/// taken out of `positional`.
pub(crate) fn patterns(
    sources: &[PatternSource],
    positional: &mut Vec<OsString>,
    stdin: &mut Stdin,
) -> Result<Vec<String>, Error> {
    if sources.is_empty() {
        if positional.is_empty() {
            return Err(Error::NoPattern);
        }
        let pattern = positional.remove(0).into_string().map_err(|_| Error::PatternNotUtf8)?;
        return Ok(vec![pattern]);
    }
    let (mut seen, mut patterns) = (HashSet::new(), Vec::new());
    for source in sources {
        let more = match source {
            PatternSource::Given(pattern) => vec![pattern.clone()],
            PatternSource::File(path) if path == Path::new("-") => {
                if std::mem::replace(&mut stdin.used, true) {
                    return Err(Error::StdinTwice("-f/--file is given it more than once"));
                }
                grep_cli::patterns_from_stdin()?
            }
            PatternSource::File(path) => grep_cli::patterns_from_path(path)?,
        };
        for pattern in more {
            if seen.insert(pattern.clone()) {
                patterns.push(pattern);
            }
        }
    }
    Ok(patterns)
}

/// Where a search goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Paths {
    /// At least one path; `-` is standard input.
    pub(crate) all: Vec<PathBuf>,
    /// None was given, so this is a guess.
    pub(crate) implicit: bool,
    /// It is a single file or standard input, rather than a tree.
    pub(crate) one_file: bool,
}

impl Paths {
    /// The paths that are given; without any, standard input where there is something to read and the mode searches, and
    /// the current directory otherwise. `readable` says whether standard input is worth reading.
    pub(crate) fn new(
        given: Vec<OsString>,
        stdin: Stdin,
        searching: bool,
        readable: impl FnOnce() -> bool,
    ) -> Result<Paths, Error> {
        let all: Vec<PathBuf> = given.into_iter().map(PathBuf::from).collect();
        let is_stdin = |p: &PathBuf| p == Path::new("-");
        if stdin.used && all.iter().any(is_stdin) {
            return Err(Error::StdinTwice("patterns come from it, and it is to be searched"));
        }
        if let [first, rest @ ..] = &all[..] {
            let one_file = rest.is_empty() && (is_stdin(first) || !first.is_dir());
            return Ok(Paths {
                all,
                implicit: false,
                one_file,
            });
        }
        let piped = searching && !stdin.used && readable();
        log::debug!(
            "no path is given, so {} is searched",
            if piped { "standard input" } else { "./" }
        );
        let path = PathBuf::from(if piped { "-" } else { "./" });
        Ok(Paths {
            all: vec![path],
            implicit: true,
            one_file: piped,
        })
    }

    /// Whether only standard input is searched.
    pub(crate) fn only_stdin(&self) -> bool {
        matches!(&self.all[..], [path] if path == Path::new("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    fn given(pattern: &str) -> PatternSource {
        PatternSource::Given(pattern.to_owned())
    }

    #[test]
    fn the_first_argument_is_the_pattern_unless_one_was_given() {
        let mut rest = strings(&["foo", "src"]);
        let got = patterns(&[], &mut rest, &mut Stdin::default()).unwrap();
        assert_eq!((got, rest), (vec!["foo".to_owned()], strings(&["src"])));

        let mut rest = strings(&["foo", "src"]);
        let got = patterns(&[given("a"), given("b"), given("a")], &mut rest, &mut Stdin::default()).unwrap();
        assert_eq!((got, rest.len()), (vec!["a".to_owned(), "b".to_owned()], 2));

        let none = patterns(&[], &mut Vec::new(), &mut Stdin::default());
        assert!(matches!(none, Err(Error::NoPattern)));
    }

    #[test]
    fn patterns_come_from_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("patterns");
        std::fs::write(&file, "x\n\ny\n").unwrap();
        let sources = [given("y"), PatternSource::File(file)];
        let got = patterns(&sources, &mut Vec::new(), &mut Stdin::default()).unwrap();
        assert_eq!(got, ["y", "x", ""]);
    }

    #[test]
    fn without_a_path_it_is_standard_input_only_where_that_makes_sense() {
        let implicit = |used, searching, readable| {
            let paths = Paths::new(Vec::new(), Stdin { used }, searching, || readable).unwrap();
            assert!(paths.implicit);
            assert_eq!(paths.only_stdin(), paths.one_file);
            paths.only_stdin()
        };
        assert!(implicit(false, true, true));
        assert!(!implicit(false, true, false), "nothing to read");
        assert!(!implicit(true, true, true), "read already");
        assert!(!implicit(false, false, true), "--files lists the directory");
    }

    #[test]
    fn one_file_is_not_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "").unwrap();
        let one = |list: &[&Path]| {
            let list = list.iter().map(OsString::from).collect();
            Paths::new(list, Stdin::default(), true, || panic!("not asked"))
                .unwrap()
                .one_file
        };
        assert!(one(&[&file]));
        assert!(one(&[Path::new("-")]));
        assert!(one(&[Path::new("/nowhere/at all")]), "the error is about a file");
        assert!(!one(&[dir.path()]));
        assert!(!one(&[&file, &file]));
    }

    #[test]
    fn standard_input_is_read_once() {
        let paths = Paths::new(strings(&["-"]), Stdin { used: true }, true, || false);
        assert!(matches!(paths, Err(Error::StdinTwice(_))));
        let twice = [PatternSource::File("-".into())];
        let got = patterns(&twice, &mut Vec::new(), &mut Stdin { used: true });
        assert!(matches!(got, Err(Error::StdinTwice(_))));
    }
}
