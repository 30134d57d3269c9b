//! The command line's grammar. Its doc comments are the help, the man page and the completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An operations console for the terminal: shells and engines in a session that outlives the connection.
///
/// Without a command, qd attaches to the session `main` (or the one named with --session) and makes it when it is not
/// there. Everything you type goes to the focused pane; Ctrl-Space opens the menu.
#[derive(Debug, Clone, Parser)]
#[command(name = "qd", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// The session; inside one, that session.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// The configuration file, instead of $XDG_CONFIG_HOME/quarterdeck/config.kdl.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The layout a new session opens: a file, one of your layouts, or a built-in one.
    #[arg(short, long, global = true, value_name = "LAYOUT")]
    pub(crate) layout: Option<String>,
    /// Draw with ASCII only.
    #[arg(long, global = true)]
    pub(crate) ascii: bool,
    /// Attach although this terminal is inside a session already.
    #[arg(long, global = true)]
    pub(crate) nested: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Attach to a session.
    #[command(visible_alias = "a")]
    Attach(AttachArgs),
    /// Look at a session without touching it; q leaves.
    Watch {
        /// The session.
        name: Option<String>,
    },
    /// List the sessions.
    #[command(visible_alias = "list-sessions")]
    Ls(LsArgs),
    /// End sessions and everything that runs in them.
    #[command(visible_alias = "kill-session")]
    Kill(KillArgs),
    /// Run a command in a new pane.
    Run(RunArgs),
    /// Do anything a key can do: `qd action list-commands` names all actions.
    Action {
        /// The action and its arguments.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            required = true,
            value_name = "ACTION"
        )]
        words: Vec<String>,
    },
    /// Run, check and query logs: Vector's pipelines, and files of any size.
    #[cfg(feature = "logs")]
    #[command(subcommand)]
    Logs(crate::logs::LogsCommand),
    /// Run a proxy in front of a service, and look into one that runs.
    ///
    /// `qd proxy --listen 127.0.0.1:8080 --to 127.0.0.1:3000` is a whole proxy. In a session's terminal it opens in a pane;
    /// elsewhere, and with --headless, it runs until SIGTERM or SIGINT, prints a line for each request when standard output
    /// is a terminal, and reads its configuration again on SIGHUP.
    Proxy(Box<crate::proxy::ProxyArgs>),
    /// Search files for a pattern; the flags are ripgrep's, `qd search --help` has them.
    ///
    /// Under the name `rg` (a link to this program) it takes ripgrep's place.
    #[cfg(feature = "search")]
    #[command(disable_help_flag = true)]
    Search {
        /// The flags, the pattern and the paths.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Check or print the configuration, completions and the man page.
    Setup(SetupArgs),
    /// Keep what must outlive a session's server.
    #[command(hide = true)]
    Hold(ServerArgs),
    /// Serve a session.
    #[command(hide = true)]
    Server(ServerArgs),
}

/// `qd attach`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AttachArgs {
    /// The session; the only one there is, when not given.
    pub(crate) name: Option<String>,
    /// Make the session when it is not there.
    #[arg(short, long)]
    pub(crate) create: bool,
    /// Make the session when it is not there, and do not attach.
    #[arg(short = 'b', long)]
    pub(crate) create_background: bool,
    /// Detach all other clients.
    #[arg(short = 'x', long)]
    pub(crate) exclusive: bool,
}

/// `qd ls`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Only the names.
    #[arg(short = 'q', long)]
    pub(crate) short: bool,
    /// As JSON.
    #[arg(long, conflicts_with = "short")]
    pub(crate) json: bool,
}

/// `qd kill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    /// The sessions.
    #[arg(required_unless_present = "all")]
    pub(crate) names: Vec<String>,
    /// All sessions.
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
}

/// `qd run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Where the new pane goes.
    #[arg(short, long, value_name = "left|right|up|down")]
    pub(crate) direction: Option<String>,
    /// The pane's name.
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// The command's working directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Close the pane when the command ends.
    #[arg(short, long)]
    pub(crate) close_on_exit: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// A shell that completions can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
    /// Elvish.
    Elvish,
}

/// `qd setup`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SetupArgs {
    /// Check the configuration, and say what is found where.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the commented default configuration.
    #[arg(long)]
    pub(crate) dump_config: bool,
    /// Print the configuration that is in force, keys and all.
    #[arg(long)]
    pub(crate) dump_effective: bool,
    /// Print a built-in layout.
    #[arg(long, value_name = "LAYOUT")]
    pub(crate) dump_layout: Option<String>,
    /// Print the completions for a shell.
    #[arg(long, value_name = "SHELL")]
    pub(crate) generate_completion: Option<Shell>,
    /// Print the man page.
    #[arg(long)]
    pub(crate) generate_man: bool,
}

/// `qd hold` and `qd server`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// Open the layout at once, at this size.
    #[arg(long, value_name = "COLSxROWS")]
    pub(crate) detached: Option<String>,
}
