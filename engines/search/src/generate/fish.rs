//! Completions for fish.

use crate::flags::{Completion, Flag, all};

/// The script.
pub(super) fn script(name: &str) -> String {
    let (program, word) = super::program(name);
    let condition = word.map(|w| format!(" -n '__fish_seen_subcommand_from {w}'"));
    let command = format!("complete -c {program}{}", condition.unwrap_or_default());
    let mut out = String::new();
    for flag in all() {
        let brief = quoted(flag.brief);
        let short = flag.short.map(|s| format!(" -s {s}")).unwrap_or_default();
        let longs: String = [flag.long]
            .iter()
            .chain(flag.aliases)
            .map(|l| format!(" -l {l}"))
            .collect();
        out.push_str(&format!("{command}{short}{longs} -d {brief}{}\n", value(flag, name)));
        if let Some(no) = flag.no {
            let taken_back = quoted(&format!("Take back --{}.", flag.long));
            out.push_str(&format!("{command} -l {no} -d {taken_back}\n"));
        }
    }
    out
}

fn value(flag: &Flag, name: &str) -> String {
    if flag.value.is_none() {
        return String::new();
    }
    match flag.completion {
        Completion::File => " -r -F".to_owned(),
        Completion::Program => " -r -f -a '(__fish_complete_command)'".to_owned(),
        Completion::FileType => format!(" -r -f -a '({name} --type-list | string replace : \\t)'"),
        Completion::Encoding => format!(" -r -f -a {}", quoted(&super::ENCODINGS.join(" "))),
        Completion::Nothing => match super::choices(flag).join(" ") {
            none if none.is_empty() => " -r -f".to_owned(),
            list => format!(" -r -f -a {}", quoted(&list)),
        },
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
