//! Sources of this machine.
//!
//! Each takes Vector's keys, with its defaults and refusals. [`file`] resumes where it was, however files are rotated;
//! `journald` resumes at its cursor; the others have nothing to resume from. `pane` is this console's own.

use qd_logs_model::{Entry, SourceConfig};

pub mod demo;
pub mod exec;
pub mod fd;
pub mod file;
pub mod internal;
pub mod journald;
pub mod keys;
pub mod listen;
pub mod pane;
mod serve;
pub mod socket;
mod stream;
pub mod syslog;

/// Every source of this crate.
pub fn entries() -> Vec<Entry<dyn SourceConfig>> {
    vec![
        file::entry(),
        fd::stdin(),
        fd::descriptor(),
        exec::entry(),
        socket::entry(),
        syslog::entry(),
        journald::entry(),
        demo::entry(),
        internal::logs(),
        internal::metrics(),
        pane::entry(),
    ]
}
