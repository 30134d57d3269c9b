//! What a kernel finds when it starts.
//!
//! [`load`] puts a kernel, an initial file system and a command line into guest memory, with the tables by which x86-64 kernels
//! learn of their machine: boot parameters or PVH start information, memory map, MP table, ACPI tables, and for an
//! entry in 64-bit mode page tables and descriptors. Files are hostile: each number in them is checked before it is used.
//!
//! Facts are from Linux's `Documentation/arch/x86/boot.rst` and `zero-page.rst`, Xen's PVH description, Intel's
//! MultiProcessor Specification 1.4 and the ACPI Specification 6.5.

mod acpi;
mod image;
pub mod layout;
mod mptable;
mod params;

use std::fs::File;

use qd_vm_devices::Memory;
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

pub use image::Protocol;

/// Why a machine cannot start what it was given.
#[derive(Debug, Error)]
pub enum BootError {
    /// A file cannot be read.
    #[error("the {what} cannot be read: {why}")]
    Read {
        /// Which file.
        what: &'static str,
        /// What the host says.
        why: std::io::Error,
    },
    /// The kernel is nothing that can be started.
    #[error("the kernel is neither an ELF image for x86-64 nor a bzImage: {0}")]
    Kernel(String),
    /// Something does not fit into memory.
    #[error(
        "the {what} does not fit into memory: it needs {from:#x} to {to:#x}, and memory below the device hole ends at {end:#x}"
    )]
    Room {
        /// What does not fit.
        what: &'static str,
        /// Where it would begin.
        from: u64,
        /// Where it would end.
        to: u64,
        /// Where memory ends.
        end: u64,
    },
    /// The command line with what the machine adds to it is too long.
    #[error("the kernel command line has {0} bytes with what the machine adds; {max} is the most", max = layout::CMDLINE_MAX - 1)]
    Cmdline(usize),
    /// A table cannot be written: memory is too small.
    #[error("memory of {0} bytes is too small to start anything")]
    Small(u64),
}

/// A device that kernels are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// Where its registers are.
    pub at: u64,
    /// How many bytes they take.
    pub len: u64,
    /// Its line.
    pub irq: u32,
}

/// What is to be started.
#[derive(Debug)]
pub struct Request<'a> {
    /// The kernel's file.
    pub kernel: &'a File,
    /// The initial file system's; one of no length is none.
    pub initrd: Option<&'a File>,
    /// The command line.
    pub cmdline: &'a str,
    /// vCPUs, 1 to 32.
    pub cpus: u8,
    /// virtio devices.
    pub devices: &'a [Announced],
}

/// With what the first vCPU begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The address of its first instruction.
    pub at: u64,
    /// How it is entered.
    pub protocol: Protocol,
}

/// Writes `bytes` at an address below the hole.
fn put(memory: &Memory, at: u64, bytes: &[u8]) -> Result<(), BootError> {
    memory
        .write_slice(bytes, GuestAddress(at))
        .map_err(|_| BootError::Small(low_end(memory)))
}

/// Where memory below the hole ends.
fn low_end(memory: &Memory) -> u64 {
    use vm_memory::GuestMemoryRegion;
    memory.find_region(GuestAddress(0)).map_or(0, GuestMemoryRegion::len)
}

/// Puts everything into memory.
///
/// # Errors
/// A file cannot be read or is not what it should be, or memory is too small.
pub fn load(memory: &Memory, request: &Request<'_>) -> Result<Entry, BootError> {
    let end = low_end(memory);
    if end < layout::HIGH + 4096 {
        return Err(BootError::Small(end));
    }
    let kernel = image::load(memory, request.kernel)?;
    let initrd = match request.initrd {
        Some(file) => image::initrd(memory, file, kernel.end)?,
        None => None,
    };
    let mut cmdline = request.cmdline.to_owned();
    for d in request.devices {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(cmdline, " virtio_mmio.device={}K@{:#x}:{}", d.len / 1024, d.at, d.irq);
    }
    let cmdline = cmdline.trim_start();
    if cmdline.len() >= layout::CMDLINE_MAX {
        return Err(BootError::Cmdline(cmdline.len()));
    }
    let mut text = cmdline.as_bytes().to_vec();
    text.push(0);
    put(memory, layout::CMDLINE, &text)?;
    put(memory, layout::MPTABLE, &mptable::table(request.cpus))?;
    let rsdp = acpi::write(memory, request.cpus, request.devices)?;
    match kernel.entry.protocol {
        Protocol::Linux64 => {
            let page = params::zero_page(memory, &kernel, initrd, cmdline.len(), rsdp);
            put(memory, layout::ZERO_PAGE, &page)?;
            for (at, bytes) in params::long_mode() {
                put(memory, at, &bytes)?;
            }
        }
        Protocol::Pvh => {
            for (at, bytes) in params::pvh(memory, initrd, rsdp) {
                put(memory, at, &bytes)?;
            }
            put(memory, layout::GDT, &params::gdt_pvh())?;
        }
    }
    Ok(kernel.entry)
}

#[cfg(test)]
mod tests;
