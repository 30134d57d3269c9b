//! Texts as they are shown: values, distances in time, and a line's pieces with what a search found in them.

use qd_logs_view::{Field, FieldValue, Piece, Span, TAB, field_json};
use unicode_width::UnicodeWidthChar;

/// A field's value as text.
pub(super) fn shown(v: &FieldValue<'_>) -> String {
    v.as_ref().to_string()
}

/// A duration with a sign, in nanoseconds.
pub(super) fn signed_nanos(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let d = qd_core::parse_duration(rest.trim()).map_err(|e| e.to_string())?;
    i64::try_from(d.as_nanos())
        .map(|n| sign * n)
        .map_err(|_| "that is too long".to_owned())
}

/// A length of time, four digits at most.
pub(super) fn length(nanos: u64) -> String {
    let s = nanos as f64 / 1e9;
    if s < 1.0 {
        format!("{:.3}ms", s * 1e3)
    } else if s < 60.0 {
        format!("{s:.3}s")
    } else if s < 3600.0 {
        format!("{}m{:02}s", s as u64 / 60, s as u64 % 60)
    } else if s < 86_400.0 {
        format!("{}h{:02}m", s as u64 / 3600, s as u64 / 60 % 60)
    } else {
        format!("{}d{:02}h", s as u64 / 86_400, s as u64 / 3600 % 24)
    }
}

/// A distance in time with a sign.
pub(super) fn relative(nanos: i64) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let sign = if nanos < 0 { '\u{2212}' } else { '+' };
    format!("{sign}{}", length(nanos.unsigned_abs()))
}

/// The part of a text from column `from` on, and the column that it begins at.
pub(super) fn from_column(text: &str, from: usize) -> (&str, usize) {
    let mut at = 0;
    for (i, c) in text.char_indices() {
        if at >= from {
            return (text.get(i..).unwrap_or_default(), at);
        }
        at += c.width().unwrap_or(0);
    }
    ("", at)
}

/// A value as the filter language writes it.
pub(super) fn quoted(v: &str) -> String {
    let bare = !v.is_empty()
        && v.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if bare && !v.starts_with('-') {
        v.to_owned()
    } else {
        format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Fields as one JSON object; lengths of time in seconds, what JSON has no form for as text.
pub(super) fn json(fields: &[Field<'_>]) -> String {
    let object: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .map(|f| (f.name.to_string(), field_json(&f.value)))
        .collect();
    if object.is_empty() {
        return String::new();
    }
    serde_json::Value::Object(object).to_string()
}

/// Cuts the pieces of a line where finds begin and end; says of each whether it is a find.
pub(super) fn marked(text: &str, pieces: Vec<Piece>, finds: &[Span]) -> Vec<(Piece, bool)> {
    if finds.is_empty() {
        return pieces.into_iter().map(|p| (p, false)).collect();
    }
    let inside = |at: usize| finds.iter().any(|f| f.contains(&at));
    let mut out: Vec<(Piece, bool)> = Vec::new();
    let mut column = 0;
    for piece in pieces {
        let chars = piece.text.chars().count();
        if piece.escaped {
            let found = piece.from.clone().any(inside);
            out.push((piece, found));
            column += chars;
            continue;
        }
        let mut left = piece.text.chars();
        let original = text.get(piece.from.clone()).unwrap_or_default();
        for (i, c) in original.char_indices() {
            // A tab stands for as many blanks as there are to the next stop.
            let wide = if c == '\t' { TAB - column % TAB } else { 1 };
            let found = inside(piece.from.start + i);
            let part: String = left.by_ref().take(wide).collect();
            column += wide;
            let from = piece.from.start + i..piece.from.start + i + c.len_utf8();
            match out.last_mut() {
                Some((p, f)) if *f == found && !p.escaped && p.style == piece.style && p.from.end == from.start => {
                    p.text.push_str(&part);
                    p.from.end = from.end;
                }
                _ => out.push((
                    Piece {
                        text: part,
                        from,
                        ..piece.clone()
                    },
                    found,
                )),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use qd_logs_view::sanitize;

    #[test]
    fn distances_are_short() {
        assert_eq!(relative(0), "0");
        assert_eq!(relative(1_500_000), "+1.500ms");
        assert_eq!(relative(-2_000_000_000), "\u{2212}2.000s");
        assert_eq!(relative(61_000_000_000), "+1m01s");
        assert_eq!(relative(3_660_000_000_000), "+1h01m");
        assert_eq!(relative(90_000_000_000_000), "+1d01h");
    }

    #[test]
    fn columns_are_counted_by_width() {
        assert_eq!(from_column("abcdef", 2), ("cdef", 2));
        assert_eq!(from_column("\u{4e2d}\u{6587}x", 2), ("\u{6587}x", 2));
        assert_eq!(from_column("ab", 9), ("", 2));
    }

    #[test]
    fn values_are_quoted_when_they_must_be() {
        assert_eq!(quoted("GET"), "GET");
        assert_eq!(quoted("10.0.0.1"), "10.0.0.1");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("-x"), "\"-x\"");
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
    }

    #[test]
    fn a_clock_can_be_set_back() {
        assert_eq!(signed_nanos("1s"), Ok(1_000_000_000));
        assert_eq!(signed_nanos("-1m"), Ok(-60_000_000_000));
        assert_eq!(signed_nanos("+2ms"), Ok(2_000_000));
        assert!(signed_nanos("soon").is_err());
    }

    fn split(text: &str, find: Span) -> Vec<(String, bool)> {
        marked(text, sanitize(text), std::slice::from_ref(&find))
            .into_iter()
            .map(|(p, f)| (p.text, f))
            .collect()
    }

    #[test]
    fn finds_are_cut_out_behind_tabs_and_colours() {
        let own = |v: &[(&str, bool)]| v.iter().map(|(t, f)| ((*t).to_owned(), *f)).collect::<Vec<_>>();
        assert_eq!(
            split("a timeout b", 2..9),
            own(&[("a ", false), ("timeout", true), (" b", false)])
        );
        assert_eq!(
            split("a\tbc", 2..3),
            own(&[("a       ", false), ("b", true), ("c", false)])
        );
        assert_eq!(
            split("\u{1b}[31mred\u{1b}[0m x", 6..9),
            own(&[("r", false), ("ed", true), (" x", false)])
        );
        let whole = "\u{e4}\u{f6}\u{fc}";
        assert_eq!(
            split(whole, 2..4),
            own(&[("\u{e4}", false), ("\u{f6}", true), ("\u{fc}", false)])
        );
        assert_eq!(
            split("x\u{1}y", 0..1),
            own(&[("x", true), ("\u{2401}", false), ("y", false)])
        );
    }
}
