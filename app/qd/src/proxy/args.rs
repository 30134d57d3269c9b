//! The grammar of `qd proxy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `qd proxy`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ProxyArgs {
    /// Where to listen: 127.0.0.1:8080, [::1]:8080, unix:/run/x.sock; port 0 lets the system choose. May be given again.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    pub(crate) listen: Vec<String>,
    /// Where requests go; several endpoints with commas between. http://, https://, h2c:// and tcp:// say what is spoken.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    pub(crate) to: Vec<String>,
    /// A configuration file in the shape of the Gateway API: listeners, clusters, routes. It is read again when it changes
    /// or on SIGHUP; what cannot be leaves the old one in force.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What kind of proxy it is.
    #[arg(long, value_enum, default_value_t = ModeArg::Reverse, conflicts_with = "config")]
    pub(crate) mode: ModeArg,
    /// How requests are spread: p2c, roundRobin, leastRequest or weighted.
    #[arg(long, value_name = "WAY", conflicts_with = "config")]
    pub(crate) balance: Option<String>,
    /// Where the proxy itself is asked (/live, /ready, /metrics, /snapshot, …): 127.0.0.1:4191.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    pub(crate) admin: Option<String>,
    /// Threads that do the work; as many as there are processors when not given.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// The name by which stat, tap and the others find it; the process id when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Seconds that requests get to end after SIGTERM or SIGINT; 30 when the configuration does not say.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) deadline: Option<u64>,
    /// Print no line for each request.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Run here and not in a pane, though this terminal is inside a session.
    #[arg(long)]
    pub(crate) headless: bool,
    /// Where the pane goes.
    #[arg(short, long, value_name = "left|right|up|down")]
    pub(crate) direction: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Looking into a proxy.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Check a configuration file without running it.
    Check(CheckArgs),
    /// What a running proxy has done, in numbers.
    Stat(WhichArgs),
    /// See requests of a running proxy as they end.
    Tap(TapArgs),
    /// See the endpoints of a running proxy, and what they do.
    Top(TopArgs),
    /// The routes of a running proxy.
    Routes(WhichArgs),
    /// The endpoints of a running proxy.
    Endpoints(WhichArgs),
    /// Flows of a running proxy as a HAR file: those that its pane keeps, or those that come.
    Har(HarArgs),
}

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// In front of endpoints.
    Reverse,
    /// Where its clients ask to: CONNECT, and targets with a host.
    Forward,
    /// Bytes, whatever they are.
    Opaque,
}

/// `qd proxy check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file.
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Warnings are errors.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

/// Which proxy.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// The proxy's name, as --name or its pane has it; the only one that runs when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The admin address of a proxy, which may be another user's or machine's: 127.0.0.1:4191.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "name")]
    pub(crate) admin: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `qd proxy tap`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TapArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Only requests that match: status:>=500 path:/api/*, or mitmproxy's ~c 500.
    #[arg(short, long, default_value = "")]
    pub(crate) filter: String,
    /// End after so many.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// `qd proxy top`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Milliseconds between two pictures.
    #[arg(short, long, value_name = "MS", default_value_t = 1000)]
    pub(crate) interval: u64,
    /// End after so many pictures.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// `qd proxy har`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HarArgs {
    /// The proxy's name, as --name or its pane has it; the only one that runs when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only requests that match.
    #[arg(short, long, default_value = "")]
    pub(crate) filter: String,
    /// Take requests that come, until there are so many in all.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<usize>,
    /// Take requests that come for so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// The file; standard output when not given.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Accepted like that of the others: a HAR file is JSON.
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}
