//! How long a log pane takes to draw while it evaluates: `log_draws FILE FILTER` opens FILE, waits for its index, adds the
//! filter as if it were typed, and draws 60 times a second until everything is looked at. Prints the keys' and the draws'
//! middle, 99th percentile and longest, in microseconds: beside other programs, the time on a processor says what was done.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail loudly"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use qd_frame::Frame;
use qd_mux::PaneSpec;
use qd_panes::{Factories, Focus, Pane, Surroundings, TestKinds};
use qd_tty::{InputEvent, Key, KeyEvent, Mods, Rect, Size};
use qd_ui::{Glyphs, Look, Theme};

fn report(name: &str, mut all: Vec<u128>) {
    all.sort_unstable();
    if let (Some(last), Some(middle), Some(high)) = (all.last(), all.get(all.len() / 2), all.get(all.len() * 99 / 100))
    {
        println!(
            "{name}: {} of them, middle {middle}, 99 % {high}, longest {last} \u{b5}s",
            all.len()
        );
    }
}

/// Nanoseconds that this thread has run.
fn on_cpu() -> u128 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u128 * 1_000_000_000 + t.tv_nsec as u128
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (file, filter) = (args.next().expect("a file"), args.next().expect("a filter"));
    let size = Size::new(200, 60);
    let mut spec = PaneSpec {
        kind: "logs".to_owned(),
        ..PaneSpec::default()
    };
    spec.args.insert("path".to_owned(), file);
    let state = std::env::temp_dir().join(format!("log-draws-{}", std::process::id()));
    spec.args.insert("state".to_owned(), state.display().to_string());
    let factories = Factories::new(Arc::new(|| {}), TestKinds::Hidden, Surroundings::default());
    let mut pane = factories.make(&spec, size).expect("it opens");
    pane.resize(size);
    let theme = Theme::builtin("mono").expect("it ships");
    let look = Look::new(&theme, qd_frame::ColorDepth::Mono, Glyphs::Unicode);
    let mut frame = Frame::new(size);
    let area = Rect::new(0, 0, size.cols, size.rows);
    let mut busy = Vec::new();
    let mut draw = |pane: &mut Box<dyn Pane>| {
        let (begun, before) = (Instant::now(), on_cpu());
        pane.draw(&mut frame, area, &look, Focus::Focused);
        busy.push((on_cpu() - before) / 1000);
        begun.elapsed().as_micros()
    };
    while pane.status().contains("indexing") {
        draw(&mut pane);
        std::thread::sleep(Duration::from_millis(16));
    }
    let key = |pane: &mut Box<dyn Pane>, key: Key| {
        let begun = Instant::now();
        pane.input(&InputEvent::Key(KeyEvent::new(key, Mods::empty())));
        begun.elapsed().as_micros()
    };
    let (mut keys, mut draws) = (Vec::new(), Vec::new());
    for c in std::iter::once('/').chain(filter.chars()) {
        keys.push(key(&mut pane, Key::Char(c)));
        draws.push(draw(&mut pane));
        std::thread::sleep(Duration::from_millis(16));
    }
    keys.push(key(&mut pane, Key::Enter));
    let begun = Instant::now();
    // The last second is without evaluation, unless that takes longer.
    while begun.elapsed() < Duration::from_secs(6) {
        draws.push(draw(&mut pane));
        if draws.len() % 10 == 0 {
            keys.push(key(&mut pane, Key::Up));
        }
        std::thread::sleep(Duration::from_millis(16));
    }
    println!("{}", pane.status());
    report("keys", keys);
    report("draws", draws);
    report("draws, time on a processor alone", busy);
    let _gone = std::fs::remove_dir_all(state);
}
