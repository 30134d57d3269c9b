//! What a filter needs to see of the thing it judges.

use crate::record::ValueRef;
use crate::time::Timestamp;

/// Anything that can be filtered: a record, a row of a table, an item of a list.
pub trait Fields {
    /// The value of the field with this dotted name; `None` when there is no such field.
    fn field(&self, name: &str) -> Option<ValueRef<'_>>;

    /// Hands each text that a bare word is looked for in to `found`, until that says `true`; gives what it said last.
    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool;

    /// When it happened, for `since:` and `until:`. Without a time these match everything.
    fn time(&self) -> Option<Timestamp> {
        match self.field("time") {
            Some(ValueRef::Time(at)) => Some(at),
            _ => None,
        }
    }
}
