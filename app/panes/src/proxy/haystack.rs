//! What passed the proxy as something to search: each flow that is kept by itself, as it is read in the pane, with what is
//! secret covered.

use std::sync::Arc;

use qd_mux::PaneId;
use qd_search_live::{Kind, Source, Text, Texts};

use super::{
    ProxyPane, Region, View,
    detail::{self, Detail, Part},
};
use crate::Refused;

impl ProxyPane {
    /// The flows that are kept. Their lines are made on the threads that search.
    pub(super) fn haystacks(&self, pane: PaneId) -> Arc<dyn Source> {
        let flows: Vec<_> = self.book.look(|kept| kept.flows.iter().cloned().collect());
        let text = |seen: Arc<super::book::Seen>| {
            // A session that sees four thousand million flows begins with the numbers anew.
            let part = u32::try_from(seen.seq % u64::from(u32::MAX)).unwrap_or(0);
            let title = qd_proxy_content::escape(&format!("{} {}", seen.told.method, seen.told.url()));
            Text::later(crate::part_id(pane, part), title, move || {
                let lines = detail::plain_request(&seen)
                    .into_iter()
                    .chain(detail::plain_response(&seen));
                let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
                for (number, line) in lines.enumerate() {
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.push(b'\n');
                    numbers.push(number as u64 + 1);
                }
                (bytes, numbers)
            })
        };
        Arc::new(Texts::new(Kind::Bodies, flows.into_iter().map(text).collect()))
    }

    /// Opens the flow of a number at a line of what was searched.
    pub(super) fn open_at(&mut self, part: Option<u32>, line: u64) -> Result<(), Refused> {
        let is = |seq: u64| u32::try_from(seq % u64::from(u32::MAX)).ok() == part;
        let gone = || Refused("the flow is no longer kept".to_owned());
        if self.filter.is_some() {
            self.set_filter("").map_err(Refused)?;
        }
        self.take_flows();
        let seen = self.shown.iter().find(|s| is(s.seq)).cloned().ok_or_else(gone)?;
        self.show(View::Live);
        self.follow = false;
        self.at = Some(seen.seq);
        // Where lines are broken at the width the place is not far.
        let line = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
        let first = detail::plain_request(&seen).len();
        let (part, from) = match line < first {
            true => (Part::Request, line),
            false => (Part::Answer, line - first),
        };
        self.detail = Some(Detail { part, kind: None, from });
        self.region = Region::Detail;
        Ok(())
    }
}
