//! Leaving out what an index says cannot match.
//!
//! An index covers everything below its root, whatever ignore rules say. So the files it leaves are put through the rules of
//! their directories, one by one, which finds the same files as a walk and reads far less. Where there is no index, or it
//! cannot speak for the search, the walk is done.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use grep_searcher::BinaryDetection;
use ignore::{IncrementalIgnore, WalkBuilder};
use qd_search_index::{Answer, Below, Home, Query, Scope, Syntax, Wanted};

use crate::flags::low::{Case, Context, Encoding, EngineChoice, Mode, Show};
use crate::haystack::Haystack;
use crate::plan::Plan;
use crate::report::Report;

/// Files that a thread takes at once.
const BATCH: usize = 8;

/// What is left to be searched.
pub(crate) struct Narrowed {
    /// In the order of the paths that were asked for.
    parts: Vec<Part>,
    /// The device and inode of the file that results are written to.
    output: Option<(u64, u64)>,
}

enum Part {
    /// No index covers it.
    Walk(PathBuf),
    /// These files below the path.
    Files {
        root: PathBuf,
        rules: Box<IncrementalIgnore>,
        files: Vec<Vec<u8>>,
    },
}

impl Narrowed {
    /// Asks the indexes of all paths. None when the walk has to be done.
    pub(crate) fn new(plan: &Plan, report: &Report) -> Option<Narrowed> {
        if let Some(reason) = bypass(plan) {
            log::debug!("no index is asked: {reason}");
            return None;
        }
        let home = Home::from_env().ok()?;
        let (mut found, mut query) = (Vec::with_capacity(plan.paths.all.len()), None);
        for path in &plan.paths.all {
            let answer = covered(&home, path).and_then(|below| {
                let Some(below) = below else { return Ok(None) };
                let query = query.get_or_insert_with(|| query_of(plan));
                below.ask(query, scope(plan), Wanted::ALWAYS).map(Some)
            });
            let files = match answer {
                Ok(Some(Answer::Files(files))) => {
                    log::debug!("{}: the index leaves {} files", path.display(), files.len());
                    Some(files)
                }
                Ok(Some(Answer::Scan(reason))) => {
                    log::debug!("{}: all files are searched: {reason}", path.display());
                    None
                }
                Ok(None) => None,
                Err(error) => {
                    log::debug!("all files are searched: {error}");
                    None
                }
            };
            found.push(files);
        }
        if found.iter().all(Option::is_none) {
            return None;
        }
        let rules = plan.walk(report).build_matchers();
        let parts = plan
            .paths
            .all
            .iter()
            .zip(found)
            .zip(rules)
            .map(|((path, files), rules)| match files {
                None => Part::Walk(path.clone()),
                Some(files) => Part::Files {
                    root: path.clone(),
                    rules: Box::new(rules),
                    files,
                },
            });
        Some(Narrowed {
            parts: parts.collect(),
            output: output(),
        })
    }

    /// Everything that is to be searched, sorted where files come from an index.
    pub(crate) fn haystacks<'a>(&'a self, plan: &'a Plan, report: &'a Report) -> impl Iterator<Item = Haystack> + 'a {
        self.parts
            .iter()
            .flat_map(move |part| -> Box<dyn Iterator<Item = Haystack> + 'a> {
                match part {
                    Part::Walk(path) => {
                        let walk = plan.walk_over(std::slice::from_ref(path), None).build();
                        Box::new(walk.filter_map(move |r| Haystack::found(r, plan.paths.implicit, report)))
                    }
                    Part::Files { root, rules, files } => {
                        let mut rules = rules.clone();
                        if files.is_empty() {
                            warm(&mut rules, report);
                        }
                        let strip = plan.paths.implicit;
                        Box::new(
                            files
                                .iter()
                                .filter_map(move |f| self.admit(root, &mut rules, f, strip, report)),
                        )
                    }
                }
            })
    }

    /// Gives all files that come from an index to workers on the plan's threads. A worker says whether to go on; so does this.
    pub(crate) fn each<F: FnMut(&Haystack) -> bool + Send>(
        &self,
        plan: &Plan,
        report: &Report,
        mut worker: impl FnMut() -> F,
    ) -> bool {
        let stopped = AtomicBool::new(false);
        for part in &self.parts {
            let Part::Files { root, rules, files } = part else {
                continue;
            };
            let next = AtomicUsize::new(0);
            let work = |mut search: F| {
                let mut rules = rules.clone();
                while let Some(batch) = files.get(next.fetch_add(BATCH, Relaxed)..) {
                    if batch.is_empty() {
                        break;
                    }
                    for file in &batch[..batch.len().min(BATCH)] {
                        if stopped.load(Relaxed) {
                            return;
                        }
                        let admitted = self.admit(root, &mut rules, file, plan.paths.implicit, report);
                        if admitted.is_some_and(|haystack| !search(&haystack)) {
                            stopped.store(true, Relaxed);
                        }
                    }
                }
            };
            if files.is_empty() {
                warm(&mut rules.clone(), report);
            }
            let threads = plan.threads.min(files.len().div_ceil(2 * BATCH));
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    let search = worker();
                    let work = &work;
                    scope.spawn(move || work(search));
                }
                work(worker());
            });
        }
        !stopped.load(Relaxed)
    }

    /// The walk over what no index covers, if there is such.
    pub(crate) fn walk(&self, plan: &Plan) -> Option<WalkBuilder> {
        let paths = self.parts.iter().filter_map(|part| match part {
            Part::Walk(path) => Some(path.clone()),
            Part::Files { .. } => None,
        });
        let paths: Vec<PathBuf> = paths.collect();
        (!paths.is_empty()).then(|| plan.walk_over(&paths, None))
    }

    /// The file, if a walk would find it.
    fn admit(
        &self,
        root: &Path,
        rules: &mut IncrementalIgnore,
        file: &[u8],
        strip: bool,
        report: &Report,
    ) -> Option<Haystack> {
        let relative = Path::new(OsStr::from_bytes(file));
        let path = root.join(relative);
        let (verdict, error) = rules.matched_with_errors(relative, false);
        if verdict.is_ignore() {
            if let Some(error) = error {
                report.ignore_rule(error);
            }
            return None;
        }
        // What is not there any more, a walk would not have come across.
        let about = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        if let Some(error) = error {
            report.ignore_rule(error);
        }
        (self.output != Some((about.dev(), about.ino()))).then(|| Haystack::known(path, strip))
    }
}

/// Reads the rules of the root, which a walk does in any case, and says what is wrong with them.
fn warm(rules: &mut IncrementalIgnore, report: &Report) {
    if let (_, Some(error)) = rules.matched_with_errors("x", true) {
        report.ignore_rule(error);
    }
}

/// Whether there is any file that would be searched without an index.
pub(crate) fn finds_any(plan: &Plan) -> bool {
    let silent = Report::new("");
    silent.want(false, false);
    let walk = plan.walk_over(&plan.paths.all, None).build();
    walk.into_iter().any(|r| Haystack::found(r, false, &silent).is_some())
}

/// Why an index has nothing to say of a search.
fn bypass(plan: &Plan) -> Option<&'static str> {
    let low = &plan.low;
    let reasons = [
        (low.no_index, "--no-index"),
        (!matches!(plan.low.mode, Mode::Search(_)), "nothing is searched for"),
        (
            plan.low.mode == Mode::Search(Show::PathsWithout),
            "files without a match are asked for",
        ),
        (low.invert_match, "lines without a match are asked for"),
        (low.include_zero, "files without a match are counted"),
        (low.context == Context::Everything, "all lines are asked for"),
        (plan.stats, "statistics count all files"),
        (low.engine != EngineChoice::Default, "the pattern is for another engine"),
        (
            low.search_zip || low.pre.is_some(),
            "files are not searched as they are",
        ),
        (low.encoding != Encoding::Auto, "files are read in another encoding"),
        (low.follow, "links are followed"),
        (plan.paths.one_file, "one file is searched"),
        (!plan.can_match(), "nothing can match"),
    ];
    reasons.iter().find(|(is_so, _)| *is_so).map(|(_, reason)| *reason)
}

/// The index that covers a path. Standard input is no matter for an index, nor is a path that is not a directory.
fn covered(home: &Home, path: &Path) -> Result<Option<Below>, qd_search_index::Error> {
    if path == Path::new("-") {
        return Ok(None);
    }
    Below::find(home, path)
}

fn query_of(plan: &Plan) -> Query {
    let low = &plan.low;
    let syntax = Syntax {
        fixed_strings: low.fixed_strings,
        // Whether smart case minds it is left open: without it there are only more candidates.
        any_case: low.case != Case::Sensitive,
        unicode: !low.no_unicode,
        dot_matches_new_line: low.multiline && low.multiline_dotall,
        crlf: low.crlf,
    };
    qd_search_index::plan(&plan.patterns, syntax)
}

/// Where the grams of one match are together.
fn scope(plan: &Plan) -> Scope {
    let low = &plan.low;
    let by_line = !low.multiline && !low.null_data;
    // In one piece, NUL bytes are looked for at the beginning only.
    if by_line && !plan.whole_files && plan.binary.found == BinaryDetection::quit(0) {
        Scope::LinesOfText
    } else {
        Scope::Files
    }
}

/// The file that standard output is, if it is one: it is not searched.
fn output() -> Option<(u64, u64)> {
    use std::os::fd::AsFd;
    let file = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
    let about = std::fs::File::from(file).metadata().ok()?;
    about.is_file().then(|| (about.dev(), about.ino()))
}
