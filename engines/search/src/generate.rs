//! What is written from the table of flags: help, versions, the manual page, completions.

mod bash;
mod fish;
mod help;
mod man;
mod powershell;
mod text;
mod zsh;

use crate::flags::Flag;
use crate::flags::low::{Generate, Special};

/// The version of ripgrep whose command line this is.
const SPOKEN: &str = "15.2.0";

/// The text that a flag such as `--help` asks for, and the exit code with it.
pub(crate) fn special(special: Special, name: &str) -> (String, u8) {
    let text = match special {
        Special::HelpShort => help::short(name),
        Special::HelpLong => help::long(name),
        Special::VersionShort => version(),
        Special::VersionLong => version_long(),
        Special::VersionPcre2 => pcre2(),
    };
    (text, 0)
}

/// The file that `--generate` asks for.
pub(crate) fn file(kind: Generate, name: &str) -> String {
    match kind {
        Generate::Man => man::page(name),
        Generate::Bash => bash::script(name),
        Generate::Zsh => zsh::script(name),
        Generate::Fish => fish::script(name),
        Generate::PowerShell => powershell::script(name),
    }
}

/// The version in a line. Programs that run `rg` look at its beginning.
pub(crate) fn version() -> String {
    format!("ripgrep {SPOKEN} (Quarterdeck {})", env!("CARGO_PKG_VERSION"))
}

fn version_long() -> String {
    let sign = |yes: bool| if yes { '+' } else { '-' };
    let mut lines = vec![version(), String::new(), "features:+pcre2".to_owned()];
    if cfg!(target_arch = "x86_64") {
        let compiled = [
            ("SSE2", cfg!(target_feature = "sse2")),
            ("SSSE3", cfg!(target_feature = "ssse3")),
            ("AVX2", cfg!(target_feature = "avx2")),
        ];
        let list = compiled.map(|(n, yes)| format!("{}{n}", sign(yes)));
        lines.push(format!("simd(compile):{}", list.join(",")));
    }
    #[cfg(target_arch = "x86_64")]
    {
        let here = [
            ("SSE2", std::arch::is_x86_feature_detected!("sse2")),
            ("SSSE3", std::arch::is_x86_feature_detected!("ssse3")),
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ];
        let list = here.map(|(n, yes)| format!("{}{n}", sign(yes)));
        lines.push(format!("simd(runtime):{}", list.join(",")));
    }
    lines.push(String::new());
    lines.push(pcre2());
    lines.join("\n")
}

fn pcre2() -> String {
    let (major, minor) = grep_pcre2::version();
    let jit = cfg!(target_pointer_width = "64") && grep_pcre2::is_jit_available();
    let jit = if jit { "available" } else { "unavailable" };
    format!("PCRE2 {major}.{minor} is available (JIT is {jit})")
}

/// Names of encodings that a shell offers; there are more that are taken.
const ENCODINGS: [&str; 24] = [
    "auto",
    "none",
    "utf-8",
    "utf-16",
    "utf-16le",
    "utf-16be",
    "latin1",
    "ascii",
    "big5",
    "euc-jp",
    "euc-kr",
    "gb18030",
    "gbk",
    "ibm866",
    "iso-2022-jp",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-15",
    "koi8-r",
    "koi8-u",
    "macintosh",
    "shift_jis",
    "windows-1251",
    "windows-1252",
];

/// Every way to write a flag, with its dashes.
fn names(flag: &Flag) -> Vec<String> {
    let short = flag.short.map(|s| format!("-{s}"));
    let longs = [flag.long]
        .into_iter()
        .chain(flag.aliases.iter().copied())
        .chain(flag.no);
    short.into_iter().chain(longs.map(|l| format!("--{l}"))).collect()
}

/// The values of a flag that can be counted.
fn choices(flag: &Flag) -> Vec<String> {
    if flag.long == "hyperlink-format" {
        return grep_printer::hyperlink_aliases()
            .iter()
            .map(|a| a.name().to_owned())
            .collect();
    }
    flag.choices.iter().map(|c| (*c).to_owned()).collect()
}

/// The program that `name` calls, and the word that must follow it, if one must.
fn program(name: &str) -> (&str, Option<&str>) {
    match name.split_once(' ') {
        Some((program, word)) => (program, Some(word)),
        None => (name, None),
    }
}

/// The name of the function that completes for `name`.
fn function(name: &str) -> String {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("_{}", name.chars().map(letters).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::all;

    const KINDS: [Generate; 5] = [
        Generate::Man,
        Generate::Bash,
        Generate::Zsh,
        Generate::Fish,
        Generate::PowerShell,
    ];

    #[test]
    fn every_flag_is_in_everything_that_is_written() {
        for kind in KINDS {
            let text = file(kind, "rg").replace("\\-", "-");
            for flag in all() {
                for name in [flag.long].iter().chain(&flag.no) {
                    assert!(text.contains(name), "{kind:?}: --{name}");
                }
            }
        }
        for help in [Special::HelpShort, Special::HelpLong] {
            let (text, _) = special(help, "rg");
            for flag in all() {
                assert!(text.contains(&format!("--{}", flag.long)), "{help:?}: --{}", flag.long);
            }
        }
    }

    #[test]
    fn the_name_is_the_one_it_is_called_by() {
        for kind in KINDS {
            assert!(file(kind, "seek").contains("seek"), "{kind:?}");
        }
        assert!(special(Special::HelpShort, "seek").0.contains("seek [OPTIONS] PATTERN"));
    }

    #[test]
    fn where_it_is_one_word_of_several_the_others_keep_their_completions() {
        let script = |kind| file(kind, "qd search");
        let bash = script(Generate::Bash);
        assert!(bash.ends_with("complete -F _qd_search_first -o bashdefault -o default qd\n"));
        assert!(bash.contains("_qd \"$@\"") && bash.contains("\"${COMP_WORDS[0]}\" search --type-list"));
        let zsh = script(Generate::Zsh);
        assert!(zsh.starts_with("#compdef qd\n") && zsh.ends_with("compdef _qd_search_first qd\n"));
        let fish = script(Generate::Fish);
        assert!(
            fish.lines()
                .all(|l| l.starts_with("complete -c qd -n '__fish_seen_subcommand_from search' "))
        );
        assert!(script(Generate::PowerShell).contains("-CommandName 'qd'"));
        // A name of one word has nothing around it.
        assert!(file(Generate::Bash, "rg").ends_with("complete -F _rg -o bashdefault -o default rg\n"));
    }

    #[test]
    fn bash_reads_its_script_and_answers() {
        for (name, line) in [("rg", "rg --hid"), ("qd search", "qd search --hid")] {
            let words: Vec<&str> = line.split(' ').collect();
            let function = if words.len() > 2 { "_qd_search_first" } else { "_rg" };
            let test = format!(
                "{}\nCOMP_WORDS=({line}); COMP_CWORD={}; {function}; echo \"${{COMPREPLY[@]}}\"",
                file(Generate::Bash, name),
                words.len() - 1
            );
            let Ok(answer) = std::process::Command::new("bash")
                .args(["--norc", "-c", &test])
                .output()
            else {
                println!("skipped: there is no bash");
                return;
            };
            let said = String::from_utf8_lossy(&answer.stderr).into_owned();
            assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "--hidden", "{said}");
        }
    }
}
