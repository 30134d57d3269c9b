//! The log pane: log files of any size, seen through `qd-logs-view`.
//!
//! The view does the work (indexing, filters, order in time); this pane owns what a person sees of it: the place, the
//! selected line, the prompt at the bottom, and the panel that is open (filters, sources, details, the menu). Nothing of a
//! line reaches the screen but through `sanitize`.

mod draw;
mod keys;
mod panel;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use qd_core::{Now, Severity, Timestamp, Wake, publish::WakeGuard};
use qd_frame::Frame;
use qd_logs_view::{Anchor, Options, Pos, Row, Screen, Snapshot, View};
use qd_mux::{Action, PaneSpec};
use qd_tty::{InputEvent, KeyKind, MouseButton, MouseKind, Rect, Size};
use qd_ui::{Look, edit::LineEdit};

use crate::{Cursor, Focus, Pane, PaneEvent, Refused};
use panel::Panel;

/// Lines a turn of the wheel moves.
const WHEEL: i64 = 3;
/// Columns a step to the side moves.
const SIDE: u16 = 8;

/// What the prompt at the bottom asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    /// A filter to keep lines by.
    FilterIn,
    /// A filter to hide lines by.
    FilterOut,
    /// A moment to go to.
    Time,
    /// A line number of the selected line's source.
    Line,
    /// A share of everything to go to.
    Percent,
    /// What to add to the clock of a source.
    Clock(u32),
}

impl Ask {
    fn label(&self) -> &'static str {
        match self {
            Ask::FilterIn => "show only",
            Ask::FilterOut => "hide",
            Ask::Time => "go to time",
            Ask::Line => "go to line",
            Ask::Percent => "go to %",
            Ask::Clock(_) => "add to its clock",
        }
    }
}

/// The line that is typed at the bottom.
#[derive(Debug)]
struct Typing {
    ask: Ask,
    edit: LineEdit,
    error: Option<String>,
}

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

/// A pane onto logs.
pub(crate) struct LogPane {
    view: View,
    /// What it was asked to open, for starting again.
    paths: Vec<PathBuf>,
    size: Size,
    /// The selected line; none before there is one.
    cursor: Option<Pos>,
    /// The row of the screen the selected line stands in.
    cursor_row: u16,
    follow: bool,
    /// Rows the view had when follow was left, for "N new".
    left_at: u64,
    wrap: bool,
    side: u16,
    times: Times,
    typing: Option<Typing>,
    /// A key that waits for the next one (`g`, `t`, `y`).
    pending: Option<char>,
    panel: Option<Panel>,
    /// What happened last, shown at the bottom until the next key.
    note: Option<(String, Tone)>,
    history: Vec<String>,
    events: Vec<PaneEvent>,
    title: String,
    /// The rows as they were last drawn, for the mouse and for `screen_text`.
    shown: Vec<(u16, Pos)>,
    text: Vec<String>,
    _guard: WakeGuard,
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

/// What a layout's `path` names: several paths stand one a line or with `:` between them.
fn paths_of(spec: &PaneSpec) -> Vec<PathBuf> {
    let text = spec.args.get("path").or_else(|| spec.args.get("paths"));
    let base = spec.cwd.as_deref().map(PathBuf::from);
    let paths: Vec<PathBuf> = text
        .map(|t| {
            t.split(['\n', ':'])
                .filter(|p| !p.is_empty())
                .map(PathBuf::from)
                .collect()
        })
        .unwrap_or_default();
    if paths.is_empty() {
        return vec![PathBuf::from("/var/log")];
    }
    let absolute = |p: PathBuf| match &base {
        Some(b) if p.is_relative() => b.join(p),
        _ => p,
    };
    paths.into_iter().map(absolute).collect()
}

impl LogPane {
    /// Opens what `spec` names by its `path` argument; the machine's own logs when it names nothing.
    ///
    /// # Errors
    /// When nothing of it can be opened.
    pub(crate) fn open(wake: Wake, spec: &PaneSpec, size: Size) -> Result<LogPane, Refused> {
        let paths = paths_of(spec);
        let view = View::open(&paths, Options::default()).map_err(|e| Refused(e.to_string()))?;
        let guard = view.published().on_change(wake);
        let mut pane = LogPane {
            view,
            paths,
            size,
            cursor: None,
            cursor_row: 0,
            follow: true,
            left_at: 0,
            wrap: false,
            side: 0,
            times: Times::Hidden,
            typing: None,
            pending: None,
            panel: None,
            note: None,
            history: Vec::new(),
            events: Vec::new(),
            title: String::new(),
            shown: Vec::new(),
            text: Vec::new(),
            _guard: guard,
        };
        if let Some(text) = spec.args.get("filter") {
            pane.view
                .filter(qd_logs_view::FilterKind::In, text, &now())
                .map_err(|e| Refused(format!("the filter of the pane: {e}")))?;
        }
        pane.retitle();
        Ok(pane)
    }

    fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        self.view.snapshot()
    }

    /// Rows there are for lines: the last row of the pane is the state's.
    fn height(&self) -> u16 {
        let panel = self.panel.as_ref().map_or(0, |p| p.height(self.size));
        self.size.rows.saturating_sub(1).saturating_sub(panel)
    }

    /// The rows to draw, and which of them is selected.
    fn screen(&mut self) -> Result<Screen, qd_logs_view::Error> {
        let h = usize::from(self.height().max(1));
        if self.follow || self.cursor.is_none() {
            let s = self.view.rows(Anchor::End, h, 0)?;
            self.cursor = s.rows.last().map(|r| r.pos).or(self.cursor);
            self.cursor_row = u16::try_from(s.rows.len().saturating_sub(1)).unwrap_or(0);
            return Ok(s);
        }
        let Some(cursor) = self.cursor else {
            return Ok(Screen::default());
        };
        self.cursor_row = self.cursor_row.min(self.height().saturating_sub(1));
        let before = usize::from(self.cursor_row);
        let s = self.view.rows(Anchor::At(cursor), before, h.saturating_sub(before))?;
        if let Some(row) = s.rows.get(s.at) {
            self.cursor = Some(row.pos);
        }
        self.cursor_row = u16::try_from(s.at).unwrap_or(0).min(self.height().saturating_sub(1));
        Ok(s)
    }

    /// The selected line.
    fn selected(&self) -> Option<Row> {
        let cursor = self.cursor?;
        let s = self.view.rows(Anchor::At(cursor), 0, 1).ok()?;
        s.rows.get(s.at).cloned()
    }

    /// Moves the selection by lines.
    fn step(&mut self, by: i64) {
        let Some(from) = self.cursor else { return };
        match self.view.step(from, by) {
            Ok(Some(to)) => {
                let was_end = self.follow;
                if by < 0 && was_end {
                    self.leave_follow();
                }
                self.cursor = Some(to);
                if !self.follow {
                    let row = i64::from(self.cursor_row) + by;
                    self.cursor_row =
                        u16::try_from(row.clamp(0, i64::from(self.height().saturating_sub(1)))).unwrap_or(0);
                }
            }
            Ok(None) => {}
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// Moves the lines under the selection, as the wheel does.
    fn scroll(&mut self, by: i64) {
        self.step(by);
        if !self.follow {
            let row = i64::from(self.cursor_row) - by;
            self.cursor_row = u16::try_from(row.clamp(0, i64::from(self.height().saturating_sub(1)))).unwrap_or(0);
        }
    }

    fn leave_follow(&mut self) {
        if self.follow {
            self.follow = false;
            self.left_at = self.snapshot().rows;
        }
    }

    /// Goes to a place that the view found.
    fn go(&mut self, to: Result<Option<Pos>, qd_logs_view::Error>, what: &str) {
        match to {
            Ok(Some(pos)) => {
                self.leave_follow();
                self.cursor = Some(pos);
                self.cursor_row = self.height() / 3;
            }
            Ok(None) => self.fail(&format!("there is no {what}")),
            Err(e) => self.fail(&e.to_string()),
        }
    }

    fn set_follow(&mut self, follow: bool) {
        if follow {
            self.follow = true;
        } else {
            self.leave_follow();
        }
    }

    fn fail(&mut self, text: &str) {
        self.note = Some((text.to_owned(), Tone::Error));
    }

    fn tell(&mut self, text: impl Into<String>) {
        self.note = Some((text.into(), Tone::Plain));
    }

    /// Raises or lowers the minimum level by a step.
    fn shift_level(&mut self, up: bool) {
        let now = self.snapshot().level;
        let at = now.map_or(0, |s| Severity::ALL.iter().position(|o| *o == s).map_or(0, |i| i + 1));
        let next = if up {
            (at + 1).min(Severity::ALL.len())
        } else {
            at.saturating_sub(1)
        };
        let level = next.checked_sub(1).and_then(|i| Severity::ALL.get(i).copied());
        self.view.set_level(level);
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
            [first, rest @ ..] => format!("{} and {} more", first.name, rest.len()),
        };
        let filters: Vec<String> = s
            .filters
            .iter()
            .filter(|f| f.enabled)
            .map(|f| match f.kind {
                qd_logs_view::FilterKind::In => f.text.clone(),
                qd_logs_view::FilterKind::Out => format!("-({})", f.text),
            })
            .chain(s.level.map(|l| format!("level:>={l}")))
            .collect();
        let mut title = format!("logs \u{25b8} {subject}");
        if !filters.is_empty() {
            title.push_str(&format!("  [{}]", filters.join(" ")));
        }
        // A name comes from the disk or a layout: it must not act on the terminal.
        let title = qd_logs_view::plain(&title);
        if title != self.title {
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
                if let Some(t) = &mut self.typing {
                    t.edit.insert(&String::from_utf8_lossy(bytes));
                    t.error = None;
                    return true;
                }
                false
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
                    let hit = self.shown.iter().rev().find(|(y, _)| *y <= m.row).copied();
                    if let Some((y, pos)) = hit.filter(|_| m.row < self.height()) {
                        self.leave_follow();
                        self.cursor = Some(pos);
                        self.cursor_row = y;
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
            _ => return Err(Refused("a log pane cannot do that".to_owned())),
        }
        Ok(())
    }

    fn status(&self) -> String {
        let s = self.snapshot();
        let count = if s.filters.iter().any(|f| f.enabled) || s.level.is_some() {
            format!("{}/{}", grouped(s.rows), grouped(s.lines))
        } else {
            grouped(s.lines)
        };
        let state = if self.follow {
            "\u{25cf}follow".to_owned()
        } else {
            match s.rows.saturating_sub(self.left_at) {
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
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        let view = View::open(&self.paths, Options::default()).map_err(|e| Refused(e.to_string()))?;
        self.view = view;
        self.cursor = None;
        self.follow = true;
        Ok(())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn screen_text(&self) -> String {
        let mut out = self.text.join("\n");
        out.push('\n');
        out
    }
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

    #[test]
    fn paths_are_relative_to_the_pane() {
        let mut spec = PaneSpec::default();
        assert_eq!(paths_of(&spec), [PathBuf::from("/var/log")]);
        spec.cwd = Some("/srv".to_owned());
        spec.args.insert("path".to_owned(), "a.log:/b.log".to_owned());
        assert_eq!(paths_of(&spec), [PathBuf::from("/srv/a.log"), PathBuf::from("/b.log")]);
    }
}
