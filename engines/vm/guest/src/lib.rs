//! Guests without an operating system, as ELF images for x86-64.
//!
//! [`demo`] is a shell on the serial port (`assets/guest/demo.c`); [`test`] does what `t=NAME` on its command line says
//! (`guests/test.c`) and is started by the 64-bit Linux boot protocol, [`test_pvh`] is the same one with a PVH entry. All are
//! `None` where the C compiler makes no code for x86-64.

#[cfg(guests)]
macro_rules! guest {
    ($name:literal) => {
        Some(include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".elf")))
    };
}

#[cfg(not(guests))]
macro_rules! guest {
    ($name:literal) => {
        None
    };
}

/// The shell that `qd vm demo` boots.
pub const fn demo() -> Option<&'static [u8]> {
    guest!("demo")
}

/// The guest of the tests.
pub const fn test() -> Option<&'static [u8]> {
    guest!("test")
}

/// The guest of the tests with an entry by PVH.
pub const fn test_pvh() -> Option<&'static [u8]> {
    guest!("test_pvh")
}
