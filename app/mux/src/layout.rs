//! stub
/// A border between two parts of a tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Border {
    path: Vec<usize>,
}
