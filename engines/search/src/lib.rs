//! The search engine: ripgrep's command line over the crates ripgrep is made of, and our own way of running them.
//!
//! [`rg`] takes the arguments of one command line and does everything `rg` does with them: the same flags, the same bytes on
//! standard output, the same exit codes. It goes through four stages, each a module:
//!
//! 1. `flags`: every flag is a row of a table; reading the arguments, and before them the configuration file, fills a
//!    `Low`, which says what was asked for and nothing more.
//! 2. `plan`: what that means here and now, when the terminal, standard input and the paths have been looked at.
//! 3. `worker`: one thread's matcher, searcher and printer, and the choice of how a file is read.
//! 4. `run`: the walk and the threads. Sorted output is searched in parallel too, and put back in order (`ordered`); so are
//!    the `pieces` of one large file.
//!
//! Where there is an index of the tree that is searched (`qd-search-index`), `narrow` asks it which files are worth
//! searching, and the walk is left out.
//!
//! Where ripgrep drops to one thread (`--sort`, `--sortr`, one file), this does not; the output is the same.

mod config;
mod engine;
mod error;
mod flags;
mod generate;
mod haystack;
mod index;
mod list;
mod marked;
mod narrow;
mod ordered;
mod paths;
mod pieces;
mod plan;
mod report;
mod run;
mod sheet;
mod sorting;
mod spool;
mod summary;
mod worker;

use std::ffi::OsString;

pub use error::{Error, ValueError};

/// Runs one command line of ripgrep and says which exit code it ends with: 0 when something matched, 1 when nothing did,
/// 2 after an error.
///
/// `args` are the arguments without the program's name; `name` is what messages begin with and what help and completions
/// call the program. Output goes to the process's standard output, messages to its standard error.
pub fn rg(args: impl IntoIterator<Item = OsString>, name: &str) -> u8 {
    let report = report::Report::new(name);
    ended(run::command_line(args.into_iter().collect(), &report), &report)
}

/// Runs one command line of `qd search`: ripgrep's, and the words `index build`, `index status`, `index drop`, `index audit`
/// and `index watch`, which are for the index of a tree. To search for "index" in a directory of one of those names, write
/// `-e index`.
///
/// The name is as with [`rg`]; its words but the first are what brings this program here when it starts a watcher.
pub fn search(args: impl IntoIterator<Item = OsString>, name: &str) -> u8 {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if !index::is_asked(&args) {
        return rg(args, name);
    }
    let program: Vec<&str> = name.split(' ').skip(1).collect();
    args.remove(0);
    let report = report::Report::new(name);
    ended(index::run(args, &program), &report)
}

fn ended(result: Result<u8, Error>, report: &report::Report) -> u8 {
    match result {
        Ok(code) => code,
        // Whoever read the output has what it wanted.
        Err(error) if error.is_broken_pipe() => 0,
        Err(error) => {
            report.fatal(&error);
            run::TROUBLE
        }
    }
}
