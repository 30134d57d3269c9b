//! The thread on which a machine's devices work.
//!
//! It sleeps in epoll until a queue's event, a deadline of a limited device, or a word of the machine's owner. While the
//! machine is paused it touches no guest memory.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use qd_vm_devices::Memory;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::VmError;
use crate::error::system;
use crate::vcpu::Wanted;
use crate::wiring::Bus;

const WORD: u64 = u64::MAX;

/// How the worker is told.
pub(crate) struct Control {
    wanted: Mutex<(Wanted, bool)>,
    changed: Condvar,
    event: EventFd,
}

impl Control {
    pub(crate) fn new() -> Result<Control, VmError> {
        Ok(Control {
            wanted: Mutex::new((Wanted::Pause, false)),
            changed: Condvar::new(),
            event: EventFd::new(EFD_NONBLOCK).map_err(system("an event"))?,
        })
    }

    /// Says what is wanted, and waits until a pause has begun.
    pub(crate) fn want(&self, what: Wanted) {
        let mut wanted = self.wanted.lock();
        if wanted.0 != Wanted::Stop {
            wanted.0 = what;
        }
        self.changed.notify_all();
        let _ = self.event.write(1);
        while what == Wanted::Pause && wanted.0 == Wanted::Pause && !wanted.1 {
            self.changed.wait(&mut wanted);
        }
    }

    /// Stays while a pause is wanted: whether to go on.
    fn pass(&self) -> bool {
        let mut wanted = self.wanted.lock();
        while wanted.0 == Wanted::Pause {
            wanted.1 = true;
            self.changed.notify_all();
            self.changed.wait(&mut wanted);
        }
        wanted.1 = false;
        wanted.0 == Wanted::Run
    }
}

/// What the worker sleeps on.
pub(crate) fn prepare(bus: &Bus, control: &Control) -> Result<Epoll, VmError> {
    let epoll = Epoll::new().map_err(system("an epoll"))?;
    let add = |fd, data| {
        epoll
            .ctl(ControlOperation::Add, fd, EpollEvent::new(EventSet::IN, data))
            .map_err(system("an epoll's entry"))
    };
    add(control.event.as_raw_fd(), WORD)?;
    for (i, slot) in bus.slots.iter().enumerate() {
        for (q, event) in slot.events.iter().enumerate() {
            let data = u64::try_from(i << 16 | q).unwrap_or(WORD);
            add(event.as_raw_fd(), data)?;
        }
    }
    Ok(epoll)
}

/// The thread.
pub(crate) fn run(epoll: &Epoll, bus: &Bus, memory: &Memory, control: &Arc<Control>, start: Instant) {
    let mut events = [EpollEvent::default(); 32];
    // Queues whose rate is used up, and when they go on.
    let mut later: Vec<(Instant, usize, usize)> = Vec::new();
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let work = |slot: usize, queue: usize, later: &mut Vec<(Instant, usize, usize)>| {
        let Some(s) = bus.slots.get(slot) else { return };
        if let Some(ns) = s.mmio.work(queue, memory, now()) {
            later.retain(|l| (l.1, l.2) != (slot, queue));
            // A year is never.
            let wait = Duration::from_nanos(ns).min(Duration::from_secs(365 * 86400));
            later.push((Instant::now() + wait, slot, queue));
        }
    };
    loop {
        if !control.pass() {
            return;
        }
        let next = later.iter().map(|l| l.0).min();
        let timeout = next.map_or(-1, |at| {
            // Rounded up: a deadline that is not quite there would spin.
            let ms = at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            i32::try_from(ms).unwrap_or(i32::MAX)
        });
        let n = epoll.wait(timeout, &mut events).unwrap_or(0);
        if !control.pass() {
            return;
        }
        for event in events.iter().take(n) {
            if event.data() == WORD {
                let _ = control.event.read();
                continue;
            }
            let (slot, queue) = (event.data() >> 16, event.data() & 0xffff);
            let (Ok(slot), Ok(queue)) = (usize::try_from(slot), usize::try_from(queue)) else {
                continue;
            };
            let known = bus.slots.get(slot).and_then(|s| s.events.get(queue));
            if known.is_some_and(|e| e.read().is_ok()) {
                work(slot, queue, &mut later);
            }
        }
        let due: Vec<_> = later.extract_if(.., |l| l.0 <= Instant::now()).collect();
        due.into_iter()
            .for_each(|(_, slot, queue)| work(slot, queue, &mut later));
    }
}
