//! The log pane: log files of any size, seen through `qd-logs-view`.
//!
//! The view does the work (indexing, filters, order in time); this pane owns what a person sees of it: the place, the
//! selected line, the prompt at the bottom, and the panel that is open (filters, sources, details, the menu). Nothing of a
//! line reaches the screen but through `sanitize`.

mod chrome;
mod complete;
mod draw;
mod haystack;
mod jobs;
mod keys;
mod marks;
mod menu;
mod moment;
mod open;
mod outside;
mod panel;
mod pick;
mod place;
mod prompt;
mod strip;
mod text;
mod ticks;
mod undo;
mod views;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use qd_core::{Now, Severity, Timestamp, Wake, publish::WakeGuard};
use qd_frame::Frame;
use qd_logs_view::{FilterKind, Marks, Pattern, Pos, View};
use qd_mux::{Action, Mode, PaneId, PaneSpec};
use qd_search_live::Source;
use qd_tty::{InputEvent, KeyKind, MouseButton, MouseKind, Rect, Size};
use qd_ui::Look;

use crate::{Cursor, Focus, Pane, PaneEvent, Refused};
use jobs::{Jump, Work};
use panel::Panel;
use prompt::{History, Typing};
use strip::Strip;
use ticks::Ticks;

/// Lines a turn of the wheel moves.
const WHEEL: i64 = 3;
/// Columns a step to the side moves.
const SIDE: u16 = 8;

/// How times are shown before the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// Not: the line says it itself.
    Hidden,
    /// As a time of day.
    Clock,
    /// As the distance from the selected line.
    Relative,
}

/// What the keys move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    /// The lines.
    Lines,
    /// The strip with the histogram.
    Strip,
}

/// A field that is shown as a column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    name: String,
    /// The widest value that was seen, so that columns do not jump; never narrower than before.
    width: usize,
}

/// A pane onto logs.
pub(crate) struct LogPane {
    view: View,
    /// What other panes say, as far as it is open here.
    feeds: open::Feeds,
    /// What their records are taken over on.
    runtime: tokio::runtime::Handle,
    wake: Wake,
    /// What it was asked to open, for starting again: paths, and what `://` is in.
    places: Vec<String>,
    /// What relative paths are relative to.
    base: Option<PathBuf>,
    size: Size,
    /// The selected line; none before there is one.
    cursor: Option<Pos>,
    /// The row of the screen the selected line stands in.
    cursor_row: u16,
    follow: bool,
    /// Lines there were when follow was left, for "N new"; while a log is indexed first, none of its lines is new.
    left_at: u64,
    indexed: bool,
    wrap: bool,
    side: u16,
    times: Times,
    columns: Vec<Shown>,
    /// The column that is selected.
    cell: usize,
    region: Region,
    strip: Option<Strip>,
    typing: Option<Typing>,
    /// A key that waits for the next one (`g`, `t`, `y`).
    pending: Option<char>,
    panel: Option<Panel>,
    search: Option<Pattern>,
    /// The search as it was typed.
    searched: String,
    /// Lines that are marked for what is done next.
    picked: pick::Picked,
    /// What can be undone.
    past: undo::Past,
    /// How often the time of all panes had been set when this one last went there.
    moment: u64,
    work: Option<Work>,
    last_jump: Option<Jump>,
    /// Places that were left by a jump, and those that were gone back from.
    back: Vec<Pos>,
    ahead: Vec<Pos>,
    marks: Marks,
    /// Sources whose program's end was told.
    ended: Vec<u32>,
    /// What went wrong in writing the marks.
    unsaved: marks::Unsaved,
    /// The thread that writes them.
    saving: Option<std::thread::JoinHandle<()>>,
    /// Where marks are kept.
    state: PathBuf,
    ticks: Ticks,
    /// What happened last, shown at the bottom until the next key.
    note: Option<(String, Tone)>,
    history: History,
    events: Vec<PaneEvent>,
    title: String,
    /// The hints as they were last told.
    hinted: keys::Hints,
    /// The rows as they were last drawn, for the mouse and for `screen_text`.
    shown: Vec<(u16, Pos)>,
    text: Vec<String>,
    /// When what is refreshed at a pace is to be refreshed next, where it is behind.
    due: Option<Instant>,
    guard: WakeGuard,
}

/// How a note is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    /// Just so.
    Plain,
    /// Something did not work.
    Error,
}

/// This moment.
fn now() -> Now {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now::local(Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)))
}

impl LogPane {
    /// Opens what `spec` names by its `path` argument; the machine's own logs when it names nothing.
    ///
    /// # Errors
    /// When nothing of it can be opened.
    pub(crate) fn open(
        runtime: &tokio::runtime::Handle,
        wake: Wake,
        spec: &PaneSpec,
        size: Size,
    ) -> Result<LogPane, Refused> {
        let places = open::places_of(spec);
        let (view, feeds) = open::open_all(&places, runtime).map_err(Refused)?;
        let guard = view.published().on_change(Arc::clone(&wake));
        let state = marks::state_dir(spec);
        let mut pane = LogPane {
            view,
            feeds,
            runtime: runtime.clone(),
            wake,
            places,
            ended: Vec::new(),
            base: spec.cwd.as_deref().map(PathBuf::from),
            size,
            cursor: None,
            cursor_row: 0,
            follow: true,
            left_at: 0,
            indexed: false,
            wrap: false,
            side: 0,
            times: Times::Hidden,
            columns: Vec::new(),
            cell: 0,
            region: Region::Lines,
            strip: None,
            typing: None,
            pending: None,
            panel: None,
            search: None,
            searched: String::new(),
            picked: pick::Picked::default(),
            past: undo::Past::default(),
            moment: crate::moment::shared().0,
            work: None,
            last_jump: None,
            back: Vec::new(),
            ahead: Vec::new(),
            marks: Marks::default(),
            unsaved: marks::Unsaved::default(),
            saving: None,
            state,
            ticks: Ticks::default(),
            note: None,
            history: History::default(),
            events: Vec::new(),
            title: String::new(),
            hinted: &[],
            shown: Vec::new(),
            text: Vec::new(),
            due: None,
            guard,
        };
        pane.load_marks();
        if let Some(text) = spec.args.get("filter") {
            let found = qd_logs_condition::predicate(text, &now());
            found
                .and_then(|found| {
                    let added = pane.view.add_filter(FilterKind::In, text, found, true);
                    added.map_err(|e| e.to_string())
                })
                .map_err(|e| Refused(format!("the filter of the pane: {e}")))?;
        }
        if let Some(name) = spec.args.get("view") {
            pane.take_view(name).map_err(Refused)?;
        }
        pane.retitle();
        Ok(pane)
    }

    fn fail(&mut self, text: &str) {
        self.note = Some((text.to_owned(), Tone::Error));
    }

    fn tell(&mut self, text: impl Into<String>) {
        self.note = Some((text.into(), Tone::Plain));
    }

    /// Raises or lowers the minimum level by a step.
    fn shift_level(&mut self, up: bool) {
        let all = &Severity::ALL;
        // The lowest level hides nothing and is the same as none.
        let at = self
            .snapshot()
            .level
            .and_then(|s| all.iter().position(|o| *o == s))
            .unwrap_or(0);
        let next = if up {
            (at + 1).min(all.len() - 1)
        } else {
            at.saturating_sub(1)
        };
        self.set_level(all.get(next).copied());
    }

    fn set_level(&mut self, level: Option<Severity>) {
        let level = level.filter(|l| *l > Severity::Trace);
        if level != self.snapshot().level {
            self.change(|pane| pane.view.set_level(level));
        }
        match level {
            Some(l) => self.tell(format!("showing {l} and above")),
            None => self.tell("showing every level"),
        }
    }

    /// What the title of the pane is to be now.
    fn retitle(&mut self) {
        let s = self.snapshot();
        let subject = match s.sources.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.name.clone(),
            all if self.places.len() == 1 => format!("{} \u{b7} {} logs", self.places.concat(), all.len()),
            [first, rest @ ..] => format!("{} and {} more", first.name, rest.len()),
        };
        let of = |kind| s.filters.iter().filter(move |f| f.enabled && f.kind == kind);
        // As one would type it: each of them takes something away.
        let apart = |t: &str| t.contains(" OR ") || qd_logs_condition::program(t).is_some();
        let kept = |t: &str| if apart(t) { format!("({t})") } else { t.to_owned() };
        let filters: Vec<String> = of(FilterKind::In)
            .map(|f| kept(&f.text))
            .chain(of(FilterKind::Out).map(|f| format!("-({})", f.text)))
            .chain(s.level.map(|l| format!("level:>={l}")))
            .collect();
        let mut title = format!("logs \u{25b8} {subject}");
        if !filters.is_empty() {
            title.push_str(&format!("  [{}]", filters.join(" ")));
        }
        // A name comes from the disk or a layout: it must not act on the terminal.
        let title = qd_logs_view::plain(&title);
        // The session looks at the hints again when it hears of a title.
        let hints = keys::hints(self);
        if title != self.title || hints != self.hinted {
            self.hinted = hints;
            self.title.clone_from(&title);
            self.events.push(PaneEvent::Title(title));
        }
    }
}

impl Pane for LogPane {
    fn kind(&self) -> &str {
        "logs"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        let known = self.snapshot();
        if !self.indexed {
            (self.left_at, self.indexed) = (known.lines, known.indexed);
        }
        self.due = None;
        self.follow_moment();
        self.poll();
        self.tell_ends();
        self.retitle();
        self.paint(frame, area, look, focus)
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
    }

    fn input(&mut self, event: &InputEvent) -> bool {
        match event {
            InputEvent::Key(k) if k.kind != KeyKind::Release => self.key(k),
            InputEvent::Paste(bytes) => {
                if self.typing.is_none() {
                    return false;
                }
                self.type_text(&String::from_utf8_lossy(bytes));
                true
            }
            InputEvent::Mouse(m) => match m.kind {
                MouseKind::WheelUp => {
                    self.scroll(-WHEEL);
                    true
                }
                MouseKind::WheelDown => {
                    self.scroll(WHEEL);
                    true
                }
                MouseKind::Press(MouseButton::Left) => {
                    let lines = self.areas().lines;
                    let hit = self.shown.iter().rposition(|(y, _)| *y <= m.row);
                    if let Some(i) = hit.filter(|_| (lines.y..lines.bottom()).contains(&m.row)) {
                        self.leave_follow();
                        self.region = Region::Lines;
                        self.cursor = self.shown.get(i).map(|(_, pos)| *pos);
                        self.cursor_row = u16::try_from(i).unwrap_or(0);
                    }
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), Refused> {
        let page = i64::from(self.height().max(2)) - 1;
        match action {
            Action::ScrollUp => self.scroll(-1),
            Action::ScrollDown => self.scroll(1),
            Action::PageScrollUp => self.scroll(-page),
            Action::PageScrollDown => self.scroll(page),
            Action::HalfPageScrollUp => self.scroll(-(page / 2).max(1)),
            Action::HalfPageScrollDown => self.scroll((page / 2).max(1)),
            Action::ScrollToTop => {
                let to = self.view.start();
                self.go(to, "line");
            }
            Action::ScrollToBottom => self.set_follow(true),
            Action::GoToLine(n) => return self.go_to(None, *n),
            _ => return Err(Refused("a log pane cannot do that".to_owned())),
        }
        Ok(())
    }

    fn go_to(&mut self, part: Option<u32>, line: u64) -> Result<(), Refused> {
        let source = part.or(self.cursor.map(|c| c.source)).unwrap_or(0);
        match self.view.at_line(source, line) {
            Ok(Some(pos)) => {
                self.visit(pos);
                Ok(())
            }
            Ok(None) => Err(Refused(format!("there is no line {line}, or it is not indexed yet"))),
            Err(e) => Err(Refused(e.to_string())),
        }
    }

    fn source(&mut self, id: PaneId, title: &str) -> Option<Arc<dyn Source>> {
        Some(Arc::new(haystack::OpenLogs::new(id, title, self.view.clone())))
    }

    fn status(&self) -> String {
        let s = self.snapshot();
        let count = if s.filters.iter().any(|f| f.enabled) || s.level.is_some() {
            format!("{}/{}", grouped(s.rows), grouped(s.lines))
        } else {
            grouped(s.lines)
        };
        let count = match self.picked.lines.len() {
            0 => count,
            n => format!("{count} ({} marked)", grouped(n as u64)),
        };
        let state = if self.follow {
            "\u{25cf}follow".to_owned()
        } else {
            match s.lines.saturating_sub(self.left_at) {
                0 => "paused".to_owned(),
                n => format!("paused, {} new", grouped(n)),
            }
        };
        if s.indexed {
            format!("{count} {state}")
        } else {
            format!("{count} indexing {:.0}% {state}", s.progress * 100.0)
        }
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        // What has come of work is said before the next drawing.
        self.poll();
        self.tell_ends();
        self.retitle();
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        let before = self.snapshot();
        let (view, feeds) = open::open_all(&self.places, &self.runtime).map_err(Refused)?;
        self.ended.clear();
        let again = before.filters.iter().try_for_each(|f| {
            let found = qd_logs_condition::predicate(&f.text, &now())?;
            view.add_filter(f.kind, &f.text, found, f.enabled)
                .map(drop)
                .map_err(|e| e.to_string())
        });
        view.set_level(before.level);
        view.search(self.search.clone());
        self.work = None;
        self.guard = view.published().on_change(Arc::clone(&self.wake));
        self.view = view;
        self.feeds = feeds;
        self.cursor = None;
        self.indexed = false;
        self.back.clear();
        self.ahead.clear();
        self.past = undo::Past::default();
        self.drop_picks();
        self.ticks = Ticks::default();
        if let Some(strip) = &mut self.strip {
            strip.forget();
        }
        self.follow = true;
        self.load_marks();
        again.map_err(Refused)
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn home(&self) -> Mode {
        Mode::Nav
    }

    fn due(&self) -> Option<Instant> {
        self.due
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

    fn screen_text(&self) -> String {
        let mut out = self.text.join("\n");
        out.push('\n');
        out
    }
}

/// The earlier of two moments.
fn sooner(a: Option<Instant>, b: Instant) -> Option<Instant> {
    Some(a.map_or(b, |a| a.min(b)))
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_284), "1,284");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}
