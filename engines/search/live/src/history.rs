//! Commands that were run, as shells have written them down: the history files of bash, zsh and fish. What a running shell
//! has not written yet is not in them; bash writes when it ends, unless it is told otherwise.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    files::open_regular,
    haystack::{Haystack, Kind, Scope, Source},
    text::{Text, Texts},
    work::Work,
};

/// The most of a history file that is read, its end.
const LONGEST: u64 = 16 << 20;

/// Which shell writes a file so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The history files of a person, read anew by every search.
#[derive(Debug, Clone)]
pub struct ShellHistory {
    files: Vec<(Shell, PathBuf)>,
}

impl ShellHistory {
    /// Those that belong to this home directory; `histfile` is what the variable `HISTFILE` names, if it is set.
    #[must_use]
    pub fn new(home: &Path, histfile: Option<&Path>) -> Self {
        let mut files = vec![
            (Shell::Bash, home.join(".bash_history")),
            (Shell::Zsh, home.join(".zsh_history")),
            (Shell::Zsh, home.join(".zhistory")),
            (Shell::Fish, home.join(".local/share/fish/fish_history")),
        ];
        if let Some(h) = histfile
            && files.iter().all(|(_, f)| f != h)
        {
            let zsh = h.file_name().is_some_and(|n| n.to_string_lossy().contains('z'));
            files.insert(0, (if zsh { Shell::Zsh } else { Shell::Bash }, h.to_owned()));
        }
        Self { files }
    }

    fn texts(&self) -> Texts {
        let texts = self.files.iter().filter_map(|(shell, path)| {
            let file = open_regular(path).ok()?;
            let len = file.metadata().ok()?.len();
            let mut reader = crate::files::from(file, len.saturating_sub(LONGEST)).ok()?;
            let mut bytes = Vec::new();
            reader.by_ref().take(LONGEST).read_to_end(&mut bytes).ok()?;
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some(Text::new(
                path.as_os_str().as_encoded_bytes(),
                name,
                commands(*shell, &bytes),
            ))
        });
        Texts::new(Kind::History, texts.collect())
    }
}

/// The commands of a history file, one a line.
fn commands(shell: Shell, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split(|b| *b == b'\n') {
        let command = match shell {
            // Times stand in lines of their own.
            Shell::Bash => Some(line).filter(|l| !(l.starts_with(b"#") && l.get(1..).is_some_and(is_number))),
            Shell::Zsh => Some(without_time(line)),
            Shell::Fish => line.strip_prefix(b"- cmd: "),
        };
        if let Some(c) = command.filter(|c| !c.is_empty()) {
            out.extend_from_slice(c);
            out.push(b'\n');
        }
    }
    out
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Of zsh's `: 1700000000:0;command`, the command.
fn without_time(line: &[u8]) -> &[u8] {
    let rest = line.strip_prefix(b": ").unwrap_or_default();
    match memchr::memchr(b';', rest) {
        Some(i)
            if rest
                .get(..i)
                .is_some_and(|t| t.iter().all(|b| b.is_ascii_digit() || *b == b':')) =>
        {
            rest.get(i + 1..).unwrap_or_default()
        }
        _ => line,
    }
}

impl Source for ShellHistory {
    fn kind(&self) -> Kind {
        Kind::History
    }

    fn search(&self, scope: Scope<'_>, work: &Work<'_>) {
        self.texts().search(scope, work);
    }

    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>> {
        self.texts().again(id)
    }

    fn title(&self, id: &[u8]) -> String {
        let text = String::from_utf8_lossy(id);
        text.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_writes_in_its_own_way() {
        let text = |s, t: &str| String::from_utf8(commands(s, t.as_bytes())).unwrap();
        assert_eq!(text(Shell::Bash, "#1700000000\nls -l\n# a note\n"), "ls -l\n# a note\n");
        assert_eq!(
            text(Shell::Zsh, ": 1700000000:0;ls -l\nplain; it\n"),
            "ls -l\nplain; it\n"
        );
        assert_eq!(text(Shell::Fish, "- cmd: ls -l\n  when: 1700000000\n"), "ls -l\n");
    }

    #[test]
    fn files_that_are_not_there_are_no_history() {
        let dir = tempfile::tempdir().unwrap();
        let h = ShellHistory::new(dir.path(), Some(&dir.path().join("own")));
        assert_eq!(h.files.len(), 5);
        assert!(h.again(b"x").is_none());
        std::fs::write(dir.path().join("own"), "make it\n").unwrap();
        let id = dir.path().join("own");
        let mut text = String::new();
        let hay = h.again(id.as_os_str().as_encoded_bytes()).unwrap();
        hay.open(5).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "it\n");
    }
}
