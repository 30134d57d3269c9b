//! What a command line asks for, flag by flag, before anything is looked at.

use std::ffi::OsString;
use std::path::PathBuf;

use grep_printer::{HyperlinkFormat, UserColorSpec};

/// Everything the flags say, with their defaults.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Low {
    /// An answer that needs no search.
    pub(crate) special: Option<Special>,
    /// What is to be done.
    pub(crate) mode: Mode,
    /// Arguments that are not flags: a pattern, perhaps, and paths.
    pub(crate) positional: Vec<OsString>,
    /// Where patterns come from, in order.
    pub(crate) patterns: Vec<PatternSource>,

    pub(crate) binary: Binary,
    pub(crate) boundary: Option<Boundary>,
    pub(crate) buffer: Buffering,
    pub(crate) byte_offset: bool,
    pub(crate) case: Case,
    pub(crate) color: ColorChoice,
    pub(crate) colors: Vec<UserColorSpec>,
    pub(crate) column: Option<bool>,
    pub(crate) context: Context,
    pub(crate) context_separator: Separator<b'-', 2>,
    pub(crate) crlf: bool,
    pub(crate) dfa_size_limit: Option<usize>,
    pub(crate) encoding: Encoding,
    pub(crate) engine: EngineChoice,
    pub(crate) field_context_separator: Separator<b'-', 1>,
    pub(crate) field_match_separator: Separator<b':', 1>,
    pub(crate) fixed_strings: bool,
    pub(crate) follow: bool,
    pub(crate) glob_case_insensitive: bool,
    pub(crate) globs: Vec<String>,
    pub(crate) heading: Option<bool>,
    pub(crate) hidden: bool,
    pub(crate) hostname_bin: Option<PathBuf>,
    pub(crate) hyperlink_format: HyperlinkFormat,
    pub(crate) iglobs: Vec<String>,
    pub(crate) ignore_file: Vec<PathBuf>,
    pub(crate) ignore_file_case_insensitive: bool,
    pub(crate) include_zero: bool,
    pub(crate) invert_match: bool,
    pub(crate) line_number: Option<bool>,
    pub(crate) logging: Option<Logging>,
    pub(crate) max_columns: Option<u64>,
    pub(crate) max_columns_preview: bool,
    pub(crate) max_count: Option<u64>,
    pub(crate) max_depth: Option<usize>,
    pub(crate) max_filesize: Option<u64>,
    pub(crate) mmap: Mmap,
    pub(crate) multiline: bool,
    pub(crate) multiline_dotall: bool,
    pub(crate) no_config: bool,
    pub(crate) no_ignore_dot: bool,
    pub(crate) no_ignore_exclude: bool,
    pub(crate) no_ignore_files: bool,
    pub(crate) no_ignore_global: bool,
    pub(crate) no_ignore_messages: bool,
    pub(crate) no_ignore_parent: bool,
    pub(crate) no_ignore_vcs: bool,
    pub(crate) no_index: bool,
    pub(crate) no_messages: bool,
    pub(crate) no_require_git: bool,
    pub(crate) no_unicode: bool,
    pub(crate) null: bool,
    pub(crate) null_data: bool,
    pub(crate) one_file_system: bool,
    pub(crate) only_matching: bool,
    pub(crate) path_separator: Option<u8>,
    pub(crate) pre: Option<PathBuf>,
    pub(crate) pre_glob: Vec<String>,
    pub(crate) quiet: bool,
    pub(crate) regex_size_limit: Option<usize>,
    pub(crate) replace: Option<Vec<u8>>,
    pub(crate) search_zip: bool,
    pub(crate) sort: Option<Sort>,
    pub(crate) stats: bool,
    pub(crate) stop_on_nonmatch: bool,
    pub(crate) unrestricted: u8,
    pub(crate) threads: Option<usize>,
    pub(crate) trim: bool,
    pub(crate) types: Vec<TypeChange>,
    pub(crate) vimgrep: bool,
    pub(crate) with_filename: Option<bool>,
}

/// An answer that needs neither a search nor the configuration file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Special {
    HelpShort,
    HelpLong,
    VersionShort,
    VersionLong,
    VersionPcre2,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Search, and show this of what is found.
    Search(Show),
    /// List the files that would be searched.
    Files,
    /// List the file types.
    Types,
    /// Write a manual page or completions.
    Generate(Generate),
}

impl Default for Mode {
    fn default() -> Self {
        Mode::Search(Show::Lines)
    }
}

/// What is shown of matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Show {
    Lines,
    Paths,
    PathsWithout,
    Count,
    CountMatches,
    Json,
}

/// What can be written for others to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Generate {
    Man,
    Bash,
    Zsh,
    Fish,
    PowerShell,
}

/// Where a pattern comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PatternSource {
    /// The command line.
    Given(String),
    /// The lines of a file, or of standard input for `-`.
    File(PathBuf),
}

/// What to do with files that hold NUL bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Binary {
    /// Leave the file, unless it was named.
    #[default]
    Auto,
    /// Search to the first match and say that there is one.
    Search,
    /// Treat it as text.
    Text,
}

/// What must surround a match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Boundary {
    Line,
    Word,
}

/// When output is passed on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Buffering {
    #[default]
    Auto,
    Line,
    Block,
}

/// Whether case matters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Case {
    #[default]
    Sensitive,
    Insensitive,
    Smart,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ColorChoice {
    Never,
    #[default]
    Auto,
    Always,
    Ansi,
}

/// Lines around a match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Context {
    /// All lines of the file.
    Everything,
    /// So many; `before` and `after` win over `both`, whatever order they were given in.
    Lines {
        before: Option<usize>,
        after: Option<usize>,
        both: Option<usize>,
    },
}

impl Default for Context {
    fn default() -> Self {
        Context::Lines {
            before: None,
            after: None,
            both: None,
        }
    }
}

impl Context {
    /// The lines before and after; none of both when everything is shown anyway.
    pub(crate) fn lines(self) -> (usize, usize) {
        match self {
            Context::Everything => (0, 0),
            Context::Lines { before, after, both } => {
                let both = both.unwrap_or(0);
                (before.unwrap_or(both), after.unwrap_or(both))
            }
        }
    }

    /// Changes the numbers of lines; if everything was to be shown, that is forgotten.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Option<usize>, &mut Option<usize>, &mut Option<usize>)) {
        let (mut b, mut a, mut c) = match *self {
            Context::Everything => (None, None, None),
            Context::Lines { before, after, both } => (before, after, both),
        };
        change(&mut b, &mut a, &mut c);
        *self = Context::Lines {
            before: b,
            after: a,
            both: c,
        };
    }
}

/// Bytes between parts of the output: `N` times `C` unless a flag says otherwise, or nothing at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Separator<const C: u8, const N: usize>(pub(crate) Option<Vec<u8>>);

impl<const C: u8, const N: usize> Default for Separator<C, N> {
    fn default() -> Self {
        Separator(Some(vec![C; N]))
    }
}

/// How bytes become text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Encoding {
    /// By the byte order mark, UTF-8 without one.
    #[default]
    Auto,
    /// Not at all: bytes are searched as they are.
    Raw,
    /// This one.
    Named(grep_searcher::Encoding),
}

/// Which engine matches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum EngineChoice {
    #[default]
    Default,
    Pcre2,
    Auto,
}

/// How much is told of the work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Logging {
    Debug,
    Trace,
}

/// When files are searched in one piece.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mmap {
    #[default]
    Auto,
    Always,
    Never,
}

/// The order of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sort {
    pub(crate) by: SortBy,
    pub(crate) reverse: bool,
}

/// What files are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SortBy {
    Path,
    Modified,
    Accessed,
    Created,
}

/// One change to the file types, in the order they were given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TypeChange {
    Clear(String),
    Add(String),
    Select(String),
    Negate(String),
}
