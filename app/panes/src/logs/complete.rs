//! What could stand at the caret of the prompt: fields and their values, and paths.

use std::path::Path;

use qd_core::filter::{self, FieldType};
use qd_logs_view::{columns, plain, schema};

use super::{
    LogPane,
    prompt::{Ask, Mode},
    text::shown,
};

/// How many entries of a directory are looked at for completion.
const ENTRIES: usize = 4096;

/// Something that could stand at the caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    text: String,
    pub(super) label: String,
    pub(super) detail: String,
}

/// What is offered at the caret, and which of it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choices {
    pub(super) list: Vec<Choice>,
    pub(super) at: usize,
    start: usize,
}

/// What is in a directory and goes on as `text` does: how much of the text stays, and what may follow.
fn complete_path(text: &str, whole: &Path) -> (usize, Vec<Choice>) {
    let start = text.rfind('/').map_or(0, |i| i + 1);
    let typed = text.get(start..).unwrap_or_default();
    let dir = if whole.as_os_str().to_string_lossy().ends_with('/') || typed.is_empty() {
        whole.to_path_buf()
    } else {
        whole.parent().map(Path::to_path_buf).unwrap_or_default()
    };
    let Ok(entries) = std::fs::read_dir(&dir) else {
        return (start, Vec::new());
    };
    let mut list: Vec<Choice> = entries
        .take(ENTRIES)
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !typed.starts_with('.');
            if hidden || !name.starts_with(typed) || name.chars().any(char::is_control) {
                return None;
            }
            let dir = e.path().is_dir();
            let text = if dir { format!("{name}/") } else { name };
            Some(Choice {
                label: text.clone(),
                detail: if dir { "directory" } else { "" }.to_owned(),
                text,
            })
        })
        .collect();
    list.sort_by(|a, b| a.text.cmp(&b.text));
    (start, list)
}

impl LogPane {
    /// Puts the first, next or previous thing that fits at the caret.
    pub(super) fn complete(&mut self, forward: bool) {
        if self.typing.as_ref().is_some_and(|t| t.choices.is_none()) {
            let found = self.choices();
            let Some(t) = &mut self.typing else { return };
            let Some((start, list)) = found.filter(|(_, l)| !l.is_empty()) else {
                t.error = Some("nothing known goes on like this".to_owned());
                return;
            };
            t.choices = Some(Choices { list, at: 0, start });
        } else if let Some(c) = self.typing.as_mut().and_then(|t| t.choices.as_mut()) {
            let n = c.list.len();
            c.at = (c.at + if forward { 1 } else { n - 1 }) % n;
        }
        let Some(t) = &mut self.typing else { return };
        let Some(choices) = t.choices.take() else { return };
        if let Some(c) = choices.list.get(choices.at) {
            t.edit.replace(choices.start..t.edit.caret(), &c.text);
        }
        // A single one is done with: the next Tab completes what comes after it.
        let keep = (choices.list.len() > 1).then_some(choices);
        self.typed();
        if let Some(t) = &mut self.typing {
            t.choices = keep;
        }
    }

    /// What could stand at the caret, and from which byte on.
    fn choices(&self) -> Option<(usize, Vec<Choice>)> {
        let t = self.typing.as_ref()?;
        let before = t.edit.before();
        match t.ask {
            Ask::Filter(Mode::In | Mode::Out) if qd_logs_condition::program(t.edit.text()).is_none() => {
                let rows = self.sample();
                let mut fields = schema();
                for c in columns(&rows) {
                    let kind = match c.kind {
                        "number" => FieldType::Number,
                        "yes/no" => FieldType::Bool,
                        "duration" => FieldType::Duration,
                        "text" => FieldType::Keyword,
                        _ => FieldType::Any,
                    };
                    if fields.get(&c.name).is_none() {
                        fields = fields.with(plain(&c.name), kind, "");
                    }
                }
                let sources = self.snapshot();
                let values = |field: &str, _: &str| {
                    if field == "source" {
                        return sources.sources.iter().map(|s| plain(&s.name)).collect();
                    }
                    let mut found: Vec<(String, usize)> = Vec::new();
                    for row in &rows {
                        let text = row.text();
                        let parsed = row.parse(&text);
                        let value = match (parsed.get(field), field) {
                            (Some(v), _) => plain(&shown(v)),
                            (None, "format") => row.format().unwrap_or_default().to_owned(),
                            (None, _) => continue,
                        };
                        match found.iter_mut().find(|(v, _)| *v == value) {
                            Some((_, n)) => *n += 1,
                            None if !value.is_empty() => found.push((value, 1)),
                            None => {}
                        }
                    }
                    found.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
                    found.into_iter().map(|(v, _)| v).collect()
                };
                let list = filter::complete(t.edit.text(), t.edit.caret(), &fields, &values);
                let start = list.first()?.span.start;
                let same = list.into_iter().filter(|c| c.span.start == start);
                let choice = |c: filter::Completion| Choice {
                    text: c.text,
                    label: c.label,
                    detail: c.detail,
                };
                Some((start, same.map(choice).collect()))
            }
            Ask::Open | Ask::Export => Some(complete_path(before, &self.path_of(before))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_on_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        std::fs::write(dir.path().join("log.txt"), "").unwrap();
        std::fs::write(dir.path().join(".lo"), "").unwrap();
        let of = |text: &str| {
            let (start, list) = complete_path(text, &dir.path().join(text));
            (start, list.into_iter().map(|c| c.text).collect::<Vec<_>>())
        };
        assert_eq!(of("lo"), (0, vec!["log.txt".to_owned(), "logs/".to_owned()]));
        assert_eq!(of("logs/"), (5, vec![]));
        assert_eq!(of(".l"), (0, vec![".lo".to_owned()]));
        assert_eq!(of("nowhere/x"), (8, vec![]));
    }
}
