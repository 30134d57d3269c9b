//! The file around the line under the cursor. A thread of its own reads and tells words apart; the pane draws what is there.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use qd_core::Wake;
use qd_search_live::{Haystack, look::whole};
use qd_ui::Role;

use super::{SearchPane, WIDE, highlight::Highlighter};

/// The largest text that is shown.
const LARGEST: u64 = 10 << 20;
/// Lines that are kept ready before and after the line.
const AROUND: usize = 200;
/// Lines before a line from which a grammar begins when the line is far down.
const RUN_UP: usize = 2000;
/// Bytes of a line that are shown.
const LINE: usize = 2000;

/// What a preview is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) number: u64,
    pub(super) group: u32,
    pub(super) line: u64,
}

/// What can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// Lines from a number on.
    Lines {
        first: u64,
        lines: Vec<Vec<(Role, String)>>,
    },
    /// In words, why there is nothing to see.
    Nothing(String),
}

struct Request {
    key: Key,
    hay: Arc<dyn Haystack>,
    path: Option<PathBuf>,
}

type Cell = Arc<Mutex<Option<(Key, Shown)>>>;

/// A preview that is open.
pub(super) struct Preview {
    requests: mpsc::Sender<Request>,
    cell: Cell,
    wanted: Option<Key>,
}

impl Preview {
    fn open(wake: Wake) -> std::io::Result<Self> {
        let (requests, asked) = mpsc::channel();
        let cell = Cell::default();
        let out = Arc::clone(&cell);
        std::thread::Builder::new()
            .name("qd-preview".into())
            .spawn(move || work(&asked, &out, &wake))?;
        Ok(Self {
            requests,
            cell,
            wanted: None,
        })
    }

    /// What is ready, if it is of the file that is wanted.
    pub(super) fn shown(&self) -> Option<Shown> {
        let cell = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, shown) = cell.as_ref()?;
        let wanted = self.wanted.as_ref()?;
        ((key.number, key.group) == (wanted.number, wanted.group)).then(|| shown.clone())
    }
}

/// A text that was read, to be looked at again.
struct Read {
    key: Key,
    text: Result<(String, Vec<Range<usize>>), String>,
}

fn read(r: &Request) -> Read {
    let text = match whole(&*r.hay, LARGEST) {
        Err(e) => Err(e.to_string()),
        Ok((_, true)) => Err(format!("too large: more than {} MiB", LARGEST >> 20)),
        Ok((bytes, false)) if bytes.contains(&0) => Err("binary".to_owned()),
        Ok((bytes, false)) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut at = 0;
            let lines = text
                .split_inclusive('\n')
                .map(|l| {
                    at += l.len();
                    at - l.len()..at
                })
                .collect();
            Ok((text, lines))
        }
    };
    Read {
        key: r.key.clone(),
        text,
    }
}

fn work(asked: &mpsc::Receiver<Request>, out: &Cell, wake: &Wake) {
    let mut last: Option<Read> = None;
    while let Ok(mut r) = asked.recv() {
        // Only the newest counts.
        while let Ok(newer) = asked.try_recv() {
            r = newer;
        }
        let same = |l: &Read| (l.key.number, l.key.group) == (r.key.number, r.key.group);
        let known = match last.take().filter(same) {
            Some(l) => l,
            None => read(&r),
        };
        let put = |shown: Shown| {
            *out.lock().unwrap_or_else(PoisonError::into_inner) = Some((r.key.clone(), shown));
            wake();
        };
        match &known.text {
            Err(why) => put(Shown::Nothing(why.clone())),
            Ok((text, lines)) => {
                let middle = usize::try_from(r.key.line.saturating_sub(1))
                    .unwrap_or(0)
                    .min(lines.len());
                let from = middle.saturating_sub(AROUND);
                let to = (middle + AROUND).min(lines.len());
                let line = |i: usize| lines.get(i).and_then(|s| text.get(s.clone())).unwrap_or_default();
                let cut = |l: &str| l.char_indices().nth(LINE).map_or(l.len(), |(i, _)| i);
                let plain = |i: usize| {
                    let l = line(i).trim_end_matches(['\n', '\r']);
                    vec![(Role::Text, l.get(..cut(l)).unwrap_or_default().to_owned())]
                };
                let first = from as u64 + 1;
                // What is plain is there at once.
                put(Shown::Lines {
                    first,
                    lines: (from..to).map(plain).collect(),
                });
                let path = r.path.as_deref();
                if let Some(mut h) = path.and_then(|p| Highlighter::new(p, line(0))) {
                    let begin = if from > 2 * RUN_UP { from - RUN_UP } else { 0 };
                    let mut told = Vec::new();
                    for i in begin..to {
                        let pieces = h.line(line(i));
                        if i >= from {
                            told.push(pieces);
                        }
                    }
                    put(Shown::Lines { first, lines: told });
                }
            }
        }
        last = Some(known);
    }
}

impl SearchPane {
    /// Opens the preview, or closes it.
    pub(super) fn toggle_preview(&mut self) {
        if self.preview.take().is_some() {
            return;
        }
        match Preview::open(Arc::clone(&self.wake)) {
            Ok(p) => self.preview = Some(p),
            Err(e) => self.say(format!("no preview: {e}"), true),
        }
    }

    /// Opens it where there is room at the right and something to see.
    pub(super) fn offer_preview(&mut self) {
        if self.role == super::Role::Picker && !self.offered && self.size.cols >= WIDE {
            self.offered = true;
            self.toggle_preview();
        }
    }

    /// Asks for what the cursor is at, if it is another place.
    pub(super) fn ask_preview(&mut self) {
        let Some(at) = self.at.filter(|_| self.preview.is_some()) else {
            return;
        };
        let v = self.view();
        let Some(find) = self.find_at(&v, at) else { return };
        let key = Key {
            number: v.number,
            group: at.group,
            line: find.line,
        };
        let Some(hay) = v
            .sources
            .get(usize::from(find.source))
            .and_then(|s| s.again(&find.name))
        else {
            return;
        };
        if let Some(p) = self.preview.as_mut().filter(|p| p.wanted.as_ref() != Some(&key)) {
            p.wanted = Some(key.clone());
            let path = find.path;
            // The thread is gone only when it has panicked; then nothing is shown.
            let _ = p.requests.send(Request { key, hay, path });
        }
    }

    /// The line that the preview is about.
    pub(super) fn preview_line(&self) -> Option<u64> {
        Some(self.preview.as_ref()?.wanted.as_ref()?.line)
    }
}
