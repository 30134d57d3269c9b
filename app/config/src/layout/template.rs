//! Templates of a layout: `pane_template`, `tab_template` and `default_tab_template`, expanded as text trees before anything
//! is read from them. Expansion is bounded, since a template may use another.

use std::collections::BTreeMap;

use crate::{
    diagnostic::Report,
    tree::{Entry, Node, Value},
};

/// The most nodes a layout may have once its templates are expanded.
const MAX_NODES: usize = 4096;
/// The deepest nesting of templates in templates.
const MAX_DEPTH: usize = 16;

/// The templates a layout defines.
#[derive(Debug, Default)]
pub(super) struct Templates {
    panes: BTreeMap<String, Node>,
    tabs: BTreeMap<String, Node>,
    default_tab: Option<Node>,
}

impl Templates {
    /// Takes the definitions out of the layout's children.
    pub(super) fn collect(nodes: &[Node], report: &mut Report<'_>) -> Self {
        let mut found = Self::default();
        for node in nodes {
            let into = match node.name.as_str() {
                "default_tab_template" => {
                    found.default_tab = Some(node.clone());
                    continue;
                }
                "pane_template" => &mut found.panes,
                "tab_template" => &mut found.tabs,
                _ => continue,
            };
            let Some((_, name)) = node.props().find(|(k, _)| *k == "name") else {
                let help = Some(format!("{} name=\"…\"", node.name));
                report.error(node.name_span.clone(), "a template needs a name", help);
                continue;
            };
            let mut body = node.clone();
            body.entries.retain(|e| e.key.as_deref() != Some("name"));
            into.insert(name.value.word(), body);
        }
        found
    }

    /// The names that may stand in place of `pane`.
    pub(super) fn pane_names(&self) -> impl Iterator<Item = &str> {
        self.panes.keys().map(String::as_str)
    }

    /// The names that may stand in place of `tab`.
    pub(super) fn tab_names(&self) -> impl Iterator<Item = &str> {
        self.tabs.keys().map(String::as_str)
    }

    /// A tab with its template laid under it and every pane template in it expanded.
    pub(super) fn tab(&self, node: &Node, report: &mut Report<'_>) -> Node {
        let mut budget = MAX_NODES;
        let template = self.tabs.get(&node.name).or(self.default_tab.as_ref());
        let mut tab = template.map_or_else(|| node.clone(), |t| overlay(t, node, "tab"));
        tab.name = "tab".to_owned();
        self.expand(&mut tab, 0, &mut budget, report);
        if budget == 0 {
            let message = format!("this tab has more than {MAX_NODES} parts once its templates are expanded");
            report.error(node.name_span.clone(), message, None);
        }
        tab
    }

    fn expand(&self, node: &mut Node, depth: usize, budget: &mut usize, report: &mut Report<'_>) {
        for child in &mut node.children {
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                return;
            }
            let mut depth = depth;
            while let Some(template) = self.panes.get(&child.name) {
                depth += 1;
                // A large template costs more than a small one.
                *budget = budget.saturating_sub(template.span.len() / 256).max(1);
                if depth > MAX_DEPTH {
                    let message = format!("the template “{}” uses itself", child.name);
                    report.error(child.name_span.clone(), message, None);
                    // An empty pane, so that the name is not reported again.
                    "pane".clone_into(&mut child.name);
                    *budget = 1;
                    return;
                }
                *child = overlay(template, child, "pane");
            }
            self.expand(child, depth, budget, report);
        }
    }
}

/// `use_site` with what `template` says where it says nothing itself; its panes go where the template says `children`.
fn overlay(template: &Node, use_site: &Node, name: &str) -> Node {
    let (panes, settings): (Vec<Node>, Vec<Node>) = use_site.children.iter().cloned().partition(is_part);
    let said = |key: &str| {
        settings.iter().any(|s| s.name == key) || use_site.entries.iter().any(|e| e.key.as_deref() == Some(key))
    };
    let mut node = use_site.clone();
    node.name = name.to_owned();
    for entry in &template.entries {
        if entry.key.as_deref().is_none_or(|k| !said(k)) {
            node.entries.push(entry.clone());
        }
    }
    node.children = settings.clone();
    let mut body: Vec<Node> = template
        .children
        .iter()
        .filter(|c| is_part(c) || !said(&c.name))
        .cloned()
        .collect();
    let split = use_site
        .props()
        .find(|(k, _)| *k == "split_direction")
        .map(|(_, e)| e.clone());
    if place(&mut body, &panes, split.as_ref(), use_site) {
        // The direction of the panes is that of their own group now, not of the template around it.
        if split.is_some() {
            node.entries.retain(|e| e.key.as_deref() != Some("split_direction"));
            node.entries.extend(
                template
                    .entries
                    .iter()
                    .filter(|e| e.key.as_deref() == Some("split_direction"))
                    .cloned(),
            );
        }
    } else {
        body.extend(panes);
    }
    node.children.extend(body);
    node
}

/// Whether a node is a part of the screen, not a setting of the node it stands in.
pub(super) fn is_part(node: &Node) -> bool {
    !super::read::is_setting(&node.name)
}

/// Replaces the first `children` below `body` by a pane that holds `panes`; whether there was one.
fn place(body: &mut [Node], panes: &[Node], split: Option<&Entry>, use_site: &Node) -> bool {
    for node in body {
        if node.name == "children" {
            node.name = "pane".to_owned();
            node.name_span = use_site.name_span.clone();
            node.entries.extend(split.cloned());
            if split.is_none() && panes.len() > 1 {
                node.entries.push(Entry {
                    key: Some("split_direction".to_owned()),
                    value: Value::Text("horizontal".to_owned()),
                    span: use_site.name_span.clone(),
                });
            }
            node.children = panes.to_vec();
            return true;
        }
        if place(&mut node.children, panes, split, use_site) {
            return true;
        }
    }
    false
}
