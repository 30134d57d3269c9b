//! The keyboard controller, as far as a machine without a keyboard needs one: reset, and Ctrl-Alt-Del.
//!
//! A write of 0xfe to the command port pulses the processor's reset line, which is how a Linux guest with `reboot=k` ends.
//! Keys are scan codes in a small queue; the interrupt is raised when the guest asked for it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Interrupt;

/// The first of its ports; the command port is 4 above.
pub const PORT: u16 = 0x60;
/// Its line.
pub const IRQ: u32 = 1;
/// Scan codes that may wait.
const QUEUE: usize = 16;

const STATUS_OUT_FULL: u8 = 0x01;
const STATUS_SYSTEM: u8 = 0x04;
const STATUS_COMMAND: u8 = 0x08;
const STATUS_KEYBOARD_ON: u8 = 0x10;
const CONTROL_IRQ1: u8 = 0x01;
const CONTROL_SYSTEM: u8 = 0x04;

/// What a write asked of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// A reset, by which the machine ends.
    Reset,
}

/// What of it is kept in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    control: u8,
    outport: u8,
    command: u8,
    queue: Vec<u8>,
}

/// The keyboard controller.
pub struct I8042 {
    control: u8,
    outport: u8,
    // The command whose argument is written next to the data port; 0 for none.
    command: u8,
    queue: VecDeque<u8>,
    irq: Arc<dyn Interrupt>,
}

impl std::fmt::Debug for I8042 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("I8042")
            .field("control", &self.control)
            .field("waiting", &self.queue.len())
            .finish()
    }
}

impl I8042 {
    /// One after a reset.
    pub fn new(irq: Arc<dyn Interrupt>) -> I8042 {
        I8042 {
            control: CONTROL_SYSTEM | CONTROL_IRQ1,
            outport: 0,
            command: 0,
            queue: VecDeque::new(),
            irq,
        }
    }

    /// A read of the port `offset` above the first.
    pub fn read(&mut self, offset: u16) -> u8 {
        match offset {
            0 => {
                let byte = self.queue.pop_front().unwrap_or(0);
                if !self.queue.is_empty() {
                    self.interrupt();
                }
                byte
            }
            4 => {
                let full = if self.queue.is_empty() { 0 } else { STATUS_OUT_FULL };
                STATUS_SYSTEM | STATUS_COMMAND | STATUS_KEYBOARD_ON | full
            }
            1 => 0x20,
            _ => 0xff,
        }
    }

    /// A write to the port `offset` above the first.
    pub fn write(&mut self, offset: u16, value: u8) -> Asked {
        match (offset, self.command) {
            (4, _) => {
                self.command = 0;
                match value {
                    0xfe => return Asked::Reset,
                    0x20 => self.say(self.control),
                    0xd0 => self.say(self.outport),
                    // Self tests of controller and keyboard line.
                    0xaa => self.say(0x55),
                    0xab => self.say(0),
                    0x60 | 0xd1..=0xd4 => self.command = value,
                    _ => {}
                }
            }
            (0, 0x60) => (self.control, self.command) = (value, 0),
            (0, 0xd1) => (self.outport, self.command) = (value, 0),
            (0, 0xd2) => {
                self.command = 0;
                self.say(value);
            }
            (0, 0) => {
                // To the keyboard: it acknowledges everything, and says after a reset that it is well.
                self.say(0xfa);
                if value == 0xff {
                    self.say(0xaa);
                }
            }
            (0, _) => self.command = 0,
            _ => {}
        }
        Asked::Nothing
    }

    /// Presses Ctrl-Alt-Del: whether there was room for it.
    pub fn ctrl_alt_del(&mut self) -> bool {
        const KEYS: [u8; 3] = [0x14, 0x11, 0x71];
        if self.queue.len() + KEYS.len() > QUEUE {
            return false;
        }
        self.queue.extend(KEYS);
        self.interrupt();
        true
    }

    fn say(&mut self, byte: u8) {
        if self.queue.len() < QUEUE {
            self.queue.push_back(byte);
            self.interrupt();
        }
    }

    fn interrupt(&self) {
        if self.control & CONTROL_IRQ1 != 0 {
            self.irq.raise();
        }
    }

    /// What is kept in a snapshot.
    pub fn save(&self) -> State {
        State {
            control: self.control,
            outport: self.outport,
            command: self.command,
            queue: self.queue.iter().copied().collect(),
        }
    }

    /// Becomes what was saved; a queue that is too long is cut.
    pub fn restore(&mut self, state: &State) {
        (self.control, self.outport, self.command) = (state.control, state.outport, state.command);
        self.queue = state.queue.iter().copied().take(QUEUE).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn reset_and_keys() {
        let n = Arc::new(AtomicU32::new(0));
        let m = Arc::clone(&n);
        let mut k = I8042::new(Arc::new(move || {
            m.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(k.read(4) & 1, 0);
        assert_eq!(k.write(4, 0xfe), Asked::Reset);
        assert!(k.ctrl_alt_del());
        assert_eq!(n.load(Ordering::Relaxed), 1);
        let saved = k.save();
        assert_eq!([k.read(0), k.read(0), k.read(0), k.read(0)], [0x14, 0x11, 0x71, 0]);
        k.restore(&saved);
        assert_eq!(k.read(4) & 1, 1);
        (0..3).for_each(|_| {
            k.read(0);
        });
        // The guest turns the interrupt off and reads the control byte.
        k.write(4, 0x60);
        k.write(0, 0);
        k.write(4, 0x20);
        let before = n.load(Ordering::Relaxed);
        assert_eq!(k.read(0), 0);
        (0..9).for_each(|_| {
            k.ctrl_alt_del();
        });
        assert_eq!(n.load(Ordering::Relaxed), before);
        assert!(k.queue.len() <= QUEUE);
    }
}
