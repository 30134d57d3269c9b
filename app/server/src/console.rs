//! What the session tells about itself to its own small HTTP service: its numbers, itself, its panes. The service runs
//! beside the session and asks; the answer is made here, on the session's thread, from what there is.

use std::{fmt::Write as _, sync::mpsc};

use qd_core::Wake;
use qd_mux::Format;
use qd_panes::{Console, Page};
use tokio::sync::oneshot;

use crate::session::Session;

/// What is asked, until the session has its turn.
pub(crate) type Asked = mpsc::Receiver<(Page, oneshot::Sender<String>)>;

/// The way to ask a session, and where it hears.
pub(crate) fn console(wake: Wake) -> (Console, Asked) {
    let (ask, asked) = mpsc::channel();
    let console: Console = std::sync::Arc::new(move |page, reply| {
        // A session that has ended answers nothing.
        if ask.send((page, reply)).is_ok() {
            wake();
        }
    });
    (console, asked)
}

/// Ticks in a second, as `/proc` counts processor time: the kernel gives it in hundredths on every machine that this runs on.
const TICKS: f64 = 100.0;

/// Processor seconds, and resident bytes, of this process.
fn process() -> (f64, u64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let stat = read("stat");
    // The name may hold blanks and brackets; what follows the last one is numbers.
    let rest = stat.rsplit_once(')').map(|(_, r)| r).unwrap_or_default();
    let number = |at: usize| {
        rest.split_whitespace()
            .nth(at)
            .and_then(|w| w.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let status = read("status");
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    ((number(11) + number(12)) as f64 / TICKS, rss.unwrap_or(0u64) * 1024)
}

impl Session {
    /// Answers everything that was asked meanwhile.
    pub(crate) fn answer_console(&mut self) {
        while let Ok((page, reply)) = self.asked.try_recv() {
            let text = match page {
                Page::Metrics => self.metrics(),
                Page::Session => self.itself(),
                Page::Panes => self.list_panes(Format::Json),
            };
            // Who asked may have left.
            let _gone = reply.send(text);
        }
    }

    fn itself(&self) -> String {
        let created = self.created.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let list = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
        let (cpu, rss) = process();
        let value = serde_json::json!({
            "name": self.name, "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(),
            "created": created.as_secs(), "uptime_seconds": self.started.elapsed().as_secs(),
            "cpu_seconds": cpu, "resident_bytes": rss, "panes": self.slots.len(),
            "tabs": list(self.list_tabs(Format::Json)), "clients": list(self.list_clients(Format::Json)),
        });
        format!("{value}\n")
    }

    fn metrics(&self) -> String {
        let mut out = String::new();
        let mut put = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let one = |n: f64| vec![(String::new(), n)];
        let mut kinds: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
        for slot in self.slots.values() {
            *kinds.entry(slot.pane.kind()).or_default() += 1.0;
        }
        let kinds: Vec<(String, f64)> = kinds.iter().map(|(k, n)| (format!("{{kind=\"{k}\"}}"), *n)).collect();
        let (cpu, rss) = process();
        let clients = self.clients.values().filter(|c| c.is_attached()).count();
        put("quarterdeck_panes", "gauge", "Panes of the session, by kind.", &kinds);
        put(
            "quarterdeck_tabs",
            "gauge",
            "Tabs of the session.",
            &one(self.model.tabs().len() as f64),
        );
        put(
            "quarterdeck_clients",
            "gauge",
            "Terminals that are attached.",
            &one(clients as f64),
        );
        let dead = self.slots.values().filter(|s| s.pane.is_dead()).count();
        put(
            "quarterdeck_panes_ended",
            "gauge",
            "Panes whose program has ended.",
            &one(dead as f64),
        );
        let up = self.started.elapsed().as_secs_f64();
        put(
            "quarterdeck_uptime_seconds",
            "gauge",
            "Seconds since the session began.",
            &one(up.round()),
        );
        put(
            "process_cpu_seconds_total",
            "counter",
            "Processor time of the session.",
            &one(cpu),
        );
        put(
            "process_resident_memory_bytes",
            "gauge",
            "Memory of the session.",
            &one(rss as f64),
        );
        out
    }
}
