//! Bodies as people read them.
//!
//! [`show`] takes what was kept of a body and gives lines: decoded (gzip, deflate, br, zstd), laid out by what it is, with
//! secrets covered and control bytes escaped. Bodies are hostile and often cut in the middle: nothing here panics, nesting
//! and output are bounded, and what cannot be read as one kind is shown as a simpler one, hex in the end.

mod decode;
mod form;
mod json;
mod msgpack;
mod multipart;
mod out;
mod proto;
mod redact;
mod text;
mod view;

pub use decode::{Decoded, MAX_ENCODINGS, Stopped, decode};
pub use out::{Limits, escape};
pub use redact::{COVER, Rules};
pub use view::{Body, Kind, View, show};
