//! Words and numbers that say how grave a line is.

use qd_core::Severity;

/// A level as a small number: the severities from 0 to 5, and [`UNKNOWN`].
pub(crate) type Level = u8;
/// No level is known.
pub(crate) const UNKNOWN: Level = 6;
/// How many levels there are, the unknown one included.
pub(crate) const LEVELS: usize = 7;

pub(crate) const TRACE: Level = 0;
pub(crate) const DEBUG: Level = 1;
pub(crate) const INFO: Level = 2;
pub(crate) const WARN: Level = 3;
pub(crate) const ERROR: Level = 4;
pub(crate) const FATAL: Level = 5;

/// The severity of a level number.
pub(crate) fn severity(level: Level) -> Option<Severity> {
    Severity::ALL.get(usize::from(level)).copied()
}

/// The level that a whole word names, in any case.
pub(crate) fn word(word: &[u8]) -> Option<Level> {
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    let any = |names: &[&[u8]], level| names.iter().any(|name| is(name)).then_some(level);
    match word.first()? | 0x20 {
        _ if word.len() > 13 => None,
        b'i' => any(&[b"info", b"information", b"inf", b"informational"], INFO),
        b'd' => any(
            &[b"debug", b"dbg", b"debug1", b"debug2", b"debug3", b"debug4", b"debug5"],
            DEBUG,
        ),
        b'w' => any(&[b"warn", b"warning", b"wrn"], WARN),
        b'e' => any(&[b"error", b"err", b"eror"], ERROR).or_else(|| any(&[b"emerg", b"emergency"], FATAL)),
        b'n' => any(&[b"notice", b"note"], INFO),
        b't' => any(&[b"trace", b"trc"], TRACE),
        b'v' => any(&[b"verbose"], TRACE),
        b'f' => any(&[b"fatal", b"ftl"], FATAL)
            .or_else(|| any(&[b"fine", b"finer"], DEBUG))
            .or_else(|| any(&[b"finest"], TRACE)),
        b'c' => any(&[b"critical", b"crit"], FATAL),
        b'a' => any(&[b"alert"], FATAL),
        b'p' => any(&[b"panic"], FATAL),
        b's' => any(&[b"severe"], ERROR).or_else(|| any(&[b"statement"], INFO)),
        b'l' => any(&[b"log"], INFO),
        _ => None,
    }
}

/// A single letter, as glog, Redis-like and Android logs have it.
pub(crate) fn letter(letter: u8) -> Option<Level> {
    Some(match letter {
        b'T' | b'V' => TRACE,
        b'D' => DEBUG,
        b'I' | b'N' => INFO,
        b'W' => WARN,
        b'E' => ERROR,
        b'F' | b'C' | b'A' => FATAL,
        _ => return None,
    })
}

/// A syslog severity: 0 is an emergency, 7 is for debugging.
pub(crate) fn syslog(severity: i64) -> Level {
    match severity {
        0..=2 => FATAL,
        3 => ERROR,
        4 => WARN,
        5 | 6 => INFO,
        7 => DEBUG,
        _ => UNKNOWN,
    }
}

/// A number in a field of the level: tens as Bunyan counts (10 is trace, 60 is fatal), or 0 to 4 from debug to fatal.
pub(crate) fn number(value: i64) -> Level {
    match value {
        0..=4 => value as Level + DEBUG,
        5..=9 => FATAL,
        10..=19 => TRACE,
        20..=29 => DEBUG,
        30..=39 => INFO,
        40..=49 => WARN,
        50..=59 => ERROR,
        60..=69 => FATAL,
        _ => UNKNOWN,
    }
}

/// The level of an HTTP status: server errors are errors, client errors are warnings.
pub(crate) fn status(hundreds: u8) -> Level {
    match hundreds {
        b'5' => ERROR,
        b'4' => WARN,
        b'1'..=b'3' => INFO,
        _ => UNKNOWN,
    }
}

/// The first level word among the first few words of some bytes; words are cut at anything but letters and digits.
pub(crate) fn near(bytes: &[u8], words: usize) -> Level {
    let mut seen = 0;
    let mut i = 0;
    let end = bytes.len().min(160);
    while i < end && seen < words {
        if !bytes[i].is_ascii_alphanumeric() {
            i += 1;
            continue;
        }
        let start = i;
        while i < end && bytes[i].is_ascii_alphanumeric() {
            i += 1;
        }
        if let Some(level) = word(&bytes[start..i]) {
            return level;
        }
        seen += 1;
    }
    UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_shared_ones() {
        for text in [
            "trace", "Debug", "INFO", "notice", "WARNING", "err", "critical", "emerg", "severe", "panic",
        ] {
            let expected: Severity = text.parse().unwrap();
            assert_eq!(word(text.as_bytes()).and_then(severity), Some(expected), "{text}");
        }
        assert_eq!(word(b"information desk"), None);
        assert_eq!(near(b"[main] WARN  x", 3), WARN);
        assert_eq!(near(b"a b c error", 3), UNKNOWN);
    }
}
