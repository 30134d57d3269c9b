use super::{Row, Table};
pub(super) const fn table(_name: &str) -> Option<&'static Table> {
    None
}
