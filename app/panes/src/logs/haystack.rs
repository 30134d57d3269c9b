//! Open logs as something to search: every source of a view by itself. A plain file is read where it lies; what the view has
//! unpacked or taken from a program is read through the view, up to a bound.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use qd_logs_view::{Anchor, LineNumber, View};
use qd_mux::PaneId;
use qd_search_live::{Go, Haystack, Kind, Scope, Source, Text, Work};

/// Rows that are taken from a view at once.
const ROWS: usize = 1000;
/// The most that is read through a view.
const MOST: usize = 32 << 20;

/// The logs of a pane.
pub(super) struct OpenLogs {
    pane: PaneId,
    title: String,
    view: View,
    /// What was read through the view, once.
    read: parking_lot::Mutex<BTreeMap<u32, Text>>,
}

/// A file of a view.
struct LogFile {
    id: Vec<u8>,
    path: PathBuf,
}

impl Haystack for LogFile {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Box::new(file))
    }
}

/// Whether a file's text is what its bytes say.
fn is_plain(path: &Path) -> bool {
    let packed = |m: &[u8]| m.starts_with(&[0x1f, 0x8b]) || m.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let mut head = [0; 4];
    path.is_file()
        && File::open(path)
            .and_then(|mut f| f.read(&mut head))
            .is_ok_and(|n| !packed(head.get(..n).unwrap_or_default()))
}

impl OpenLogs {
    pub(super) fn new(pane: PaneId, title: &str, view: View) -> Self {
        Self {
            pane,
            title: title.to_owned(),
            view,
            read: parking_lot::Mutex::default(),
        }
    }

    fn hay(&self, source: u32) -> Option<Arc<dyn Haystack>> {
        let s = self.view.snapshot();
        let state = s.sources.iter().find(|s| s.id == source)?;
        let id = crate::part_id(self.pane, source);
        let path = PathBuf::from(&state.name);
        if is_plain(&path) {
            return Some(Arc::new(LogFile { id, path }));
        }
        let mut read = self.read.lock();
        let text = read.entry(source).or_insert_with(|| self.text(source, id));
        Some(Arc::new(text.clone()))
    }

    /// The rows of a source, read through the view.
    fn text(&self, source: u32, id: Vec<u8>) -> Text {
        let (mut bytes, mut numbers, mut at) = (Vec::new(), Vec::new(), Anchor::Start);
        let mut last = None;
        while bytes.len() < MOST {
            let Ok(screen) = self.view.rows(at, 0, ROWS) else { break };
            let fresh: Vec<_> = screen.rows.iter().filter(|r| Some(r.pos) != last).collect();
            let Some(end) = fresh.last().map(|r| r.pos) else { break };
            for row in fresh.iter().filter(|r| r.pos.source == source) {
                bytes.extend_from_slice(row.text().as_bytes());
                bytes.push(b'\n');
                numbers.push(match row.number {
                    LineNumber::At(n) => n,
                    LineNumber::FromEnd(_) | LineNumber::Unknown => 1,
                });
            }
            last = Some(end);
            at = Anchor::At(end);
        }
        Text::later(id, self.title.clone(), move || (bytes, numbers))
    }

    fn part(id: &[u8]) -> Option<u32> {
        id.get(4..8)?.try_into().ok().map(u32::from_be_bytes)
    }
}

impl Source for OpenLogs {
    fn kind(&self) -> Kind {
        Kind::Logs
    }

    fn search(&self, scope: Scope<'_>, work: &Work<'_>) {
        let mut visitor = work.visitor();
        for s in &self.view.snapshot().sources {
            let id = crate::part_id(self.pane, s.id);
            if scope.only.is_some_and(|o| !o.contains(&id)) {
                continue;
            }
            if let Some(hay) = self.hay(s.id)
                && visitor.visit(&*hay) == Go::Stop
            {
                return;
            }
        }
    }

    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>> {
        self.hay(Self::part(id)?)
    }

    fn number(&self, id: &[u8], line: u64) -> u64 {
        let read = self.read.lock();
        Self::part(id)
            .and_then(|p| read.get(&p))
            .map_or(line, |t| t.number(line))
    }

    fn title(&self, id: &[u8]) -> String {
        let s = self.view.snapshot();
        let part = Self::part(id);
        let name = s.sources.iter().find(|s| Some(s.id) == part).map(|s| s.name.clone());
        name.unwrap_or_else(|| self.title.clone())
    }
}
