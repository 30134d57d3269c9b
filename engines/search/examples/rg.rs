//! The search command line as a program of its own, under the name `rg`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(qd_search::rg(std::env::args_os().skip(1), "rg"))
}
