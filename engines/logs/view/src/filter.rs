//! Filters: what passes a view, as a list of predicates in and out, and a minimum level.
//!
//! Each filter keeps its own masks, so that switching one on or off only combines what is known. A line passes when its
//! level is high enough, every enabled *in* filter matches it and no enabled *out* filter does: each takes something away, as
//! in a chain of greps. A line without a level counts as an informational one. Filters that are off are evaluated too: their
//! counts are previews. One more filter can be [previewed](crate::View::preview) while it is typed.

use std::sync::Arc;

use qd_core::filter::{Expr, TermKind};
use qd_core::{Filter, Now, Schema, Severity};
use regex::bytes::{Regex, RegexBuilder};

use crate::block::Lines;
use crate::error::{Error, Result};
use crate::format::level::{INFO, LEVELS, Level, UNKNOWN};
use crate::index::Block;
use crate::mask::{Around, Mask, Masks, evaluate};
use crate::row::{Entry, Predicate, SharedPredicate};
use crate::source::Source;
use crate::stamp::NONE;

/// How many filters one view takes.
pub const MAX_FILTERS: usize = 64;

/// Whether a filter keeps what it matches or hides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterKind {
    /// Only what each of these matches is shown.
    In,
    /// What any of these matches is hidden.
    Out,
}

/// A filter as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterState {
    /// Its number, for switching and removing it.
    pub id: u32,
    /// In or out.
    pub kind: FilterKind,
    /// As typed.
    pub text: String,
    /// Whether it takes part.
    pub enabled: bool,
    /// How many lines it matches, of those it was asked about.
    pub matched: u64,
    /// How many lines it was asked about so far.
    pub evaluated: u64,
}

/// What a filter would do that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewState {
    /// Its number: that of the call of [`crate::View::preview`] that began it.
    pub id: u32,
    /// In or out.
    pub kind: FilterKind,
    /// As typed.
    pub text: String,
    /// Lines that it matches, so far.
    pub matched: u64,
    /// Lines that it was asked about, so far.
    pub evaluated: u64,
    /// Lines that would be shown with it beside the other filters, so far.
    pub rows: u64,
    /// Whether everything was looked at and the numbers are whole.
    pub done: bool,
}

/// What the fields of log entries are, for checking and completing filters.
pub fn schema() -> Schema {
    use qd_core::filter::FieldType;
    Schema::records()
        .with("line", FieldType::Text, "the whole entry as it stands in the log")
        .with("format", FieldType::Keyword, "the format of the line")
        .open()
}

/// The shared filter language as a predicate.
struct Language {
    filter: Filter,
    quick: Option<Regex>,
}

impl Predicate for Language {
    fn matches(&self, entry: &Entry<'_>) -> bool {
        self.filter.matches(entry)
    }

    fn rules_out(&self, text: &[u8]) -> bool {
        self.quick.as_ref().is_some_and(|needle| !needle.is_match(text))
    }
}

/// A word that must stand somewhere in whatever matches, as a pattern over raw bytes. Smart case goes as in the filter
/// language; words with other than ASCII are left to it.
fn needle(expr: &Expr) -> Option<Regex> {
    let word = |expr: &Expr| match expr {
        Expr::Term(term) => match &term.kind {
            TermKind::Text(glob) => glob
                .as_literal()
                .filter(|t| t.len() > 2 && t.is_ascii())
                .map(str::to_owned),
            _ => None,
        },
        _ => None,
    };
    let found = match expr {
        Expr::And(list) => list.iter().filter_map(word).max_by_key(String::len),
        other => word(other),
    }?;
    let any_case = !found.chars().any(char::is_uppercase);
    RegexBuilder::new(&regex::escape(&found))
        .case_insensitive(any_case)
        .unicode(false)
        .build()
        .ok()
}

/// A predicate of a text in the shared filter language.
pub fn language(text: &str, now: &Now) -> Result<SharedPredicate> {
    let filter = compile(text, now)?;
    Ok(from_filter(filter))
}

pub(crate) fn compile(text: &str, now: &Now) -> Result<Filter> {
    Filter::new(text, &schema(), now)
        .map_err(|found| Error::Filter(found.first().map_or_else(String::new, |first| first.message.clone())))
}

/// A predicate of a compiled filter.
pub fn from_filter(filter: Filter) -> SharedPredicate {
    let quick = needle(&filter.query().expr);
    Arc::new(Language { filter, quick })
}

/// What a lens asks of lines.
#[derive(Clone)]
pub(crate) enum Ask {
    /// At least this level.
    Level(Level),
    /// A predicate; and the times (nanoseconds, of the source's own clock) outside of which nothing matches.
    Predicate(SharedPredicate, (i64, i64)),
}

/// One predicate with what is known of which lines it matches.
pub(crate) struct Lens {
    pub id: u32,
    pub text: String,
    ask: Ask,
    pub masks: Masks,
}

impl Lens {
    pub(crate) fn new(id: u32, text: String, ask: Ask) -> Lens {
        Lens {
            id,
            text,
            ask,
            masks: Masks::default(),
        }
    }

    /// The same question with nothing known of its answers.
    pub(crate) fn anew(&self) -> Lens {
        Lens::new(self.id, self.text.clone(), self.ask.clone())
    }

    /// Whether looking at lines takes too long for somebody who waits.
    pub(crate) fn slow(&self) -> bool {
        matches!(&self.ask, Ask::Predicate(predicate, _) if predicate.slow())
    }

    pub(crate) fn predicate(id: u32, text: String, predicate: SharedPredicate, window: (i64, i64)) -> Lens {
        Lens::new(id, text, Ask::Predicate(predicate, window))
    }

    /// The answer when the block's summary gives it.
    pub(crate) fn by_summary(&self, source: &Source, block: &Block) -> Option<Mask> {
        if block.lines == 0 {
            return Some(Mask::None);
        }
        match &self.ask {
            Ask::Level(least) => {
                let bits = block.levels();
                let passing = (0..LEVELS as Level)
                    .filter(|l| effective(*l) >= *least)
                    .fold(0u8, |b, l| b | 1 << l);
                match (bits & passing, bits & !passing) {
                    (0, _) => Some(Mask::None),
                    (_, 0) => Some(Mask::All),
                    _ => None,
                }
            }
            Ask::Predicate(_, (from, to)) => {
                let clock = source.offset();
                let none = block.max != NONE
                    && !block.continues
                    && block.entries() > 0
                    && (block.max.saturating_add(clock) < *from || block.min.saturating_add(clock) > *to);
                none.then_some(Mask::None)
            }
        }
    }

    /// The answer by looking at the lines.
    pub(crate) fn by_lines(&self, source: &Source, lines: &Lines, around: Around<'_>) -> Mask {
        match &self.ask {
            Ask::Level(least) => {
                let mut bits = vec![0u64; lines.list.len().div_ceil(64)];
                for (n, line) in lines.list.iter().enumerate() {
                    bits[n / 64] |= u64::from(effective(line.level) >= *least) << (n % 64);
                }
                Mask::from_bits(bits, lines.list.len())
            }
            Ask::Predicate(predicate, _) => evaluate(source, predicate, lines, around),
        }
    }

    /// Whether entries that reach over into neighbouring blocks must be known whole.
    pub(crate) fn needs_around(&self) -> bool {
        match &self.ask {
            Ask::Level(_) => false,
            Ask::Predicate(predicate, _) => !predicate.by_line(),
        }
    }
}

fn effective(level: Level) -> Level {
    if level == UNKNOWN { INFO } else { level }
}

/// A filter in its place in the list.
#[derive(Clone)]
pub(crate) struct Active {
    pub lens: Arc<Lens>,
    pub kind: FilterKind,
    pub enabled: bool,
}

/// All filters at one moment. A change makes a new set that shares the lenses.
#[derive(Default)]
pub(crate) struct Set {
    pub epoch: u64,
    pub filters: Vec<Active>,
    pub level: Option<(Severity, Arc<Lens>)>,
    /// Which lines pass all of it.
    pub masks: Arc<Masks>,
}

impl Set {
    /// Whether everything passes.
    pub(crate) fn open(&self) -> bool {
        self.level.is_none() && self.filters.iter().all(|f| !f.enabled)
    }

    /// Every lens: those that take part first.
    pub(crate) fn lenses(&self) -> impl Iterator<Item = &Arc<Lens>> {
        let off = self.filters.iter().filter(|f| !f.enabled).map(|f| &f.lens);
        self.asked().chain(off)
    }

    /// Those that take part.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Arc<Lens>> {
        let on = self.filters.iter().filter(|f| f.enabled).map(|f| &f.lens);
        self.level.iter().map(|(_, lens)| lens).chain(on)
    }

    /// Which lines of a block pass, given the mask of each lens that takes part.
    pub(crate) fn combine(&self, lines: usize, mask: &mut dyn FnMut(&Lens) -> Mask) -> Mask {
        let mut passing = Mask::All;
        if let Some((_, lens)) = &self.level {
            passing = mask(lens);
        }
        for filter in self.filters.iter().filter(|f| f.enabled) {
            if passing == Mask::None {
                break;
            }
            let found = mask(&filter.lens);
            passing = match filter.kind {
                FilterKind::In => passing.and(&found, lines),
                FilterKind::Out => passing.without(&found, lines),
            };
        }
        passing
    }

    pub(crate) fn states(&self) -> Vec<FilterState> {
        let state = |f: &Active| FilterState {
            id: f.lens.id,
            kind: f.kind,
            text: f.lens.text.clone(),
            enabled: f.enabled,
            matched: f.lens.masks.matched(),
            evaluated: f.lens.masks.evaluated(),
        };
        self.filters.iter().map(state).collect()
    }
}

/// A filter that is being typed: the view's set with it in.
pub(crate) struct Preview {
    pub lens: Arc<Lens>,
    pub kind: FilterKind,
    pub set: Arc<Set>,
}

/// The filters and the minimum level of a view at one moment, to come back to: with what is known of their answers.
#[derive(Clone, Default)]
pub struct Stance {
    pub(crate) filters: Vec<Active>,
    pub(crate) level: Option<(Severity, Arc<Lens>)>,
    /// How often what is known of a source had been forgotten then.
    pub(crate) forgotten: u64,
}

impl std::fmt::Debug for Stance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stance")
            .field(
                "filters",
                &self.filters.iter().map(|f| &f.lens.text).collect::<Vec<_>>(),
            )
            .field("level", &self.level.as_ref().map(|(level, _)| level))
            .finish()
    }
}
