//! Sinks of this machine.

mod blackhole;
mod console;
mod file;
mod pane;
mod report;
mod socket;
mod sqlite;

use qd_logs_config::{ConfigError, Node};
use qd_logs_model::{Entry, SinkConfig};

/// Reads a sink's configuration as its type.
fn read<T: SinkConfig + serde::de::DeserializeOwned + 'static>(
    node: &Node,
) -> Result<Box<dyn SinkConfig>, ConfigError> {
    Ok(Box::new(qd_logs_config::decode::<T>(node)?))
}

/// Every sink of this crate.
pub fn entries() -> Vec<Entry<dyn SinkConfig>> {
    vec![
        Entry {
            name: "blackhole",
            about: "Takes events and does nothing with them",
            parse: read::<blackhole::BlackholeConfig>,
        },
        Entry {
            name: "console",
            about: "Writes events to standard output or standard error",
            parse: read::<console::ConsoleConfig>,
        },
        Entry {
            name: "file",
            about: "Appends events to files",
            parse: read::<file::FileConfig>,
        },
        Entry {
            name: "pane",
            about: "Shows events in panes of this session",
            parse: read::<pane::PaneConfig>,
        },
        Entry {
            name: "socket",
            about: "Sends events over TCP, UDP or unix sockets",
            parse: read::<socket::SocketConfig>,
        },
        Entry {
            name: "sqlite",
            about: "Inserts events into a table of an SQLite database",
            parse: read::<sqlite::SqliteConfig>,
        },
    ]
}
