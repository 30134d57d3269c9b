//! The words of a programming language told apart, line by line, as roles of the theme. The grammars are bat's, by way of
//! two-face; a grammar is chosen by the file's name or its first line.

use std::{path::Path, sync::LazyLock};

use qd_ui::Role;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxSet};

/// Longer lines are shown plain: grammars take their time on them.
const LONGEST: usize = 2000;

static GRAMMARS: LazyLock<SyntaxSet> = LazyLock::new(two_face::syntax::extra_newlines);

/// What a scope means, by how it begins; the first that fits counts.
static MEANINGS: LazyLock<Vec<(Scope, Role)>> = LazyLock::new(|| {
    [
        ("comment", Role::SyntaxComment),
        ("string", Role::SyntaxString),
        ("constant.character", Role::SyntaxString),
        ("constant", Role::SyntaxNumber),
        ("entity.name.function", Role::SyntaxFunction),
        ("support.function", Role::SyntaxFunction),
        ("variable.function", Role::SyntaxFunction),
        ("entity.name.tag", Role::SyntaxKeyword),
        ("entity.name", Role::SyntaxType),
        ("support.type", Role::SyntaxType),
        ("support.class", Role::SyntaxType),
        ("storage.type.function", Role::SyntaxKeyword),
        ("storage.type", Role::SyntaxType),
        ("storage", Role::SyntaxKeyword),
        ("keyword.operator", Role::Text),
        ("keyword", Role::SyntaxKeyword),
        ("markup.heading", Role::SyntaxKeyword),
    ]
    .into_iter()
    .filter_map(|(name, role)| Some((Scope::new(name).ok()?, role)))
    .collect()
});

/// Reads a text from its beginning, line by line.
pub(super) struct Highlighter {
    state: ParseState,
    stack: ScopeStack,
    failed: bool,
}

impl Highlighter {
    /// For a file of this name that begins with this line; `None` when nothing is known of such files.
    pub(super) fn new(path: &Path, first_line: &str) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or(name);
        let syntax = GRAMMARS
            .find_syntax_by_extension(name)
            .or_else(|| GRAMMARS.find_syntax_by_extension(extension))
            .or_else(|| GRAMMARS.find_syntax_by_first_line(first_line))?;
        if syntax.name == "Plain Text" {
            return None;
        }
        Some(Self {
            state: ParseState::new(syntax),
            stack: ScopeStack::new(),
            failed: false,
        })
    }

    /// The next line, with its end, in pieces.
    pub(super) fn line(&mut self, line: &str) -> Vec<(Role, String)> {
        let plain = |l: &str| vec![(Role::Text, l.trim_end_matches(['\n', '\r']).to_owned())];
        if self.failed || line.len() > LONGEST {
            return plain(line);
        }
        let Ok(ops) = self.state.parse_line(line, &GRAMMARS) else {
            self.failed = true;
            return plain(line);
        };
        let mut out: Vec<(Role, String)> = Vec::new();
        let mut at = 0;
        let mut push = |role: Role, text: &str| {
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                return;
            }
            match out.last_mut() {
                Some((r, t)) if *r == role => t.push_str(text),
                _ => out.push((role, text.to_owned())),
            }
        };
        for (to, op) in ops {
            push(role_of(&self.stack), line.get(at..to).unwrap_or_default());
            at = to;
            if self.stack.apply(&op).is_err() {
                self.failed = true;
                break;
            }
        }
        push(role_of(&self.stack), line.get(at..).unwrap_or_default());
        out
    }
}

fn role_of(stack: &ScopeStack) -> Role {
    let of = |s: &Scope| MEANINGS.iter().find(|(m, _)| m.is_prefix_of(*s)).map(|(_, r)| *r);
    // What is in a comment or a string is that, whatever else it is.
    let inside = |s: &&Scope| matches!(of(s), Some(Role::SyntaxComment));
    if stack.as_slice().iter().any(|s| inside(&s)) {
        return Role::SyntaxComment;
    }
    stack.as_slice().iter().rev().find_map(of).unwrap_or(Role::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_language_have_their_roles() {
        let mut h = Highlighter::new(Path::new("/x/a.rs"), "").unwrap();
        let line = h.line("pub fn one() -> u32 { 42 } // why\n");
        let role = |w: &str| line.iter().find(|(_, t)| t.contains(w)).map(|(r, _)| *r);
        assert_eq!(role("fn"), Some(Role::SyntaxKeyword), "{line:?}");
        assert_eq!(role("one"), Some(Role::SyntaxFunction), "{line:?}");
        assert_eq!(role("42"), Some(Role::SyntaxNumber), "{line:?}");
        assert_eq!(role("why"), Some(Role::SyntaxComment), "{line:?}");
        let whole: String = line.iter().map(|(_, t)| t.as_str()).collect();
        assert_eq!(whole, "pub fn one() -> u32 { 42 } // why");
        assert!(Highlighter::new(Path::new("/x/unknown.zzz"), "words").is_none());
        let mut h = Highlighter::new(Path::new("/x/run"), "#!/bin/sh\n").unwrap();
        assert_eq!(h.line("# why\n")[0].0, Role::SyntaxComment);
    }
}
