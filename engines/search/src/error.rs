//! What can be wrong with a command line, and what can stop a search.

use std::io;

/// Why a command line could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments do not follow the syntax of a command line.
    #[error("the arguments cannot be read: {0}")]
    Syntax(lexopt::Error),
    /// There is no flag of this name.
    #[error("there is no flag {flag}{}", similar_flags(.similar))]
    UnknownFlag {
        /// The flag as it was given, with its dashes.
        flag: String,
        /// Flags with a name like it.
        similar: Vec<&'static str>,
    },
    /// A flag needs a value and none follows it.
    #[error("flag {flag} lacks its value: {source}")]
    MissingValue {
        /// The flag as it was given, with its dashes.
        flag: String,
        /// What the reader of the arguments says.
        source: lexopt::Error,
    },
    /// A flag's value is not one it takes.
    #[error("error parsing flag {flag}: {source}")]
    BadValue {
        /// The flag as it was given, with its dashes.
        flag: String,
        /// What is wrong with the value.
        source: ValueError,
    },
    /// No pattern was given and the mode needs one.
    #[error("there is nothing to search for: a pattern is needed")]
    NoPattern,
    /// The pattern is not text.
    #[error("the pattern is not valid UTF-8")]
    PatternNotUtf8,
    /// Standard input is asked for twice.
    #[error("standard input cannot be read twice: {0}")]
    StdinTwice(&'static str),
    /// The pattern is not one the engine takes.
    #[error("{0}")]
    Pattern(String),
    /// The working directory is gone.
    #[error("the current directory cannot be found, perhaps it was deleted: {0}")]
    CurrentDir(io::Error),
    /// The file system does not keep the time to sort by.
    #[error("the file system does not tell the {what} time: {source}")]
    Sort {
        /// The time that was to be sorted by.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A glob or a file type is wrong.
    #[error(transparent)]
    Ignore(#[from] ignore::Error),
    /// A program that files are to be sent through cannot be found.
    #[error(transparent)]
    Command(#[from] grep_cli::CommandError),
    /// There is something wrong with an index.
    #[error(transparent)]
    Index(#[from] qd_search_index::Error),
    /// A file of patterns holds something that is not text.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether the reader of our output has gone away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Io(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Why a value is not one a flag takes.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is not text.
    #[error("the value is not valid UTF-8")]
    NotUtf8,
    /// It is not text, and there is another way to say it.
    #[error("separator must be valid UTF-8; other bytes can be written as escapes, like \\xFF")]
    SeparatorNotUtf8,
    /// It is not a number.
    #[error("not a number: {0}")]
    Number(#[from] std::num::ParseIntError),
    /// It is not a size.
    #[error("not a size: {0}")]
    Size(#[from] grep_cli::ParseSizeError),
    /// It is a size this machine cannot count to.
    #[error("the size is more than this machine can count")]
    TooBig,
    /// It is not one of the choices.
    #[error("'{given}' is not one of: {}", .choices.join(", "))]
    Choice {
        /// What was given.
        given: String,
        /// What could have been given.
        choices: &'static [&'static str],
    },
    /// It is not a colour or style.
    #[error(transparent)]
    Color(#[from] grep_printer::ColorError),
    /// It is not the name of an encoding.
    #[error(transparent)]
    Encoding(#[from] grep_searcher::ConfigError),
    /// It is not a format of hyperlinks.
    #[error("not a format of links: {0}")]
    Hyperlink(#[from] grep_printer::HyperlinkFormatError),
    /// A path separator is one byte.
    #[error(
        "'{given}' is {length} bytes, and the parts of a path are separated by one; \
         where a shell makes something else of '/', write '//'"
    )]
    PathSeparator {
        /// What was given.
        given: String,
        /// How many bytes that is.
        length: usize,
    },
    /// The flag was given more often than it has levels.
    #[error("it may be given {0} times at most")]
    TooOften(u8),
}

fn similar_flags(names: &[&'static str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let list: Vec<String> = names.iter().map(|n| format!("--{n}")).collect();
    format!("; did you mean {}?", list.join(", "))
}
