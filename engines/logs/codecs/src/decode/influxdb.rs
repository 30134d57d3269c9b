//! InfluxDB's line protocol: each field that is a number becomes a gauge named `measurement_field`.

use std::iter::Peekable;
use std::str::Chars;

use chrono::{DateTime, Utc};
use qd_logs_model::{Metric, MetricKind, MetricValue, TagValue, Tags};

use super::Parsed;

pub(super) fn parse(frame: &[u8], lossy: bool, out: &mut Parsed) -> Result<(), String> {
    let text = super::text(frame, lossy)?;
    let mut metrics = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None => break,
            Some('#') => while chars.next_if(|c| *c != '\n').is_some() {},
            Some(_) => line(&mut chars, &mut metrics)?,
        }
    }
    out.metrics.append(&mut metrics);
    Ok(())
}

/// Text up to one of `ends`, which stays; a backslash before one of `ends`, a comma, a space or an equals sign escapes
/// it.
fn word(chars: &mut Peekable<Chars<'_>>, ends: &[char]) -> String {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| !ends.contains(c) && *c != '\n') {
        let escapable = |c: &char| ends.contains(c) || matches!(c, ',' | ' ' | '=' | '\\');
        match c {
            '\\' => word.push(chars.next_if(escapable).unwrap_or('\\')),
            c => word.push(c),
        }
    }
    word
}

enum Field {
    Number(f64),
    Other,
}

fn field(chars: &mut Peekable<Chars<'_>>) -> Result<Field, String> {
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next() {
                None => return Err("a field's text has no end".to_owned()),
                Some('"') => return Ok(Field::Other),
                Some('\\') => {
                    chars.next_if(|c| matches!(c, '"' | '\\'));
                }
                Some(_) => {}
            }
        }
    }
    let text = word(chars, &[',', ' ']);
    let number = match text.as_str() {
        "t" | "T" | "true" | "True" | "TRUE" => Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => Some(0.0),
        t => match (t.strip_suffix('i'), t.strip_suffix('u')) {
            (Some(i), _) => i.parse::<i64>().ok().map(|i| i as f64),
            (_, Some(u)) => u.parse::<u64>().ok().map(|u| u as f64),
            _ => t.parse::<f64>().ok().filter(|f| f.is_finite()),
        },
    };
    number
        .map(Field::Number)
        .ok_or_else(|| format!("`{}` is no field's value", text.escape_debug()))
}

fn line(chars: &mut Peekable<Chars<'_>>, out: &mut Vec<Metric>) -> Result<(), String> {
    let measurement = word(chars, &[',', ' ']);
    if measurement.is_empty() {
        return Err("a line has no measurement".to_owned());
    }
    let mut tags = Tags::new();
    while chars.next_if_eq(&',').is_some() {
        let name = word(chars, &[',', ' ', '=']);
        if name.is_empty() || chars.next_if_eq(&'=').is_none() {
            return Err("a tag has no name or no value".to_owned());
        }
        tags.insert(name, TagValue::One(word(chars, &[',', ' ', '='])));
    }
    while chars.next_if_eq(&' ').is_some() {}
    let mut fields = Vec::new();
    loop {
        let name = word(chars, &[',', ' ', '=']);
        if name.is_empty() || chars.next_if_eq(&'=').is_none() {
            return Err("a field has no name or no value".to_owned());
        }
        if let Field::Number(n) = field(chars)? {
            fields.push((name, n));
        }
        if chars.next_if_eq(&',').is_none() {
            break;
        }
    }
    while chars.next_if_eq(&' ').is_some() {}
    let time = word(chars, &[' ', '\r']);
    let timestamp: Option<DateTime<Utc>> = match time.as_str() {
        "" => None,
        t => Some(
            t.parse()
                .map(DateTime::from_timestamp_nanos)
                .map_err(|_| format!("`{}` is no time in nanoseconds", t.escape_debug()))?,
        ),
    };
    while chars.next_if(|c| matches!(c, ' ' | '\r')).is_some() {}
    if !matches!(chars.next(), None | Some('\n')) {
        return Err("a line goes on after its time".to_owned());
    }
    out.extend(fields.into_iter().map(|(name, value)| Metric {
        name: format!("{measurement}_{name}"),
        namespace: None,
        tags: tags.clone(),
        timestamp,
        interval_ms: None,
        kind: MetricKind::Absolute,
        value: MetricValue::Gauge { value },
    }));
    Ok(())
}
