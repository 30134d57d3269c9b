//! The flags: tables of what there is, and reading arguments by them.

pub(crate) mod low;
mod parse;
mod table;
mod values;

pub(crate) use low::Low;
#[cfg(test)]
pub(crate) use parse::parse;
pub(crate) use parse::read;
pub(crate) use table::{Completion, Flag, Group, all};
