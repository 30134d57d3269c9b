//! Search while one types. One query runs over any set of sources (files, scrollback, logs, history, or what else is a
//! [`Haystack`]), is cancelled by the next keystroke, and leaves what it found in a store that stays small however much
//! that is. Replacing, with a preview and an undo over all files, is in [`replace`].
//!
//! This crate knows no screen. [`engine::LiveEngine`] is the engine a pane talks to; everything it does can be used without
//! it: [`Query::compile`], then [`run::search`] on a thread of the caller's, then [`look::page`].

pub mod engine;
mod files;
mod haystack;
mod history;
mod index;
pub mod keep;
pub mod look;
mod query;
pub mod replace;
pub mod results;
pub mod run;
mod text;
mod token;
mod work;

pub use files::{Candidates, Files};
pub use haystack::{Haystack, Kind, Scope, Source};
pub use history::ShellHistory;
pub use index::TreeIndex;
pub use query::{Case, Compiled, Field, Query, QueryError, shell_quote};
pub use results::{Entry, Place, Results};
pub use text::{Text, Texts};
pub use token::{Generations, Token};
pub use work::{Fault, Go, Progress, Visitor, Work};
