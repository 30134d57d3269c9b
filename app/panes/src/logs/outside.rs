//! What is opened beside a log: an editor at its line, a shell where it is.

use std::path::Path;

use qd_logs_view::LineNumber;
use qd_mux::{Action, PaneSpec};

use super::LogPane;
use crate::PaneEvent;

impl LogPane {
    /// The name of the source of the selected line.
    fn source_name(&self) -> Option<String> {
        let source = self.cursor?.source;
        let s = self.snapshot();
        s.sources.iter().find(|x| x.id == source).map(|x| x.name.clone())
    }

    fn open_pane(&mut self, spec: PaneSpec) {
        let action = Action::NewPane { spec, direction: None };
        self.events.push(PaneEvent::Do(Box::new(action)));
    }

    /// Opens the log in an editor, at the selected line.
    pub(super) fn edit(&mut self) {
        let Some(name) = self.source_name() else {
            self.fail("no line is selected");
            return;
        };
        let path = Path::new(&name);
        if name.contains("://") || !path.is_file() {
            self.fail(&format!("{name} is no file that could be edited"));
            return;
        }
        let editor = ["VISUAL", "EDITOR"]
            .iter()
            .find_map(|v| std::env::var(v).ok().filter(|e| !e.trim().is_empty()))
            .unwrap_or_else(|| "vi".to_owned());
        let mut argv: Vec<String> = editor.split_whitespace().map(str::to_owned).collect();
        if let Some(LineNumber::At(n)) = self.selected().map(|row| row.number) {
            argv.push(format!("+{n}"));
        }
        argv.push(name);
        self.open_pane(PaneSpec::command(argv));
    }

    /// Opens a shell where the log of the selected line is: in its directory, its container, or on its host.
    pub(super) fn shell(&mut self) {
        let name = self.source_name().unwrap_or_default();
        let words = |list: &[&str]| PaneSpec::command(list.iter().map(|w| (*w).to_owned()).collect());
        let spec = match name.split_once("://") {
            Some(("docker", container)) => words(&["docker", "exec", "-it", container, "sh"]),
            Some(("ssh", rest)) => {
                let host = rest.split('/').next().unwrap_or_default();
                words(&["ssh", &format!("ssh://{host}")])
            }
            Some(_) => PaneSpec::default(),
            None => PaneSpec {
                cwd: Path::new(&name)
                    .parent()
                    .filter(|p| p.is_dir())
                    .map(|p| p.display().to_string()),
                ..PaneSpec::default()
            },
        };
        self.open_pane(spec);
    }
}
