//! The serial port: a 16550A on COM1.
//!
//! The transmitter takes a byte at once, so its holding register is always empty and a guest never waits. Received bytes
//! come from a backlog of the host, bounded, and go into a FIFO of 16 as the guest makes room; nothing is overrun. An
//! interrupt is an edge: it is raised whenever a condition arises that the guest asked to hear of, and, as in the original,
//! reading the identification clears the transmitter's.
//!
//! Facts are from National Semiconductor's data sheet of the PC16550D.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Interrupt;

/// The first of its eight ports.
pub const PORT: u16 = 0x3f8;
/// Its line.
pub const IRQ: u32 = 4;
/// Bytes the receiver holds while its FIFO is on.
pub const FIFO: usize = 16;
/// Bytes that may wait on the host for the guest to make room.
pub const BACKLOG: usize = 64 << 10;

const IER_RECEIVED: u8 = 0x01;
const IER_EMPTY: u8 = 0x02;
const IER_LINE: u8 = 0x04;
const IER_MODEM: u8 = 0x08;
const LSR_READY: u8 = 0x01;
const LSR_BREAK: u8 = 0x10;
const LSR_EMPTY: u8 = 0x60;
const LCR_LATCH: u8 = 0x80;
const MCR_LOOP: u8 = 0x10;
const FCR_ON: u8 = 0x01;
const FCR_CLEAR_RECEIVER: u8 = 0x02;

/// Where transmitted bytes go. It must not wait: the guest stands still meanwhile.
pub trait Output: Send {
    /// Takes a byte.
    fn put(&mut self, byte: u8);
}

impl<F: FnMut(u8) + Send> Output for F {
    fn put(&mut self, byte: u8) {
        self(byte);
    }
}

/// What of it is kept in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    ier: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    latch: u16,
    fifo_on: bool,
    trigger: u8,
    empty_pending: bool,
    line_break: bool,
    modem_delta: u8,
    received: Vec<u8>,
    backlog: Vec<u8>,
}

/// The serial port.
pub struct Serial {
    state: State,
    received: VecDeque<u8>,
    backlog: VecDeque<u8>,
    irq: Arc<dyn Interrupt>,
    out: Box<dyn Output>,
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serial")
            .field("state", &self.state)
            .field("backlog", &self.backlog.len())
            .finish()
    }
}

impl Serial {
    /// One after a reset, of 9600 baud.
    pub fn new(irq: Arc<dyn Interrupt>, out: Box<dyn Output>) -> Serial {
        Serial {
            state: State {
                lcr: 3,
                mcr: 8,
                latch: 12,
                trigger: 1,
                ..State::default()
            },
            received: VecDeque::new(),
            backlog: VecDeque::new(),
            irq,
            out,
        }
    }

    /// Input for the guest: how many of the bytes were taken. The others have to be given again when there is room.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.backlog.extend(bytes.iter().take(taken));
        self.fill();
        taken
    }

    /// Bytes that [`Serial::input`] takes now.
    pub fn room(&self) -> usize {
        BACKLOG.saturating_sub(self.backlog.len())
    }

    /// A break on the line, as a terminal sends it.
    pub fn line_break(&mut self) {
        self.state.line_break = true;
        if self.received.len() < self.capacity() {
            self.received.push_back(0);
        }
        if self.state.ier & (IER_LINE | IER_RECEIVED) != 0 {
            self.irq.raise();
        }
    }

    fn capacity(&self) -> usize {
        if self.state.fifo_on { FIFO } else { 1 }
    }

    fn fill(&mut self) {
        if self.state.mcr & MCR_LOOP != 0 {
            return;
        }
        let free = self.capacity().saturating_sub(self.received.len());
        let n = free.min(self.backlog.len());
        self.received.extend(self.backlog.drain(..n));
        // Below the trigger level the time-out interrupt of the original would come; here it comes at once.
        if n > 0 && self.state.ier & IER_RECEIVED != 0 {
            self.irq.raise();
        }
    }

    fn identify(&mut self) -> u8 {
        let s = &mut self.state;
        let fifos = if s.fifo_on { 0xc0 } else { 0 };
        let what = if s.ier & IER_LINE != 0 && s.line_break {
            0x06
        } else if s.ier & IER_RECEIVED != 0 && !self.received.is_empty() {
            if self.received.len() >= usize::from(s.trigger) || !s.fifo_on {
                0x04
            } else {
                0x0c
            }
        } else if s.ier & IER_EMPTY != 0 && s.empty_pending {
            s.empty_pending = false;
            0x02
        } else if s.ier & IER_MODEM != 0 && s.modem_delta != 0 {
            0x00
        } else {
            0x01
        };
        fifos | what
    }

    fn modem(&self) -> u8 {
        let mcr = self.state.mcr;
        if mcr & MCR_LOOP == 0 {
            // Carrier, ready, clear to send.
            return 0xb0;
        }
        // In the loop the four outputs are the inputs.
        (mcr & 0x02) << 3 | (mcr & 0x01) << 5 | (mcr & 0x0c) << 4
    }

    /// A read of the port `offset` above the first.
    pub fn read(&mut self, offset: u16) -> u8 {
        let latch = self.state.lcr & LCR_LATCH != 0;
        match offset {
            0 if latch => self.state.latch.to_le_bytes()[0],
            1 if latch => self.state.latch.to_le_bytes()[1],
            0 => {
                let byte = self.received.pop_front().unwrap_or(0);
                self.fill();
                byte
            }
            1 => self.state.ier,
            2 => self.identify(),
            3 => self.state.lcr,
            4 => self.state.mcr,
            5 => {
                let ready = if self.received.is_empty() { 0 } else { LSR_READY };
                let broken = if self.state.line_break { LSR_BREAK } else { 0 };
                self.state.line_break = false;
                LSR_EMPTY | ready | broken
            }
            6 => self.modem() | std::mem::take(&mut self.state.modem_delta),
            7 => self.state.scratch,
            _ => 0xff,
        }
    }

    /// A write to the port `offset` above the first.
    pub fn write(&mut self, offset: u16, value: u8) {
        let latch = self.state.lcr & LCR_LATCH != 0;
        let [low, high] = self.state.latch.to_le_bytes();
        match offset {
            0 if latch => self.state.latch = u16::from_le_bytes([value, high]),
            1 if latch => self.state.latch = u16::from_le_bytes([low, value]),
            0 => self.transmit(value),
            1 => self.enable(value & 0x0f),
            2 => self.control_fifo(value),
            3 => self.state.lcr = value,
            4 => self.control_modem(value & 0x1f),
            7 => self.state.scratch = value,
            _ => {}
        }
    }

    fn transmit(&mut self, byte: u8) {
        if self.state.mcr & MCR_LOOP == 0 {
            self.out.put(byte);
        } else if self.received.len() < self.capacity() {
            self.received.push_back(byte);
            if self.state.ier & IER_RECEIVED != 0 {
                self.irq.raise();
            }
        }
        self.state.empty_pending = true;
        if self.state.ier & IER_EMPTY != 0 {
            self.irq.raise();
        }
    }

    fn enable(&mut self, ier: u8) {
        let more = ier & !self.state.ier;
        self.state.ier = ier;
        if more & IER_EMPTY != 0 {
            // Asked while the register is empty, which it is: that is the interrupt.
            self.state.empty_pending = true;
        }
        let received = more & IER_RECEIVED != 0 && !self.received.is_empty();
        if received || more & IER_EMPTY != 0 || (more & IER_MODEM != 0 && self.state.modem_delta != 0) {
            self.irq.raise();
        }
    }

    fn control_fifo(&mut self, value: u8) {
        let on = value & FCR_ON != 0;
        // Turning it on or off empties it.
        if value & FCR_CLEAR_RECEIVER != 0 && on || on != self.state.fifo_on {
            self.received.clear();
        }
        self.state.fifo_on = on;
        self.state.trigger = match value >> 6 {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        };
        self.fill();
    }

    fn control_modem(&mut self, value: u8) {
        let before = self.modem();
        self.state.mcr = value;
        let changed = before ^ self.modem();
        self.state.modem_delta |= changed >> 4;
        if changed != 0 && self.state.ier & IER_MODEM != 0 {
            self.irq.raise();
        }
        self.fill();
    }

    /// What is kept in a snapshot.
    pub fn save(&self) -> State {
        State {
            received: self.received.iter().copied().collect(),
            backlog: self.backlog.iter().copied().collect(),
            ..self.state.clone()
        }
    }

    /// Becomes what was saved; what is too long is cut.
    pub fn restore(&mut self, state: &State) {
        self.received = state.received.iter().copied().take(FIFO).collect();
        self.backlog = state.backlog.iter().copied().take(BACKLOG).collect();
        self.state = State {
            received: Vec::new(),
            backlog: Vec::new(),
            ..state.clone()
        };
        if !self.received.is_empty() && self.state.ier & IER_RECEIVED != 0 {
            self.irq.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn port() -> (Serial, Arc<AtomicU32>, Arc<Mutex<Vec<u8>>>) {
        let (n, out) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (m, sink) = (Arc::clone(&n), Arc::clone(&out));
        let irq = Arc::new(move || {
            m.fetch_add(1, Ordering::Relaxed);
        });
        let put = move |b| sink.lock().unwrap().push(b);
        (Serial::new(irq, Box::new(put)), n, out)
    }

    #[test]
    fn output_goes_out_and_is_told_once() {
        let (mut s, n, out) = port();
        s.write(0, b'a');
        assert_eq!(n.load(Ordering::Relaxed), 0);
        assert_eq!(s.read(5), 0x60);
        s.write(1, 0x02);
        assert_eq!(n.load(Ordering::Relaxed), 1, "asked while it is empty");
        assert_eq!(s.read(2), 0x02);
        assert_eq!(s.read(2), 0x01, "told once");
        s.write(0, b'b');
        assert_eq!(s.read(2), 0x02);
        assert_eq!(*out.lock().unwrap(), b"ab");
    }

    #[test]
    fn input_waits_for_room_and_nothing_is_lost() {
        let (mut s, n, _) = port();
        s.write(2, 0xc1);
        s.write(1, 1);
        let sent: Vec<u8> = (0..100).collect();
        assert_eq!(s.input(&sent), 100);
        assert!(n.load(Ordering::Relaxed) > 0);
        assert_eq!(s.read(2), 0xc4);
        let mut got = Vec::new();
        while s.read(5) & 1 != 0 {
            got.push(s.read(0));
        }
        assert_eq!(got, sent);
        assert_eq!(s.read(2), 0xc1);
        assert_eq!(
            s.input(&[0; BACKLOG + 100]),
            BACKLOG,
            "the FIFO takes of the backlog afterwards"
        );
        assert_eq!(s.room(), FIFO);
    }

    #[test]
    fn without_fifo_one_byte_at_a_time() {
        let (mut s, n, _) = port();
        s.write(1, 1);
        s.input(b"xyz");
        assert_eq!((s.read(2), s.read(0)), (0x04, b'x'));
        assert_eq!(n.load(Ordering::Relaxed), 2, "one for each that comes in");
        s.write(2, 1);
        assert_eq!(
            s.read(0),
            b'z',
            "turning the FIFO on empties the receiver and fills it again"
        );
    }

    #[test]
    fn the_latch_hides_data_and_enable() {
        let (mut s, _, out) = port();
        s.write(3, 0x83);
        s.write(0, 0x34);
        s.write(1, 0x12);
        assert_eq!((s.read(0), s.read(1)), (0x34, 0x12));
        s.write(3, 3);
        assert_eq!((s.read(1), s.read(3)), (0, 3));
        s.write(7, 0x5a);
        assert_eq!(s.read(7), 0x5a);
        assert_eq!(s.read(9), 0xff);
        assert!(out.lock().unwrap().is_empty());
    }

    #[test]
    fn the_loop_as_drivers_probe_it() {
        let (mut s, _, out) = port();
        s.write(4, 0x1a);
        assert_eq!(s.read(6) & 0xf0, 0x90);
        s.write(0, b'q');
        assert_eq!(s.read(0), b'q');
        s.input(b"later");
        assert_eq!(s.read(5) & 1, 0);
        s.write(4, 0x08);
        assert_eq!(s.read(0), b'l');
        assert!(out.lock().unwrap().is_empty());
    }

    #[test]
    fn what_was_saved_goes_on() {
        let (mut s, _, _) = port();
        s.write(2, 1);
        s.write(1, 5);
        s.input(b"0123456789abcdefghij");
        s.read(0);
        let saved = s.save();
        let (mut t, n, _) = port();
        t.restore(&saved);
        assert_eq!(n.load(Ordering::Relaxed), 1);
        let mut got = Vec::new();
        while t.read(5) & 1 != 0 {
            got.push(t.read(0));
        }
        assert_eq!(got, b"123456789abcdefghij");
        t.line_break();
        assert_eq!(t.read(2) & 0x0f, 0x06);
        assert_eq!(t.read(5) & 0x11, 0x11);
        assert_eq!(t.read(5) & 0x10, 0);
    }
}
