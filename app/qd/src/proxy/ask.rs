//! Looking into a proxy that another process runs: `qd proxy stat`, `top`, `routes`, `endpoints`, `tap` and `har`.

use std::{
    io::{BufRead, BufReader, IsTerminal, Lines, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use qd_proxy::{control, control::Ask, telemetry::har};
use qd_proxy_content::escape;
use serde_json::Value;

use super::args::{HarArgs, TapArgs, TopArgs, WhichArgs};
use crate::{Failure, connect, print};

/// How long an admin address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its answer at most.
const ANSWER: u64 = 64 << 20;

fn folder() -> Result<PathBuf, Failure> {
    Ok(connect::paths()?.runtime_dir.join("proxy"))
}

/// The proxy of a name, or the only one.
fn find(name: Option<&str>) -> Result<UnixStream, Failure> {
    let dir = folder()?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            // One that was killed leaves its socket behind.
            let lives = |n: &String| control::socket(&dir, n).is_ok_and(|p| UnixStream::connect(p).is_ok());
            let mut all: Vec<String> = control::names(&dir).into_iter().filter(lives).collect();
            match (all.pop(), all.as_slice()) {
                (Some(only), []) => only,
                (None, _) => {
                    return Err(Failure::failed(
                        "no proxy runs; qd proxy --listen 127.0.0.1:8080 --to 127.0.0.1:3000 starts one",
                    ));
                }
                (Some(last), rest) => {
                    return Err(Failure::usage(format!(
                        "several proxies run; --name says which: {}, {last}",
                        rest.join(", ")
                    )));
                }
            }
        }
    };
    let path = control::socket(&dir, &name).map_err(Failure::usage)?;
    UnixStream::connect(&path).map_err(|e| Failure::failed(format!("no proxy named {name} answers: {e}")))
}

/// Lines of JSON that a proxy answers with.
struct Answers {
    lines: Lines<BufReader<UnixStream>>,
    socket: UnixStream,
    /// When there is nothing more to wait for.
    until: Option<Instant>,
}

impl Answers {
    fn of(name: Option<&str>, ask: &Ask) -> Result<Answers, Failure> {
        let mut stream = find(name)?;
        let text = serde_json::to_string(ask).map_err(|e| Failure::of(&e))?;
        stream
            .write_all(format!("{text}\n").as_bytes())
            .map_err(|e| Failure::of(&e))?;
        Ok(Answers {
            socket: stream.try_clone().map_err(|e| Failure::of(&e))?,
            lines: BufReader::new(stream).lines(),
            until: None,
        })
    }

    fn next(&mut self) -> Result<Option<Value>, Failure> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return Ok(None);
            }
        }
        let Some(line) = self.lines.next() else { return Ok(None) };
        let Ok(line) = line else { return Ok(None) };
        let value: Value =
            serde_json::from_str(&line).map_err(|e| Failure::failed(format!("a strange answer: {e}")))?;
        match value["error"].as_str() {
            // A request has an error too, but also a method.
            Some(e) if value["method"].is_null() => Err(Failure::usage(e)),
            _ => Ok(Some(value)),
        }
    }
}

/// The picture that an admin address gives.
fn by_admin(address: &str) -> Result<Value, Failure> {
    let fail = |e: &dyn std::fmt::Display| Failure::failed(format!("{address}: {e}"));
    let mut stream = TcpStream::connect(address).map_err(|e| fail(&e))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| fail(&e))?;
    let ask = format!("GET /snapshot HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).map_err(|e| fail(&e))?;
    let mut text = Vec::new();
    stream.take(ANSWER).read_to_end(&mut text).map_err(|e| fail(&e))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if head.split(' ').nth(1).is_none_or(|s| s != "200") {
        let line = head.lines().next().unwrap_or_default();
        return Err(fail(&format!("this is no proxy's admin address: {}", escape(line))));
    }
    serde_json::from_str(body).map_err(|e| fail(&e))
}

fn snapshot(a: &WhichArgs) -> Result<Value, Failure> {
    if let Some(address) = &a.admin {
        return by_admin(address);
    }
    let mut answers = Answers::of(a.name.as_deref(), &Ask::Snapshots { every_ms: 3_600_000 })?;
    answers.next()?.ok_or_else(|| Failure::failed("the proxy has ended"))
}

/// Rows in columns; the first at the left, the others at the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut all = vec![head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|r| r.iter().map(|c| escape(c)).collect()));
    let widths: Vec<usize> = (0..head.len())
        .map(|i| {
            all.iter()
                .filter_map(|r| r.get(i))
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (c, w))| if i == 0 { format!("{c:<w$}") } else { format!("{c:>w$}") })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn text(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn number(v: &Value, digits: usize) -> String {
    v.as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.digits$}"))
}

/// `qd proxy stat`.
pub(super) fn stat(a: &WhichArgs) -> Result<(), Failure> {
    let s = snapshot(a)?;
    if a.json {
        print(&format!("{s}\n"));
        return Ok(());
    }
    let t = &s["totals"];
    let class = |n: usize| text(&t["classes"][n]);
    let mut out = String::new();
    for l in s["listeners"].as_array().into_iter().flatten() {
        let connections = text(&l["connections"]);
        out.push_str(&format!(
            "listener {}: {}, {connections} connections\n",
            text(&l["name"]),
            text(&l["address"])
        ));
    }
    out.push_str(&format!(
        "requests {} (2xx {}, 3xx {}, 4xx {}, 5xx {}, none {})\nretries {}, answered by the proxy {}\n",
        text(&t["requests"]),
        class(2),
        class(3),
        class(4),
        class(5),
        class(0),
        text(&t["retries"]),
        text(&t["faults"]),
    ));
    let bytes = |key: &str| qd_core::Bytes(t[key].as_u64().unwrap_or(0)).to_string();
    out.push_str(&format!(
        "bytes {} in, {} out\n",
        bytes("request_bytes"),
        bytes("response_bytes")
    ));
    for f in s["faults"].as_array().into_iter().flatten() {
        let left = number(&f["expires"], 0);
        out.push_str(&format!(
            "fault {}: {}, ends in {left} s\n",
            text(&f["id"]),
            text(&f["action"])
        ));
    }
    print(&escape_lines(&out));
    Ok(())
}

fn escape_lines(text: &str) -> String {
    text.lines().map(|l| format!("{}\n", escape(l))).collect()
}

fn endpoint_rows(s: &Value) -> String {
    let rows: Vec<Vec<String>> = s["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            let state = match (e["draining"].as_bool(), e["breaker"].as_str()) {
                (Some(true), _) => "draining".to_owned(),
                (_, Some("closed")) => "ready".to_owned(),
                (_, Some("open")) => format!("open {}s", number(&e["next_probe"], 0)),
                (_, other) => other.unwrap_or("-").to_owned(),
            };
            vec![
                text(&e["address"]),
                text(&e["cluster"]),
                state,
                format!("{}ms", number(&e["latency_ms"], 1)),
                text(&e["pending"]),
                text(&e["streak"]),
                text(&e["connections"]),
                text(&e["requests"]),
                text(&e["failures"]),
            ]
        })
        .collect();
    let head = [
        "ENDPOINT", "CLUSTER", "STATE", "EWMA", "PENDING", "STREAK", "CONNS", "REQUESTS", "FAILED",
    ];
    table(&head, &rows)
}

/// `qd proxy endpoints`.
pub(super) fn endpoints(a: &WhichArgs) -> Result<(), Failure> {
    let s = snapshot(a)?;
    match a.json {
        true => print(&format!("{}\n", s["endpoints"])),
        false => print(&endpoint_rows(&s)),
    }
    Ok(())
}

/// `qd proxy top`.
pub(super) fn top(a: &TopArgs) -> Result<(), Failure> {
    let every_ms = a.interval.max(50);
    let mut answers = match a.which.admin {
        Some(_) => None,
        None => Some(Answers::of(a.which.name.as_deref(), &Ask::Snapshots { every_ms })?),
    };
    let mut first = true;
    let mut next = || match &mut answers {
        Some(answers) => answers.next(),
        None => {
            if !std::mem::take(&mut first) {
                std::thread::sleep(Duration::from_millis(every_ms));
            }
            snapshot(&a.which).map(Some)
        }
    };
    let clear = std::io::stdout().is_terminal() && !a.which.json;
    let mut before: Option<(Instant, u64)> = None;
    let mut left = a.count;
    while left != Some(0)
        && let Some(s) = next()?
    {
        let requests = s["totals"]["requests"].as_u64().unwrap_or(0);
        let now = Instant::now();
        let rate = before.map_or(0.0, |(at, n)| {
            requests.saturating_sub(n) as f64 / now.duration_since(at).as_secs_f64().max(1e-3)
        });
        before = Some((now, requests));
        left = left.map(|n| n - 1);
        if a.which.json {
            print(&format!("{s}\n"));
            continue;
        }
        let home = if clear { "\x1b[H\x1b[2J" } else { "" };
        let connections = text(&s["connection_count"]);
        print(&format!(
            "{home}{requests} requests, {rate:.0}/s, {connections} connections\n\n{}",
            endpoint_rows(&s)
        ));
    }
    Ok(())
}

/// `qd proxy tap`.
pub(super) fn tap(a: &TapArgs) -> Result<(), Failure> {
    if a.which.admin.is_some() {
        return Err(Failure::usage(
            "requests are told on this machine only: --name says of which proxy",
        ));
    }
    let ask = Ask::Tap {
        filter: a.filter.clone(),
    };
    let mut answers = Answers::of(a.which.name.as_deref(), &ask)?;
    let mut left = a.count;
    while left != Some(0)
        && let Some(v) = answers.next()?
    {
        if let Some(n) = v["dropped"].as_u64() {
            crate::complain(&format!("{n} requests are not shown: they came too fast"));
            continue;
        }
        if v["method"].is_null() {
            continue;
        }
        left = left.map(|n| n - 1);
        if a.which.json {
            print(&format!("{v}\n"));
            continue;
        }
        let time = text(&v["time"]);
        let error = v["error"].as_str().map(|e| format!("  {e}")).unwrap_or_default();
        let line = format!(
            "{time} {} {} {}{}  {}ms {}  {}{error}",
            text(&v["status"]),
            text(&v["method"]),
            text(&v["host"]),
            text(&v["path"]),
            number(&v["duration_ms"], 1),
            qd_core::Bytes(v["size"].as_u64().unwrap_or(0)),
            text(&v["endpoint"]),
        );
        print(&format!("{}\n", escape(&line)));
    }
    Ok(())
}

/// `qd proxy routes`.
pub(super) fn routes(a: &WhichArgs) -> Result<(), Failure> {
    let s = snapshot(a)?;
    if a.json {
        print(&format!("{}\n", s["routes"]));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = s["routes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| {
            let e = &r["effective"];
            let success = e["success"]
                .as_f64()
                .map_or("-".to_owned(), |n| format!("{:.1}%", n * 100.0));
            vec![
                text(&r["name"]),
                text(&r["listener"]),
                success,
                number(&e["rps"], 1),
                number(&e["p50_ms"], 1),
                number(&e["p95_ms"], 1),
                number(&e["p99_ms"], 1),
                text(&r["requests"]),
                text(&r["failures"]),
                text(&r["retries"]),
                text(&r["timeouts"]),
            ]
        })
        .collect();
    let head = [
        "ROUTE", "LISTENER", "SUCCESS", "REQ/S", "P50 MS", "P95 MS", "P99 MS", "REQUESTS", "FAILED", "RETRIES",
        "TIMEOUTS",
    ];
    print(&table(&head, &rows));
    Ok(())
}

/// `qd proxy har`.
pub(super) fn har(a: &HarArgs) -> Result<(), Failure> {
    let follow = a.count.is_some() || a.seconds.is_some();
    let ask = Ask::Har {
        filter: a.filter.clone(),
        follow,
    };
    let mut answers = Answers::of(a.name.as_deref(), &ask)?;
    answers.until = a.seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let mut entries = Vec::new();
    while a.count.is_none_or(|n| entries.len() < n)
        && let Some(v) = answers.next()?
    {
        if v["request"].is_object() {
            let entry: har::Entry = serde_json::from_value(v).map_err(|e| Failure::of(&e))?;
            entries.push(entry);
        }
    }
    let har = har::Har {
        log: har::Log {
            version: "1.2".to_owned(),
            creator: har::Creator {
                name: "Quarterdeck".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            entries,
        },
    };
    let json = serde_json::to_string_pretty(&har).map_err(|e| Failure::of(&e))?;
    match &a.output {
        Some(path) => {
            std::fs::write(path, json).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
            crate::complain(&format!("{} flows are in {}", har.log.entries.len(), path.display()));
        }
        None => print(&format!("{json}\n")),
    }
    Ok(())
}
