//! The `sqlite` sink (ours): events as rows of a table.
//!
//! ```toml
//! [sinks.db]
//! type = "sqlite"
//! inputs = ["parsed"]
//! path = "/var/lib/app/logs.db"   # made if it is missing; a constant path
//! table = "logs"                  # "logs" if nothing is said
//! columns = { at = "timestamp", level = "level", text = "message" }   # a column and the field it takes
//! synchronous = "normal"          # or "full"
//! ```
//!
//! Without `columns` the table has two: `time` (RFC 3339, from the event's timestamp) and `event` (JSON). The table and
//! columns that are missing are made; columns have no declared type, so numbers stay numbers: true and false are 1 and 0,
//! times are RFC 3339, lists and objects JSON, bytes that are no UTF-8 blobs, missing fields null.
//!
//! The database is in WAL mode. Rows are inserted in transactions of up to 10,000 events, and a batch is acknowledged
//! when its transaction is committed: the death of this process loses nothing acknowledged; with `full` the death of
//! the machine doesn't either. A full disk or a locked database makes the sink wait and try again.

use std::{path::PathBuf, time::Duration};

use futures::FutureExt;
use qd_core::Severity;
use qd_logs_codecs::EventRef;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, ComponentError, Context, Delivery, InputKinds, LogSchema, Sink,
    SinkConfig, SinkInput, Value, telemetry::Intent,
};
use rusqlite::{Connection, ErrorCode, params_from_iter, types::Value as Sql};
use serde::{Deserialize, Deserializer};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use vrl::path::{OwnedTargetPath, parse_target_path};

use super::report::Reporter;

/// Events of one transaction, at the most (and one batch more).
const TRANSACTION: usize = 10_000;
/// The first and the longest wait before a database that can't take rows is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Synchronous {
    #[default]
    Normal,
    Full,
}

/// The configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqliteConfig {
    path: PathBuf,
    #[serde(default = "logs")]
    table: String,
    #[serde(default, deserialize_with = "columns")]
    columns: Vec<(String, OwnedTargetPath)>,
    #[serde(default)]
    synchronous: Synchronous,
}

fn logs() -> String {
    "logs".to_owned()
}

/// A table of names and paths, in its order.
fn columns<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<(String, OwnedTargetPath)>, D::Error> {
    use qd_logs_config::{ConfigError, Node, carry};
    let node = Node::deserialize(d)?;
    let entries = node
        .entries()
        .ok_or_else(|| carry(ConfigError::new("expected a table of columns and fields").at(node.span)))?;
    let column = |(key, n): &(qd_logs_config::Key, Node)| {
        let path = n.as_str().and_then(|s| parse_target_path(s).ok());
        path.map(|p| (key.name.clone(), p))
            .ok_or_else(|| carry(ConfigError::new("expected the path of a field").at(n.span)))
    };
    entries.iter().map(column).collect()
}

impl SinkConfig for SqliteConfig {
    fn input(&self) -> InputKinds {
        InputKinds {
            logs: true,
            metrics: false,
            traces: true,
        }
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            for name in self.columns.iter().map(|c| &c.0).chain([&self.table]) {
                if name.is_empty() || name.contains('\0') {
                    return Err(BuildError::new("a table or column must have a name, without NUL"));
                }
            }
            let config = self.clone();
            let opened = tokio::task::spawn_blocking(move || config.open()).await;
            let connection = opened
                .map_err(|e| BuildError::new(e.to_string()))?
                .map_err(|e| BuildError::of("path", format!("`{}` can't be opened: {e}", self.path.display())))?;
            let sink = Sqlite {
                insert: self.insert(),
                columns: self.columns.clone(),
                connection,
                schema: cx.globals.log_schema.clone(),
                report: Reporter::new(&cx),
            };
            Ok(BuiltSink {
                sink: Box::new(sink),
                healthcheck: Box::pin(async { Ok(()) }),
            })
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl SqliteConfig {
    fn names(&self) -> Vec<String> {
        match self.columns.is_empty() {
            true => vec![quoted("time"), quoted("event")],
            false => self.columns.iter().map(|c| quoted(&c.0)).collect(),
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        if let Some(parent) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|e| {
                rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                    Some(format!("{}: {e}", parent.display())),
                )
            })?;
        }
        let db = Connection::open(&self.path)?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match self.synchronous {
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        let table = quoted(&self.table);
        let names = self.names();
        db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {table} ({})", names.join(", ")))?;
        let mut there = Vec::new();
        db.pragma(None, "table_info", &self.table, |row| {
            there.push(quoted(&row.get::<_, String>("name")?).to_lowercase());
            Ok(())
        })?;
        for name in names.iter().filter(|n| !there.contains(&n.to_lowercase())) {
            db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name}"))?;
        }
        Ok(db)
    }

    fn insert(&self) -> String {
        let names = self.names();
        let places = vec!["?"; names.len()].join(", ");
        format!(
            "INSERT INTO {} ({}) VALUES ({places})",
            quoted(&self.table),
            names.join(", ")
        )
    }
}

struct Sqlite {
    connection: Connection,
    insert: String,
    columns: Vec<(String, OwnedTargetPath)>,
    schema: LogSchema,
    report: Reporter,
}

impl Sink for Sqlite {
    fn run(mut self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let stop = CancellationToken::new();
            let guard = stop.clone().drop_guard();
            let handle = Handle::current();
            let work = move || {
                while let Some(first) = handle.block_on(async {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => None,
                        batch = input.recv() => batch,
                    }
                }) {
                    let mut events = first.len();
                    let mut batches = vec![first];
                    while events < TRANSACTION
                        && let Some(Some(more)) = input.recv().now_or_never()
                    {
                        events += more.len();
                        batches.push(more);
                    }
                    self.write(&batches, events, &handle, &stop);
                }
            };
            let ended = tokio::task::spawn_blocking(work).await;
            drop(guard);
            ended.map_err(|e| ComponentError::new(format!("the sqlite sink's thread ended badly: {e}")))
        })
    }
}

impl Sqlite {
    fn write(&mut self, batches: &[Batch], events: usize, handle: &Handle, stop: &CancellationToken) {
        let mut wait = RETRY.0;
        loop {
            let error = match self.transaction(batches) {
                Ok(bytes) => return self.report.sent(events, bytes),
                Err(e) => e,
            };
            let transient = matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                )
            );
            self.report.telemetry.error("database_failed", "sending");
            let goes_on = transient
                && handle.block_on(async {
                    tokio::select! {
                        () = stop.cancelled() => false,
                        () = tokio::time::sleep(wait) => true,
                    }
                });
            if goes_on {
                wait = (wait * 2).min(RETRY.1);
                self.report.complain("database_waits", Severity::Error, || {
                    format!("the database takes no rows: {error}; trying again, nothing is dropped")
                });
                continue;
            }
            for batch in batches {
                batch.finalizers().report(Delivery::Errored);
            }
            self.report.telemetry.discarded(events as u64, Intent::Unintended);
            self.report.complain("database_failed", Severity::Error, || {
                format!("the database takes no rows, {events} events are dropped: {error}")
            });
            return;
        }
    }

    fn transaction(&mut self, batches: &[Batch]) -> rusqlite::Result<usize> {
        let mut bytes = 0;
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare(&self.insert)?;
            for batch in batches {
                let Batch::Logs(logs) = batch else { continue };
                for i in 0..logs.len() {
                    let event = EventRef::Row(logs, i);
                    let row: Vec<Sql> = match self.columns.is_empty() {
                        true => {
                            let value = logs.value(i);
                            let time = self.schema.timestamp_key.as_ref().and_then(|p| value.get(p)).cloned();
                            vec![time.map_or(Sql::Null, sql), Sql::Text(value.to_string())]
                        }
                        false => self
                            .columns
                            .iter()
                            .map(|(_, path)| event.field(path).map_or(Sql::Null, sql))
                            .collect(),
                    };
                    bytes += row.iter().map(size).sum::<usize>();
                    insert.execute(params_from_iter(row))?;
                }
            }
        }
        transaction.commit()?;
        Ok(bytes)
    }
}

fn sql(value: Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Boolean(b) => Sql::Integer(b.into()),
        Value::Integer(i) => Sql::Integer(i),
        Value::Float(f) => Sql::Real(f.into_inner()),
        Value::Bytes(b) => match std::str::from_utf8(&b) {
            Ok(text) => Sql::Text(text.to_owned()),
            Err(_) => Sql::Blob(b.to_vec()),
        },
        other => Sql::Text(other.to_string_lossy().into_owned()),
    }
}

fn size(value: &Sql) -> usize {
    match value {
        Sql::Null => 0,
        Sql::Integer(_) | Sql::Real(_) => 8,
        Sql::Text(t) => t.len(),
        Sql::Blob(b) => b.len(),
    }
}
