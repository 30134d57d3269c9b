//! The panel below the lines: lists to choose from, and an entry seen closer.

use qd_core::Severity;
use qd_logs_view::{Column, FilterKind, Table, columns, plain, pretty};
use qd_tty::{Key, KeyEvent, Mods, Size};
use unicode_width::UnicodeWidthStr;

use super::{
    LogPane, Shown,
    keys::HELP,
    prompt::Ask,
    text::{quoted, shown},
    views::Saved,
};

/// The widest a column of a table is shown.
const CELL: usize = 40;
/// How many rows of a table say how wide its columns are.
const MEASURED: usize = 200;
/// A pane lower than this gives all of itself to a panel.
const LOW: u16 = 10;

/// What the panel shows.
#[derive(Debug)]
pub(super) enum Kind {
    /// The filters.
    Filters,
    /// The sources.
    Sources,
    /// An entry.
    Details(Vec<(String, String)>),
    /// An entry laid out for reading.
    Pretty(Vec<String>),
    /// The fields of a line, to choose a filter from.
    Fields(Vec<(String, String)>),
    /// The fields there are, to be shown as columns.
    Columns(Vec<Column>),
    /// The levels, to choose the lowest from.
    Levels,
    /// What a statement gave: the widths of its columns, and the first that is shown.
    Table(Box<Table>, Vec<usize>, usize),
    /// The views that were saved.
    Views(Vec<Saved>),
    /// What can be done.
    Menu,
    /// The keys.
    Help,
}

/// A list with a selected row.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) kind: Kind,
    /// The selected row; of what has none, the first that is shown.
    pub(super) at: usize,
}

/// One row of a panel.
pub(super) struct Item {
    pub(super) left: String,
    pub(super) right: String,
    /// Whether it is switched off, or cannot be done.
    pub(super) off: bool,
}

impl Item {
    pub(super) fn new(left: impl Into<String>, right: impl Into<String>) -> Item {
        Item {
            left: left.into(),
            right: right.into(),
            off: false,
        }
    }
}

impl Panel {
    pub(super) fn of(kind: Kind) -> Panel {
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

    pub(super) fn menu() -> Panel {
        Panel::of(Kind::Menu)
    }

    pub(super) fn table(table: Table) -> Panel {
        let widths = table
            .columns
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let cell = |row: &Vec<qd_core::Value>| row.get(i).map_or(0, |v| plain(&v.to_string()).width());
                let widest = table.rows.iter().take(MEASURED).map(cell).max().unwrap_or(0);
                widest.max(plain(name).width()).min(CELL)
            })
            .collect();
        Panel::of(Kind::Table(Box::new(table), widths, 0))
    }

    /// Rows it takes: at most half of the pane, a table more, and all of a low pane.
    pub(super) fn height(&self, size: Size) -> u16 {
        let wanted = match &self.kind {
            Kind::Details(v) | Kind::Fields(v) => v.len() + 1,
            Kind::Pretty(v) => v.len() + 1,
            Kind::Columns(v) => v.len() + 1,
            Kind::Levels => Severity::ALL.len() + 1,
            Kind::Table(t, ..) => t.rows.len() + 2,
            Kind::Views(v) => v.len().max(1) + 1,
            Kind::Menu => super::menu::ACTS.len() + 1,
            Kind::Help => HELP.len() + 1,
            Kind::Filters | Kind::Sources => 8,
        };
        let most = match &self.kind {
            _ if size.rows < LOW => size.rows.saturating_sub(1),
            Kind::Table(..) => size.rows / 3 * 2,
            _ => size.rows / 2,
        };
        u16::try_from(wanted)
            .unwrap_or(u16::MAX)
            .min(if most < 2 { 0 } else { most })
    }

    /// The heading.
    pub(super) fn heading(&self) -> String {
        match &self.kind {
            Kind::Filters => "filters \u{b7} Space switches \u{b7} D removes \u{b7} Esc closes".to_owned(),
            Kind::Sources => "sources \u{b7} + adjusts the clock \u{b7} D removes \u{b7} Esc closes".to_owned(),
            Kind::Details(_) => "entry \u{b7} j k another \u{b7} PgDn PgUp on in it \u{b7} Esc closes".to_owned(),
            Kind::Pretty(_) => "laid out \u{b7} j k another \u{b7} PgDn PgUp on in it \u{b7} Esc closes".to_owned(),
            Kind::Fields(_) => "filter by \u{b7} Enter shows only \u{b7} ! hides \u{b7} Esc closes".to_owned(),
            Kind::Columns(_) => "columns \u{b7} Space chooses \u{b7} \\ none \u{b7} Esc closes".to_owned(),
            Kind::Levels => "the lowest level that is shown \u{b7} Enter chooses \u{b7} Esc closes".to_owned(),
            Kind::Table(t, ..) => {
                let mut text = format!(
                    "{} rows \u{b7} \u{2190} \u{2192} columns \u{b7} y y copies \u{b7} Esc closes",
                    super::grouped(t.rows.len() as u64)
                );
                if let Some(n) = &t.note {
                    text.push_str(&format!(" \u{b7} {}", plain(n)));
                }
                text
            }
            Kind::Views(_) => "saved views \u{b7} Enter takes \u{b7} D removes \u{b7} Esc closes".to_owned(),
            Kind::Menu => "what can be done \u{b7} Enter does it \u{b7} Esc closes".to_owned(),
            Kind::Help => "keys \u{b7} j k on \u{b7} Esc closes".to_owned(),
        }
    }

    /// Whether it is a list with a selected row.
    pub(super) fn selects(&self) -> bool {
        !matches!(self.kind, Kind::Details(_) | Kind::Pretty(_) | Kind::Help)
    }

    /// Whether it shows the selected line, and another when that moves.
    fn follows(&self) -> bool {
        matches!(self.kind, Kind::Details(_) | Kind::Pretty(_))
    }
}

/// A row of a table from a column on, for the screen.
pub(super) fn table_line<'a>(cells: impl Iterator<Item = std::borrow::Cow<'a, str>>, widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, w) in cells.zip(widths) {
        let cell = plain(&cell);
        let text = qd_ui::fit(&cell, *w, "\u{2026}");
        out.push_str(&text);
        out.push_str(&" ".repeat(w.saturating_sub(text.width()) + 2));
    }
    out
}

impl LogPane {
    /// The rows of the panel.
    pub(super) fn panel_items(&self) -> Vec<Item> {
        let Some(p) = &self.panel else { return Vec::new() };
        let s = self.snapshot();
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
                        "{} of {} {}{}",
                        super::grouped(f.matched),
                        super::grouped(f.evaluated),
                        match f.kind {
                            FilterKind::In => "pass",
                            FilterKind::Out => "are hidden",
                        },
                        if f.enabled { "" } else { " off" }
                    ),
                    off: !f.enabled,
                })
                .collect(),
            Kind::Sources => s.sources.iter().map(source_item).collect(),
            Kind::Details(v) | Kind::Fields(v) => v.iter().map(|(l, r)| Item::new(l, r)).collect(),
            Kind::Pretty(v) => v.iter().map(|l| Item::new(l, "")).collect(),
            Kind::Columns(v) => v
                .iter()
                .map(|c| {
                    let on = self.columns.iter().any(|x| x.name == c.name);
                    Item::new(
                        format!("{} {}", if on { "[x]" } else { "[ ]" }, plain(&c.name)),
                        format!(
                            "{}, in {} of the lines around here",
                            c.kind,
                            super::grouped(c.lines as u64)
                        ),
                    )
                })
                .collect(),
            Kind::Levels => Severity::ALL
                .iter()
                .map(|l| {
                    Item::new(
                        l.to_string(),
                        if *l == Severity::Trace {
                            "everything"
                        } else {
                            "and above"
                        },
                    )
                })
                .collect(),
            Kind::Table(t, widths, from) => t
                .rows
                .iter()
                .map(|row| {
                    let cells = row.iter().skip(*from).map(|v| v.to_string().into());
                    Item::new(table_line(cells, widths.get(*from..).unwrap_or_default()), "")
                })
                .collect(),
            Kind::Views(v) => v.iter().map(|s| Item::new(plain(&s.name), plain(&s.words()))).collect(),
            Kind::Menu => self.menu_items(),
            Kind::Help => HELP.iter().map(|(k, d)| Item::new(*k, *d)).collect(),
        }
    }

    /// How many rows the panel has.
    fn panel_rows(&self) -> usize {
        match self.panel.as_ref().map(|p| &p.kind) {
            Some(Kind::Table(t, ..)) => t.rows.len(),
            Some(Kind::Pretty(v)) => v.len(),
            _ => self.panel_items().len(),
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

    pub(super) fn open_columns(&mut self) {
        let found = columns(&self.sample());
        if found.is_empty() {
            self.fail("the lines around here have no fields that are known");
        } else {
            self.panel = Some(Panel::of(Kind::Columns(found)));
        }
    }

    pub(super) fn open_details(&mut self) {
        let items = self.details();
        if !items.is_empty() {
            self.panel = Some(Panel::of(Kind::Details(items)));
        }
    }

    pub(super) fn open_pretty(&mut self) {
        if let Some(row) = self.selected() {
            self.panel = Some(Panel::of(Kind::Pretty(laid_out(&row.text()))));
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
        if let Some(m) = self.mark_of(&row) {
            if !m.tags.is_empty() {
                add("tags", plain(&m.tags.join(" ")));
            }
            if let Some(c) = &m.comment {
                add("comment", plain(c));
            }
        }
        items.extend(self.fields_of_selected());
        items
    }

    /// The selected row of a table, with tabs between its cells.
    pub(super) fn table_row(&self) -> Option<String> {
        match &self.panel {
            Some(Panel {
                kind: Kind::Table(t, ..),
                at,
            }) => t
                .rows
                .get(*at)
                .map(|row| row.iter().map(ToString::to_string).collect::<Vec<_>>().join("\t")),
            _ => None,
        }
    }

    /// Takes a key while a panel is open; answers whether it was the panel's.
    pub(super) fn panel_key(&mut self, k: &KeyEvent) -> bool {
        let count = self.panel_rows();
        let page = usize::from(self.areas().panel.h.max(3)) - 2;
        let Some(p) = &mut self.panel else { return false };
        let follows = p.follows();
        // What has no selected row does not scroll past its last page.
        let last = if p.selects() { 1 } else { page + 1 };
        let last = count.saturating_sub(last);
        let ctrl = k.mods.contains(Mods::CTRL);
        let by = match k.key {
            Key::Char('d') if ctrl => page.div_ceil(2) as isize,
            Key::Char('u') if ctrl => -(page.div_ceil(2) as isize),
            _ if k.mods.intersects(Mods::CTRL | Mods::ALT) => return false,
            // The lines move, and the panel shows the next entry.
            Key::Down | Key::Char('j') if follows => {
                self.step(1);
                self.refresh_panel();
                return true;
            }
            Key::Up | Key::Char('k') if follows => {
                self.step(-1);
                self.refresh_panel();
                return true;
            }
            Key::Down | Key::Char('j') => 1,
            Key::Up | Key::Char('k') => -1,
            Key::PageDown => page as isize,
            Key::PageUp => -(page as isize),
            Key::Home if !follows => isize::MIN,
            Key::End | Key::Char('G') if !follows => isize::MAX,
            Key::Left | Key::Right => {
                if let Kind::Table(_, widths, from) = &mut p.kind {
                    *from = match k.key {
                        Key::Right => (*from + 1).min(widths.len().saturating_sub(1)),
                        _ => from.saturating_sub(1),
                    };
                    return true;
                }
                return false;
            }
            Key::Char(' ' | 'D' | '!' | '+' | '\\') | Key::Enter => return self.panel_act(k),
            _ => return false,
        };
        p.at = p.at.saturating_add_signed(by).min(last);
        true
    }

    /// Shows the line that is selected now, where the panel shows that.
    pub(super) fn refresh_panel(&mut self) {
        let kind = match self.panel.as_ref().map(|p| &p.kind) {
            Some(Kind::Details(_)) => Kind::Details(self.details()),
            Some(Kind::Pretty(_)) => match self.selected() {
                Some(row) => Kind::Pretty(laid_out(&row.text())),
                None => return,
            },
            _ => return,
        };
        self.panel = Some(Panel::of(kind));
    }

    fn panel_act(&mut self, k: &KeyEvent) -> bool {
        let s = self.snapshot();
        let Some(p) = &self.panel else { return false };
        let at = p.at;
        let result = match (&p.kind, k.key) {
            (Kind::Filters, Key::Char(' ') | Key::Enter) => match s.filters.get(at) {
                Some(f) => self
                    .change(|pane| pane.view.enable_filter(f.id, !f.enabled))
                    .map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Filters, Key::Char('D')) => match s.filters.get(at) {
                Some(f) => self
                    .change(|pane| pane.view.remove_filter(f.id))
                    .map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Sources, Key::Char('D')) => match s.sources.get(at) {
                Some(src) => self.view.remove(src.id).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            (Kind::Sources, Key::Char('+') | Key::Enter) => {
                if let Some(src) = s.sources.get(at) {
                    self.ask(Ask::Clock(src.id), "");
                }
                Ok(())
            }
            (Kind::Fields(v), Key::Enter | Key::Char('!')) => {
                let Some((name, value)) = v.get(at).cloned() else {
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
            (Kind::Columns(v), Key::Char(' ') | Key::Enter) => {
                if let Some(c) = v.get(at).cloned() {
                    let before = self.guise();
                    match self.columns.iter().position(|x| x.name == c.name) {
                        Some(i) => drop(self.columns.remove(i)),
                        None => self.columns.push(Shown {
                            name: c.name.clone(),
                            width: 0,
                        }),
                    }
                    self.cell = self.cell.min(self.columns.len().saturating_sub(1));
                    self.changed_from(before);
                }
                Ok(())
            }
            (Kind::Columns(_), Key::Char('\\')) => {
                self.change(|pane| {
                    pane.columns.clear();
                    pane.cell = 0;
                });
                Ok(())
            }
            (Kind::Levels, Key::Char(' ') | Key::Enter) => {
                self.panel = None;
                self.set_level(Severity::ALL.get(at).copied());
                Ok(())
            }
            (Kind::Views(v), Key::Enter | Key::Char('D')) => match v.get(at).map(|s| s.name.clone()) {
                Some(name) if k.key == Key::Enter => {
                    self.panel = None;
                    self.take_view(&name)
                }
                Some(name) => self.remove_view(&name),
                None => Ok(()),
            },
            (Kind::Menu, Key::Enter) => {
                self.menu_act(at);
                Ok(())
            }
            (Kind::Details(_) | Kind::Pretty(_) | Kind::Help, Key::Enter) => {
                self.panel = None;
                Ok(())
            }
            _ => return false,
        };
        self.ticks.forget();
        if let Err(e) = result {
            self.fail(&e);
        }
        true
    }
}

/// A line laid out, safe to show.
fn laid_out(text: &str) -> Vec<String> {
    pretty(text).iter().map(|l| plain(l)).collect()
}

fn source_item(src: &qd_logs_view::SourceState) -> Item {
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
    if let Some(e) = &src.ended {
        right.push_str(&format!(" {e}"));
    }
    if let Some(n) = src.notes.last() {
        right.push_str(&format!(" {}", plain(n)));
    }
    Item::new(format!("{}  {}", plain(&src.name), src.formats.join(", ")), right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_in_columns() {
        let line = |cells: &[&str]| table_line(cells.iter().map(|c| (*c).into()), &[3, 4]);
        assert_eq!(line(&["a", "b"]), "a    b     ");
        assert_eq!(line(&["abcdef", "\u{1b}[m"]), "ab\u{2026}        ");
    }

    #[test]
    fn a_panel_leaves_room_for_lines_where_there_is_some() {
        let p = Panel::help();
        assert_eq!(p.height(Size::new(80, 22)), 11);
        assert_eq!(p.height(Size::new(80, 8)), 7);
        assert_eq!(p.height(Size::new(80, 2)), 0);
        assert_eq!(p.height(Size::new(80, 1)), 0);
        assert_eq!(p.height(Size::new(80, 0)), 0);
    }
}
