//! Asking a view without a screen: counts by fields and time, rows, and SQL.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use qd_core::{Timestamp, Value};
use rusqlite::types::ValueRef as SqlRef;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Map, json};

use crate::error::{Error, Result};
use crate::export::{body, fields_json, number};
use crate::format::FieldValue;
use crate::row::Row;
use crate::view::View;

/// How many different groups are counted; the rest is counted together.
pub const MAX_GROUPS: usize = 100_000;

/// A table of results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// What was left out, in a sentence, if anything was.
    pub note: Option<String>,
}

impl Table {
    /// Each row as a JSON object.
    pub fn json(&self) -> Vec<serde_json::Value> {
        let cell = |value: &Value| match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => json!(value),
            Value::Int(value) => json!(value),
            Value::Uint(value) => json!(value),
            Value::Float(value) => json!(value),
            other => json!(other.to_string()),
        };
        let row = |row: &Vec<Value>| {
            let members = self
                .columns
                .iter()
                .zip(row)
                .map(|(name, value)| (name.clone(), cell(value)));
            serde_json::Value::Object(members.collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }
}

/// What tells one group from another: the time and the shown values.
type Group = (Option<i64>, Vec<String>);

/// What to count by.
#[derive(Debug, Clone, Default)]
pub struct Aggregate {
    /// Fields; `level`, `source` and `format` are such too.
    pub by: Vec<String>,
    /// And by time, in stretches of this length.
    pub bucket: Option<Duration>,
    /// At most so many groups, the largest first (by time: the first ones); 0 is all.
    pub limit: usize,
}

/// The bounds of an SQL query.
#[derive(Debug, Clone, Copy)]
pub struct SqlLimits {
    /// How many entries are loaded.
    pub rows: u64,
    /// How many rows of results are given.
    pub results: usize,
    /// How long loading and running may take together.
    pub time: Duration,
}

impl Default for SqlLimits {
    /// Two million entries, a hundred thousand results, a minute.
    fn default() -> Self {
        SqlLimits {
            rows: 2_000_000,
            results: 100_000,
            time: Duration::from_secs(60),
        }
    }
}

fn lookup(row: &Row, source: &str, parsed: &crate::Parsed<'_>, name: &str) -> Value {
    match name {
        "level" => row.level.map_or(Value::Null, |level| level.name().into()),
        _ => match parsed.get(name) {
            Some(value) => value.as_ref().to_value(),
            None if name == "source" => source.into(),
            None if name == "format" => row.format().unwrap_or("plain").into(),
            None => Value::Null,
        },
    }
}

impl View {
    fn source_names(&self) -> HashMap<u32, String> {
        self.shared().sources().iter().map(|s| (s.id, s.name.clone())).collect()
    }

    /// Counts the entries that pass, by fields and time. It reads everything that passes and is not for screens.
    pub fn aggregate(&self, what: &Aggregate, cancelled: &dyn Fn() -> bool) -> Result<Table> {
        let names = self.source_names();
        let width = what.bucket.map(|b| (b.as_nanos() as i64).max(1));
        let mut groups: HashMap<Group, (Vec<Value>, u64)> = HashMap::new();
        let mut other = 0;
        self.each(cancelled, &mut |row| {
            if row.continues {
                return Ok(true);
            }
            let at = width.and_then(|width| row.time.map(|t| t.0.div_euclid(width).saturating_mul(width)));
            let source = names.get(&row.pos.source).map_or("", String::as_str);
            let values: Vec<Value> = if what.by.is_empty() {
                Vec::new()
            } else {
                let text = row.text();
                let parsed = row.parse(&text);
                what.by.iter().map(|name| lookup(row, source, &parsed, name)).collect()
            };
            let key = (at, values.iter().map(ToString::to_string).collect());
            if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
                other += 1;
            } else {
                groups.entry(key).or_insert((values, 0)).1 += 1;
            }
            Ok(true)
        })?;
        let mut found: Vec<_> = groups.into_iter().collect();
        found.sort_by(|((at, x), (_, n)), ((to, y), (_, m))| at.cmp(to).then(m.cmp(n)).then(x.cmp(y)));
        let mut columns: Vec<String> = what.bucket.iter().map(|_| "time".to_owned()).collect();
        columns.extend(what.by.iter().cloned());
        columns.push("count".to_owned());
        if what.limit > 0 {
            found.truncate(what.limit);
        }
        let rows = found.into_iter().map(|((at, _), (values, count))| {
            let time = what.bucket.map(|_| at.map_or(Value::Null, |at| Timestamp(at).into()));
            time.into_iter().chain(values).chain([Value::Uint(count)]).collect()
        });
        Ok(Table {
            columns,
            rows: rows.collect(),
            note: (other > 0).then(|| format!("{other} entries in further groups are not listed")),
        })
    }

    /// Runs one reading SQL statement over the entries that pass. The table `log` has `line`, `time` (RFC 3339), `level`,
    /// `source`, `body`, `fields` (JSON) and a column for each field that a sample of the entries has; the columns that the
    /// statement does not name are not loaded. The entries are copied into a temporary database on disk, up to the limits.
    pub fn sql(&self, statement: &str, limits: SqlLimits, cancelled: &dyn Fn() -> bool) -> Result<Table> {
        let wrong = |error: rusqlite::Error| Error::Sql(error.to_string());
        let first = statement
            .trim_start()
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or("");
        if !["select", "with", "values", "explain"].contains(&first.to_ascii_lowercase().as_str()) {
            return Err(Error::Sql(
                "only statements that read are run: select, with, values, explain".to_owned(),
            ));
        }
        let until = Instant::now() + limits.time;
        // The empty name is a private database in a temporary file, which SQLite deletes.
        let mut database = Connection::open("").map_err(wrong)?;
        database
            .execute_batch("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16384")
            .map_err(wrong)?;
        let fields = self.sql_fields(statement)?;
        let list: String = fields
            .iter()
            .map(|name| format!(", \"{}\"", name.replace('"', "\"\"")))
            .collect();
        let table = format!(
            "create table log (line integer, time text, level text, source text, body text, fields text{list})"
        );
        database.execute_batch(&table).map_err(wrong)?;
        let loaded = self.sql_load(&mut database, statement, &fields, limits.rows, &|| {
            cancelled() || Instant::now() > until
        });
        let more = match loaded {
            Ok(more) => more,
            Err(Error::Cancelled) if !cancelled() => {
                return Err(Error::Sql(format!("loading took longer than {:?}", limits.time)));
            }
            Err(error) => return Err(error),
        };
        database.execute_batch("pragma query_only = on").map_err(wrong)?;
        let handle = database.get_interrupt_handle();
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let left = until.saturating_duration_since(Instant::now());
        let guard = std::thread::Builder::new()
            .name("logs-sql-limit".to_owned())
            .spawn(move || {
                if ended.recv_timeout(left) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    handle.interrupt();
                }
            });
        let result = run(&database, statement, limits.results);
        drop(done);
        if let Ok(guard) = guard {
            let _ = guard.join();
        }
        let mut table = result.map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => {
                Error::Sql(format!("it took longer than {:?}", limits.time))
            }
            _ => wrong(error),
        })?;
        if more {
            table.note = Some(format!("only the first {} entries were loaded", limits.rows));
        }
        Ok(table)
    }

    /// The fields that a sample has and the statement may mean.
    fn sql_fields(&self, statement: &str) -> Result<Vec<String>> {
        let fixed = ["line", "time", "level", "source", "body", "fields"];
        let mut rows = self.gather(crate::walk::Place::Start, 0, 200, u32::MAX)?.rows;
        rows.extend(self.gather(crate::walk::Place::End, 200, 0, u32::MAX)?.rows);
        let lower = statement.to_lowercase();
        let all = lower.contains('*') && !lower.contains("count(*)");
        let mut seen: Vec<String> = Vec::new();
        for column in crate::pretty::columns(&rows) {
            let name = column.name.to_lowercase();
            let meant = all || lower.contains(&name);
            // SQLite takes names in either case for the same.
            if meant
                && !fixed.contains(&name.as_str())
                && !seen.iter().any(|s| s.to_lowercase() == name)
                && seen.len() < 500
            {
                seen.push(column.name);
            }
        }
        Ok(seen)
    }

    fn sql_load(
        &self,
        database: &mut Connection,
        statement: &str,
        fields: &[String],
        limit: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let wrong = |error: rusqlite::Error| Error::Sql(error.to_string());
        let names = self.source_names();
        let lower = statement.to_lowercase();
        let all = lower.contains('*') && !lower.contains("count(*)");
        let wants = |name: &str| all || lower.contains(name);
        let (with_body, with_fields) = (wants("body"), wants("fields"));
        let transaction = database.transaction().map_err(wrong)?;
        let mut more = false;
        {
            let marks = vec!["?"; fields.len() + 6].join(",");
            let mut insert = transaction
                .prepare(&format!("insert into log values ({marks})"))
                .map_err(wrong)?;
            let mut count = 0;
            self.each(cancelled, &mut |row| {
                if row.continues {
                    return Ok(true);
                }
                if count == limit {
                    more = true;
                    return Ok(false);
                }
                count += 1;
                let text = row.text();
                let parsed = if with_body || with_fields || !fields.is_empty() {
                    row.parse(&text)
                } else {
                    Default::default()
                };
                let text_of = |text: String| rusqlite::types::Value::Text(text);
                let null = rusqlite::types::Value::Null;
                let mut values = Vec::with_capacity(fields.len() + 6);
                values.push(number(row).map_or(null.clone(), |n| rusqlite::types::Value::Integer(n as i64)));
                values.push(row.time.map_or(null.clone(), |at| text_of(at.to_string())));
                values.push(row.level.map_or(null.clone(), |level| text_of(level.name().to_owned())));
                values.push(text_of(names.get(&row.pos.source).cloned().unwrap_or_default()));
                values.push(if with_body {
                    text_of(body(&parsed, &text).to_owned())
                } else {
                    null.clone()
                });
                values.push(if with_fields {
                    text_of(serde_json::Value::Object(fields_json(&parsed)).to_string())
                } else {
                    null.clone()
                });
                values.extend(fields.iter().map(|name| parsed.get(name).map_or(null.clone(), to_sql)));
                insert.execute(params_from_iter(values)).map_err(wrong)?;
                Ok(true)
            })?;
        }
        transaction.commit().map_err(wrong)?;
        Ok(more)
    }
}

fn to_sql(value: &FieldValue<'_>) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        FieldValue::Null => Sql::Null,
        FieldValue::Bool(value) => Sql::Integer(i64::from(*value)),
        FieldValue::Int(value) => Sql::Integer(*value),
        FieldValue::Float(value) => Sql::Real(*value),
        FieldValue::Uint(value) => i64::try_from(*value).map_or(Sql::Real(*value as f64), Sql::Integer),
        FieldValue::Duration(value) => Sql::Real(value.as_secs_f64()),
        FieldValue::Str(value) => Sql::Text(value.to_string()),
        FieldValue::Other(qd_core::Value::Int(value)) => Sql::Integer(*value),
        FieldValue::Other(qd_core::Value::Uint(value)) => {
            i64::try_from(*value).map_or(Sql::Real(*value as f64), Sql::Integer)
        }
        FieldValue::Other(qd_core::Value::Float(value)) => Sql::Real(*value),
        FieldValue::Other(qd_core::Value::Null) => Sql::Null,
        FieldValue::Other(value) => Sql::Text(value.to_string()),
    }
}

fn run(database: &Connection, statement: &str, most: usize) -> rusqlite::Result<Table> {
    let mut prepared = database.prepare(statement)?;
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut table = Table {
        columns,
        ..Table::default()
    };
    let count = table.columns.len();
    let mut rows = prepared.query([])?;
    while let Some(row) = rows.next()? {
        if table.rows.len() == most {
            table.note = Some(format!("only the first {most} rows are given"));
            break;
        }
        let cell = |n| -> rusqlite::Result<Value> {
            Ok(match row.get_ref(n)? {
                SqlRef::Null => Value::Null,
                SqlRef::Integer(value) => Value::Int(value),
                SqlRef::Real(value) => Value::Float(value),
                SqlRef::Text(text) => String::from_utf8_lossy(text).as_ref().into(),
                SqlRef::Blob(bytes) => bytes.into(),
            })
        };
        table.rows.push((0..count).map(cell).collect::<rusqlite::Result<_>>()?);
    }
    Ok(table)
}
