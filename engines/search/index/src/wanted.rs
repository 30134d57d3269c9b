//! Whether somebody still waits for an answer.

use std::fmt;

use crate::error::Error;

/// Asked again and again, a few milliseconds apart at the most, while an index is asked: where it says no, the work ends with
/// [`Error::Unwanted`].
#[derive(Clone, Copy)]
pub struct Wanted<'a>(Option<&'a (dyn Fn() -> bool + Sync)>);

impl<'a> Wanted<'a> {
    /// Whatever happens.
    pub const ALWAYS: Wanted<'static> = Wanted(None);

    /// While this says so. It is called often and from several threads, so it should do little.
    #[must_use]
    pub fn so_long(is_wanted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Wanted(Some(is_wanted))
    }

    pub(crate) fn check(self) -> Result<(), Error> {
        match self.0 {
            Some(is_wanted) if !is_wanted() => Err(Error::Unwanted),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Wanted" } else { "Always" })
    }
}
