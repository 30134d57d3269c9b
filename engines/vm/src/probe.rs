//! What the host can do: whether there is a KVM that can be used, and the sentence with the fix where there is none.

use kvm_ioctls::{Cap, Kvm};
use thiserror::Error;

/// Why no machine can run here.
#[derive(Debug, Error)]
pub enum Missing {
    /// There is no device.
    #[error(
        "/dev/kvm is missing: load the kernel module (`modprobe kvm_intel` or `kvm_amd`), and turn virtualisation on in the firmware or, inside a virtual machine, nested virtualisation on its host"
    )]
    Device,
    /// It may not be opened.
    #[error("/dev/kvm may not be opened: add yourself to its group (`sudo usermod -aG kvm $USER`) and log in again")]
    Permission,
    /// It is there and cannot be used.
    #[error("/dev/kvm cannot be used: {0}")]
    Broken(std::io::Error),
    /// It speaks another version.
    #[error(
        "/dev/kvm speaks version {0} of its interface, and 12 is the only one that is spoken today: the kernel is too old"
    )]
    Version(i32),
    /// Something that machines need is not there.
    #[error("this host's KVM has no {0}: use a kernel of version 5.10 or later")]
    Capability(&'static str),
}

/// A KVM that can be used.
#[derive(Debug)]
pub struct Host {
    /// The device.
    pub kvm: Kvm,
}

const NEEDED: [(Cap, &str); 12] = [
    (Cap::Irqchip, "interrupt controllers in the kernel"),
    (Cap::Pit2, "timer in the kernel"),
    (Cap::PitState2, "timer's state"),
    (Cap::Ioeventfd, "ioeventfd"),
    (Cap::Irqfd, "irqfd"),
    (Cap::ImmediateExit, "immediate exit"),
    (Cap::UserMemory, "user memory"),
    (Cap::SetTssAddr, "task state address"),
    (Cap::ExtCpuid, "CPUID"),
    (Cap::MpState, "state of processors"),
    (Cap::VcpuEvents, "events of vCPUs"),
    (Cap::AdjustClock, "clock"),
];

/// Opens KVM and looks whether all is there that machines need.
///
/// # Errors
/// What is missing, with the fix.
pub fn host() -> Result<Host, Missing> {
    let kvm = Kvm::new().map_err(|e| match e.errno() {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Missing::Device,
        libc::EACCES | libc::EPERM => Missing::Permission,
        n => Missing::Broken(std::io::Error::from_raw_os_error(n)),
    })?;
    match kvm.get_api_version() {
        12 => {}
        n => return Err(Missing::Version(n)),
    }
    match NEEDED.iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
        Some((_, name)) => Err(Missing::Capability(name)),
        None => Ok(Host { kvm }),
    }
}
