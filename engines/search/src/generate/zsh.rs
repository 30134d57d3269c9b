//! Completions for zsh.

use crate::flags::{Completion, Flag, all};

/// The script.
pub(super) fn script(name: &str) -> String {
    let function = super::function(name);
    let mut arguments = Vec::new();
    for flag in all() {
        let brief = quoted(flag.brief);
        for given in super::names(flag) {
            let negation = flag.no.is_some_and(|no| given[2..] == *no);
            let (end, value) = match flag.value {
                Some(value) if !negation => (
                    if given.starts_with("--") { "=" } else { "+" },
                    format!(":{}:{}", value.to_lowercase(), action(flag, name)),
                ),
                _ => ("", String::new()),
            };
            let brief = if negation {
                format!("take back --{}", flag.long)
            } else {
                brief.clone()
            };
            arguments.push(format!("    '*{given}{end}[{brief}]{value}'"));
        }
    }
    let (program, word) = super::program(name);
    let end = match word {
        None => format!(
            "if [ \"$funcstack[1]\" = {function} ]; then\n  {function} \"$@\"\nelse\n  compdef {function} {program}\nfi\n"
        ),
        Some(word) => {
            let others = super::function(program);
            format!(
                "# To be read after what completes the other words.\n{function}_first() {{\n  \
                 if (( CURRENT > 2 )) && [[ $words[2] == {word} ]]; then\n    shift words\n    (( CURRENT-- ))\n    \
                 {function} \"$@\"\n  elif (( $+functions[{others}] )); then\n    {others} \"$@\"\n  fi\n}}\n\
                 compdef {function}_first {program}\n"
            )
        }
    };
    format!(
        "#compdef {program}\n\n{function}() {{\n  _arguments -s -S \\\n{} \\\n    '1: :' '*:file:_files'\n}}\n\n{end}",
        arguments.join(" \\\n")
    )
}

fn action(flag: &Flag, name: &str) -> String {
    match flag.completion {
        Completion::File => "_files".to_owned(),
        Completion::Program => "_command_names -e".to_owned(),
        Completion::FileType => format!("($({name} --type-list | cut -d\\: -f1))"),
        Completion::Encoding => format!("({})", super::ENCODINGS.join(" ")),
        Completion::Nothing => match super::choices(flag).join(" ") {
            none if none.is_empty() => " ".to_owned(),
            list => format!("({list})"),
        },
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim_end_matches('.').chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            '[' | ']' | ':' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}
