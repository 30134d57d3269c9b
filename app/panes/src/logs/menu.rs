//! The action menu: what can be done here, and why not where it cannot.

use qd_logs_view::ExportFormat;

use super::{
    LogPane,
    panel::{Item, Kind, Panel},
    prompt::{Ask, Mode},
};

/// What the menu offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    ShowOnly,
    Find,
    Sql,
    Export,
    Level,
    Columns,
    Strip,
    Bookmark,
    Comment,
    Tags,
    Clock,
    Open,
    Reopen,
    CopyText,
    CopyJson,
    CopyCsv,
    Views,
    SaveView,
    Edit,
    Shell,
}

/// The actions in their order.
pub(super) const ACTS: &[Act] = &[
    Act::ShowOnly,
    Act::Find,
    Act::Sql,
    Act::Export,
    Act::Level,
    Act::Columns,
    Act::Strip,
    Act::Bookmark,
    Act::Comment,
    Act::Tags,
    Act::Clock,
    Act::Open,
    Act::Reopen,
    Act::CopyText,
    Act::CopyJson,
    Act::CopyCsv,
    Act::Views,
    Act::SaveView,
    Act::Edit,
    Act::Shell,
];

impl Act {
    fn words(self) -> &'static str {
        match self {
            Act::ShowOnly => "filter the lines",
            Act::Find => "find a text",
            Act::Sql => "ask with SQL",
            Act::Export => "write what is shown to a file",
            Act::Level => "choose the lowest level",
            Act::Columns => "show fields as columns",
            Act::Strip => "lines over time",
            Act::Bookmark => "bookmark this line",
            Act::Comment => "comment on this line",
            Act::Tags => "tag this line",
            Act::Clock => "adjust the clock of its source",
            Act::Open => "open another log",
            Act::Reopen => "open everything again",
            Act::CopyText => "copy what is shown",
            Act::CopyJson => "copy it as JSON lines",
            Act::CopyCsv => "copy it as CSV",
            Act::Views => "saved views",
            Act::SaveView => "save this view",
            Act::Edit => "edit the log at this line",
            Act::Shell => "a shell where it is",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Act::ShowOnly => "/",
            Act::Find => "/ Ctrl-t",
            Act::Level => "< >",
            Act::Columns => "c",
            Act::Strip => "t t",
            Act::Bookmark => "m",
            Act::Clock => "t a",
            Act::Edit => "e",
            Act::Shell => "s",
            Act::Open => "o",
            Act::Reopen => "r",
            Act::Sql | Act::Export | Act::Comment | Act::Tags => "",
            Act::CopyText | Act::CopyJson | Act::CopyCsv | Act::Views | Act::SaveView => "",
        }
    }
}

impl LogPane {
    /// Why something cannot be done now.
    fn refusal(&self, act: Act) -> Option<String> {
        let s = self.snapshot();
        let why = match act {
            Act::Bookmark | Act::Comment | Act::Tags => self.cannot_mark(),
            Act::Clock if self.cursor.is_none() => Some("no line is selected"),
            Act::Export | Act::Sql | Act::CopyText | Act::CopyJson | Act::CopyCsv if self.work.is_some() => {
                Some("something else is going on; Esc stops it")
            }
            Act::Export | Act::Sql | Act::CopyText | Act::CopyJson | Act::CopyCsv
                if s.rows == 0 && s.filtered && s.indexed =>
            {
                Some("nothing is shown")
            }
            Act::ShowOnly if s.filters.len() >= qd_logs_view::MAX_FILTERS => {
                Some("there are as many filters as can be")
            }
            Act::Strip if super::strip::height(self.size) == 0 => Some("the pane is too low"),
            Act::Columns
                if self
                    .selected()
                    .is_some_and(|row| qd_logs_view::columns(std::slice::from_ref(&row)).is_empty()) =>
            {
                Some("this line has no fields that are known")
            }
            _ => None,
        };
        why.map(str::to_owned)
    }

    pub(super) fn menu_items(&self) -> Vec<Item> {
        ACTS.iter()
            .map(|act| match self.refusal(*act) {
                Some(why) => Item {
                    off: true,
                    ..Item::new(act.words(), format!("not now: {why}"))
                },
                None => Item::new(act.words(), act.key()),
            })
            .collect()
    }

    /// Does what the menu's row offers, or says why not.
    pub(super) fn menu_act(&mut self, at: usize) {
        let Some(act) = ACTS.get(at).copied() else { return };
        if let Some(why) = self.refusal(act) {
            self.fail(&why);
            return;
        }
        self.panel = None;
        match act {
            Act::ShowOnly => self.ask(Ask::Filter(Mode::In), ""),
            Act::Find => self.ask(Ask::Filter(Mode::Find), ""),
            Act::Sql => self.ask(Ask::Sql, "select level, count(*) from log group by level"),
            Act::Export => self.ask(Ask::Export, ""),
            Act::Level => self.panel = Some(Panel::of(Kind::Levels)),
            Act::Columns => self.open_columns(),
            Act::Strip => self.toggle_strip(),
            Act::Bookmark => self.toggle_bookmark(),
            Act::Comment | Act::Tags => {
                let mark = self
                    .selected()
                    .and_then(|row| self.mark_of(&row).cloned())
                    .unwrap_or_default();
                match act {
                    Act::Comment => self.ask(Ask::Comment, mark.comment.as_deref().unwrap_or_default()),
                    _ => self.ask(Ask::Tags, &mark.tags.join(" ")),
                }
            }
            Act::Clock => {
                if let Some(c) = self.cursor {
                    self.ask(Ask::Clock(c.source), "");
                }
            }
            Act::Open => self.ask(Ask::Open, ""),
            Act::Reopen => self.reopen(),
            Act::CopyText => self.start_copy(ExportFormat::Raw),
            Act::CopyJson => self.start_copy(ExportFormat::JsonLines),
            Act::CopyCsv => self.start_copy(ExportFormat::Csv),
            Act::Views => self.open_views(),
            Act::SaveView => self.ask(Ask::SaveView, ""),
            Act::Edit => self.edit(),
            Act::Shell => self.shell(),
        }
    }
}
