//! Which rows of a picker match a query, in which order, and at which characters. It owns the matcher's scratch memory and
//! must never know what a row is for.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};

use super::PickItem;

/// What a match in the label is worth more than one that needs the detail as well.
const LABEL_BONUS: u32 = 40;
/// What it is worth that a query is a whole label.
const WHOLE_BONUS: u32 = 64;
/// The most that having been chosen before is worth: about one character that matches.
const FRECENCY_CAP: u32 = 16;

/// A row that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranked {
    /// The row's place in the list.
    pub(super) item: usize,
    /// The characters of the label that match, by count.
    pub(super) label: Vec<u32>,
    /// The characters of the detail that match, by count.
    pub(super) detail: Vec<u32>,
}

/// Matches queries against rows.
pub(super) struct Ranker {
    matcher: Matcher,
    buf: Vec<char>,
}

impl Ranker {
    pub(super) fn new() -> Self {
        Self {
            matcher: Matcher::new(Config::DEFAULT),
            buf: Vec::new(),
        }
    }

    /// The rows that match `query`, best first; every row, most used first, for an empty one. Rows that can't be chosen
    /// stand behind those of the same worth that can.
    pub(super) fn rank(&mut self, items: &[PickItem], query: &str) -> Vec<Ranked> {
        let pattern = Pattern::parse(query, CaseMatching::Smart, Normalization::Smart);
        let mut found: Vec<(u32, Ranked)> = Vec::new();
        for (item, it) in items.iter().enumerate() {
            if pattern.atoms.is_empty() {
                found.push((
                    it.score,
                    Ranked {
                        item,
                        label: Vec::new(),
                        detail: Vec::new(),
                    },
                ));
                continue;
            }
            if let Some((score, label, detail)) = self.one(&pattern, it) {
                // Each doubling of use is worth the same, up to the cap.
                let used = (it.score.saturating_add(1).ilog2() * 4).min(FRECENCY_CAP);
                let whole = if it.label.eq_ignore_ascii_case(query.trim()) {
                    WHOLE_BONUS
                } else {
                    0
                };
                found.push((score + used + whole, Ranked { item, label, detail }));
            }
        }
        let stuck = |r: &Ranked| items.get(r.item).is_some_and(|i| i.disabled.is_some());
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| stuck(&a.1).cmp(&stuck(&b.1))));
        found.into_iter().map(|(_, r)| r).collect()
    }

    fn one(&mut self, pattern: &Pattern, it: &PickItem) -> Option<(u32, Vec<u32>, Vec<u32>)> {
        let mut at = Vec::new();
        let label = Utf32Str::new(&it.label, &mut self.buf);
        let split = u32::try_from(label.len()).unwrap_or(u32::MAX);
        if let Some(score) = pattern.indices(label, &mut self.matcher, &mut at) {
            tidy(&mut at);
            return Some((score + LABEL_BONUS, at, Vec::new()));
        }
        at.clear();
        let both = format!("{} {} {}", it.label, it.detail, it.group);
        let score = pattern.indices(Utf32Str::new(&both, &mut self.buf), &mut self.matcher, &mut at)?;
        tidy(&mut at);
        // The haystack counts graphemes, and so does `split`; a blank stands between the parts.
        let (label, rest): (Vec<u32>, Vec<u32>) = at.into_iter().partition(|i| *i < split);
        Some((
            score,
            label,
            rest.into_iter().filter_map(|i| i.checked_sub(split + 1)).collect(),
        ))
    }
}

fn tidy(at: &mut Vec<u32>) {
    at.sort_unstable();
    at.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(label: &str) -> PickItem {
        PickItem {
            id: label.into(),
            label: label.into(),
            ..PickItem::default()
        }
    }

    fn order(items: &[PickItem], query: &str) -> Vec<String> {
        let found = Ranker::new().rank(items, query);
        found.into_iter().map(|r| items[r.item].label.clone()).collect()
    }

    #[test]
    fn an_empty_query_lists_all_most_used_first() {
        let mut items = vec![item("a"), item("b"), item("c")];
        items[2].score = 5;
        assert_eq!(order(&items, ""), ["c", "a", "b"]);
        assert_eq!(order(&items, "   "), ["c", "a", "b"]);
    }

    #[test]
    fn the_start_of_a_word_beats_its_middle_and_every_word_must_match() {
        let items = [
            item("rename pane"),
            item("new pane"),
            item("new tab"),
            item("close pane"),
        ];
        assert_eq!(order(&items, "np")[0], "new pane");
        assert_eq!(order(&items, "new pane"), ["new pane"]);
        assert_eq!(order(&items, "pane new"), ["new pane"]);
        assert_eq!(order(&items, "zzz"), [""; 0]);
    }

    #[test]
    fn use_breaks_near_ties_but_not_far_better_matches() {
        let mut items = vec![item("split left"), item("split right")];
        items[1].score = 9;
        assert_eq!(order(&items, "split"), ["split right", "split left"]);
        let mut items = vec![
            item("detach"),
            item("d e t a c h"),
            item("debug the attached character host"),
        ];
        items[2].score = u32::MAX;
        assert_eq!(order(&items, "detach")[0], "detach");
    }

    #[test]
    fn a_label_beats_a_detail_and_places_are_told_apart() {
        let mut a = item("quit");
        a.detail = "detach from the session".into();
        let items = [a, item("detach")];
        assert_eq!(order(&items, "detach"), ["detach", "quit"]);
        let found = Ranker::new().rank(&items, "detach");
        assert_eq!((found[0].label.len(), found[0].detail.len()), (6, 0));
        assert_eq!(found[1].detail, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn rows_that_cannot_be_chosen_stand_behind_their_equals() {
        let mut items = vec![item("zoom a"), item("zoom b")];
        items[0].disabled = Some("only one pane".into());
        assert_eq!(order(&items, "zoom"), ["zoom b", "zoom a"]);
        assert_eq!(order(&items, ""), ["zoom b", "zoom a"]);
    }
}
