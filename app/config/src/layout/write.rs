//! Prints a layout so that reading it gives the same layout back.

use qd_mux::{Axis, Dim, LayoutSpec, Node, OnExit, PaneSpec, TabSpec};

use crate::{
    layout::read::is_setting,
    write::{name, quote},
};

/// The layout as KDL text.
#[must_use]
pub fn write_layout(layout: &LayoutSpec) -> String {
    let mut out = "layout {\n".to_owned();
    for tab in &layout.tabs {
        write_tab(tab, &mut out);
    }
    out.push_str("}\n");
    out
}

fn write_tab(tab: &TabSpec, out: &mut String) {
    out.push_str("    tab");
    if let Some(name) = &tab.name {
        property(out, "name", name);
    }
    if tab.focus {
        out.push_str(" focus=#true");
    }
    match &tab.root {
        Node::Split { axis, children, .. } => {
            direction(out, *axis);
            out.push_str(" {\n");
            children.iter().for_each(|child| write_part(child, 2, out));
        }
        pane @ Node::Pane { .. } => {
            out.push_str(" {\n");
            write_part(pane, 2, out);
        }
    }
    out.push_str("    }\n");
}

fn write_part(part: &Node, depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    out.push_str(&indent);
    out.push_str("pane");
    match part.size() {
        Some(Dim::Percent(p)) => property(out, "size", &format!("{p}%")),
        Some(Dim::Cells(cells)) => out.push_str(&format!(" size={cells}")),
        None => {}
    }
    match part {
        Node::Split { axis, children, .. } => {
            direction(out, *axis);
            out.push_str(" {\n");
            children.iter().for_each(|child| write_part(child, depth + 1, out));
            out.push_str(&format!("{indent}}}\n"));
        }
        Node::Pane { spec, focus, .. } => {
            if *focus {
                out.push_str(" focus=#true");
            }
            write_spec(spec, &indent, out);
        }
    }
}

fn write_spec(spec: &PaneSpec, indent: &str, out: &mut String) {
    if spec.kind != PaneSpec::TERMINAL {
        property(out, "kind", &spec.kind);
    }
    if let Some(name) = &spec.name {
        property(out, "name", name);
    }
    let (command, args) = match spec.command.as_deref() {
        Some([command, args @ ..]) => (Some(command), args),
        _ => (None, &[][..]),
    };
    if let Some(command) = command {
        property(out, "command", command);
    }
    if let Some(cwd) = &spec.cwd {
        property(out, "cwd", cwd);
    }
    if spec.on_exit != spec.usual_on_exit() {
        let on = if spec.on_exit == OnExit::Close {
            "#true"
        } else {
            "#false"
        };
        out.push_str(&format!(" close_on_exit={on}"));
    }
    let mut block = String::new();
    if !args.is_empty() {
        let words: Vec<String> = args.iter().map(|a| quote(a)).collect();
        block.push_str(&format!("{indent}    args {}\n", words.join(" ")));
    }
    for (key, value) in &spec.args {
        // In an engine's block a key is a node, unless it is the name of one of the pane's own settings.
        if spec.kind == PaneSpec::TERMINAL || is_setting(key) || matches!(key.as_str(), "plugin" | "pane") {
            block.push_str(&format!("{indent}    args {}={}\n", name(key), quote(value)));
        } else {
            block.push_str(&format!("{indent}    {} {}\n", name(key), quote(value)));
        }
    }
    if block.is_empty() {
        out.push('\n');
    } else {
        out.push_str(&format!(" {{\n{block}{indent}}}\n"));
    }
}

fn property(out: &mut String, key: &str, value: &str) {
    out.push_str(&format!(" {key}={}", quote(value)));
}

fn direction(out: &mut String, axis: Axis) {
    let word = match axis {
        Axis::Row => "vertical",
        Axis::Column => "horizontal",
    };
    property(out, "split_direction", word);
}
