//! Views that were given a name: filters, level, columns, times, search. Kept in one file of the state directory.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use qd_core::Severity;
use qd_logs_view::FilterKind;
use serde_json::{Value, json};

use super::{
    LogPane, Shown, Times, now,
    panel::{Kind, Panel},
};

/// How many views are kept.
const VIEWS: usize = 200;
/// How many columns and filters are read of one.
const PARTS: usize = 64;
/// The longest name, in bytes.
const NAME: usize = 100;

/// A view with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) name: String,
    filters: Vec<(FilterKind, String, bool)>,
    level: Option<Severity>,
    columns: Vec<String>,
    times: Times,
    wrap: bool,
    /// As it was typed.
    search: String,
}

impl Saved {
    /// What it is, in a few words.
    pub(super) fn words(&self) -> String {
        let mut parts: Vec<String> = self
            .filters
            .iter()
            .map(|(kind, text, on)| {
                let sign = if *kind == FilterKind::Out { "-" } else { "" };
                format!("{sign}({text}){}", if *on { "" } else { " off" })
            })
            .collect();
        parts.extend(self.level.map(|l| format!("level:>={l}")));
        if !self.search.is_empty() {
            parts.push(format!("find {}", self.search));
        }
        if !self.columns.is_empty() {
            parts.push(format!("columns {}", self.columns.join(" ")));
        }
        if parts.is_empty() {
            "everything".to_owned()
        } else {
            parts.join("  ")
        }
    }

    fn json(&self) -> Value {
        let filter = |(kind, text, on): &(FilterKind, String, bool)| json!({ "hide": *kind == FilterKind::Out, "text": text, "on": on });
        json!({
            "name": self.name,
            "filters": self.filters.iter().map(filter).collect::<Vec<_>>(),
            "level": self.level.map(|l| l.name()),
            "columns": self.columns,
            "times": match self.times { Times::Hidden => "hidden", Times::Clock => "clock", Times::Relative => "relative" },
            "wrap": self.wrap,
            "search": self.search,
        })
    }

    fn read(value: &Value) -> Option<Saved> {
        let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).map(str::to_owned);
        let list = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .take(PARTS)
        };
        let filter = |v: &Value| {
            let hide = v.get("hide").and_then(Value::as_bool).unwrap_or(false);
            let on = v.get("on").and_then(Value::as_bool).unwrap_or(true);
            Some((
                if hide { FilterKind::Out } else { FilterKind::In },
                text(v, "text")?,
                on,
            ))
        };
        Some(Saved {
            name: text(value, "name").filter(|n| !n.is_empty())?,
            filters: list("filters").filter_map(filter).collect(),
            level: text(value, "level").and_then(|l| l.parse().ok()),
            columns: list("columns").filter_map(|c| c.as_str().map(str::to_owned)).collect(),
            times: match text(value, "times").as_deref() {
                Some("clock") => Times::Clock,
                Some("relative") => Times::Relative,
                _ => Times::Hidden,
            },
            wrap: value.get("wrap").and_then(Value::as_bool).unwrap_or(false),
            search: text(value, "search").unwrap_or_default(),
        })
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("log-views.json")
}

/// The saved views, by name.
pub(super) fn load(state: &Path) -> Result<Vec<Saved>, String> {
    let path = file(state);
    let wrong = |why: &str| format!("{}: {why}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(wrong(&e.to_string())),
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| wrong(&e.to_string()))?;
    let list = value.get("views").and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong("it is no file of views: it has no list `views`"))?;
    let mut found: Vec<Saved> = list.iter().take(VIEWS).filter_map(Saved::read).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Writes them into a new file that takes the old one's place.
fn store(state: &Path, views: &[Saved]) -> Result<(), String> {
    let path = file(state);
    let value = json!({ "version": 1, "views": views.iter().map(Saved::json).collect::<Vec<_>>() });
    let temporary = path.with_extension(format!("json.{}", std::process::id()));
    let write = || {
        fs::create_dir_all(state)?;
        let mut out = File::create(&temporary)?;
        out.write_all(format!("{value:#}\n").as_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|e| {
        let _gone = fs::remove_file(&temporary);
        format!("{}: {e}", path.display())
    })
}

impl LogPane {
    /// Keeps how the log is looked at under a name; another of that name is replaced.
    pub(super) fn save_view(&mut self, name: &str) -> Result<(), String> {
        if name.len() > NAME || name.chars().any(char::is_control) {
            return Err(format!("a name has at most {NAME} bytes, and no control characters"));
        }
        let s = self.snapshot();
        let saved = Saved {
            name: name.to_owned(),
            filters: s.filters.iter().map(|f| (f.kind, f.text.clone(), f.enabled)).collect(),
            level: s.level,
            columns: self.columns.iter().map(|c| c.name.clone()).collect(),
            times: self.times,
            wrap: self.wrap,
            search: self.searched.clone(),
        };
        let mut views = load(&self.state)?;
        views.retain(|v| v.name != name);
        if views.len() >= VIEWS {
            return Err(format!("there are {VIEWS} views already; D in their list removes one"));
        }
        views.push(saved);
        store(&self.state, &views)?;
        self.tell(format!("saved as {name}; qd logs view --view {name} opens with it"));
        Ok(())
    }

    /// Looks at the log as a saved view does.
    pub(super) fn take_view(&mut self, name: &str) -> Result<(), String> {
        let views = load(&self.state)?;
        let Some(saved) = views.iter().find(|v| v.name == name) else {
            let known: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
            return Err(match known.as_slice() {
                [] => format!("there is no view {name}: none is saved yet"),
                list => format!("there is no view {name}; there are: {}", list.join(", ")),
            });
        };
        let mut found = Vec::new();
        for (kind, text, on) in &saved.filters {
            let predicate = qd_logs_condition::predicate(text, &now()).map_err(|e| format!("the view {name}: {e}"))?;
            found.push((*kind, text.as_str(), predicate, *on));
        }
        let pattern = Some(saved.search.as_str())
            .filter(|t| !t.is_empty())
            .map(super::jobs::pattern)
            .transpose()
            .map_err(|e| format!("the view {name}: {e}"))?;
        self.change(|pane| -> Result<(), String> {
            pane.view.take_stance(&Default::default());
            for (kind, text, predicate, on) in found {
                let added = pane.view.add_filter(kind, text, predicate, on);
                added.map_err(|e| e.to_string())?;
            }
            pane.view.set_level(saved.level);
            pane.view.search(pattern.clone());
            pane.search = pattern;
            pane.searched.clone_from(&saved.search);
            pane.columns = saved
                .columns
                .iter()
                .map(|name| Shown {
                    name: name.clone(),
                    width: 0,
                })
                .collect();
            pane.cell = 0;
            pane.times = saved.times;
            pane.wrap = saved.wrap;
            Ok(())
        })?;
        self.tell(format!("the view {name}; u goes back"));
        Ok(())
    }

    /// Takes a saved view away.
    pub(super) fn remove_view(&mut self, name: &str) -> Result<(), String> {
        let mut views = load(&self.state)?;
        views.retain(|v| v.name != name);
        store(&self.state, &views)?;
        self.panel = Some(Panel::of(Kind::Views(views)));
        Ok(())
    }

    /// Lists the saved views.
    pub(super) fn open_views(&mut self) {
        match load(&self.state) {
            Ok(views) => self.panel = Some(Panel::of(Kind::Views(views))),
            Err(e) => self.fail(&e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_empty());
        let view = |name: &str| Saved {
            name: name.to_owned(),
            filters: vec![
                (FilterKind::In, "a \"b\"".to_owned(), true),
                (FilterKind::Out, "vrl: .x > 1".to_owned(), false),
            ],
            level: Some(Severity::Warn),
            columns: vec!["status".to_owned()],
            times: Times::Relative,
            wrap: true,
            search: "/x+/".to_owned(),
        };
        store(dir.path(), &[view("z"), view("a")]).unwrap();
        assert_eq!(load(dir.path()).unwrap(), [view("a"), view("z")]);
        assert!(view("a").words().contains("-(vrl: .x > 1) off"));
        // What is no such file is refused, and stays.
        fs::write(file(dir.path()), "[1]").unwrap();
        assert!(load(dir.path()).unwrap_err().contains("log-views.json"));
        // What is odd in one is left out.
        fs::write(
            file(dir.path()),
            r#"{"views":[{"name":7},{"name":"x","filters":[{"text":1}],"level":"zz"}]}"#,
        )
        .unwrap();
        let odd = load(dir.path()).unwrap();
        assert_eq!((odd.len(), odd[0].filters.len(), odd[0].level), (1, 0, None));
    }
}
