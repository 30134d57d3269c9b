//! One query over a set of sources.

use std::{sync::Arc, time::Instant};

use crate::{
    haystack::{Scope, Source},
    query::Compiled,
    results::Results,
    token::Token,
    work::{Progress, Work},
};

/// Searches all sources, one after the other, each on its own threads, and returns when it is done or the token says stop.
/// `only` names for each source the haystacks that can match, where that is known; `tell` is called when the first lines of a
/// source are there.
pub fn search(
    compiled: &Compiled,
    sources: &[Arc<dyn Source>],
    only: Option<&[Vec<Vec<u8>>]>,
    token: &Token,
    results: &Results,
    progress: &Progress,
    tell: &(dyn Fn() + Sync),
) {
    if compiled.query.text.is_empty() {
        return;
    }
    let started = Instant::now();
    for (i, source) in sources.iter().enumerate() {
        if !token.is_live() {
            return;
        }
        let Ok(number) = u16::try_from(i) else { return };
        let work = Work::new(compiled, token, results, progress, number, tell).since(started);
        let scope = Scope {
            query: compiled,
            only: only.and_then(|o| o.get(i)).map(Vec::as_slice),
            token,
        };
        source.search(scope, &work);
    }
}
