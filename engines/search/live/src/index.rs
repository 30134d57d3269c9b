//! The index of n-grams as what knows which files can match.

use std::path::PathBuf;

use qd_search_index::{Answer, Below, Error, Home, Scope, Syntax, Wanted, plan};

use crate::{
    files::Candidates,
    query::{Case, Query},
    token::Token,
};

/// The index that covers a directory, if there is one. It is opened for each query: it may have been made, brought up to date
/// or dropped meanwhile. An index that is missing, damaged or cannot speak for a query says nothing, and all files are walked.
#[derive(Debug, Clone)]
pub struct TreeIndex {
    home: Home,
    root: PathBuf,
}

impl TreeIndex {
    /// The index among those in `home` that covers `root`.
    #[must_use]
    pub fn new(home: Home, root: impl Into<PathBuf>) -> Self {
        Self {
            home,
            root: root.into(),
        }
    }

    /// The answer to a query; none where there is no index.
    fn ask(&self, query: &Query, token: &Token) -> Result<Option<Answer>, Error> {
        let Some(below) = Below::find(&self.home, &self.root)? else {
            return Ok(None);
        };
        let syntax = Syntax {
            fixed_strings: !query.regex,
            // Whether smart case minds it is left open: without it there are only more candidates.
            any_case: query.case != Case::Sensitive,
            unicode: true,
            dot_matches_new_line: false,
            crlf: false,
        };
        let is_live = || token.is_live();
        // A search of files is by lines, and ends at the first NUL byte.
        below
            .ask(
                &plan(&[&query.text], syntax),
                Scope::LinesOfText,
                Wanted::so_long(&is_live),
            )
            .map(Some)
    }
}

impl Candidates for TreeIndex {
    fn candidates(&self, query: &Query, token: &Token) -> Option<Vec<Vec<u8>>> {
        match self.ask(query, token) {
            Ok(Some(Answer::Files(files))) => Some(files),
            // Why it says nothing matters to nobody: what is found is the same.
            Ok(Some(Answer::Scan(_)) | None) | Err(_) => None,
        }
    }
}
