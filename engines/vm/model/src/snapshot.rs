//! `SnapshotCreateParams` and `SnapshotLoadParams`.

use serde::{Deserialize, Serialize};

use crate::Fault;

/// What of the memory is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotType {
    /// All of it.
    #[default]
    Full,
    /// What was written since the last snapshot.
    Diff,
}

/// `PUT /snapshot/create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// What of the memory is written.
    #[serde(default)]
    pub snapshot_type: SnapshotType,
    /// The file that gets the machine's state.
    pub snapshot_path: String,
    /// The file that gets its memory.
    pub mem_file_path: String,
}

/// Who gives the memory of a machine that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendType {
    /// A file that is mapped.
    File,
    /// A process that answers page faults, on a unix socket.
    Uffd,
}

/// Where the memory of a machine that is restored comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemBackend {
    /// The file or the socket.
    pub backend_path: String,
    /// Which of the two.
    pub backend_type: BackendType,
}

/// Another tap for an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkOverride {
    /// The interface.
    pub iface_id: String,
    /// The tap.
    pub host_dev_name: String,
}

/// Another socket for vsock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VsockOverride {
    /// The socket.
    pub uds_path: String,
}

/// `PUT /snapshot/load`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The file with the machine's state.
    pub snapshot_path: String,
    /// Where its memory comes from.
    pub mem_backend: Option<MemBackend>,
    /// The file with its memory: the older way to say it.
    pub mem_file_path: Option<String>,
    /// The older name of `track_dirty_pages`.
    #[serde(default)]
    pub enable_diff_snapshots: bool,
    /// Whether pages that are written are noted.
    #[serde(default)]
    pub track_dirty_pages: bool,
    /// Whether the machine runs at once.
    #[serde(default)]
    pub resume_vm: bool,
    /// Other taps.
    #[serde(default)]
    pub network_overrides: Vec<NetworkOverride>,
    /// Another socket for vsock.
    pub vsock_override: Option<VsockOverride>,
}

impl Load {
    /// Where the memory comes from, said in either way.
    ///
    /// # Errors
    /// Neither way or both.
    pub fn memory(&self) -> Result<MemBackend, Fault> {
        match (&self.mem_backend, &self.mem_file_path) {
            (Some(b), None) => Ok(b.clone()),
            (None, Some(path)) => Ok(MemBackend {
                backend_path: path.clone(),
                backend_type: BackendType::File,
            }),
            (None, None) => Err(Fault::Json(
                "missing field: either `mem_backend` or `mem_file_path` is required".to_owned(),
            )),
            (Some(_), Some(_)) => Err(Fault::Json(
                "too many fields: either `mem_backend` or `mem_file_path` exclusively is required".to_owned(),
            )),
        }
    }

    /// Whether pages that are written are noted, said in either way.
    pub fn dirty(&self) -> bool {
        self.track_dirty_pages || self.enable_diff_snapshots
    }
}
