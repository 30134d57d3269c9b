//! The thin client: it takes the terminal raw, finds out what it can do, turns its bytes into input events for the
//! server and lends it the terminal to write to, or writes the frames itself where that cannot be. It owns the terminal
//! while it runs and gives it back on every path; it holds no session state and never draws anything itself.

pub mod decode;
mod keys;
pub mod modes;
pub mod probe;
mod run;
mod signals;
mod tty;

pub use run::{ClientError, Exit, Mouse, Options, Probe, Writer, run, run_on};
pub use tty::terminal_size;

/// Entry points for fuzzing: bytes from a terminal.
pub mod fuzz {
    use crate::decode::Decoder;

    /// Feeds arbitrary bytes to the input decoder, whole and cut in three, and flushes it.
    pub fn decoder(data: &[u8]) {
        let mut whole = Vec::new();
        let mut d = Decoder::new();
        d.push(data, &mut whole);
        d.flush(&mut whole);
        let mut cut = Vec::new();
        let mut d = Decoder::new();
        for part in data.chunks(data.len() / 3 + 1) {
            d.push(part, &mut cut);
        }
        d.flush(&mut cut);
        assert!(whole == cut, "the decoder depends on how its input is cut");
    }
}
