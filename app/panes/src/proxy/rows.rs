//! The rows of each view: what stands in them, which is under the cursor, and in which order.

use std::time::Duration;

use qd_core::{Bytes, Fields, ValueRef};
use qd_proxy::Snapshot;
use qd_ui::Role;

use super::{
    ProxyPane, View,
    book::Seen,
    draw::{count, rate, short},
};

/// A column: its heading, its width, and whether its text stands at the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) width: u16,
    pub(super) right: bool,
}

const fn left(head: &'static str, width: u16) -> Column {
    Column {
        head,
        width,
        right: false,
    }
}

const fn right(head: &'static str, width: u16) -> Column {
    Column {
        head,
        width,
        right: true,
    }
}

/// The columns of a view; the first takes what is left, the last go first when there is no room.
pub(super) fn columns(view: View) -> &'static [Column] {
    const FLOWS: &[Column] = &[
        left("path", 20),
        left("status", 7),
        left("method", 7),
        left("time", 9),
        right("took", 7),
        right("size", 8),
        left("endpoint", 22),
        left("host", 22),
        left("route", 14),
        right("tries", 6),
        left("client", 22),
    ];
    const ERRORS: &[Column] = &[
        left("path", 16),
        left("status", 7),
        left("method", 7),
        left("time", 9),
        left("cause", 18),
        right("took", 7),
        left("endpoint", 22),
        right("tries", 6),
        left("why", 40),
    ];
    const ROUTES: &[Column] = &[
        left("route", 14),
        right("success", 9),
        right("req/s", 7),
        right("p50", 7),
        right("p95", 7),
        right("p99", 7),
        right("requests", 9),
        right("tries", 9),
        right("retries", 8),
        right("timeouts", 9),
        right("actual", 8),
        left("listener", 14),
    ];
    const ENDPOINTS: &[Column] = &[
        left("endpoint", 20),
        left("state", 14),
        right("ewma", 7),
        right("pending", 8),
        right("cost", 8),
        right("streak", 7),
        right("conns", 8),
        right("requests", 9),
        right("failed", 7),
        right("weight", 7),
        left("cluster", 14),
    ];
    const CONNECTIONS: &[Column] = &[
        left("client", 21),
        left("spoken", 10),
        right("age", 7),
        right("requests", 9),
        right("in", 9),
        right("out", 9),
        left("listener", 14),
        left("tls", 4),
        left("state", 9),
    ];
    match view {
        View::Live => FLOWS,
        View::Errors => ERRORS,
        View::Routes => ROUTES,
        View::Endpoints => ENDPOINTS,
        View::Connections => CONNECTIONS,
    }
}

/// A row: by what it is known, what stands in its columns, and how it looks.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) cells: Vec<String>,
    /// What it is sorted by, for each column.
    weights: Vec<f64>,
    pub(super) role: Role,
    /// The look of the second cell, where it differs.
    pub(super) accent: Option<Role>,
    pub(super) marked: bool,
}

/// By which column the rows of the views without flows are sorted; 0 is as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Order([usize; 5]);

/// The look of a status.
pub(super) fn status_role(status: Option<u16>) -> Role {
    match status.unwrap_or(0) / 100 {
        2 | 1 => Role::Http2xx,
        3 => Role::Http3xx,
        4 => Role::Http4xx,
        _ => Role::Http5xx,
    }
}

/// A value of a filter, quoted where it must be.
pub(super) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    if !value.is_empty() && value.chars().all(plain) && !value.starts_with('/') {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The name of an endpoint without the directories of a socket.
pub(super) fn endpoint_name(address: &str) -> String {
    match address
        .strip_prefix("unix:")
        .or_else(|| address.starts_with('/').then_some(address))
    {
        Some(path) => format!("unix:{}", path.rsplit('/').next().unwrap_or(path)),
        None => address.to_owned(),
    }
}

/// What is shown of a flow.
pub(super) fn flow(seen: &Seen, view: View) -> Row {
    let t = &seen.told;
    let status = match (t.status, t.grpc) {
        (_, Some(code)) if code.0 != 0 => format!("grpc {}", code.0),
        (Some(s), _) => s.to_string(),
        (None, _) => "-".to_owned(),
    };
    let took = t.duration.map(short).unwrap_or_default();
    let time = t.started.time_of_day(&super::now().zone);
    let time = time.get(..8).unwrap_or(&time).to_owned();
    let note = match (t.notes.replay, t.notes.comment.is_empty()) {
        (true, true) => " (replayed)".to_owned(),
        (replay, false) => format!("{}  # {}", if replay { " (replayed)" } else { "" }, t.notes.comment),
        (false, true) => String::new(),
    };
    let path = format!("{}{note}", t.path);
    let tries = seen.more.attempts.to_string();
    let endpoint = endpoint_name(&t.endpoint);
    let client = t.src.map(|s| s.to_string()).unwrap_or_default();
    let cells = match view {
        View::Errors => vec![
            path,
            status,
            t.method.clone(),
            time,
            match t.error.is_empty() {
                true => "the answer".to_owned(),
                false => t.error.clone(),
            },
            took,
            endpoint,
            tries,
            seen.more.why.clone(),
        ],
        _ => vec![
            path,
            status,
            t.method.clone(),
            time,
            took,
            Bytes(t.response.size).to_string(),
            endpoint,
            t.host.clone(),
            t.route.clone(),
            tries,
            client,
        ],
    };
    let role = match seen.failed() {
        true => Role::TextError,
        false => Role::Text,
    };
    Row {
        key: seen.seq.to_string(),
        weights: Vec::new(),
        cells,
        role,
        accent: Some(match t.grpc {
            Some(code) if code.0 != 0 => Role::TextError,
            _ => status_role(t.status),
        }),
        marked: t.notes.marked,
    }
}

fn routes(s: &Snapshot) -> Vec<Row> {
    let row = |r: &qd_proxy::RouteView| {
        let e = &r.effective;
        let ms = |n: Option<f64>| n.map_or_else(String::new, |n| short(Duration::from_secs_f64(n.max(0.0) / 1e3)));
        let good = match r.requests {
            0 => 100.0,
            n => n.saturating_sub(r.failures) as f64 * 100.0 / n as f64,
        };
        // The last minute's, where there was anything.
        let good = e.success.map_or(good, |s| s * 100.0);
        let attempts = r.requests + r.retries;
        let role = match good {
            g if g < 95.0 => Role::TextError,
            g if g < 99.9 => Role::TextWarn,
            _ => Role::TextOk,
        };
        Row {
            key: format!("{}\n{}", r.listener, r.name),
            cells: vec![
                r.name.to_string(),
                format!("{good:.1}%"),
                rate(e.rps),
                ms(e.p50_ms),
                ms(e.p95_ms),
                ms(e.p99_ms),
                count(r.requests),
                count(attempts),
                count(r.retries),
                count(r.timeouts),
                r.actual
                    .success
                    .map_or_else(String::new, |s| format!("{:.1}%", s * 100.0)),
                r.listener.to_string(),
            ],
            weights: vec![
                0.0,
                -good,
                e.rps,
                e.p50_ms.unwrap_or(0.0),
                e.p95_ms.unwrap_or(0.0),
                e.p99_ms.unwrap_or(0.0),
                r.requests as f64,
                attempts as f64,
                r.retries as f64,
                r.timeouts as f64,
                -r.actual.success.unwrap_or(1.0),
                0.0,
            ],
            role: Role::Text,
            accent: Some(role),
            marked: false,
        }
    };
    // What took no route is shown when there was any of it.
    let shown = |r: &&qd_proxy::RouteView| &*r.name != "-" || r.requests > 0;
    s.routes.iter().filter(shown).map(row).collect()
}

fn endpoints(s: &Snapshot) -> Vec<Row> {
    let row = |e: &qd_proxy::EndpointView| {
        let (state, role) = match (e.draining, e.breaker, e.next_probe) {
            (true, "closed", _) => ("draining".to_owned(), Role::TextWarn),
            (true, other, _) => (format!("draining {other}"), Role::TextWarn),
            (_, "open", Some(left)) => (format!("open {left:.0}s"), Role::TextError),
            (_, "open", None) => ("open".to_owned(), Role::TextError),
            (_, "probing", _) => ("probing".to_owned(), Role::TextWarn),
            _ if e.health == "down" => ("unhealthy".to_owned(), Role::TextError),
            _ => ("ready".to_owned(), Role::TextOk),
        };
        let cost = e.cost / 1e6;
        Row {
            key: e.id.to_string(),
            cells: vec![
                endpoint_name(&e.address),
                state,
                format!("{:.1}ms", e.latency_ms),
                e.pending.to_string(),
                match cost {
                    c if c < 1000.0 => format!("{c:.1}"),
                    c => count(c as u64),
                },
                e.streak.to_string(),
                format!("{}/{}", e.connections.saturating_sub(e.idle), e.idle),
                count(e.requests),
                count(e.failures),
                e.weight.to_string(),
                e.cluster.to_string(),
            ],
            weights: vec![
                0.0,
                f64::from(u8::from(e.breaker != "closed") + u8::from(e.draining)),
                e.latency_ms,
                f64::from(e.pending),
                e.cost,
                f64::from(e.streak),
                e.connections as f64,
                e.requests as f64,
                e.failures as f64,
                f64::from(e.weight),
                0.0,
            ],
            role: Role::Text,
            accent: Some(role),
            marked: false,
        }
    };
    s.endpoints.iter().map(row).collect()
}

fn connections(s: &Snapshot) -> Vec<Row> {
    let row = |c: &qd_proxy::ConnView| {
        let spoken = match c.spoken {
            qd_proxy::Spoken::Detecting => "detecting",
            qd_proxy::Spoken::Http1 => "HTTP/1",
            qd_proxy::Spoken::Http2 => "HTTP/2",
            qd_proxy::Spoken::Opaque => "bytes",
        };
        Row {
            key: c.id.to_string(),
            cells: vec![
                c.peer.map_or_else(|| format!("local {}", c.id), |p| p.to_string()),
                spoken.to_owned(),
                age(c.age),
                count(c.requests),
                Bytes(c.received).to_string(),
                Bytes(c.sent).to_string(),
                c.listener.to_string(),
                if c.tls { "yes" } else { "no" }.to_owned(),
                if c.draining { "draining" } else { "open" }.to_owned(),
            ],
            weights: vec![
                0.0,
                0.0,
                c.age,
                c.requests as f64,
                c.received as f64,
                c.sent as f64,
                0.0,
                0.0,
                0.0,
            ],
            role: if c.draining { Role::TextWarn } else { Role::Text },
            accent: None,
            marked: false,
        }
    };
    s.connections.iter().map(row).collect()
}

/// Seconds in at most six characters.
fn age(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0}s"),
        s if s < 3600.0 => format!("{:.0}m", (s / 60.0).floor()),
        s if s < 86_400.0 => format!("{:.0}h", (s / 3600.0).floor()),
        s => format!("{:.0}d", (s / 86_400.0).floor()),
    }
}

impl ProxyPane {
    /// The rows of a view that shows no flows, in their order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let s = self.snapshot();
        let mut rows = match self.view {
            View::Routes => routes(&s),
            View::Endpoints => endpoints(&s),
            View::Connections => connections(&s),
            View::Live | View::Errors => Vec::new(),
        };
        let by = self.order.0.get(self.view.place()).copied().unwrap_or(0);
        if by > 0 {
            let weight = |r: &Row| r.weights.get(by).copied().unwrap_or(0.0);
            rows.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        }
        rows
    }

    /// The next column to sort by.
    pub(super) fn next_order(&mut self) {
        if self.view.is_flows() {
            self.tell("flows stand in the order in which they ended", true);
            return;
        }
        let sortable = |at: usize| {
            let column = columns(self.view).get(at);
            at == 0 || column.is_some_and(|c| c.right) || self.view == View::Endpoints && at == 1
        };
        let view = self.view;
        let n = columns(view).len();
        let mut next = self.order.0.get(view.place()).copied().unwrap_or(0);
        loop {
            next = (next + 1) % n;
            if sortable(next) {
                break;
            }
        }
        if let Some(place) = self.order.0.get_mut(view.place()) {
            *place = next;
        }
        let head = columns(view).get(next).map_or("", |c| c.head);
        let words = match next {
            0 => "sorted as they come".to_owned(),
            _ => format!("sorted by {head}"),
        };
        self.tell(words, false);
    }

    /// By what the row under the cursor of a view is known.
    pub(super) fn key_of(&self, view: View) -> Option<String> {
        self.keys.get(view.place()).cloned().flatten()
    }

    /// The place of the row under the cursor.
    pub(super) fn place(&self, rows: &[Row]) -> usize {
        let key = self.key_of(self.view);
        rows.iter().position(|r| Some(&r.key) == key.as_ref()).unwrap_or(0)
    }

    /// How many rows there are, and which is under the cursor.
    pub(super) fn extent(&self, rows: &[Row]) -> (usize, usize) {
        match self.view {
            View::Live => {
                // Those that are kept rise, so the place can be found without looking at all.
                let at = self.shown.partition_point(|s| Some(s.seq) < self.at);
                (self.shown.len(), at.min(self.shown.len().saturating_sub(1)))
            }
            View::Errors => {
                let at = self.errors.iter().position(|s| Some(s.seq) == self.at);
                (self.errors.len(), at.unwrap_or(self.errors.len().saturating_sub(1)))
            }
            _ => (rows.len(), self.place(rows)),
        }
    }

    /// Moves the cursor by some rows.
    pub(super) fn move_row(&mut self, by: i64) {
        let rows = self.rows();
        let (len, at) = self.extent(&rows);
        let to = i64::try_from(at).unwrap_or(0).saturating_add(by).max(0);
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(len.saturating_sub(1));
        if self.view == View::Live {
            // Going up leaves the newest behind; G and the last row come back to it.
            self.follow = by == i64::MAX || self.follow && by >= 0;
        }
        self.go_to_row(to);
    }

    /// Puts the cursor on a row.
    pub(super) fn go_to_row(&mut self, place: usize) {
        match self.view {
            View::Live => {
                if place + 1 < self.shown.len() {
                    self.follow = false;
                }
                self.at = self.shown.get(place).map(|s| s.seq);
            }
            View::Errors => self.at = self.errors.get(place).map(|s| s.seq),
            view => {
                let key = self.rows().get(place).map(|r| r.key.clone());
                if let Some(slot) = self.keys.get_mut(view.place()) {
                    *slot = key;
                }
            }
        }
        if let Some(d) = &mut self.detail {
            d.from = 0;
        }
    }

    /// A filter for what is under the cursor.
    pub(super) fn row_filter(&self) -> Option<String> {
        match self.view {
            View::Routes => {
                let route = self.selected_route()?;
                Some(match route.as_str() {
                    "-" => "-route:*".to_owned(),
                    name => format!("route:{}", quoted(name)),
                })
            }
            View::Endpoints => Some(format!("endpoint:{}", quoted(&self.endpoint()?.address))),
            View::Connections => {
                let peer = self.connection()?.peer?;
                Some(format!("src:{}", quoted(&peer.to_string())))
            }
            View::Live | View::Errors => {
                let seen = self.current()?;
                let path = seen.told.path.split('?').next().unwrap_or_default().to_owned();
                let status = match seen.told.field("status") {
                    Some(ValueRef::Uint(n)) => format!(" status:{n}"),
                    _ => String::new(),
                };
                Some(format!("path:{}{status}", quoted(&path)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_filters() {
        assert_eq!(quoted("web"), "web");
        assert_eq!(quoted("127.0.0.1:80"), "\"127.0.0.1:80\"");
        assert_eq!(quoted("/a \"b\""), "\"/a \\\"b\\\"\"");
        for value in ["/api/x", "a b", "(x)", "-v", "[::1]:8080", ""] {
            let text = format!("path:{}", quoted(value));
            assert!(
                qd_proxy::telemetry::filter(&text, &qd_core::Now::utc(qd_core::Timestamp(0))).is_ok(),
                "{text}"
            );
        }
        assert_eq!(endpoint_name("unix:/run/user/0/x/console-1"), "unix:console-1");
        assert_eq!(endpoint_name("10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(age(59.9), "60s");
        assert_eq!(age(61.0), "1m");
    }
}
