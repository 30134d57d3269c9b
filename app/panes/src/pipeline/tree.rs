//! The wiring as a drawing of lines: each source with everything behind it. What was drawn before is named again, and not
//! drawn again.

use std::{collections::BTreeSet, sync::Arc};

use qd_logs::{EdgeSnapshot, Kind, Snapshot};

/// One line of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Twig {
    /// What stands before the name.
    pub(super) lead: String,
    /// The component.
    pub(super) id: Arc<str>,
    /// The edge that leads to it; none for a source.
    pub(super) edge: Option<EdgeSnapshot>,
    /// Whether what is behind it stands further up.
    pub(super) again: bool,
}

/// The deepest that is drawn.
const DEEPEST: usize = 64;

/// Draws a pipeline.
pub(super) fn draw(s: &Snapshot) -> Vec<Twig> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    let sources = s.components.iter().filter(|c| c.kind == Kind::Source);
    for c in sources {
        grow(s, &c.id, None, ("", ""), 0, &mut seen, &mut out);
    }
    // What no source leads to, though it should not be there.
    for c in &s.components {
        if !seen.contains(&c.id) {
            grow(s, &c.id, None, ("", ""), 0, &mut seen, &mut out);
        }
    }
    out
}

fn grow(
    s: &Snapshot,
    id: &Arc<str>,
    edge: Option<EdgeSnapshot>,
    (lead, below): (&str, &str),
    depth: usize,
    seen: &mut BTreeSet<Arc<str>>,
    out: &mut Vec<Twig>,
) {
    let next: Vec<&EdgeSnapshot> = s.edges.iter().filter(|e| e.from == *id).collect();
    let first = seen.insert(Arc::clone(id));
    out.push(Twig {
        lead: lead.to_owned(),
        id: Arc::clone(id),
        edge,
        again: !first && !next.is_empty(),
    });
    if !first || depth >= DEEPEST {
        return;
    }
    for (i, e) in next.iter().enumerate() {
        let last = i + 1 == next.len();
        let (twig, bar) = if last {
            ("\u{2514}\u{2500} ", "   ")
        } else {
            ("\u{251c}\u{2500} ", "\u{2502}  ")
        };
        let leads = (format!("{below}{twig}"), format!("{below}{bar}"));
        grow(s, &e.to, Some((*e).clone()), (&leads.0, &leads.1), depth + 1, seen, out);
    }
}

#[cfg(test)]
mod tests {
    use qd_logs::{ComponentSnapshot, State};

    use super::*;

    fn component(id: &str, kind: Kind) -> ComponentSnapshot {
        ComponentSnapshot {
            id: id.into(),
            kind,
            ty: "x".into(),
            state: State::Running,
            events_in: 0,
            events_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            rate_in: 0.0,
            rate_out: 0.0,
            errors: 0,
            discarded: 0,
            lost: 0,
            utilization: None,
            buffer: None,
            trouble: None,
            outputs: Vec::new(),
        }
    }

    fn edge(from: &str, output: Option<&str>, to: &str) -> EdgeSnapshot {
        EdgeSnapshot {
            from: from.into(),
            output: output.map(Into::into),
            to: to.into(),
        }
    }

    #[test]
    fn what_was_drawn_is_named_and_not_drawn_again() {
        let s = Snapshot {
            components: vec![
                component("a", Kind::Source),
                component("b", Kind::Source),
                component("t", Kind::Transform),
                component("x", Kind::Sink),
                component("y", Kind::Sink),
            ],
            edges: vec![
                edge("a", None, "t"),
                edge("b", None, "t"),
                edge("t", None, "x"),
                edge("t", Some("dropped"), "y"),
            ],
            ..Snapshot::default()
        };
        let lines: Vec<String> = draw(&s)
            .iter()
            .map(|t| format!("{}{}{}", t.lead, t.id, if t.again { " again" } else { "" }))
            .collect();
        assert_eq!(
            lines,
            [
                "a",
                "\u{2514}\u{2500} t",
                "   \u{251c}\u{2500} x",
                "   \u{2514}\u{2500} y",
                "b",
                "\u{2514}\u{2500} t again"
            ]
        );
        let ports: Vec<_> = draw(&s).into_iter().filter_map(|t| t.edge?.output).collect();
        assert_eq!(ports, ["dropped".into()]);
    }
}
