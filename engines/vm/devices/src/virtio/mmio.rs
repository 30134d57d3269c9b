//! The MMIO transport: a page of registers in front of a device.
//!
//! A driver sets status bits one after the other; queues can be set up only between `FEATURES_OK` and `DRIVER_OK`, features
//! chosen only before. What it does in another order is ignored. When a queue turns out to be broken the device says that it
//! needs a reset and does nothing until it gets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::queue::{Broken, Queue};
use super::{Device, F_EVENT_INDEX, F_INDIRECT, F_VERSION_1};
use crate::{Interrupt, Memory};

/// Bytes of address space that a device takes.
pub const SIZE: u64 = 0x1000;
/// Where the driver says that there is work; the value is the queue's index.
pub const NOTIFY: u64 = 0x50;

const MAGIC: u32 = 0x7472_6976;
const VENDOR: u32 = 0;
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 0x40;
const FAILED: u32 = 0x80;
const INT_QUEUE: u32 = 1;
const INT_CONFIG: u32 = 2;

/// What of the transport is kept in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    status: u32,
    features: u64,
    features_page: u32,
    driver_page: u32,
    queue: u32,
    generation: u32,
    interrupts: u32,
    queues: Vec<Queue>,
}

/// Numbers of a device since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Notifications from the driver.
    pub notified: u64,
    /// Interrupts to the driver.
    pub interrupts: u64,
    /// Queues that turned out to be broken.
    pub broken: u64,
}

struct Inner {
    state: State,
    device: Box<dyn Device>,
    counts: Counts,
    broken: Option<Broken>,
}

/// A device behind its registers. Registers are read and written by vCPUs, work is done by whoever the driver's
/// notifications reach; both take turns, except for the interrupt registers, which never wait.
pub struct Mmio {
    inner: Mutex<Inner>,
    interrupts: AtomicU32,
    irq: Arc<dyn Interrupt>,
}

impl std::fmt::Debug for Mmio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Mmio")
            .field("kind", &inner.device.kind())
            .field("state", &inner.state)
            .finish()
    }
}

impl Mmio {
    /// A device that no driver has touched.
    pub fn new(device: Box<dyn Device>, irq: Arc<dyn Interrupt>) -> Mmio {
        let queues = device.queues().iter().map(|max| Queue::new(*max)).collect();
        let state = State {
            queues,
            ..State::default()
        };
        Mmio {
            inner: Mutex::new(Inner {
                state,
                device,
                counts: Counts::default(),
                broken: None,
            }),
            interrupts: AtomicU32::new(0),
            irq,
        }
    }

    /// Its queues.
    pub fn queues(&self) -> usize {
        self.inner.lock().state.queues.len()
    }

    /// Its numbers.
    pub fn counts(&self) -> Counts {
        self.inner.lock().counts
    }

    /// What broke it last, if it needs a reset.
    pub fn broken(&self) -> Option<Broken> {
        self.inner.lock().broken
    }

    fn raise(&self, what: u32) {
        self.interrupts.fetch_or(what, Ordering::SeqCst);
        self.irq.raise();
    }

    /// A read by the driver.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        if offset == 0x60 && out.len() == 4 {
            return out.copy_from_slice(&self.interrupts.load(Ordering::SeqCst).to_le_bytes());
        }
        let inner = self.inner.lock();
        if let Some(at) = offset.checked_sub(0x100) {
            return inner.device.config(at, out);
        }
        let s = &inner.state;
        let value = match offset {
            0x00 => MAGIC,
            0x04 => 2,
            0x08 => inner.device.kind(),
            0x0c => VENDOR,
            0x10 => {
                let offered = inner.offered();
                match s.features_page {
                    0 => low(offered),
                    1 => low(offered >> 32),
                    _ => 0,
                }
            }
            0x34 => s.selected().map_or(0, |q| u32::from(q.max)),
            0x44 => s.selected().map_or(0, |q| u32::from(q.ready)),
            0x70 => s.status,
            // No shared memory: a length of all ones.
            0xb0..=0xbc => u32::MAX,
            0xfc => s.generation,
            _ => 0,
        };
        // Registers are words; anything else reads nothing.
        match <&mut [u8; 4]>::try_from(&mut *out) {
            Ok(word) if offset.is_multiple_of(4) => *word = value.to_le_bytes(),
            _ => out.fill(0),
        }
    }

    /// A write by the driver. Notifications that come this way, and not by a file descriptor, are given back as the queue's
    /// index.
    pub fn write(&self, offset: u64, data: &[u8], memory: &Memory) -> Option<usize> {
        if offset >= 0x100 {
            let mut inner = self.inner.lock();
            if inner.state.status & (DRIVER | FAILED) == DRIVER {
                inner.device.set_config(offset - 0x100, data);
            }
            return None;
        }
        let value = u32::from_le_bytes(data.try_into().ok()?);
        match offset {
            0x64 => {
                self.interrupts.fetch_and(!value, Ordering::SeqCst);
                return None;
            }
            NOTIFY => return usize::try_from(value).ok().filter(|q| *q < self.queues()),
            _ => {}
        }
        let mut inner = self.inner.lock();
        if offset == 0x70 {
            let reset = inner.set_status(value, memory);
            drop(inner);
            match reset {
                Told::Reset => self.interrupts.store(0, Ordering::SeqCst),
                Told::Broken => self.raise(INT_CONFIG),
                Told::Fine => {}
            }
            return None;
        }
        inner.set(offset, value);
        None
    }

    /// Works on a queue until it is empty or its rate is used up: nanoseconds after which it has to be asked again.
    pub fn work(&self, index: usize, memory: &Memory, now: u64) -> Option<u64> {
        let mut guard = self.inner.lock();
        let Inner {
            state,
            device,
            counts,
            broken,
        } = &mut *guard;
        counts.notified += 1;
        if state.status & (DRIVER_OK | NEEDS_RESET | FAILED) != DRIVER_OK {
            return None;
        }
        let queue = state.queues.get_mut(index).filter(|q| q.ready)?;
        match device.work(index, queue, memory, now) {
            Ok(progress) => {
                if progress.interrupt {
                    counts.interrupts += 1;
                    drop(guard);
                    self.raise(INT_QUEUE);
                }
                progress.again
            }
            Err(why) => {
                counts.broken += 1;
                *broken = Some(why);
                state.status |= NEEDS_RESET;
                drop(guard);
                self.raise(INT_CONFIG);
                None
            }
        }
    }

    /// Changes the device and tells the driver to read its configuration again.
    pub fn reconfigure(&self, change: impl FnOnce(&mut dyn Device)) {
        let mut inner = self.inner.lock();
        change(&mut *inner.device);
        inner.state.generation = inner.state.generation.wrapping_add(1);
        let running = inner.state.status & DRIVER_OK != 0;
        drop(inner);
        if running {
            self.raise(INT_CONFIG);
        }
    }

    /// What is kept in a snapshot.
    pub fn save(&self) -> State {
        let inner = self.inner.lock();
        State {
            interrupts: self.interrupts.load(Ordering::SeqCst),
            ..inner.state.clone()
        }
    }

    /// Becomes what was saved. The interrupt is raised again where one was not acknowledged.
    ///
    /// # Errors
    /// The rings of a running device cannot be in this memory.
    pub fn restore(&self, state: &State, memory: &Memory) -> Result<(), Broken> {
        let mut inner = self.inner.lock();
        let kinds: Vec<u16> = inner.device.queues().to_vec();
        if state.queues.iter().map(|q| q.max).ne(kinds) {
            return Err(Broken::Place("snapshot's queue list"));
        }
        if state.status & DRIVER_OK != 0 {
            state
                .queues
                .iter()
                .filter(|q| q.ready)
                .try_for_each(|q| q.check(memory))?;
            inner.device.activate(state.features);
        }
        inner.state = state.clone();
        drop(inner);
        self.interrupts.store(state.interrupts, Ordering::SeqCst);
        if state.interrupts != 0 {
            self.irq.raise();
        }
        Ok(())
    }
}

const fn low(word: u64) -> u32 {
    word as u32
}

fn set_half(word: &mut u64, high: bool, value: u32) {
    let keep = if high {
        *word & 0xffff_ffff
    } else {
        *word & !0xffff_ffff
    };
    *word = keep | u64::from(value) << if high { 32 } else { 0 };
}

/// What became of a write to the status.
enum Told {
    Fine,
    Reset,
    Broken,
}

impl State {
    fn selected(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue).ok()?)
    }
}

impl Inner {
    fn offered(&self) -> u64 {
        self.device.features() | F_VERSION_1 | F_INDIRECT | F_EVENT_INDEX
    }

    fn set(&mut self, offset: u64, value: u32) {
        let offered = self.offered();
        let s = &mut self.state;
        let choosing = s.status & (DRIVER | FEATURES_OK | FAILED) == DRIVER;
        let wiring = s.status & (FEATURES_OK | DRIVER_OK | NEEDS_RESET | FAILED) == FEATURES_OK;
        match offset {
            0x14 => s.features_page = value,
            0x24 => s.driver_page = value,
            0x20 if choosing && s.driver_page < 2 => {
                set_half(&mut s.features, s.driver_page == 1, value);
                s.features &= offered;
            }
            0x30 => s.queue = value,
            _ if wiring => {
                let Some(q) = usize::try_from(s.queue).ok().and_then(|i| s.queues.get_mut(i)) else {
                    return;
                };
                match offset {
                    // What cannot be a size is kept, and found when the driver is ready.
                    0x38 => q.size = u16::try_from(value).unwrap_or(0),
                    0x44 => q.ready = value == 1,
                    0x80 => set_half(&mut q.descriptors, false, value),
                    0x84 => set_half(&mut q.descriptors, true, value),
                    0x90 => set_half(&mut q.available, false, value),
                    0x94 => set_half(&mut q.available, true, value),
                    0xa0 => set_half(&mut q.used, false, value),
                    0xa4 => set_half(&mut q.used, true, value),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn set_status(&mut self, value: u32, memory: &Memory) -> Told {
        let s = &mut self.state;
        if value == 0 {
            let queues = self.device.queues().iter().map(|max| Queue::new(*max)).collect();
            *s = State {
                queues,
                generation: s.generation,
                ..State::default()
            };
            self.device.reset();
            self.broken = None;
            return Told::Reset;
        }
        if value & FAILED != 0 {
            s.status |= FAILED;
            return Told::Fine;
        }
        // One bit after the other, none taken back.
        let next = value & !s.status & !NEEDS_RESET;
        let before = [
            (ACKNOWLEDGE, 0),
            (DRIVER, ACKNOWLEDGE),
            (FEATURES_OK, 3),
            (DRIVER_OK, 11),
        ];
        for (bit, needs) in before {
            if next & bit == 0 || s.status & 0x0f != needs {
                continue;
            }
            match bit {
                // Features without version 1 are not accepted: the bit stays clear.
                FEATURES_OK if s.features & F_VERSION_1 == 0 => {}
                DRIVER_OK => {
                    s.status |= DRIVER_OK;
                    let event_index = s.features & F_EVENT_INDEX != 0;
                    for q in s.queues.iter_mut().filter(|q| q.ready) {
                        q.event_index = event_index;
                        if let Err(why) = q.check(memory) {
                            self.broken = Some(why);
                            self.counts.broken += 1;
                            s.status |= NEEDS_RESET;
                            return Told::Broken;
                        }
                    }
                    self.device.activate(s.features);
                }
                _ => s.status |= bit,
            }
        }
        Told::Fine
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entropy::Entropy;
    use super::super::queue::tests::{AVAIL, DESC, USED, describe, memory, offer};
    use super::*;
    use crate::limiter::Limiter;

    fn entropy() -> Mmio {
        let source = |buf: &mut [u8]| buf.fill(0x5a);
        Mmio::new(
            Box::new(Entropy::new(Limiter::default(), Box::new(source))),
            Arc::new(|| ()),
        )
    }

    fn get(d: &Mmio, at: u64) -> u32 {
        let mut b = [0; 4];
        d.read(at, &mut b);
        u32::from_le_bytes(b)
    }

    fn set(d: &Mmio, m: &Memory, at: u64, v: u32) {
        d.write(at, &v.to_le_bytes(), m);
    }

    fn up(d: &Mmio, m: &Memory) {
        for v in [1, 3] {
            set(d, m, 0x70, v);
        }
        set(d, m, 0x24, 1);
        set(d, m, 0x20, 1);
        set(d, m, 0x70, 11);
        for (at, v) in [
            (0x30, 0),
            (0x38, 8),
            (0x80, DESC),
            (0x90, AVAIL),
            (0xa0, USED),
            (0x44, 1),
        ] {
            set(d, m, at, u32::try_from(v).unwrap());
        }
        set(d, m, 0x70, 15);
    }

    #[test]
    fn from_reset_to_work_and_back() {
        let (d, m) = (entropy(), memory());
        assert_eq!((get(&d, 0), get(&d, 4), get(&d, 8)), (MAGIC, 2, 4));
        up(&d, &m);
        assert_eq!(get(&d, 0x70), 15);
        describe(&m, DESC, 0, 0x8000, 100, 2, 0);
        offer(&m, 8, 0);
        assert_eq!(d.work(0, &m, 0), None);
        assert_eq!(get(&d, 0x60), 1);
        set(&d, &m, 0x64, 1);
        assert_eq!(get(&d, 0x60), 0);
        let mut b = [0; 101];
        vm_memory::Bytes::read_slice(&m, &mut b, vm_memory::GuestAddress(0x8000)).unwrap();
        assert!(b[..100].iter().all(|x| *x == 0x5a) && b[100] == 0);
        // What was saved goes on elsewhere.
        let saved = d.save();
        let other = entropy();
        other.restore(&saved, &m).unwrap();
        offer(&m, 8, 0);
        other.work(0, &m, 0);
        assert_eq!((get(&other, 0x60), other.counts().interrupts), (1, 1));
        set(&d, &m, 0x70, 0);
        assert_eq!((get(&d, 0x70), get(&d, 0x44)), (0, 0));
        let small = crate::allocate(4096).unwrap();
        assert!(entropy().restore(&saved, &small).is_err());
    }

    #[test]
    fn the_order_is_kept() {
        let (d, m) = (entropy(), memory());
        set(&d, &m, 0x70, 15);
        assert_eq!(get(&d, 0x70), 1 | 2, "features without version 1 are refused");
        set(&d, &m, 0x44, 1);
        assert_eq!(get(&d, 0x44), 0, "no queue before features");
        set(&d, &m, 0x70, 0);
        up(&d, &m);
        set(&d, &m, 0x38, 4);
        set(&d, &m, 0x80, 0);
        assert_eq!(d.save().queues[0].size, 8, "no change while it runs");
        set(&d, &m, 0x30, 7);
        assert_eq!((get(&d, 0x34), get(&d, 0x44)), (0, 0));
        assert_eq!(d.write(NOTIFY, &7u32.to_le_bytes(), &m), None);
        assert_eq!(d.write(NOTIFY, &0u32.to_le_bytes(), &m), Some(0));
    }

    #[test]
    fn a_broken_queue_needs_a_reset() {
        let (d, m) = (entropy(), memory());
        up(&d, &m);
        describe(&m, DESC, 0, 0x8000, 1, 2 | 1, 0);
        offer(&m, 8, 0);
        d.work(0, &m, 0);
        assert_eq!(d.broken(), Some(Broken::Loop(8)));
        assert_eq!((get(&d, 0x70) & NEEDS_RESET, get(&d, 0x60)), (NEEDS_RESET, INT_CONFIG));
        d.work(0, &m, 0);
        assert_eq!(d.counts().broken, 1);
        set(&d, &m, 0x70, 0);
        up(&d, &m);
        assert_eq!(get(&d, 0x70), 15);
    }

    proptest! {
        /// Any writes in any order, with work between: no panic, and nothing written outside.
        #[test]
        fn any_driver_at_all(writes in prop::collection::vec((0u64..0x140, any::<u32>(), 0u8..4), 0..200)) {
            let (d, m) = (entropy(), memory());
            for (at, value, how) in writes {
                match how {
                    0 => { d.write(at, &value.to_le_bytes(), &m); }
                    1 => { d.write(at & !3, &(value & 0xf).to_le_bytes(), &m); }
                    2 => { d.work(usize::try_from(value & 1).unwrap(), &m, u64::from(value)); }
                    _ => { let mut b = [0; 8]; d.read(at, &mut b[..usize::try_from(value % 9).unwrap()]); }
                }
            }
        }
    }
}
