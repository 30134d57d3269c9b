//! Themes, and what is drawn with them: the bars, the frames around panes, and the overlays (pickers, prompts, viewers,
//! questions, toasts). This crate owns how things look and how a person moves within them; it must never act on the
//! session, read a file, or ask what time it is: it is given data, and answers with cells and choices.

pub mod bars;
mod canvas;
pub mod edit;
pub mod overlay;
pub mod pane_frame;
pub mod theme;

pub use canvas::{blit, fit, width};
pub use overlay::{
    Completer, Completion, Confirm, ConfirmKind, Feed, Level, Multi, Outcome, Overlay, PickItem, Picker, Prompt,
    Submit, Toasts, Turnover, Verb, Viewer, ViewerLine,
};
pub use theme::{Glyphs, Look, Marks, Role, RoleKind, Surface, Theme, ThemeError, contrast_ratio};
