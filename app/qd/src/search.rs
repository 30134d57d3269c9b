//! `qd search`, and what this program is under the name `rg`: ripgrep's command line.
//!
//! Its arguments are its own: they are not read by the grammar of the other commands, which would take `-s` for itself.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The word that asks for a search.
const WORD: &str = "search";

/// The name under which every argument is for the search.
const PEER: &str = "rg";

/// Does the search and returns its exit status, when that is what the arguments ask for. The first of them is the name this
/// program was called by.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let (name, arguments) = asked(arguments)?;
    Some(if name == PEER {
        qd_search::rg(arguments, name)
    } else {
        qd_search::search(arguments, name)
    })
}

/// What messages begin with, and the arguments of the search.
fn asked(arguments: impl IntoIterator<Item = OsString>) -> Option<(&'static str, Vec<OsString>)> {
    let mut arguments = arguments.into_iter();
    let called = arguments.next()?;
    if Path::new(&called).file_stem() == Some(OsStr::new(PEER)) {
        return Some((PEER, arguments.collect()));
    }
    let first = arguments.next()?;
    (first == WORD).then(|| ("qd search", arguments.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Option<(&'static str, Vec<OsString>)> {
        asked(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_word_or_the_name_asks_for_a_search() {
        let arguments = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(ask("qd search -s x"), Some(("qd search", arguments(&["-s", "x"]))));
        assert_eq!(ask("/usr/bin/rg search"), Some(("rg", arguments(&["search"]))));
        assert_eq!(ask("rg"), Some(("rg", Vec::new())));
        assert_eq!(ask("qd run search"), None);
        assert_eq!(ask("qd"), None);
    }
}
