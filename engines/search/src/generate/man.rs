//! The manual page, in the language of `man`.

use super::version;
use crate::flags::{Flag, Group, all};

/// The whole page.
pub(super) fn page(name: &str) -> String {
    let title = name.to_uppercase();
    let (bold, synopsis) = (
        format!("\\fB{}\\fP", escaped(name)),
        ["PATTERN [PATH...]", "-e PATTERN... [PATH...]", "--files [PATH...]"],
    );
    let mut out = format!(".TH \"{title}\" 1 \"\" \"{}\" \"User Commands\"\n", version());
    out.push_str(&format!(
        ".SH NAME\n{} \\- search directories for lines that match a pattern\n",
        escaped(name)
    ));
    out.push_str(".SH SYNOPSIS\n");
    for line in synopsis {
        out.push_str(&format!(".sp\n{bold} [OPTIONS] {}\n", escaped(line)));
    }
    out.push_str(&section(
        "DESCRIPTION",
        "Searches files and directories for lines that match a regular expression. Without a path it is the current \
         directory, or standard input when something is piped in. What .gitignore, .ignore and .rgignore leave out is left \
         out, and so are hidden files and files that are not text; -uuu searches everything.\n\n\
         On a terminal, results are coloured, have line numbers, and are grouped under the paths of their files.",
    ));
    for group in Group::ALL {
        out.push_str(&format!(".SH {}\n", group.heading()));
        for flag in all().filter(|f| f.group == group) {
            out.push_str(&entry(flag));
        }
    }
    out.push_str(&section(
        "EXIT STATUS",
        "0 when something matched, 1 when nothing did, 2 when there was an error, whether or not \
         something matched. With --quiet it is 0 as soon as something matched.",
    ));
    out.push_str(&section(
        "CONFIGURATION FILE",
        "The environment variable RIPGREP_CONFIG_PATH names a file with arguments, one a line, that stand before those of the \
         command line. Blanks around a line, empty lines and lines that begin with # do not count. A flag and its value are \
         two lines, or one with = between.",
    ));
    out
}

fn section(heading: &str, text: &str) -> String {
    format!(".SH {heading}\n{}", paragraphs(text))
}

fn entry(flag: &Flag) -> String {
    let value = flag.value.map(|v| format!("\\fI{}\\fP", escaped(v)));
    let mut names = String::new();
    if let Some(short) = flag.short {
        names.push_str(&format!("\\fB\\-{short}\\fP"));
        if let Some(value) = &value {
            names.push_str(&format!(" {value}"));
        }
        names.push_str(", ");
    }
    names.push_str(&format!("\\fB\\-\\-{}\\fP", escaped(flag.long)));
    if let Some(value) = &value {
        names.push_str(&format!("={value}"));
    }
    let mut out = format!(".PP\n{names}\n.RS 4\n{}", paragraphs(flag.text));
    if let (Some(no), None) = (flag.no, flag.value) {
        out.push_str(&format!(".sp\nThis is taken back by \\fB\\-\\-{}\\fP.\n", escaped(no)));
    }
    out.push_str(".RE\n");
    out
}

fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            out.push_str(".sp\n");
        }
        if paragraph.starts_with("    ") {
            out.push_str(&format!(".EX\n{}\n.EE\n", escaped(paragraph)));
        } else {
            let line = escaped(paragraph);
            // A line that begins with a dot or a quote would be a request.
            let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
            out.push_str(&format!("{guard}{line}\n"));
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
