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
        "Print NUM lines behind a match, too.",
        "Show so many lines after each match. It wins over what --context says for them, and overrides --passthru.",
    ),
    valued("before-context", Output, "NUM", |low, v| {
        let lines = v.number()?;
        low.context.set(|before, _, _| *before = Some(lines));
        Ok(())
    })
    .short('B')
    .help(
        "Print NUM lines ahead of a match, too.",
        "Show so many lines before each match. It wins over what --context says for them, and overrides --passthru.",
    ),
    switch("block-buffered", Output, |low, v| {
        low.buffer = if v.on() { Buffering::Block } else { Buffering::Auto };
        Ok(())
    })
    .no("no-block-buffered")
    .help(
        "Pass output on in large blocks.",
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
        "Print where in the file a line begins.",
        "Print before each line where in the file it begins, in bytes from 0; with --only-matching, where the match begins.",
    ),
    valued("color", Output, "WHEN", |low, v| {
        let all = [ColorChoice::Never, ColorChoice::Auto, ColorChoice::Always, ColorChoice::Ansi];
        low.color = v.choice(WHEN, &all)?;
        Ok(())
    })
    .choices(WHEN)
    .help(
        "When colours are used.",
        "never, always, auto (when output goes to a terminal that can, the default), or ansi (always, by escape sequences).",
    ),
    valued("colors", Output, "COLOR_SPEC", |low, v| {
        low.colors.push(v.text()?.parse()?);
        Ok(())
    })
    .help(
        "Which colours and styles are used.",
        "Which colours and styles are used, as {type}:{attribute}:{value}. The type is path, line, column, highlight or \
         match; the attribute is fg, bg or style; the value is a colour (red, blue, green, cyan, magenta, yellow, white, black, a \
         number to 255, or three of them with commas between) or a style (bold, intense, underline, italic, each also with \
         no before it). {type}:none forgets everything for that type. It can be given several times:\n\n    \
         rg --colors 'path:fg:blue' --colors 'match:style:underline' error",
    ),
    switch("column", Output, |low, v| {
        low.column = Some(v.on());
        Ok(())
    })
    .no("no-column")
    .help(
        "Print the column of the first match.",
        "Print the column of the first match of each line, in bytes from 1. Line numbers come with it.",
    ),
    valued("context", Output, "NUM", |low, v| {
        let lines = v.number()?;
        low.context.set(|_, _, both| *both = Some(lines));
        Ok(())
    })
    .short('C')
    .help(
        "Print NUM lines on both sides of a match, too.",
        "Show so many lines around each match. --before-context and --after-context win over it. It overrides --passthru.",
    ),
    valued("context-separator", Output, "SEPARATOR", |low, v| {
        low.context_separator = Separator(v.separator()?);
        Ok(())
    })
    .no("no-context-separator")
    .help(
        "What stands between pieces of a file.",
        "What stands on a line of its own between pieces of a file that do not touch; -- by default. Escapes like \\x7F and \
         \\t are understood. An empty one leaves an empty line; --no-context-separator leaves nothing.",
    ),
    valued("field-context-separator", Output, "SEPARATOR", |low, v| {
        low.field_context_separator = Separator(v.separator()?);
        Ok(())
    })
    .help(
        "What ends the fields before a line of context.",
        "What stands between path, line number and the like and a line of context; - by default. Escapes like \\x7F and \\t \
         are understood, and it may be empty.",
    ),
    valued("field-match-separator", Output, "SEPARATOR", |low, v| {
        low.field_match_separator = Separator(v.separator()?);
        Ok(())
    })
    .help(
        "What ends the fields before a matching line.",
        "What stands between path, line number and the like and a line that matches; : by default. Escapes like \\x7F and \
         \\t are understood, and it may be empty.",
    ),
    switch("heading", Output, |low, v| {
        low.heading = Some(v.on());
        Ok(())
    })
    .no("no-heading")
    .help(
        "Print a path once, above its matches.",
        "Print the path once above the matches of a file, rather than on every line. It is done by itself when output goes to \
         a terminal.",
    ),
    switch("help", Output, |low, _| {
        low.special = Some(Special::HelpLong);
        Ok(())
    })
    .short('h')
    .help(
        "Print this; with --help, all of it.",
        "Show help: a line for each flag with -h, all there is to say with --help.",
    ),
    valued("hostname-bin", Output, "COMMAND", |low, v| {
        low.hostname_bin = v.program();
        Ok(())
    })
    .completes(Completion::Program)
    .help(
        "A program that knows this machine's name.",
        "A program that prints the name of this machine for hyperlinks, where the system's own answer is not the right one. \
         It is run at most once, without arguments. When it fails, the system is asked.",
    ),
    valued("hyperlink-format", Output, "FORMAT", |low, v| {
        low.hyperlink_format = v.text()?.parse()?;
        Ok(())
    })
    .help(
        "Make paths links, in this form.",
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
        "Count files without a match, too.",
        "With --count or --count-matches, print the files without a match too.",
    ),
    switch("line-buffered", Output, |low, v| {
        low.buffer = if v.on() { Buffering::Line } else { Buffering::Auto };
        Ok(())
    })
    .no("no-line-buffered")
    .help(
        "Pass every line on at once.",
        "Pass every line on at once, as is done by itself when output goes to a terminal. It is for tail -f before it and \
         another program behind it. This flag and --block-buffered override each other.",
    ),
    switch("line-number", Output, |low, _| {
        low.line_number = Some(true);
        Ok(())
    })
    .short('n')
    .help(
        "Print the numbers of lines.",
        "Print the number of each line, from 1. It is done by itself when output goes to a terminal.",
    ),
    switch("no-line-number", Output, |low, _| {
        low.line_number = Some(false);
        Ok(())
    })
    .short('N')
    .help("Print no numbers of lines.", "Print no line numbers, also not to a terminal."),
    valued("max-columns", Output, "NUM", |low, v| {
        low.max_columns = Some(v.number()?).filter(|n| *n != 0);
        Ok(())
    })
    .short('M')
    .help(
        "Leave out lines of more bytes.",
        "Do not print lines with more bytes than this, but only that there is a match. 0 is no limit.",
    ),
    switch("max-columns-preview", Output, |low, v| {
        low.max_columns_preview = v.on();
        Ok(())
    })
    .no("no-max-columns-preview")
    .help(
        "Print the beginning of lines that -M leaves out.",
        "Of lines that --max-columns leaves out, print as much as it allows. Without --max-columns this has no effect.",
    ),
    switch("null", Output, |low, _| {
        low.null = true;
        Ok(())
    })
    .short('0')
    .help(
        "End paths with NUL.",
        "Let a NUL byte follow every path, instead of a colon or the end of the line, so that xargs -0 can read any path.",
    ),
    switch("only-matching", Output, |low, _| {
        low.only_matching = true;
        Ok(())
    })
    .short('o')
    .help(
        "Print what matched, not the line around it.",
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
        "The byte between the parts of a path.",
        "The byte between the parts of a path that is printed; the system's own by default. Escapes like \\x7F are \
         understood. An empty one is the default again.",
    ),
    switch("passthru", Output, |low, _| {
        low.context = Context::Everything;
        Ok(())
    })
    .alias(&["passthrough"])
    .help(
        "Print all lines, matching or not.",
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
        "Print as to a terminal.",
        "Print as to a terminal, for a pager: it stands for --color=always --heading --line-number.",
    ),
    switch("quiet", Output, |low, _| {
        low.quiet = true;
        Ok(())
    })
    .short('q')
    .help(
        "Print nothing; the exit code tells.",
        "Print nothing, and stop at the first match; the exit code says whether there was one. With --files it says whether \
         there is a file to search.",
    ),
    valued("replace", Output, "REPLACEMENT", |low, v| {
        low.replace = Some(v.text()?.into_bytes());
        Ok(())
    })
    .short('r')
    .help(
        "Print this in place of each match.",
        "Print REPLACEMENT instead of each match; no file is changed. $0 is the whole match, $1 the first group, $name or \
         ${name} the group of that name, $$ a dollar. With --only-matching nothing else is printed.\n\n    \
         rg '(\\w+)@(\\w+)' -or '$2'",
    ),
    valued("sort", Output, "SORTBY", |low, v| sort(low, v, false)).choices(ORDERS).help(
        "Put files in order.",
        "The order of files: none (the default), path, modified, accessed or created. Files whose time is not known come \
         last. Sorted by path, results come while the search goes on; by a time, all files are listed first. Unlike in \
         ripgrep, sorting does not keep the search from using several threads.",
    ),
    valued("sortr", Output, "SORTBY", |low, v| sort(low, v, true)).choices(ORDERS).help(
        "Put files in order, last first.",
        "The same as --sort, the other way round. All files are listed first.",
    ),
    switch("trim", Output, |low, v| {
        low.trim = v.on();
        Ok(())
    })
    .no("no-trim")
    .help(
        "Leave out blanks at the beginning of lines.",
        "Leave out blanks at the beginning of lines that are printed; only those of ASCII.",
    ),
    switch("vimgrep", Output, |low, _| {
        low.vimgrep = true;
        Ok(())
    })
    .help(
        "Print a line for each match, as editors read it.",
        "Print each match on a line of its own with its path, line and column, as editors read it. A line with many matches \
         is printed as often.",
    ),
    switch("with-filename", Output, |low, _| {
        low.with_filename = Some(true);
        Ok(())
    })
    .short('H')
    .help(
        "Print paths, even of a single file.",
        "Print the path of each file, also when only one was named. This flag and --no-filename override each other.",
    ),
    switch("no-filename", Output, |low, _| {
        low.with_filename = Some(false);
        Ok(())
    })
    .short('I')
    .help(
        "Print no paths.",
        "Print no paths. This flag and --with-filename override each other.",
    ),
    switch("sort-files", Output, |low, v| {
        low.sort = v.on().then_some(Sort { by: SortBy::Path, reverse: false });
        Ok(())
    })
    .no("no-sort-files")
    .help("Old name of --sort=path.", "An old name for --sort=path."),
];
