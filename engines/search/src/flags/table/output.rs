//! Flags about what is printed.

use super::{Completion, Flag, Group::Output, switch, valued};
use crate::error::ValueError;
use crate::flags::low::{Buffering, ColorChoice, Context, Low, Separator, Sort, SortBy, Special};
use crate::flags::values::Value;
use bstr::ByteVec;

const WHEN: &[&str] = &["never", "auto", "always", "ansi"];
const ORDERS: &[&str] = &["none", "path", "modified", "accessed", "created"];

fn sort(low: &mut Low, v: Value, reverse: bool) -> Result<(), ValueError> {
    let by = [
        None,
        Some(SortBy::Path),
        Some(SortBy::Modified),
        Some(SortBy::Accessed),
        Some(SortBy::Created),
    ];
    low.sort = v.choice(ORDERS, &by)?.map(|by| Sort { by, reverse });
    Ok(())
}

pub(super) const FLAGS: &[Flag] = &[
    valued("after-context", Output, "NUM", |low, v| {
        let lines = v.number()?;
        low.context.set(|_, after, _| *after = Some(lines));
        Ok(())
    })
    .short('A')
    .help(
        "Show NUM lines after each match.",
        "Show so many lines after each match. It wins over what --context says for them, and overrides --passthru.",
    ),
    valued("before-context", Output, "NUM", |low, v| {
        let lines = v.number()?;
        low.context.set(|before, _, _| *before = Some(lines));
        Ok(())
    })
    .short('B')
    .help(
        "Show NUM lines before each match.",
        "Show so many lines before each match. It wins over what --context says for them, and overrides --passthru.",
    ),
    switch("block-buffered", Output, |low, v| {
        low.buffer = if v.on() { Buffering::Block } else { Buffering::Auto };
        Ok(())
    })
    .no("no-block-buffered")
    .help(
        "Force block buffering.",
        "Pass output on in large blocks, as is done by itself when it does not go to a terminal. This flag and \
         --line-buffered override each other.",
    ),
    switch("byte-offset", Output, |low, v| {
        low.byte_offset = v.on();
        Ok(())
    })
    .short('b')
    .no("no-byte-offset")
    .help(
        "Print the byte offset for each matching line.",
        "Print before each line where in the file it begins, in bytes from 0; with --only-matching, where the match begins.",
    ),
    valued("color", Output, "WHEN", |low, v| {
        let all = [ColorChoice::Never, ColorChoice::Auto, ColorChoice::Always, ColorChoice::Ansi];
        low.color = v.choice(WHEN, &all)?;
        Ok(())
    })
    .choices(WHEN)
    .help(
        "When to use color.",
        "never, always, auto (when output goes to a terminal that can, the default), or ansi (always, by escape sequences).",
    ),
    valued("colors", Output, "COLOR_SPEC", |low, v| {
        low.colors.push(v.text()?.parse()?);
        Ok(())
    })
    .help(
        "Configure color settings and styles.",
        "Which colours and styles are used, as {type}:{attribute}:{value}. The type is path, line, column, highlight or \
         match; the attribute is fg, bg or style; the value is a colour (red, blue, green, cyan, magenta, yellow, white, black, a \
         number to 255, or three of them with commas between) or a style (bold, intense, underline, italic, each also with \
         no before it). {type}:none forgets everything for that type. It can be given several times:\n\n    \
         rg --colors 'match:fg:magenta' --colors 'line:bg:yellow' foo",
    ),
    switch("column", Output, |low, v| {
        low.column = Some(v.on());
        Ok(())
    })
    .no("no-column")
    .help(
        "Show column numbers.",
        "Print the column of the first match of each line, in bytes from 1. Line numbers come with it.",
    ),
    valued("context", Output, "NUM", |low, v| {
        let lines = v.number()?;
        low.context.set(|_, _, both| *both = Some(lines));
        Ok(())
    })
    .short('C')
    .help(
        "Show NUM lines before and after each match.",
        "Show so many lines around each match. --before-context and --after-context win over it. It overrides --passthru.",
    ),
    valued("context-separator", Output, "SEPARATOR", |low, v| {
        low.context_separator = Separator(v.separator()?);
        Ok(())
    })
    .no("no-context-separator")
    .help(
        "Set the separator for contextual chunks.",
        "What stands on a line of its own between pieces of a file that do not touch; -- by default. Escapes like \\x7F and \
         \\t are understood. An empty one leaves an empty line; --no-context-separator leaves nothing.",
    ),
    valued("field-context-separator", Output, "SEPARATOR", |low, v| {
        low.field_context_separator = Separator(v.separator()?);
        Ok(())
    })
    .help(
        "Set the field context separator.",
        "What stands between path, line number and the like and a line of context; - by default. Escapes like \\x7F and \\t \
         are understood, and it may be empty.",
    ),
    valued("field-match-separator", Output, "SEPARATOR", |low, v| {
        low.field_match_separator = Separator(v.separator()?);
        Ok(())
    })
    .help(
        "Set the field match separator.",
        "What stands between path, line number and the like and a line that matches; : by default. Escapes like \\x7F and \
         \\t are understood, and it may be empty.",
    ),
    switch("heading", Output, |low, v| {
        low.heading = Some(v.on());
        Ok(())
    })
    .no("no-heading")
    .help(
        "Print matches grouped by each file.",
        "Print the path once above the matches of a file, rather than on every line. It is done by itself when output goes to \
         a terminal.",
    ),
    switch("help", Output, |low, _| {
        low.special = Some(Special::HelpLong);
        Ok(())
    })
    .short('h')
    .help(
        "Show help output.",
        "Show help: a line for each flag with -h, all there is to say with --help.",
    ),
    valued("hostname-bin", Output, "COMMAND", |low, v| {
        low.hostname_bin = v.program();
        Ok(())
    })
    .completes(Completion::Program)
    .help(
        "Run a program to get this system's hostname.",
        "A program that prints the name of this machine for hyperlinks, where the system's own answer is not the right one. \
         It is run at most once, without arguments. When it fails, the system is asked.",
    ),
    valued("hyperlink-format", Output, "FORMAT", |low, v| {
        low.hyperlink_format = v.text()?.parse()?;
        Ok(())
    })
    .help(
        "Set the format of hyperlinks.",
        "Make paths links that a terminal can open. FORMAT is an address with {path}, {host}, {line}, {column} and \
         {wslprefix} in it, or a name for one: none (the default), default, or the name of an editor such as vscode. An \
         address with {column} must have {line}, and one with {line} is used for line numbers too. Links are only \
         printed when output is coloured.",
    ),
    switch("include-zero", Output, |low, v| {
        low.include_zero = v.on();
        Ok(())
    })
    .no("no-include-zero")
    .help(
        "Include zero matches in summary output.",
        "With --count or --count-matches, print the files without a match too.",
    ),
    switch("line-buffered", Output, |low, v| {
        low.buffer = if v.on() { Buffering::Line } else { Buffering::Auto };
        Ok(())
    })
    .no("no-line-buffered")
    .help(
        "Force line buffering.",
        "Pass every line on at once, as is done by itself when output goes to a terminal. It is for tail -f before it and \
         another program behind it. This flag and --block-buffered override each other.",
    ),
    switch("line-number", Output, |low, _| {
        low.line_number = Some(true);
        Ok(())
    })
    .short('n')
    .help(
        "Show line numbers.",
        "Print the number of each line, from 1. It is done by itself when output goes to a terminal.",
    ),
    switch("no-line-number", Output, |low, _| {
        low.line_number = Some(false);
        Ok(())
    })
    .short('N')
    .help("Suppress line numbers.", "Print no line numbers, also not to a terminal."),
    valued("max-columns", Output, "NUM", |low, v| {
        low.max_columns = Some(v.number()?).filter(|n| *n != 0);
        Ok(())
    })
    .short('M')
    .help(
        "Omit lines longer than this limit.",
        "Do not print lines with more bytes than this, but only that there is a match. 0 is no limit.",
    ),
    switch("max-columns-preview", Output, |low, v| {
        low.max_columns_preview = v.on();
        Ok(())
    })
    .no("no-max-columns-preview")
    .help(
        "Show preview for lines exceeding the limit.",
        "Of lines that --max-columns leaves out, print as much as it allows. Without --max-columns this has no effect.",
    ),
    switch("null", Output, |low, _| {
        low.null = true;
        Ok(())
    })
    .short('0')
    .help(
        "Print a NUL byte after file paths.",
        "Let a NUL byte follow every path, instead of a colon or the end of the line, so that xargs -0 can read any path.",
    ),
    switch("only-matching", Output, |low, _| {
        low.only_matching = true;
        Ok(())
    })
    .short('o')
    .help(
        "Print only matched parts of a line.",
        "Print only what matched, each match on a line of its own; empty matches are left out.",
    ),
    valued("path-separator", Output, "SEPARATOR", |low, v| {
        let given = v.text()?;
        let bytes = Vec::unescape_bytes(&given);
        low.path_separator = match bytes[..] {
            [] => None,
            [byte] => Some(byte),
            _ => return Err(ValueError::PathSeparator { given, length: bytes.len() }),
        };
        Ok(())
    })
    .help(
        "Set the path separator for printing paths.",
        "The byte between the parts of a path that is printed; the system's own by default. Escapes like \\x7F are \
         understood. An empty one is the default again.",
    ),
    switch("passthru", Output, |low, _| {
        low.context = Context::Everything;
        Ok(())
    })
    .alias(&["passthrough"])
    .help(
        "Print both matching and non-matching lines.",
        "Print every line of each file, with the matches in colour. It and --after-context, --before-context and \
         --context override each other.",
    ),
    switch("pretty", Output, |low, _| {
        low.color = ColorChoice::Always;
        low.heading = Some(true);
        low.line_number = Some(true);
        Ok(())
    })
    .short('p')
    .help(
        "Alias for colors, headings and line numbers.",
        "Print as to a terminal, for a pager: it stands for --color=always --heading --line-number.",
    ),
    switch("quiet", Output, |low, _| {
        low.quiet = true;
        Ok(())
    })
    .short('q')
    .help(
        "Do not print anything to stdout.",
        "Print nothing, and stop at the first match; the exit code says whether there was one. With --files it says whether \
         there is a file to search.",
    ),
    valued("replace", Output, "REPLACEMENT", |low, v| {
        low.replace = Some(v.text()?.into_bytes());
        Ok(())
    })
    .short('r')
    .help(
        "Replace matches with the given text.",
        "Print REPLACEMENT instead of each match; no file is changed. $0 is the whole match, $1 the first group, $name or \
         ${name} the group of that name, $$ a dollar. With --only-matching nothing else is printed.\n\n    \
         rg '(\\w+)@(\\w+)' -or '$2'",
    ),
    valued("sort", Output, "SORTBY", |low, v| sort(low, v, false)).choices(ORDERS).help(
        "Sort results in ascending order.",
        "The order of files: none (the default), path, modified, accessed or created. Files whose time is not known come \
         last. Sorted by path, results come while the search goes on; by a time, all files are listed first. Unlike in \
         ripgrep, sorting does not keep the search from using several threads.",
    ),
    valued("sortr", Output, "SORTBY", |low, v| sort(low, v, true)).choices(ORDERS).help(
        "Sort results in descending order.",
        "The same as --sort, the other way round. All files are listed first.",
    ),
    switch("trim", Output, |low, v| {
        low.trim = v.on();
        Ok(())
    })
    .no("no-trim")
    .help(
        "Trim prefix whitespace from matches.",
        "Leave out blanks at the beginning of lines that are printed; only those of ASCII.",
    ),
    switch("vimgrep", Output, |low, _| {
        low.vimgrep = true;
        Ok(())
    })
    .help(
        "Print results in a vim compatible format.",
        "Print each match on a line of its own with its path, line and column, as editors read it. A line with many matches \
         is printed as often.",
    ),
    switch("with-filename", Output, |low, _| {
        low.with_filename = Some(true);
        Ok(())
    })
    .short('H')
    .help(
        "Print the file path with each matching line.",
        "Print the path of each file, also when only one was named. This flag and --no-filename override each other.",
    ),
    switch("no-filename", Output, |low, _| {
        low.with_filename = Some(false);
        Ok(())
    })
    .short('I')
    .help(
        "Never print the path with each matching line.",
        "Print no paths. This flag and --with-filename override each other.",
    ),
    switch("sort-files", Output, |low, v| {
        low.sort = v.on().then_some(Sort { by: SortBy::Path, reverse: false });
        Ok(())
    })
    .no("no-sort-files")
    .help("(DEPRECATED) Sort results by file path.", "An old name for --sort=path."),
];
