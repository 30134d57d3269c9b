//! What the command line asks for: everything from files to findings, drawings and runs.

use std::{fmt::Write, sync::Arc};

use qd_logs_config::{ConfigError, ConfigPath, Files, LoadFailed, LoadOptions, Loaded, load};
use qd_logs_model::Catalog;

use crate::{Error, Options, Pipeline, Plan, TestResult, run_tests};

/// Every component that is compiled in.
pub fn full_catalog() -> Catalog {
    let mut all = Catalog::default();
    #[cfg(feature = "components")]
    {
        all.extend(qd_logs_local::catalog());
        all.extend(qd_logs_net::catalog());
    }
    all.extend(qd_logs_vrl::catalog());
    all
}

/// What was found about files.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong, each with its place and the line, for a terminal or a file.
    pub errors: Vec<String>,
    /// What is odd.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    fn of(files: &Files, errors: &[ConfigError]) -> Report {
        Report {
            errors: errors.iter().map(|e| files.render(e)).collect(),
            warnings: Vec::new(),
        }
    }
}

/// Reads files and makes a plan of them.
///
/// # Errors
/// All that is wrong with them.
pub fn plan(paths: &[ConfigPath], options: &LoadOptions, catalog: &Catalog) -> Result<(Plan, Loaded), Report> {
    let loaded = load(paths, options).map_err(|e| Report::of(&e.files, &refusals(&e, catalog)))?;
    let plan = Plan::new(&loaded.config, catalog).map_err(|e| Report::of(&loaded.files, &e))?;
    Ok((plan, loaded))
}

/// Why a plan does not run, with the place in its files where there is one.
pub fn explain(error: &Error, plan: &Plan, files: &Files) -> String {
    match error {
        Error::Build { component, error } => files.render(&plan.place(component, error)),
        Error::Config(list) => {
            let all: Vec<String> = list.iter().map(|e| files.render(e)).collect();
            all.join("\n")
        }
        other => files.redact(&other.to_string()),
    }
}

/// Everything that is wrong with files that were refused: besides what kept them from being read, the types in them that
/// are not here.
pub fn refusals(failed: &LoadFailed, catalog: &Catalog) -> Vec<ConfigError> {
    let mut all = failed.errors.clone();
    all.extend(crate::plan::strangers(&failed.config, catalog));
    all
}

/// Whether a pipeline could be made of files, without touching anything but them.
pub fn validate(paths: &[ConfigPath], options: &LoadOptions, catalog: &Catalog) -> Report {
    match plan(paths, options, catalog) {
        Ok((plan, loaded)) => Report {
            errors: Vec::new(),
            warnings: loaded
                .warnings
                .iter()
                .chain(&plan.warnings)
                .map(|w| loaded.files.render(w))
                .collect(),
        },
        Err(report) => report,
    }
}

/// Reads files and starts what they say.
///
/// # Errors
/// The sentences of what is wrong with the files, or of what kept a component from starting.
pub async fn run(
    paths: &[ConfigPath],
    options: &LoadOptions,
    catalog: &Catalog,
    pipeline: Options,
) -> Result<Pipeline, Report> {
    let (plan, _) = plan(paths, options, catalog)?;
    let failed = |e: Error| Report {
        errors: vec![e.to_string()],
        warnings: Vec::new(),
    };
    Pipeline::start(plan, pipeline).await.map_err(failed)
}

/// Runs the unit tests in files.
///
/// # Errors
/// What is wrong with the files themselves.
pub fn test(paths: &[ConfigPath], options: &LoadOptions, catalog: &Catalog) -> Result<Vec<TestResult>, Report> {
    let options = LoadOptions {
        allow_empty: true,
        ..options.clone()
    };
    let loaded = load(paths, &options).map_err(|e| Report::of(&e.files, &e.errors))?;
    run_tests(&loaded.config, catalog).map_err(|e| Report::of(&loaded.files, &e))
}

/// The language of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

/// Draws a plan.
pub fn graph(plan: &Plan, drawing: Drawing) -> String {
    let nodes: Vec<(&Arc<str>, &str, &str)> = plan
        .sources
        .iter()
        .map(|(id, s)| (id, s.common.kind.as_str(), "source"))
        .chain(
            plan.transforms
                .iter()
                .map(|(id, t)| (id, t.common.kind.as_str(), "transform")),
        )
        .chain(plan.sinks.iter().map(|(id, s)| (id, s.common.kind.as_str(), "sink")))
        .collect();
    let edges: Vec<_> = plan
        .transforms
        .iter()
        .map(|(id, t)| (id, &t.inputs))
        .chain(plan.sinks.iter().map(|(id, s)| (id, &s.inputs)))
        .flat_map(|(id, inputs)| inputs.iter().map(move |i| (i, id)))
        .collect();
    let quote = |s: &str| s.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _always_ok = match drawing {
        Drawing::Dot => (|| {
            writeln!(out, "digraph {{")?;
            for (id, _, role) in &nodes {
                let shape = match *role {
                    "source" => "trapezium",
                    "transform" => "diamond",
                    _ => "invtrapezium",
                };
                writeln!(out, "  \"{}\" [shape=\"{shape}\"]", quote(id))?;
            }
            for (from, to) in &edges {
                write!(out, "  \"{}\" -> \"{}\"", quote(&from.component), quote(to))?;
                match &from.port {
                    Some(port) => writeln!(out, " [label=\"{}\"]", quote(port))?,
                    None => writeln!(out)?,
                }
            }
            writeln!(out, "}}")
        })(),
        Drawing::Mermaid => (|| {
            writeln!(out, "flowchart TD;")?;
            let at = |id: &Arc<str>| nodes.iter().position(|(n, ..)| *n == id).unwrap_or(0);
            let text = |s: &str| s.replace('"', "#quot;");
            for (i, (id, kind, role)) in nodes.iter().enumerate() {
                let (open, close) = match *role {
                    "source" => ("[/", "\\]"),
                    "transform" => ("{", "}"),
                    _ => ("[\\", "/]"),
                };
                writeln!(out, "  n{i}{open}\"{} ({})\"{close}", text(id), text(kind))?;
            }
            for (from, to) in &edges {
                let label = from
                    .port
                    .as_ref()
                    .map_or(String::new(), |p| format!("|\"{}\"|", text(p)));
                writeln!(out, "  n{} -->{label} n{}", at(&from.component), at(to))?;
            }
            Ok::<(), std::fmt::Error>(())
        })(),
    };
    out
}
