//! Sources of this machine.

use qd_logs_model::{Entry, SourceConfig};

pub mod file;
pub mod keys;

/// Every source of this crate.
pub fn entries() -> Vec<Entry<dyn SourceConfig>> {
    vec![file::entry()]
}
