//! The persistent index of n-grams: which files a search need not read.
//!
//! The law: a search with the index finds what a search without it finds, byte for byte. The index only takes files away of
//! which it is proven that they cannot match; whatever is left is searched by the real searcher in the real file.
//!
//! - [`plan`] reads from a pattern which grams (three bytes in a row) a match must have.
//! - [`update`] reads files in blocks of about 16 KiB that end with lines, notes which block has which gram, and writes that
//!   as an immutable segment; later it reads only what has changed.
//! - [`Index::ask`] gives the files that can match: those with a block that has the grams, those that have changed since, and
//!   those of which nothing is known. What has changed is what a watcher says ([`watch`]), or what looking at every file finds.
//! - [`audit`] compares what the index says of files with what is in them.

mod audit;
mod below;
mod build;
mod client;
mod codec;
mod error;
mod fresh;
mod grams;
mod merge;
mod pages;
mod plan;
mod query;
mod segment;
mod stamp;
mod store;
mod tree;
mod wanted;
mod watch;

pub use audit::{Audit, audit};
pub use below::Below;
pub use client::{Watching, end_watch, renew, watching};
pub use error::Error;
pub use plan::{Query, Syntax, of_hir, plan};
pub use query::{Answer, Ask, Scope};
pub use store::{Home, Index, Place, Summary, update};
pub use wanted::Wanted;
pub use watch::{Manners, detach, watch};
