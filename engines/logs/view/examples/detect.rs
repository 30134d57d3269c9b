//! Which format each file is found to be in: `detect FILE…` prints name, formats, lines and the first and last time.

use std::io::Write;
use std::time::Duration;

use qd_logs_view::{Options, View};

fn main() {
    let mut out = std::io::stdout();
    for path in std::env::args().skip(1) {
        let line = match View::open([&path], Options::default()) {
            Ok(view) => {
                view.wait_until(Duration::from_secs(60), |snapshot| snapshot.indexed);
                let snapshot = view.snapshot();
                let source = &snapshot.sources[0];
                let span = source.span.map(|(a, b)| format!("{a} {b}")).unwrap_or_default();
                format!("{path}\t{}\t{}\t{span}", source.formats.join(","), source.lines)
            }
            Err(error) => format!("{path}\t{error}"),
        };
        let _ = writeln!(out, "{line}");
    }
}
