//! A flow for other programs: a curl command, its bytes, a copy without secrets.

use qd_proxy::telemetry::{Flow as Told, Message};
use qd_proxy_content::{Rules, decode};
use qd_search_live::shell_quote;

use super::book::Seen;

/// Bytes of a decoded body that are copied.
const DECODED: usize = 4 << 20;

/// Fields that curl writes by itself, or that belong to one connection.
const OWN: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "upgrade",
];

/// The command that sends the same request to the listener; to the host of the flow where that is not known.
pub(super) fn curl(told: &Told, listener: Option<&str>) -> String {
    let mut words = vec!["curl".to_owned()];
    if told.method == "HEAD" {
        words.push("-I".to_owned());
    } else if told.method != "GET" {
        words.push("-X".to_owned());
        words.push(shell_quote(&told.method));
    }
    let socket = listener.and_then(|l| l.strip_prefix("unix:"));
    let tcp = listener
        .filter(|_| socket.is_none())
        .map(|l| l.replace("0.0.0.0:", "127.0.0.1:"));
    let url = match (&tcp, socket) {
        (Some(address), _) => {
            words.push("-H".to_owned());
            words.push(shell_quote(&format!("Host: {}", told.host)));
            format!("{}://{address}{}", told.scheme, told.path)
        }
        (None, Some(path)) => {
            words.push("--unix-socket".to_owned());
            words.push(shell_quote(path));
            told.url().to_owned()
        }
        (None, None) => told.url().to_owned(),
    };
    for (name, value) in &told.request.headers {
        if OWN.iter().any(|o| name.eq_ignore_ascii_case(o)) || name.starts_with(':') {
            continue;
        }
        let value = String::from_utf8_lossy(value);
        // curl takes a field without a value for one to be left out.
        let line = match value.is_empty() {
            true => format!("{name};"),
            false => format!("{name}: {value}"),
        };
        words.push("-H".to_owned());
        words.push(shell_quote(&line));
    }
    if !told.request.body.is_empty() {
        words.push("--data-binary".to_owned());
        match std::str::from_utf8(&told.request.body) {
            Ok(text) if !text.contains('\0') && !text.starts_with('@') => words.push(shell_quote(text)),
            _ => {
                // Bytes that are no text go through printf, which every shell has.
                let octal: String = told.request.body.iter().map(|b| format!("\\{b:03o}")).collect();
                words.push("@-".to_owned());
                words.push(shell_quote(&url));
                return format!("printf '{octal}' | {}", words.join(" "));
            }
        }
    }
    words.push(shell_quote(&url));
    words.join(" ")
}

fn message(out: &mut Vec<u8>, m: &Message) {
    for (name, value) in &m.headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&m.body);
    for (name, value) in &m.trailers {
        out.extend_from_slice(format!("\r\n{name}: ").as_bytes());
        out.extend_from_slice(value);
    }
}

/// The request and the answer as they passed, chunks aside.
pub(super) fn raw(seen: &Seen) -> Vec<u8> {
    let told = &seen.told;
    let mut out = format!("{} {} {}\r\n", told.method, told.path, seen.more.version).into_bytes();
    message(&mut out, &told.request);
    out.extend_from_slice(b"\r\n\r\n");
    if let Some(status) = told.status {
        out.extend_from_slice(format!("{} {status}\r\n", seen.more.version).as_bytes());
        message(&mut out, &told.response);
    }
    out
}

/// A body without its encodings.
pub(super) fn body(m: &Message) -> Vec<u8> {
    let encoding = m
        .header("content-encoding")
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    decode(&m.body, &encoding, DECODED).bytes
}

/// The flow with the values of secret fields covered.
pub(super) fn covered(told: &Told) -> Told {
    let rules = Rules::default();
    let mut told = told.clone();
    let cover = |m: &mut Message| {
        for (name, value) in m.headers.iter_mut().chain(&mut m.trailers) {
            let text = String::from_utf8_lossy(value).into_owned();
            let shown = rules.header(name, &text);
            if shown != text {
                *value = shown.into_owned().into_bytes();
            }
        }
    };
    cover(&mut told.request);
    cover(&mut told.response);
    told.changed();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            method: "POST".to_owned(),
            scheme: "http".to_owned(),
            host: "shop.test".to_owned(),
            path: "/a?q='x'".to_owned(),
            request: Message {
                headers: vec![
                    ("Content-Type".to_owned(), b"text/plain".to_vec()),
                    ("Content-Length".to_owned(), b"4".to_vec()),
                    ("Authorization".to_owned(), b"Bearer abc".to_vec()),
                ],
                body: b"it's".to_vec(),
                ..Message::default()
            },
            ..Told::default()
        }
    }

    #[test]
    fn a_curl_line_says_the_same() {
        let line = curl(&told(), Some("127.0.0.1:8080"));
        assert!(line.starts_with("curl -X POST -H 'Host: shop.test' "), "{line}");
        assert!(
            line.contains("-H 'Content-Type: text/plain'") && !line.contains("Content-Length"),
            "{line}"
        );
        assert!(line.contains("--data-binary"), "{line}");
        let mut bytes = told();
        bytes.request.body = vec![0, 255];
        let line = curl(&bytes, None);
        assert!(
            line.starts_with("printf '\\000\\377' | curl") && line.contains("http://shop.test/a"),
            "{line}"
        );
        assert!(curl(&told(), Some("unix:/a b")).contains("--unix-socket '/a b'"));
    }

    #[test]
    fn secrets_are_covered_in_files() {
        let told = covered(&told());
        assert_eq!(
            told.request.header("authorization"),
            Some(qd_proxy_content::COVER.as_bytes())
        );
        assert_eq!(told.request.header("content-type"), Some(&b"text/plain"[..]));
    }
}
