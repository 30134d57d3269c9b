//! `qd logs`: the log engine from the command line, without a session but for `view`.

mod args;
mod control;
mod pipeline;
mod query;
mod view;

pub(crate) use args::LogsCommand;

use crate::{Failure, cli::Cli};

/// `qd logs …`.
pub(crate) fn run(cli: &Cli, command: LogsCommand) -> Result<(), Failure> {
    match command {
        LogsCommand::Run(a) => pipeline::run(&a),
        LogsCommand::Validate(a) => pipeline::validate(&a),
        LogsCommand::Graph(a) => pipeline::graph(&a),
        LogsCommand::Test(a) => pipeline::test(&a),
        LogsCommand::Vrl(a) => pipeline::vrl(&a),
        LogsCommand::Tap(a) => control::tap(&a),
        LogsCommand::Top(a) => control::top(&a),
        LogsCommand::View(a) => view::run(cli, &a),
        LogsCommand::Query(a) => query::run(&a),
    }
}
