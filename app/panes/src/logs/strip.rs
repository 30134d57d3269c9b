//! The strip above the lines: how many there are over time, by level.

use std::time::{Duration, Instant};

use qd_core::{Severity, Timestamp};
use qd_frame::{ColorDepth, Frame, Style};
use qd_logs_view::{Histogram, Job};
use qd_tty::{Attrs, Cell, Key, KeyEvent, Mods, Rect, Size};
use qd_ui::{Glyphs, Look, Role, fit};

use super::{LogPane, Region, grouped, now, sooner, text::length};

/// How often the strip is worked out again while logs grow.
const PACE: Duration = Duration::from_millis(500);
/// The shortest stretch of time a bar stands for, in nanoseconds.
const SHORTEST: i64 = 1_000_000;
/// The eighths of a cell.
const BLOCKS: [&str; 9] = [
    " ", "\u{2581}", "\u{2582}", "\u{2583}", "\u{2584}", "\u{2585}", "\u{2586}", "\u{2587}", "\u{2588}",
];

/// What a histogram was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    within: Option<(i64, i64)>,
    width: u16,
    lines: u64,
    rows: u64,
    indexed: bool,
    filtered: bool,
}

/// The strip.
#[derive(Debug, Default)]
pub(super) struct Strip {
    /// The stretch of time that is shown; all of it without one.
    within: Option<(i64, i64)>,
    /// The bar under the cursor.
    at: usize,
    found: Option<Histogram>,
    made: Option<(Made, Instant)>,
    exact: Option<Job<Option<Histogram>>>,
}

impl Strip {
    /// What was worked out counts no more.
    pub(super) fn forget(&mut self) {
        self.found = None;
        self.made = None;
        self.exact = None;
    }
}

/// Rows the strip takes: words, bars, axis.
pub(super) fn height(size: Size) -> u16 {
    match size.rows {
        0..=7 => 0,
        8..=13 => 3,
        14..=29 => 5,
        _ => 6,
    }
}

/// What stands in one cell of a bar: the eighths of it up to which it is bad, warned of, and filled at all.
fn cell_of(counts: [u64; 3], most: u64, cells: u16, row: u16) -> [u64; 3] {
    let eighths = u64::from(cells) * 8;
    let from = u64::from(row) * 8;
    // What is there at all is seen: an eighth at least.
    counts.map(|n| {
        let tall =
            u64::try_from((u128::from(n) * u128::from(eighths)).div_ceil(u128::from(most.max(1)))).unwrap_or(eighths);
        tall.saturating_sub(from).min(8)
    })
}

/// A stretch around `middle`, `factor` times as long as the one before, inside of `whole`.
fn zoomed(within: (i64, i64), whole: (i64, i64), middle: i64, inwards: bool) -> Option<(i64, i64)> {
    let long = within.1.saturating_sub(within.0).max(1);
    let long = if inwards {
        (long / 4).max(SHORTEST)
    } else {
        long.saturating_mul(4)
    };
    if long >= whole.1.saturating_sub(whole.0) {
        return None;
    }
    let from = middle
        .saturating_sub(long / 2)
        .clamp(whole.0, whole.1.saturating_sub(long));
    Some((from, from.saturating_add(long)))
}

impl LogPane {
    pub(super) fn toggle_strip(&mut self) {
        if self.strip.take().is_some() {
            self.region = Region::Lines;
        } else if height(self.size) == 0 {
            self.fail("the pane is too low for the strip");
        } else {
            // The bar under the cursor is the selected line's.
            self.strip = Some(Strip {
                at: usize::MAX,
                ..Strip::default()
            });
            self.region = Region::Strip;
        }
    }

    /// Takes a key while the strip has them; answers whether it was the strip's.
    pub(super) fn strip_key(&mut self, k: &KeyEvent) -> bool {
        if k.mods.intersects(Mods::CTRL | Mods::ALT) {
            return false;
        }
        let whole = self.whole_span();
        let Some(strip) = &mut self.strip else { return false };
        let bars = strip.found.as_ref().map_or(0, |h| h.buckets.len());
        match k.key {
            Key::Left => strip.at = strip.at.saturating_sub(1),
            Key::Right => strip.at = (strip.at + 1).min(bars.saturating_sub(1)),
            Key::Home => strip.at = 0,
            Key::End => strip.at = bars.saturating_sub(1),
            Key::Char(c @ ('+' | '=' | '-')) => {
                let Some((h, whole)) = strip.found.as_ref().zip(whole) else {
                    return true;
                };
                let middle = h.start_of(strip.at).0.saturating_add(h.width as i64 / 2);
                let within = strip.within.unwrap_or(whole);
                strip.within = zoomed(within, whole, middle, c != '-');
                strip.forget();
                // The cursor stays at its time.
                let (from, to) = strip.within.unwrap_or(whole);
                let share = middle.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64;
                strip.at = (share.clamp(0.0, 1.0) * bars as f64) as usize;
            }
            Key::Enter => {
                let at = strip.found.as_ref().map(|h| h.start_of(strip.at));
                if let Some(at) = at {
                    let to = self.view.at_time(at);
                    self.go(to, "line at or after that time");
                    self.region = Region::Strip;
                }
            }
            Key::Tab => self.region = Region::Lines,
            _ => return false,
        }
        true
    }

    /// The times of everything.
    fn whole_span(&self) -> Option<(i64, i64)> {
        let s = self.snapshot();
        s.sources
            .iter()
            .filter_map(|src| src.span.map(|(a, b)| (a.0, b.0)))
            .reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
    }

    /// Brings the histogram up to date, not more often than [`PACE`].
    fn refresh_strip(&mut self, width: u16) {
        let s = self.snapshot();
        let Some(strip) = &mut self.strip else { return };
        if let Some(Ok(Some(exact))) = strip.exact.as_ref().and_then(Job::poll) {
            strip.found = Some(exact);
            strip.exact = None;
        }
        let key = Made {
            within: strip.within,
            width,
            lines: s.lines,
            rows: s.rows,
            indexed: s.indexed,
            filtered: s.filtered,
        };
        let due = match &strip.made {
            None => true,
            Some((old, _)) if *old == key => false,
            Some((old, at)) => {
                let late = at.elapsed() >= PACE;
                if !late {
                    self.due = sooner(self.due, *at + PACE);
                }
                late || (old.within, old.width) != (key.within, key.width)
            }
        };
        if !due {
            return;
        }
        let within = strip.within.map(|(a, b)| (Timestamp(a), Timestamp(b)));
        match self.view.histogram(within, usize::from(width)) {
            Ok(found) => strip.found = found,
            Err(e) => {
                let e = e.to_string();
                self.fail(&e);
                return;
            }
        }
        // Block summaries say enough of everything; a stretch of it, or what filters leave, is counted line by line.
        strip.exact = (s.indexed && s.filtered && strip.found.as_ref().is_some_and(|h| !h.exact))
            .then(|| self.view.histogram_exact(within, usize::from(width)).ok())
            .flatten();
        strip.made = Some((key, Instant::now()));
        if strip.at == usize::MAX {
            let at = self.cursor.and_then(|c| self.view.time_of(c).ok().flatten());
            strip.at = match (&strip.found, at) {
                (Some(h), Some(t)) => bucket_of(h, t).unwrap_or(0),
                _ => 0,
            };
        }
        strip.at = strip.at.min(usize::from(width).saturating_sub(1));
    }

    pub(super) fn paint_strip(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        if area.h < 3 || area.w == 0 {
            return;
        }
        self.refresh_strip(area.w);
        let here = self.cursor.and_then(|c| self.view.time_of(c).ok().flatten());
        let focused = self.region == Region::Strip;
        let indexed = self.snapshot().progress;
        let Some(strip) = &self.strip else { return };
        let head = look.style(Role::BarText);
        frame.fill(Rect::new(area.x, area.y, area.w, 1), head.cell(Cell::BLANK.sym));
        let Some(h) = &strip.found else {
            let words = if indexed < 1.0 {
                " the strip: reading"
            } else {
                " the strip: these lines have no times"
            };
            frame.put_str(area.x, area.y, area.w, words, head);
            return;
        };
        let zone = now().zone;
        let count = |least| h.at_least(strip.at, least);
        let (errors, warns) = (count(Severity::Error), count(Severity::Warn));
        let words = format!(
            " {} {}{}, {}, {} {dot} a bar is {} {dot} {}",
            h.start_of(strip.at).date_time(&zone),
            if h.exact { "" } else { "about " },
            counted(h.total(strip.at), "line"),
            counted(errors, "error"),
            counted(warns - errors, "warning"),
            length(h.width),
            if focused {
                "\u{2190} \u{2192} Enter goes there, + - zoom, Esc closes"
            } else {
                "Tab comes here, t t closes"
            },
            dot = look.marks().dot,
        );
        let words = fit(&words, usize::from(area.w), look.marks().ellipsis).into_owned();
        frame.put_str(area.x, area.y, area.w, &look.text(&words), head);
        let most = (0..h.buckets.len()).map(|b| h.total(b)).max().unwrap_or(0);
        let cells = area.h - 2;
        for x in 0..area.w {
            let b = usize::from(x);
            let counts = [
                h.at_least(b, Severity::Error),
                h.at_least(b, Severity::Warn),
                h.total(b),
            ];
            for row in 0..cells {
                let (glyph, style) = bar(cell_of(counts, most, cells, row), look);
                frame.put_str(area.x + x, area.bottom() - 2 - row, 1, glyph, style);
            }
        }
        if focused {
            let x = area.x + u16::try_from(strip.at).unwrap_or(0).min(area.w - 1);
            let wash = look.style(Role::Selection);
            frame.restyle(Rect::new(x, area.y + 1, 1, cells), |c| {
                c.bg = wash.bg;
                c.attrs |= wash.attrs & Attrs::STYLE;
            });
        }
        axis(frame, Rect::new(area.x, area.bottom() - 1, area.w, 1), look, h, here);
    }
}

/// So many of something.
fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Which bar a time belongs to.
fn bucket_of(h: &Histogram, at: Timestamp) -> Option<usize> {
    let b = at.0.checked_sub(h.from.0).filter(|d| *d >= 0)? as u64 / h.width.max(1);
    usize::try_from(b).ok().filter(|b| *b < h.buckets.len())
}

/// The glyph of a cell, and its style: what is worse stands lower, and has the say where two would share a cell with a third.
fn bar([bad, warned, filled]: [u64; 3], look: &Look) -> (&'static str, Style) {
    let level = |n: u64| usize::try_from(n.min(8)).unwrap_or(8);
    if look.glyphs() == Glyphs::Ascii {
        let (glyph, role) = match (bad, warned, filled) {
            (.., 0) => (" ", Role::Text),
            (1.., ..) => ("E", Role::LogError),
            (_, 1.., _) => ("W", Role::LogWarn),
            (.., 1..=3) => (".", Role::LogInfo),
            (.., 4..=7) => (":", Role::LogInfo),
            _ => ("#", Role::LogInfo),
        };
        return (glyph, look.style(role));
    }
    let (under, role, over) = if bad > 0 {
        (
            bad,
            Role::LogError,
            if warned > bad { Role::LogWarn } else { Role::LogInfo },
        )
    } else if warned > 0 {
        (warned, Role::LogWarn, Role::LogInfo)
    } else {
        (filled, Role::LogInfo, Role::LogInfo)
    };
    let mut style = look.style(role);
    if under < filled && filled == 8 && look.depth() != ColorDepth::Mono {
        style.bg = look.style(over).fg;
        return (BLOCKS.get(level(under)).copied().unwrap_or(" "), style);
    }
    let tall = if under * 2 >= filled { role } else { over };
    let style = look.style(tall);
    (BLOCKS.get(level(filled)).copied().unwrap_or(" "), style)
}

/// The times below the bars, and where the selected line is.
fn axis(frame: &mut Frame, area: Rect, look: &Look, h: &Histogram, here: Option<Timestamp>) {
    let zone = now().zone;
    let style = look.style(Role::TextDim);
    let n = h.buckets.len();
    let day = 86_400_000_000_000;
    let long = h.width.saturating_mul(n as u64) > day;
    let label = |b: usize| {
        let t = h.start_of(b);
        if long {
            let whole = t.date_time(&zone);
            whole.get(..16).unwrap_or(&whole).to_owned()
        } else {
            let whole = t.time_of_day(&zone);
            let keep = if h.width < 1_000_000_000 { 12 } else { 8 };
            whole.get(..keep).unwrap_or(&whole).to_owned()
        }
    };
    let wide = label(0).len() + 3;
    let labels = (usize::from(area.w) / wide.max(1)).clamp(1, 6);
    for i in 0..labels {
        let b = i * n / labels;
        let text = format!("{}{}", look.marks().vertical, label(b));
        let x = area.x + u16::try_from(b).unwrap_or(0);
        frame.put_str(x, area.y, area.right().saturating_sub(x), &look.text(&text), style);
    }
    if let Some(b) = here.and_then(|t| bucket_of(h, t)) {
        let x = area.x + u16::try_from(b).unwrap_or(0);
        frame.put_str(x, area.y, 1, "^", look.style(Role::TextInfo));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen_and_the_largest_fills_its_bar() {
        // One error among a thousand of ten thousand at most, in three cells.
        assert_eq!(cell_of([1, 1, 1000], 10_000, 3, 0), [1, 1, 3]);
        assert_eq!(cell_of([1, 1, 1000], 10_000, 3, 1), [0, 0, 0]);
        assert_eq!(cell_of([0, 0, 10_000], 10_000, 3, 2), [0, 0, 8]);
        assert_eq!(cell_of([0; 3], 0, 3, 0), [0; 3]);
        assert_eq!(cell_of([u64::MAX; 3], u64::MAX, 3, 2), [8; 3]);
    }

    #[test]
    fn zooming_stays_inside_and_ends_with_everything() {
        let whole = (0, 1_000_000_000_000);
        let half = zoomed(whole, whole, 900_000_000_000, true);
        assert_eq!(half, Some((750_000_000_000, 1_000_000_000_000)));
        assert_eq!(half.and_then(|w| zoomed(w, whole, 800_000_000_000, false)), None);
        assert_eq!(zoomed((0, 4), whole, 2, true), Some((0, SHORTEST)));
        assert_eq!(zoomed((0, 0), (0, 0), 0, true), None);
    }
}
