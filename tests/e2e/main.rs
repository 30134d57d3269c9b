//! End to end: the release binary in a PTY, its screen read through a terminal emulator. Every wait is for a condition on
//! what a person sees; nothing sleeps and hopes.

mod arrows;
mod basics;
mod harness;
mod lifecycle;
mod mirror;
mod term;
