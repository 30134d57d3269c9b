//! Marks on the scrollbar: where errors are, hits of the search, and what a person marked.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use qd_core::{Severity, Wake};
use qd_logs_view::{Anchor, Histogram, Job, Target, View};
use qd_ui::Role;

use super::{LogPane, sooner};

/// How often errors are placed again while logs grow.
const PACE: Duration = Duration::from_secs(1);
/// More hits than this are not placed: the scrollbar would be nothing but them.
const HITS: u64 = 256;
/// Logs of at most so many lines are counted line by line.
const SMALL: u64 = 50_000;
/// How many stretches of time errors are placed by.
const STRETCHES: usize = 256;

/// Where the hits are, as they are found by a thread; dropping it gives that up.
#[derive(Debug, Default)]
struct Hits {
    found: Arc<Mutex<Vec<f64>>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Hits {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is on the scrollbar, as shares of everything.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    errors: Vec<f64>,
    marks: Vec<f64>,
    hits: Option<Hits>,
    /// Small logs are counted line by line.
    exact: Option<Job<Option<Histogram>>>,
    made: Option<(u64, Instant)>,
}

impl Ticks {
    /// What is shown has changed: everything is to be placed anew.
    pub(super) fn forget(&mut self) {
        self.made = None;
        self.hits = None;
        self.exact = None;
    }

    /// All of them, the most important last.
    pub(super) fn all(&self) -> Vec<(f64, Role)> {
        let hits = self
            .hits
            .as_ref()
            .map(|h| h.found.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let of = |list: &[f64], role| list.iter().map(move |s| (*s, role)).collect::<Vec<_>>();
        [
            of(&self.errors, Role::LogError),
            of(&hits.unwrap_or_default(), Role::SearchMatch),
            of(&self.marks, Role::TextInfo),
        ]
        .concat()
    }
}

/// Walks from hit to hit and notes where each is.
fn place_hits(view: &View, wake: &Wake, hits: (&Mutex<Vec<f64>>, &AtomicBool)) {
    let mut from = Anchor::Start;
    for _ in 0..HITS {
        let found = view.find(Target::Hit, from, true).and_then(Job::wait);
        let Ok(Some(pos)) = found else { break };
        if hits.1.load(Ordering::Relaxed) {
            return;
        }
        let total = view.snapshot().rows.max(1);
        if let Ok(Some(n)) = view.row_of(pos) {
            hits.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(n as f64 / total as f64);
        }
        from = Anchor::At(pos);
    }
    wake();
}

fn striking_of(h: &Histogram) -> Vec<f64> {
    let counts: Vec<(u64, u64)> = (0..h.buckets.len())
        .map(|b| (h.total(b), h.at_least(b, Severity::Error)))
        .collect();
    striking(&counts)
}

/// Where errors stand out, as shares of all lines: of stretches with so many lines and errors each. Where they are
/// everywhere, only those with twice the usual share of them do.
fn striking(counts: &[(u64, u64)]) -> Vec<f64> {
    let total = counts.iter().map(|c| c.0).sum::<u64>().max(1) as f64;
    let errors = counts.iter().map(|c| c.1).sum::<u64>() as f64;
    let with = counts.iter().filter(|c| c.1 > 0).count();
    let everywhere = with * 4 > counts.len();
    // The scrollbar counts lines, not time: a stretch stands where its lines do.
    let mut before = 0;
    let mut out = Vec::new();
    for (lines, bad) in counts {
        let usual = *lines as f64 * errors / total;
        if *bad > 0 && (!everywhere || *bad as f64 >= 2.0 * usual) {
            out.push(before as f64 / total);
        }
        before += lines;
    }
    out
}

impl LogPane {
    pub(super) fn refresh_ticks(&mut self) {
        let s = self.snapshot();
        if !s.indexed || !s.filtered {
            return;
        }
        if let Some(search) = &s.search
            && self.ticks.hits.is_none()
            && (1..=HITS).contains(&search.hits)
            && search.evaluated >= s.lines
        {
            let hits = Hits::default();
            let (found, stop) = (Arc::clone(&hits.found), Arc::clone(&hits.stop));
            let (view, wake) = (self.view.clone(), Arc::clone(&self.wake));
            let spawned = std::thread::Builder::new()
                .name("logs-hits".to_owned())
                .spawn(move || place_hits(&view, &wake, (&found, &stop)));
            if spawned.is_ok() {
                self.ticks.hits = Some(hits);
            }
        }
        if let Some(found) = self.ticks.exact.as_ref().and_then(Job::poll) {
            self.ticks.exact = None;
            self.ticks.errors = found.ok().flatten().as_ref().map(striking_of).unwrap_or_default();
        }
        if let Some((rows, at)) = self.ticks.made {
            if rows == s.rows {
                return;
            }
            if at.elapsed() < PACE {
                self.due = sooner(self.due, at + PACE);
                return;
            }
        }
        if s.lines <= SMALL {
            self.ticks.exact = self.view.histogram_exact(None, STRETCHES).ok();
        } else {
            let found = self.view.histogram(None, STRETCHES).ok().flatten();
            self.ticks.errors = found.as_ref().map(striking_of).unwrap_or_default();
        }
        let all: Vec<_> = self.marks.iter().map(|(key, _)| key).collect();
        let rows = s.rows.max(1) as f64;
        self.ticks.marks = all
            .into_iter()
            .filter_map(|key| {
                let pos = self.view.marked(key).ok().flatten()?;
                self.view.row_of(pos).ok().flatten().map(|n| n as f64 / rows)
            })
            .take(128)
            .collect();
        self.ticks.made = Some((s.rows, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::striking;

    #[test]
    fn errors_are_marked_where_they_stand_out() {
        assert_eq!(striking(&[(10, 0), (10, 1), (20, 0), (0, 0), (10, 0)]), [0.2]);
        // The same everywhere says nothing.
        assert!(striking(&[(10, 1); 8]).is_empty());
        assert_eq!(striking(&[(10, 1), (10, 1), (10, 9), (10, 1)]), [0.5]);
        assert!(striking(&[]).is_empty());
    }
}
