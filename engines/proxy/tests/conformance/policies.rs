//! Policies of a configuration file on the wire: who may, how much, how long, where to, and what is done on the way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use qd_core::VirtualClock;
use qd_proxy::{Options, Proxy, config, plan::UpstreamProtocol, plan_of};

use crate::harness::*;

/// A proxy of a file in which `{0}`, `{1}` … are the addresses of origins.
pub(crate) fn from_file(text: &str, origins: &[&Origin]) -> Front {
    let mut text = text.to_owned();
    for (at, origin) in origins.iter().enumerate() {
        text = text.replace(&format!("{{{at}}}"), &format!("'{}'", origin.address));
    }
    let loaded = config::parse("p.yaml", &text, qd_tree::Format::Yaml).unwrap_or_else(|e| panic!("{e}"));
    start(&plan_of(&loaded.config).unwrap())
}

const IN: &str = "listeners: [{name: in, address: '127.0.0.1:0'}]\n";

/// Asks once on a connection of its own.
fn once(front: &Front, request: &str) -> (String, String) {
    let mut client = front.connect();
    client.send(request);
    client.message()
}

fn get(front: &Front, path: &str, more: &str) -> (u16, Option<String>) {
    let (head, _) = once(
        front,
        &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n"),
    );
    (status(&head), header(&head, "l5d-proxy-error").map(str::to_owned))
}

/// Answers everything with a name, and counts.
fn play(origin: Origin, name: &'static str, count: &Arc<AtomicUsize>) {
    let count = Arc::clone(count);
    std::thread::spawn(move || {
        while let Some(mut wire) = origin.try_accept(PATIENCE) {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while std::io::Read::read(&mut wire.stream, &mut chunk).is_ok_and(|n| n > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                    if std::io::Write::write_all(&mut wire.stream, answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn who_may_not_come_in_never_reaches_the_upstream() {
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}]\n\
             access:\n\
             - {{name: far, allow: [{{networks: 192.0.2.0/24}}]}}\n\
             - {{name: near, deny: [{{networks: 192.0.2.0/24}}]}}\n\
             routes:\n\
             - {{name: shut, rules: [{{matches: [{{path: {{value: /shut}}}}], backendRefs: [a], access: far}}]}}\n\
             - {{name: open, rules: [{{matches: [{{path: {{value: /open}}}}], backendRefs: [a], access: near}}]}}\n"
        ),
        &[&origin],
    );
    assert_eq!(get(&front, "/shut", ""), (403, Some("denied".to_owned())));
    // The same path in another spelling is the same path.
    assert_eq!(get(&front, "/%73hut", ""), (403, Some("denied".to_owned())));
    assert_eq!(get(&front, "/none", ""), (404, Some("no-route".to_owned())));
    assert!(!origin.was_asked());
    let (asked, count) = (origin, Arc::new(AtomicUsize::new(0)));
    play(asked, "a", &count);
    assert_eq!(get(&front, "/open", "").0, 200);
    let errors = front.proxy.snapshot().errors;
    let denied = errors.iter().find(|e| e.cause == "denied").unwrap();
    assert_eq!((denied.count, denied.last_ms > 0), (2, true));
}

#[test]
fn a_listener_that_is_shut_says_so_of_every_path_and_takes_no_bytes() {
    let origin = Origin::new();
    let text = "access: [{name: far, allow: [{networks: 192.0.2.0/24}]}]\n\
        clusters: [{name: a, endpoints: [{0}]}]\n";
    let http = format!("{text}listeners: [{{name: in, address: '127.0.0.1:0', access: far, backend: a}}]\n");
    let front = from_file(&http, &[&origin]);
    assert_eq!(get(&front, "/", ""), (403, Some("denied".to_owned())));
    let bytes =
        format!("{text}listeners: [{{name: in, address: '127.0.0.1:0', protocol: TCP, access: far, backend: a}}]\n");
    let front = from_file(&bytes, &[&origin]);
    let mut client = front.connect();
    client.ends_well();
    assert!(!origin.was_asked());
}

#[test]
fn requests_beyond_those_in_flight_are_turned_away() {
    let origin = Origin::new();
    let front = from_file(
        "maxInFlight: 1\nlisteners: [{name: in, address: '127.0.0.1:0', backend: a}]\nclusters: [{name: a, endpoints: [{0}]}]\n",
        &[&origin],
    );
    let mut first = front.connect();
    first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    assert_eq!(front.proxy.snapshot().in_flight, 1);
    assert_eq!(get(&front, "/", ""), (503, Some("overloaded".to_owned())));
    upstream.send(OK);
    first.message();
    eventually("the seat is free", || front.proxy.snapshot().in_flight == 0);
}

#[test]
fn a_queue_without_room_turns_away_at_once() {
    let origin = Origin::new();
    let front = from_file(
        "listeners: [{name: in, address: '127.0.0.1:0', backend: a}]\n\
         clusters: [{name: a, endpoints: [{0}], pool: {connections: 1}, queue: {capacity: 1, failfast: 20s}}]\n",
        &[&origin],
    );
    let mut first = front.connect();
    first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    // One waits for the only connection; a third one is one too many.
    let mut second = front.connect();
    second.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the second waits", || {
        front.proxy.snapshot().in_flight == 2 && get(&front, "/", "") == (503, Some("queue-full".to_owned()))
    });
    upstream.send(OK);
    first.message();
    upstream.head();
    upstream.send(OK);
    assert_eq!(second.message().1, "ok");
}

#[test]
fn copies_are_sent_aside_with_their_bodies() {
    let (origin, copy) = (Origin::new(), Origin::new());
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}, {{name: b, endpoints: [{{1}}]}}]\n\
             routes:\n\
             - name: r\n\
             \x20 rules:\n\
             \x20 - backendRefs: [a]\n\
             \x20   filters:\n\
             \x20   - type: RequestMirror\n\
             \x20     requestMirror: {{backendRef: {{name: b, filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-copy, value: 'yes'}}]}}}}]}}}}\n"
        ),
        &[&origin, &copy],
    );
    let mut client = front.connect();
    client.send("POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert_eq!(
        (header(&asked, "x-copy"), upstream.exactly(5)),
        (None, b"hello".to_vec())
    );
    upstream.send(OK);
    // Whoever gets the copy has not answered yet.
    assert_eq!(client.message().1, "ok");
    let mut aside = copy.accept();
    let copied = aside.head();
    assert!(copied.starts_with("POST /a?b HTTP/1.1\r\n"), "{copied}");
    assert_eq!(
        (header(&copied, "x-copy"), aside.exactly(5)),
        (Some("yes"), b"hello".to_vec())
    );
    aside.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    // A body that is not kept is not copied, and that is counted.
    let large = "x".repeat(100_000);
    client.send(format!(
        "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{large}"
    ));
    upstream.head();
    upstream.exactly(100_000);
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
    eventually("both are counted", || {
        let route = &front.proxy.snapshot().routes[0];
        (route.copies, route.skipped_copies) == (1, 1)
    });
    assert_eq!(front.proxy.snapshot().routes[0].failures, 0);
}

#[test]
fn a_backend_has_changes_of_its_own() {
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}]\n\
             routes:\n\
             - name: r\n\
             \x20 rules:\n\
             \x20 - backendRefs: [{{name: a, filters: [\
                 {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-to, value: a}}]}}}},\
                 {{type: ResponseHeaderModifier, responseHeaderModifier: {{remove: [x-secret]}}}}]}}]\n"
        ),
        &[&origin],
    );
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut upstream = origin.accept();
    assert_eq!(header(&upstream.head(), "x-to"), Some("a"));
    upstream.send("HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(header(&client.head(), "x-secret"), None);
}

#[test]
fn redirects_and_rewrites_take_the_prefix_that_matched() {
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}]\n\
             routes:\n\
             - name: go\n\
             \x20 rules:\n\
             \x20 - matches: [{{path: {{value: /old}}}}]\n\
             \x20   filters: [{{type: RequestRedirect, requestRedirect: {{statusCode: 301, path: {{type: ReplacePrefixMatch, replacePrefixMatch: /new}}}}}}]\n\
             \x20 - matches: [{{path: {{value: /api}}, queryParams: [{{name: v, value: '2'}}], method: GET, headers: [{{name: x-a, value: '1'}}]}}]\n\
             \x20   filters: [{{type: URLRewrite, urlRewrite: {{hostname: b.example, path: {{type: ReplacePrefixMatch, replacePrefixMatch: /v2}}}}}}]\n\
             \x20   backendRefs: [a]\n"
        ),
        &[&origin],
    );
    let (head, _) = once(&front, "GET /old/x%2Fy?q=1 HTTP/1.1\r\nHost: h.example\r\n\r\n");
    assert_eq!(
        (status(&head), header(&head, "location")),
        (301, Some("http://h.example/new/x%2Fy?q=1"))
    );
    for no in ["GET /api/x?v=1", "POST /api/x?v=2"] {
        let (head, _) = once(
            &front,
            &format!("{no} HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"),
        );
        assert_eq!(status(&head), 404, "{no}");
    }
    let mut client = front.connect();
    client.send("GET /api/x?v=2 HTTP/1.1\r\nHost: h\r\nX-A: 0\r\nX-A: 1\r\n\r\n");
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert!(asked.starts_with("GET /v2/x?v=2 HTTP/1.1\r\n"), "{asked}");
    assert_eq!(header(&asked, "host"), Some("b.example"));
}

#[test]
fn calls_of_grpc_have_routes_by_service_and_shorten_their_own_time() {
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, protocol: http1, endpoints: [{{0}}]}}]\n\
             routes:\n\
             - kind: GRPCRoute\n\
             \x20 name: echo\n\
             \x20 rules: [{{matches: [{{method: {{service: echo.Echo}}}}], backendRefs: [a]}}]\n"
        ),
        &[&origin],
    );
    let call = |path: &str, more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\n{more}Content-Length: 0\r\n\r\n")
    };
    let (head, _) = once(&front, &call("/other.Echo/Say", ""));
    assert_eq!((status(&head), header(&head, "grpc-status")), (200, Some("12")));
    let (head, _) = once(
        &front,
        "POST /echo.Echo/Say HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&head), 404, "it is no call of gRPC");
    let mut client = front.connect();
    client.send(call("/echo.Echo/Say", "grpc-timeout: 30m\r\n"));
    let mut upstream = origin.accept();
    assert_eq!(header(&upstream.head(), "grpc-timeout"), Some("30m"));
    let told = client.head();
    assert_eq!(
        (header(&told, "grpc-status"), header(&told, "l5d-proxy-error")),
        (Some("4"), Some("timeout"))
    );
    let route = front.proxy.snapshot().routes[0].clone();
    assert_eq!((&*route.name, route.timeouts, route.failures), ("echo", 1, 1));
}

#[test]
fn a_route_has_an_idle_time_of_its_own() {
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}]\n\
             routes: [{{name: r, rules: [{{backendRefs: [a], timeouts: {{idle: 50ms}}}}]}}]\n"
        ),
        &[&origin],
    );
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    assert_eq!(header(&client.head(), "l5d-proxy-error"), Some("idle-timeout"));
}

#[test]
fn on_error_says_which_attempts_without_an_answer_are_made_again() {
    for (on_error, asked_again) in [("retry", true), ("ifUnsent", false)] {
        let origin = Origin::new();
        let front = from_file(
            &format!(
                "{IN}clusters: [{{name: a, endpoints: [{{0}}]}}]\n\
                 routes: [{{name: r, rules: [{{backendRefs: [a], retry: {{attempts: 1, onError: {on_error}}}}}]}}]\n"
            ),
            &[&origin],
        );
        let mut client = front.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut upstream = origin.accept();
        upstream.head();
        drop(upstream);
        if asked_again {
            let mut upstream = origin.accept();
            upstream.head();
            upstream.send(OK);
            assert_eq!(client.message().1, "ok");
            eventually("both attempts are counted", || {
                let route = front.proxy.snapshot().routes[0].clone();
                (route.requests, route.attempts, route.retries, route.failures) == (1, 2, 1, 0)
            });
            let route = front.proxy.snapshot().routes[0].clone();
            assert_eq!((route.effective.success, route.actual.success), (Some(1.0), Some(0.5)));
        } else {
            assert_eq!(status(&client.head()), 502);
            assert!(!origin.was_asked());
        }
    }
}

#[test]
fn a_hash_goes_by_path_cookie_or_parameter() {
    for (on, request) in [
        ("path", "GET /same HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("{cookie: s}", "GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; s=42\r\n\r\n"),
        ("{query: u}", "GET /?a=b&u=7 HTTP/1.1\r\nHost: h\r\n\r\n"),
    ] {
        let origins: Vec<_> = (0..3).map(|_| (Origin::new(), Arc::new(AtomicUsize::new(0)))).collect();
        let front = from_file(
            &format!(
                "listeners: [{{name: in, address: '127.0.0.1:0', backend: a}}]\n\
                 clusters: [{{name: a, endpoints: [{{0}}, {{1}}, {{2}}], balance: {{strategy: consistentHash, hashOn: {on}}}}}]\n"
            ),
            &origins.iter().map(|(o, _)| o).collect::<Vec<_>>(),
        );
        let counts: Vec<_> = origins
            .into_iter()
            .map(|(origin, count)| {
                play(origin, "x", &count);
                count
            })
            .collect();
        let mut client = front.connect();
        for _ in 0..9 {
            client.send(request);
            client.message();
        }
        let counts: Vec<usize> = counts.iter().map(|c| c.load(Ordering::SeqCst)).collect();
        assert!(counts.contains(&9), "{on}: {counts:?}");
    }
}

#[test]
fn bytes_go_to_clusters_by_weight() {
    let origins = [Origin::new(), Origin::new()];
    let front = from_file(
        "listeners: [{name: in, address: '127.0.0.1:0', protocol: TCP}]\n\
         clusters: [{name: a, endpoints: [{0}], proxyProtocol: v1}, {name: b, endpoints: [{1}]}]\n\
         routes: [{kind: TCPRoute, name: r, rules: [{backendRefs: [{name: a, weight: 1}, {name: b, weight: 1}]}]}]\n",
        &[&origins[0], &origins[1]],
    );
    let mut met = [0, 0];
    eventually("both get some", || {
        let mut client = front.connect();
        client.send("hi\n");
        loop {
            for (at, origin) in origins.iter().enumerate() {
                if let Some(mut wire) = origin.try_accept(Duration::from_millis(1)) {
                    if at == 0 {
                        let local = client.stream.local_addr().unwrap().port();
                        let first = wire.until("\r\n");
                        assert_eq!(
                            first,
                            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {local} {}\r\n", front.address.port())
                        );
                    }
                    assert_eq!(wire.until("\n"), "hi\n");
                    met[at] += 1;
                    return met.iter().all(|n| *n > 0);
                }
            }
        }
    });
}

#[test]
fn checks_take_an_endpoint_out_and_bring_it_back() {
    let well = Arc::new(AtomicUsize::new(200));
    let (sick, sound) = (Origin::new(), Origin::new());
    let sick_name = sick.address.to_string();
    let front = from_file(
        "listeners: [{name: in, address: '127.0.0.1:0', backend: a}]\n\
         clusters:\n\
         - {name: a, endpoints: [{0}, {1}], healthCheck: {path: /health, interval: 20ms, healthy: 2, unhealthy: 2}}\n",
        &[&sick, &sound],
    );
    for (origin, status) in [(sick, Arc::clone(&well)), (sound, Arc::new(AtomicUsize::new(200)))] {
        std::thread::spawn(move || {
            while let Some(mut wire) = origin.try_accept(PATIENCE) {
                let status = Arc::clone(&status);
                std::thread::spawn(move || {
                    let mut chunk = [0; 4096];
                    while let Ok(n @ 1..) = std::io::Read::read(&mut wire.stream, &mut chunk) {
                        let is_check = chunk[..n].starts_with(b"GET /health ");
                        let status = if is_check { status.load(Ordering::SeqCst) } else { 200 };
                        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
                        if std::io::Write::write_all(&mut wire.stream, answer.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }
    let state = || {
        let endpoints = front.proxy.snapshot().endpoints;
        endpoints.into_iter().find(|e| *e.address == *sick_name).unwrap()
    };
    eventually("it is checked", || state().health == "up");
    well.store(500, Ordering::SeqCst);
    eventually("it is found sick", || state().health == "down");
    assert_eq!(state().health_error.as_deref(), Some("GET /health gave 500"));
    let before = state().requests;
    let mut client = front.connect();
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&client.message().0), 200);
    }
    assert_eq!(state().requests, before, "it gets nothing while it is sick");
    well.store(204, Ordering::SeqCst);
    eventually("it is well again", || state().health == "up");
    eventually("it gets requests again", || {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.message();
        state().requests > before
    });
}

#[test]
fn a_check_by_connection_finds_who_is_gone() {
    let (gone, there) = (Origin::new(), Origin::new());
    let name = gone.address.to_string();
    let front = from_file(
        "listeners: [{name: in, address: '127.0.0.1:0', backend: a}]\n\
         clusters: [{name: a, endpoints: [{0}, {1}], healthCheck: {kind: tcp, interval: 20ms, unhealthy: 1}}]\n",
        &[&gone, &there],
    );
    let state = || {
        let endpoints = front.proxy.snapshot().endpoints;
        endpoints.into_iter().find(|e| *e.address == *name).unwrap().health
    };
    eventually("it is there", || state() == "up");
    drop(gone);
    eventually("it is gone", || state() == "down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_grpc_asks_for_the_service() {
    let serving = Arc::new(AtomicUsize::new(1));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let says = Arc::clone(&serving);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let says = Arc::clone(&says);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let says = Arc::clone(&says);
                    tokio::spawn(async move {
                        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                        let mut body = request.into_body();
                        let mut asked = Vec::new();
                        while let Some(Ok(data)) = body.data().await {
                            asked.extend_from_slice(&data);
                        }
                        assert_eq!(asked, b"\0\0\0\0\x06\x0a\x04echo");
                        let response = http::Response::builder().header("content-type", "application/grpc");
                        let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
                        let status = u8::try_from(says.load(Ordering::SeqCst)).unwrap();
                        let message = bytes::Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
                        send.send_data(message, false).unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        send.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    let origin = Origin::new();
    let front = from_file(
        &format!(
            "listeners: [{{name: in, address: '127.0.0.1:0', backend: a}}]\n\
             clusters: [{{name: a, protocol: http2, endpoints: ['{address}'],\
             \x20 healthCheck: {{kind: grpc, path: echo, interval: 20ms, healthy: 1, unhealthy: 1}}}}]\n"
        ),
        &[&origin],
    );
    let proxy = front.proxy.clone();
    tokio::task::spawn_blocking(move || {
        let state = || proxy.snapshot().endpoints[0].clone();
        eventually("it serves", || state().health == "up");
        serving.store(2, Ordering::SeqCst);
        eventually("it does not", || state().health == "down");
        assert_eq!(state().health_error.as_deref(), Some("it says NOT_SERVING"));
        serving.store(1, Ordering::SeqCst);
        eventually("it does again", || state().health == "up");
    })
    .await
    .unwrap();
}

/// By hand: the seed is 30 ms; 200 ms is a peak and replaces it; ten seconds later a tenth of a second is blended in with
/// `1 - 1/e`: 200/e + 100·(1 - 1/e) = 136.79, but the estimate has decayed to 73.58 by then, which the sample passes, so
/// it replaces it too.
#[test]
fn latencies_are_averaged_by_the_clock_on_the_real_path() {
    let origin = Origin::new();
    let clock = VirtualClock::default();
    let mut plan = plan(&[&origin]);
    plan.clusters[0].protocol = UpstreamProtocol::Http1;
    let proxy = Proxy::start_by(&plan, Options { workers: 1 }, Arc::new(clock.clone())).unwrap();
    let front = Front {
        address: proxy.address("listen").unwrap(),
        proxy,
    };
    let endpoint = || front.proxy.snapshot().endpoints[0].clone();
    let near = |want: f64| {
        let got = endpoint().latency_ms;
        assert!((got - want).abs() < 0.01, "{got} is not {want}");
    };
    near(30.0);
    let mut client = front.connect();
    let mut upstream = None;
    let mut ask = |took: u64| {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        upstream.head();
        assert_eq!(endpoint().pending, 1);
        clock.advance(Duration::from_millis(took));
        upstream.send(OK);
        client.message();
        eventually("it is settled", || endpoint().pending == 0);
    };
    ask(200);
    near(200.0);
    clock.advance(Duration::from_millis(9_900));
    ask(100);
    near(100.0);
    // 40 ms after that: 100·e^(-0.004) decayed, and 40 blended in.
    ask(40);
    let kept = (-0.004f64).exp();
    near(100.0 * kept + 40.0 * (1.0 - kept));
    assert!((endpoint().cost - endpoint().latency_ms * 1e6).abs() < 1e4);
}
