//! The multiplexer as a pure model: which tabs and panes there are, how the panes of a tab share the screen, where the
//! focus is, which mode the keys are in, and what every action is called and does.
//!
//! It owns the layout tree, the tabs, the modes and the command registry. It must never touch the world: no I/O, no
//! clock, no process. What an action needs of the world comes out as a list of [`Effect`]s, which the session carries
//! out. The same values in give the same values out, which is what the property tests lean on.

mod action;
mod context;
mod error;
mod ids;
mod keymap;
mod layout;
mod mode;
mod model;
mod parse;
mod registry;
mod spec;
mod words;

pub use action::{Action, Change, CopyOp, Extent, Format, Invocation, Target};
pub use context::{Context, enabled};
pub use error::{ActionError, Refusal, WordsError};
pub use ids::{Axis, Direction, PaneId, ParseWordError, Side, TabId};
pub use keymap::{Binding, Keymap};
pub use layout::Border;
pub use mode::Mode;
pub use model::{Edge, Effect, Frames, KeyOutcome, Model, PaneInfo, PaneState, Part, Placement, Tab};
pub use registry::{Arg, ArgForm, ArgKind, Category, Command, Danger, Required, closest, command, registry};
pub use spec::{Dim, LayoutSpec, Node, OnExit, PaneSpec, TabSpec};
pub use words::{join_words, split_words};

#[cfg(test)]
mod tests;
