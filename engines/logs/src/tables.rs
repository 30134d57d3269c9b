//! The enrichment tables of a configuration: read with it, loaded before the components that search them are made.

use std::{collections::HashMap, path::PathBuf, time::SystemTime};

use indexmap::IndexMap;
use qd_logs_config::{Config, ConfigError, Node, decode};
use qd_logs_model::{BoxFuture, Globals};
use qd_logs_vrl::{
    enrichment::{Rows, Table, Tables, within},
    program::timezone,
};
use serde::Deserialize;

use crate::{Error, plan::same, unsupported};

/// A table that can be loaded: a file of comma-separated values.
#[derive(Debug, Clone)]
pub struct TablePlan {
    node: Node,
    path: PathBuf,
    delimiter: u8,
    include_headers: bool,
    schema: HashMap<String, String>,
}

impl PartialEq for TablePlan {
    fn eq(&self, other: &TablePlan) -> bool {
        same(&self.node, &other.node)
    }
}

/// The options of a table of type `file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTable {
    file: FileSettings,
    #[serde(default)]
    schema: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSettings {
    path: PathBuf,
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoding {
    #[serde(rename = "type", default)]
    _kind: EncodingKind,
    #[serde(default = "yes")]
    include_headers: bool,
    #[serde(default = "comma")]
    delimiter: char,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum EncodingKind {
    #[default]
    Csv,
}

impl Default for Encoding {
    fn default() -> Self {
        Encoding {
            _kind: EncodingKind::Csv,
            include_headers: yes(),
            delimiter: comma(),
        }
    }
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

/// Reads the tables of a configuration; nothing of the machine is touched.
pub(crate) fn read(config: &Config, errors: &mut Vec<ConfigError>) -> IndexMap<String, TablePlan> {
    let mut all = IndexMap::new();
    for spec in config.enrichment_tables.values() {
        let id = spec.id.as_str();
        if spec.kind != "file" {
            let known = unsupported::names(spec.role).any(|n| n == spec.kind);
            let message = if known {
                format!(
                    "unsupported type `{}`: Vector has such an enrichment table, this pipeline does not",
                    spec.kind
                )
            } else {
                format!("unknown type `{}` of the enrichment table `{id}`", spec.kind)
            };
            let mut error = ConfigError::new(message);
            error.path = vec![spec.role.section().to_owned(), id.to_owned(), "type".to_owned()];
            errors.push(error.at(spec.kind_span.or(spec.span)));
            continue;
        }
        let found = decode::<FileTable>(&spec.node).and_then(|t| {
            let delimiter = t.file.encoding.delimiter;
            let ascii = u8::try_from(delimiter).ok().filter(u8::is_ascii);
            let delimiter = ascii.ok_or_else(|| {
                let mut e = ConfigError::new("the delimiter must be one ASCII character");
                e.path = ["file", "encoding", "delimiter"].map(str::to_owned).into();
                e
            })?;
            Ok(TablePlan {
                node: spec.node.clone(),
                path: t.file.path,
                delimiter,
                include_headers: t.file.encoding.include_headers,
                schema: t.schema,
            })
        });
        match found {
            Ok(table) => {
                all.insert(id.to_owned(), table);
            }
            Err(e) => errors.push(e.within(id).within(spec.role.section()).at(spec.span)),
        }
    }
    all
}

/// Tables in memory, with what their files looked like.
#[derive(Debug, Clone, Default)]
pub struct LoadedTables {
    tables: Tables,
    stamps: Vec<(String, Option<SystemTime>, u64)>,
}

impl LoadedTables {
    /// Reads the files. Blocks.
    pub(crate) fn load(plans: &IndexMap<String, TablePlan>, globals: &Globals) -> Result<LoadedTables, Error> {
        let failed = |table: &str, reason: String| Error::Table {
            table: table.to_owned(),
            reason,
        };
        let (mut tables, mut stamps) = (Vec::new(), Vec::new());
        for (name, plan) in plans {
            // Before the file is read: a change while it is read must show as one.
            let meta = std::fs::metadata(&plan.path).ok();
            let modified = meta.as_ref().and_then(|m| m.modified().ok());
            stamps.push((name.clone(), modified, meta.map_or(0, |m| m.len())));
            let zone = timezone(globals.timezone.as_deref()).map_err(|e| failed(name, e))?;
            let rows = Rows::load(&plan.path, plan.delimiter, plan.include_headers, &plan.schema, zone)
                .map_err(|e| failed(name, e.to_string()))?;
            tables.push((name.clone(), Table::Rows(rows)));
        }
        Ok(LoadedTables {
            tables: Tables::new(tables),
            stamps,
        })
    }

    /// Whether the files look as those of `other` did.
    pub(crate) fn looks_like(&self, other: &LoadedTables) -> bool {
        self.stamps == other.stamps
    }

    /// Makes something with these tables at hand for the programs in it.
    pub fn within<T>(&self, build: impl FnOnce() -> T) -> T {
        within(&self.tables, build)
    }

    /// As [`LoadedTables::within`], for what is made by a future.
    pub async fn within_future<T>(&self, mut build: BoxFuture<'_, T>) -> T {
        std::future::poll_fn(|cx| within(&self.tables, || build.as_mut().poll(cx))).await
    }
}
