//! What opening and indexing a log costs: `index FILE…` prints the time to the first screen, the time and CPU seconds of the
//! full index, and the memory.

use std::io::Write;
use std::time::{Duration, Instant};

use qd_logs_view::{Anchor, Options, View};

fn cpu() -> f64 {
    let ns = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    ns.tv_sec as f64 + ns.tv_nsec as f64 / 1e9
}

fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn main() -> qd_logs_view::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout();
    let began = Instant::now();
    let view = View::open(&paths, Options::default())?;
    let screen = view.rows(Anchor::End, 60, 0)?;
    let first = began.elapsed();
    view.wait_until(Duration::from_secs(3600), |snapshot| snapshot.indexed);
    let all = began.elapsed();
    let used = cpu();
    let snapshot = view.snapshot();
    let mut say = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    for source in &snapshot.sources {
        say(format!(
            "{}: {} lines, {} bytes, {:?}, {:?}",
            source.name, source.lines, source.len, source.formats, source.span
        ));
        source.notes.iter().for_each(|note| say(format!("  note: {note}")));
    }
    say(format!(
        "first screen ({} rows): {:.2} ms",
        screen.rows.len(),
        first.as_secs_f64() * 1e3
    ));
    say(format!(
        "full index: {:.3} s, {used:.3} CPU-s, {} lines",
        all.as_secs_f64(),
        snapshot.lines
    ));
    if let (Some(first), Some(last)) = (view.start()?, view.end()?) {
        let began = Instant::now();
        let half = view.at_share(0.5)?;
        let share = began.elapsed();
        let began = Instant::now();
        let time = view.time_of(last)?.zip(view.time_of(first)?);
        let middle = time.map(|(a, b)| qd_core::Timestamp(b.0 / 2 + a.0 / 2));
        let at = middle.map(|at| view.at_time(at)).transpose()?;
        say(format!(
            "to 50 %: {:.3} ms ({half:?}); to the middle time: {:.3} ms ({at:?})",
            share.as_secs_f64() * 1e3,
            began.elapsed().as_secs_f64() * 1e3
        ));
    }
    if let Some(all) = view.histogram(None, 1)? {
        let (total, levels) = (all.total(0), all.buckets[0]);
        say(format!(
            "entries: {total} (trace, debug, info, warn, error, fatal, none: {levels:?})"
        ));
    }
    say(format!(
        "memory: {} KiB at the highest, {} KiB now",
        memory("VmHWM:"),
        memory("VmRSS:")
    ));
    Ok(())
}
