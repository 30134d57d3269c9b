//! One thread's means of searching: the engine, the searcher and the printer, and how a file's bytes get to them.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bstr::ByteSlice;
use grep_cli::{CommandReaderBuilder, DecompressionReaderBuilder};
use grep_matcher::Matcher;
use grep_printer::{JSON, Standard, Stats, Summary};
use grep_searcher::Searcher;
use ignore::overrides::Override;
use termcolor::WriteColor;

use crate::engine::Engine;
use crate::error::Error;
use crate::flags::low::Show;
use crate::haystack::Haystack;
use crate::plan::{BinaryFiles, Plan};
use crate::spool::Spool;

/// Files larger than this are searched in blocks, so that memory stays flat.
const LARGEST_WHOLE_FILE: u64 = 1 << 30;

/// Files larger than this are looked through before they are searched in one piece, whether that is needed.
const LARGEST_SMALL_FILE: u64 = 4 << 20;

/// Of a file that is looked through, so much is read at once.
const GLANCE: usize = 256 << 10;

/// A buffer that grew larger than this for a file is given back after it.
const KEPT_BUFFER: usize = 64 << 20;

/// Prints what a search finds.
#[derive(Clone, Debug)]
pub(crate) enum Printer<W> {
    Standard(Standard<W>),
    Summary(Summary<W>),
    Json(JSON<W>),
}

impl<W: WriteColor> Printer<W> {
    /// What it writes to.
    pub(crate) fn output(&mut self) -> &mut W {
        match self {
            Printer::Standard(p) => p.get_mut(),
            Printer::Summary(p) => p.get_mut(),
            Printer::Json(p) => p.get_mut(),
        }
    }
}

/// What became of one search.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) matched: bool,
    pub(crate) stats: Option<Stats>,
}

/// Where the bytes of a haystack come from.
enum Source<'a> {
    File(File),
    Bytes(&'a [u8]),
    Reader(&'a mut dyn Read),
}

/// Searches one haystack after another. A clone is for another thread.
#[derive(Clone, Debug)]
pub(crate) struct Worker<W> {
    engine: Engine,
    searcher: Searcher,
    printer: Printer<W>,
    binary: BinaryFiles,
    program: Option<PathBuf>,
    program_globs: Override,
    commands: CommandReaderBuilder,
    unpackers: Option<DecompressionReaderBuilder>,
    whole_files: bool,
    /// Plain text may be searched in blocks: nothing that is printed tells the difference.
    blocks_do: bool,
    buffer: Vec<u8>,
}

impl<W: WriteColor> Worker<W> {
    /// A worker that writes what `show` says to `to`; `direct` as in [`Plan::printer`].
    pub(crate) fn new(plan: &Plan, show: Show, to: W, direct: bool) -> Result<Self, Error> {
        let mut commands = CommandReaderBuilder::new();
        commands.async_stderr(true);
        let unpackers = plan.low.search_zip.then(|| {
            let mut unpackers = DecompressionReaderBuilder::new();
            unpackers.async_stderr(true);
            unpackers
        });
        Ok(Worker {
            engine: Engine::new(plan)?,
            searcher: plan.searcher(),
            printer: plan.printer(show, to, direct),
            binary: plan.binary.clone(),
            program: plan.low.pre.as_ref().map(grep_cli::resolve_binary).transpose()?,
            program_globs: plan.pre_globs.clone(),
            commands,
            unpackers,
            whole_files: plan.whole_files,
            // The bytes that were searched, which statistics count, end elsewhere when a search ends early.
            blocks_do: !plan.low.multiline && !plan.stats,
            buffer: Vec::new(),
        })
    }

    /// What the printer writes to.
    pub(crate) fn output(&mut self) -> &mut W {
        self.printer.output()
    }

    /// What matches.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether the file's own bytes are searched, not what a program makes of them.
    pub(crate) fn reads_itself(&self, path: &Path) -> bool {
        let program = self.program.is_some() && self.is_for_program(path);
        !program
            && !self
                .unpackers
                .as_ref()
                .is_some_and(|u| u.get_matcher().has_command(path))
    }

    /// Searches one haystack.
    pub(crate) fn search(&mut self, haystack: &Haystack) -> io::Result<Outcome> {
        let binary = if haystack.is_named() {
            &self.binary.named
        } else {
            &self.binary.found
        };
        self.searcher.set_binary_detection(binary.clone());
        let path = haystack.path();
        log::trace!("{}: binary detection: {binary:?}", path.display());
        if haystack.is_stdin() {
            return self.run(path, Source::Reader(&mut io::stdin().lock()));
        }
        if let Some(program) = self.program.as_ref().filter(|_| self.is_for_program(path)) {
            return self.through_program(path, program.clone());
        }
        if let Some(unpackers) = self.unpackers.as_ref().filter(|u| u.get_matcher().has_command(path)) {
            let mut reader = unpackers.build(path)?;
            let outcome = self.run(path, Source::Reader(&mut reader));
            // The reader is closed in any case; the search's own error is the better one.
            let closed = reader.close();
            let outcome = outcome?;
            return closed.map(|()| outcome);
        }
        let file = File::open(path)?;
        if self.whole_files {
            self.whole_file(path, file)
        } else {
            self.run(path, Source::File(file))
        }
    }

    /// Searches a file in one piece if it is one of a bounded size, and in blocks otherwise.
    fn whole_file(&mut self, path: &Path, mut file: File) -> io::Result<Outcome> {
        let size = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map_or(0, |m| m.len());
        if size == 0 || size > LARGEST_WHOLE_FILE {
            return self.run(path, Source::File(file));
        }
        if size > LARGEST_SMALL_FILE && self.blocks_do {
            let plain = is_plain(&mut file)?;
            file.rewind()?;
            if plain {
                return self.run(path, Source::File(file));
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // What is added to the file from here on is not searched.
        let read = io::Read::by_ref(&mut file).take(size).read_to_end(&mut buffer);
        let outcome = read.and_then(|_| self.run(path, Source::Bytes(&buffer)));
        if buffer.capacity() <= KEPT_BUFFER {
            self.buffer = buffer;
        }
        outcome
    }

    fn is_for_program(&self, path: &Path) -> bool {
        self.program_globs.is_empty() || !self.program_globs.matched(path, false).is_ignore()
    }

    fn through_program(&mut self, path: &Path, program: PathBuf) -> io::Result<Outcome> {
        let mut command = Command::new(program);
        command.arg(path).stdin(Stdio::from(File::open(path)?));
        let mut reader = self
            .commands
            .build(&mut command)
            .map_err(|error| io::Error::other(format!("{command:?} cannot be started: {error}")))?;
        let outcome = self
            .run(path, Source::Reader(&mut reader))
            .map_err(|error| io::Error::other(format!("{command:?} failed: {error}")));
        let closed = reader.close();
        let outcome = outcome?;
        closed.map(|()| outcome)
    }

    fn run(&mut self, path: &Path, source: Source<'_>) -> io::Result<Outcome> {
        match &self.engine {
            Engine::Regex(matcher) => drive(matcher, &mut self.searcher, &mut self.printer, path, source),
            Engine::Pcre2(matcher) => drive(matcher, &mut self.searcher, &mut self.printer, path, source),
        }
    }
}

impl Worker<Spool<'_>> {
    /// Lets the printer print something that is thrown away. It separates a file from those before it, and only it knows when;
    /// from here on it takes no file for the first one.
    pub(crate) fn separate_all(&mut self) -> Result<(), Error> {
        if let Printer::Standard(printer) = &mut self.printer {
            let matcher = grep_regex::RegexMatcher::new("x").map_err(|e| Error::Pattern(e.to_string()))?;
            Searcher::new().search_slice(&matcher, b"x\n", printer.sink(&matcher))?;
        }
        self.output().begin(0);
        Ok(())
    }
}

/// Whether all of this is text in lines of a moderate length. Where there are NUL bytes, it depends on the way of reading how
/// far a file is searched; and to hold a long line takes as much memory as to hold the file.
fn is_plain(reader: &mut impl Read) -> io::Result<bool> {
    let mut block = vec![0; GLANCE];
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let text = &block[..filled];
        if text.find_byte(0).is_some() {
            return Ok(false);
        }
        if filled < block.len() {
            return Ok(true);
        }
        if text.find_byte(b'\n').is_none() {
            return Ok(false);
        }
    }
}

fn drive<M: Matcher, W: WriteColor>(
    matcher: &M,
    searcher: &mut Searcher,
    printer: &mut Printer<W>,
    path: &Path,
    source: Source<'_>,
) -> io::Result<Outcome> {
    match printer {
        Printer::Standard(printer) => {
            let mut sink = printer.sink_with_path(matcher, path);
            feed(matcher, searcher, path, source, &mut sink)?;
            Ok(Outcome {
                matched: sink.has_match(),
                stats: sink.stats().cloned(),
            })
        }
        Printer::Summary(printer) => {
            let mut sink = printer.sink_with_path(matcher, path);
            feed(matcher, searcher, path, source, &mut sink)?;
            Ok(Outcome {
                matched: sink.has_match(),
                stats: sink.stats().cloned(),
            })
        }
        Printer::Json(printer) => {
            let mut sink = printer.sink_with_path(matcher, path);
            feed(matcher, searcher, path, source, &mut sink)?;
            Ok(Outcome {
                matched: sink.has_match(),
                stats: Some(sink.stats().clone()),
            })
        }
    }
}

fn feed<M, S>(matcher: &M, searcher: &mut Searcher, path: &Path, source: Source<'_>, sink: S) -> io::Result<()>
where
    M: Matcher,
    S: grep_searcher::Sink<Error = io::Error>,
{
    match source {
        Source::File(file) => searcher.search_file(matcher, &file, sink),
        Source::Bytes(bytes) => {
            log::trace!("{}: searching the whole file at once", path.display());
            searcher.search_slice(matcher, bytes, sink)
        }
        Source::Reader(reader) => searcher.search_reader(matcher, reader, sink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_text_in_lines() {
        let plain = |bytes: &[u8]| is_plain(&mut &bytes[..]).unwrap();
        let line = [&[b'a'; 99][..], b"\n"].concat();
        let mut text = line.repeat(10_000);
        assert!(plain(b"") && plain(b"no end") && plain(&text));
        text.push(0);
        assert!(!plain(&text), "NUL at the end");
        assert!(!plain(&[b'a'; 3 * GLANCE]), "one long line");
        assert!(!plain(b"\xFF\xFEa\0\n\0"), "UTF-16");
    }
}
