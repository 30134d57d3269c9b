//! What a flag is, and all of them by group.

mod filter;
mod input;
mod others;
mod output;
mod search;

use super::low::Low;
use super::values::Value;
use crate::error::ValueError;

/// What a flag does to what is asked for.
pub(crate) type Effect = fn(&mut Low, Value) -> Result<(), ValueError>;

/// The part of the help a flag stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    Input,
    Search,
    Filter,
    Output,
    Modes,
    Logging,
    Other,
}

impl Group {
    /// All of them, in the order of the help.
    pub(crate) const ALL: [Group; 7] = [
        Group::Input,
        Group::Search,
        Group::Filter,
        Group::Output,
        Group::Modes,
        Group::Logging,
        Group::Other,
    ];

    /// The heading in the help.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Group::Input => "INPUT OPTIONS",
            Group::Search => "SEARCH OPTIONS",
            Group::Filter => "FILTER OPTIONS",
            Group::Output => "OUTPUT OPTIONS",
            Group::Modes => "OUTPUT MODES",
            Group::Logging => "LOGGING OPTIONS",
            Group::Other => "OTHER BEHAVIORS",
        }
    }
}

/// What a shell can offer for a flag's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Completion {
    Nothing,
    File,
    Program,
    FileType,
    Encoding,
}

/// One flag under all its names.
#[derive(Debug)]
pub(crate) struct Flag {
    /// The name after two dashes.
    pub(crate) long: &'static str,
    /// The letter after one dash.
    pub(crate) short: Option<char>,
    /// The name that takes it back.
    pub(crate) no: Option<&'static str>,
    /// Other long names.
    pub(crate) aliases: &'static [&'static str],
    /// What its value is called; a switch has none.
    pub(crate) value: Option<&'static str>,
    /// The part of the help it stands in.
    pub(crate) group: Group,
    /// The values it takes, where they can be counted.
    pub(crate) choices: &'static [&'static str],
    /// What a shell can offer for its value.
    pub(crate) completion: Completion,
    /// One line of help.
    pub(crate) brief: &'static str,
    /// The whole help: paragraphs with an empty line between. A paragraph indented by four blanks is shown as it is.
    pub(crate) text: &'static str,
    /// What it does.
    pub(crate) effect: Effect,
}

impl Flag {
    const fn new(long: &'static str, group: Group, value: Option<&'static str>, effect: Effect) -> Flag {
        Flag {
            long,
            short: None,
            no: None,
            aliases: &[],
            value,
            group,
            choices: &[],
            completion: Completion::Nothing,
            brief: "",
            text: "",
            effect,
        }
    }

    const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }

    const fn no(mut self, no: &'static str) -> Flag {
        self.no = Some(no);
        self
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Flag {
        self.aliases = aliases;
        self
    }

    const fn choices(mut self, choices: &'static [&'static str]) -> Flag {
        self.choices = choices;
        self
    }

    const fn completes(mut self, completion: Completion) -> Flag {
        self.completion = completion;
        self
    }

    const fn help(mut self, brief: &'static str, text: &'static str) -> Flag {
        self.brief = brief;
        self.text = text;
        self
    }
}

/// A flag without a value.
const fn switch(long: &'static str, group: Group, effect: Effect) -> Flag {
    Flag::new(long, group, None, effect)
}

/// A flag with a value.
const fn valued(long: &'static str, group: Group, value: &'static str, effect: Effect) -> Flag {
    Flag::new(long, group, Some(value), effect)
}

/// Every flag, group by group in the order of the help.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> + Clone {
    input::FLAGS
        .iter()
        .chain(search::FLAGS)
        .chain(filter::FLAGS)
        .chain(output::FLAGS)
        .chain(others::FLAGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_as_many_flags_as_ripgrep_has() {
        let count = |g| all().filter(|f| f.group == g).count();
        let counts = Group::ALL.map(count);
        assert_eq!(counts.iter().sum::<usize>(), all().count());
        // One of ours: what has an index can be searched without it.
        let ours = ["no-index"];
        assert_eq!(all().filter(|f| !ours.contains(&f.long)).count(), 104);
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let (mut longs, mut shorts) = (BTreeSet::new(), BTreeSet::new());
        for flag in all() {
            for name in [flag.long].iter().chain(&flag.no).chain(flag.aliases) {
                assert!(longs.insert(*name), "{name} twice");
                assert!(
                    name.len() > 1 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                    "{name}"
                );
            }
            if let Some(short) = flag.short {
                assert!(shorts.insert(short), "-{short} twice");
                assert!(short.is_ascii_alphanumeric() || short == '.', "-{short}");
            }
        }
    }

    #[test]
    fn every_flag_is_described_and_only_flags_with_values_have_choices() {
        for flag in all() {
            assert!(
                flag.brief.ends_with('.') && flag.brief.len() < 60,
                "--{}: {}",
                flag.long,
                flag.brief
            );
            assert!(flag.text.len() > flag.brief.len() / 2, "--{}", flag.long);
            assert!(flag.value.is_some() || flag.choices.is_empty(), "--{}", flag.long);
        }
    }
}
