//! Sources and sinks of this machine: files, pipes, sockets, journals, processes.

pub mod pane;
pub mod sinks;
pub mod sources;

use qd_logs_model::Catalog;

/// Every component of this crate.
pub fn catalog() -> Catalog {
    Catalog {
        sources: sources::entries(),
        transforms: Vec::new(),
        sinks: sinks::entries(),
    }
}
