//! The time that the log panes of a session stand at together: set from a line of one of them, the others go there too.

use qd_core::Timestamp;

use super::LogPane;
use crate::moment::{set, shared};

impl LogPane {
    /// Sets the time of all log panes; this one is there already.
    pub(super) fn set_moment(&mut self, to: Option<Timestamp>) {
        self.moment = set(to);
        (self.wake)();
    }

    /// Sets it to the selected line's.
    pub(super) fn set_moment_here(&mut self) {
        match self.selected().and_then(|row| row.time) {
            Some(at) => {
                self.leave_follow();
                self.set_moment(Some(at));
                self.tell(format!(
                    "all logs stand at {}; t l goes back to live",
                    at.date_time(&super::now().zone)
                ));
            }
            None => self.fail("this line has no time"),
        }
    }

    /// Goes where another pane set the time to.
    pub(super) fn follow_moment(&mut self) {
        let (count, at) = shared();
        if count == self.moment {
            return;
        }
        self.moment = count;
        match at {
            Some(at) => {
                if let Ok(Some(pos)) = self.view.at_time(at) {
                    self.visit(pos);
                }
            }
            None => self.set_follow(true),
        }
    }
}
