//! The filter language that every pane and command line shares.
//!
//! `word` `"a phrase"` `/regex/i` `~fuzzy` `field:value` `field:>=500` `field:1ms..2s` `field:/re/` `-term` `a OR b` `( )`
//! `since:15m` `until:12:30` `sort:-duration` `limit:50`. Terms side by side must all match. Letters without a capital match
//! either case; `*` stands for anything.

mod fields;
mod schema;

pub use fields::Fields;
pub use schema::{Field, FieldType, Openness, Schema};

/// The words that say something about the whole filter instead of naming a field.
pub const DIRECTIVES: [&str; 4] = ["since", "until", "sort", "limit"];
