//! How a picker looks. This module owns its measures and words; it must never change the picker.

use qd_frame::Frame;
use qd_tty::Rect;
use ratatui::{
    buffer::Buffer,
    layout,
    style::Style,
    text::{Line, Span},
    widgets::{List, ListItem, Paragraph, Scrollbar, ScrollbarOrientation, ScrollbarState, StatefulWidget, Widget},
};
use unicode_segmentation::UnicodeSegmentation;

use super::{Feed, Multi, PickItem, Picker, Ranked};
use crate::{
    canvas::{centred, fit, width},
    overlay::{Popup, draw_input, on_row},
    theme::{Look, Role},
};

/// A screen needs this many columns for a preview.
const PREVIEW_COLS: u16 = 100;
/// The columns are as wide as the best rows need, this many of them.
const MEASURED: usize = 1_000;
/// Loading is shown after this many milliseconds: what is faster needs no words.
const LOADING_AFTER_MS: u64 = 150;

/// Where the parts of a picker lie.
pub(super) struct Rows {
    pub(super) outer: Rect,
    pub(super) list: Rect,
    rule: Option<u16>,
    preview: Option<Rect>,
}

pub(super) fn layout(p: &Picker, area: Rect) -> Rows {
    let wants_preview = p.items.iter().any(|i| i.preview.is_some());
    let split = wants_preview && area.w >= PREVIEW_COLS;
    let wide = if split {
        (area.w - area.w / 8).min(160)
    } else {
        area.w.saturating_sub(area.w / 20).min(96)
    };
    let wide = if area.w < 64 { area.w } else { wide };
    let high = if area.h < 12 {
        area.h
    } else {
        (area.h - area.h / 4).min(if split { 40 } else { 28 })
    };
    // A short list makes a low popup; but not so low that it jumps about while rows come in.
    let rows = u16::try_from(p.items.len())
        .unwrap_or(u16::MAX)
        .saturating_add(4)
        .max(if split { 18 } else { 9 });
    // On a screen with bars, they stay visible.
    let room = if area.h >= 8 {
        Rect::new(area.x, area.y + 1, area.w, area.h - 2)
    } else {
        area
    };
    let outer = centred(room, wide, high.min(rows));
    let bordered = is_boxed(outer);
    let inner = if bordered { outer.shrink(1) } else { outer };
    let (mut list, mut rule) = (
        Rect {
            y: inner.y.saturating_add(1),
            h: inner.h.saturating_sub(1),
            ..inner
        },
        None,
    );
    if bordered && inner.h >= 5 {
        rule = Some(list.y);
        list = Rect {
            y: list.y + 1,
            h: list.h - 1,
            ..list
        };
    }
    let mut preview = None;
    if split && list.w >= 40 && list.h >= 3 {
        let left = list.w / 2;
        preview = Some(Rect::new(list.x + left + 2, list.y, list.w - left - 2, list.h));
        list.w = left;
    }
    Rows {
        outer,
        list,
        rule,
        preview,
    }
}

/// Whether there is room for a box around the input and at least one row.
const fn is_boxed(outer: Rect) -> bool {
    outer.w >= 3 && outer.h >= 4
}

const fn to_layout(r: Rect) -> layout::Rect {
    crate::canvas::rat_rect(r)
}

/// Thousands in groups, as people read them.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// A length of time in a few characters.
fn span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        _ => format!("{} min", ms / 60_000),
    }
}

/// What the source of the rows is doing, where that needs words.
fn feed_words(p: &Picker, look: &Look) -> Option<(String, Role)> {
    let dot = look.marks().dot;
    match &p.feed {
        Feed::Ready => None,
        Feed::Loading { elapsed_ms, .. } if *elapsed_ms < LOADING_AFTER_MS => None,
        Feed::Loading { elapsed_ms, progress } => {
            let mut s = format!("loading{} {}", look.marks().ellipsis, span(*elapsed_ms));
            if let Some((n, of)) = progress {
                let count = |v: u64| grouped(usize::try_from(v).unwrap_or(usize::MAX));
                s.push_str(&format!(" {dot} {} of {}", count(*n), count(*of)));
            }
            Some((s, Role::TextInfo))
        }
        Feed::Denied { reason } => Some((format!("not permitted: {reason}"), Role::TextError)),
        Feed::Disconnected { age_ms, retry_ms } => {
            let age = if p.items.is_empty() {
                String::new()
            } else {
                format!(" {dot} {} old", span(*age_ms))
            };
            Some((
                format!("disconnected{age} {dot} retry in {}", span(*retry_ms)),
                Role::TextWarn,
            ))
        }
    }
}

/// The words in place of rows.
fn empty_words(p: &Picker, look: &Look) -> Option<(String, Role)> {
    if !p.found.is_empty() {
        return None;
    }
    if !p.items.is_empty() {
        let all = grouped(p.items.len());
        return Some((
            format!("0 of {all} match {} Esc clears", look.marks().dot),
            Role::TextDim,
        ));
    }
    match &p.feed {
        Feed::Ready => Some((p.nothing.clone(), Role::TextDim)),
        _ => feed_words(p, look),
    }
}

/// Draws it; gives the caret's place.
pub(super) fn draw(p: &Picker, rows: &Rows, frame: &mut Frame, look: &Look) -> Option<(u16, u16)> {
    if rows.outer.is_empty() {
        return None;
    }
    let mut counter = format!("{}/{}", grouped(p.found.len()), grouped(p.items.len()));
    if !p.marked.is_empty() {
        counter = format!("{} marked {} {counter}", p.marked.len(), look.marks().dot);
    }
    let mut popup = Popup::new(rows.outer, is_boxed(rows.outer), &p.title, &counter, look);
    let top = layout::Rect {
        height: popup.inner.height.min(1),
        ..popup.inner
    };
    let x = draw_input(&mut popup.buffer, top, &p.prompt, &p.query, look);
    let buf = &mut popup.buffer;
    if let Some(y) = rows.rule {
        let line = look.marks().horizontal.repeat(popup.inner.width.into());
        buf.set_string(
            popup.inner.x,
            y,
            line,
            look.rat_on(Role::PaneFrame, Role::PopupBackground),
        );
    }
    match empty_words(p, look) {
        Some((words, role)) => {
            let area = to_layout(rows.list);
            let line = Line::styled(look.text(&words).into_owned(), look.rat_on(role, Role::PopupBackground));
            Paragraph::new(line.centered())
                .wrap(ratatui::widgets::Wrap { trim: true })
                .render(inset(area), buf);
        }
        None => {
            draw_list(p, rows, buf, look);
            draw_scrollbar(p, rows, buf, look);
        }
    }
    if let Some(area) = rows.preview {
        draw_preview(p, area, buf, look);
    }
    let below = p
        .note
        .clone()
        .map(|n| (n, Role::TextWarn))
        .or_else(|| feed_words(p, look));
    if let Some((words, role)) = below.filter(|_| is_boxed(rows.outer) && rows.outer.w >= 8 && !p.items.is_empty()) {
        let words = look.text(&words);
        let words = fit(&words, usize::from(rows.outer.w) - 6, look.marks().ellipsis);
        let style = look.rat_on(role, Role::PopupBackground);
        buf.set_string(rows.outer.x + 2, rows.outer.bottom() - 1, format!(" {words} "), style);
    }
    popup.finish(frame, look);
    x.map(|x| (x, top.y))
}

/// An area with a blank column on either side, where there is room.
const fn inset(a: layout::Rect) -> layout::Rect {
    if a.width < 4 {
        a
    } else {
        layout::Rect {
            x: a.x + 1,
            y: a.y,
            width: a.width - 2,
            height: a.height,
        }
    }
}

/// The widths of the columns, the same for all rows that are shown. Where the groups do not fit beside the details they
/// are left out; then a row's detail goes on as far as its own keys let it, and the few longest labels push theirs on.
struct Columns {
    label: usize,
    /// No label is wider.
    longest: usize,
    detail: usize,
    group: usize,
    keys: usize,
}

/// Rows this wide have keys at their end.
const KEYS_FROM: usize = 48;
/// Details as wide as this may be cut for the sake of the groups.
const DETAIL_ENOUGH: usize = 44;
/// Details that would be narrower than this say nothing.
const DETAIL_LEAST: usize = 8;

const fn gap(w: usize) -> usize {
    if w > 0 { w + 2 } else { 0 }
}

impl Columns {
    fn new(p: &Picker, room: usize) -> Self {
        // Measured over more than what is in view, so that columns stand still while scrolling.
        let measured = p.found.get(..p.found.len().min(MEASURED)).unwrap_or_default();
        let most = |of: &dyn Fn(&PickItem) -> usize| {
            measured
                .iter()
                .filter_map(|r| p.items.get(r.item))
                .map(of)
                .max()
                .unwrap_or(0)
        };
        let label = most(&|i| width(&i.label));
        let detail = most(&|i| width(i.disabled.as_deref().unwrap_or(&i.detail)));
        let mut c = Self {
            label,
            longest: label,
            detail,
            group: most(&|i| width(&i.group)).min(room / 6),
            keys: most(&|i| width(&i.keys)).min(room / 3),
        };
        if room < KEYS_FROM {
            (c.group, c.keys) = (0, 0);
        }
        let beside = room.saturating_sub(label + 2 + gap(c.group) + gap(c.keys));
        if beside < detail.min(DETAIL_ENOUGH) {
            c.group = 0;
        }
        let left = room.saturating_sub(if c.group > 0 { gap(c.group) + gap(c.keys) } else { 0 });
        let enough = if detail > 0 {
            left.saturating_sub(12).max(left * 2 / 5)
        } else {
            left
        };
        c.label = c.label.min(if c.label + 2 + detail <= left { left } else { enough });
        c.longest = c.label;
        if c.group == 0 && c.label + 2 + gap(c.keys) + detail > left {
            let mut widths: Vec<_> = measured
                .iter()
                .filter_map(|r| p.items.get(r.item))
                .map(|i| width(&i.label))
                .collect();
            widths.sort_unstable();
            c.label = widths.get(widths.len() * 9 / 10).map_or(c.label, |w| c.label.min(*w));
        }
        c.detail = left.saturating_sub(c.label + 2).min(detail);
        if c.detail < detail.min(DETAIL_LEAST) {
            c.detail = 0;
            c.label = label.min(left);
            c.longest = c.label;
        }
        c
    }
}

fn draw_list(p: &Picker, rows: &Rows, buf: &mut Buffer, look: &Look) {
    let area = to_layout(rows.list);
    let shown = p.found.get(p.first..).unwrap_or_default();
    let shown = shown.get(..shown.len().min(area.height.into())).unwrap_or_default();
    let lead = match p.multi {
        Multi::Yes => 3,
        Multi::No => 2,
    };
    let room = usize::from(area.width).saturating_sub(lead + 1);
    let columns = Columns::new(p, room);
    let items = shown.iter().enumerate().filter_map(|(i, r)| {
        let item = p.items.get(r.item)?;
        let selected = p.first + i == p.at;
        let base = if selected {
            look.rat(Role::ListSelected)
        } else {
            look.rat(Role::PopupBackground)
        };
        Some(ListItem::new(row(p, item, r, selected, &columns, room, look)).style(base))
    });
    Widget::render(List::new(items), area, buf);
}

/// A row: pointer, mark, label, detail or the reason it can't be chosen, and at the right end its group and keys.
fn row(
    p: &Picker,
    item: &PickItem,
    r: &Ranked,
    selected: bool,
    c: &Columns,
    room: usize,
    look: &Look,
) -> Line<'static> {
    let m = look.marks();
    let stale = matches!(p.feed, Feed::Disconnected { .. });
    let plain = if item.disabled.is_some() || stale {
        Role::ListDisabled
    } else {
        Role::PopupBackground
    };
    let style = |role: Role| {
        if role == Role::PopupBackground {
            Style::new()
        } else {
            on_row(role, selected, look)
        }
    };
    let mut spans = Vec::new();
    let pointer = if selected { m.pointer } else { " " };
    spans.push(Span::styled(pointer, style(Role::PopupTitle)));
    if p.multi == Multi::Yes {
        let mark = if p.marked.contains(&item.id) { m.marked } else { " " };
        spans.push(Span::styled(mark, style(Role::ListMarked)));
    }
    spans.push(Span::raw(" "));
    let mut used = highlighted(
        &item.label,
        &r.label,
        c.longest,
        style(plain),
        style(Role::ListMatch),
        look,
        &mut spans,
    );
    pad(&mut spans, c.label.saturating_sub(used));
    used = used.max(c.label);
    let keys = look.text(&item.keys);
    let keys = fit(&keys, c.keys, m.ellipsis);
    // In columns, or with no more than its own keys after it.
    let after = if c.group > 0 {
        gap(c.group) + gap(c.keys)
    } else {
        gap(width(&keys))
    };
    let detail = c.detail.min(room.saturating_sub(used + 2 + after));
    if detail > 0 {
        spans.push(Span::raw("  "));
        let dim = style(Role::TextDim);
        used += 2 + match &item.disabled {
            Some(reason) => highlighted(reason, &[], detail, style(Role::TextWarn), dim, look, &mut spans),
            None => highlighted(
                &item.detail,
                &r.detail,
                detail,
                dim,
                style(Role::ListMatch),
                look,
                &mut spans,
            ),
        };
    }
    if c.group > 0 {
        pad(&mut spans, room.saturating_sub(used + after) + 2);
        used += room.saturating_sub(used + after);
        let group = look.text(&item.group);
        let group = fit(&group, c.group, m.ellipsis).into_owned();
        used += 2 + width(&group);
        spans.push(Span::styled(group, style(Role::TextDim)));
    }
    pad(&mut spans, room.saturating_sub(used + width(&keys)));
    spans.push(Span::styled(keys.into_owned(), style(Role::ListKeys)));
    Line::from(spans)
}

fn pad(spans: &mut Vec<Span<'static>>, n: usize) {
    if n > 0 {
        spans.push(Span::raw(" ".repeat(n)));
    }
}

/// Pushes `text` cut to `max` columns, with the characters at `hits` in another style; gives the columns used.
fn highlighted(
    text: &str,
    hits: &[u32],
    max: usize,
    plain: Style,
    hit: Style,
    look: &Look,
    spans: &mut Vec<Span<'static>>,
) -> usize {
    let shown = look.text(text);
    let shown = fit(&shown, max, look.marks().ellipsis);
    let mut run = String::new();
    let mut run_hit = false;
    for (i, g) in shown.graphemes(true).enumerate() {
        let is_hit = u32::try_from(i).is_ok_and(|i| hits.binary_search(&i).is_ok());
        if is_hit != run_hit && !run.is_empty() {
            spans.push(Span::styled(
                std::mem::take(&mut run),
                if run_hit { hit } else { plain },
            ));
        }
        run_hit = is_hit;
        run.push_str(g);
    }
    if !run.is_empty() {
        spans.push(Span::styled(run, if run_hit { hit } else { plain }));
    }
    width(&shown)
}

fn draw_scrollbar(p: &Picker, rows: &Rows, buf: &mut Buffer, look: &Look) {
    let visible = usize::from(rows.list.h);
    if p.found.len() <= visible || !is_boxed(rows.outer) {
        return;
    }
    let x = rows.outer.right() - 1;
    let area = layout::Rect {
        x,
        y: rows.list.y,
        width: 1,
        height: rows.list.h,
    };
    scrollbar(area, p.first, visible, p.found.len(), buf, look);
}

/// Draws the thumb of a scrollbar over a popup's right edge.
pub(crate) fn scrollbar(area: layout::Rect, first: usize, visible: usize, len: usize, buf: &mut Buffer, look: &Look) {
    let mut state = ScrollbarState::new(len.saturating_sub(visible).saturating_add(1))
        .position(first)
        .viewport_content_length(visible);
    Scrollbar::new(ScrollbarOrientation::VerticalRight)
        .begin_symbol(None)
        .end_symbol(None)
        .track_symbol(None)
        .thumb_symbol(look.marks().thumb)
        .thumb_style(look.rat_on(Role::ScrollbarThumb, Role::PopupBackground))
        .render(area, buf, &mut state);
}

fn draw_preview(p: &Picker, area: Rect, buf: &mut Buffer, look: &Look) {
    let rule = look.rat_on(Role::PaneFrame, Role::PopupBackground);
    for y in area.y..area.bottom() {
        buf.set_string(area.x - 2, y, look.marks().vertical, rule);
    }
    let text = p.current_item().and_then(|i| i.preview.as_deref()).unwrap_or_default();
    let lines: Vec<Line<'_>> = text
        .lines()
        .take(area.h.into())
        .map(|l| {
            let l = look.text(l).replace('\t', "    ");
            Line::raw(fit(&l, area.w.into(), look.marks().ellipsis).into_owned())
        })
        .collect();
    Paragraph::new(lines)
        .style(look.rat(Role::PopupBackground))
        .render(to_layout(area), buf);
}
