//! Work that takes longer than a frame: jumps, exports and SQL. One at a time, on threads of their own; `Esc` gives it up.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use qd_core::Severity;
use qd_logs_view::{Anchor, Error, ExportFormat, Job, Pattern, Pos, SqlLimits, Table, Target};

use super::{LogPane, panel::Panel};

/// How much is copied to the clipboard at most, in bytes.
const CLIPBOARD: usize = 256 << 10;

/// What to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// An entry of at least this level.
    Level(Severity),
    /// A line that the search finds.
    Hit,
    /// A bookmark, or another mark.
    Mark,
}

/// A jump, so that it can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) aim: Aim,
    pub(super) forward: bool,
}

impl Jump {
    /// What is looked for.
    fn what(self) -> &'static str {
        match self.aim {
            Aim::Level(Severity::Error | Severity::Fatal) => "error",
            Aim::Level(_) => "warning or worse",
            Aim::Hit => "hit of the search",
            Aim::Mark => "mark",
        }
    }
}

/// Where the result of a statement comes to.
#[derive(Debug, Default)]
pub(super) struct Slot {
    result: Mutex<Option<Result<Table, Error>>>,
    cancelled: AtomicBool,
}

/// Work that goes on. Dropping it gives it up.
#[derive(Debug)]
pub(super) enum Work {
    Find {
        job: Job<Option<Pos>>,
        jump: Jump,
        /// Whether it goes on from the other end.
        wrapped: bool,
        /// How often it was asked for again meanwhile.
        more: u32,
    },
    Export {
        job: Job<u64>,
        path: PathBuf,
        /// The file it is written to until it is whole, when it replaces another.
        part: Option<PathBuf>,
    },
    Copy {
        job: Job<u64>,
        clip: Clip,
    },
    Sql(Arc<Slot>),
    /// A line is gone to by its number, which is known when everything before it is indexed.
    Line {
        source: u32,
        number: u64,
    },
}

/// What is gathered for the clipboard.
#[derive(Debug, Clone, Default)]
pub(super) struct Clip(Arc<Mutex<Vec<u8>>>);

impl Write for Clip {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() + buf.len() > CLIPBOARD {
            return Err(std::io::Error::other(
                "it is more than terminals take to their clipboards (256 KiB); write it to a file",
            ));
        }
        bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        match self {
            Work::Sql(slot) => slot.cancelled.store(true, Ordering::Relaxed),
            Work::Find { job, .. } => job.cancel(),
            Work::Export { job, .. } | Work::Copy { job, .. } => job.cancel(),
            Work::Line { .. } => {}
        }
    }
}

impl Work {
    /// What is going on, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Work::Find { jump, wrapped, .. } => format!(
                "looking for {} {}{}",
                if jump.forward { "the next" } else { "the previous" },
                jump.what(),
                if *wrapped { " from the other end" } else { "" }
            ),
            Work::Export { path, .. } => format!("writing {}", path.display()),
            Work::Copy { .. } => "copying".to_owned(),
            Work::Sql(_) => "the statement runs".to_owned(),
            Work::Line { number, .. } => format!("indexing up to line {}", super::grouped(*number)),
        }
    }
}

/// How a file of this name is written.
pub(super) fn format_of(path: &Path) -> (ExportFormat, &'static str) {
    let ext = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match ext.to_ascii_lowercase().as_str() {
        "jsonl" | "json" | "ndjson" => (ExportFormat::JsonLines, "JSON lines"),
        "csv" => (ExportFormat::Csv, "CSV"),
        _ => (ExportFormat::Raw, "raw lines"),
    }
}

/// A pattern as it is typed: `/…/` is a regular expression, everything else itself.
pub(super) fn pattern(text: &str) -> Result<Pattern, Error> {
    match text.strip_prefix('/').and_then(|t| t.strip_suffix('/')) {
        Some(regex) if !regex.is_empty() => Pattern::regex(regex),
        _ => Pattern::literal(text),
    }
}

impl LogPane {
    /// Begins a jump; the place is gone to when it is found.
    pub(super) fn jump(&mut self, jump: Jump) {
        self.last_jump = Some(jump);
        if jump.aim == Aim::Hit && self.search.is_none() {
            self.fail("nothing is searched for: / and then Ctrl-t");
            return;
        }
        let Some(from) = self.cursor else {
            self.fail("there are no lines");
            return;
        };
        if jump.aim == Aim::Mark {
            self.jump_to_mark(from, jump.forward);
            return;
        }
        if let Some(Work::Find { jump: same, more, .. }) = &mut self.work
            && *same == jump
        {
            *more = more.saturating_add(1);
            return;
        }
        self.find(jump, Anchor::At(from), false, 0);
    }

    fn find(&mut self, jump: Jump, from: Anchor, wrapped: bool, more: u32) {
        let target = match jump.aim {
            Aim::Level(level) => Target::Level(level),
            Aim::Hit | Aim::Mark => Target::Hit,
        };
        match self.view.find(target, from, jump.forward) {
            Ok(job) => {
                self.work = Some(Work::Find {
                    job,
                    jump,
                    wrapped,
                    more,
                })
            }
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// Searches, and goes to the nearest hit: backwards from the end, else forwards, the selected line first.
    pub(super) fn start_search(&mut self, text: &str) -> Result<(), String> {
        let pattern = pattern(text).map_err(|e| e.to_string())?;
        let here = self
            .selected()
            .is_some_and(|row| !pattern.spans(&row.text()).is_empty());
        self.change(|pane| {
            pane.view.search(Some(pattern.clone()));
            pane.search = Some(pattern);
            text.clone_into(&mut pane.searched);
        });
        let jump = Jump {
            aim: Aim::Hit,
            forward: !self.follow,
        };
        self.last_jump = Some(jump);
        if !here {
            self.jump(jump);
        }
        Ok(())
    }

    /// Ends the search; answers whether there was one.
    pub(super) fn end_search(&mut self) -> bool {
        self.view.search(None);
        self.ticks.forget();
        if matches!(
            &self.work,
            Some(Work::Find {
                jump: Jump { aim: Aim::Hit, .. },
                ..
            })
        ) {
            self.work = None;
        }
        self.searched.clear();
        self.search.take().is_some()
    }

    /// Gives up what is going on; answers whether there was something.
    pub(super) fn stop_work(&mut self) -> bool {
        let Some(work) = self.work.take() else { return false };
        if let Work::Export { path, part, .. } = &work {
            let _ = fs::remove_file(part.as_ref().unwrap_or(path));
        }
        self.tell("stopped");
        true
    }

    /// Takes what has come of the work that goes on.
    pub(super) fn poll(&mut self) {
        if let Some(e) = marks_error(&self.unsaved) {
            self.fail(&format!("the marks could not be written: {e}"));
        }
        let Some(work) = self.work.take() else { return };
        match &work {
            Work::Find {
                job,
                jump,
                wrapped,
                more,
            } => match job.poll() {
                None => self.work = Some(work),
                Some(found) => self.found(*jump, *wrapped, *more, found),
            },
            Work::Export { job, path, part } => match job.poll() {
                None => self.work = Some(work),
                Some(result) => {
                    let moved = result.map_err(|e| e.to_string()).and_then(|n| {
                        part.as_ref()
                            .map_or(Ok(()), |p| fs::rename(p, path).map_err(|e| e.to_string()))
                            .map(|()| n)
                    });
                    match moved {
                        Ok(n) => self.tell(format!("{} lines written to {}", super::grouped(n), path.display())),
                        Err(e) => {
                            let _ = fs::remove_file(part.as_ref().unwrap_or(path));
                            self.fail(&format!("nothing was written: {e}"));
                        }
                    }
                }
            },
            Work::Copy { job, clip } => match job.poll() {
                None => self.work = Some(work),
                Some(Ok(n)) => {
                    let bytes = std::mem::take(&mut *clip.0.lock().unwrap_or_else(PoisonError::into_inner));
                    // Newlines stay; nothing else of a log acts on what it is pasted into.
                    let text = String::from_utf8_lossy(&bytes);
                    let lines: Vec<String> = text.lines().map(qd_logs_view::plain).collect();
                    self.events.push(crate::PaneEvent::Copied(lines.join("\n")));
                    self.tell(format!("{} lines copied", super::grouped(n)));
                }
                Some(Err(e)) => self.fail(&format!("nothing was copied: {e}")),
            },
            Work::Sql(slot) => {
                let result = slot.result.lock().unwrap_or_else(PoisonError::into_inner).take();
                match result {
                    None => self.work = Some(work),
                    Some(Ok(table)) => self.panel = Some(Panel::table(table)),
                    Some(Err(e)) => self.fail(&e.to_string()),
                }
            }
            Work::Line { source, number } => self.go_to_line(*source, *number),
        }
    }

    /// Goes to a line by its number, when everything before it is indexed.
    pub(super) fn go_to_line(&mut self, source: u32, number: u64) {
        let known = self.snapshot();
        if known.sources.iter().any(|s| s.id == source && !s.complete) {
            self.work = Some(Work::Line { source, number });
            return;
        }
        let to = self.view.at_line(source, number);
        self.go(to, "such line");
    }

    fn found(&mut self, jump: Jump, wrapped: bool, more: u32, found: Result<Option<Pos>, Error>) {
        match found {
            Ok(Some(pos)) => {
                let same = self.cursor == Some(pos);
                self.visit(pos);
                if let Some(left) = more.checked_sub(1).filter(|_| !same) {
                    self.find(jump, Anchor::At(pos), false, left);
                }
                match (wrapped, same, jump.forward) {
                    (false, ..) => {}
                    (true, true, _) => self.tell(format!("this is the only {}", jump.what())),
                    (true, false, true) => self.tell("past the end: on from the beginning"),
                    (true, false, false) => self.tell("past the beginning: on from the end"),
                }
            }
            Ok(None) if !wrapped => {
                let from = if jump.forward { Anchor::Start } else { Anchor::End };
                self.find(jump, from, true, more);
            }
            Ok(None) => self.fail(&format!("there is no {} among what is shown", jump.what())),
            Err(Error::Cancelled) => {}
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// Runs a statement over what passes the filters.
    pub(super) fn start_sql(&mut self, statement: &str) -> Result<(), String> {
        let slot = Arc::new(Slot::default());
        let (theirs, view, wake) = (Arc::clone(&slot), self.view.clone(), Arc::clone(&self.wake));
        let statement = statement.to_owned();
        let work = move || {
            let result = view.sql(&statement, SqlLimits::default(), &|| {
                theirs.cancelled.load(Ordering::Relaxed)
            });
            *theirs.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            wake();
        };
        std::thread::Builder::new()
            .name("logs-sql".to_owned())
            .spawn(work)
            .map_err(|e| e.to_string())?;
        self.work = Some(Work::Sql(slot));
        Ok(())
    }

    /// Whether a path is one of the logs themselves.
    fn is_source(&self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        self.snapshot()
            .sources
            .iter()
            .any(|s| Path::new(&s.name).canonicalize().is_ok_and(|p| p == real))
    }

    /// Writes the marked lines, or all that pass where none is marked.
    fn export(&self, writer: Box<dyn Write + Send>, format: ExportFormat) -> Result<Job<u64>, String> {
        let job = if self.picked.lines.is_empty() {
            self.view.export(writer, format)
        } else {
            let lines = self.picked_rows().iter().map(|row| row.pos).collect();
            self.view.export_lines(lines, writer, format)
        };
        job.map_err(|e| e.to_string())
    }

    /// Begins to copy what passes, or the marked lines.
    pub(super) fn start_copy(&mut self, format: ExportFormat) {
        let clip = Clip::default();
        match self.export(Box::new(clip.clone()), format) {
            Ok(job) => self.work = Some(Work::Copy { job, clip }),
            Err(e) => self.fail(&e),
        }
    }

    /// Begins to write what passes the filters to a file. Answers `false` when there is such a file and it was not said
    /// that it may be replaced.
    pub(super) fn start_export(&mut self, path: &Path, replace: bool) -> Result<bool, String> {
        if self.is_source(path) {
            return Err("that is one of the logs that are shown".to_owned());
        }
        let create = |p: &Path| OpenOptions::new().write(true).create_new(true).open(p);
        let (file, part): (File, Option<PathBuf>) = if replace {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.part", std::process::id()));
            let part = PathBuf::from(name);
            (create(&part).map_err(|e| e.to_string())?, Some(part))
        } else {
            match create(path) {
                Ok(f) => (f, None),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    if path.is_dir() {
                        return Err("that is a directory".to_owned());
                    }
                    return Ok(false);
                }
                Err(e) => return Err(e.to_string()),
            }
        };
        let writer: Box<dyn Write + Send> = Box::new(BufWriter::new(file));
        let job = self.export(writer, format_of(path).0)?;
        self.work = Some(Work::Export {
            job,
            path: path.to_owned(),
            part,
        });
        Ok(true)
    }
}

fn marks_error(unsaved: &super::marks::Unsaved) -> Option<String> {
    unsaved.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_how_a_file_is_written() {
        assert_eq!(format_of(Path::new("/x/a.JSONL")).0, ExportFormat::JsonLines);
        assert_eq!(format_of(Path::new("a.csv")).0, ExportFormat::Csv);
        assert_eq!(format_of(Path::new("a.log")).0, ExportFormat::Raw);
        assert_eq!(format_of(Path::new("csv")).0, ExportFormat::Raw);
    }

    #[test]
    fn slashes_make_a_regular_expression() {
        let spans = |p: &str, t: &str| {
            pattern(p)
                .map(|p| p.spans(t).iter().map(|s| (s.start, s.end)).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        assert_eq!(spans("a.c", "abc a.c"), [(4, 7)]);
        assert_eq!(spans("/a.c/", "abc a.c"), [(0, 3), (4, 7)]);
        assert_eq!(spans("//", "a//b"), [(1, 3)]);
        assert!(pattern("/(/").is_err());
    }
}
