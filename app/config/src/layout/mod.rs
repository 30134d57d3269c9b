//! Layouts: zellij's KDL grammar, extended by `pane kind="…"`. Reading expands templates and resolves directories; writing
//! prints what reading gives back unchanged. Opens no pane and checks no command.

mod read;
mod template;
mod write;

use qd_mux::LayoutSpec;

use crate::diagnostic::{Diagnostic, Report};

pub use write::write_layout;

/// What came of a layout file.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedLayout {
    /// The layout; `None` when there was an error.
    pub layout: Option<LayoutSpec>,
    /// Errors, and warnings about parts that are left out.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a layout; `file` is its name in findings. Half a layout is no use, so that any error leaves none; parts that are
/// understood but not supported yet are left out with a warning.
#[must_use]
pub fn load_layout(text: &str, file: &str) -> LoadedLayout {
    let mut report = Report::new(file, text);
    let layout = read::layout(text, &mut report).filter(|_| !report.has_errors());
    LoadedLayout {
        layout,
        diagnostics: report.finish(),
    }
}

/// Reads a layout, see [`load_layout`], and drops the warnings.
///
/// # Errors
/// The findings, when one of them is an error.
pub fn parse_layout(text: &str, file: &str) -> Result<LayoutSpec, Vec<Diagnostic>> {
    let loaded = load_layout(text, file);
    loaded.layout.ok_or(loaded.diagnostics)
}

/// The text of a layout that is built in: `default`, `single` or `shell`.
#[must_use]
pub fn builtin_layout(name: &str) -> Option<&'static str> {
    match name {
        "default" => Some(include_str!("../../../../assets/layouts/default.kdl")),
        "single" => Some(include_str!("../../../../assets/layouts/single.kdl")),
        "shell" => Some(include_str!("../../../../assets/layouts/shell.kdl")),
        _ => None,
    }
}

/// The names of the built-in layouts.
#[must_use]
pub const fn builtin_layouts() -> &'static [&'static str] {
    &["default", "single", "shell"]
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::SAMPLE;
