//! The choice of the engine that matches, and how it is set up.

use grep_pcre2::{RegexMatcher as Pcre2, RegexMatcherBuilder as Pcre2Builder};
use grep_regex::{RegexMatcher as Regex, RegexMatcherBuilder as RegexBuilder};

use crate::error::Error;
use crate::flags::low::{Boundary, Case, EngineChoice};
use crate::plan::Plan;

/// The largest stack that PCRE2's compiled patterns may use.
const PCRE2_STACK: usize = 10 << 20;

/// The patterns, ready to match.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// By the default engine.
    Regex(Regex),
    /// By PCRE2.
    Pcre2(Pcre2),
}

impl Engine {
    /// The plan's patterns in the engine it wants.
    pub(crate) fn new(plan: &Plan) -> Result<Engine, Error> {
        match plan.low.engine {
            EngineChoice::Default => match regex(plan) {
                Ok(engine) => Ok(Engine::Regex(engine)),
                Err(error) => Err(Error::Pattern(advise(error))),
            },
            EngineChoice::Pcre2 => match pcre2(plan) {
                Ok(engine) => Ok(Engine::Pcre2(engine)),
                Err(error) => Err(Error::Pattern(error)),
            },
            EngineChoice::Auto => match regex(plan) {
                Ok(engine) => Ok(Engine::Regex(engine)),
                Err(ours) => {
                    log::debug!("the default engine does not take the pattern:\n{ours}");
                    pcre2(plan).map(Engine::Pcre2).map_err(|theirs| {
                        Error::Pattern(format!(
                            "neither regex engine takes the pattern.\n\nThe default one says:\n{ours}\n\nPCRE2 says:\n{theirs}"
                        ))
                    })
                }
            },
        }
    }
}

fn regex(plan: &Plan) -> Result<Regex, String> {
    let low = &plan.low;
    let mut builder = RegexBuilder::new();
    builder
        .multi_line(true)
        .unicode(!low.no_unicode)
        .octal(false)
        .fixed_strings(low.fixed_strings)
        .case_insensitive(low.case == Case::Insensitive)
        .case_smart(low.case == Case::Smart)
        .whole_line(low.boundary == Some(Boundary::Line))
        .word(low.boundary == Some(Boundary::Word));
    if low.multiline {
        builder.dot_matches_new_line(low.multiline_dotall);
        if low.crlf {
            builder.crlf(true).line_terminator(None);
        }
    } else {
        // A matcher that knows it cannot go over a line is allowed to look at many lines at once.
        builder.line_terminator(Some(b'\n'));
        if low.crlf {
            builder.crlf(true);
        }
        if low.null_data {
            builder.line_terminator(Some(0));
        }
    }
    if let Some(limit) = low.regex_size_limit {
        builder.size_limit(limit);
    }
    if let Some(limit) = low.dfa_size_limit {
        builder.dfa_size_limit(limit);
    }
    if plan.binary.looked_for() {
        builder.ban_byte(Some(0));
    }
    builder.build_many(&plan.patterns).map_err(|e| e.to_string())
}

fn pcre2(plan: &Plan) -> Result<Pcre2, String> {
    let low = &plan.low;
    let mut builder = Pcre2Builder::new();
    builder
        .multi_line(true)
        .fixed_strings(low.fixed_strings)
        .caseless(low.case == Case::Insensitive)
        .case_smart(low.case == Case::Smart)
        .whole_line(low.boundary == Some(Boundary::Line))
        .word(low.boundary == Some(Boundary::Word));
    // The compiler's stack is address space, which only 64 bits have plenty of.
    if cfg!(target_pointer_width = "64") {
        builder.jit_if_available(true).max_jit_stack_size(Some(PCRE2_STACK));
    }
    if !low.no_unicode {
        builder.utf(true).ucp(true);
    }
    if low.multiline {
        builder.dotall(low.multiline_dotall);
    }
    if low.crlf {
        builder.crlf(true);
    }
    builder.build_many(&plan.patterns).map_err(|e| e.to_string())
}

/// An error of the default engine, with what would help.
fn advise(error: String) -> String {
    let advice = if error.contains("backreferences") || error.contains("look-around") {
        "PCRE2 has look-around and backreferences: the flag --pcre2 (-P) matches with it."
    } else if error.contains("the literal") && error.contains("not allowed") {
        "With the flag --multiline (-U) a pattern can match the end of a line."
    } else if error.contains("pattern contains \"\\0\"") {
        "With the flag --text (-a) a pattern can match a NUL byte, and no file is taken for binary."
    } else {
        return error;
    };
    format!("{error}\n\n{advice}")
}
