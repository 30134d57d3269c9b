//! What a command line means here and now: the flags, after the terminal, standard input and the paths were looked at.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use grep_matcher::LineTerminator;
use grep_printer::{
    ColorSpecs, HyperlinkConfig, HyperlinkEnvironment, JSONBuilder, PathPrinterBuilder, StandardBuilder,
    SummaryBuilder, SummaryKind, UserColorSpec,
};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};
use ignore::types::{Types, TypesBuilder};
use termcolor::WriteColor;

use crate::error::Error;
use crate::flags::Low;
use crate::flags::low::{Binary, Buffering, ColorChoice, Context, Encoding, Mmap, Mode, Show, SortBy, TypeChange};
use crate::paths::{Paths, Stdin, patterns};
use crate::report::Report;
use crate::worker::Printer;

/// The most threads that are used without being asked for.
const MOST_THREADS: usize = 12;

/// With more paths than this, files are read in blocks.
const FEW_PATHS: usize = 10;

/// Everything a search needs to know.
pub(crate) struct Plan {
    /// What was asked for. Its patterns and arguments have been used up.
    pub(crate) low: Low,
    pub(crate) patterns: Vec<String>,
    pub(crate) paths: Paths,
    pub(crate) binary: BinaryFiles,
    pub(crate) color: termcolor::ColorChoice,
    pub(crate) types: Types,
    pub(crate) pre_globs: Override,
    /// How many threads search.
    pub(crate) threads: usize,
    /// How many threads there may be for one file.
    pub(crate) hands: usize,
    /// Whether files are searched in one piece.
    pub(crate) whole_files: bool,
    /// What stands on a line of its own between the results of two files.
    pub(crate) file_separator: Option<Vec<u8>>,
    /// Whether statistics are kept.
    pub(crate) stats: bool,
    pub(crate) colors: ColorSpecs,
    /// What those colours were made from.
    pub(crate) color_list: Vec<UserColorSpec>,
    /// Whether paths or lines are links.
    pub(crate) links: bool,
    pub(crate) heading: bool,
    pub(crate) column: bool,
    pub(crate) line_number: bool,
    pub(crate) with_filename: bool,
    terminal: bool,
    cwd: PathBuf,
    globs: Override,
    hyperlinks: HyperlinkConfig,
}

/// What is done about NUL bytes.
#[derive(Clone, Debug)]
pub(crate) struct BinaryFiles {
    /// In files that were named.
    pub(crate) named: BinaryDetection,
    /// In files that the walk came across.
    pub(crate) found: BinaryDetection,
}

impl BinaryFiles {
    fn new(low: &Low) -> BinaryFiles {
        let convert = BinaryDetection::convert(0);
        let none = BinaryDetection::none();
        match low.binary {
            _ if low.null_data => BinaryFiles {
                named: none.clone(),
                found: none,
            },
            Binary::Text => BinaryFiles {
                named: none.clone(),
                found: none,
            },
            Binary::Search => BinaryFiles {
                named: convert.clone(),
                found: convert,
            },
            Binary::Auto => BinaryFiles {
                named: convert,
                found: BinaryDetection::quit(0),
            },
        }
    }

    /// Whether NUL bytes mean anything at all.
    pub(crate) fn looked_for(&self) -> bool {
        self.named != BinaryDetection::none() || self.found != BinaryDetection::none()
    }
}

impl Plan {
    /// What `low` means here and now.
    pub(crate) fn new(mut low: Low) -> Result<Plan, Error> {
        sortable(&low)?;
        low.mode = mode(&low);
        let searching = matches!(low.mode, Mode::Search(_));
        let terminal = io::stdout().is_terminal();
        let cwd = current_dir()?;

        let mut positional = std::mem::take(&mut low.positional);
        let mut stdin = Stdin::default();
        let patterns = if searching {
            patterns(&low.patterns, &mut positional, &mut stdin)?
        } else {
            Vec::new()
        };
        let paths = Paths::new(positional, stdin, searching, grep_cli::is_readable_stdin)?;
        log::debug!("paths: {:?}, one file: {}", paths.all, paths.one_file);

        let json = low.mode == Mode::Search(Show::Json);
        let heading = low.heading.unwrap_or(terminal) && !low.vimgrep;
        let column = low.column.unwrap_or(low.vimgrep);
        let hands = low.threads.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism();
            processors.map_or(1, |n| n.get()).min(MOST_THREADS)
        });
        let threads = if paths.one_file { 1 } else { hands };
        log::debug!("using {threads} thread(s)");
        let mut colors = grep_printer::default_color_specs();
        colors.append(&mut low.colors);
        Ok(Plan {
            binary: BinaryFiles::new(&low),
            color: match low.color {
                ColorChoice::Auto if !terminal => termcolor::ColorChoice::Never,
                ColorChoice::Auto => termcolor::ColorChoice::Auto,
                ColorChoice::Never => termcolor::ColorChoice::Never,
                ColorChoice::Always => termcolor::ColorChoice::Always,
                ColorChoice::Ansi => termcolor::ColorChoice::AlwaysAnsi,
            },
            types: types(&low.types)?,
            pre_globs: globs(&cwd, &low.pre_glob, false, &[])?,
            globs: globs(&cwd, &low.globs, low.glob_case_insensitive, &low.iglobs)?,
            threads,
            hands,
            links: !low.hyperlink_format.is_empty(),
            whole_files: match low.mmap {
                Mmap::Always => true,
                Mmap::Never => false,
                Mmap::Auto => paths.all.len() <= FEW_PATHS && paths.all.iter().all(|p| p.is_file()),
            },
            file_separator: file_separator(&low, heading),
            stats: searching && (low.stats || json),
            colors: ColorSpecs::new(&colors),
            color_list: colors,
            hyperlinks: hyperlinks(&mut low),
            heading,
            column,
            line_number: low.line_number.unwrap_or_else(|| match low.mode {
                Mode::Search(Show::Json) => !low.quiet,
                Mode::Search(Show::Lines) => !low.quiet && ((terminal && !paths.only_stdin()) || column || low.vimgrep),
                _ => false,
            }),
            with_filename: low.with_filename.unwrap_or(low.vimgrep || !paths.one_file),
            terminal,
            cwd,
            patterns,
            paths,
            low,
        })
    }

    /// Whether anything can match at all.
    pub(crate) fn can_match(&self) -> bool {
        (!self.patterns.is_empty() || self.low.invert_match) && self.low.max_count != Some(0)
    }

    /// Whether the first match ends the search.
    pub(crate) fn stops_at_match(&self) -> bool {
        self.low.quiet && !self.stats
    }

    /// Standard output, buffered as it should be.
    pub(crate) fn stdout(&self) -> grep_cli::StandardStream {
        let line = match self.low.buffer {
            Buffering::Auto => self.terminal,
            Buffering::Line => true,
            Buffering::Block => false,
        };
        if line {
            grep_cli::stdout_buffered_line(self.color)
        } else {
            grep_cli::stdout_buffered_block(self.color)
        }
    }

    /// Whether what is written should be seen at once.
    pub(crate) fn is_watched(&self) -> bool {
        self.low.buffer == Buffering::Line || (self.terminal && self.low.buffer == Buffering::Auto)
    }

    /// What makes buffers for results, and writes them.
    pub(crate) fn buffers(&self) -> termcolor::BufferWriter {
        let mut writer = termcolor::BufferWriter::stdout(self.color);
        writer.separator(self.file_separator.clone());
        writer
    }

    /// The byte or bytes at the end of a line.
    pub(crate) fn line_terminator(&self) -> LineTerminator {
        if self.low.crlf {
            LineTerminator::crlf()
        } else if self.low.null_data {
            LineTerminator::byte(0)
        } else {
            LineTerminator::byte(b'\n')
        }
    }

    /// A searcher for one thread.
    pub(crate) fn searcher(&self) -> Searcher {
        self.searcher_builder().build()
    }

    /// What builds searchers.
    pub(crate) fn searcher_builder(&self) -> SearcherBuilder {
        let low = &self.low;
        let (before, after) = low.context.lines();
        let mut builder = SearcherBuilder::new();
        builder
            .max_matches(low.max_count)
            .line_terminator(self.line_terminator())
            .invert_match(low.invert_match)
            .line_number(self.line_number)
            .multi_line(low.multiline)
            .stop_on_nonmatch(low.stop_on_nonmatch)
            .passthru(low.context == Context::Everything)
            .before_context(before)
            .after_context(after);
        match &low.encoding {
            Encoding::Auto => {}
            Encoding::Raw => {
                builder.bom_sniffing(false);
            }
            Encoding::Named(encoding) => {
                builder.encoding(Some(encoding.clone()));
            }
        }
        builder
    }

    /// A printer of what `show` says. One that writes to standard output itself, `direct`, also separates files.
    pub(crate) fn printer<W: WriteColor>(&self, show: Show, to: W, direct: bool) -> Printer<W> {
        let kind = match show {
            Show::PathsWithout if self.low.quiet => SummaryKind::QuietWithoutMatch,
            _ if self.low.quiet => SummaryKind::QuietWithMatch,
            Show::Paths => SummaryKind::PathWithMatch,
            Show::PathsWithout => SummaryKind::PathWithoutMatch,
            Show::Count => SummaryKind::Count,
            Show::CountMatches => SummaryKind::CountMatches,
            Show::Json => return Printer::Json(self.json().build(to)),
            Show::Lines => {
                let mut builder = self.standard();
                if direct {
                    builder.separator_search(self.file_separator.clone());
                }
                return Printer::Standard(builder.build(to));
            }
        };
        Printer::Summary(self.summary(kind).build(to))
    }

    /// What builds printers of messages in JSON.
    pub(crate) fn json(&self) -> JSONBuilder {
        let mut builder = JSONBuilder::new();
        builder
            .pretty(false)
            .always_begin_end(false)
            .replacement(self.low.replace.clone());
        builder
    }

    /// What builds printers of lines.
    pub(crate) fn standard(&self) -> StandardBuilder {
        let low = &self.low;
        let mut builder = StandardBuilder::new();
        builder
            .byte_offset(low.byte_offset)
            .color_specs(self.colors.clone())
            .column(self.column)
            .heading(self.heading)
            .hyperlink(self.hyperlinks.clone())
            .max_columns(low.max_columns)
            .max_columns_preview(low.max_columns_preview)
            .only_matching(low.only_matching)
            .path(self.with_filename)
            .path_terminator(self.path_terminator())
            .per_match(low.vimgrep)
            .per_match_one_line(true)
            .replacement(low.replace.clone())
            .separator_context(low.context_separator.0.clone())
            .separator_field_context(low.field_context_separator.0.clone().unwrap_or_default())
            .separator_field_match(low.field_match_separator.0.clone().unwrap_or_default())
            .separator_path(low.path_separator)
            .stats(self.stats)
            .trim_ascii(low.trim);
        builder
    }

    fn summary(&self, kind: SummaryKind) -> SummaryBuilder {
        let mut builder = SummaryBuilder::new();
        builder
            .kind(kind)
            .color_specs(self.colors.clone())
            .exclude_zero(!self.low.include_zero)
            .hyperlink(self.hyperlinks.clone())
            .path(self.with_filename)
            .path_terminator(self.path_terminator())
            .separator_field(b":".to_vec())
            .separator_path(self.low.path_separator)
            .stats(self.stats);
        builder
    }

    /// A printer of paths.
    pub(crate) fn path_printer(&self) -> PathPrinterBuilder {
        let mut builder = PathPrinterBuilder::new();
        builder
            .color_specs(self.colors.clone())
            .hyperlink(self.hyperlinks.clone())
            .separator(self.low.path_separator)
            .terminator(self.path_terminator().unwrap_or(b'\n'));
        builder
    }

    fn path_terminator(&self) -> Option<u8> {
        self.low.null.then_some(0)
    }

    /// The walk over everything that is to be searched.
    pub(crate) fn walk(&self, report: &Report) -> WalkBuilder {
        self.walk_over(&self.paths.all, Some(report))
    }

    /// The walk over some paths. What is wrong with files of rules that were named is reported, if there is a report.
    pub(crate) fn walk_over(&self, paths: &[PathBuf], report: Option<&Report>) -> WalkBuilder {
        let low = &self.low;
        let (first, rest) = match paths {
            [first, rest @ ..] => (first.as_path(), rest),
            [] => (Path::new("./"), &[][..]),
        };
        let mut builder = WalkBuilder::new(first);
        for path in rest {
            builder.add(path);
        }
        if !low.no_ignore_files {
            for error in low.ignore_file.iter().filter_map(|p| builder.add_ignore(p)) {
                if let Some(report) = report {
                    report.ignore_rule(error);
                }
            }
        }
        let vcs = !low.no_ignore_vcs;
        builder
            .max_depth(low.max_depth)
            .follow_links(low.follow)
            .max_filesize(low.max_filesize)
            .threads(self.threads)
            .same_file_system(low.one_file_system)
            .skip_stdout(matches!(low.mode, Mode::Search(_)))
            .overrides(self.globs.clone())
            .types(self.types.clone())
            .hidden(!low.hidden)
            .parents(!low.no_ignore_parent)
            .ignore(!low.no_ignore_dot)
            .git_global(vcs && !low.no_ignore_global)
            .git_ignore(vcs)
            .git_exclude(vcs && !low.no_ignore_exclude)
            .require_git(!low.no_require_git)
            .ignore_case_insensitive(low.ignore_file_case_insensitive)
            .current_dir(&self.cwd);
        if !low.no_ignore_dot {
            builder.add_custom_ignore_filename(".rgignore");
        }
        if low.sort.is_some_and(|s| s.by == SortBy::Path && !s.reverse) {
            builder.sort_by_file_name(|a, b| a.cmp(b));
        }
        builder
    }
}

/// What is shown, where two flags together mean a third.
fn mode(low: &Low) -> Mode {
    match low.mode {
        // What does not match has no matches that could be counted.
        Mode::Search(Show::CountMatches) if low.invert_match => Mode::Search(Show::Count),
        Mode::Search(Show::Count) if low.only_matching => Mode::Search(Show::CountMatches),
        mode => mode,
    }
}

fn file_separator(low: &Low, heading: bool) -> Option<Vec<u8>> {
    if low.mode != Mode::Search(Show::Lines) {
        return None;
    }
    if heading {
        return Some(Vec::new());
    }
    match low.context.lines() {
        (0, 0) => None,
        _ => low.context_separator.0.clone(),
    }
}

/// Whether the system keeps the times that are to be sorted by; asked of a file that is certainly there.
fn sortable(low: &Low) -> Result<(), Error> {
    let Some(sort) = low.sort else { return Ok(()) };
    let own = || std::env::current_exe().and_then(|p| p.metadata());
    let (what, time) = match sort.by {
        SortBy::Path => return Ok(()),
        SortBy::Modified => ("modification", own().and_then(|m| m.modified())),
        SortBy::Accessed => ("access", own().and_then(|m| m.accessed())),
        SortBy::Created => ("creation", own().and_then(|m| m.created())),
    };
    time.map(drop).map_err(|source| Error::Sort { what, source })
}

fn current_dir() -> Result<PathBuf, Error> {
    std::env::current_dir().or_else(|error| {
        let shell = std::env::var_os("PWD").filter(|p| !p.is_empty());
        shell.map(PathBuf::from).ok_or(Error::CurrentDir(error))
    })
}

fn types(changes: &[TypeChange]) -> Result<Types, Error> {
    let mut builder = TypesBuilder::new();
    builder.add_defaults();
    for change in changes {
        match change {
            TypeChange::Clear(name) => {
                builder.clear(name);
            }
            TypeChange::Add(definition) => builder.add_def(definition)?,
            TypeChange::Select(name) => {
                builder.select(name);
            }
            TypeChange::Negate(name) => {
                builder.negate(name);
            }
        }
    }
    Ok(builder.build()?)
}

fn globs(cwd: &Path, globs: &[String], any_case: bool, iglobs: &[String]) -> Result<Override, Error> {
    if globs.is_empty() && iglobs.is_empty() {
        return Ok(Override::empty());
    }
    let mut builder = OverrideBuilder::new(cwd);
    builder.case_insensitive(any_case)?;
    for glob in globs {
        builder.add(glob)?;
    }
    builder.case_insensitive(true)?;
    for glob in iglobs {
        builder.add(glob)?;
    }
    Ok(builder.build()?)
}

fn hyperlinks(low: &mut Low) -> HyperlinkConfig {
    let mut environment = HyperlinkEnvironment::new();
    let format = std::mem::take(&mut low.hyperlink_format);
    environment.host(hostname(low.hostname_bin.as_deref()));
    if let Some(distribution) = std::env::var("WSL_DISTRO_NAME").ok().filter(|_| cfg!(unix)) {
        environment.wsl_prefix(Some(format!("wsl$/{distribution}")));
    }
    HyperlinkConfig::new(environment, format)
}

/// This machine's name: what the program says, or the system when there is none or it fails.
fn hostname(program: Option<&Path>) -> Option<String> {
    let asked = program.and_then(|program| match ask(program) {
        Ok(name) => Some(name).filter(|n| !n.is_empty()),
        Err(error) => {
            log::debug!(
                "{}: {error}; the system is asked for the host's name",
                program.display()
            );
            None
        }
    });
    asked.or_else(|| grep_cli::hostname().ok()?.into_string().ok())
}

fn ask(program: &Path) -> Result<String, Error> {
    let mut command = std::process::Command::new(grep_cli::resolve_binary(program)?);
    command.stdin(std::process::Stdio::null());
    let answer = io::read_to_string(grep_cli::CommandReader::new(&mut command)?)?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::parse;

    /// The plan for these arguments, which name paths so that standard input does not matter.
    fn plan(arguments: &str) -> Plan {
        Plan::new(parse(arguments.split(' ').map(Into::into)).unwrap()).unwrap()
    }

    #[test]
    fn paths_and_numbers_are_shown_where_they_are_of_use() {
        let shown = |arguments| {
            let plan = plan(arguments);
            (plan.with_filename, plan.line_number, plan.column)
        };
        // The tests' standard output is not a terminal unless somebody looks; color and headings are left aside for that.
        assert!(shown("-N x src").0);
        assert_eq!(shown("-N x Cargo.toml"), (false, false, false));
        assert_eq!(shown("-HN x Cargo.toml"), (true, false, false));
        assert_eq!(shown("--vimgrep x Cargo.toml"), (true, true, true));
        assert_eq!(shown("--vimgrep --no-column -I x Cargo.toml"), (false, true, false));
        assert!(shown("--json x Cargo.toml").1);
        assert!(!shown("-c --column x src").1);
        assert!(!shown("-q --column x src").1);
    }

    #[test]
    fn counting_follows_what_is_shown() {
        assert_eq!(plan("-co x src").low.mode, Mode::Search(Show::CountMatches));
        assert_eq!(plan("-v --count-matches x src").low.mode, Mode::Search(Show::Count));
        assert_eq!(plan("-vco x src").low.mode, Mode::Search(Show::CountMatches));
    }

    #[test]
    fn binary_files_are_left_unless_they_are_named() {
        let of = |arguments| {
            let plan = plan(arguments);
            (plan.binary.named, plan.binary.found)
        };
        let (quit, convert, none) = (
            BinaryDetection::quit(0),
            BinaryDetection::convert(0),
            BinaryDetection::none(),
        );
        assert_eq!(of("x src"), (convert.clone(), quit));
        assert_eq!(of("--binary x src"), (convert.clone(), convert));
        assert_eq!(of("-a x src"), (none.clone(), none.clone()));
        assert_eq!(of("--binary --null-data x src"), (none.clone(), none));
    }

    #[test]
    fn files_are_searched_whole_when_they_are_few_and_named() {
        assert!(plan("x Cargo.toml").whole_files);
        assert!(!plan("x Cargo.toml src").whole_files);
        assert!(!plan(&format!("x{}", " Cargo.toml".repeat(11))).whole_files);
        assert!(plan("--mmap x src").whole_files && !plan("--no-mmap x Cargo.toml").whole_files);
    }

    #[test]
    fn one_file_takes_one_thread_and_sorting_takes_many() {
        assert_eq!(plan("-j7 x Cargo.toml").threads, 1);
        assert_eq!(plan("-j7 --sort path x src").threads, 7);
        assert!((1..=MOST_THREADS).contains(&plan("-j0 x src").threads));
    }

    #[test]
    fn what_cannot_match_is_not_searched() {
        assert!(plan("x src").can_match());
        assert!(!plan("-m0 x src").can_match());
        assert!(!plan("-f /dev/null src").can_match());
        assert!(plan("-v -f /dev/null src").can_match());
    }

    #[test]
    fn files_are_separated_under_headings_and_with_context() {
        let separator = |arguments| plan(arguments).file_separator;
        assert_eq!(separator("--no-heading x src"), None);
        assert_eq!(separator("--no-heading -A1 x src"), Some(b"--".to_vec()));
        assert_eq!(separator("--no-heading -A1 --no-context-separator x src"), None);
        assert_eq!(separator("--heading -A1 x src"), Some(Vec::new()));
        assert_eq!(separator("--heading -c x src"), None);
    }

    #[test]
    fn a_pattern_is_refused_with_advice() {
        let advice = |arguments| crate::engine::Engine::new(&plan(arguments)).unwrap_err().to_string();
        assert!(advice("(a)\\1 src").contains("--pcre2"));
        assert!(advice("a\\nb src").contains("--multiline"));
        assert!(advice("\\x00 src").contains("--text"));
        assert!(advice("--engine=auto ( src").contains("PCRE2"));
        assert!(crate::engine::Engine::new(&plan("--engine=auto (a)\\1 src")).is_ok());
    }
}
