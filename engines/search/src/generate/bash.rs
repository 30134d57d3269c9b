//! Completions for bash.

use crate::flags::{Completion, Flag, all};

/// The script.
pub(super) fn script(name: &str) -> String {
    let function = super::function(name);
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
                answer(flag)
            ));
        }
    }
    let words = words.join(" ");
    format!(
        "{function}() {{\n  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\"\n  COMPREPLY=()\n  \
         case \"$before\" in\n{cases}  esac\n  \
         if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W '{words}' -- \"$word\"))\n  fi\n}}\n\n\
         complete -F {function} -o bashdefault -o default {name}\n"
    )
}

fn answer(flag: &Flag) -> String {
    let list = |words: &str| format!("COMPREPLY=($(compgen -W '{words}' -- \"$word\"))");
    match flag.completion {
        Completion::File => "COMPREPLY=($(compgen -f -- \"$word\"))".to_owned(),
        Completion::Program => "COMPREPLY=($(compgen -c -- \"$word\"))".to_owned(),
        Completion::FileType => {
            "COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" --type-list | cut -d: -f1)\" -- \"$word\"))".to_owned()
        }
        Completion::Encoding => list(&super::ENCODINGS.join(" ")),
        Completion::Nothing => list(&super::choices(flag).join(" ")),
    }
}
