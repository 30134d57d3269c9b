//! Drawing a pipeline pane: numbers above, what passes below.

use qd_core::{Bytes, EngineState, Severity};
use qd_frame::{Frame, Style};
use qd_logs::{ComponentSnapshot, Kind, Snapshot, State};
use qd_logs_view::plain;
use qd_tty::{Attrs, Cell, CursorShape, Rect};
use qd_ui::{Look, Role, fit};
use unicode_width::UnicodeWidthStr;

use super::{Above, Below, PipelinePane, Region, keys::HELP, tap::Seen, tree};
use crate::{Cursor, Focus, put_wrapped};

/// Below this the pane says what it is and no more.
const SMALL: (u16, u16) = (20, 4);

/// A rate or a number in at most five characters.
pub(super) fn rate(n: f64) -> String {
    match n {
        n if n < 0.05 => "0".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0}k", n / 1e3),
        n if n < 1e7 => format!("{:.1}M", n / 1e6),
        n if n < 1e9 => format!("{:.0}M", n / 1e6),
        n => format!("{:.1}G", n / 1e9),
    }
}

/// A count in at most six characters.
pub(super) fn count(n: u64) -> String {
    match n {
        0..=99_999 => n.to_string(),
        _ => rate(n as f64),
    }
}

/// A column of the table: its heading, its width, and what a component has in it.
struct Column {
    head: &'static str,
    width: u16,
    cell: fn(&ComponentSnapshot) -> String,
}

/// The columns at the right; the first are the last to go when there is no room.
const COLUMNS: [Column; 7] = [
    Column {
        head: "in/s",
        width: 6,
        cell: |c| rate(c.rate_in),
    },
    Column {
        head: "out/s",
        width: 6,
        cell: |c| rate(c.rate_out),
    },
    Column {
        head: "errors",
        width: 7,
        cell: |c| count(c.errors),
    },
    Column {
        head: "lost",
        width: 7,
        cell: |c| count(c.lost + c.buffer.map_or(0, |b| b.dropped)),
    },
    Column {
        head: "waiting",
        width: 8,
        cell: |c| c.buffer.map_or(String::new(), |b| count(b.events)),
    },
    Column {
        head: "busy",
        width: 5,
        cell: |c| c.utilization.map_or(String::new(), |u| format!("{:.0}%", u * 100.0)),
    },
    Column {
        head: "filtered",
        width: 9,
        cell: |c| count(c.discarded),
    },
];

fn state_role(c: &ComponentSnapshot) -> Role {
    match c.state {
        State::Failed => Role::TextError,
        State::Draining => Role::TextWarn,
        State::Ended => Role::TextDim,
        State::Running if c.trouble.is_some() => Role::TextWarn,
        State::Running if c.lost + c.buffer.map_or(0, |b| b.dropped) > 0 => Role::TextWarn,
        State::Running => Role::Text,
    }
}

fn severity_role(s: Option<Severity>) -> Role {
    match s {
        None | Some(Severity::Info) => Role::LogInfo,
        Some(Severity::Trace) => Role::LogTrace,
        Some(Severity::Debug) => Role::LogDebug,
        Some(Severity::Warn) => Role::LogWarn,
        Some(Severity::Error | Severity::Fatal) => Role::LogError,
    }
}

/// An event in one line: its text, then its fields. What has no text is shown as it is.
fn event_parts(e: &Seen) -> Vec<(String, Role)> {
    let role = severity_role(e.severity);
    let body = e.record.body();
    if e.metric || body.is_empty() || body.starts_with('{') {
        return vec![(e.line.clone(), role)];
    }
    let mut parts = vec![(body.replace('\n', " "), role)];
    for (name, value) in e.record.fields() {
        // The time stands before it, and is the pipeline's own where the event has none.
        if &**name != "timestamp" {
            parts.push((format!(" {name}="), Role::TextDim));
            parts.push((value.as_ref().to_string().replace('\n', " "), Role::TextDim));
        }
    }
    parts
}

fn kind_word(k: Kind) -> &'static str {
    match k {
        Kind::Source => "source",
        Kind::Transform => "transform",
        Kind::Sink => "sink",
    }
}

impl PipelinePane {
    /// Draws everything; says where the caret stands.
    pub(super) fn paint(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        frame.fill(area, look.style(Role::Background).cell(Cell::BLANK.sym));
        self.shown.clear();
        let cursor = self.paint_parts(frame, area, look, focus);
        self.text = (area.y..area.bottom())
            .map(|y| {
                let row: String = frame
                    .text(y)
                    .chars()
                    .skip(usize::from(area.x))
                    .take(usize::from(area.w))
                    .collect();
                row.trim_end().to_owned()
            })
            .collect();
        cursor
    }

    fn paint_parts(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        if area.h == 0 || area.w == 0 {
            return None;
        }
        let state = self.handle.states().load();
        if let Some(f) = state.failure() {
            let again = match &*state {
                EngineState::BackingOff { .. } => "It is started again by itself; r does it now.",
                _ => "r starts it again.",
            };
            let text = format!("The pipeline does not run.\n{}\n{again}", plain_lines(&f.message));
            put_wrapped(frame, area, &look.text(&text), look.style(Role::TextError));
            return None;
        }
        let s = self.pipeline();
        if s.components.is_empty() {
            let words = match &*state {
                EngineState::Starting => "reading the configuration",
                EngineState::Stopped(_) => "the pipeline has ended; r starts it again",
                _ => "nothing yet",
            };
            frame.put_str(area.x, area.y, area.w, words, look.style(Role::TextDim));
            return None;
        }
        if area.w < SMALL.0 || area.h < SMALL.1 {
            let words = self.state_words(&s);
            frame.put_str(area.x, area.y, area.w, &look.text(&words), look.style(Role::Text));
            return None;
        }
        let wanted = match self.above {
            Above::Table => s.components.len() + 1,
            Above::Wiring => tree::draw(&s).len(),
        };
        let bottom = 1 + u16::from(self.typing.is_some() && area.h > 6);
        let room = area.h - bottom;
        // The lower part has at least a third, when the upper one is long.
        let most = (room * 3 / 5).max(3);
        let mut above = u16::try_from(wanted).unwrap_or(u16::MAX).min(most);
        if room < 8 {
            // One part at a time.
            above = if self.region == Region::Above && self.below == Below::Events {
                room
            } else {
                0
            };
        }
        let upper = Rect::new(area.x, area.y, area.w, above);
        match self.above {
            Above::Table => self.paint_table(frame, upper, look, &s),
            Above::Wiring => self.paint_wiring(frame, upper, look, &s),
        }
        let lower = Rect::new(area.x, area.y + above, area.w, room - above);
        self.paint_below(frame, lower, look, &s);
        self.paint_bottom(frame, area, look, focus, &s)
    }

    fn pointer(&self, frame: &mut Frame, area: Rect, y: u16, look: &Look, here: bool) {
        if !here {
            return;
        }
        frame.put_str(area.x, y, 1, look.marks().pointer, look.style(Role::TextInfo));
        if self.region == Region::Above {
            let wash = look.style(Role::Selection);
            frame.restyle(Rect::new(area.x, y, area.w, 1), |c| {
                c.bg = wash.bg;
                c.attrs |= wash.attrs & Attrs::STYLE;
            });
        }
    }

    fn paint_table(&mut self, frame: &mut Frame, area: Rect, look: &Look, s: &Snapshot) {
        if area.h < 2 {
            return;
        }
        let rows = self.rows(s);
        let selected = self.selected(s);
        let at = selected.and_then(|i| rows.iter().position(|r| *r == i)).unwrap_or(0);
        let (name, ty) = rows
            .iter()
            .filter_map(|i| s.components.get(*i))
            .fold((9, 4), |(n, t), c| (n.max(c.id.width()), t.max(c.ty.width())));
        let width = usize::from(area.w);
        let name = u16::try_from(name.min((width / 3).max(9))).unwrap_or(9);
        let ty = if width >= 60 {
            u16::try_from(ty.min(20)).unwrap_or(4)
        } else {
            0
        };
        let mut left = area.w.saturating_sub(2 + name + 1 + ty + 1);
        let columns: Vec<&Column> = COLUMNS
            .iter()
            .take_while(|c| {
                let fits = left >= c.width;
                left = left.saturating_sub(c.width);
                fits
            })
            .collect();
        let mut head = look.style(Role::Text);
        head.attrs |= Attrs::BOLD;
        let line =
            |frame: &mut Frame, y: u16, id: &str, kind: &str, cells: &dyn Fn(&Column) -> String, style: Style| {
                let id = fit(id, usize::from(name), look.marks().ellipsis);
                frame.put_str(area.x + 2, y, name, &look.text(&id), style);
                let mut x = area.x + 2 + name + 1;
                frame.put_str(x, y, ty, kind, style);
                x += ty;
                for c in &columns {
                    let text = cells(c);
                    let w = u16::try_from(text.width()).unwrap_or(c.width).min(c.width);
                    frame.put_str(x + c.width - w, y, w, &text, style);
                    x += c.width;
                }
            };
        line(frame, area.y, "component", "type", &|c| c.head.to_owned(), head);
        let room = usize::from(area.h - 1);
        let from = at.saturating_sub(room.saturating_sub(1));
        for (n, i) in rows.iter().enumerate().skip(from).take(room) {
            let Some(c) = s.components.get(*i) else { continue };
            let y = area.y + 1 + u16::try_from(n - from).unwrap_or(0);
            line(
                frame,
                y,
                &plain(&c.id),
                &c.ty,
                &|col| (col.cell)(c),
                look.style(state_role(c)),
            );
            self.pointer(frame, area, y, look, selected == Some(*i));
            self.shown.push((y, *i));
        }
    }

    fn paint_wiring(&mut self, frame: &mut Frame, area: Rect, look: &Look, s: &Snapshot) {
        let twigs = tree::draw(s);
        self.twig = self.twig.min(twigs.len().saturating_sub(1));
        let room = usize::from(area.h).max(1);
        let from = self.twig.saturating_sub(room - 1);
        for (n, t) in twigs.iter().enumerate().skip(from).take(usize::from(area.h)) {
            let y = area.y + u16::try_from(n - from).unwrap_or(0);
            let c = s.component(&t.id);
            let port = t.edge.as_ref().and_then(|e| e.output.as_deref());
            let port = port.map_or(String::new(), |p| format!("{p}: "));
            let rest = match c {
                _ if t.again => "  (above)".to_owned(),
                Some(c) => {
                    let per = if c.kind == Kind::Source { c.rate_out } else { c.rate_in };
                    format!("  {} {}  {}/s", kind_word(c.kind), c.ty, rate(per))
                }
                None => String::new(),
            };
            let style = look.style(c.map_or(Role::Text, state_role));
            let dim = look.style(Role::TextDim);
            let mut x = area.x + 2;
            for (text, style) in [
                (t.lead.as_str(), dim),
                (&plain(&port), dim),
                (&plain(&t.id), style),
                (&rest, dim),
            ] {
                x += frame.put_str(x, y, area.right().saturating_sub(x), &look.text(text), style);
            }
            self.pointer(frame, area, y, look, n == self.twig);
            self.shown.push((y, n));
        }
    }

    fn heading(&self, s: &Snapshot) -> String {
        let dot = "\u{b7}";
        match self.below {
            Below::Events => {
                let Some(w) = &self.watched else {
                    return "events: looking".to_owned();
                };
                let mut text = format!("events {}", w.place.words());
                if let Some((f, _)) = &self.filter {
                    text.push_str(&format!("  [{f}]  {} of {}", self.passing().len(), w.seen.len()));
                } else {
                    text.push_str(&format!(" {dot} {} seen", count(w.came)));
                }
                if w.missed() > 0 {
                    text.push_str(&format!(", {} passed unseen", count(w.missed())));
                }
                if self.paused {
                    text.push_str(&format!(" {dot} paused"));
                }
                text
            }
            Below::Details => {
                let c = self.selected(s).and_then(|i| s.components.get(i));
                c.map_or(String::new(), |c| {
                    format!("{} {} {dot} {}", kind_word(c.kind), c.id, c.ty)
                })
            }
            Below::Messages => format!("what components said {dot} {}", self.messages.len()),
            Below::Help => format!("keys {dot} Esc closes"),
        }
    }

    fn paint_below(&mut self, frame: &mut Frame, area: Rect, look: &Look, s: &Snapshot) {
        if area.h == 0 {
            return;
        }
        let head = look.style(Role::BarText);
        frame.fill(Rect::new(area.x, area.y, area.w, 1), head.cell(Cell::BLANK.sym));
        let heading = plain(&self.heading(s));
        let heading = fit(&heading, usize::from(area.w.saturating_sub(2)), look.marks().ellipsis).into_owned();
        let mark = if self.region == Region::Below {
            look.marks().pointer
        } else {
            " "
        };
        let x = area.x + frame.put_str(area.x, area.y, area.w, mark, head);
        frame.put_str(x, area.y, area.w.saturating_sub(1), &look.text(&heading), head);
        let inner = Rect::new(area.x, area.y + 1, area.w, area.h - 1);
        self.page = usize::from(inner.h);
        let passing = if self.below == Below::Events {
            self.passing()
        } else {
            Vec::new()
        };
        let room = usize::from(inner.h);
        let there = match self.below {
            Below::Events => passing.len(),
            Below::Messages => self.messages.len(),
            Below::Help => HELP.len(),
            Below::Details => self
                .selected(s)
                .and_then(|i| s.components.get(i))
                .map_or(0, |c| details(c, s).len()),
        };
        let most = there.saturating_sub(room);
        let scrolled = self.scrolled.min(most);
        let from = match self.below {
            Below::Events | Below::Messages => most - scrolled,
            Below::Details | Below::Help => scrolled,
        };
        if there == 0 {
            let words = match (self.below, &self.filter, &self.watched) {
                (Below::Events, Some(_), Some(w)) if !w.seen.is_empty() => {
                    format!("0 of {} pass the filter \u{b7} \\ clears it", w.seen.len())
                }
                (Below::Events, ..) => "nothing has passed yet".to_owned(),
                _ => "nothing yet".to_owned(),
            };
            frame.put_str(
                inner.x + 2,
                inner.y,
                inner.w.saturating_sub(2),
                &look.text(&words),
                look.style(Role::TextDim),
            );
        }
        let lines = self.lines_below(s, &passing, from, room);
        self.scrolled = scrolled;
        for (i, parts) in lines.iter().enumerate() {
            let y = inner.y + u16::try_from(i).unwrap_or(0);
            let mut x = inner.x + 1;
            for (text, role) in parts {
                let text = plain(text);
                x += frame.put_str(
                    x,
                    y,
                    inner.right().saturating_sub(x),
                    &look.text(&text),
                    look.style(*role),
                );
            }
        }
    }

    /// Lines of the lower part: pieces with their looks.
    fn lines_below(&self, s: &Snapshot, passing: &[&Seen], from: usize, room: usize) -> Vec<Vec<(String, Role)>> {
        let zone = super::now().zone;
        match self.below {
            Below::Events => {
                let several = passing.windows(2).any(|w| matches!(w, [a, b] if a.output != b.output));
                passing
                    .iter()
                    .skip(from)
                    .take(room)
                    .map(|e| {
                        let mut parts = vec![(format!("{} ", e.time.time_of_day(&zone)), Role::TextDim)];
                        if several {
                            parts.push((format!("{} ", e.output), Role::TextInfo));
                        }
                        parts.extend(event_parts(e));
                        parts
                    })
                    .collect()
            }
            Below::Messages => self
                .messages
                .iter()
                .skip(from)
                .take(room)
                .map(|m| {
                    let mut parts = vec![(format!("{} ", m.wall().time_of_day(&zone)), Role::TextDim)];
                    if let Some(c) = m.get("component") {
                        parts.push((format!("{} ", c.as_ref()), Role::TextInfo));
                    }
                    parts.push((m.body().replace('\n', " "), severity_role(Some(m.severity()))));
                    parts
                })
                .collect(),
            Below::Help => HELP
                .iter()
                .skip(from)
                .take(room)
                .map(|(k, l)| vec![(format!("{k:<14} "), Role::TextInfo), ((*l).to_owned(), Role::Text)])
                .collect(),
            Below::Details => {
                let Some(c) = self.selected(s).and_then(|i| s.components.get(i)) else {
                    return Vec::new();
                };
                details(c, s)
                    .into_iter()
                    .skip(from)
                    .take(room)
                    .map(|(k, v)| vec![(format!("{k:<12} "), Role::TextDim), (v, Role::Text)])
                    .collect()
            }
        }
    }

    fn state_words(&self, s: &Snapshot) -> String {
        let of = |k: Kind| s.components.iter().filter(|c| c.kind == k).count();
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "{}, {}, {}",
            plural(of(Kind::Source), "source"),
            plural(of(Kind::Transform), "transform"),
            plural(of(Kind::Sink), "sink")
        );
        let sum = |f: fn(&ComponentSnapshot) -> u64| s.components.iter().map(f).sum::<u64>();
        let (errors, lost) = (sum(|c| c.errors), sum(|c| c.lost + c.buffer.map_or(0, |b| b.dropped)));
        if errors > 0 {
            text.push_str(&format!(
                " \u{b7} {} error{}",
                count(errors),
                if errors == 1 { "" } else { "s" }
            ));
        }
        text.push_str(&format!(" \u{b7} {} lost", count(lost)));
        if s.reloads > 0 {
            text.push_str(&format!(" \u{b7} reloaded {}\u{d7}", s.reloads));
        }
        text
    }

    fn paint_bottom(&self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus, s: &Snapshot) -> Cursor {
        let y = area.bottom() - 1;
        if let Some(t) = &self.typing {
            if area.h > 6 {
                let (words, role) = match &self.wrong {
                    Some(w) => (w.as_str(), Role::TextError),
                    None => (
                        "show only events that match \u{b7} a word, \"a phrase\", /regex/, field:value, -not",
                        Role::TextDim,
                    ),
                };
                frame.put_str(area.x, y - 1, area.w, &look.text(&plain(words)), look.style(role));
            }
            let lead = frame.put_str(area.x, y, area.w, "/ ", look.style(Role::TextInfo));
            let (text, _, caret) = t.view(usize::from(area.w.saturating_sub(lead + 1)));
            frame.put_str(
                area.x + lead,
                y,
                area.w.saturating_sub(lead),
                &look.text(&plain(&text)),
                look.style(Role::Text),
            );
            let x = area.x + lead + u16::try_from(caret).unwrap_or(0);
            return (focus == Focus::Focused).then_some((x, y, CursorShape::default()));
        }
        let view = self.view();
        let (text, role) = match (&self.note, &view.problem) {
            (Some((words, bad)), _) => (words.clone(), if *bad { Role::TextError } else { Role::TextOk }),
            (None, Some(p)) => (
                format!("the changed configuration was not taken over: {}", p.replace('\n', " ")),
                Role::TextError,
            ),
            (None, None) if view.reloading => ("reading the configuration again".to_owned(), Role::TextInfo),
            (None, None) if !view.warnings.is_empty() => (
                format!(
                    "{} \u{b7} {} about the configuration: l",
                    self.state_words(s),
                    match view.warnings.len() {
                        1 => "a warning".to_owned(),
                        n => format!("{n} warnings"),
                    }
                ),
                Role::TextWarn,
            ),
            (None, None) => (self.state_words(s), Role::TextDim),
        };
        let text = plain(&text);
        let text = fit(&text, usize::from(area.w.saturating_sub(1)), look.marks().ellipsis).into_owned();
        frame.put_str(
            area.x + 1,
            y,
            area.w.saturating_sub(1),
            &look.text(&text),
            look.style(role),
        );
        None
    }
}

/// Lines that end where they ended, each without what a terminal would obey.
fn plain_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(plain).collect();
    lines.join("\n")
}

/// Everything about a component.
fn details(c: &ComponentSnapshot, s: &Snapshot) -> Vec<(&'static str, String)> {
    let state = match c.state {
        State::Running => "running",
        State::Draining => "reads what is left",
        State::Ended => "ended",
        State::Failed => "failed",
    };
    let name = |output: &Option<std::sync::Arc<str>>, id: &str| match output {
        Some(o) => format!("{id}.{o}"),
        None => id.to_owned(),
    };
    let inputs: Vec<String> = s
        .edges
        .iter()
        .filter(|e| e.to == c.id)
        .map(|e| name(&e.output, &e.from))
        .collect();
    let mut out = vec![
        ("state", state.to_owned()),
        (
            "in",
            format!("{} events, {}, {}/s", c.events_in, Bytes(c.bytes_in), rate(c.rate_in)),
        ),
        (
            "out",
            format!(
                "{} events, {}, {}/s",
                c.events_out,
                Bytes(c.bytes_out),
                rate(c.rate_out)
            ),
        ),
        ("errors", c.errors.to_string()),
        ("lost", format!("{} by errors", c.lost)),
        ("filtered", format!("{} on purpose", c.discarded)),
    ];
    if let Some(trouble) = &c.trouble {
        out.insert(1, ("trouble", plain(trouble)));
    }
    if let Some(u) = c.utilization {
        out.push(("busy", format!("{:.1}% of the time", u * 100.0)));
    }
    if let Some(b) = c.buffer {
        out.push((
            "buffer",
            format!(
                "{} events, {}, {} of them on disk, {} being sent, {} dropped because it was full",
                b.events,
                Bytes(b.bytes),
                b.on_disk,
                b.unfinished,
                b.dropped
            ),
        ));
    }
    if !inputs.is_empty() {
        out.push(("reads", inputs.join(", ")));
    }
    for (output, n) in &c.outputs {
        let to: Vec<&str> = s
            .edges
            .iter()
            .filter(|e| e.from == c.id && e.output == *output)
            .map(|e| &*e.to)
            .collect();
        let to = if to.is_empty() {
            "nobody".to_owned()
        } else {
            to.join(", ")
        };
        let lead = output.as_deref().map_or(String::new(), |o| format!("{o}: "));
        out.push(("to", format!("{lead}{to}, {n} events")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.04, 0.3, 12.4, 9_999.4, 10_000.0, 1_234_567.0, 12_345_678.0, 3e9];
        let texts: Vec<String> = all.iter().map(|n| rate(*n)).collect();
        assert_eq!(texts, ["0", "0", "0.3", "12", "9999", "10k", "1.2M", "12M", "3.0G"]);
        assert_eq!(count(99_999), "99999");
        assert_eq!(count(100_000), "100k");
    }
}
