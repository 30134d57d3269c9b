//! Flags about how is searched.

use super::{Completion, Flag, Group::Search, switch, valued};
use crate::flags::low::{Binary, Boundary, Case, Encoding, EngineChoice, Mmap};

const ENGINES: &[&str] = &["default", "pcre2", "auto"];

pub(super) const FLAGS: &[Flag] = &[
    switch("case-sensitive", Search, |low, _| {
        low.case = Case::Sensitive;
        Ok(())
    })
    .short('s')
    .help(
        "Tell upper from lower case (the default).",
        "Upper and lower case are different. This is the default; it overrides --ignore-case and --smart-case.",
    ),
    switch("crlf", Search, |low, v| {
        low.crlf = v.on();
        low.null_data &= !low.crlf;
        Ok(())
    })
    .no("no-crlf")
    .help(
        "Let lines end with CR LF, as on Windows.",
        "A carriage return before a line feed belongs to the end of the line, so that $ matches before it. This overrides \
         --null-data.",
    ),
    valued("dfa-size-limit", Search, "NUM+SUFFIX?", |low, v| {
        low.dfa_size_limit = Some(v.memory()?);
        Ok(())
    })
    .help(
        "How much memory the engine's tables may take.",
        "How large the tables may grow that the regex engine makes while it searches. Raise it when a large pattern is slow. \
         The suffixes K, M and G are taken; without one the number is of bytes.",
    ),
    valued("encoding", Search, "ENCODING", |low, v| {
        if !v.on() {
            low.encoding = Encoding::Auto;
            return Ok(());
        }
        let label = v.text()?;
        low.encoding = match label.as_str() {
            "auto" => Encoding::Auto,
            "none" => Encoding::Raw,
            label => Encoding::Named(grep_searcher::Encoding::new(label)?),
        };
        Ok(())
    })
    .short('E')
    .no("no-encoding")
    .completes(Completion::Encoding)
    .help(
        "How bytes are read as text.",
        "How the bytes of files become text. With auto, the default, files with a byte order mark are read as UTF-8 or \
         UTF-16 as it says, and all others are taken for something like UTF-8. With none, no byte is interpreted, not even \
         a byte order mark. Otherwise it is a label of the WHATWG Encoding Standard, such as latin1 or shift_jis.\n\n\
         --no-encoding goes back to auto.",
    ),
    valued("engine", Search, "ENGINE", |low, v| {
        low.engine = v.choice(ENGINES, &[EngineChoice::Default, EngineChoice::Pcre2, EngineChoice::Auto])?;
        Ok(())
    })
    .choices(ENGINES)
    .help(
        "Which regex engine matches.",
        "The engine that matches. default is fast on everything and knows neither look-around nor backreferences; pcre2 knows \
         both; auto takes PCRE2 only for patterns that the default one does not take. This flag, --pcre2 and \
         --auto-hybrid-regex override each other.",
    ),
    switch("fixed-strings", Search, |low, v| {
        low.fixed_strings = v.on();
        Ok(())
    })
    .short('F')
    .no("no-fixed-strings")
    .help(
        "Take patterns as plain text.",
        "Patterns are plain text: no character in them has a meaning of its own.",
    ),
    switch("ignore-case", Search, |low, _| {
        low.case = Case::Insensitive;
        Ok(())
    })
    .short('i')
    .help(
        "Do not tell upper from lower case.",
        "Upper and lower case are the same, by Unicode's simple case folding. This overrides --case-sensitive and \
         --smart-case.",
    ),
    switch("invert-match", Search, |low, v| {
        low.invert_match = v.on();
        Ok(())
    })
    .short('v')
    .no("no-invert-match")
    .help("Find the lines that do not match.", "Find the lines that do not match any of the patterns."),
    switch("line-regexp", Search, |low, _| {
        low.boundary = Some(Boundary::Line);
        Ok(())
    })
    .short('x')
    .help(
        "Match whole lines only.",
        "A match must be a whole line, as if every pattern stood between ^ and $. This overrides --word-regexp.",
    ),
    valued("max-count", Search, "NUM", |low, v| {
        low.max_count = Some(v.number()?);
        Ok(())
    })
    .short('m')
    .help(
        "Leave a file after NUM matching lines.",
        "Stop in each file after so many matching lines. With --multiline a match of several lines counts once. With 0 \
         nothing is searched at all.",
    ),
    switch("mmap", Search, |low, v| {
        low.mmap = if v.on() { Mmap::Always } else { Mmap::Never };
        Ok(())
    })
    .no("no-mmap")
    .help(
        "Search files in one piece.",
        "Search files in one piece, rather than in blocks. It is done by itself for a few files that are named. Here a file \
         is read into memory instead of mapped, and blocks are used for very large ones.",
    ),
    switch("multiline", Search, |low, v| {
        low.multiline = v.on();
        low.stop_on_nonmatch &= !low.multiline;
        Ok(())
    })
    .short('U')
    .no("no-multiline")
    .help(
        "Let matches go over several lines.",
        "Matches may go over several lines: \\n may stand in a pattern, and \\s and [^a] match the end of a line. Each file is \
         held in memory as a whole. This overrides --stop-on-nonmatch.",
    ),
    switch("multiline-dotall", Search, |low, v| {
        low.multiline_dotall = v.on();
        Ok(())
    })
    .no("no-multiline-dotall")
    .help(
        "With -U, let a dot match the end of a line.",
        "With --multiline, let a dot match the end of a line too. (?s) does the same within a pattern. Without --multiline \
         this has no effect.",
    ),
    switch("no-unicode", Search, |low, v| {
        low.no_unicode = v.on();
        Ok(())
    })
    .no("unicode")
    .help(
        "Know ASCII only in classes and case.",
        "Classes like \\w, \\d and \\s, a dot, and case know ASCII only. It can be faster, and lets patterns match bytes that \
         are not UTF-8. (?-u) does the same within a pattern.\n\nThis is for both engines. It can be taken back with \
         --unicode.",
    ),
    switch("null-data", Search, |low, _| {
        low.crlf = false;
        low.null_data = true;
        Ok(())
    })
    .help(
        "Let lines end with NUL.",
        "Lines end with a NUL byte, in what is read and in what is written; it is for lists such as find -print0 writes. \
         Files are then never taken for binary. This overrides --crlf.",
    ),
    switch("pcre2", Search, |low, v| {
        low.engine = if v.on() { EngineChoice::Pcre2 } else { EngineChoice::Default };
        Ok(())
    })
    .short('P')
    .no("no-pcre2")
    .help(
        "Match with PCRE2.",
        "Match with PCRE2, which knows look-around and backreferences:\n\n    rg -P '(\\w+) \\1'\n\n\
         It is the same as --engine=pcre2.",
    ),
    valued("regex-size-limit", Search, "NUM+SUFFIX?", |low, v| {
        low.regex_size_limit = Some(v.memory()?);
        Ok(())
    })
    .help(
        "How large a compiled pattern may be.",
        "How large a compiled pattern may be, so that a mistake does not fill the memory. The suffixes K, M and G are taken; \
         without one the number is of bytes.",
    ),
    switch("smart-case", Search, |low, _| {
        low.case = Case::Smart;
        Ok(())
    })
    .short('S')
    .help(
        "Heed case if a pattern has upper case.",
        "Case matters only when there is an upper case letter among the pattern's literal characters. This overrides \
         --case-sensitive and --ignore-case.",
    ),
    switch("stop-on-nonmatch", Search, |low, _| {
        low.stop_on_nonmatch = true;
        low.multiline = false;
        Ok(())
    })
    .help(
        "Leave a file where its matches end.",
        "Once a line of a file has matched, leave the file at the first line that does not. It saves time in sorted files. \
         This overrides --multiline.",
    ),
    switch("text", Search, |low, v| {
        low.binary = if v.on() { Binary::Text } else { Binary::Auto };
        Ok(())
    })
    .short('a')
    .no("no-text")
    .help(
        "Take every file for text.",
        "Treat every file as text, also those with NUL bytes. What is printed may then hold anything, control sequences for \
         the terminal included. This flag and --binary override each other.",
    ),
    valued("threads", Search, "NUM", |low, v| {
        low.threads = Some(v.number()?).filter(|n| *n != 0);
        Ok(())
    })
    .short('j')
    .help(
        "How many threads search.",
        "How many threads search. 0, the default, lets the number of processors decide.",
    ),
    switch("word-regexp", Search, |low, _| {
        low.boundary = Some(Boundary::Word);
        Ok(())
    })
    .short('w')
    .help(
        "Match whole words only.",
        "A match must begin and end where a word could: no character of a word may stand directly before or after it. This \
         overrides --line-regexp.",
    ),
    switch("auto-hybrid-regex", Search, |low, v| {
        low.engine = if v.on() { EngineChoice::Auto } else { EngineChoice::Default };
        Ok(())
    })
    .no("no-auto-hybrid-regex")
    .help(
        "Old name of --engine=auto.",
        "An old name for --engine=auto.",
    ),
    switch("no-pcre2-unicode", Search, |low, v| {
        low.no_unicode = v.on();
        Ok(())
    })
    .no("pcre2-unicode")
    .help(
        "Old name of --no-unicode.",
        "An old name for --no-unicode.",
    ),
];
