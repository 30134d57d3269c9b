//! Measures searching as one types: the time to the first find, the time until a cancelled query's threads are idle, and the
//! memory of many matches.
//!
//! `measure DIR [TEXT…]` searches for each text over the files below DIR, lets it run and cancels it; `measure --index …` does
//! so with the index that covers DIR, if there is one; `measure --matches N` finds N matches.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::{
    error::Error,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use qd_search_live::{Files, Generations, Kind, Progress, Query, Results, Source, Text, Texts, run};

fn query(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        ..Query::default()
    }
}

/// The resident memory now and at its highest, in MB.
fn memory() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name));
        let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
        kb.unwrap_or(0.0) / 1024.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn matches(n: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let line = b"a needle in a line of some length, as they are\n";
    let files = 100;
    for i in 0..files {
        std::fs::write(dir.path().join(format!("f{i}")), line.repeat(n / files))?;
    }
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(Files::new(dir.path()))];
    let (results, progress) = (Results::default(), Progress::default());
    let compiled = query("needle").compile()?;
    let token = Generations::default().begin();
    let (before, _) = memory();
    let start = Instant::now();
    run::search(&compiled, &sources, None, &token, &results, &progress, &|| {});
    results.settle();
    let took = start.elapsed();
    let (after, peak) = memory();
    println!(
        "{} matches in {:.2} s: resident {after:.0} MB, at most {peak:.0} MB, {before:.0} MB before",
        results.totals().matches,
        took.as_secs_f64()
    );
    Ok(())
}

/// One query: the time to its first find, if it is let run; and the time until it is idle after it was cancelled.
fn typed(sources: &[Arc<dyn Source>], text: &str, stop_after: Option<Duration>) -> Result<Times, Box<dyn Error>> {
    let compiled = query(text).compile()?;
    let (results, progress) = (Results::default(), Progress::default());
    let all = Generations::default();
    let token = all.begin();
    let start = Instant::now();
    let cancelled = std::thread::scope(|s| {
        let running = s.spawn(|| {
            run::search(&compiled, sources, None, &token, &results, &progress, &|| {});
            Instant::now()
        });
        let at = stop_after.map(|after| {
            std::thread::sleep(after);
            let at = Instant::now();
            all.cancel();
            at
        });
        // A thread that panicked has said so.
        let ended = running.join().ok();
        ended
            .zip(at)
            .map_or(Duration::ZERO, |(ended, at)| ended.saturating_duration_since(at))
    });
    Ok(Times {
        first: Duration::from_nanos(progress.first.load(Ordering::Relaxed)),
        whole: start.elapsed(),
        cancelled,
        matches: results.totals().matches,
    })
}

struct Times {
    first: Duration,
    whole: Duration,
    cancelled: Duration,
    matches: u64,
}

fn median(mut v: Vec<Duration>) -> (Duration, Duration) {
    v.sort();
    (
        v.get(v.len() / 2).copied().unwrap_or_default(),
        v.last().copied().unwrap_or_default(),
    )
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

fn measure(files: Files, words: &[String]) -> Result<(), Box<dyn Error>> {
    let sources: Vec<Arc<dyn Source>> = vec![
        Arc::new(Texts::new(
            Kind::History,
            vec![Text::new("h", "history", b"nothing here\n".to_vec())],
        )),
        Arc::new(files),
    ];
    let words: Vec<&str> = if words.is_empty() {
        vec!["PM_RESUME", "use-after-free", "zzqqxxnowhere"]
    } else {
        words.iter().map(String::as_str).collect()
    };
    // The first pass fills the page cache.
    typed(&sources, "fillthecache", None)?;
    for w in words {
        let (mut firsts, mut wholes, mut idles, mut found) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..10 {
            let t = typed(&sources, w, None)?;
            firsts.push(t.first);
            wholes.push(t.whole);
            found = t.matches;
        }
        // All through the time that it takes.
        let step = (wholes.iter().min().copied().unwrap_or_default() / 40).min(Duration::from_millis(4));
        for i in 0..40 {
            let t = typed(&sources, w, Some(step * i))?;
            idles.push(t.cancelled);
        }
        let ((f, fm), (w2, _), (i, im)) = (median(firsts), median(wholes), median(idles));
        println!(
            "{w}: {found} matches; first {:.1} ms (worst {:.1}), all {:.0} ms; idle after a keystroke {:.2} ms (worst {:.2})",
            ms(f),
            ms(fm),
            ms(w2),
            ms(i),
            ms(im)
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [flag, n] if flag == "--matches" => matches(n.parse()?),
        [flag, dir, words @ ..] if flag == "--index" => measure(Files::indexed(dir), words),
        [dir, words @ ..] => measure(Files::new(dir), words),
        _ => Err("measure [--index] DIR [TEXT…] | measure --matches N".into()),
    }
}
