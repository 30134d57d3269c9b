//! Every kind of body as it is shown, and any bytes as any kind.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use qd_proxy_content::{Body, Kind, Limits, Rules, View, show};

fn view(bytes: &[u8], content_type: &str) -> View {
    let body = Body {
        bytes,
        content_type,
        ..Body::default()
    };
    show(&body, None, &Rules::default(), Limits::default())
}

fn lines(bytes: &[u8], content_type: &str, kind: Kind) -> String {
    let view = view(bytes, content_type);
    assert_eq!(
        (view.kind, view.notes.as_slice()),
        (kind, &[] as &[String]),
        "{:?}",
        view.lines
    );
    view.lines.join("\n")
}

#[test]
fn json_by_type_and_by_looks() {
    let text = br#"{"a":1,"api_key":"x"}"#;
    let shown = "{\n  \"a\": 1,\n  \"api_key\": [redacted]\n}";
    for content_type in [
        "application/json",
        "application/problem+json; charset=utf-8",
        "",
        "application/octet-stream",
    ] {
        assert_eq!(lines(text, content_type, Kind::Json), shown);
    }
    // What says that it is JSON and is not is shown as what it is.
    assert_eq!(lines(b"not json", "application/json", Kind::Text), "not json");
}

#[test]
fn forms_are_unescaped_and_covered() {
    let shown = lines(
        b"q=a+b%26c&password=hunter2&x=%zz&flag",
        "application/x-www-form-urlencoded",
        Kind::Form,
    );
    assert_eq!(shown, "q = a b&c\npassword = [redacted]\nx = %zz\nflag = ");
}

#[test]
fn multipart_shows_its_parts() {
    let body = "--XX\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n\
                --XX\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n\
                --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n\u{1}\u{0}\r\n--XX--\r\n";
    let shown = lines(body.as_bytes(), "multipart/form-data; boundary=\"XX\"", Kind::Multipart);
    assert!(
        shown.contains("part 1, 7 bytes") && shown.contains("\"a\": 1"),
        "{shown}"
    );
    assert!(shown.contains("[redacted]") && !shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("part 3, 2 bytes") && shown.contains("00000000  01 00"),
        "{shown}"
    );
}

#[test]
fn grpc_messages_without_a_schema() {
    // 1: 150, 2: "testing", 3 { 1: 1 }, 4: 1.5 as a double
    let message = b"\x08\x96\x01\x12\x07testing\x1a\x02\x08\x01\x21\x00\x00\x00\x00\x00\x00\xf8\x3f";
    let mut body = vec![0, 0, 0, 0, message.len() as u8];
    body.extend_from_slice(message);
    body.extend_from_slice(&[0x80, 0, 0, 0, 14]);
    body.extend_from_slice(b"grpc-status: 0");
    let shown = lines(&body, "application/grpc-web+proto", Kind::Grpc);
    assert_eq!(
        shown,
        "message 1, 25 bytes\n  1: 150  (zigzag 75)\n  2: \"testing\"\n  3 {\n    1: 1\n  }\n  \
         4: 1.5  (fixed64 4609434218613702656)\ntrailers, 14 bytes\n  grpc-status: 0"
    );
    assert!(lines(message, "application/x-protobuf", Kind::Protobuf).starts_with("1: 150"));
    assert_eq!(view(b"\xff\xff", "application/x-protobuf").kind, Kind::Hex);
    // A message whose bytes are all printable: 1 { 1: "64 letters" }.
    let inner = [b"\x0a\x40".as_slice(), &[b'a'; 64]].concat();
    let outer = [&[0x0a, inner.len() as u8], inner.as_slice()].concat();
    let shown = lines(&outer, "application/protobuf", Kind::Protobuf);
    assert_eq!(shown, format!("1 {{\n  1: \"{}\"\n}}", "a".repeat(64)));
}

#[test]
fn msgpack_is_laid_out() {
    // {"a": [1, -2, 1.5, null], "token": {"x": 1}, "b": bytes}
    let body =
        b"\x83\xa1a\x94\x01\xfe\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc0\xa5token\x81\xa1x\x01\xa1b\xc4\x02\x00\xff";
    let shown = lines(body, "application/msgpack", Kind::Msgpack);
    assert_eq!(
        shown,
        "{\n  \"a\": [\n    1\n    -2\n    1.5\n    null\n  ]\n  \"token\": [redacted]\n  \"b\": 2 bytes: 00 ff\n}"
    );
    let cut = view(&body[..9], "application/msgpack");
    assert!(cut.lines.last().unwrap().contains("no value"), "{cut:?}");
}

#[test]
fn markup_text_and_charsets() {
    let html = "<!DOCTYPE html><html><body><p>a<br>b</p><script>if (a<b) {}</script></body></html>";
    let shown = lines(html.as_bytes(), "text/html", Kind::Markup);
    assert!(
        shown.contains("\n      <p>\n        a\n        <br>\n        b\n      </p>") || shown.contains("<p>"),
        "{shown}"
    );
    assert!(shown.contains("if (a<b) {}"));
    assert_eq!(
        lines(b"gr\xfc\xdfe", "text/plain; charset=iso-8859-1", Kind::Text),
        "grüße"
    );
    assert_eq!(lines(b"a\x1b[31mb\tc\n", "text/plain", Kind::Hex).lines().count(), 1);
    let long = format!("{}\x1b[31m", "x".repeat(100));
    assert!(lines(long.as_bytes(), "text/plain", Kind::Text).ends_with("\\x1b[31m"));
    assert_eq!(
        lines(b"id Bearer abcdefgh12345", "text/plain", Kind::Text),
        "id [redacted]"
    );
}

#[test]
fn encodings_and_bounds_are_told() {
    let body = Body {
        bytes: b"nonsense",
        content_encoding: "gzip",
        ..Body::default()
    };
    let shown = show(&body, None, &Rules::default(), Limits::default());
    assert!(shown.notes[0].contains("ends early"), "{shown:?}");
    let limits = Limits {
        lines: 3,
        ..Limits::default()
    };
    let many = Body {
        bytes: b"[1,2,3,4,5,6]",
        content_type: "application/json",
        ..Body::default()
    };
    let shown = show(&many, None, &Rules::default(), limits);
    assert_eq!(
        (shown.lines.len(), shown.notes.as_slice()),
        (3, &["cut: more than 3 lines".to_owned()][..])
    );
    let shown = show(&many, Some(Kind::Multipart), &Rules::default(), Limits::default());
    assert_eq!(
        (shown.kind, shown.notes.as_slice()),
        (Kind::Json, &["this is no multipart".to_owned()][..])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn any_bytes_as_any_kind_are_bounded_and_harmless(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\":,-\r\n<>=&%0\x81\x91\xa1\x0a"[..])], 0..400),
        kind in prop::option::of(prop::sample::select(&Kind::ALL[..])),
        encoding in prop::sample::select(vec!["", "gzip", "br", "zstd", "deflate", "br, gzip", "x"]),
        content_type in prop::sample::select(vec!["", "multipart/mixed; boundary=-", "text/plain; charset=utf-16", "application/json"]),
        lines in 1usize..40,
        line in 1usize..40,
    ) {
        let body = Body { bytes: &bytes, content_type, content_encoding: encoding, grpc_encoding: "gzip" };
        let limits = Limits { decoded: 2_000, lines, line };
        let view = show(&body, kind, &Rules::default(), limits);
        prop_assert!(view.lines.len() <= lines);
        for text in view.lines.iter().chain(&view.notes) {
            prop_assert!(text.len() <= line.max(80) + 64, "{text:?}");
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}
