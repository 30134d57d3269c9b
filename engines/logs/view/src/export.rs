//! Writing out what passes: as it stands, as JSON lines, or as CSV.

use std::io::Write;

use qd_core::ValueRef;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::find::Job;
use crate::format::FieldValue;
use crate::row::{LineNumber, Pos, Row};
use crate::screen::Anchor;
use crate::view::View;
use crate::walk::{Place, Walk};

/// How to write lines out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// The bytes as they stand in the log, a newline after each line.
    Raw,
    /// An object a line: `time`, `level`, `source`, `line`, `body`, `fields`.
    JsonLines,
    /// `time,level,source,line,body` after a header, quoted as RFC 4180 says.
    Csv,
}

/// A field's value in JSON; lengths of time in seconds, times as RFC 3339.
pub fn field_json(value: &FieldValue<'_>) -> Value {
    match value.as_ref() {
        ValueRef::Null => Value::Null,
        ValueRef::Bool(value) => json!(value),
        ValueRef::Int(value) => json!(value),
        ValueRef::Uint(value) => json!(value),
        ValueRef::Float(value) => json!(value),
        ValueRef::Duration(value) => json!(value.as_secs_f64()),
        other => Value::String(other.text().into_owned()),
    }
}

/// The fields of a row as one object.
pub(crate) fn fields_json(parsed: &crate::Parsed<'_>) -> Map<String, Value> {
    parsed
        .fields
        .iter()
        .map(|field| (field.name.to_string(), field_json(&field.value)))
        .collect()
}

/// The message of a row.
pub(crate) fn body<'a>(parsed: &'a crate::Parsed<'_>, text: &'a str) -> &'a str {
    match &parsed.unescaped {
        Some(body) => body,
        None => text.get(parsed.body.clone()).unwrap_or(text),
    }
}

/// A row as one JSON object.
pub(crate) fn row_json(row: &Row, source: &str) -> Value {
    let text = row.text();
    let parsed = row.parse(&text);
    json!({
        "time": row.time.map(|at| at.to_string()),
        "level": row.level.map(|level| level.name()),
        "source": source,
        "line": number(row),
        "body": body(&parsed, &text),
        "fields": fields_json(&parsed),
    })
}

pub(crate) fn number(row: &Row) -> Option<u64> {
    match row.number {
        LineNumber::At(n) => Some(n),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

impl View {
    /// Writes these lines in this order, on a thread of its own; those that are gone are left out. The result is how many there
    /// were.
    pub fn export_lines(
        &self,
        lines: Vec<Pos>,
        mut writer: Box<dyn Write + Send>,
        format: ExportFormat,
    ) -> Result<Job<u64>> {
        let view = self.clone();
        self.job(move |shared, cancelled| {
            let (mut count, mut out) = (0, header(format).to_vec());
            for pos in lines {
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                let source = shared.source(pos.source)?.name.clone();
                let screen = view.rows(Anchor::At(pos), 0, 1)?;
                if let Some(row) = screen.rows.first().filter(|row| row.pos == pos) {
                    write_row(&mut out, row, &source, format);
                    count += 1;
                }
                writer.write_all(&out).map_err(wrong)?;
                out.clear();
            }
            writer.write_all(&out).and_then(|()| writer.flush()).map_err(wrong)?;
            Ok(count)
        })
    }

    /// Writes every line that passes, in the view's order, on a thread of its own. The result is how many there were.
    pub fn export(&self, mut writer: Box<dyn Write + Send>, format: ExportFormat) -> Result<Job<u64>> {
        self.job(move |shared, cancelled| {
            let mut walk = Walk::new(shared, u32::MAX);
            let places = walk.places(Place::Start)?;
            walk.face_forward(&places)?;
            let (mut count, mut numbers) = (0u64, None);
            writer.write_all(header(format)).map_err(wrong)?;
            let mut out = Vec::with_capacity(64 << 10);
            while let Some(n) = walk.best(true) {
                let source = walk.streams[n].source.name.clone();
                if let Some(row) = crate::screen::row(&walk.streams[n], &mut numbers) {
                    write_row(&mut out, &row, &source, format);
                    count += 1;
                }
                walk.advance(n, true)?;
                if out.len() > 60 << 10 {
                    writer.write_all(&out).map_err(wrong)?;
                    out.clear();
                    if cancelled() {
                        return Err(Error::Cancelled);
                    }
                }
            }
            writer.write_all(&out).and_then(|()| writer.flush()).map_err(wrong)?;
            Ok(count)
        })
    }
}

fn wrong(error: std::io::Error) -> Error {
    Error::Write {
        path: "the export".into(),
        error,
    }
}

/// What stands before the first line.
fn header(format: ExportFormat) -> &'static [u8] {
    match format {
        ExportFormat::Csv => b"time,level,source,line,body\n",
        ExportFormat::Raw | ExportFormat::JsonLines => b"",
    }
}

fn write_row(out: &mut Vec<u8>, row: &Row, source: &str, format: ExportFormat) {
    match format {
        ExportFormat::Raw => out.extend_from_slice(row.bytes()),
        ExportFormat::JsonLines => out.extend_from_slice(row_json(row, source).to_string().as_bytes()),
        ExportFormat::Csv => {
            let text = row.text();
            let parsed = row.parse(&text);
            let line = [
                row.time.map(|at| at.to_string()).unwrap_or_default(),
                row.level.map(|level| level.name().to_owned()).unwrap_or_default(),
                quoted(source),
                number(row).map(|n| n.to_string()).unwrap_or_default(),
                quoted(body(&parsed, &text)),
            ];
            out.extend_from_slice(line.join(",").as_bytes());
        }
    }
    out.push(b'\n');
}
