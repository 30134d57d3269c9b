//! `qd proxy`: a proxy from the command line, in a pane of the session or without a screen, and looking into one that runs.

mod args;
mod ask;
mod run;

pub(crate) use args::ProxyArgs;

use args::Verb;

use crate::{Failure, cli::Cli};

/// `qd proxy …`.
pub(crate) fn run(cli: &Cli, a: ProxyArgs) -> Result<(), Failure> {
    match &a.verb {
        None => run::run(cli, &a),
        Some(Verb::Check(c)) => run::check(c),
        Some(Verb::Stat(w)) => ask::stat(w),
        Some(Verb::Top(t)) => ask::top(t),
        Some(Verb::Routes(w)) => ask::routes(w),
        Some(Verb::Endpoints(w)) => ask::endpoints(w),
        Some(Verb::Tap(t)) => ask::tap(t),
        Some(Verb::Har(h)) => ask::har(h),
    }
}
