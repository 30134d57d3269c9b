//! 7 and 8: what a proxy takes of its machine. It runs in a process of its own, so that what is measured is the proxy's.
//!
//! The process is this binary again, asked for the one test that serves; its memory and time are read from `/proc`.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use qd_proxy::{
    Options, Plan, Proxy,
    plan::{Address, Bind},
};
use rustix::process::{Pid, Resource, Rlimit};

use crate::harness::*;

const ORIGIN: &str = "QD_PROXY_ORIGIN";

/// Serves until its input ends; says how often it starved when it is asked.
#[test]
fn a_process_that_serves_when_it_is_asked_to() {
    let Ok(origin) = std::env::var(ORIGIN) else {
        return;
    };
    let mut plan = Plan::simple(
        vec![Bind::Tcp("127.0.0.1:0".parse().unwrap())],
        vec![Address::parse(&origin).unwrap()],
    );
    plan.listeners[0].opaque = None;
    plan.listeners[0].bounds.idle_timeout = Duration::from_secs(600);
    let proxy = Proxy::start(&plan, Options { workers: 1 }).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nat {}", proxy.address("listen").unwrap()).unwrap();
    for line in std::io::stdin().lock().lines() {
        let _ = line.unwrap();
        let snapshot = proxy.snapshot();
        let listener = &snapshot.listeners[0];
        writeln!(
            out,
            "\nstarved {} connections {}",
            listener.starved, snapshot.connection_count
        )
        .unwrap();
    }
}

struct Served {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Served {
    fn start(origin: SocketAddr) -> Served {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "process::a_process_that_serves_when_it_is_asked_to",
                "--nocapture",
            ])
            .env(ORIGIN, origin.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = said(&mut output, "at ").parse().unwrap();
        Served {
            child,
            input,
            output,
            address,
        }
    }

    fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).unwrap())
    }

    fn starved(&mut self) -> (u64, usize) {
        writeln!(self.input.as_mut().unwrap(), "?").unwrap();
        let words = said(&mut self.output, "starved ");
        let mut words = words.split(' ');
        let starved = words.next().unwrap().parse().unwrap();
        (starved, words.nth(1).unwrap().parse().unwrap())
    }

    /// Kilobytes of memory.
    fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &mut BufReader<ChildStdout>, word: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the process ended");
        if let Some(rest) = line.trim_end().strip_prefix(word) {
            return rest.to_owned();
        }
    }
}

/// Answers every request with two bytes.
fn answering() -> SocketAddr {
    let origin = Origin::new();
    let address = origin.address;
    std::thread::spawn(move || {
        while let Some(wire) = origin.try_accept(Duration::from_secs(600)) {
            std::thread::spawn(move || {
                let mut stream = wire.stream;
                stream.set_read_timeout(None).unwrap();
                let mut text = Vec::new();
                let mut chunk = [0; 4096];
                while let Ok(n) = stream.read(&mut chunk)
                    && n > 0
                {
                    text.extend_from_slice(&chunk[..n]);
                    while let Some(end) = text.windows(4).position(|w| w == b"\r\n\r\n") {
                        text.drain(..end + 4);
                        if stream.write_all(OK.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fn ask(client: &mut Wire) {
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.message().1, "ok");
}

#[test]
fn without_descriptors_it_sleeps_and_comes_back() {
    let mut served = Served::start(answering());
    let mut first = served.connect();
    ask(&mut first);
    let few = u64::try_from(served.descriptors()).unwrap() + 5;
    let pid = Pid::from_raw(i32::try_from(served.child.id()).unwrap());
    let limit = Rlimit {
        current: Some(few),
        maximum: Some(few),
    };
    rustix::process::prlimit(pid, Resource::Nofile, limit).unwrap();
    let waiting: Vec<Wire> = (0..20).map(|_| served.connect()).collect();
    eventually("it has no descriptor left", || served.starved().0 >= 3);
    // Twenty connections wait all the time; whoever asked again at once would have starved a million times by now.
    std::thread::sleep(Duration::from_millis(500));
    let (starved, _) = served.starved();
    assert!(starved < 100, "{starved}");
    // Those that have a connection are served.
    ask(&mut first);
    drop(waiting);
    eventually("there is room again", || served.starved().1 <= 1);
    ask(&mut served.connect());
}

#[test]
fn a_reader_that_stands_still_costs_no_memory() {
    let origin = Origin::new();
    let served = Served::start(origin.address);
    const BODY: usize = 200 << 20;
    let mut client = served.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let before = served.memory();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
    let mut left = BODY;
    let piece = vec![b'x'; 256 * 1024];
    upstream.stream.set_nonblocking(true).unwrap();
    let mut stalled = 0;
    let push = |upstream: &mut Wire, left: &mut usize| match upstream.stream.write(&piece[..piece.len().min(*left)]) {
        Ok(n) => {
            *left -= n;
            true
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => panic!("{e}"),
    };
    // The client reads nothing: the upstream must be held up before long.
    while stalled < 50 {
        match push(&mut upstream, &mut left) {
            true => stalled = 0,
            false => {
                stalled += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(left > BODY / 2, "{left} bytes are left");
    let stands = served.memory();
    assert!(stands < before + 20 * 1024, "{before} kB before, {stands} kB");
    client.head();
    let mut came = 0;
    let mut most = stands;
    let mut chunk = vec![0; 1 << 20];
    while came < BODY {
        while left > 0 && push(&mut upstream, &mut left) {}
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        came += match client.buffered() {
            0 => match client.stream.read(&mut chunk) {
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(e) => panic!("{e}"),
            },
            n => client.exactly(n).len(),
        };
        most = most.max(served.memory());
    }
    assert!(most < before + 20 * 1024, "{before} kB before, {most} kB at the most");
}

#[test]
fn ten_thousand_idle_connections_are_small() {
    const MANY: usize = 10_000;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = MANY as u64 + 500;
    if limit.maximum.is_some_and(|m| m < wanted) {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {wanted} descriptors are needed, {limit:?} are to be had"
        );
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(Resource::Nofile, raised).unwrap();
    // The process that serves takes the limit over.
    let mut served = Served::start(answering());
    ask(&mut served.connect());
    let before = served.memory();
    let mut idle = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        let mut client = served.connect();
        ask(&mut client);
        idle.push(client);
    }
    assert_eq!(served.starved(), (0, MANY));
    let each = (served.memory() - before) * 1024 / MANY as u64;
    let _ = writeln!(std::io::stderr(), "{each} bytes for an idle connection");
    assert!(each <= 64 * 1024, "{each} bytes each");
    // Any of them is served.
    for client in idle.iter_mut().step_by(1999) {
        ask(client);
    }
}

/// A frame of HTTP/2 without a body.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn a_flood_of_settings_costs_no_memory_and_others_are_served() {
    let served = Served::start(answering());
    ask(&mut served.connect());
    let before = served.memory();
    let mut client = served.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(SETTINGS);
    client.stream.set_nonblocking(true).unwrap();
    let flood = SETTINGS.repeat(4096);
    let (mut stalled, mut ended, mut sent) = (0, false, 0usize);
    // What it answers is never read: it must stop reading, or end the connection.
    while stalled < 50 && !ended {
        match client.stream.write(&flood) {
            Ok(n) => {
                stalled = 0;
                sent += n;
                assert!(sent < 512 << 20, "it takes everything");
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                stalled += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => ended = true,
        }
    }
    let after = served.memory();
    assert!(
        after < before + 20 * 1024,
        "{before} kB before, {after} kB after {sent} bytes"
    );
    ask(&mut served.connect());
}
