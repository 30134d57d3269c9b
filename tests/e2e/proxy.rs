//! The proxy pane and `qd proxy`: real requests over real sockets through the release binary, and what the screen makes of
//! them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    harness::{House, PATIENCE, installed, qd, until},
    term::Term,
};

/// A server that answers what it is told to, and counts.
struct Origin {
    at: SocketAddr,
    status: Arc<AtomicU16>,
    /// Milliseconds before an answer.
    wait: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
}

impl Origin {
    fn new(status: u16, wait: u64) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let origin = Origin {
            at: listener.local_addr().expect("it is bound"),
            status: Arc::new(status.into()),
            wait: Arc::new(wait.into()),
            served: Arc::default(),
        };
        let (status, wait, served) = (
            Arc::clone(&origin.status),
            Arc::clone(&origin.wait),
            Arc::clone(&origin.served),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, wait, served) = (Arc::clone(&status), Arc::clone(&wait), Arc::clone(&served));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some((head, body)) = request(&mut stream) {
                        std::thread::sleep(Duration::from_millis(wait.load(Ordering::SeqCst)));
                        served.fetch_add(1, Ordering::SeqCst);
                        let line = head.lines().next().unwrap_or_default().to_owned();
                        let text = format!("{{\"line\":\"{line}\",\"body\":\"{body}\",\"odd\":\"\\u001b]0;x\"}}");
                        let status = status.load(Ordering::SeqCst);
                        let answer = format!(
                            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nX-Odd: a\tb\r\nSet-Cookie: \
                             hidden=1\r\nContent-Length: {}\r\n\r\n{text}",
                            text.len()
                        );
                        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        origin
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// A request's head and its body, of a connection that goes on.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|l| {
        l.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends a request on a connection of its own; gives the status and the rest of the answer.
fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).expect("the proxy takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: shop.test\r\nX-Who: me\r\nContent-Length: {length}\r\nConnection: \
         close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn get(at: SocketAddr, path: &str) -> u16 {
    ask(at, "GET", path, "").0
}

/// A terminal with a proxy pane, and where it listens.
fn open(house: &House, arguments: &str, cols: u16, rows: u16) -> (Term, SocketAddr) {
    let at = house.path().display();
    house.file(
        "config/quarterdeck/layouts/p.kdl",
        &format!(
            "layout {{ tab {{ pane kind=\"proxy\" name=\"edge\" focus=#true cwd=\"{at}\" {{ {arguments} }}; }} }}\n"
        ),
    );
    let t = house.term(&["--layout", "p"], cols, rows);
    t.wait_text("no request yet");
    let at = address(house);
    (t, at)
}

/// Where the only proxy listens.
fn address(house: &House) -> SocketAddr {
    let stat = json(&house.ok(&["proxy", "stat", "--json"]));
    let at = stat["listeners"][0]["address"].as_str().and_then(|a| a.parse().ok());
    at.unwrap_or_else(|| panic!("no address: {stat}"))
}

fn to(origins: &[&Origin]) -> String {
    let all: Vec<String> = origins.iter().map(|o| o.at.to_string()).collect();
    format!("listen \"127.0.0.1:0\"; to \"{}\"", all.join(","))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// What OSC 52 put on the clipboard since a place of the wire.
fn copied(t: &Term, from: usize) -> String {
    let code = until("something is copied", || {
        let wire = String::from_utf8_lossy(&t.wire(from)).into_owned();
        let (_, rest) = wire.split_once("\x1b]52;c;")?;
        Some(rest.split_once('\x07')?.0.to_owned())
    });
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in code.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |n, c| n << 6 | u32::from(value(*c))) << (6 * (4 - four.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    String::from_utf8(out).expect("text")
}

#[test]
fn flows_are_seen_filtered_and_opened() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let (t, at) = open(&house, &to(&[&origin]), 100, 36);
    assert_eq!(get(at, "/hello?a=1"), 200);
    assert_eq!(ask(at, "POST", "/form", "x=1").0, 200);
    t.wait_text("/hello?a=1");
    t.wait_text("/form");
    // The shared language, then mitmproxy's.
    t.send("/path:/he*\r");
    t.wait_gone("/form");
    t.wait_text("[path:/he*] 1/2");
    t.send("/\x15~m POST\r");
    t.wait_gone("/hello?a=1");
    t.wait_text("/form");
    t.send("/\x15status:abc\r");
    t.wait_text("abc");
    t.send("\x1b");
    t.wait_text("[~m POST]");
    t.send("\\");
    t.wait_text("/hello?a=1");
    t.send("/header.x-who:me body:hello\r");
    t.wait_gone("POST");
    // Everything about it: the answer as JSON, what a terminal would obey escaped, secrets covered.
    t.send("\r");
    t.wait_text("\"line\": \"GET /hello?a=1 HTTP/1.1\"");
    t.wait_text("as JSON");
    t.wait_text("[redacted]");
    assert!(!t.text().contains("hidden=1"), "{}", t.text());
    t.send("v");
    t.wait_text("as form");
    t.send("\x1b[C");
    t.wait_text("one, on a new connection");
    t.wait_text("waiting");
    t.send("\x1b[C");
    t.wait_text("HTTP/1.1 200");
    t.send("\x1b[C");
    t.wait_text("X-Who: me");
    t.send("\x1b");
    t.wait_gone("X-Who: me");
    t.send("\x1b");
    t.wait_text("/form");
    assert!(
        !t.wire(0).windows(5).any(|w| w == b"\x1b]0;x"),
        "what came over the wire stays text"
    );
    // Paused, the rows stand; traffic goes on.
    t.send("f");
    t.wait_text("paused");
    assert_eq!(get(at, "/later"), 200);
    t.wait_text("3 requests");
    t.send("f");
    t.wait_text("/later");
    t.wait_text("\u{25cf}follow");
    // Routes, connections, errors.
    t.send("2");
    t.wait_text("100.0%");
    t.send("4");
    let mut kept = TcpStream::connect(at).expect("it takes connections");
    kept.write_all(b"GET /kept HTTP/1.1\r\nHost: h\r\n\r\n")
        .expect("it is sent");
    let own = kept.local_addr().expect("it is bound").to_string();
    t.wait_text(&own);
    t.send("D");
    t.wait_text(&format!("close the connection of {own} now?"));
    t.send("y");
    let mut rest = Vec::new();
    kept.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let _closed = kept.read_to_end(&mut rest);
    t.wait_text("is closed");
    origin.status.store(503, Ordering::SeqCst);
    assert_eq!(get(at, "/broken"), 503);
    t.send("5");
    t.wait_text("/broken");
    assert!(!t.text().contains("/later"), "{}", t.text());
    // At the size of a small terminal nothing overlaps, and what matters is there.
    t.resize(80, 24);
    t.send("1");
    t.wait_text("[1 Live]");
    t.wait_text("/broken");
    t.send("?");
    t.wait_text("live flows, routes, endpoints");
    t.send("\x1b");
    t.wait_gone("live flows, routes, endpoints");
    t.send("a");
    t.wait_text("inject a fault");
    t.wait_text("not now:");
}

#[test]
fn requests_are_sent_again_as_they_were_and_edited() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let editor = house.script("editor", "shift $(($# - 1)); sed -i 's,/one,/two,' \"$1\"");
    let house = house.env("EDITOR", &editor.display().to_string());
    let (t, at) = open(&house, &to(&[&origin]), 110, 30);
    assert_eq!(get(at, "/one"), 200);
    t.wait_text("/one");
    t.send(".");
    t.wait_text("(replayed)");
    assert_eq!(origin.served(), 2);
    // What may have effects is asked for first.
    assert_eq!(ask(at, "POST", "/buy", "tea").0, 200);
    t.wait_text("/buy");
    t.send(".");
    t.wait_text("send POST /buy again?");
    t.send("n");
    t.wait_text("nothing was done");
    assert_eq!(origin.served(), 3);
    t.send(".y");
    until("it is sent", || (origin.served() == 4).then_some(()));
    t.wait_text("/buy (replayed)");
    // Edited: the first flow again.
    t.send("gge");
    t.wait_text("send, changed: GET /two HTTP/1.1?");
    t.send("y");
    t.wait_text("/two (replayed)");
    // Two marked flows are compared.
    t.send("gg j=");
    t.wait_text("1 flows are marked, not two");
    t.send("G =");
    t.wait_text("- GET http://shop.test/one");
    t.wait_text("+ GET http://shop.test/two");
    t.send("\x1b");
    t.wait_gone("- GET http://shop.test/one");
    t.send("#");
    t.wait_text("comment:");
    t.send("look here\r");
    t.wait_text("# loo");
}

#[test]
fn faults_end_by_themselves_and_flows_are_held() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let (t, at) = open(&house, &to(&[&origin]), 100, 30);
    t.send("i");
    t.wait_text("fault: abort 503");
    t.send("\x15explode\r");
    t.wait_text("`explode` is no fault");
    t.send("\x15abort 418 100% for 8s path:/tea\r");
    t.wait_text("fault 1: abort 418 to 100%");
    assert_eq!((get(at, "/tea"), get(at, "/other")), (418, 200));
    t.wait_text("1 of 1 met it");
    t.wait_gone("fault 1:");
    assert_eq!(get(at, "/tea"), 200);
    // One that would last is taken away.
    t.send("i\x15reset for 1h\r");
    t.wait_text("fault 2: reset");
    t.send("I");
    t.wait_gone("fault 2:");
    // Held: it goes on when it is let go, or does not.
    t.send("h\x15request for 60s path:/held*\r");
    t.wait_text("one rule holds flows");
    let asked = std::thread::spawn(move || get(at, "/held/a"));
    t.wait_text("1 held now");
    let before = origin.served();
    t.send("H");
    t.wait_text("GET /held/a");
    t.send("\r");
    assert_eq!(asked.join().expect("it ends"), 200);
    assert_eq!(origin.served(), before + 1);
    t.wait_text("nothing is held now");
    let asked = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(at).expect("it takes connections");
        stream
            .write_all(b"GET /held/b HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("it is sent");
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        answer
    });
    t.wait_text("GET /held/b");
    t.send("D");
    t.wait_text("kill it?");
    t.send("y");
    assert!(asked.join().expect("it ends").is_empty());
    assert_eq!(origin.served(), before + 1);
}

#[test]
fn a_flow_leaves_as_curl_and_har() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let (t, at) = open(&house, &to(&[&origin]), 100, 30);
    assert_eq!(ask(at, "POST", "/it's", "a=b").0, 200);
    t.wait_text("/it's");
    let n = t.bytes();
    t.send("yc");
    let line = copied(&t, n);
    if installed("curl") {
        let out = Command::new("sh").args(["-c", &line]).output().expect("sh runs");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            said.contains("POST /it's HTTP/1.1") && said.contains("a=b"),
            "{line}\n{said}"
        );
        t.wait_text("2 requests");
    }
    let n = t.bytes();
    t.send("gg");
    t.send("yh");
    let har = json(&copied(&t, n));
    assert_eq!(har["log"]["entries"][0]["request"]["postData"]["text"], "a=b");
    // To a file and back; then by the command, which finds the pane by its name.
    let path = house.path().join("flows.har");
    t.send("a");
    t.wait_text("save what is shown");
    t.send("jjjjjjjjjjj\r");
    t.wait_text("save flows to:");
    t.send(format!("\x15{}\r", path.display()));
    t.wait_text("flows are in");
    let har = json(&std::fs::read_to_string(&path).expect("it is there"));
    assert_eq!(har["log"]["version"], "1.2");
    assert!(har.to_string().contains("[redacted]") && !har.to_string().contains("hidden=1"));
    t.send(format!("o{}\r", path.display()));
    t.wait_text("flows from");
    let har = json(&house.ok(&["proxy", "har", "--name", "edge", "--filter", "method:POST"]));
    assert!(!har["log"]["entries"].as_array().expect("a list").is_empty());
    let stat = json(&house.ok(&["proxy", "stat", "--json"]));
    assert_eq!(stat["listeners"][0]["address"], at.to_string());
    assert!(house.ok(&["proxy", "endpoints"]).contains(&origin.at.to_string()));
    assert!(house.ok(&["proxy", "top", "-n", "1"]).contains("requests"));
    assert!(house.fails(&["proxy", "stat", "--name", "none"], 1).contains("none"));
    let tap = house.fails(&["proxy", "tap", "--filter", "status:abc"], 2);
    assert!(tap.contains("expected a number"), "{tap}");
}

#[test]
fn one_slow_and_one_failing_endpoint_get_less() {
    let (good, slow, bad) = (Origin::new(200, 1), Origin::new(200, 300), Origin::new(500, 0));
    let house = House::new();
    house.file(
        "proxy.yaml",
        &format!(
            "listeners: [{{ name: web, address: \"127.0.0.1:0\" }}]\nclusters:\n  - name: api\n    endpoints: [{}, {}, \
             {}]\n    breaker: {{ consecutiveFailures: 3, backoff: {{ min: 2s, max: 2s, jitter: 0 }} }}\nroutes:\n  - \
             name: all\n    rules: [{{ backendRefs: [{{ name: api }}] }}]\n",
            good.at, slow.at, bad.at
        ),
    );
    let (t, at) = open(&house, "config \"proxy.yaml\"", 120, 30);
    t.send("3");
    t.wait_text(&bad.at.to_string());
    let row = |text: &str, origin: &Origin| -> Option<String> {
        let at = origin.at.to_string();
        text.lines().find(|l| l.contains(&at)).map(str::to_owned)
    };
    let shows = |word: &str| {
        t.wait(&format!("the failing endpoint is {word}"), |s| {
            row(&s.contents(), &bad).is_some_and(|r| r.contains(word))
        });
    };
    // Some traffic until the failing one is left alone.
    until("it is left alone", || {
        get(at, "/x");
        row(&t.text(), &bad).filter(|r| r.contains("open"))
    });
    let failed = bad.served();
    assert!(failed >= 3, "{failed} requests failed before");
    // The slow one is asked less than the good one, over requests that overlap.
    let (good_before, slow_before) = (good.served(), slow.served());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..25 {
                    get(at, "/y");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("it ends"));
    let (g, s) = (good.served() - good_before, slow.served() - slow_before);
    assert!(g > 2 * s, "the good one had {g}, the slow one {s}");
    // It is well again: a probe finds out, and it gets requests.
    bad.status.store(200, Ordering::SeqCst);
    let before = bad.served();
    until("it is used again", || {
        get(at, "/z");
        (bad.served() > before + 1).then_some(())
    });
    shows("ready");
    // Drained it gets none, until that ends.
    t.send("gg");
    t.send("D");
    t.wait_text("no more requests?");
    t.send("y");
    t.wait_text("draining");
    let drained = [&good, &slow, &bad]
        .into_iter()
        .find(|o| row(&t.text(), o).is_some_and(|r| r.contains("draining")))
        .expect("one of them is");
    let before = drained.served();
    for _ in 0..20 {
        get(at, "/w");
    }
    assert_eq!(drained.served(), before);
    t.send("D");
    t.wait_text("gets requests again");
    t.wait_gone("draining");
    // The route's numbers know of the failures; a drill shows the flows.
    t.send("2");
    t.wait_text("all");
    t.send("\r");
    t.wait_text("[route:");
    // A changed file is taken over; a broken one is not.
    let path = house.path().join("proxy.yaml");
    let text = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, text.replace("consecutiveFailures", "consecutiveFalures")).expect("it is written");
    t.wait_text("the old configuration runs on");
    assert_eq!(get(at, "/still"), 200);
    std::fs::write(&path, text.replace(&format!(", {}", slow.at), "")).expect("it is written");
    t.wait_text("reloaded:");
    t.send("3");
    t.wait_gone(&slow.at.to_string());
}

/// A proxy without a pane.
struct Headless {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Headless {
    fn start(house: &House, arguments: &[&str]) -> (Headless, SocketAddr) {
        let mut child = Command::new(qd())
            .arg("proxy")
            .args(arguments)
            .env_clear()
            .envs(house.vars())
            .current_dir(house.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("qd starts");
        let said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut proxy = Headless { child, said };
        let line = proxy.hear("listening on");
        let at = line.rsplit(' ').next().and_then(|w| w.trim().parse().ok());
        (proxy, at.expect("an address"))
    }

    /// The next line that has these words; the lines before it are passed over.
    fn hear(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let n = self.said.read_line(&mut line).expect("it speaks");
            assert!(n > 0, "it ended without saying: {words}");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("it lives");
    }
}

impl Drop for Headless {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn without_a_screen_it_serves_reloads_and_ends() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let config = |to: &str| {
        format!(
            "listeners: [{{ name: web, address: \"127.0.0.1:0\" }}]\nclusters: [{{ name: api, endpoints: [{to}] \
             }}]\nroutes: [{{ name: all, rules: [{{ backendRefs: [{{ name: api }}] }}] }}]\n"
        )
    };
    let path = house.file("p.yaml", &config(&origin.at.to_string()));
    let (mut proxy, at) = Headless::start(&house, &["--config", "p.yaml", "--name", "web", "--workers", "1"]);
    assert_eq!(get(at, "/a"), 200);
    // Another process sees what passes from now on.
    let mut tap = Command::new(qd())
        .args(["proxy", "tap", "--json", "-n", "1", "--filter", "path:/b"])
        .env_clear()
        .envs(house.vars())
        .stdout(Stdio::piped())
        .spawn()
        .expect("qd starts");
    let mut line = String::new();
    let mut out = BufReader::new(tap.stdout.take().expect("it is piped"));
    let reader = std::thread::spawn(move || {
        let _n = out.read_line(&mut line);
        line
    });
    until("the tap hears it", || {
        get(at, "/b");
        reader.is_finished().then_some(())
    });
    assert_eq!(json(&reader.join().expect("it ends"))["path"], "/b");
    assert!(tap.wait().expect("it ends").success());
    // Its port is taken, and by whom is said.
    let conflict = house.fails(&["proxy", "--listen", &at.to_string(), "--to", "127.0.0.1:1"], 1);
    let pid = proxy.child.id().to_string();
    assert!(conflict.contains(&pid) && conflict.contains("qd"), "{conflict}");
    // A broken file leaves the old in force, a good one is taken over.
    let other = Origin::new(201, 0);
    std::fs::write(&path, "listeners: [").expect("it is written");
    proxy.hear("the old configuration runs on");
    assert_eq!(get(at, "/c"), 200);
    std::fs::write(&path, config(&other.at.to_string())).expect("it is written");
    proxy.hear("reloaded:");
    assert_eq!(get(at, "/d"), 201);
    proxy.signal(rustix::process::Signal::HUP);
    proxy.hear("nothing has changed");
    // A request that is on its way ends before the proxy does.
    other.wait.store(3000, Ordering::SeqCst);
    let before = other.served();
    let asked = std::thread::spawn(move || get(at, "/slow"));
    until("it is on its way", || {
        let stat = json(&house.ok(&["proxy", "stat", "--json"]));
        (stat["connection_count"].as_u64() > Some(0)).then_some(())
    });
    proxy.signal(rustix::process::Signal::TERM);
    assert_eq!(asked.join().expect("it ends"), 201);
    assert_eq!(other.served(), before + 1);
    assert!(proxy.child.wait().expect("it ends").success());
    assert!(TcpStream::connect(at).is_err());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let house = House::new();
    house.file(
        "bad.yaml",
        "listeners:\n  - name: web\n    adress: 127.0.0.1:80\nclusters: []\n",
    );
    let said = house.fails(&["proxy", "check", "bad.yaml"], 1);
    assert!(
        said.contains("bad.yaml:3:5") && said.contains("adress") && said.contains("address"),
        "{said}"
    );
    let said = house.fails(&["proxy", "--config", "bad.yaml"], 1);
    assert!(said.contains("bad.yaml:3:5"), "{said}");
    house.file(
        "good.yaml",
        "listeners: [{ name: web, address: \"127.0.0.1:0\" }]\nclusters: [{ name: a, endpoints: [127.0.0.1:1] }]\nroutes: \
         [{ name: r, rules: [{ backendRefs: [{ name: a }] }] }]\n",
    );
    assert!(
        house
            .ok(&["proxy", "check", "good.yaml"])
            .contains("1 listeners, 1 clusters")
    );
    assert!(house.fails(&["proxy"], 2).contains("--listen"));
    assert!(house.fails(&["proxy", "--listen", "127.0.0.1:0"], 2).contains("--to"));
    assert!(
        house
            .fails(&["proxy", "--listen", "nonsense", "--to", "127.0.0.1:1"], 2)
            .contains("nonsense")
    );
    assert!(house.fails(&["proxy", "stat"], 1).contains("no proxy runs"));
    let help = house.ok(&["proxy", "--help"]);
    assert!(help.contains("--listen") && help.contains("Gateway API"), "{help}");
    assert!(
        house
            .ok(&["setup", "--generate-completion", "bash"])
            .contains("--headless")
    );
    // In a pane: who has the port is said where the flows would be.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("it is bound");
    house.file(
        "config/quarterdeck/layouts/p.kdl",
        &format!("layout {{ tab {{ pane kind=\"proxy\" {{ listen \"{at}\"; to \"127.0.0.1:1\" }}; }} }}\n"),
    );
    let t = house.term(&["--layout", "p"], 100, 20);
    t.wait_text("The proxy does not run.");
    t.wait_text(&std::process::id().to_string());
    drop(taken);
    t.send("r");
    t.wait_text("no request yet");
}

#[test]
fn the_layout_that_people_get_has_traffic_of_its_own() {
    let house = House::new();
    std::fs::remove_file(house.path().join("config/quarterdeck/layouts/default.kdl")).expect("it is there");
    let t = house.term(&[], 120, 30);
    t.wait_prompt();
    t.leader("4");
    t.wait_text("no request yet");
    let at = address(&house);
    let (status, metrics) = ask(at, "GET", "/metrics", "");
    assert_eq!(status, 200);
    let kind = "quarterdeck_panes{kind=\"proxy\"} 1";
    assert!(
        metrics.contains(kind) && metrics.contains("process_resident_memory_bytes"),
        "{metrics}"
    );
    t.wait_text("/metrics");
    let (_, text) = ask(at, "GET", "/api/session", "");
    let body = json(text.split_once("\r\n\r\n").expect("a body").1.trim());
    assert_eq!(
        (&body["name"], &body["tabs"][3]["name"]),
        (&"main".into(), &"traffic".into())
    );
    let (_, text) = ask(at, "GET", "/api/panes", "");
    let body = json(text.split_once("\r\n\r\n").expect("a body").1.trim());
    assert!(body.as_array().expect("a list").iter().any(|p| p["kind"] == "proxy"));
    assert_eq!(get(at, "/nothing"), 404);
    t.wait_text("/nothing");
    t.send("\r");
    t.wait_text("there is no such page");
    // Its socket is this person's alone.
    let dir = house.path().join("run/quarterdeck/proxy");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&dir).expect("it is there"));
    assert_eq!(mode & 0o077, 0);
    assert!(sockets(&dir) >= 2);
    house.ok(&["kill", "--all"]);
    until("the sockets are gone", || (sockets(&dir) == 0).then_some(()));
}

fn sockets(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn inside_a_session_the_command_opens_a_pane() {
    let origin = Origin::new(200, 0);
    let house = House::new();
    let t = house.term(&[], 120, 36);
    t.wait_prompt();
    let to = origin.at.to_string();
    t.line(&format!("{} proxy --listen 127.0.0.1:0 --to {to}", qd()));
    t.wait_text("no request yet");
    let at = address(&house);
    assert_eq!(get(at, "/by-command"), 200);
    t.wait_text("/by-command");
}
