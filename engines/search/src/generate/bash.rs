//! Completions for bash.

use crate::flags::{Completion, Flag, all};

/// The script.
pub(super) fn script(name: &str) -> String {
    let function = super::function(name);
    let (program, word) = super::program(name);
    let mut words = Vec::new();
    let mut cases = String::new();
    for flag in all() {
        let names = super::names(flag);
        words.extend(names.iter().cloned());
        if flag.value.is_some() {
            let own: Vec<String> = names
                .into_iter()
                .filter(|n| flag.no.is_none_or(|no| n[2..] != *no))
                .collect();
            cases.push_str(&format!(
                "    {})\n      {}\n      return\n      ;;\n",
                own.join("|"),
                answer(flag, word)
            ));
        }
    }
    let words = words.join(" ");
    let (wrapper, registered) = match word {
        None => (String::new(), function.clone()),
        Some(word) => {
            let others = super::function(program);
            let wrapper = format!(
                "# To be read after what completes the other words.\n{function}_first() {{\n  \
                 if [[ ${{COMP_WORDS[1]}} == {word} && $COMP_CWORD -gt 1 ]]; then\n    {function} \"$@\"\n  \
                 elif declare -F {others} >/dev/null; then\n    {others} \"$@\"\n  fi\n}}\n\n"
            );
            (wrapper, format!("{function}_first"))
        }
    };
    format!(
        "{function}() {{\n  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n  COMPREPLY=()\n  \
         case \"$before\" in\n{cases}  esac\n  \
         if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W '{words}' -- \"$word\"))\n  fi\n}}\n\n\
         {wrapper}complete -F {registered} -o bashdefault -o default {program}\n"
    )
}

fn answer(flag: &Flag, word: Option<&str>) -> String {
    let list = |words: &str| format!("COMPREPLY=($(compgen -W '{words}' -- \"$word\"))");
    match flag.completion {
        Completion::File => "COMPREPLY=($(compgen -f -- \"$word\"))".to_owned(),
        Completion::Program => "COMPREPLY=($(compgen -c -- \"$word\"))".to_owned(),
        Completion::FileType => {
            let word = word.map(|w| format!(" {w}")).unwrap_or_default();
            format!(
                "COMPREPLY=($(compgen -W \"$(\"${{COMP_WORDS[0]}}\"{word} --type-list | cut -d: -f1)\" -- \"$word\"))"
            )
        }
        Completion::Encoding => list(&super::ENCODINGS.join(" ")),
        Completion::Nothing => list(&super::choices(flag).join(" ")),
    }
}
