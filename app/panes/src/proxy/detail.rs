//! Everything about one flow, in lines: the request, the answer, where the time went, and the bytes as they were.

use std::time::Duration;

use qd_core::Bytes;
use qd_proxy::{Timings, telemetry::Message};
use qd_proxy_content::{Body, Kind, Limits, Rules, escape, show};
use qd_ui::Role;

use super::{
    ProxyPane,
    book::Seen,
    draw::{Line, short},
    export,
    rows::status_role,
};

/// A part of what is shown of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Part {
    Request,
    #[default]
    Answer,
    Time,
    Raw,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Request, Part::Answer, Part::Time, Part::Raw];

    pub(super) fn word(self) -> &'static str {
        match self {
            Part::Request => "request",
            Part::Answer => "answer",
            Part::Time => "time",
            Part::Raw => "raw",
        }
    }
}

/// What is shown of the flow under the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Detail {
    pub(super) part: Part,
    /// How the body is shown; by its type when not chosen.
    pub(super) kind: Option<Kind>,
    /// The first line that is shown.
    pub(super) from: usize,
}

/// Lines that were made, and of what: a body is decoded once and not at every drawing.
#[derive(Debug)]
pub(super) struct Laid {
    of: (u64, Part, Option<Kind>, u16, bool),
    pub(super) lines: Vec<Line>,
}

/// How much of a body is laid out.
const LIMITS: Limits = Limits {
    decoded: 4 << 20,
    lines: 20_000,
    line: 2_000,
};

fn field(name: &str, value: impl Into<String>) -> Line {
    vec![(format!("{name:<12} "), Role::TextDim), (value.into(), Role::Text)]
}

fn heading(words: &str) -> Line {
    vec![(words.to_owned(), Role::TextInfo)]
}

/// Lines of a header, secrets covered.
fn headers(list: &[(String, Vec<u8>)]) -> Vec<Line> {
    let rules = Rules::default();
    list.iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value);
            vec![
                (format!("{}: ", escape(name)), Role::TextDim),
                (escape(&rules.header(name, &value)), Role::Text),
            ]
        })
        .collect()
}

/// A body as it is read, and how.
fn body(m: &Message, kind: Option<Kind>) -> qd_proxy_content::View {
    let text = |name: &str| {
        m.header(name)
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .unwrap_or_default()
    };
    let (ty, encoding, grpc) = (text("content-type"), text("content-encoding"), text("grpc-encoding"));
    let body = Body {
        bytes: &m.body,
        content_type: &ty,
        content_encoding: &encoding,
        grpc_encoding: &grpc,
    };
    show(&body, kind, &Rules::default(), LIMITS)
}

fn body_lines(m: &Message, kind: Option<Kind>) -> Vec<Line> {
    if m.size == 0 && m.body.is_empty() {
        return vec![vec![("no body".to_owned(), Role::TextDim)]];
    }
    let view = body(m, kind);
    let mut words = format!("{} as {}", Bytes(m.size), view.kind.name());
    if m.size > m.body.len() as u64 {
        words.push_str(&format!(", the first {} of them were kept", Bytes(m.body.len() as u64)));
    }
    let mut out = vec![vec![(words, Role::TextDim)]];
    out.extend(view.notes.into_iter().map(|n| vec![(n, Role::TextWarn)]));
    out.extend(view.lines.into_iter().map(|l| vec![(l, Role::Text)]));
    out
}

fn trailers(m: &Message) -> Vec<Line> {
    if m.trailers.is_empty() {
        return Vec::new();
    }
    let mut out = vec![Vec::new(), heading("trailers")];
    out.extend(headers(&m.trailers));
    out
}

fn message(m: &Message, kind: Option<Kind>) -> Vec<Line> {
    let mut out = headers(&m.headers);
    out.push(Vec::new());
    out.extend(body_lines(m, kind));
    out.extend(trailers(m));
    out
}

fn request(seen: &Seen, kind: Option<Kind>) -> Vec<Line> {
    let t = &seen.told;
    let mut out = vec![vec![
        (format!("{} ", escape(&t.method)), Role::TextInfo),
        (escape(&t.path), Role::Text),
        (format!(" {}", seen.more.version), Role::TextDim),
    ]];
    out.extend(message(&t.request, kind));
    out
}

fn answer(seen: &Seen, kind: Option<Kind>) -> Vec<Line> {
    let t = &seen.told;
    let mut out = Vec::new();
    if !t.error.is_empty() {
        out.push(vec![
            (format!("{}: ", t.error), Role::TextError),
            (escape(&seen.more.why), Role::TextError),
        ]);
    }
    match t.status {
        None => out.push(vec![("there was no answer".to_owned(), Role::TextError)]),
        Some(status) => {
            let mut line = vec![(format!("{status}"), status_role(t.status))];
            if let Some(code) = t.grpc {
                let name = code.name().unwrap_or("unknown");
                line.push((format!("  grpc {} {name}", code.0), Role::Text));
            }
            out.push(line);
            if t.response.headers.is_empty() && !t.error.is_empty() {
                out.push(vec![("this answer was made by the proxy".to_owned(), Role::TextDim)]);
            } else {
                out.extend(message(&t.response, kind));
            }
        }
    }
    out
}

/// A bar for a stretch of the whole, in a row of cells.
fn bar(from: Duration, to: Duration, all: Duration, width: usize, block: &str) -> String {
    let scale = |d: Duration| match all.is_zero() {
        true => 0,
        false => ((d.as_secs_f64() / all.as_secs_f64()) * width as f64).round() as usize,
    };
    let (a, b) = (scale(from).min(width.saturating_sub(1)), scale(to).min(width));
    format!("{}{}", " ".repeat(a), block.repeat(b.saturating_sub(a).max(1)))
}

/// Where the time of a flow went: name, from, to, and the length of the whole. What came before the request (accepting,
/// handshake, detection) moves all else to the right.
fn stages(t: &Timings, reused: bool) -> Vec<(&'static str, Duration, Duration, Duration)> {
    let before = t.accepted.unwrap_or_default();
    let all = before + t.end;
    let mut out = Vec::new();
    let mut put = |name, from: Duration, to: Duration| out.push((name, from.min(all), to.min(all), all));
    let handshake = t.handshake.unwrap_or_default();
    if t.handshake.is_some() {
        put("TLS", Duration::ZERO, handshake);
    }
    if let Some(detect) = t.detect {
        put("detecting", handshake, handshake + detect);
    }
    let chosen = t.chosen.unwrap_or_default();
    if t.chosen.is_some() {
        put("queued", before, before + chosen);
    }
    if !t.held.is_zero() {
        put("held", before, before + t.held);
    }
    let mut at = chosen;
    if let Some(connected) = t.connected {
        let tls = t.upstream_handshake.unwrap_or_default();
        let name = if reused { "connection" } else { "connecting" };
        put(name, before + at, before + connected.saturating_sub(tls).max(at));
        if !tls.is_zero() {
            put("its TLS", before + connected.saturating_sub(tls), before + connected);
        }
        at = connected;
    }
    if let Some(sent) = t.sent {
        put("sending", before + at, before + sent);
        at = sent;
    }
    match t.first_byte {
        None => put("no answer", before + at, all),
        Some(first) => {
            put("waiting", before + at, before + first);
            let data = t.first_data.unwrap_or(first);
            if data > first {
                put("first data", before + first, before + data);
            }
            put("receiving", before + data, all);
        }
    }
    out
}

fn time(seen: &Seen, width: u16, block: &str) -> Vec<Line> {
    let t = &seen.told;
    let mut out = vec![
        field("began", t.started.date_time(&super::now().zone)),
        field("took", t.duration.map(short).unwrap_or_else(|| "not known".to_owned())),
    ];
    if let Some(timings) = &seen.more.timings {
        out.push(Vec::new());
        let room = usize::from(width.saturating_sub(26)).clamp(8, 80);
        for (name, from, to, all) in stages(timings, seen.more.reused) {
            out.push(vec![
                (
                    format!("{name:<12} {:>7}  ", short(to.saturating_sub(from))),
                    Role::TextDim,
                ),
                (bar(from, to, all, room, block), Role::TextInfo),
            ]);
        }
    }
    let more = &seen.more;
    out.push(Vec::new());
    let tries = match more.attempts {
        0 => "none: it was answered by the proxy".to_owned(),
        1 if more.reused => "one, on a connection that was kept".to_owned(),
        1 => "one, on a new connection".to_owned(),
        n => format!("{n}; the last is the one that is shown"),
    };
    out.push(field("tries", tries));
    for (n, a) in more.earlier.iter().enumerate() {
        let end = match (a.fault, a.status) {
            (Some(word), _) => word.to_owned(),
            (None, 0) => "no answer".to_owned(),
            (None, status) => status.to_string(),
        };
        let took = short(a.ended.saturating_sub(a.began));
        let text = format!(
            "{}  {end} after {took}, begun at {}",
            escape(&a.endpoint),
            short(a.began)
        );
        out.push(field(&format!("  try {}", n + 1), text));
    }
    let some = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            escape(text)
        }
    };
    out.push(field("endpoint", some(&t.endpoint)));
    out.push(field("cluster", some(&more.cluster)));
    out.push(field("route", some(&t.route)));
    out.push(field("listener", some(&more.listener)));
    let client = t.src.map_or_else(|| "a local one".to_owned(), |s| s.to_string());
    out.push(field("client", format!("{client}, connection {}", more.connection)));
    out.push(field("tls", if t.tls.is_some() { "yes" } else { "no" }));
    out.push(field("version", more.version));
    out.push(field("sent", Bytes(t.request.size).to_string()));
    out.push(field("received", Bytes(t.response.size).to_string()));
    if !t.notes.comment.is_empty() {
        out.push(field("comment", escape(&t.notes.comment)));
    }
    out
}

fn raw(seen: &Seen) -> Vec<Line> {
    let mut covered = seen.clone();
    covered.told = export::covered(&seen.told);
    let bytes = export::raw(&covered);
    let body = Body {
        bytes: &bytes,
        content_type: "text/plain",
        ..Body::default()
    };
    let kind = match std::str::from_utf8(&bytes) {
        Ok(_) => Kind::Text,
        Err(_) => Kind::Hex,
    };
    let view = show(&body, Some(kind), &Rules::default(), LIMITS);
    // An end of line is seen as one.
    let plain = |l: String| l.strip_suffix("\\r").map(str::to_owned).unwrap_or(l);
    view.lines.into_iter().map(|l| vec![(plain(l), Role::Text)]).collect()
}

fn plain(lines: Vec<Line>) -> Vec<String> {
    let text = |l: Line| l.into_iter().map(|(t, _)| t).collect();
    lines.into_iter().map(text).collect()
}

/// The request as plain lines.
pub(super) fn plain_request(seen: &Seen) -> Vec<String> {
    plain(request(seen, None))
}

/// The answer as plain lines.
pub(super) fn plain_response(seen: &Seen) -> Vec<String> {
    plain(answer(seen, None))
}

/// Breaks lines at a width.
fn wrapped(lines: Vec<Line>, width: u16) -> Vec<Line> {
    use unicode_width::UnicodeWidthChar as _;
    let room = usize::from(width.max(8));
    let mut out = Vec::new();
    for line in lines {
        let (mut row, mut used): (Line, usize) = (Vec::new(), 0);
        for (text, role) in line {
            let mut piece = String::new();
            for c in text.chars() {
                let w = c.width().unwrap_or(0);
                if used + w > room {
                    row.push((std::mem::take(&mut piece), role));
                    out.push(std::mem::take(&mut row));
                    used = 0;
                }
                piece.push(c);
                used += w;
            }
            row.push((piece, role));
        }
        out.push(row);
    }
    out
}

impl ProxyPane {
    /// The lines of the part that is shown, made once for each flow, part and width.
    pub(super) fn lay_detail(&mut self, width: u16, block: &str) {
        let (Some(d), Some(seen)) = (self.detail, self.current()) else {
            self.laid = None;
            return;
        };
        let of = (seen.seq, d.part, d.kind, width, self.wrap);
        if self.laid.as_ref().is_some_and(|l| l.of == of) {
            return;
        }
        let lines = match d.part {
            Part::Request => request(&seen, d.kind),
            Part::Answer => answer(&seen, d.kind),
            Part::Time => time(&seen, width, block),
            Part::Raw => raw(&seen),
        };
        let lines = if self.wrap { wrapped(lines, width) } else { lines };
        self.laid = Some(Laid { of, lines });
    }

    /// Another part of what is shown.
    pub(super) fn turn_detail(&mut self, forward: bool) {
        let Some(d) = &mut self.detail else { return };
        let n = Part::ALL.len();
        let at = Part::ALL.iter().position(|p| *p == d.part).unwrap_or(0);
        let to = (at + if forward { 1 } else { n - 1 }) % n;
        d.part = Part::ALL.get(to).copied().unwrap_or_default();
        (d.kind, d.from) = (None, 0);
    }

    /// Another way to show the body.
    pub(super) fn next_kind(&mut self) {
        let Some(seen) = self.current() else { return };
        let Some(d) = &mut self.detail else { return };
        let m = match d.part {
            Part::Request => &seen.told.request,
            Part::Answer => &seen.told.response,
            _ => return self.tell("v is for the bodies of the request and the answer", true),
        };
        let now = d.kind.unwrap_or_else(|| body(m, None).kind);
        let at = Kind::ALL.iter().position(|k| *k == now).unwrap_or(0);
        d.kind = Kind::ALL.get((at + 1) % Kind::ALL.len()).copied();
        d.from = 0;
        let name = d.kind.map_or("", Kind::name);
        self.tell(format!("as {name}"), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_the_time_was() {
        let ms = Duration::from_millis;
        assert_eq!(bar(ms(0), ms(50), ms(100), 10, "#"), "#####");
        assert_eq!(bar(ms(50), ms(100), ms(100), 10, "#"), "     #####");
        assert_eq!(bar(ms(100), ms(100), ms(100), 10, "#").len(), 10);
        assert_eq!(bar(ms(0), ms(0), ms(0), 10, "#"), "#");
    }

    #[test]
    fn lines_are_broken_at_the_width() {
        let line = vec![("abcd".to_owned(), Role::Text), ("efghij".to_owned(), Role::TextDim)];
        let rows = plain(wrapped(vec![line], 8));
        assert_eq!(rows, ["abcdefgh", "ij"]);
    }
}
