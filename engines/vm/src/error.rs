//! Why a machine cannot be built or does not do what was asked.

use qd_vm_boot::BootError;
use thiserror::Error;

use crate::probe::Missing;

/// Why a machine cannot be built or does not do what was asked.
#[derive(Debug, Error)]
pub enum VmError {
    /// The host cannot run machines.
    #[error(transparent)]
    Host(#[from] Missing),
    /// A call of KVM failed.
    #[error("KVM did not {what}: {why}")]
    Kvm {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        why: std::io::Error,
    },
    /// The host does not have the memory, or does not give it.
    #[error("{mib} MiB of guest memory cannot be had: {why}")]
    Memory {
        /// How much was asked for.
        mib: u64,
        /// What the host said.
        why: String,
    },
    /// A file cannot be opened.
    #[error("the {what} {path} cannot be opened: {why}")]
    Open {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// What the host said.
        why: std::io::Error,
    },
    /// What should be started cannot be.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// There is nothing to start.
    #[error("the machine has no boot source: there is nothing to start")]
    NoKernel,
    /// Something that cannot be, or that this engine does not do.
    #[error("{0}")]
    Config(String),
    /// A thread, an event or a timer could not be had.
    #[error("the host did not give {what}: {why}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the host said.
        why: std::io::Error,
    },
    /// The machine has ended.
    #[error("the machine has ended")]
    Ended,
}

/// Names what KVM was asked for.
pub(crate) fn kvm(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> VmError {
    move |e| VmError::Kvm {
        what,
        why: std::io::Error::from_raw_os_error(e.errno()),
    }
}

/// Names what the host was asked for.
pub(crate) fn system(what: &'static str) -> impl Fn(std::io::Error) -> VmError {
    move |why| VmError::System { what, why }
}
