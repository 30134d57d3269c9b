//! What can be searched: a haystack is one text with a name, a source is a set of them.

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use crate::{query::Compiled, token::Token, work::Work};

/// What a source is made of: what a person is shown, and what can be done with a find in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Files on disk.
    Files,
    /// What programs have written in terminals.
    Scrollback,
    /// Logs that are open in panes.
    Logs,
    /// Commands that were run.
    History,
    /// Bodies of captured requests and responses.
    Bodies,
    /// Keys and values of a store.
    Keys,
}

impl Kind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Files => "file",
            Self::Scrollback => "scrollback",
            Self::Logs => "log",
            Self::History => "history",
            Self::Bodies => "body",
            Self::Keys => "key",
        }
    }
}

/// One text that can be searched.
pub trait Haystack: Send + Sync {
    /// What its source knows it by; of a file, its path below the root, as bytes.
    fn id(&self) -> &[u8];

    /// Opens it at a byte. What is past the end is empty.
    ///
    /// # Errors
    /// When it is gone or may not be read.
    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The query.
    pub query: &'a Compiled,
    /// Only these haystacks, by their ids: no other can match. `None` is all of them.
    pub only: Option<&'a [Vec<u8>]>,
    /// Asked before every haystack.
    pub token: &'a Token,
}

/// A set of haystacks.
pub trait Source: Send + Sync {
    /// What it is made of.
    fn kind(&self) -> Kind;

    /// Gives every haystack to a visitor of `work`, on as many threads as it likes, until the token says stop. What cannot
    /// be given is told by [`Work::fault`].
    fn search(&self, scope: Scope<'_>, work: &Work<'_>);

    /// A haystack by its id.
    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>>;

    /// What a person is shown for an id.
    fn title(&self, id: &[u8]) -> String {
        String::from_utf8_lossy(id).into_owned()
    }

    /// The number that a line of a haystack (from 1) has where it comes from, for going there.
    fn number(&self, _id: &[u8], line: u64) -> u64 {
        line
    }

    /// The file it is, where it is one.
    fn path(&self, _id: &[u8]) -> Option<PathBuf> {
        None
    }
}
