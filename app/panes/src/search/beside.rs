//! Drawing what stands beside the list, or in its place: the file around a line, the plan of a replacement, panels.

use qd_frame::Frame;
use qd_search_live::engine::View;
use qd_tty::Rect;
use qd_ui::{Look, Role};
use unicode_width::UnicodeWidthStr;

use super::{
    SearchPane,
    draw::{Line, visible},
    preview::{Preview, Shown},
};

/// Matches that are marked in a line of the preview.
const MARKS: usize = 100;

impl SearchPane {
    pub(super) fn paint_preview(&mut self, frame: &mut Frame, area: Rect, look: &Look, v: &View, right: bool) {
        // A line parts it from the list.
        let rule = look.style(Role::PaneFrame);
        let inner = if right {
            for y in area.y..area.bottom() {
                frame.put_str(area.x, y, 1, look.marks().vertical, rule);
            }
            Rect::new(area.x + 2, area.y, area.w.saturating_sub(2), area.h)
        } else {
            let bar = look.marks().horizontal.repeat(usize::from(area.w));
            frame.put_str(area.x, area.y, area.w, &bar, rule);
            Rect::new(area.x, area.y + 1, area.w, area.h - 1)
        };
        let shown = self.preview.as_ref().and_then(Preview::shown);
        let Some(at) = self.preview_line() else { return };
        let (first, lines) = match shown {
            None => return,
            Some(Shown::Nothing(why)) => {
                frame.put_str(inner.x, inner.y, inner.w, &why, look.style(Role::TextDim));
                return;
            }
            Some(Shown::Lines { first, lines }) => (first, lines),
        };
        let top = at.saturating_sub(u64::from(inner.h / 2)).max(1);
        for row in 0..inner.h {
            let n = top + u64::from(row);
            let Some(pieces) = n.checked_sub(first).and_then(|i| lines.get(usize::try_from(i).ok()?)) else {
                continue;
            };
            let y = inner.y + row;
            let under = if n == at { Role::ListSelected } else { Role::Background };
            if n == at {
                frame.fill(Rect::new(inner.x, y, inner.w, 1), look.blank(Role::ListSelected));
            }
            let mut line = Line::new(frame, inner, y);
            line.put(&format!("{n:>4} "), look.on(Role::TextDim, under));
            let whole: String = pieces.iter().map(|(_, t)| t.as_str()).collect();
            let compiled = v.compiled.as_ref().filter(|_| n == at);
            let marks = compiled.map(|c| c.marks(whole.as_bytes(), MARKS)).unwrap_or_default();
            let mut from = 0;
            for (role, text) in pieces {
                for (part, hit) in cut_at(text, from, &marks) {
                    let style = if hit {
                        look.style(Role::SearchMatch)
                    } else {
                        look.on(*role, under)
                    };
                    line.put(&visible(part), style);
                }
                from += text.len();
            }
        }
    }

    pub(super) fn paint_plan(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        let Some(r) = &mut self.replacing else { return };
        let height = usize::from(area.h).max(1);
        // A hunk is two rows.
        let tall = |row: &(u32, Option<u32>)| if row.1.is_some() { 2 } else { 1 };
        r.top = r.top.min(r.at);
        while r
            .rows
            .get(r.top..=r.at)
            .unwrap_or_default()
            .iter()
            .map(tall)
            .sum::<usize>()
            > height
            && r.top < r.at
        {
            r.top += 1;
        }
        let mut y = area.y;
        for (i, (f, hunk)) in r.rows.iter().enumerate().skip(r.top) {
            if y >= area.bottom() {
                break;
            }
            let Some(file) = r.plan.files.get(*f as usize) else {
                continue;
            };
            let here = i == r.at;
            let under = if here { Role::ListSelected } else { Role::Background };
            if here {
                frame.fill(Rect::new(area.x, y, area.w, 1), look.blank(Role::ListSelected));
            }
            let mut line = Line::new(frame, area, y);
            match hunk.and_then(|h| Some((h, file.hunks.get(h as usize)?))) {
                None => {
                    let n = (0u32..)
                        .zip(&file.hunks)
                        .filter(|(h, _)| !r.off.contains(&(*f, *h)))
                        .count();
                    let sign = if n > 0 { "[x] " } else { "[ ] " };
                    line.put(sign, look.on(Role::ListMarked, under));
                    line.put(&visible(&file.title), look.on(Role::TextInfo, under));
                    line.put(&format!("  {n} of {}", file.hunks.len()), look.on(Role::TextDim, under));
                }
                Some((h, hunk)) => {
                    let on = !r.off.contains(&(*f, h));
                    let sign = if on { "  [x] " } else { "  [ ] " };
                    line.put(sign, look.on(Role::ListMarked, under));
                    let text = |b: &[u8]| visible(String::from_utf8_lossy(b).trim_end_matches('\r'));
                    line.put(
                        &format!("{:>4} -{}", hunk.line, text(&hunk.old)),
                        look.on(Role::DiffRemoved, under),
                    );
                    y += 1;
                    if y < area.bottom() {
                        let mut line = Line::new(frame, area, y);
                        let role = if on { Role::DiffAdded } else { Role::TextDim };
                        line.put(&format!("           +{}", text(&hunk.new)), look.style(role));
                    }
                }
            }
            y += 1;
        }
    }

    pub(super) fn paint_panel(&mut self, frame: &mut Frame, area: Rect, look: &Look) {
        let Some(panel) = self.panel.clone() else { return };
        let rows = panel.rows(self);
        frame.put_str(
            area.x,
            area.y,
            area.w,
            panel.title(),
            look.style(Role::PaneTitleFocused),
        );
        let height = usize::from(area.h.saturating_sub(1));
        let first = (panel.at + 1).saturating_sub(height);
        let wide = rows
            .iter()
            .map(|(k, _)| k.width())
            .max()
            .unwrap_or(0)
            .min(usize::from(area.w) / 2);
        for (i, (key, doc)) in rows.iter().enumerate().skip(first).take(height) {
            let y = area.y + 1 + u16::try_from(i - first).unwrap_or(0);
            let under = if i == panel.at {
                Role::ListSelected
            } else {
                Role::Background
            };
            if i == panel.at {
                frame.fill(Rect::new(area.x, y, area.w, 1), look.blank(Role::ListSelected));
            }
            let mut line = Line::new(frame, area, y);
            let pad = " ".repeat(wide.saturating_sub(key.width()));
            line.put(&format!(" {}{pad}  ", visible(key)), look.on(Role::ListKeys, under));
            line.put(&visible(doc), look.on(Role::Text, under));
        }
        if rows.is_empty() {
            frame.put_str(area.x, area.y + 1, area.w, "there are none", look.style(Role::TextDim));
        }
    }
}

/// A piece of a line, cut where matches begin and end. `from` is where it begins in the line.
fn cut_at<'t>(text: &'t str, from: usize, marks: &[std::ops::Range<usize>]) -> Vec<(&'t str, bool)> {
    let mut out = Vec::new();
    let mut at = 0;
    for m in marks {
        let begin = m.start.saturating_sub(from).clamp(at, text.len());
        let end = m.end.saturating_sub(from).clamp(begin, text.len());
        let (Some(before), Some(hit)) = (text.get(at..begin), text.get(begin..end)) else {
            continue;
        };
        out.push((before, false));
        out.push((hit, true));
        at = end;
    }
    out.push((text.get(at..).unwrap_or_default(), false));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_cut_where_matches_are() {
        assert_eq!(
            cut_at("abcdef", 0, &[1..2, 4..6]),
            [("a", false), ("b", true), ("cd", false), ("ef", true), ("", false)]
        );
        assert_eq!(
            cut_at("def", 3, std::slice::from_ref(&(1..4))),
            [("", false), ("d", true), ("ef", false)]
        );
        assert_eq!(cut_at("abc", 0, &[]), [("abc", false)]);
    }
}
