//! A microVM's devices.
//!
//! Everything a guest can reach by a port, an address or a queue, on a [`Memory`] that is plain anonymous memory: nothing
//! here knows KVM, starts a thread or reads a clock. Time is passed in, interrupts go to an [`Interrupt`], and whoever owns a
//! device says when it works. Every number that a guest gives (addresses, lengths, indices, chains) is taken as hostile.

pub mod i8042;
pub mod limiter;
mod memory;
pub mod serial;
pub mod virtio;

pub use memory::{GIB, HOLE, HOLE_END, Memory, PAGE, allocate, regions};

/// Where a device's interrupt goes: an edge on its line.
pub trait Interrupt: Send + Sync {
    /// Raises it. What cannot be raised is counted by whoever implements this; a device does not wait for it.
    fn raise(&self);
}

impl<F: Fn() + Send + Sync> Interrupt for F {
    fn raise(&self) {
        self();
    }
}
