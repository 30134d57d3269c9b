//! Feeds files to an emulator as a pty would, and tells the speed and the memory.
//! `cargo run --release -p qd-terminal --example vtbench -- FILE…`

use std::time::Instant;

use qd_terminal::{ScrollbackLimits, Vt};
use qd_tty::Size;

/// A line of /proc/self/status, in KiB.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[allow(clippy::print_stdout, reason = "it is a program")]
fn main() -> std::io::Result<()> {
    for file in std::env::args().skip(1) {
        let mut bytes = std::fs::read(&file)?;
        if file.ends_with(".txt") {
            // What the line discipline does to a line feed.
            let mut out = Vec::with_capacity(bytes.len() * 102 / 100);
            for b in &bytes {
                if *b == b'\n' {
                    out.push(b'\r');
                }
                out.push(*b);
            }
            bytes = out;
        }
        let before = status("VmRSS");
        let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
        let start = Instant::now();
        for chunk in bytes.chunks(4095) {
            vt.feed(chunk);
            vt.take_events();
        }
        let t = start.elapsed().as_secs_f64();
        let mb = bytes.len() as f64 / 1e6;
        println!(
            "{file}: {mb:.0} MB in {t:.3} s = {:.0} MB/s; history {}, own count {} KiB, RSS +{} KiB",
            mb / t,
            vt.history_len(),
            vt.memory() / 1024,
            status("VmRSS").saturating_sub(before)
        );
    }
    let before = status("VmRSS");
    let panes: Vec<Vt> = (0..50)
        .map(|_| {
            let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
            vt.feed(b"$ ");
            vt
        })
        .collect();
    println!(
        "{} idle panes: +{} KiB",
        panes.len(),
        status("VmRSS").saturating_sub(before)
    );
    let before = status("VmRSS");
    let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
    for i in 0..10_100 {
        vt.feed(format!("{i:08} lorem ipsum dolor sit amet consectetur adipiscing elit sed do\r\n").as_bytes());
    }
    println!(
        "a pane filled with {} lines: +{} KiB",
        vt.history_len(),
        status("VmRSS").saturating_sub(before)
    );
    Ok(())
}
