//! Flags about what is read.

use std::path::PathBuf;

use super::{Completion, Flag, Group::Input, switch, valued};
use crate::flags::low::PatternSource;

pub(super) const FLAGS: &[Flag] = &[
    valued("regexp", Input, "PATTERN", |low, v| {
        low.patterns.push(PatternSource::Given(v.text()?));
        Ok(())
    })
    .short('e')
    .help(
        "A pattern; lines that match any one are found.",
        "A pattern to search for. Given several times, lines that match any of the patterns are found. With this flag or \
         --file, every argument that is not a flag is a path.\n\n\
         It is also the way to search for a pattern that begins with a dash:\n\n    rg -e -foo",
    ),
    valued("file", Input, "PATTERNFILE", |low, v| {
        low.patterns.push(PatternSource::File(PathBuf::from(v.raw())));
        Ok(())
    })
    .short('f')
    .completes(Completion::File)
    .help(
        "Take patterns from the lines of a file.",
        "Take patterns from a file, one a line; - reads them from standard input. It can be given several times, and \
         together with --regexp. An empty line is a pattern that matches everything.",
    ),
    valued("pre", Input, "COMMAND", |low, v| {
        low.pre = v.program();
        if low.pre.is_some() {
            low.search_zip = false;
        }
        Ok(())
    })
    .no("no-pre")
    .completes(Completion::Program)
    .help(
        "Search what COMMAND makes of each file.",
        "Run COMMAND on every file and search what it prints. It gets the path as its only argument and the file as its \
         standard input. A command that fails is an error for that file. An empty COMMAND is none.\n\n\
         Starting a process for every file is slow; --pre-glob says for which files it is worth it. This flag overrides \
         --search-zip. --no-pre takes it back.",
    ),
    valued("pre-glob", Input, "GLOB", |low, v| {
        low.pre_glob.push(v.text()?);
        Ok(())
    })
    .help(
        "Which files go through the command of --pre.",
        "Send only files that match GLOB through the command of --pre; the others are searched as they are. It can be given \
         several times. A glob that begins with ! excludes.",
    ),
    switch("search-zip", Input, |low, v| {
        low.search_zip = v.on();
        if low.search_zip {
            low.pre = None;
        }
        Ok(())
    })
    .short('z')
    .no("no-search-zip")
    .help(
        "Look into compressed files.",
        "Search what is in compressed files. gzip, bzip2, xz, LZ4, LZMA, Brotli, Zstandard and compress are known, by the \
         name of the file; the program that unpacks each must be installed. This flag overrides --pre.",
    ),
];
