//! Reads a layout from its tree. What a pane may say is listed once, in [`is_setting`]; a setting may stand as a property
//! or in the block, as zellij allows.

use qd_mux::{Axis, Dim, LayoutSpec, Node as Part, OnExit, PaneSpec, TabSpec};

use crate::{
    diagnostic::{Report, did_you_mean},
    layout::template::{Templates, is_part},
    options::switch,
    tree::{self, Entry, Node, Value},
};

/// Settings of panes and tabs. The last seven of them are zellij's alone; ignoring them loses nothing.
const SETTINGS: &[&str] = &[
    "name",
    "focus",
    "cwd",
    "split_direction",
    "size",
    "command",
    "args",
    "close_on_exit",
    "start_suspended",
    "borderless",
    "kind",
    "edit",
    "stacked",
    "expanded",
    "hide_floating_panes",
    "exclude_from_sync",
    "default_fg",
    "default_bg",
    "contents_file",
];

/// Parts of a layout that are not tabs or panes.
const BESIDE: &[&str] = &[
    "cwd",
    "default_tab_template",
    "pane_template",
    "tab_template",
    "new_tab_template",
    "floating_panes",
    "swap_tiled_layout",
    "swap_floating_layout",
];

/// Bars of zellij's that are built in here.
const BARS: &[&str] = &["tab-bar", "status-bar", "compact-bar"];

/// The most tabs and the most panes a layout may open.
const MAX_TABS: usize = 256;

pub(super) fn is_setting(name: &str) -> bool {
    SETTINGS.contains(&name)
}

/// The layout in `text`; `None` when there is no `layout` in it.
pub(super) fn layout(text: &str, report: &mut Report<'_>) -> Option<LayoutSpec> {
    let nodes = tree::parse(text, report);
    let mut found = None;
    for node in &nodes {
        if node.name != "layout" {
            beside_layout(node, report);
        } else if found.is_some() {
            report.error(node.name_span.clone(), "a file holds one layout", None);
        } else {
            found = Some(node);
        }
    }
    let Some(node) = found else {
        if !report.has_errors() {
            report.error(
                0..0,
                "there is no layout in this file",
                Some("layout { pane; }".to_owned()),
            );
        }
        return None;
    };
    Some(tabs(node, report))
}

/// What may stand beside a layout in zellij's files: options, which are not the layout's business.
fn beside_layout(node: &Node, report: &mut Report<'_>) {
    let is_option = crate::options::options().any(|(name, _)| name == node.name)
        || crate::options::is_elsewhere(&node.name)
        || node.name == "keybinds";
    if is_option {
        let message = format!("“{}” in a layout has no effect", node.name);
        report.warning(node.name_span.clone(), message, Some("put it in config.kdl".to_owned()));
    } else {
        let help = did_you_mean(&node.name, ["layout"]);
        report.error(node.name_span.clone(), format!("“{}” is no layout", node.name), help);
    }
}

fn tabs(node: &Node, report: &mut Report<'_>) -> LayoutSpec {
    let templates = Templates::collect(&node.children, report);
    let cwd = setting(node, "cwd").map(|e| e.value.word());
    let mut layout = LayoutSpec::default();
    let mut loose = Vec::new();
    for child in &node.children {
        let name = child.name.as_str();
        if name == "tab" || templates.tab_names().any(|t| t == name) {
            let expanded = templates.tab(child, report);
            layout.tabs.push(tab(&expanded, cwd.as_deref(), report));
        } else if name == "pane" || name == "plugin" || templates.pane_names().any(|t| t == name) {
            loose.push(child.clone());
        } else {
            beside_tabs(child, &templates, report);
        }
    }
    if let (Some(first), false) = (loose.first(), layout.tabs.is_empty()) {
        let help = Some("put it in one of the tabs".to_owned());
        report.error(first.name_span.clone(), "a pane cannot stand beside tabs", help);
    }
    if layout.tabs.is_empty() {
        // Panes without a tab share one; its direction may be said on the layout.
        let entries = node
            .entries
            .iter()
            .filter(|e| e.key.as_deref() == Some("split_direction"))
            .cloned()
            .collect();
        let whole = Node {
            name: "tab".to_owned(),
            children: loose,
            entries,
            ..node.clone()
        };
        let expanded = templates.tab(&whole, report);
        layout.tabs.push(tab(&expanded, cwd.as_deref(), report));
    }
    if layout.tabs.len() > MAX_TABS {
        report.error(
            node.name_span.clone(),
            format!("a layout has at most {MAX_TABS} tabs"),
            None,
        );
    }
    layout
}

fn beside_tabs(node: &Node, templates: &Templates, report: &mut Report<'_>) {
    match node.name.as_str() {
        "floating_panes" => {
            let help = Some("the panes in it are left out".to_owned());
            report.warning(node.name_span.clone(), "floating panes are not supported yet", help);
        }
        "swap_tiled_layout" | "swap_floating_layout" => {
            report.warning(
                node.name_span.clone(),
                format!("“{}” is not supported yet", node.name),
                None,
            );
        }
        "new_tab_template" => {
            report.warning(
                node.name_span.clone(),
                "a template for tabs opened later is not supported yet",
                None,
            );
        }
        name if BESIDE.contains(&name) => {}
        name => {
            let known = BESIDE.iter().copied().chain(["tab", "pane"]);
            let help = did_you_mean(name, known.chain(templates.pane_names()).chain(templates.tab_names()));
            report.error(node.name_span.clone(), format!("a layout has no “{name}”"), help);
        }
    }
}

/// What a node says of `name`, as a property or in its block; the property wins.
fn setting<'n>(node: &'n Node, name: &str) -> Option<&'n Entry> {
    let property = node.props().find(|(key, _)| *key == name).map(|(_, e)| e);
    property.or_else(|| {
        node.children
            .iter()
            .find(|c| c.name == name)
            .and_then(|c| c.args().next())
    })
}

fn tab(node: &Node, cwd: Option<&str>, report: &mut Report<'_>) -> TabSpec {
    const OF_TABS: &[&str] = &["name", "focus", "cwd", "split_direction", "hide_floating_panes"];
    check_settings(node, OF_TABS, "tab", report);
    let mut reader = PaneReader { report };
    let cwd = joined(cwd, setting(node, "cwd").map(|e| e.value.word()));
    let axis = reader.axis(node);
    let root = reader.group(node, axis, None, cwd.as_deref());
    TabSpec {
        name: reader.text(node, "name"),
        focus: reader.flag(node, "focus"),
        root: root.unwrap_or_else(|| shell(cwd)),
    }
}

fn shell(cwd: Option<String>) -> Part {
    Part::Pane {
        spec: PaneSpec {
            cwd,
            ..PaneSpec::default()
        },
        size: None,
        focus: false,
    }
}

/// `inner` seen from `outer`: a relative directory continues the one around it.
fn joined(outer: Option<&str>, inner: Option<String>) -> Option<String> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if !inner.starts_with('/') && !inner.starts_with('~') => {
            Some(format!("{}/{inner}", outer.trim_end_matches('/')))
        }
        (outer, inner) => inner.or_else(|| outer.map(str::to_owned)),
    }
}

fn check_settings(node: &Node, known: &[&str], what: &str, report: &mut Report<'_>) {
    for (key, entry) in node.props() {
        if !known.contains(&key) {
            let help = did_you_mean(key, known.iter().copied());
            report.error(entry.span.clone(), format!("a {what} has no “{key}”"), help);
        }
    }
    if let Some(extra) = node.args().next() {
        report.error(
            extra.span.clone(),
            format!("a {what} takes no value without a name"),
            None,
        );
    }
    let misplaced = node
        .children
        .iter()
        .filter(|c| is_setting(&c.name) && !known.contains(&c.name.as_str()));
    for child in misplaced {
        report.error(
            child.name_span.clone(),
            format!("a {what} has no “{}”", child.name),
            None,
        );
    }
}

struct PaneReader<'a, 'r> {
    report: &'a mut Report<'r>,
}

impl PaneReader<'_, '_> {
    /// The parts in a block as one part; `None` when there are none (bars are dropped).
    fn group(&mut self, node: &Node, axis: Axis, size: Option<Dim>, cwd: Option<&str>) -> Option<Part> {
        let mut children = Vec::new();
        for child in node.children.iter().filter(|c| is_part(c)) {
            match child.name.as_str() {
                "pane" => children.extend(self.pane(child, cwd)),
                "plugin" => children.extend(self.plugin(child, None)),
                // A template's place for panes, where nothing put any.
                "children" => {}
                "floating_panes" => {
                    let help = Some("the panes in it are left out".to_owned());
                    self.report
                        .warning(child.name_span.clone(), "floating panes are not supported yet", help);
                }
                name => {
                    let help = did_you_mean(name, SETTINGS.iter().copied().chain(["pane", "children"]));
                    self.report.error(
                        child.name_span.clone(),
                        format!("there is no “{name}” in a pane or tab"),
                        help,
                    );
                }
            }
        }
        if children.len() < 2 {
            let mut only = children.pop()?;
            let (Part::Pane { size: own, .. } | Part::Split { size: own, .. }) = &mut only;
            *own = size;
            return Some(only);
        }
        Some(Part::Split { axis, size, children })
    }

    fn pane(&mut self, node: &Node, cwd: Option<&str>) -> Option<Part> {
        let engine = setting(node, "kind").is_some_and(|e| e.value.word() != PaneSpec::TERMINAL);
        check_settings(node, SETTINGS, "pane", self.report);
        let size = self.size(node);
        let cwd = joined(cwd, self.text(node, "cwd"));
        if let Some(plugin) = node.children.iter().find(|c| c.name == "plugin") {
            return self.plugin(plugin, size);
        }
        let has_parts = node.children.iter().any(is_part);
        if has_parts && !engine {
            self.unsupported_of_group(node);
            let axis = self.axis(node);
            return self.group(node, axis, size, cwd.as_deref());
        }
        let spec = self.spec(node, cwd);
        Some(Part::Pane {
            spec,
            size,
            focus: self.flag(node, "focus"),
        })
    }

    fn spec(&mut self, node: &Node, cwd: Option<String>) -> PaneSpec {
        let mut spec = PaneSpec {
            cwd,
            name: self.text(node, "name"),
            ..PaneSpec::default()
        };
        if let Some(kind) = self.text(node, "kind") {
            spec.kind = kind;
        }
        if let Some(command) = self.text(node, "command") {
            let args = node.children.iter().filter(|c| c.name == "args").flat_map(Node::args);
            spec.command = Some(std::iter::once(command).chain(args.map(|e| e.value.word())).collect());
        } else if let Some(args) = node
            .children
            .iter()
            .find(|c| c.name == "args" && c.args().next().is_some())
        {
            self.report.error(args.span.clone(), "“args” without a “command”", None);
        }
        for (key, entry) in node.children.iter().filter(|c| c.name == "args").flat_map(Node::props) {
            spec.args.insert(key.to_owned(), entry.value.word());
        }
        if spec.kind != PaneSpec::TERMINAL {
            self.engine_args(node, &mut spec);
        }
        spec.on_exit = spec.usual_on_exit();
        if setting(node, "close_on_exit").is_some() {
            spec.on_exit = if self.flag(node, "close_on_exit") {
                OnExit::Close
            } else {
                OnExit::Hold
            };
        }
        self.rest(node, &mut spec);
        spec
    }

    /// The block of an engine's pane: whatever is no setting is the engine's.
    fn engine_args(&mut self, node: &Node, spec: &mut PaneSpec) {
        for child in node.children.iter().filter(|c| is_part(c)) {
            let mut values = child.args();
            match (values.next(), values.next(), child.children.is_empty()) {
                (Some(value), None, true) => drop(spec.args.insert(child.name.clone(), value.value.word())),
                _ => {
                    let message = format!("“{}” of a pane of kind “{}” takes one value", child.name, spec.kind);
                    self.report.error(child.span.clone(), message, None);
                }
            }
        }
    }

    /// Settings that are kept for later, or are not supported yet.
    fn rest(&mut self, node: &Node, spec: &mut PaneSpec) {
        if self.flag(node, "start_suspended") {
            spec.args.insert("start_suspended".to_owned(), "true".to_owned());
        }
        if self.flag(node, "borderless")
            && let Some(entry) = setting(node, "borderless")
        {
            let help = Some("the pane has the frame that all have".to_owned());
            self.report.warning(
                entry.span.clone(),
                "panes without a frame of their own are not supported yet",
                help,
            );
        }
        if let Some(entry) = setting(node, "edit") {
            let help = Some("a shell opens instead; command=\"vi\" with args does the same".to_owned());
            self.report
                .warning(entry.span.clone(), "“edit” is not supported yet", help);
        }
    }

    fn unsupported_of_group(&mut self, node: &Node) {
        if self.flag(node, "stacked")
            && let Some(entry) = setting(node, "stacked")
        {
            let help = Some("the panes lie one above the other".to_owned());
            self.report
                .warning(entry.span.clone(), "stacked panes are not supported yet", help);
        }
    }

    /// A plugin: the bars are ours, of others a pane says what is missing.
    fn plugin(&mut self, node: &Node, size: Option<Dim>) -> Option<Part> {
        let location = setting(node, "location").map(|e| e.value.word()).unwrap_or_default();
        let name = location.strip_prefix("zellij:").unwrap_or(&location).to_owned();
        if BARS.contains(&name.as_str()) {
            return None;
        }
        let help = Some("an empty pane takes its place".to_owned());
        self.report.warning(
            node.span.clone(),
            format!("the plugin “{name}” does not exist here"),
            help,
        );
        let args = [("location".to_owned(), location)].into();
        let spec = PaneSpec {
            kind: "plugin".to_owned(),
            name: Some(name),
            args,
            ..PaneSpec::default()
        };
        Some(Part::Pane {
            spec,
            size,
            focus: false,
        })
    }

    fn axis(&mut self, node: &Node) -> Axis {
        let Some(entry) = setting(node, "split_direction") else {
            return Axis::Column;
        };
        match entry.value.word().to_ascii_lowercase().as_str() {
            "vertical" => Axis::Row,
            "horizontal" => Axis::Column,
            word => {
                let help = did_you_mean(word, ["vertical", "horizontal"])
                    .unwrap_or_else(|| "write \"vertical\" (side by side) or \"horizontal\"".to_owned());
                self.report
                    .error(entry.span.clone(), format!("a split cannot be “{word}”"), Some(help));
                Axis::Column
            }
        }
    }

    fn size(&mut self, node: &Node) -> Option<Dim> {
        let entry = setting(node, "size")?;
        let dim = match &entry.value {
            Value::Integer(i) => cells(*i),
            Value::Text(s) => match s.strip_suffix('%') {
                Some(p) => p
                    .trim()
                    .parse::<f32>()
                    .ok()
                    .filter(|p| *p > 0.0 && *p <= 100.0)
                    .map(Dim::Percent),
                None => s.parse::<i128>().ok().and_then(cells),
            },
            _ => None,
        };
        if dim.is_none() {
            let help = Some("write a number of cells, or a part such as \"50%\"".to_owned());
            self.report.error(entry.span.clone(), "this is no size", help);
        }
        dim
    }

    fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        let entry = setting(node, name)?;
        match &entry.value {
            Value::Text(s) => Some(s.clone()),
            Value::Integer(_) | Value::Float(_) => Some(entry.value.word()),
            Value::Bool(_) | Value::Null => {
                self.report
                    .error(entry.span.clone(), format!("“{name}” must be text"), None);
                None
            }
        }
    }

    fn flag(&mut self, node: &Node, name: &str) -> bool {
        let Some(entry) = setting(node, name) else { return false };
        let value = switch(entry);
        if value.is_none() {
            let help = Some("write #true or #false".to_owned());
            self.report
                .error(entry.span.clone(), format!("“{name}” is a switch"), help);
        }
        value.is_some_and(|t| t.is_on())
    }
}

fn cells(count: i128) -> Option<Dim> {
    u16::try_from(count).ok().filter(|c| *c > 0).map(Dim::Cells)
}
