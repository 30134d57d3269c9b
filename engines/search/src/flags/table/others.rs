//! Flags that do something other than printing lines, and flags about messages.

use super::{Flag, Group::*, switch, valued};
use crate::flags::low::{Generate, Logging as Level, Mode, Show, Special};

const KINDS: &[&str] = &[
    "man",
    "complete-bash",
    "complete-zsh",
    "complete-fish",
    "complete-powershell",
];

pub(super) const FLAGS: &[Flag] = &[
    switch("count", Modes, |low, _| {
        low.mode = Mode::Search(Show::Count);
        Ok(())
    })
    .short('c')
    .help(
        "Print how many lines match, file by file.",
        "Print how many lines match in each file, for files where any does. With --only-matching it is --count-matches. \
         The other output modes and this one override each other.",
    ),
    switch("count-matches", Modes, |low, _| {
        low.mode = Mode::Search(Show::CountMatches);
        Ok(())
    })
    .help(
        "Print how many matches there are, file by file.",
        "Print how many matches there are in each file, for files that have any; a line may have several. With \
         --invert-match it is --count.",
    ),
    switch("files-with-matches", Modes, |low, _| {
        low.mode = Mode::Search(Show::Paths);
        Ok(())
    })
    .short('l')
    .help(
        "Print the paths of files that match.",
        "Print only the paths of files that have a match, and leave each file at its first.",
    ),
    switch("files-without-match", Modes, |low, _| {
        low.mode = Mode::Search(Show::PathsWithout);
        Ok(())
    })
    .help(
        "Print the paths of files that do not match.",
        "Print only the paths of files that have no match.",
    ),
    switch("json", Modes, |low, v| {
        if v.on() {
            low.mode = Mode::Search(Show::Json);
        } else if low.mode == Mode::Search(Show::Json) {
            low.mode = Mode::default();
        }
        Ok(())
    })
    .no("no-json")
    .help(
        "Print results as JSON, an object a line.",
        "Print results for other programs, a JSON object a line. Its type is begin or end (of a file with a match), match, \
         context or summary. Paths and lines are {\"text\": ...}, or {\"bytes\": ...} in base64 where they are not UTF-8.",
    ),
    switch("debug", Logging, |low, _| {
        low.logging = Some(Level::Debug);
        Ok(())
    })
    .help(
        "Say what is done and left out.",
        "Say on standard error what is done and why files are left out.",
    ),
    switch("no-ignore-messages", Logging, |low, v| {
        low.no_ignore_messages = v.on();
        Ok(())
    })
    .no("ignore-messages")
    .help(
        "Do not complain of ignore rules.",
        "Do not say what is wrong with files of ignore rules.",
    ),
    switch("no-messages", Logging, |low, v| {
        low.no_messages = v.on();
        Ok(())
    })
    .no("messages")
    .help(
        "Do not complain of files.",
        "Do not say which files could not be read. What is wrong with the command line is said still, and the exit code \
         is the same.",
    ),
    switch("stats", Logging, |low, v| {
        low.stats = v.on();
        Ok(())
    })
    .no("no-stats")
    .help(
        "Print totals at the end.",
        "Print at the end how many matches, lines, files and bytes there were and how long it took. It is always part of \
         --json, and has no effect with --files.",
    ),
    switch("trace", Logging, |low, _| {
        low.logging = Some(Level::Trace);
        Ok(())
    })
    .help(
        "Say everything that is done.",
        "Say even more than with --debug. It is a lot.",
    ),
    switch("files", Other, |low, _| {
        low.mode = Mode::Files;
        Ok(())
    })
    .help(
        "List the files, without searching them.",
        "Print the paths of the files that would be searched, and search none. There is no pattern then: every argument is \
         a path.",
    ),
    valued("generate", Other, "KIND", |low, v| {
        let all = [Generate::Man, Generate::Bash, Generate::Zsh, Generate::Fish, Generate::PowerShell];
        low.mode = Mode::Generate(v.choice(KINDS, &all)?);
        Ok(())
    })
    .choices(KINDS)
    .help(
        "Write a manual page or a shell's completions.",
        "Write a manual page, or what a shell needs to complete flags, to standard output.",
    ),
    switch("no-config", Other, |low, _| {
        low.no_config = true;
        Ok(())
    })
    .help(
        "Leave the configuration file unread.",
        "Do not read the file that RIPGREP_CONFIG_PATH names. It has no effect in that file itself.",
    ),
    switch("no-index", Other, |low, v| {
        low.no_index = v.on();
        Ok(())
    })
    .no("index")
    .help(
        "Search every file, without the index.",
        "Do not ask the index of the tree, if there is one, which files can match. The results are the same.",
    ),
    switch("pcre2-version", Other, |low, _| {
        low.special = Some(Special::VersionPcre2);
        Ok(())
    })
    .help("Print which PCRE2 is used.", "Print the version of PCRE2 and whether it compiles patterns."),
    switch("type-list", Other, |low, _| {
        low.mode = Mode::Types;
        Ok(())
    })
    .help(
        "List the file types and their globs.",
        "Print every file type and its globs, with the changes of --type-add and --type-clear.",
    ),
    switch("version", Other, |low, _| {
        low.special = Some(Special::VersionLong);
        Ok(())
    })
    .short('V')
    .help("Print the version.", "Print the version; with --version also what it was built with."),
];
