//! Log files of any size, seen: line index, formats, merged time order, filters, histograms, SQL.
//!
//! A [`View`] opens sources in place and answers what a pane asks: rows around a position, jumps, filters, search. It knows no
//! screen. Indexing and filtering run on two threads of its own, from the tail of each file backwards, and what they find is
//! published as a [`Snapshot`]; rows can be read at once, whatever is indexed. Memory depends on bytes, not on lines: 88 bytes
//! for each 64 KiB of log, and a bounded cache.
//!
//! ```no_run
//! use qd_core::{Now, Severity};
//! use qd_logs_view::{Anchor, FilterKind, Options, Pattern, Target, View, sanitize};
//! # fn main() -> qd_logs_view::Result<()> {
//! // Open; wake the screen's loop whenever something changed.
//! let view = View::open(["/var/log/nginx/access.log", "/var/log/syslog"], Options::default())?;
//! let _guard = view.published().on_change(std::sync::Arc::new(|| { /* write to the loop's eventfd */ }));
//!
//! // Draw: the last screen, following. Keep the position of the top row to stay there instead.
//! let screen = view.rows(Anchor::End, 50, 0)?;
//! for row in &screen.rows {
//!     for piece in sanitize(&row.text()) { /* piece.text is safe to print, piece.style is how it was coloured */ }
//! }
//! let snapshot = view.snapshot();
//! let _title = format!("{} of {} lines, {:.0} % indexed", snapshot.rows, snapshot.lines, snapshot.progress * 100.0);
//!
//! // Scroll: positions stay valid while indexing goes on, filters change and files grow.
//! if let Some(top) = screen.rows.first() {
//!     let up = view.step(top.pos, -50)?;
//!     let _page = up.map(|pos| view.rows(Anchor::At(pos), 0, 50));
//! }
//!
//! // Filter: counts appear in `snapshot.filters`; the screen works at once. `Screen::pending` means: draw again when woken.
//! let now = Now::local(qd_core::Timestamp(0));
//! let id = view.filter(FilterKind::Out, "path:/healthz", &now)?;
//! view.enable_filter(id, false)?;
//! view.set_level(Some(Severity::Warn));
//!
//! // Jump.
//! let _noon = view.at_time(qd_core::Timestamp(1_793_534_400_000_000_000))?;
//! let _half = view.at_share(0.5)?;
//! let job = view.find(Target::Level(Severity::Error), Anchor::Start, true)?; // poll it when woken; dropping it cancels
//! let _found = job.poll();
//!
//! // Search: hits are counted in `snapshot.search`, `Target::Hit` jumps, `Pattern::spans` highlights.
//! view.search(Some(Pattern::literal("timeout")?));
//!
//! // Histogram: at once by block summaries, exactly by a job.
//! let _bars = view.histogram(None, 80)?;
//! # Ok(())
//! # }
//! ```
//!
//! Beside the view: [`Marks`] (bookmarks, tags, comments, kept in a state directory), [`columns`] of a sample, [`pretty`] and
//! [`relative`] for reading, [`View::export`], and headless [`View::aggregate`] and [`View::sql`].

mod block;
mod directory;
mod error;
mod export;
mod filter;
mod find;
mod format;
mod histogram;
mod index;
mod journal;
mod live;
mod marks;
mod mask;
mod pretty;
mod program;
mod query;
mod resolve;
mod row;
mod sanitize;
mod screen;
mod shared;
mod source;
mod stamp;
mod store;
mod view;
mod walk;
mod work;

pub use block::MAX_LINE;
pub use error::{Error, Result};
pub use export::{ExportFormat, field_json};
pub use filter::{FilterKind, FilterState, MAX_FILTERS, PreviewState, Stance, from_filter, language, schema};
pub use find::{Job, Pattern, Target};
pub use format::{Field, FieldValue, Format, Parsed};
pub use histogram::{Histogram, MAX_BUCKETS};
pub use marks::{MAX_MARKS, Mark, MarkKey, Marks};
pub use pretty::{Column, MAX_PRETTY, columns, pretty, relative};
pub use program::is_location;
pub use query::{Aggregate, MAX_GROUPS, SqlLimits, Table};
pub use row::{Entry, LineNumber, Pos, Predicate, Row, Screen, SharedPredicate, Span};
pub use sanitize::{Colour, Piece, Style, TAB, plain, sanitize};
pub use screen::{Anchor, MAX_ROWS};
pub use store::Identity;
pub use view::{Live, MAX_SOURCES, Options, SearchState, Snapshot, SourceState, View};
