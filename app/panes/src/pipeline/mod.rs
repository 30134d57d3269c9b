//! The pane onto a log pipeline: its components with their numbers, the wiring, the events on any edge as they pass, and
//! what the components have to say. The pipeline runs in the engine; the pane holds what was looked at and where the
//! cursor stands.

mod draw;
mod keys;
mod tap;
mod tree;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use qd_core::{
    EngineHandle, EngineState, Now, Overflow, Receiver, Record, Schema, SourceId, Supervisor, Timestamp, Wake,
    WakeGuard,
    supervise::{Backoff, Engine, Handle, Pending, Policy, Restart},
};
use qd_frame::Frame;
use qd_logs::{
    Snapshot,
    engine::{ConfigPath, EngineConfig, EngineView, Format, LoadOptions, LogsEngine, Origin, Reply},
};
use qd_mux::{Action, Mode, PaneSpec};
use qd_tty::{InputEvent, KeyKind, MouseButton, MouseKind, Rect, Size};
use qd_ui::{Look, edit::LineEdit};

use crate::{Cursor, Focus, Pane, PaneEvent, Refused};
use tap::Watched;

/// The pipeline of a pane whose layout names none.
const SYSTEM: &str = include_str!("../../../../assets/pipelines/system.yaml");
/// Messages that are kept for the screen.
const MESSAGES: usize = 1000;
/// How long a stop waits for sinks.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a tap is read while it is seen.
const LOOK: Duration = Duration::from_millis(100);

/// What the lower part shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// The events that pass where the cursor stands.
    Events,
    /// Everything about the component under the cursor.
    Details,
    /// What components said.
    Messages,
    /// The keys.
    Help,
}

/// What the upper part shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Above {
    /// The components, one a row.
    Table,
    /// The wiring.
    Wiring,
}

/// The part that the keys move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Above,
    Below,
}

/// The order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As the data flows.
    Flow,
    /// The most received in a second first.
    Rate,
    /// The most errors and losses first.
    Trouble,
    /// The fullest buffer first.
    Buffer,
}

/// A pane onto a pipeline.
pub(crate) struct PipelinePane {
    handle: EngineHandle<LogsEngine>,
    _guard: WakeGuard,
    /// What the built-in pipeline keeps on disk.
    _data: Option<tempfile::TempDir>,
    name: String,
    records: Receiver<Record>,
    messages: VecDeque<Record>,
    above: Above,
    below: Below,
    region: Region,
    order: Order,
    /// The component under the cursor, by name: rows move.
    at: Option<Arc<str>>,
    /// The row of the wiring under the cursor.
    twig: usize,
    /// What the lower part is scrolled by, from its end for events and messages, else from its beginning.
    scrolled: usize,
    /// Rows the lower part has, for paging.
    page: usize,
    watched: Option<Watched>,
    asked: Option<(tap::Place, Pending<Reply>)>,
    reload: Option<Pending<Reply>>,
    paused: bool,
    filter: Option<(String, qd_core::Filter)>,
    typing: Option<LineEdit>,
    /// Why what is typed is no filter.
    wrong: Option<String>,
    note: Option<(String, bool)>,
    events: Vec<PaneEvent>,
    titled: bool,
    /// The row of the screen of each component that is shown, for the mouse.
    shown: Vec<(u16, usize)>,
    text: Vec<String>,
    due: Option<Instant>,
}

fn now() -> Now {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now::local(Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)))
}

/// The configuration that a layout names: `config`, with several one a line; the built-in one without.
fn origin_of(spec: &PaneSpec) -> Result<(Origin, Option<tempfile::TempDir>), Refused> {
    let base = spec.cwd.as_deref().map(PathBuf::from);
    let named: Vec<ConfigPath> = spec
        .args
        .get("config")
        .into_iter()
        .flat_map(|t| t.lines())
        .filter(|l| !l.trim().is_empty())
        .map(|l| match &base {
            Some(b) => b.join(l.trim()),
            None => PathBuf::from(l.trim()),
        })
        .map(|p| {
            if p.is_dir() {
                ConfigPath::Dir(p)
            } else {
                ConfigPath::File(p, None)
            }
        })
        .collect();
    if !named.is_empty() {
        return Ok((Origin::Files(named), None));
    }
    let dir = tempfile::Builder::new()
        .prefix("quarterdeck-pipeline-")
        .tempdir()
        .map_err(|e| Refused(format!("no directory for the pipeline's positions: {e}")))?;
    let quoted = format!("'{}'", dir.path().to_string_lossy().replace('\'', "''"));
    let origin = Origin::Text {
        name: "the machine's own logs".to_owned(),
        text: format!("data_dir: {quoted}\n{SYSTEM}"),
        format: Format::Yaml,
    };
    Ok((origin, Some(dir)))
}

impl PipelinePane {
    /// Starts the pipeline that a layout names.
    ///
    /// # Errors
    /// When the session is ending, or there is no place for what the pipeline keeps.
    pub(crate) fn open(supervisor: &Supervisor, wake: Wake, spec: &PaneSpec) -> Result<PipelinePane, Refused> {
        let (origin, data) = origin_of(spec)?;
        let name = origin.name();
        let source = SourceId::new(spec.name.as_deref().unwrap_or("pipeline"));
        let config = EngineConfig {
            origin,
            load: LoadOptions::default(),
            deadline: DEADLINE,
        };
        let policy = Policy {
            restart: Restart::OnFailure,
            backoff: Backoff::default(),
            stop_deadline: DEADLINE + Duration::from_secs(1),
            ..Policy::default()
        };
        let handle = supervisor
            .start::<LogsEngine>(source, config, policy)
            .map_err(|e| Refused(e.to_string()))?;
        let guard = handle.on_change(wake);
        Ok(PipelinePane {
            records: handle.subscribe(MESSAGES, Overflow::DropOldest),
            handle,
            _guard: guard,
            _data: data,
            name,
            messages: VecDeque::new(),
            above: Above::Table,
            below: Below::Events,
            region: Region::Above,
            order: Order::Flow,
            at: None,
            twig: 0,
            scrolled: 0,
            page: 1,
            watched: None,
            asked: None,
            reload: None,
            paused: false,
            filter: None,
            typing: None,
            wrong: None,
            note: None,
            events: Vec::new(),
            titled: false,
            shown: Vec::new(),
            text: Vec::new(),
            due: None,
        })
    }

    /// The handle, for whoever publishes its records.
    pub(crate) fn handle(&self) -> &dyn Handle {
        &self.handle
    }

    fn view(&self) -> Arc<EngineView> {
        self.handle.snapshot()
    }

    fn pipeline(&self) -> Arc<Snapshot> {
        Arc::clone(&self.view().pipeline)
    }

    fn say(&mut self, words: impl Into<String>, bad: bool) {
        self.note = Some((words.into(), bad));
    }

    /// The components in the order of the table.
    fn rows(&self, s: &Snapshot) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..s.components.len()).collect();
        let key = |i: &usize| {
            s.components.get(*i).map_or(0.0, |c| match self.order {
                Order::Flow => 0.0,
                Order::Rate => -c.rate_in.max(c.rate_out),
                Order::Trouble => -((c.errors + c.lost + c.buffer.map_or(0, |b| b.dropped)) as f64),
                Order::Buffer => -(c.buffer.map_or(0, |b| b.bytes) as f64),
            })
        };
        rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
        rows
    }

    /// The component under the cursor.
    fn selected(&self, s: &Snapshot) -> Option<usize> {
        match self.above {
            Above::Table => {
                let here = self
                    .at
                    .as_ref()
                    .and_then(|id| s.components.iter().position(|c| c.id == *id));
                here.or_else(|| self.rows(s).first().copied())
            }
            Above::Wiring => {
                let twigs = tree::draw(s);
                let twig = twigs.get(self.twig.min(twigs.len().saturating_sub(1)))?;
                s.components.iter().position(|c| c.id == twig.id)
            }
        }
    }

    /// Takes what has come: answers, messages, events.
    fn poll(&mut self) {
        while let Some(r) = self.records.try_recv() {
            if self.messages.len() >= MESSAGES {
                self.messages.pop_front();
            }
            self.messages.push_back(r);
        }
        if let Some(answer) = self.reload.as_mut().and_then(Pending::try_take) {
            self.reload = None;
            match answer {
                Ok(Reply::Reloaded(Ok(c))) => self.say(
                    format!(
                        "reloaded: {} added, {} changed, {} removed, {} kept",
                        c.added.len(),
                        c.changed.len(),
                        c.removed.len(),
                        c.kept.len()
                    ),
                    false,
                ),
                // The snapshot tells why.
                Ok(Reply::Reloaded(Err(_))) => self.say("the old configuration runs on", true),
                Ok(Reply::Tap(_)) => {}
                Err(e) => self.say(e.to_string(), true),
            }
        }
        self.poll_tap();
    }
}

impl Pane for PipelinePane {
    fn kind(&self) -> &str {
        "pipeline"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        self.poll();
        if !std::mem::replace(&mut self.titled, true) {
            self.events
                .push(PaneEvent::Title(format!("pipeline \u{25b8} {}", self.name)));
        }
        let cursor = self.paint(frame, area, look, focus);
        self.due =
            (self.watched.is_some() || self.asked.is_some() || self.reload.is_some()).then(|| Instant::now() + LOOK);
        cursor
    }

    fn resize(&mut self, _size: Size) {}

    fn input(&mut self, event: &InputEvent) -> bool {
        match event {
            InputEvent::Key(k) if k.kind != KeyKind::Release => self.key(k),
            InputEvent::Paste(bytes) => match &mut self.typing {
                Some(t) => {
                    t.insert(&String::from_utf8_lossy(bytes));
                    self.typed();
                    true
                }
                None => false,
            },
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
                    if let Some((_, i)) = self.shown.iter().find(|(y, _)| *y == m.row) {
                        let i = *i;
                        self.region = Region::Above;
                        self.select(i);
                    }
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), Refused> {
        let page = i64::try_from(self.page.max(2)).unwrap_or(2) - 1;
        match action {
            Action::ScrollUp => self.scroll(-1),
            Action::ScrollDown => self.scroll(1),
            Action::PageScrollUp => self.scroll(-page),
            Action::PageScrollDown => self.scroll(page),
            Action::HalfPageScrollUp => self.scroll(-(page / 2).max(1)),
            Action::HalfPageScrollDown => self.scroll((page / 2).max(1)),
            Action::ScrollToTop => self.scroll(i64::MIN),
            Action::ScrollToBottom => self.scroll(i64::MAX),
            _ => return Err(Refused("a pipeline pane cannot do that".to_owned())),
        }
        Ok(())
    }

    fn status(&self) -> String {
        match &*self.handle.state() {
            EngineState::Running { .. } => {
                let s = self.pipeline();
                let rate: f64 = s
                    .components
                    .iter()
                    .filter(|c| c.kind == qd_logs::Kind::Source)
                    .map(|c| c.rate_out)
                    .sum();
                let lost: u64 = s
                    .components
                    .iter()
                    .map(|c| c.lost + c.buffer.map_or(0, |b| b.dropped))
                    .sum();
                let lost = if lost > 0 {
                    format!(" {} lost", draw::count(lost))
                } else {
                    String::new()
                };
                let live = if self.paused { "paused" } else { "\u{25cf}live" };
                format!("{}/s{lost} {live}", draw::rate(rate))
            }
            other => other.word().to_owned(),
        }
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        self.watched = None;
        self.handle.restart();
        Ok(())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn home(&self) -> Mode {
        Mode::Nav
    }

    fn prompts(&self) -> bool {
        self.typing.is_some()
    }

    fn hints(&self) -> Vec<(String, String)> {
        keys::hints(self)
            .iter()
            .map(|(k, l)| ((*k).to_owned(), (*l).to_owned()))
            .collect()
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn screen_text(&self) -> String {
        let mut out = self.text.join("\n");
        out.push('\n');
        out
    }
}

impl Drop for PipelinePane {
    fn drop(&mut self) {
        // The future only waits; the request to end holds without it.
        drop(self.handle.shutdown(DEADLINE + Duration::from_secs(1)));
    }
}

/// The fields that a tap's filter knows: those of records, and whatever events carry.
fn schema() -> Schema {
    LogsEngine::schema().with(
        "output",
        qd_core::filter::FieldType::Keyword,
        "the output that the event came from",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipeline_of_the_machine_is_one() {
        let (origin, data) = origin_of(&PaneSpec::default()).unwrap();
        let Origin::Text { text, format, .. } = origin else {
            panic!()
        };
        let loaded = qd_logs_config::load_text("system", &text, format, &LoadOptions::default()).unwrap();
        let plan = qd_logs::Plan::new(&loaded.config, &qd_logs::facade::full_catalog());
        let plan = plan.unwrap_or_else(|e| panic!("{e:?}"));
        assert!(plan.warnings.is_empty() && loaded.warnings.is_empty());
        assert_eq!((plan.sources.len(), plan.transforms.len(), plan.sinks.len()), (2, 2, 2));
        assert!(data.unwrap().path().is_dir());
    }

    #[test]
    fn several_configurations_stand_one_a_line() {
        let mut spec = PaneSpec {
            cwd: Some("/etc".to_owned()),
            ..PaneSpec::default()
        };
        spec.args
            .insert("config".to_owned(), "a.yaml\n/srv/b.toml\n".to_owned());
        let (origin, _) = origin_of(&spec).unwrap();
        assert_eq!(
            origin,
            Origin::Files(vec![
                ConfigPath::File("/etc/a.yaml".into(), None),
                ConfigPath::File("/srv/b.toml".into(), None)
            ])
        );
        assert_eq!(origin.name(), "/etc/a.yaml /srv/b.toml");
    }
}
