//! Enrichment tables: what `get_enrichment_table_record` and `find_enrichment_table_records` search.
//!
//! The pipeline loads the tables of its configuration into [`Tables`] and builds its components [`within`] them; a
//! program keeps the tables it was compiled with. A `file` table is a CSV file in memory; a `memory` table holds pairs
//! that something writes while the pipeline runs.

pub(crate) mod functions;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use parking_lot::Mutex;
use qd_logs_model::Value;
use vrl::compiler::{TimeZone, conversion::Conversion};
use vrl::value::ObjectMap;

/// Rows of a CSV file at the most.
pub const MAX_ROWS: usize = 10_000_000;

thread_local! {
    static CURRENT: RefCell<Tables> = RefCell::default();
}

/// The tables of the pipeline whose components are being built on this thread.
pub(crate) fn current() -> Tables {
    CURRENT.with_borrow(Clone::clone)
}

/// Compiles what is compiled in `build` (on this thread) with these tables.
pub fn within<T>(tables: &Tables, build: impl FnOnce() -> T) -> T {
    struct Back(Tables);
    impl Drop for Back {
        fn drop(&mut self) {
            let before = std::mem::take(&mut self.0);
            CURRENT.with_borrow_mut(|c| *c = before);
        }
    }
    let _back = Back(CURRENT.with_borrow_mut(|c| std::mem::replace(c, tables.clone())));
    build()
}

/// Tables by name.
#[derive(Debug, Clone, Default)]
pub struct Tables(Arc<BTreeMap<String, Arc<Table>>>);

impl Tables {
    /// These tables.
    pub fn new(tables: impl IntoIterator<Item = (String, Table)>) -> Tables {
        Tables(Arc::new(tables.into_iter().map(|(n, t)| (n, Arc::new(t))).collect()))
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.0.get(name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A table that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file can't be read as CSV.
    #[error("can't read the enrichment table {path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: csv::Error,
    },
    /// A cell is not of the type its column has.
    #[error("in the enrichment table {path}, row {row}: can't read {value:?} of column {column} as {ty}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// The row, from 1, without the headers.
        row: usize,
        /// The column.
        column: String,
        /// The cell.
        value: String,
        /// The type in the configuration.
        ty: String,
    },
    /// Too many rows.
    #[error("the enrichment table {0} has more than {MAX_ROWS} rows")]
    TooLarge(PathBuf),
}

/// One table.
#[derive(Debug)]
pub enum Table {
    /// Rows.
    Rows(Rows),
    /// Pairs that come and go.
    Memory(Memory),
}

/// Rows of a file.
#[derive(Debug)]
pub struct Rows {
    headers: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// Reads a CSV file. `schema` gives the types of columns: VRL's conversions (`integer`, `float`, `boolean`,
    /// `timestamp`, `timestamp|%F`) and `date` or `date|FORMAT`; other columns are strings. Without headers, columns are
    /// named by their number from 0.
    ///
    /// # Errors
    /// A file that can't be read, a cell that is not of its column's type, more than [`MAX_ROWS`] rows.
    pub fn load(
        path: &Path,
        delimiter: u8,
        include_headers: bool,
        schema: &HashMap<String, String>,
        zone: TimeZone,
    ) -> Result<Rows, TableError> {
        let csv_error = |source| TableError::Csv {
            path: path.to_owned(),
            source,
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(include_headers)
            .delimiter(delimiter)
            .from_path(path)
            .map_err(csv_error)?;
        let mut headers: Vec<String> = if include_headers {
            reader.headers().map_err(csv_error)?.iter().map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            if rows.len() == MAX_ROWS {
                return Err(TableError::TooLarge(path.to_owned()));
            }
            if !include_headers && headers.is_empty() {
                headers = (0..record.len()).map(|i| i.to_string()).collect();
            }
            let row = record.iter().zip(&headers).map(|(cell, column)| {
                let Some(ty) = schema.get(column) else {
                    return Ok(Value::from(cell));
                };
                convert(cell, ty, zone).ok_or_else(|| TableError::Cell {
                    path: path.to_owned(),
                    row: rows.len() + 1,
                    column: column.clone(),
                    value: cell.to_owned(),
                    ty: ty.clone(),
                })
            });
            let row = row.collect::<Result<Vec<_>, _>>()?;
            rows.push(row);
        }
        Ok(Rows { headers, rows })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|h| h == name)
    }
}

fn convert(cell: &str, ty: &str, zone: TimeZone) -> Option<Value> {
    let (name, format) = match ty.split_once('|') {
        Some((n, f)) => (n.trim(), Some(f.trim())),
        None => (ty.trim(), None),
    };
    if name == "date" {
        let day = NaiveDate::parse_from_str(cell, format.unwrap_or("%Y-%m-%d")).ok()?;
        return Some(Value::Timestamp(day.and_hms_opt(0, 0, 0)?.and_utc()));
    }
    let conversion = Conversion::parse(ty, zone).ok()?;
    conversion
        .convert::<Value>(Bytes::copy_from_slice(cell.as_bytes()))
        .ok()
}

/// Pairs with an end of life.
#[derive(Debug)]
pub struct Memory {
    ttl: Duration,
    max_entries: usize,
    entries: Mutex<HashMap<String, (Value, Instant)>>,
}

impl Memory {
    /// A table whose pairs live for `ttl`, with room for so many.
    pub fn new(ttl: Duration, max_entries: usize) -> Memory {
        Memory {
            ttl,
            max_entries,
            entries: Mutex::default(),
        }
    }

    /// Writes the pairs of an object; false when there was no room for all.
    pub fn write(&self, pairs: ObjectMap) -> bool {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let mut room = true;
        for (k, v) in pairs {
            if entries.len() >= self.max_entries && !entries.contains_key(k.as_str()) {
                entries.retain(|_, (_, at)| now.duration_since(*at) < self.ttl);
                if entries.len() >= self.max_entries {
                    room = false;
                    continue;
                }
            }
            entries.insert(k.as_str().to_owned(), (v, now));
        }
        room
    }

    fn get(&self, key: &str) -> Option<ObjectMap> {
        let entries = self.entries.lock();
        let (value, at) = entries.get(key)?;
        let left = self.ttl.checked_sub(at.elapsed())?;
        Some(ObjectMap::from([
            ("key".into(), Value::from(key)),
            ("value".into(), value.clone()),
            (
                "ttl".into(),
                Value::Integer(i64::try_from(left.as_secs()).unwrap_or(i64::MAX)),
            ),
        ]))
    }
}

/// One thing a row must meet.
#[derive(Debug)]
pub(crate) enum Filter {
    Equals(Value),
    Dates(Option<DateTime<Utc>>, Option<DateTime<Utc>>),
}

impl Filter {
    pub(crate) fn of(value: Value) -> Result<Filter, String> {
        let date = |map: &ObjectMap, key: &str| match map.get(key) {
            None => Ok(None),
            Some(Value::Timestamp(t)) => Ok(Some(*t)),
            Some(_) => Err(format!("{key} in condition must be a timestamp")),
        };
        match value {
            Value::Object(map) if map.contains_key("from") || map.contains_key("to") => {
                Ok(Filter::Dates(date(&map, "from")?, date(&map, "to")?))
            }
            v => Ok(Filter::Equals(v)),
        }
    }
}

fn same(a: &Value, b: &Value, sensitive: bool) -> bool {
    if !sensitive && let (Some(x), Some(y)) = (a.to_str_lossy(), b.to_str_lossy()) {
        return x.to_lowercase() == y.to_lowercase();
    }
    a == b
}

fn index_key(v: &Value, sensitive: bool) -> String {
    match v.to_str_lossy() {
        Some(s) if sensitive => s.into_owned(),
        Some(s) => s.to_lowercase(),
        None => v.to_string(),
    }
}

/// Which rows have a value in one column.
#[derive(Debug)]
pub(crate) struct Index {
    column: usize,
    rows: HashMap<String, Vec<usize>>,
}

/// How a call searches.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    pub(crate) filters: Vec<(&'a str, Filter)>,
    pub(crate) sensitive: bool,
    pub(crate) select: Option<Vec<String>>,
    pub(crate) wildcard: Option<Value>,
}

impl Table {
    /// An index over the first of these columns, if it is a table of rows.
    ///
    /// # Errors
    /// Names that are no columns.
    pub(crate) fn index(&self, columns: &[&str], sensitive: bool) -> Result<Option<Index>, String> {
        let Table::Rows(t) = self else {
            return Ok(None);
        };
        let missing: Vec<&str> = columns.iter().copied().filter(|c| t.column(c).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("Field(s) '{}' missing from dataset", missing.join(", ")));
        }
        let Some(column) = columns.first().and_then(|c| t.column(c)) else {
            return Ok(None);
        };
        let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, row) in t.rows.iter().enumerate() {
            if let Some(v) = row.get(column) {
                rows.entry(index_key(v, sensitive)).or_default().push(i);
            }
        }
        Ok(Some(Index { column, rows }))
    }

    /// The records that meet all filters, at most `limit`.
    pub(crate) fn find(&self, q: &Query<'_>, index: Option<&Index>, limit: usize) -> Result<Vec<ObjectMap>, String> {
        match self {
            Table::Rows(t) => Ok(t.find(q, index, limit)),
            Table::Memory(m) => match q.filters.as_slice() {
                [("key", Filter::Equals(v))] => {
                    let key = v.to_str_lossy().ok_or("the key must be a string")?;
                    let found = m.get(&key).or_else(|| m.get(&q.wildcard.as_ref()?.to_str_lossy()?));
                    Ok(found.into_iter().collect())
                }
                [("key", Filter::Dates(..))] => Err("Only equality condition is allowed".to_owned()),
                [_] | [] => Err("Key condition must be specified".to_owned()),
                _ => Err("Only one condition is allowed".to_owned()),
            },
        }
    }
}

impl Rows {
    fn meets(&self, row: &[Value], q: &Query<'_>) -> bool {
        q.filters.iter().all(|(name, filter)| {
            let Some(cell) = self.column(name).and_then(|c| row.get(c)) else {
                return false;
            };
            match (filter, cell) {
                (Filter::Equals(v), cell) => {
                    same(cell, v, q.sensitive) || q.wildcard.as_ref().is_some_and(|w| same(cell, w, q.sensitive))
                }
                (Filter::Dates(from, to), Value::Timestamp(t)) => {
                    from.is_none_or(|f| f <= *t) && to.is_none_or(|e| *t <= e)
                }
                _ => false,
            }
        })
    }

    fn record(&self, row: &[Value], select: Option<&[String]>) -> ObjectMap {
        self.headers
            .iter()
            .zip(row)
            .filter(|(h, _)| select.is_none_or(|s| s.contains(h)))
            .map(|(h, v)| (h.as_str().into(), v.clone()))
            .collect()
    }

    fn find(&self, q: &Query<'_>, index: Option<&Index>, limit: usize) -> Vec<ObjectMap> {
        let select = q.select.as_deref();
        let indexed = index.and_then(|ix| {
            let column = self.headers.get(ix.column)?;
            let (_, filter) = q.filters.iter().find(|(n, _)| n == column)?;
            let Filter::Equals(v) = filter else {
                return None;
            };
            let mut ids = ix.rows.get(&index_key(v, q.sensitive)).cloned().unwrap_or_default();
            if let Some(w) = &q.wildcard {
                ids.extend(ix.rows.get(&index_key(w, q.sensitive)).into_iter().flatten());
                ids.sort_unstable();
                ids.dedup();
            }
            Some(ids)
        });
        match indexed {
            Some(ids) => ids
                .into_iter()
                .filter_map(|i| self.rows.get(i))
                .filter(|r| self.meets(r, q))
                .take(limit)
                .map(|r| self.record(r, select))
                .collect(),
            None => self
                .rows
                .iter()
                .filter(|r| self.meets(r, q))
                .take(limit)
                .map(|r| self.record(r, select))
                .collect(),
        }
    }
}
