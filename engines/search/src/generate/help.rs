//! `-h` and `--help`.

use super::text::paragraphs;
use super::version;
use crate::flags::{Flag, Group, all};

/// Lines of the long help are at most this wide.
const WIDTH: usize = 79;

/// A line for each flag.
pub(super) fn short(name: &str) -> String {
    let width = all().map(|f| short_names(f).len()).max().unwrap_or(0);
    let mut out = head(name);
    for group in Group::ALL {
        out.push_str(&format!("\n{}:\n", group.heading()));
        for flag in all().filter(|f| f.group == group) {
            out.push_str(&format!("  {:width$}  {}\n", short_names(flag), flag.brief));
        }
    }
    out
}

/// Everything there is to say.
pub(super) fn long(name: &str) -> String {
    let mut out = head(name);
    for group in Group::ALL {
        out.push_str(&format!("\n{}:\n", group.heading()));
        let flags: Vec<String> = all().filter(|f| f.group == group).map(long_flag).collect();
        out.push_str(&flags.join("\n"));
    }
    out
}

fn head(name: &str) -> String {
    format!(
        "{}\n\n{}\n\n\
         USAGE:\n  {name} [OPTIONS] PATTERN [PATH ...]\n  {name} [OPTIONS] -e PATTERN ... [PATH ...]\n  \
         {name} [OPTIONS] --files [PATH ...]\n  COMMAND | {name} [OPTIONS] PATTERN\n\n\
         POSITIONAL ARGUMENTS:\n  <PATTERN>   What to search for, a regular expression.\n  \
         <PATH>...   Files and directories to search; - is standard input.\n",
        version(),
        paragraphs(
            "Searches directories for lines that match a pattern. What git ignores, what is hidden and what is not text \
             is left out. The command line is ripgrep's.\n\n-h is short help, --help is all of it.",
            0,
            WIDTH
        )
    )
}

fn short_names(flag: &Flag) -> String {
    let mut names = flag.short.map(|s| format!("-{s}, ")).unwrap_or_default();
    names.push_str("--");
    names.push_str(flag.long);
    if let Some(value) = flag.value {
        let value = value
            .replace("SEPARATOR", "SEP")
            .replace("REPLACEMENT", "TEXT")
            .replace("+SUFFIX?", "");
        names.push_str(&format!("={value}"));
    }
    names
}

fn long_flag(flag: &Flag) -> String {
    let mut names = String::from("    ");
    if let Some(short) = flag.short {
        match flag.value {
            Some(value) => names.push_str(&format!("-{short} {value}, ")),
            None => names.push_str(&format!("-{short}, ")),
        }
    }
    names.push_str(&format!("--{}", flag.long));
    if let Some(value) = flag.value {
        names.push_str(&format!("={value}"));
    }
    let mut out = format!("{names}\n{}\n", paragraphs(flag.text, 8, WIDTH));
    if let (Some(no), None) = (flag.no, flag.value) {
        out.push_str(&format!("\n        This is taken back by --{no}.\n"));
    }
    out
}
