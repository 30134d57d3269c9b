//! End to end: the release binary in a PTY, its screen read through a terminal emulator. Every wait is for a condition on
//! what a person sees; nothing sleeps and hopes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod arrows;
mod basics;
mod cli;
mod config;
mod direct;
mod firsts;
mod harness;
mod input;
mod lifecycle;
mod logs;
mod logs_cli;
mod mirror;
mod panes;
mod pipeline;
mod programs;
mod proxy;
mod robustness;
mod screen;
mod search;
mod survive;
mod term;
