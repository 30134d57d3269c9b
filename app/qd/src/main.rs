//! Quarterdeck's binary: the command line and the wiring, nothing else.

mod cli;
mod connect;
#[cfg(feature = "logs")]
mod logs;
mod proxy;
#[cfg(feature = "search")]
mod search;
mod serve;
mod setup;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use cli::{Cli, Command};

/// What ends a command that failed: a sentence, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// The request itself was wrong.
    pub(crate) fn usage(text: impl ToString) -> Self {
        Self {
            status: 2,
            text: text.to_string(),
        }
    }

    /// It could not be done.
    pub(crate) fn failed(text: impl ToString) -> Self {
        Self {
            status: 1,
            text: text.to_string(),
        }
    }

    /// What it says.
    #[cfg(feature = "logs")]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// With the chain of its causes.
    pub(crate) fn of(e: &dyn std::error::Error) -> Self {
        let mut text = e.to_string();
        let mut source = e.source();
        while let Some(s) = source {
            let part = s.to_string();
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            source = s.source();
        }
        Self { status: 1, text }
    }
}

/// Writes to standard output; a reader that went away is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a sentence to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "qd: {}", text.trim_end());
}

/// Whether a person sits before the screen.
pub(crate) fn need_terminal() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage(
        "this needs a terminal on standard input and output; from a script use qd action, qd ls or qd attach --create-background",
    ))
}

fn main() -> ExitCode {
    #[cfg(feature = "search")]
    if let Some(status) = search::run(std::env::args_os()) {
        return ExitCode::from(status);
    }
    let cli = Cli::parse();
    let named = cli.config.as_ref().filter(|c| !c.exists());
    if let Some(missing) = named {
        complain(&format!("there is no configuration file {}", missing.display()));
        return ExitCode::from(2);
    }
    let result = match cli.command.clone() {
        None => connect::open(&cli),
        Some(Command::Attach(a)) => connect::attach(&cli, &a),
        Some(Command::Watch { name }) => connect::watch(&cli, name.as_deref()),
        Some(Command::Ls(l)) => connect::list(&l),
        Some(Command::Kill(k)) => connect::kill(&k),
        Some(Command::Run(r)) => connect::run(&cli, r),
        Some(Command::Action { words }) => connect::action(&cli, words),
        #[cfg(feature = "logs")]
        Some(Command::Logs(c)) => logs::run(&cli, c),
        Some(Command::Proxy(a)) => proxy::run(&cli, *a),
        #[cfg(feature = "search")]
        Some(Command::Search { .. }) => Err(Failure::usage("`search` comes first: qd search PATTERN")),
        Some(Command::Setup(s)) => setup::run(&cli, &s),
        Some(Command::Hold(s)) => serve::hold(&cli, &s),
        Some(Command::Server(s)) => serve::run(&cli, &s),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(f) => {
            complain(&f.text);
            ExitCode::from(f.status)
        }
    }
}
