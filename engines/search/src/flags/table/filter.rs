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
        "Search binary files.",
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
        "Follow symbolic links.",
        "Follow symbolic links to files and directories. Links that lead into a circle, or nowhere, are reported.",
    ),
    valued("glob", Filter, "GLOB", |low, v| {
        low.globs.push(v.text()?);
        Ok(())
    })
    .short('g')
    .help(
        "Include or exclude file paths.",
        "Search only files whose paths match GLOB; with a ! before it, only those that do not. It wins over every other rule. \
         Globs are written as in .gitignore, and of several the last that matches decides:\n\n    rg foo -g '*.c' -g '!test/**'",
    ),
    switch("glob-case-insensitive", Filter, |low, v| {
        low.glob_case_insensitive = v.on();
        Ok(())
    })
    .no("no-glob-case-insensitive")
    .help(
        "Process all glob patterns case insensitively.",
        "Upper and lower case are the same in the globs of --glob, as they are in those of --iglob.",
    ),
    switch("hidden", Filter, |low, v| {
        low.hidden = v.on();
        Ok(())
    })
    .short('.')
    .no("no-hidden")
    .help(
        "Search hidden files and directories.",
        "Search files and directories whose names begin with a dot. Without it they are left out, unless they are named or \
         a glob or a rule lets them in.",
    ),
    valued("iglob", Filter, "GLOB", |low, v| {
        low.iglobs.push(v.text()?);
        Ok(())
    })
    .help(
        "Include/exclude paths case insensitively.",
        "The same as --glob, with upper and lower case being the same.",
    ),
    valued("ignore-file", Filter, "PATH", |low, v| {
        low.ignore_file.push(PathBuf::from(v.raw()));
        Ok(())
    })
    .completes(Completion::File)
    .help(
        "Specify additional ignore files.",
        "A file with more rules, written as in .gitignore and applied from the current directory. It can be given several \
         times; a later file wins over an earlier one, and the files in the tree win over all of these.",
    ),
    switch("ignore-file-case-insensitive", Filter, |low, v| {
        low.ignore_file_case_insensitive = v.on();
        Ok(())
    })
    .no("no-ignore-file-case-insensitive")
    .help(
        "Process ignore files case insensitively.",
        "Upper and lower case are the same in .gitignore and all other files of rules.",
    ),
    valued("max-depth", Filter, "NUM", |low, v| {
        low.max_depth = Some(v.number()?);
        Ok(())
    })
    .short('d')
    .alias(&["maxdepth"])
    .help(
        "Descend at most NUM directories.",
        "How deep the walk goes below each path that is given. With 0, only those paths themselves are searched, which for a \
         directory is nothing.",
    ),
    valued("max-filesize", Filter, "NUM+SUFFIX?", |low, v| {
        low.max_filesize = Some(v.size()?);
        Ok(())
    })
    .help(
        "Ignore files larger than NUM in size.",
        "Leave out files that are larger, unless they are named. The suffixes K, M and G are taken; without one the number is \
         of bytes.",
    ),
    switch("no-ignore", Filter, |low, v| {
        no_ignore(low, v.on());
        Ok(())
    })
    .no("ignore")
    .help(
        "Don't use ignore files.",
        "Heed no .gitignore, .ignore, .rgignore, nor any of git's other rules. It stands for --no-ignore-dot, \
         --no-ignore-exclude, --no-ignore-global, --no-ignore-parent and --no-ignore-vcs. Files given with --ignore-file \
         are heeded still.",
    ),
    switch("no-ignore-dot", Filter, |low, v| {
        low.no_ignore_dot = v.on();
        Ok(())
    })
    .no("ignore-dot")
    .help("Don't use .ignore or .rgignore files.", "Heed no .ignore and no .rgignore."),
    switch("no-ignore-exclude", Filter, |low, v| {
        low.no_ignore_exclude = v.on();
        Ok(())
    })
    .no("ignore-exclude")
    .help("Don't use local exclude files.", "Do not heed a repository's own rules in .git/info/exclude."),
    switch("no-ignore-files", Filter, |low, v| {
        low.no_ignore_files = v.on();
        Ok(())
    })
    .no("ignore-files")
    .help("Don't use --ignore-file arguments.", "Heed none of the files given with --ignore-file, before or after."),
    switch("no-ignore-global", Filter, |low, v| {
        low.no_ignore_global = v.on();
        Ok(())
    })
    .no("ignore-global")
    .help(
        "Don't use global ignore files.",
        "Do not heed the rules that git has for all repositories of a person (core.excludesFile).",
    ),
    switch("no-ignore-parent", Filter, |low, v| {
        low.no_ignore_parent = v.on();
        Ok(())
    })
    .no("ignore-parent")
    .help(
        "Don't use ignore files in parent directories.",
        "Do not heed files of rules in the directories above those that are searched.",
    ),
    switch("no-ignore-vcs", Filter, |low, v| {
        low.no_ignore_vcs = v.on();
        Ok(())
    })
    .no("ignore-vcs")
    .help(
        "Don't use ignore files from source control.",
        "Do not heed .gitignore, nor git's other rules. .ignore and .rgignore are heeded still.",
    ),
    switch("no-require-git", Filter, |low, v| {
        low.no_require_git = v.on();
        Ok(())
    })
    .no("require-git")
    .help(
        "Use .gitignore outside of git repositories.",
        "Heed .gitignore also where there is no git repository around it.",
    ),
    switch("one-file-system", Filter, |low, v| {
        low.one_file_system = v.on();
        Ok(())
    })
    .no("no-one-file-system")
    .help(
        "Skip directories on other file systems.",
        "Do not go over to another file system, as seen from each path that is given. It is what find calls -xdev.",
    ),
    valued("type", Filter, "TYPE", |low, v| {
        low.types.push(TypeChange::Select(v.text()?));
        Ok(())
    })
    .short('t')
    .completes(Completion::FileType)
    .help(
        "Only search files matching TYPE.",
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
        "Do not search files matching TYPE.",
        "Leave out files of this type. --type-list shows all types.",
    ),
    valued("type-add", Filter, "TYPESPEC", |low, v| {
        low.types.push(TypeChange::Add(v.text()?));
        Ok(())
    })
    .help(
        "Add a new glob for a file type.",
        "Add a glob to a type, or make a new type. It is for this command line only; the configuration file is the place to \
         keep it:\n\n    rg --type-add 'web:*.{html,css,js}' -tweb foo\n\n\
         A type can also be made of others:\n\n    rg --type-add 'src:include:cpp,py,md' -tsrc foo",
    ),
    valued("type-clear", Filter, "TYPE", |low, v| {
        low.types.push(TypeChange::Clear(v.text()?));
        Ok(())
    })
    .help(
        "Clear globs for a file type.",
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
        "Reduce the level of \"smart\" filtering.",
        "Leave out less. Once it is --no-ignore, twice --hidden too, three times --binary too: rg -uuu searches about \
         what grep -r does.",
    ),
];
