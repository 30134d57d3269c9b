//! virtio 1.x: split queues, the MMIO transport, and devices.
//!
//! Facts are from the OASIS specification "Virtual I/O Device (VIRTIO) Version 1.2". Nothing of the versions before 1.0 is
//! offered.

pub mod block;
pub mod entropy;
pub mod mmio;
pub mod queue;

use crate::Memory;
use queue::{Broken, Queue};

/// The driver has to know version 1.
pub const F_VERSION_1: u64 = 1 << 32;
/// Chains may be in tables of their own.
pub const F_INDIRECT: u64 = 1 << 28;
/// Both sides say at which index they want to hear something.
pub const F_EVENT_INDEX: u64 = 1 << 29;

/// What came of work on a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the driver wants to hear of it.
    pub interrupt: bool,
    /// Nanoseconds after which there is work again, if the rate was limited.
    pub again: Option<u64>,
}

/// What a device is, behind the transport.
pub trait Device: Send {
    /// The device itself, for whoever knows which one it is.
    fn as_any(&mut self) -> &mut dyn std::any::Any;
    /// Its number in the specification.
    fn kind(&self) -> u32;
    /// What it offers besides [`F_VERSION_1`], [`F_INDIRECT`] and [`F_EVENT_INDEX`].
    fn features(&self) -> u64;
    /// The most entries of each of its queues.
    fn queues(&self) -> &'static [u16];
    /// Reads its configuration; what lies outside of it is 0.
    fn config(&self, offset: u64, out: &mut [u8]);
    /// Writes its configuration. Most have none that can be written.
    fn set_config(&mut self, _offset: u64, _data: &[u8]) {}
    /// The driver is ready and has chosen these features.
    fn activate(&mut self, features: u64);
    /// The driver starts over.
    fn reset(&mut self);
    /// Works on one of its queues, `now` being nanoseconds of a clock that does not go back.
    ///
    /// # Errors
    /// The queue is broken: the device needs a reset.
    fn work(&mut self, index: usize, queue: &mut Queue, memory: &Memory, now: u64) -> Result<Progress, Broken>;
}

/// Reads from a configuration space that is `space`; bytes beyond are 0.
pub(crate) fn read_space(space: &[u8], offset: u64, out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        let at = usize::try_from(offset).ok().and_then(|o| o.checked_add(i));
        *byte = at.and_then(|a| space.get(a)).copied().unwrap_or(0);
    }
}
