//! `qd logs query`: the view engine without a screen.

use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use qd_core::{Now, Severity, Timestamp, parse_duration};
use qd_logs_view::{Aggregate, ExportFormat, FilterKind, Options, SqlLimits, Table, View, plain};

use super::args::{OutputFormat, QueryArgs};
use crate::Failure;

fn now() -> Now {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now::local(Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)))
}

/// `qd logs query`.
pub(crate) fn run(a: &QueryArgs) -> Result<(), Failure> {
    let fail = |e: qd_logs_view::Error| Failure::failed(e);
    let files: Vec<&String> = a.paths.iter().filter(|p| *p != "-").collect();
    let view = if files.is_empty() {
        View::new(Options::default())
    } else {
        View::open(files, Options::default())
    }
    .map_err(fail)?;
    if a.paths.iter().any(|p| p == "-") {
        view.add_reader("-", Box::new(std::io::stdin())).map_err(fail)?;
    }
    for (kind, texts) in [(FilterKind::In, &a.filter), (FilterKind::Out, &a.filter_out)] {
        for text in texts {
            let found = qd_logs_condition::predicate(text, &now()).map_err(Failure::usage)?;
            view.add_filter(kind, text, found, true).map_err(Failure::usage)?;
        }
    }
    if let Some(l) = &a.level {
        view.set_level(Some(l.parse::<Severity>().map_err(Failure::usage)?));
    }
    settle(&view);
    let never = || false;
    if let Some(statement) = &a.sql {
        return print(&view.sql(statement, SqlLimits::default(), &never).map_err(fail)?, a);
    }
    if a.count || !a.by.is_empty() || a.bucket.is_some() {
        let bucket = match &a.bucket {
            Some(b) => Some(parse_duration(b).map_err(Failure::usage)?),
            None => None,
        };
        let what = Aggregate {
            by: a.by.clone(),
            bucket,
            limit: a.limit,
        };
        return print(&view.aggregate(&what, &never).map_err(fail)?, a);
    }
    let format = match a.output {
        OutputFormat::Text => ExportFormat::Raw,
        OutputFormat::Json => ExportFormat::JsonLines,
        OutputFormat::Csv => ExportFormat::Csv,
    };
    let out = Lines {
        out: std::io::stdout(),
        // The header of CSV is no line of the log.
        left: (a.limit > 0).then(|| a.limit + usize::from(a.output == OutputFormat::Csv)),
    };
    match view.export(Box::new(out), format).map_err(fail)?.wait() {
        Ok(_) => Ok(()),
        Err(e) if ended(&e) => Ok(()),
        Err(e) => Err(fail(e)),
    }
}

/// Waits until everything that is there is indexed, and standard input has ended.
fn settle(view: &View) {
    let (tx, rx) = std::sync::mpsc::channel();
    let tx = std::sync::Mutex::new(tx);
    let _guard = view.published().on_change(std::sync::Arc::new(move || {
        if let Ok(tx) = tx.lock() {
            let _gone = tx.send(());
        }
    }));
    while !view.snapshot().indexed {
        // The timeout is only for a change between the look and the wait.
        let _either = rx.recv_timeout(Duration::from_millis(100));
    }
}

/// Whether a write ended because nobody reads on, or enough was written.
fn ended(e: &qd_logs_view::Error) -> bool {
    matches!(e, qd_logs_view::Error::Write { error, .. } if error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Standard output, up to a number of lines.
struct Lines {
    out: std::io::Stdout,
    left: Option<usize>,
}

impl Write for Lines {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let Some(left) = &mut self.left else {
            return self.out.write(buf);
        };
        if *left == 0 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let mut upto = buf.len();
        for (i, _) in buf.iter().enumerate().filter(|(_, b)| **b == b'\n') {
            *left -= 1;
            if *left == 0 {
                upto = i + 1;
                break;
            }
        }
        self.out.write_all(buf.get(..upto).unwrap_or_default())?;
        Ok(upto)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn print(table: &Table, a: &QueryArgs) -> Result<(), Failure> {
    let mut out = String::new();
    let limit = if a.limit == 0 { usize::MAX } else { a.limit };
    match a.output {
        OutputFormat::Json => {
            for row in table.json().iter().take(limit) {
                out.push_str(&row.to_string());
                out.push('\n');
            }
        }
        OutputFormat::Csv => {
            let quote = |s: &str| {
                if s.contains([',', '"', '\n', '\r']) {
                    format!("\"{}\"", s.replace('"', "\"\""))
                } else {
                    s.to_owned()
                }
            };
            let mut line = |cells: Vec<String>| {
                out.push_str(&cells.join(","));
                out.push_str("\r\n");
            };
            line(table.columns.iter().map(|c| quote(c)).collect());
            for row in table.rows.iter().take(limit) {
                line(row.iter().map(|v| quote(&v.to_string())).collect());
            }
        }
        OutputFormat::Text => {
            let rows: Vec<Vec<String>> = table
                .rows
                .iter()
                .take(limit)
                .map(|r| r.iter().map(|v| plain(&v.to_string())).collect())
                .collect();
            let widths: Vec<usize> = table
                .columns
                .iter()
                .enumerate()
                .map(|(i, c)| {
                    let cells = rows.iter().filter_map(|r| r.get(i)).map(|s| qd_ui::width(s));
                    cells.max().unwrap_or(0).max(qd_ui::width(c)).min(80)
                })
                .collect();
            for cells in std::iter::once(&table.columns).chain(&rows) {
                let padded: Vec<String> = cells
                    .iter()
                    .zip(&widths)
                    .map(|(c, w)| format!("{c}{}", " ".repeat(w.saturating_sub(qd_ui::width(c)))))
                    .collect();
                out.push_str(padded.join("  ").trim_end());
                out.push('\n');
            }
        }
    }
    crate::print(&out);
    if let Some(note) = &table.note {
        crate::complain(note);
    }
    Ok(())
}
