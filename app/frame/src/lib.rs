//! The screen as a grid of cells, and the writer that turns the difference of two such grids into the fewest bytes a
//! terminal needs. It owns the frame, the shadow of what a terminal shows, and the knowledge of what escape sequences
//! cost. It never reads or writes a file descriptor, knows no clock, and never lets a control character out of a cell.

mod caps;
mod frame;
mod glyph;
mod painter;
mod pen;
mod scroll;
mod writer;

pub use caps::{Caps, ColorDepth};
pub use frame::{Frame, Style};
pub use painter::Painter;
