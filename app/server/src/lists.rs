//! Listings of panes, tabs, clients and commands, for people in columns and for programs as JSON.

use qd_mux::Format;
use serde_json::json;

use crate::session::Session;

impl Session {
    pub(crate) fn list_panes(&self, f: Format) -> String {
        let mut rows = Vec::new();
        for (i, tab) in self.model.tabs().iter().enumerate() {
            let active = self.model.active_tab().map(|t| t.id) == Some(tab.id);
            // By id: a zoomed pane keeps its place in the list.
            let mut placements = self.model.placements_of(tab.id);
            placements.sort_by_key(|p| p.pane);
            for p in placements {
                let (Some(info), Some(s)) = (self.model.pane(p.pane), self.slots.get(&p.pane)) else {
                    continue;
                };
                rows.push(json!({
                    "id": p.pane.0, "tab_id": tab.id.0, "tab_position": i + 1, "tab_name": tab.name,
                    "kind": info.spec.kind, "title": info.label(), "focused": p.focused && active,
                    "pid": s.pane.pid(), "exited": s.pane.is_dead(), "crashed": s.crashed,
                    "x": p.inner.x, "y": p.inner.y, "columns": p.inner.w, "rows": p.inner.h,
                    "command": info.spec.command, "cwd": s.pane.pid().and_then(qd_panes::process_cwd),
                }));
            }
        }
        table(
            f,
            &rows,
            &[
                "id",
                "tab_position",
                "kind",
                "focused",
                "pid",
                "columns",
                "rows",
                "title",
            ],
        )
    }

    pub(crate) fn list_tabs(&self, f: Format) -> String {
        let active = self.model.active_tab().map(|t| t.id);
        let rows: Vec<_> = self
            .model
            .tabs()
            .iter()
            .enumerate()
            .map(|(i, t)| {
                json!({
                    "id": t.id.0, "position": i + 1, "name": t.name, "active": active == Some(t.id),
                    "panes": t.panes().len(), "fullscreen": t.fullscreen,
                })
            })
            .collect();
        table(f, &rows, &["id", "position", "active", "panes", "name"])
    }

    pub(crate) fn list_clients(&self, f: Format) -> String {
        let rows: Vec<_> = self
            .clients
            .values()
            .filter(|c| c.is_attached())
            .map(|c| {
                json!({
                    "id": c.id, "pid": c.pid, "tty": c.tty, "columns": c.size.cols, "rows": c.size.rows,
                    "read_only": !c.is_interactive(), "direct": c.is_direct(),
                })
            })
            .collect();
        table(
            f,
            &rows,
            &["id", "pid", "tty", "columns", "rows", "read_only", "direct"],
        )
    }
}

/// All commands of the registry.
pub(crate) fn list_commands(f: Format) -> String {
    let rows: Vec<_> = qd_mux::registry()
        .iter()
        .map(|c| json!({ "name": c.name, "category": c.category.title(), "usage": c.usage(), "doc": c.doc }))
        .collect();
    table(f, &rows, &["name", "category", "doc"])
}

/// Rows as JSON, or as columns for people.
fn table(f: Format, rows: &[serde_json::Value], columns: &[&str]) -> String {
    if f == Format::Json {
        return format!("{}\n", serde_json::Value::Array(rows.to_vec()));
    }
    let text = |v: &serde_json::Value| match v {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines = vec![columns.iter().map(|c| c.to_uppercase()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|r| columns.iter().map(|c| text(&r[*c])).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for l in lines {
        let row: Vec<String> = l.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        out.push_str(row.join("  ").trim_end());
        out.push('\n');
    }
    out
}
