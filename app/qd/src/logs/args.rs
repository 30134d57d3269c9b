//! The grammar of `qd logs`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with logs.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LogsCommand {
    /// Run a pipeline from Vector's configuration files.
    Run(RunArgs),
    /// Check configuration files without running them.
    Validate(ValidateArgs),
    /// Run the unit tests in configuration files.
    Test(ConfigArgs),
    /// Try VRL: a line of it at a time, or a program on events.
    Vrl(VrlArgs),
    /// See events as they pass through a running pipeline.
    Tap(TapArgs),
    /// See the components of a running pipeline, and what they do.
    Top(TopArgs),
    /// Print the topology of a pipeline.
    Graph(GraphArgs),
    /// Open log files in a pane of the session; `-` reads standard input.
    View(ViewArgs),
    /// Filter, count and query log files without a screen.
    Query(QueryArgs),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration files or patterns of files; the format is told by the extension.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) config: Vec<PathBuf>,
    /// The same.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A TOML file whatever its name.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) config_toml: Vec<PathBuf>,
    /// A YAML file whatever its name.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) config_yaml: Vec<PathBuf>,
    /// A JSON file whatever its name.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) config_json: Vec<PathBuf>,
    /// A directory of configuration files, one component a file in its sub-directories.
    #[arg(short = 'C', long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) config_dir: Vec<PathBuf>,
    /// Put environment variables into the configuration: whoever sets one can change the pipeline.
    #[arg(long)]
    pub(crate) dangerously_allow_env_var_interpolation: bool,
}

/// `qd logs run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Load the configuration again when a file of it changes.
    #[arg(short, long)]
    pub(crate) watch_config: bool,
    /// Refuse to start when a health check fails.
    #[arg(long)]
    pub(crate) require_healthy: bool,
    /// Seconds that the sinks get to finish after a signal.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) graceful_shutdown_limit_secs: u64,
    /// The name by which `tap` and `top` find it; the process id when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Say less; twice says only errors.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
    /// Say more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// `qd logs tap`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TapArgs {
    /// Components or outputs (`id`, `id.port`) whose events are shown; `*` and `?` are wildcards.
    pub(crate) patterns: Vec<String>,
    /// The same.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) outputs_of: Vec<String>,
    /// Components whose input is shown.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) inputs_of: Vec<String>,
    /// Which pipeline; the only one that runs when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Events in an interval, at the most.
    #[arg(short, long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// The interval in milliseconds.
    #[arg(short, long, value_name = "MS", default_value_t = 500)]
    pub(crate) interval: u64,
    /// Show where each event came from, too.
    #[arg(short, long)]
    pub(crate) meta: bool,
    /// Do not say how many events are not shown.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `qd logs top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// Which pipeline; the only one that runs when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How often, in milliseconds.
    #[arg(short, long, value_name = "MS", default_value_t = 1000)]
    pub(crate) interval: u64,
    /// One JSON object a snapshot.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only once.
    #[arg(long)]
    pub(crate) once: bool,
}

/// `qd logs validate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Fail on warnings too.
    #[arg(short, long)]
    pub(crate) deny_warnings: bool,
    /// Do not build the components: compile no program, look for no file, bind nothing.
    #[arg(long)]
    pub(crate) no_environment: bool,
}

/// In which language a graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

/// `qd logs graph`.
#[derive(Debug, Clone, Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The language.
    #[arg(short, long, value_enum, default_value_t = GraphFormat::Dot)]
    pub(crate) format: GraphFormat,
}

/// `qd logs vrl`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VrlArgs {
    /// The program; without one, lines are read.
    pub(crate) program: Option<String>,
    /// The program from a file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "program")]
    pub(crate) file: Option<PathBuf>,
    /// Events, one JSON object a line.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print the event afterwards instead of the program's result.
    #[arg(short = 'o', long)]
    pub(crate) print_object: bool,
    /// The zone of times without one.
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,
}

/// `qd logs view`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ViewArgs {
    /// Files, directories, `-`, `docker://name`, `journal://unit` (all of it without one), `ssh://host/path`; the machine's
    /// logs when not given.
    pub(crate) paths: Vec<String>,
    /// Show only what this filter matches.
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Look at it as this saved view does.
    #[arg(long, value_name = "NAME")]
    pub(crate) view: Option<String>,
    /// Where the new pane goes.
    #[arg(short, long, value_name = "left|right|up|down")]
    pub(crate) direction: Option<String>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// The lines as they are (of counts and SQL: columns).
    Text,
    /// One JSON object a line.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// `qd logs query`.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueryArgs {
    /// Files, directories, `-`.
    #[arg(required = true)]
    pub(crate) paths: Vec<String>,
    /// Only what this matches, in the filter language, or in VRL after `vrl:`; may be given several times.
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Nothing that this matches.
    #[arg(short = 'F', long, value_name = "FILTER")]
    pub(crate) filter_out: Vec<String>,
    /// Only this level and above.
    #[arg(short, long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Count by these fields; `level`, `source` and `format` are such too.
    #[arg(short, long, value_name = "FIELD", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// Count by stretches of time of this length, like 1m.
    #[arg(long, value_name = "DURATION")]
    pub(crate) bucket: Option<String>,
    /// Count everything that passes.
    #[arg(long)]
    pub(crate) count: bool,
    /// A statement over the table `log` (line, time, level, source, body, fields, and each field as a column).
    #[arg(long, value_name = "STATEMENT", conflicts_with_all = ["by", "bucket", "count"])]
    pub(crate) sql: Option<String>,
    /// At most so many results; 0 is all.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: usize,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) output: OutputFormat,
}
