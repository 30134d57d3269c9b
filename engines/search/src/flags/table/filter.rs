//! Flags about which files are searched.

use std::path::PathBuf;

use super::{Completion, Flag, Group::Filter, switch, valued};
use crate::error::ValueError;
use crate::flags::low::{Binary, Low, TypeChange};

fn no_ignore(low: &mut Low, yes: bool) {
    low.no_ignore_dot = yes;
    low.no_ignore_exclude = yes;
    low.no_ignore_global = yes;
    low.no_ignore_parent = yes;
    low.no_ignore_vcs = yes;
}

pub(super) const FLAGS: &[Flag] = &[
    switch("binary", Filter, |low, v| {
        low.binary = if v.on() { Binary::Search } else { Binary::Auto };
        Ok(())
    })
    .no("no-binary")
    .help(
        "Say of binary files whether they match.",
        "Search files that hold NUL bytes too, and only say that they match. Without it, a file that the walk came across is \
         left at its first NUL byte; a file that was named is always searched as with this flag. This flag and --text \
         override each other.",
    ),
    switch("follow", Filter, |low, v| {
        low.follow = v.on();
        Ok(())
    })
    .short('L')
    .no("no-follow")
    .help(
        "Go where symbolic links lead.",
        "Follow symbolic links to files and directories. Links that lead into a circle, or nowhere, are reported.",
    ),
    valued("glob", Filter, "GLOB", |low, v| {
        low.globs.push(v.text()?);
        Ok(())
    })
    .short('g')
    .help(
        "Search paths that GLOB lets in, or with ! not.",
        "Search only files whose paths match GLOB; with a ! before it, only those that do not. It wins over every other rule. \
         Globs are written as in .gitignore, and of several the last that matches decides:\n\n    rg foo -g '*.c' -g '!test/**'",
    ),
    switch("glob-case-insensitive", Filter, |low, v| {
        low.glob_case_insensitive = v.on();
        Ok(())
    })
    .no("no-glob-case-insensitive")
    .help(
        "Let --glob be as --iglob.",
        "Upper and lower case are the same in the globs of --glob, as they are in those of --iglob.",
    ),
    switch("hidden", Filter, |low, v| {
        low.hidden = v.on();
        Ok(())
    })
    .short('.')
    .no("no-hidden")
    .help(
        "Search what begins with a dot, too.",
        "Search what has a name with a dot at its beginning. Without it that is left out, unless it is named or \
         a glob or a rule lets it in.",
    ),
    valued("iglob", Filter, "GLOB", |low, v| {
        low.iglobs.push(v.text()?);
        Ok(())
    })
    .help(
        "As --glob, in upper and lower case.",
        "The same as --glob, with upper and lower case being the same.",
    ),
    valued("ignore-file", Filter, "PATH", |low, v| {
        low.ignore_file.push(PathBuf::from(v.raw()));
        Ok(())
    })
    .completes(Completion::File)
    .help(
        "A file with more ignore rules.",
        "A file with more rules, written as in .gitignore and applied from the current directory. It can be given several \
         times; a later file wins over an earlier one, and the files in the tree win over all of these.",
    ),
    switch("ignore-file-case-insensitive", Filter, |low, v| {
        low.ignore_file_case_insensitive = v.on();
        Ok(())
    })
    .no("no-ignore-file-case-insensitive")
    .help(
        "Match ignore rules in any case.",
        "Upper and lower case are the same in .gitignore and all other files of rules.",
    ),
    valued("max-depth", Filter, "NUM", |low, v| {
        low.max_depth = Some(v.number()?);
        Ok(())
    })
    .short('d')
    .alias(&["maxdepth"])
    .help(
        "Go no more than NUM levels deep.",
        "How deep the walk goes below each path that is given. With 0, only those paths themselves are searched, which for a \
         directory is nothing.",
    ),
    valued("max-filesize", Filter, "NUM+SUFFIX?", |low, v| {
        low.max_filesize = Some(v.size()?);
        Ok(())
    })
    .help(
        "Leave out files of more bytes.",
        "Leave out files that are larger, unless they are named. The suffixes K, M and G are taken; without one the number is \
         of bytes.",
    ),
    switch("no-ignore", Filter, |low, v| {
        no_ignore(low, v.on());
        Ok(())
    })
    .no("ignore")
    .help(
        "Heed no file of ignore rules.",
        "Heed no .gitignore, .ignore, .rgignore, nor any of git's other rules. It stands for --no-ignore-dot, \
         --no-ignore-exclude, --no-ignore-global, --no-ignore-parent and --no-ignore-vcs. Files given with --ignore-file \
         are heeded still.",
    ),
    switch("no-ignore-dot", Filter, |low, v| {
        low.no_ignore_dot = v.on();
        Ok(())
    })
    .no("ignore-dot")
    .help("Heed no .ignore and no .rgignore.", "Heed no .ignore and no .rgignore."),
    switch("no-ignore-exclude", Filter, |low, v| {
        low.no_ignore_exclude = v.on();
        Ok(())
    })
    .no("ignore-exclude")
    .help("Heed no .git/info/exclude.", "Do not heed a repository's own rules in .git/info/exclude."),
    switch("no-ignore-files", Filter, |low, v| {
        low.no_ignore_files = v.on();
        Ok(())
    })
    .no("ignore-files")
    .help("Heed no file given with --ignore-file.", "Heed none of the files given with --ignore-file, before or after."),
    switch("no-ignore-global", Filter, |low, v| {
        low.no_ignore_global = v.on();
        Ok(())
    })
    .no("ignore-global")
    .help(
        "Heed no rules for all of a person's repositories.",
        "Do not heed the rules that git has for all repositories of a person (core.excludesFile).",
    ),
    switch("no-ignore-parent", Filter, |low, v| {
        low.no_ignore_parent = v.on();
        Ok(())
    })
    .no("ignore-parent")
    .help(
        "Heed no rules of the directories above.",
        "Do not heed files of rules in the directories above those that are searched.",
    ),
    switch("no-ignore-vcs", Filter, |low, v| {
        low.no_ignore_vcs = v.on();
        Ok(())
    })
    .no("ignore-vcs")
    .help(
        "Heed no rules of git.",
        "Do not heed .gitignore, nor git's other rules. .ignore and .rgignore are heeded still.",
    ),
    switch("no-require-git", Filter, |low, v| {
        low.no_require_git = v.on();
        Ok(())
    })
    .no("require-git")
    .help(
        "Heed .gitignore where there is no repository, too.",
        "Heed .gitignore also where there is no git repository around it.",
    ),
    switch("one-file-system", Filter, |low, v| {
        low.one_file_system = v.on();
        Ok(())
    })
    .no("no-one-file-system")
    .help(
        "Stay on the file system of each path.",
        "Do not go over to another file system, as seen from each path that is given. It is what find calls -xdev.",
    ),
    valued("type", Filter, "TYPE", |low, v| {
        low.types.push(TypeChange::Select(v.text()?));
        Ok(())
    })
    .short('t')
    .completes(Completion::FileType)
    .help(
        "Search files of this type.",
        "Search only files of this type; given several times, of any of them. --type-list shows all types. The type all \
         stands for every file whose type is known.",
    ),
    valued("type-not", Filter, "TYPE", |low, v| {
        low.types.push(TypeChange::Negate(v.text()?));
        Ok(())
    })
    .short('T')
    .completes(Completion::FileType)
    .help(
        "Leave out files of this type.",
        "Leave out files of this type. --type-list shows all types.",
    ),
    valued("type-add", Filter, "TYPESPEC", |low, v| {
        low.types.push(TypeChange::Add(v.text()?));
        Ok(())
    })
    .help(
        "Give a type one more glob, or make a type.",
        "Add a glob to a type, or make a new type. It is for this command line only; the configuration file is the place to \
         keep it:\n\n    rg --type-add 'conf:*.{ini,conf,cnf}' -tconf port\n\n\
         A type can also be made of others:\n\n    rg --type-add 'back:include:go,sql' -tback port",
    ),
    valued("type-clear", Filter, "TYPE", |low, v| {
        low.types.push(TypeChange::Clear(v.text()?));
        Ok(())
    })
    .help(
        "Take all globs from a type.",
        "Forget all globs of a type. New ones can be given to it with --type-add.",
    ),
    switch("unrestricted", Filter, |low, _| {
        low.unrestricted = low.unrestricted.saturating_add(1);
        match low.unrestricted {
            1 => no_ignore(low, true),
            2 => low.hidden = true,
            3 => low.binary = Binary::Search,
            _ => return Err(ValueError::TooOften(3)),
        }
        Ok(())
    })
    .short('u')
    .help(
        "Leave out less; up to three times.",
        "Leave out less. Once it is --no-ignore, twice --hidden too, three times --binary too: rg -uuu searches about \
         what grep -r does.",
    ),
];
