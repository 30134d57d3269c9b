//! Columns of the proxy pane's tables on a screen of some width.

use qd_frame::{Frame, Style};
use qd_proxy_content::escape;
use qd_tty::Rect;
use qd_ui::{Look, fit};
use unicode_width::UnicodeWidthStr;

use super::rows::{Column, Row};

/// The columns that fit, with the widths they get.
pub(super) struct Fitted {
    columns: Vec<(usize, Column, u16)>,
}

impl Fitted {
    pub(super) fn new(all: &[Column], width: u16) -> Fitted {
        let mut left = width.saturating_sub(2 + all.first().map_or(0, |c| c.width));
        let mut columns = Vec::new();
        for (at, c) in all.iter().enumerate().skip(1) {
            if c.width > left {
                break;
            }
            left -= c.width;
            columns.push((at, *c, c.width));
        }
        if let Some(c) = all.first() {
            // The first takes what is left.
            columns.insert(0, (0, *c, c.width + left));
        }
        Fitted { columns }
    }

    pub(super) fn put(
        &self,
        frame: &mut Frame,
        area: Rect,
        y: u16,
        look: &Look,
        text: &mut dyn FnMut(&Column) -> (String, Style),
    ) {
        let mut x = area.x + 2;
        for (_, c, w) in &self.columns {
            let (text, style) = text(c);
            self.put_one(frame, look, (x, y, *w), c, &text, style);
            x += w;
        }
    }

    fn put_one(&self, frame: &mut Frame, look: &Look, at: (u16, u16, u16), c: &Column, text: &str, style: Style) {
        let (x, y, w) = at;
        let room = w.saturating_sub(1);
        let text = escape(text);
        let text = fit(&text, usize::from(room), look.marks().ellipsis);
        let wide = u16::try_from(text.width()).unwrap_or(room).min(room);
        let from = if c.right { x + room - wide } else { x };
        frame.put_str(from, y, wide, &look.text(&text), style);
    }

    pub(super) fn put_cells(&self, frame: &mut Frame, area: Rect, y: u16, look: &Look, row: &Row) {
        let mut x = area.x + 2;
        for (n, c, w) in &self.columns {
            let text = row.cells.get(*n).map_or("", String::as_str);
            let role = match (*n, row.accent) {
                (1, Some(accent)) => accent,
                _ => row.role,
            };
            self.put_one(frame, look, (x, y, *w), c, text, look.style(role));
            x += w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{View, rows},
        *,
    };

    #[test]
    fn columns_go_from_the_right_when_there_is_no_room() {
        let all = rows::columns(View::Live);
        let heads = |w: u16| -> Vec<&str> { Fitted::new(all, w).columns.iter().map(|(_, c, _)| c.head).collect() };
        assert_eq!(heads(20), ["path"]);
        assert_eq!(heads(78).first(), Some(&"path"));
        assert!(heads(78).contains(&"took") && heads(200).len() == all.len());
    }
}
