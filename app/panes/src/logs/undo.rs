//! What a person made of the view, so that it can be undone and come back to: filters, level, search, columns, times.

use qd_logs_view::{Pattern, Stance};

use super::{LogPane, Shown, Times};

/// How many changes can be undone.
const CHANGES: usize = 50;

/// How the log was looked at, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Guise {
    stance: Stance,
    columns: Vec<Shown>,
    cell: usize,
    times: Times,
    wrap: bool,
    search: Option<(String, Pattern)>,
}

/// The guises that were left.
#[derive(Debug, Default)]
pub(super) struct Past {
    list: Vec<Guise>,
    /// The one before the present one, to go back and forth between the two.
    other: Option<Guise>,
}

impl LogPane {
    /// How the log is looked at now.
    pub(super) fn guise(&self) -> Guise {
        Guise {
            stance: self.view.stance(),
            columns: self.columns.clone(),
            cell: self.cell,
            times: self.times,
            wrap: self.wrap,
            search: self.search.clone().map(|p| (self.searched.clone(), p)),
        }
    }

    /// It is looked at differently now: the change can be undone.
    pub(super) fn changed_from(&mut self, before: Guise) {
        self.past.list.push(before.clone());
        if self.past.list.len() > CHANGES {
            self.past.list.remove(0);
        }
        self.past.other = Some(before);
        self.ticks.forget();
    }

    /// Does something that changes how the log is looked at.
    pub(super) fn change<T>(&mut self, make: impl FnOnce(&mut LogPane) -> T) -> T {
        let before = self.guise();
        let result = make(self);
        self.changed_from(before);
        result
    }

    fn wear(&mut self, guise: Guise) {
        self.view.take_stance(&guise.stance);
        self.view.search(guise.search.as_ref().map(|(_, p)| p.clone()));
        (self.searched, self.search) = guise.search.map_or((String::new(), None), |(t, p)| (t, Some(p)));
        self.columns = guise.columns;
        self.cell = guise.cell;
        self.times = guise.times;
        self.wrap = guise.wrap;
        self.ticks.forget();
    }

    /// Takes the last change back.
    pub(super) fn undo(&mut self) {
        let Some(before) = self.past.list.pop() else {
            self.fail("there is nothing to undo: u takes back filters, levels, searches, columns");
            return;
        };
        self.past.other = Some(self.guise());
        self.wear(before);
        let left = self.past.list.len();
        self.tell(match left {
            0 => "undone; it is as it was opened".to_owned(),
            n => format!("undone; {n} more can be"),
        });
    }

    /// Goes back to how it was looked at before, and forth again.
    pub(super) fn last_view(&mut self) {
        let Some(other) = self.past.other.clone() else {
            self.fail("there is no earlier view: filters, levels, searches and columns make one");
            return;
        };
        self.change(|pane| pane.wear(other));
        self.tell("the view before; - goes back again");
    }
}
