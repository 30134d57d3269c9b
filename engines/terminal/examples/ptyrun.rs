//! Runs a command in a terminal without a screen until it ends, then prints its last screen: for conformance suites that
//! talk to the terminal they run in. `cargo run --release -p qd-terminal --example ptyrun -- COLS ROWS COMMAND…`

use std::process::ExitCode;

use qd_terminal::{ScrollbackLimits, SpawnSpec, Terminal};
use qd_tty::Size;
use rustix::event::{PollFd, PollFlags, poll};

#[allow(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let cols = args.next().ok_or("columns are missing")?.parse()?;
    let rows = args.next().ok_or("rows are missing")?.parse()?;
    let mut t = Terminal::spawn(&SpawnSpec {
        command: args.collect(),
        cwd: std::env::current_dir().ok(),
        env: Vec::new(),
        env_remove: Vec::new(),
        size: Size::new(cols, rows),
        scrollback: ScrollbackLimits::default(),
    })?;
    while let Some(fd) = t.fd() {
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None)?;
        t.read_turn(65_536)?;
        t.flush()?;
        t.take_events();
    }
    // Its own processor time, without the child's: fields 14 and 15 of /proc/self/stat, in hundredths of a second.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    if let [user, system] = fields.get(11..13).unwrap_or_default() {
        eprintln!("own processor time: {user}0 ms user, {system}0 ms system");
    }
    let top = t.vt().screen_top_line();
    for line in top..top + u64::from(t.vt().size().rows) {
        println!("{}", t.vt().line_text(line).unwrap_or_default());
    }
    loop {
        if let Some(s) = t.try_wait() {
            return Ok(ExitCode::from(u8::try_from(s.code.unwrap_or(1)).unwrap_or(1)));
        }
        std::thread::yield_now();
    }
}
