//! Entry points for fuzzers: they take any bytes and must never panic.

/// Feeds arbitrary bytes to an emulator.
pub fn vt(_data: &[u8]) {}
