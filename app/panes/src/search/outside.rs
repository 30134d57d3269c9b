//! What is done with a find outside of the pane: an editor at its line, a shell that gets its path, the clipboard, or the
//! place in another pane where it is.

use qd_mux::{Action, PaneId, PaneSpec};
use qd_search_live::{Kind, shell_quote};

use super::{Find, Role, SearchPane};
use crate::PaneEvent;

/// The editor's command for a file at a line and a column, as that editor takes them.
pub(super) fn editor_command(editor: &str, path: &str, line: u64, column: u64) -> Vec<String> {
    let mut argv: Vec<String> = editor.split_whitespace().map(str::to_owned).collect();
    let name = argv
        .first()
        .and_then(|p| p.rsplit('/').next())
        .unwrap_or_default()
        .to_owned();
    match name.as_str() {
        "vi" | "vim" | "nvim" | "view" | "gvim" => {
            argv.push(format!("+call cursor({line},{column})"));
            argv.push(path.to_owned());
        }
        "hx" | "helix" | "subl" | "zed" => argv.push(format!("{path}:{line}:{column}")),
        "code" | "codium" => {
            argv.push("--goto".to_owned());
            argv.push(format!("{path}:{line}:{column}"));
        }
        "nano" | "micro" => {
            argv.push(format!("+{line},{column}"));
            argv.push(path.to_owned());
        }
        "emacs" | "emacsclient" | "kak" => {
            argv.push(format!("+{line}:{column}"));
            argv.push(path.to_owned());
        }
        _ => {
            argv.push(format!("+{line}"));
            argv.push(path.to_owned());
        }
    }
    argv
}

/// The person's editor with a file, at a line and a column.
pub(crate) fn editor_at(path: &str, line: u64, column: u64) -> Vec<String> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|e| !e.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    editor_command(&editor, path, line, column)
}

/// The pane that a find is in, and which of the things in it.
fn pane_of(find: &Find) -> Option<(PaneId, u32)> {
    let number = |b: &[u8]| b.try_into().ok().map(u32::from_be_bytes);
    Some((PaneId(number(find.name.get(..4)?)?), number(find.name.get(4..8)?)?))
}

/// Where it is, as compilers say it.
fn place(find: &Find) -> String {
    let name = find
        .path
        .as_ref()
        .map_or_else(|| find.title.clone(), |p| p.display().to_string());
    format!("{name}:{}:{}", find.line, find.column + 1)
}

impl SearchPane {
    fn kind_of(&self, find: &Find) -> Option<Kind> {
        self.view().sources.get(usize::from(find.source)).map(|s| s.kind())
    }

    /// Opens what is chosen where it is: files in an editor, the rest in its pane.
    pub(super) fn open_chosen(&mut self) {
        let all = self.chosen();
        if all.is_empty() {
            return;
        }
        // As many editors as one can look at.
        for find in all.iter().take(8) {
            self.open_find(find);
        }
        self.remember();
        self.marked.clear();
        if self.role == Role::Picker {
            self.leave = true;
        }
    }

    fn open_find(&mut self, find: &Find) {
        match self.kind_of(find) {
            Some(Kind::Files) => self.open_file(find),
            Some(Kind::Scrollback | Kind::Logs | Kind::Bodies) => {
                let Some((pane, part)) = pane_of(find) else { return };
                let v = self.view();
                let source = v.sources.get(usize::from(find.source));
                let line = source.map_or(find.line, |s| s.number(&find.name, find.line));
                self.events.push(PaneEvent::Go { pane, part, line });
            }
            Some(Kind::History) => {
                let line = find.text.trim().to_owned();
                self.events.push(PaneEvent::ToShell(line));
            }
            _ => self.say("there is no place to go to", true),
        }
    }

    fn open_file(&mut self, find: &Find) {
        let Some(path) = &find.path else { return };
        let Some(path) = path.to_str() else {
            self.say("its name is not UTF-8, which an action cannot carry", true);
            return;
        };
        let argv = editor_at(path, find.line, find.column + 1);
        let spec = PaneSpec {
            on_exit: qd_mux::OnExit::Close,
            cwd: self.root.to_str().map(str::to_owned),
            ..PaneSpec::command(argv)
        };
        let action = Action::NewPane { spec, direction: None };
        self.events.push(PaneEvent::Do(Box::new(action)));
    }

    /// Puts something of what is chosen before a shell; Enter is the person's.
    pub(super) fn send(&mut self, what: char) {
        let all = self.chosen();
        let words: Vec<String> = all
            .iter()
            .map(|f| match what {
                'p' => shell_quote(
                    &f.path
                        .as_ref()
                        .map_or_else(|| f.title.clone(), |p| p.display().to_string()),
                ),
                _ => f.text.trim().to_owned(),
            })
            .filter(|w| !w.is_empty())
            .collect();
        if words.is_empty() {
            self.say("there is no text", true);
            return;
        }
        let mut words = words;
        words.dedup();
        let text: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
        self.events.push(PaneEvent::ToShell(text));
        if self.role == Role::Picker {
            self.leave = true;
        }
    }

    /// Copies something of what is chosen.
    pub(super) fn yank(&mut self, what: char) {
        if what == 'r' {
            let root = self.root.display().to_string();
            let text = self.query.rg_command(Some(&root));
            self.events.push(PaneEvent::Copied(text));
            return;
        }
        let all = self.chosen();
        let mut lines: Vec<String> = all
            .iter()
            .map(|f| match what {
                'p' => f
                    .path
                    .as_ref()
                    .map_or_else(|| f.title.clone(), |p| p.display().to_string()),
                'l' => f.text.clone(),
                'n' => place(f),
                _ => format!("{}: {}", place(f), f.text),
            })
            .collect();
        lines.dedup();
        if lines.iter().any(|l| !l.is_empty()) {
            self.events.push(PaneEvent::Copied(lines.join("\n")));
        }
    }

    /// A shell where the file of the find is.
    pub(super) fn shell(&mut self) {
        let Some(find) = self.current() else { return };
        let dir = find.path.as_ref().and_then(|p| p.parent()).unwrap_or(&self.root);
        let spec = PaneSpec {
            cwd: Some(dir.display().to_string()),
            ..PaneSpec::default()
        };
        let action = Action::NewPane { spec, direction: None };
        self.events.push(PaneEvent::Do(Box::new(action)));
        if self.role == Role::Picker {
            self.leave = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_is_told_the_place_in_its_own_way() {
        let c = |e: &str| editor_command(e, "/a b", 7, 3).join("|");
        assert_eq!(c("vim -p"), "vim|-p|+call cursor(7,3)|/a b");
        assert_eq!(c("/usr/bin/hx"), "/usr/bin/hx|/a b:7:3");
        assert_eq!(c("nano"), "nano|+7,3|/a b");
        assert_eq!(c("emacsclient -t"), "emacsclient|-t|+7:3|/a b");
        assert_eq!(c("code -w"), "code|-w|--goto|/a b:7:3");
        assert_eq!(c("ed"), "ed|+7|/a b");
    }
}
