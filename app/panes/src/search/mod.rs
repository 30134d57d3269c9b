//! The search pane: a query line, what it has found, and a look at the file around it. The engine (`qd-search-live`) does the
//! searching and reads whatever is shown; this pane owns the query as it is typed, the selection, and what is open beside
//! the list. The same view over everything the session has is the picker "search everything".

mod beside;
mod draw;
mod highlight;
mod keys;
mod list;
mod outside;
mod panel;
mod preview;
mod query;
mod replace;

pub(crate) use outside::editor_at;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use qd_core::{
    EngineHandle, SourceId, Supervisor, Wake, WakeGuard,
    supervise::{Backoff, Handle, Pending, Policy, Restart},
};
use qd_frame::Frame;
use qd_mux::{Action, Mode, PaneSpec};
use qd_search_live::{
    Files, Place, Query, QueryError, Source,
    engine::{Command, Config, LiveEngine, State, View},
    keep::Keep,
    look::Look as Glance,
    replace::Plan,
};
use qd_tty::{InputEvent, KeyKind, MouseButton, MouseKind, Rect, Size};
use qd_ui::{Look, edit::LineEdit};

use crate::{Cursor, Focus, Pane, PaneEvent, Refused};
use panel::Panel;
use preview::Preview;
use query::Field;
use replace::Replacing;

/// How long an engine may take to end.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(1);
/// Columns from which the preview stands at the right.
const WIDE: u16 = 100;

/// The part that has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    /// What is typed goes to the query.
    Query,
    /// What was found.
    List,
}

/// What the pane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A pane over a directory.
    Pane,
    /// The picker over everything: Enter goes there and closes it.
    Picker,
}

/// A find, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Find {
    source: u16,
    name: Vec<u8>,
    title: String,
    path: Option<PathBuf>,
    line: u64,
    column: u64,
    text: String,
}

/// A question at the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// What to replace by.
    Template,
    /// The name of a search that is kept.
    Name,
    /// Whether to replace.
    Sure,
}

/// A pane onto a search.
pub struct SearchPane {
    handle: EngineHandle<LiveEngine>,
    wake: Wake,
    _guard: WakeGuard,
    role: Role,
    root: PathBuf,
    keep: Keep,
    query: Query,
    fields: [LineEdit; 3],
    field: Field,
    region: Region,
    /// The answer to the query that was sent last.
    asked: Option<Pending<Result<(), QueryError>>>,
    /// The list that the selection belongs to.
    number: u64,
    at: Option<Place>,
    top: Option<Place>,
    /// Whether the selection was moved: until then it stays at the beginning, whatever comes before it.
    moved: bool,
    /// Whether the preview was offered.
    offered: bool,
    /// Whether what became of the last replacement was told.
    told: bool,
    folded: Arc<BTreeSet<u32>>,
    context: u8,
    /// What was asked to be shown last.
    glance: Option<Glance>,
    /// Marked finds, and where a range begins.
    marked: BTreeMap<Place, Find>,
    pending: Option<char>,
    panel: Option<Panel>,
    preview: Option<Preview>,
    replacing: Option<Replacing>,
    /// The plan that was shown last.
    planned: Option<Arc<Plan>>,
    typing: Option<(Ask, LineEdit)>,
    /// The place in the searches of before.
    past: Option<usize>,
    note: Option<(String, bool)>,
    events: Vec<PaneEvent>,
    leave: bool,
    title: String,
    /// The hints as they were last told.
    hinted: keys::Hints,
    size: Size,
    /// Rows there are for the list.
    height: u16,
    /// The rows of the screen and the places in them, for the mouse.
    shown: Vec<(u16, Place)>,
    text: Vec<String>,
    /// Headings that were given a link: the query's number and the file's.
    links: BTreeSet<(u64, u32)>,
}

/// The directory that outlives the session.
pub(super) fn state_dir(spec: &PaneSpec) -> PathBuf {
    if let Some(dir) = spec.args.get("state") {
        return PathBuf::from(dir);
    }
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("XDG_STATE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| var("HOME").map(|h| h.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("quarterdeck/search")
}

/// The directory that a pane searches.
fn root_of(spec: &PaneSpec) -> PathBuf {
    let base = spec
        .cwd
        .as_deref()
        .map(PathBuf::from)
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("/"));
    match spec.args.get("path") {
        Some(p) => base.join(p),
        None => base,
    }
}

impl SearchPane {
    /// A pane over the files of a directory: the argument `path`, else the working directory. `query`, `globs`, `types` and
    /// `regex` are what is searched for at first.
    ///
    /// # Errors
    /// When the session is ending.
    pub(crate) fn open(supervisor: &Supervisor, wake: Wake, spec: &PaneSpec, size: Size) -> Result<Self, Refused> {
        let root = root_of(spec);
        let sources: Vec<Arc<dyn Source>> = vec![Arc::new(Files::indexed(&root))];
        let mut pane = Self::over(supervisor, wake, sources, root, &state_dir(spec), size, Role::Pane)?;
        let arg = |name: &str| spec.args.get(name).cloned().unwrap_or_default();
        pane.take_query(Query {
            text: arg("query"),
            globs: arg("globs"),
            types: arg("types"),
            regex: arg("regex") == "true",
            hidden: arg("hidden") == "true",
            ..Query::default()
        });
        if !pane.query.text.is_empty() {
            pane.region = Region::List;
        }
        Ok(pane)
    }

    /// The picker over everything.
    ///
    /// # Errors
    /// When the session is ending.
    pub(crate) fn everything(
        supervisor: &Supervisor,
        wake: Wake,
        sources: Vec<Arc<dyn Source>>,
        root: PathBuf,
    ) -> Result<Self, Refused> {
        let state = state_dir(&PaneSpec::default());
        Self::over(supervisor, wake, sources, root, &state, Size::new(80, 24), Role::Picker)
    }

    /// A view over any sources.
    ///
    /// # Errors
    /// When the session is ending.
    pub(crate) fn over(
        supervisor: &Supervisor,
        wake: Wake,
        sources: Vec<Arc<dyn Source>>,
        root: PathBuf,
        state: &Path,
        size: Size,
        role: Role,
    ) -> Result<Self, Refused> {
        let config = Config {
            sources,
            state: state.to_owned(),
        };
        let policy = Policy {
            restart: Restart::OnFailure,
            backoff: Backoff::default(),
            stop_deadline: DEADLINE,
            ..Policy::default()
        };
        let handle = supervisor
            .start::<LiveEngine>(SourceId::new("search"), config, policy)
            .map_err(|e| Refused(e.to_string()))?;
        let guard = handle.on_change(Arc::clone(&wake));
        Ok(Self {
            handle,
            wake,
            _guard: guard,
            role,
            root,
            keep: Keep::new(state),
            query: Query::default(),
            fields: Default::default(),
            field: Field::Text,
            region: Region::Query,
            asked: None,
            number: 0,
            at: None,
            top: None,
            moved: false,
            offered: false,
            told: false,
            folded: Arc::default(),
            context: 0,
            glance: None,
            marked: BTreeMap::new(),
            pending: None,
            panel: None,
            preview: None,
            replacing: None,
            planned: None,
            typing: None,
            past: None,
            note: None,
            events: Vec::new(),
            leave: false,
            title: "search".to_owned(),
            hinted: &[],
            size,
            height: 1,
            shown: Vec::new(),
            text: Vec::new(),
            links: BTreeSet::new(),
        })
    }

    /// The handle, for whoever publishes its records.
    pub(crate) fn handle(&self) -> &dyn Handle {
        &self.handle
    }

    /// Whether the person is done with the picker.
    #[must_use]
    pub const fn wants_to_leave(&self) -> bool {
        self.leave
    }

    fn view(&self) -> Arc<View> {
        self.handle.snapshot()
    }

    fn say(&mut self, words: impl Into<String>, bad: bool) {
        self.note = Some((words.into(), bad));
    }

    /// Asks the engine for something whose answer is in the next picture.
    fn tell(&mut self, command: Command) {
        if let Err(e) = self.handle.call(command) {
            self.say(e.to_string(), true);
        }
    }

    /// Takes what has come since the last drawing.
    fn poll(&mut self, v: &View) {
        if let Some(answer) = self.asked.as_mut().and_then(Pending::try_take) {
            self.asked = None;
            if let Err(e) = answer {
                self.say(e.to_string(), true);
            }
        }
        if v.number != self.number {
            // Another list: the selection begins at its first find.
            self.number = v.number;
            self.folded = Arc::default();
            self.marked.clear();
            self.at = None;
            self.top = None;
            self.moved = false;
            self.glance = None;
        }
        if !self.moved {
            self.at = v.results.first().map(|p| v.results.step(p, 1, &self.folded));
            self.top = v.results.first();
        }
        self.poll_replace(v);
        let title = match v.query.text.as_str() {
            "" => format!("search \u{25b8} {}", self.place_name()),
            t => format!(
                "search \u{25b8} {}  [{}]",
                self.place_name(),
                t.chars().take(40).collect::<String>()
            ),
        };
        let title: String = title.chars().filter(|c| !c.is_control()).collect();
        if title != self.title {
            self.title.clone_from(&title);
            self.events.push(PaneEvent::Title(title));
        }
    }

    /// What is searched, for the title.
    fn place_name(&self) -> String {
        match self.role {
            Role::Pane => self.root.display().to_string(),
            Role::Picker => "everything".to_owned(),
        }
    }
}

impl Pane for SearchPane {
    fn kind(&self) -> &str {
        "search"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        let v = self.view();
        self.poll(&v);
        self.paint(frame, area, look, focus, &v)
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
    }

    fn input(&mut self, event: &InputEvent) -> bool {
        match event {
            InputEvent::Key(k) if k.kind != KeyKind::Release => self.key(k),
            InputEvent::Paste(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let line = text.lines().next().unwrap_or_default();
                if let Some((_, edit)) = &mut self.typing {
                    edit.insert(line);
                } else if self.region == Region::Query && self.panel.is_none() && self.replacing.is_none() {
                    self.edit().insert(line);
                    self.typed();
                } else {
                    return false;
                }
                true
            }
            InputEvent::Mouse(m) => match m.kind {
                MouseKind::WheelUp => {
                    self.scroll(-3);
                    true
                }
                MouseKind::WheelDown => {
                    self.scroll(3);
                    true
                }
                MouseKind::Press(MouseButton::Left) => {
                    self.click(m.col, m.row);
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), Refused> {
        let page = i64::from(self.height.max(2)) - 1;
        match action {
            Action::ScrollUp => self.scroll(-1),
            Action::ScrollDown => self.scroll(1),
            Action::PageScrollUp => self.scroll(-page),
            Action::PageScrollDown => self.scroll(page),
            Action::HalfPageScrollUp => self.scroll(-(page / 2).max(1)),
            Action::HalfPageScrollDown => self.scroll((page / 2).max(1)),
            Action::ScrollToTop => self.scroll(i64::from(i32::MIN)),
            Action::ScrollToBottom => self.scroll(i64::from(i32::MAX)),
            _ => return Err(Refused("a search pane cannot do that".to_owned())),
        }
        Ok(())
    }

    fn status(&self) -> String {
        let v = self.view();
        if v.query.text.is_empty() {
            return String::new();
        }
        let n = draw::grouped(v.totals.matches);
        let marked = match self.marked.len() {
            0 => String::new(),
            n => format!(" ({n} marked)"),
        };
        let state = match v.state {
            State::Running => " searching",
            State::Cancelled => " stopped",
            State::Idle | State::Done => "",
        };
        format!("{n}{marked}{state}")
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        // What has come since the last drawing may change what the keys do.
        let v = self.view();
        self.poll(&v);
        // The session looks at the hints again when it hears of a title.
        let hints = keys::hints(self);
        if hints != self.hinted {
            self.hinted = hints;
            self.events.push(PaneEvent::Title(self.title.clone()));
        }
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        self.handle.restart();
        self.number = 0;
        let query = std::mem::take(&mut self.query);
        self.take_query(query);
        Ok(())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn home(&self) -> Mode {
        Mode::Nav
    }

    fn prompts(&self) -> bool {
        let query = self.region == Region::Query && self.panel.is_none() && self.replacing.is_none();
        self.typing.is_some() || query
    }

    fn hints(&self) -> Vec<(String, String)> {
        keys::hints(self)
            .iter()
            .map(|(k, l)| ((*k).to_owned(), (*l).to_owned()))
            .collect()
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn screen_text(&self) -> String {
        let mut out = self.text.join("\n");
        out.push('\n');
        out
    }
}

impl Drop for SearchPane {
    fn drop(&mut self) {
        // The future only waits; the request to end holds without it.
        drop(self.handle.shutdown(DEADLINE));
    }
}
