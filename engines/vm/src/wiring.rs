//! Which device answers at which port and address, and how their events reach KVM.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvm_ioctls::{IoEventAddress, VmFd};
use parking_lot::Mutex;
use qd_vm_boot::Announced;
use qd_vm_devices::i8042::{self, Asked, I8042};
use qd_vm_devices::serial::{self, Serial};
use qd_vm_devices::virtio::mmio::{self, Mmio};
use qd_vm_devices::{Interrupt, Memory};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::VmError;
use crate::error::{kvm, system};

/// A line into the guest: an event that KVM turns into an edge.
pub(crate) struct Line {
    event: EventFd,
    /// Edges that could not be raised. An event's counter that is full is none: the edge is due already.
    lost: AtomicU64,
}

impl Line {
    pub(crate) fn new(vm: &VmFd, line: u32) -> Result<Arc<Line>, VmError> {
        let event = EventFd::new(EFD_NONBLOCK).map_err(system("an event"))?;
        vm.register_irqfd(&event, line).map_err(kvm("connect an interrupt"))?;
        Ok(Arc::new(Line {
            event,
            lost: AtomicU64::new(0),
        }))
    }
}

impl Interrupt for Line {
    fn raise(&self) {
        if let Err(e) = self.event.write(1)
            && e.kind() != std::io::ErrorKind::WouldBlock
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A virtio device with its place and the events of its queues.
pub(crate) struct Slot {
    pub(crate) mmio: Arc<Mmio>,
    pub(crate) place: Announced,
    pub(crate) events: Vec<EventFd>,
}

impl Slot {
    /// Connects the events of its queues: a notification wakes the worker and not the vCPU.
    pub(crate) fn new(vm: &VmFd, mmio: Arc<Mmio>, place: Announced) -> Result<Slot, VmError> {
        let mut events = Vec::new();
        for q in 0..mmio.queues() {
            let event = EventFd::new(EFD_NONBLOCK).map_err(system("an event"))?;
            let at = IoEventAddress::Mmio(place.at + mmio::NOTIFY);
            let index = u32::try_from(q).map_err(|e| VmError::Config(e.to_string()))?;
            vm.register_ioevent(&event, &at, index)
                .map_err(kvm("connect a notification"))?;
            events.push(event);
        }
        Ok(Slot { mmio, place, events })
    }

    /// Says that a queue has work.
    pub(crate) fn notify(&self, queue: usize) {
        if let Some(event) = self.events.get(queue) {
            // A counter that is full has been written before.
            let _ = event.write(1);
        }
    }
}

/// Everything that answers.
pub(crate) struct Bus {
    pub(crate) serial: Arc<Mutex<Serial>>,
    pub(crate) keyboard: Arc<Mutex<I8042>>,
    pub(crate) slots: Vec<Slot>,
}

/// Ports of the keyboard controller.
const KEYBOARD_END: u16 = i8042::PORT + 5;

impl Bus {
    pub(crate) fn port_write(&self, port: u16, data: &[u8]) -> Asked {
        // Both devices have ports of a byte; more bytes are one after the other, as `rep outs` has them.
        match port {
            serial::PORT..0x400 => {
                let mut serial = self.serial.lock();
                data.iter().for_each(|b| serial.write(port - serial::PORT, *b));
            }
            i8042::PORT..KEYBOARD_END => {
                let mut keyboard = self.keyboard.lock();
                for byte in data {
                    if keyboard.write(port - i8042::PORT, *byte) == Asked::Reset {
                        return Asked::Reset;
                    }
                }
            }
            _ => {}
        }
        Asked::Nothing
    }

    pub(crate) fn port_read(&self, port: u16, data: &mut [u8]) {
        match port {
            serial::PORT..0x400 => {
                let mut serial = self.serial.lock();
                data.iter_mut().for_each(|b| *b = serial.read(port - serial::PORT));
            }
            i8042::PORT..KEYBOARD_END => {
                let mut keyboard = self.keyboard.lock();
                data.iter_mut().for_each(|b| *b = keyboard.read(port - i8042::PORT));
            }
            _ => data.fill(0xff),
        }
    }

    fn slot(&self, at: u64, len: usize) -> Option<(&Slot, u64)> {
        let slot = self
            .slots
            .iter()
            .find(|s| (s.place.at..s.place.at + s.place.len).contains(&at))?;
        let offset = at - slot.place.at;
        // An access over the end of a device is nobody's.
        (offset + u64::try_from(len).ok()? <= slot.place.len).then_some((slot, offset))
    }

    pub(crate) fn read(&self, at: u64, data: &mut [u8]) {
        match self.slot(at, data.len()) {
            Some((slot, offset)) => slot.mmio.read(offset, data),
            None => data.fill(0xff),
        }
    }

    pub(crate) fn write(&self, at: u64, data: &[u8], memory: &Memory) {
        if let Some((slot, offset)) = self.slot(at, data.len())
            && let Some(queue) = slot.mmio.write(offset, data, memory)
        {
            slot.notify(queue);
        }
    }
}
