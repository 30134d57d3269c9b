//! Reading arguments into a [`Low`], with those of the configuration file before them.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::sync::LazyLock;

use lexopt::Arg;

use super::low::{Logging, Low, Special};
use super::table::{Flag, all};
use super::values::Value;
use crate::error::Error;
use crate::report::Report;

/// What the arguments ask for. Messages and logging are as the arguments want them from here on.
pub(crate) fn read(arguments: Vec<OsString>, report: &Report) -> Result<Low, Error> {
    let low = parse(arguments.iter().cloned())?;
    // Already now, so that what happens with the configuration file can be seen.
    settle(&low, report);
    if low.special.is_some() {
        return Ok(low);
    }
    if low.no_config {
        log::debug!("--no-config: the configuration file is not read");
        return Ok(low);
    }
    let mut together = crate::config::arguments(report);
    if together.is_empty() {
        return Ok(low);
    }
    together.extend(arguments);
    let mut low = parse(together.into_iter())?;
    // Help and versions are asked for by a person, not by a file.
    low.special = None;
    settle(&low, report);
    Ok(low)
}

fn settle(low: &Low, report: &Report) {
    report.want(!low.no_messages, !low.no_ignore_messages);
    report.log(match low.logging {
        Some(Logging::Trace) => log::LevelFilter::Trace,
        Some(Logging::Debug) => log::LevelFilter::Debug,
        None => log::LevelFilter::Warn,
    });
}

/// Reads one sequence of arguments.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Low, Error> {
    let mut low = Low::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(Error::Syntax)? {
        let (given, found) = match argument {
            Arg::Value(value) => {
                low.positional.push(value);
                continue;
            }
            Arg::Short('h') => {
                low.special = Some(Special::HelpShort);
                continue;
            }
            Arg::Short('V') => {
                low.special = Some(Special::VersionShort);
                continue;
            }
            Arg::Short(letter) => (format!("-{letter}"), NAMES.short(letter)),
            Arg::Long(name) => (format!("--{name}"), NAMES.long(name)),
        };
        let Some((flag, negated)) = found else {
            let similar = given.strip_prefix("--").map(similar).unwrap_or_default();
            return Err(Error::UnknownFlag { flag: given, similar });
        };
        let value = if negated {
            Value::Off
        } else if flag.value.is_none() {
            Value::On
        } else {
            match parser.value() {
                Ok(value) => Value::Given(value),
                Err(source) => return Err(Error::MissingValue { flag: given, source }),
            }
        };
        (flag.effect)(&mut low, value).map_err(|source| Error::BadValue { flag: given, source })?;
    }
    Ok(low)
}

/// Every name of every flag; the second says whether it is the negation.
struct Names(
    HashMap<&'static str, (&'static Flag, bool)>,
    HashMap<char, &'static Flag>,
);

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut longs = HashMap::new();
    for flag in all() {
        longs.insert(flag.long, (flag, false));
        longs.extend(flag.aliases.iter().map(|a| (*a, (flag, false))));
        longs.extend(flag.no.map(|n| (n, (flag, true))));
    }
    Names(longs, all().filter_map(|f| Some((f.short?, f))).collect())
});

impl Names {
    fn long(&self, name: &str) -> Option<(&'static Flag, bool)> {
        self.0.get(name).copied()
    }

    fn short(&self, letter: char) -> Option<(&'static Flag, bool)> {
        self.1.get(&letter).map(|f| (*f, false))
    }
}

/// The flags whose names share many runs of three letters with `name`.
fn similar(name: &str) -> Vec<&'static str> {
    let wanted = triples(name);
    let close = |candidate: &&str| {
        let theirs = triples(candidate);
        let common = wanted.intersection(&theirs).count();
        // At least two fifths of all triples are common.
        5 * common >= 2 * (wanted.len() + theirs.len() - common)
    };
    all()
        .flat_map(|f| [f.long].into_iter().chain(f.no).chain(f.aliases.iter().copied()))
        .filter(close)
        .collect()
}

fn triples(name: &str) -> BTreeSet<[u8; 3]> {
    let mut bytes = name.as_bytes().to_vec();
    while bytes.len() < 3 {
        bytes.push(b'!');
    }
    bytes.windows(3).map(|w| [w[0], w[1], w[2]]).collect()
}
