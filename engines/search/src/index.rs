//! `index build`, `status`, `drop`, `audit` and `watch`: the index as a person sees it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qd_search_index::{Home, Index, Manners, Place, Summary};

use crate::error::Error;

/// The words that follow `index`.
const VERBS: [&str; 5] = ["build", "status", "drop", "audit", "watch"];

/// How long a watcher may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files that an audit reads, unless it is told otherwise.
const SAMPLES: usize = 200;

const HELP: &str = "\
The index of a tree: which files a search need not read.

    index build [--anew] [--no-watch] [ROOT]   make it or bring it up to date, and watch the tree for changes
    index status [ROOT]                        what there is, and whether it is whole; without ROOT all indexes
    index drop [ROOT]                          remove it
    index audit [--samples N] [ROOT]           compare it with the files (N of them, 200)
    index watch [--idle SECONDS] [ROOT]        be the watcher: until the index is dropped, or nobody asked for so long

ROOT is the current directory where it is not given. Searches below it use the index by themselves and find the same as
without it; --no-index leaves it aside.
";

/// Whether the arguments are about the index, rather than a search for the word.
pub(crate) fn is_asked(arguments: &[OsString]) -> bool {
    match arguments {
        [word, verb, ..] => word == "index" && (VERBS.iter().any(|v| verb == v) || verb == "--help"),
        _ => false,
    }
}

#[derive(Default)]
struct Options {
    root: Option<PathBuf>,
    anew: bool,
    no_watch: bool,
    detached: bool,
    samples: Option<usize>,
    idle: Option<u64>,
}

/// Does what the arguments after `index` say. `program` are the arguments that bring this program to [`crate::search`].
pub(crate) fn run(arguments: Vec<OsString>, program: &[&str]) -> Result<u8, Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut verb = None;
    let mut options = Options::default();
    while let Some(argument) = parser.next().map_err(Error::Syntax)? {
        use lexopt::prelude::*;
        match argument {
            Value(word) if verb.is_none() => verb = word.to_str().and_then(|w| VERBS.into_iter().find(|v| *v == w)),
            Value(root) if options.root.is_none() => options.root = Some(root.into()),
            Long("anew") => options.anew = true,
            Long("no-watch") => options.no_watch = true,
            Long("detached") => options.detached = true,
            Long("samples") => options.samples = Some(parser.value().and_then(|v| v.parse()).map_err(Error::Syntax)?),
            Long("idle") => options.idle = Some(parser.value().and_then(|v| v.parse()).map_err(Error::Syntax)?),
            Long("help") | Short('h') => {
                io::stdout().write_all(HELP.as_bytes())?;
                return Ok(0);
            }
            other => return Err(Error::Syntax(other.unexpected())),
        }
    }
    let home = Home::from_env()?;
    let root = options.root.as_deref();
    let place = || home.place(root.unwrap_or(Path::new(".")));
    let mut out = io::stdout().lock();
    match verb {
        Some("build") => build(&place()?, &options, program, &mut out),
        Some("drop") => {
            let place = place()?;
            qd_search_index::end_watch(&place);
            place.remove()?;
            Ok(0)
        }
        Some("audit") => audit(&place()?, options.samples.unwrap_or(SAMPLES), &mut out),
        Some("watch") => {
            let mut manners = Manners::default();
            if let Some(seconds) = options.idle {
                manners.idle = Duration::from_secs(seconds);
            }
            if options.detached {
                qd_search_index::detach();
            }
            qd_search_index::watch(&place()?, manners)?;
            Ok(0)
        }
        _ if root.is_some() => status(&place()?, &mut out),
        _ => {
            let roots = home.roots();
            if roots.is_empty() {
                writeln!(out, "there is no index")?;
                return Ok(1);
            }
            let mut worst = 0;
            for root in roots {
                worst = worst.max(match home.place(&root) {
                    Ok(place) => status(&place, &mut out)?,
                    Err(error) => {
                        writeln!(out, "{error}")?;
                        2
                    }
                });
            }
            Ok(worst)
        }
    }
}

fn build(place: &Place, options: &Options, program: &[&str], out: &mut dyn Write) -> Result<u8, Error> {
    let started = Instant::now();
    // One that watches the old state would have to look at everything again.
    qd_search_index::end_watch(place);
    let summary = qd_search_index::update(place, &HashSet::new(), options.anew, &false.into())?;
    writeln!(
        out,
        "{}: {}; {} files read in {:.1} s",
        place.root().display(),
        described(&summary),
        summary.read,
        started.elapsed().as_secs_f64()
    )?;
    if options.no_watch {
        return Ok(0);
    }
    match start_watcher(place, program)? {
        Ok(directories) => writeln!(out, "watched: {directories} directories")?,
        Err(why) => writeln!(out, "not watched: {why}; searches look at every file's times instead")?,
    }
    Ok(0)
}

/// Starts a watcher and waits until it knows what there is. The inner error says why it does not watch.
fn start_watcher(place: &Place, program: &[&str]) -> Result<Result<u64, String>, Error> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(program)
        .args(["index", "watch", "--detached", "--"])
        .arg(place.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(watching) = qd_search_index::watching(place).filter(|w| w.behind.is_none()) {
            return Ok(Ok(watching.directories));
        }
        if child.try_wait()?.is_some() {
            let said = child
                .stderr
                .take()
                .map(io::read_to_string)
                .transpose()?
                .unwrap_or_default();
            return Ok(Err(said.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Err("the watcher does not answer".to_owned()))
}

fn described(summary: &Summary) -> String {
    let share = 100.0 * summary.size as f64 / summary.text.max(1) as f64;
    format!(
        "{} files, {:.1} MB of text, index {:.1} MB ({share:.1} %) in {} segment{}",
        summary.files,
        summary.text as f64 / 1e6,
        summary.size as f64 / 1e6,
        summary.segments,
        if summary.segments == 1 { "" } else { "s" },
    )
}

/// Says what there is at a place: 0 when it is whole, 1 when there is none, 2 when it is damaged.
fn status(place: &Place, out: &mut dyn Write) -> Result<u8, Error> {
    let root = place.root().display();
    let summary = Index::open(place).and_then(|index| {
        index.verify()?;
        index.summary()
    });
    let code = match summary {
        Ok(summary) => {
            writeln!(out, "{root}: {}", described(&summary))?;
            if summary.unsure > 0 {
                writeln!(out, "    {} files are searched always", summary.unsure)?;
            }
            for trouble in summary.trouble {
                let trouble = trouble.display();
                writeln!(
                    out,
                    "    not used near {trouble}: it cannot be read, or its ignore rules are not understood"
                )?;
            }
            0
        }
        Err(qd_search_index::Error::Missing(_)) => {
            writeln!(out, "{root}: there is no index")?;
            return Ok(1);
        }
        Err(error) => {
            writeln!(out, "{error}; it is not used, and the next build makes it anew")?;
            2
        }
    };
    match qd_search_index::watching(place) {
        None => writeln!(out, "    not watched: searches look at every file's times")?,
        Some(watching) => {
            let (pid, directories, changed) = (watching.pid, watching.directories, watching.changed);
            writeln!(
                out,
                "    watched by process {pid}: {directories} directories, {changed} files changed since"
            )?;
            if let Some(why) = watching.behind {
                writeln!(out, "    the watcher is behind: {why}")?;
            }
            if let Some(alarm) = watching.alarm {
                writeln!(out, "    WRONG, and made anew: {alarm}")?;
                return Ok(2);
            }
        }
    }
    Ok(code)
}

fn audit(place: &Place, samples: usize, out: &mut dyn Write) -> Result<u8, Error> {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    let audit = qd_search_index::audit(&Index::open(place)?, samples, seed)?;
    for (paths, what) in [
        (&audit.wrong, "WRONG: the index does not say what is in it"),
        (&audit.unnoticed, "WRONG: it changed and the watcher does not know"),
    ] {
        for path in paths {
            let path = place
                .root()
                .join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
            writeln!(out, "{}: {what}", path.display())?;
        }
    }
    let wrong = audit.wrong.len() + audit.unnoticed.len();
    writeln!(
        out,
        "{}: {} files compared, {} left out because they changed, {wrong} wrong",
        place.root().display(),
        audit.compared,
        audit.skipped
    )?;
    Ok(if wrong == 0 { 0 } else { 2 })
}
