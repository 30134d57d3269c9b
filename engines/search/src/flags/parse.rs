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
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Low, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::low::*;

    fn low(arguments: &str) -> Low {
        parse(arguments.split(' ').filter(|a| !a.is_empty()).map(OsString::from)).unwrap()
    }

    fn error(arguments: &str) -> String {
        parse(arguments.split(' ').map(OsString::from)).unwrap_err().to_string()
    }

    #[test]
    fn every_switch_can_be_given_and_taken_back() {
        for flag in all() {
            if flag.value.is_none() {
                low(&format!("--{}", flag.long));
            }
            if let Some(no) = flag.no {
                let never = format!("{:?}", low(&format!("--{no}")));
                let value = if flag.value.is_some() { "=utf-8" } else { "" };
                let both = format!("{:?}", low(&format!("--{}{value} --{no}", flag.long)));
                assert_eq!(never, both, "--{}", flag.long);
            }
        }
    }

    #[test]
    fn short_and_long_forms_are_the_same() {
        for flag in all() {
            let Some(short) = flag.short.filter(|s| !"hV".contains(*s)) else {
                continue;
            };
            let value = if flag.value.is_some() { "1" } else { "" };
            let equals = if flag.value.is_some() { "=" } else { "" };
            if flag.long == "encoding" {
                continue;
            }
            assert_eq!(
                format!("{:?}", low(&format!("-{short}{value}"))),
                format!("{:?}", low(&format!("--{}{equals}{value}", flag.long))),
            );
        }
    }

    #[test]
    fn values_may_stand_apart_or_together() {
        for arguments in ["-A 3", "-A3", "-A=3", "--after-context 3", "--after-context=3", "-nA3"] {
            assert_eq!(low(arguments).context.lines(), (0, 3), "{arguments}");
        }
        assert_eq!(low("-- -A3").positional, ["-A3"]);
        assert_eq!(low("- x -").positional, ["-", "x", "-"]);
    }

    #[test]
    fn before_and_after_win_over_both_in_any_order() {
        assert_eq!(low("-C5 -A1").context.lines(), (5, 1));
        assert_eq!(low("-A1 -C5").context.lines(), (5, 1));
        assert_eq!(low("-A1 -C5 -B0 -A2").context.lines(), (0, 2));
        assert_eq!(low("-C5 --passthru").context, Context::Everything);
        assert_eq!(low("-C5 --passthru -A1").context.lines(), (0, 1));
    }

    #[test]
    fn the_last_of_flags_that_exclude_each_other_wins() {
        assert_eq!(low("-i -s").case, Case::Sensitive);
        assert_eq!(low("-s -S").case, Case::Smart);
        assert_eq!(low("-w -x").boundary, Some(Boundary::Line));
        assert_eq!(low("-a --binary").binary, Binary::Search);
        assert_eq!(low("--binary --no-text").binary, Binary::Auto);
        assert_eq!(low("-c -l").mode, Mode::Search(Show::Paths));
        assert_eq!(low("-l --no-json").mode, Mode::Search(Show::Paths));
        assert_eq!(low("--json --no-json").mode, Mode::Search(Show::Lines));
        assert_eq!(low("-P --engine=default").engine, EngineChoice::Default);
        assert_eq!(low("--sort path --sort none").sort, None);
        let (crlf, null) = (low("--null-data --crlf"), low("--crlf --null-data"));
        assert!(crlf.crlf && !crlf.null_data && null.null_data && !null.crlf);
        let (zip, pre) = (low("--pre cat -z"), low("-z --pre cat"));
        assert!(zip.search_zip && zip.pre.is_none() && pre.pre.is_some() && !pre.search_zip);
        assert!(!low("-U --stop-on-nonmatch").multiline && !low("--stop-on-nonmatch -U").stop_on_nonmatch);
    }

    #[test]
    fn unrestricted_has_three_levels() {
        let levels = |low: &Low| (low.no_ignore_vcs, low.hidden, low.binary == Binary::Search);
        assert_eq!(levels(&low("-u")), (true, false, false));
        assert_eq!(levels(&low("-uu")), (true, true, false));
        assert_eq!(levels(&low("-u -uu")), (true, true, true));
        assert!(error("-uuuu").contains("-u"));
    }

    #[test]
    fn separators_are_written_with_escapes() {
        assert_eq!(low("").context_separator.0.as_deref(), Some(&b"--"[..]));
        assert_eq!(
            low("--context-separator \\x00\\t").context_separator.0.as_deref(),
            Some(&b"\0\t"[..])
        );
        assert_eq!(low("--no-context-separator").context_separator.0, None);
        assert_eq!(low("--path-separator /").path_separator, Some(b'/'));
        assert_eq!(low("--path-separator=").path_separator, None);
        assert!(error("--path-separator ab").contains("2 bytes"));
    }

    #[test]
    fn errors_name_the_flag_as_it_was_given() {
        assert!(error("-A x").starts_with("error parsing flag -A: not a number"));
        assert!(error("--sort up").starts_with("error parsing flag --sort: 'up' is not one of"));
        assert!(error("--max-filesize 1X").starts_with("error parsing flag --max-filesize: not a size"));
        assert!(error("foo -e").starts_with("flag -e lacks its value"));
        assert!(error("-?").starts_with("there is no flag -?"));
        assert!(error("--hiden").contains("--hidden"));
        assert!(!error("--zzzzz").contains("mean"));
    }
}
