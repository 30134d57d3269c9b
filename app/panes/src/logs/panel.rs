//! The panel below the lines: the filters, the sources, an entry's fields, the keys.

use qd_logs_view::{FieldValue, FilterKind, plain};
use qd_tty::{Key, KeyEvent, Size};

use super::{Ask, LogPane, keys::HELP};

/// What the panel shows.
#[derive(Debug)]
pub(super) enum Kind {
    /// The filters.
    Filters,
    /// The sources.
    Sources,
    /// An entry.
    Details(Vec<(String, String)>),
    /// The fields of a line, to choose a filter from.
    Fields(Vec<(String, String)>),
    /// The keys.
    Help,
}

/// A list with a selected row.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// One row of a panel.
pub(super) struct Item {
    pub(super) left: String,
    pub(super) right: String,
    /// Whether it is switched off.
    pub(super) off: bool,
}

impl Panel {
    fn of(kind: Kind) -> Panel {
        Panel { kind, at: 0 }
    }

    pub(super) fn filters() -> Panel {
        Panel::of(Kind::Filters)
    }

    pub(super) fn sources() -> Panel {
        Panel::of(Kind::Sources)
    }

    pub(super) fn help() -> Panel {
        Panel::of(Kind::Help)
    }

    /// Rows it takes: at most half of the pane, and none when that leaves no room for lines.
    pub(super) fn height(&self, size: Size) -> u16 {
        let wanted = match &self.kind {
            Kind::Details(v) | Kind::Fields(v) => v.len() + 1,
            Kind::Help => HELP.len() + 1,
            Kind::Filters | Kind::Sources => 8,
        };
        let half = size.rows / 2;
        u16::try_from(wanted)
            .unwrap_or(u16::MAX)
            .min(if half < 3 { 0 } else { half })
    }

    /// The heading.
    pub(super) fn heading(&self) -> &'static str {
        match self.kind {
            Kind::Filters => "filters \u{b7} Space switches \u{b7} D removes \u{b7} Esc closes",
            Kind::Sources => "sources \u{b7} + adjusts the clock \u{b7} D removes \u{b7} Esc closes",
            Kind::Details(_) => "entry \u{b7} j k moves on \u{b7} Esc closes",
            Kind::Fields(_) => "filter by \u{b7} Enter shows only \u{b7} ! hides \u{b7} Esc closes",
            Kind::Help => "keys \u{b7} Esc closes",
        }
    }
}

/// A field's value as text.
pub(super) fn shown(v: &FieldValue<'_>) -> String {
    v.as_ref().to_string()
}

/// A value as the filter language writes it.
fn quoted(v: &str) -> String {
    let bare = !v.is_empty()
        && v.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if bare && !v.starts_with('-') {
        v.to_owned()
    } else {
        format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

impl LogPane {
    /// The rows of the panel.
    pub(super) fn panel_items(&self) -> Vec<Item> {
        let Some(p) = &self.panel else { return Vec::new() };
        let s = self.snapshot();
        let pair = |(l, r): &(String, String)| Item {
            left: l.clone(),
            right: r.clone(),
            off: false,
        };
        match &p.kind {
            Kind::Filters => s
                .filters
                .iter()
                .map(|f| Item {
                    left: match f.kind {
                        FilterKind::In => format!("show  {}", plain(&f.text)),
                        FilterKind::Out => format!("hide  {}", plain(&f.text)),
                    },
                    right: format!(
                        "{} of {}{}",
                        super::grouped(f.matched),
                        super::grouped(f.evaluated),
                        if f.enabled { "" } else { " off" }
                    ),
                    off: !f.enabled,
                })
                .collect(),
            Kind::Sources => s
                .sources
                .iter()
                .map(|src| {
                    let mut right = format!("{} lines", super::grouped(src.lines));
                    if !src.complete {
                        right.push_str(" so far");
                    }
                    if src.clock != 0 {
                        right.push_str(&format!(" clock {:+.3} s", src.clock as f64 / 1e9));
                    }
                    if src.dropped > 0 {
                        right.push_str(&format!(" {} dropped", super::grouped(src.dropped)));
                    }
                    if src.rotated {
                        right.push_str(" rotated");
                    }
                    if let Some(n) = src.notes.last() {
                        right.push_str(&format!(" {}", plain(n)));
                    }
                    Item {
                        left: format!("{}  {}", plain(&src.name), src.formats.join(", ")),
                        right,
                        off: false,
                    }
                })
                .collect(),
            Kind::Details(v) | Kind::Fields(v) => v.iter().map(pair).collect(),
            Kind::Help => HELP
                .iter()
                .map(|(k, d)| Item {
                    left: (*k).to_owned(),
                    right: (*d).to_owned(),
                    off: false,
                })
                .collect(),
        }
    }

    fn fields_of_selected(&self) -> Vec<(String, String)> {
        let Some(row) = self.selected() else { return Vec::new() };
        let text = row.text().into_owned();
        let parsed = row.parse(&text);
        parsed
            .fields
            .iter()
            .map(|f| (plain(&f.name), plain(&shown(&f.value))))
            .collect()
    }

    pub(super) fn open_fields(&mut self) {
        let fields = self.fields_of_selected();
        if fields.is_empty() {
            self.fail("this line has no fields that are known");
        } else {
            self.panel = Some(Panel::of(Kind::Fields(fields)));
        }
    }

    pub(super) fn open_details(&mut self) {
        let items = self.details();
        if !items.is_empty() {
            self.panel = Some(Panel::of(Kind::Details(items)));
        }
    }

    fn details(&self) -> Vec<(String, String)> {
        let Some(row) = self.selected() else { return Vec::new() };
        let s = self.snapshot();
        let mut items = Vec::new();
        let mut add = |k: &str, v: String| items.push((k.to_owned(), v));
        if let Some(src) = s.sources.iter().find(|x| x.id == row.pos.source) {
            add("source", plain(&src.name));
        }
        add(
            "place",
            format!("{}, byte {}", Self::number(row.number), super::grouped(row.offset)),
        );
        if let Some(t) = row.time {
            add("time", t.date_time(&super::now().zone));
        }
        if let Some(l) = row.level {
            add("level", l.to_string());
        }
        if let Some(f) = row.format() {
            add("format", f.to_owned());
        }
        items.extend(self.fields_of_selected());
        items
    }

    /// Takes a key while a panel is open; answers whether it was the panel's.
    pub(super) fn panel_key(&mut self, k: &KeyEvent) -> bool {
        let count = self.panel_items().len();
        let Some(p) = &mut self.panel else { return false };
        let details = matches!(p.kind, Kind::Details(_));
        match k.key {
            // The lines move, and the panel shows the next entry.
            Key::Down | Key::Char('j') if details => self.step(1),
            Key::Up | Key::Char('k') if details => self.step(-1),
            Key::Down | Key::Char('j') => p.at = (p.at + 1).min(count.saturating_sub(1)),
            Key::Up | Key::Char('k') => p.at = p.at.saturating_sub(1),
            Key::Char(' ') | Key::Enter | Key::Char('D' | '!' | '+') => return self.panel_act(k),
            _ => return false,
        }
        if details {
            let items = self.details();
            if let Some(Panel {
                kind: Kind::Details(v), ..
            }) = &mut self.panel
            {
                *v = items;
            }
        }
        true
    }

    fn panel_act(&mut self, k: &KeyEvent) -> bool {
        let s = self.snapshot();
        let Some(p) = &self.panel else { return false };
        let result = match (&p.kind, k.key) {
            (Kind::Filters, Key::Char(' ') | Key::Enter) => match s.filters.get(p.at) {
                Some(f) => self.view.enable_filter(f.id, !f.enabled).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Filters, Key::Char('D')) => match s.filters.get(p.at) {
                Some(f) => self.view.remove_filter(f.id).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Sources, Key::Char('D')) => match s.sources.get(p.at) {
                Some(src) => self.view.remove(src.id).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Sources, Key::Char('+')) => {
                if let Some(src) = s.sources.get(p.at) {
                    self.ask(Ask::Clock(src.id), "");
                }
                Ok(())
            }
            (Kind::Fields(v), Key::Enter | Key::Char('!')) => {
                let Some((name, value)) = v.get(p.at).cloned() else {
                    return true;
                };
                let kind = if k.key == Key::Enter {
                    FilterKind::In
                } else {
                    FilterKind::Out
                };
                self.panel = None;
                self.add_filter(kind, &format!("{name}:{}", quoted(&value)))
            }
            (Kind::Details(_) | Kind::Help, Key::Enter) => {
                self.panel = None;
                Ok(())
            }
            _ => return false,
        };
        if let Err(e) = result {
            self.fail(&e);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_when_they_must_be() {
        assert_eq!(quoted("GET"), "GET");
        assert_eq!(quoted("10.0.0.1"), "10.0.0.1");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("-x"), "\"-x\"");
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
    }
}
