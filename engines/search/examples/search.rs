//! The command line of `qd search` as a program of its own, with the commands for the index.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(qd_search::search(std::env::args_os().skip(1), "search"))
}
