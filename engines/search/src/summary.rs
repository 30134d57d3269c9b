//! The statistics at the end.

use std::io::{self, Write};
use std::time::Duration;

use grep_printer::Stats;

use crate::flags::low::Show;

/// Writes the statistics of a whole run, as text or as a message in JSON.
pub(crate) fn write(show: Show, stats: &Stats, elapsed: Duration, to: &mut dyn Write) -> io::Result<()> {
    match show {
        Show::Json => json(stats, elapsed, to),
        _ => text(stats, elapsed, to),
    }
}

/// The statistics, with so many bytes less printed.
pub(crate) fn less_printed(stats: &Stats, bytes: u64) -> Stats {
    let mut less = Stats::new();
    less.add_elapsed(stats.elapsed());
    less.add_searches(stats.searches());
    less.add_searches_with_match(stats.searches_with_match());
    less.add_bytes_searched(stats.bytes_searched());
    less.add_bytes_printed(stats.bytes_printed().saturating_sub(bytes));
    less.add_matched_lines(stats.matched_lines());
    less.add_matches(stats.matches());
    less
}

fn text(stats: &Stats, elapsed: Duration, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to)?;
    writeln!(to, "{} matches", stats.matches())?;
    writeln!(to, "{} matched lines", stats.matched_lines())?;
    writeln!(to, "{} files contained matches", stats.searches_with_match())?;
    writeln!(to, "{} files searched", stats.searches())?;
    writeln!(to, "{} bytes printed", stats.bytes_printed())?;
    writeln!(to, "{} bytes searched", stats.bytes_searched())?;
    writeln!(to, "{:0.6} seconds spent searching", stats.elapsed().as_secs_f64())?;
    writeln!(to, "{:0.6} seconds total", elapsed.as_secs_f64())
}

fn json(stats: &Stats, elapsed: Duration, to: &mut dyn Write) -> io::Result<()> {
    let total = serde_json::json!({
        "secs": elapsed.as_secs(),
        "nanos": elapsed.subsec_nanos(),
        "human": format!("{:0.6}s", elapsed.as_secs_f64()),
    });
    let summary = serde_json::json!({
        "type": "summary",
        "data": { "stats": stats, "elapsed_total": total },
    });
    serde_json::to_writer(&mut *to, &summary)?;
    to.write_all(b"\n")
}
