//! Both ends of a proxy, played by a test.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use qd_proxy::{
    Options, Plan, Proxy,
    plan::{Address, Bind},
};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One end of a connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Bytes that came and were not taken.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn more(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let n = match self.stream.read(&mut chunk) {
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => 0,
            Err(e) => panic!("{e}; so far: {:?}", String::from_utf8_lossy(&self.buffer)),
        };
        self.buffer.extend_from_slice(&chunk[..n]);
        n
    }

    /// Everything up to and with the text.
    pub(crate) fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.buffer.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let rest = self.buffer.split_off(at + end.len());
                let text = std::mem::replace(&mut self.buffer, rest);
                return text.iter().map(|b| char::from(*b)).collect();
            }
            assert!(
                self.more() > 0,
                "ended before {end:?}; so far: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// A head, every byte a character.
    pub(crate) fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    pub(crate) fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n {
            assert!(self.more() > 0, "ended after {} of {n} bytes", self.buffer.len());
        }
        let rest = self.buffer.split_off(n);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() > 0 {}
        let all = std::mem::take(&mut self.buffer);
        all.iter().map(|b| char::from(*b)).collect()
    }

    /// How the connection ends: `true` if in good order, `false` if by a reset. What came is kept.
    pub(crate) fn ends_well(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return false,
                Err(e) => panic!("{e}"),
            }
        }
    }

    pub(crate) fn half_close(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// A head and its body by `Content-Length`.
    pub(crate) fn message(&mut self) -> (String, String) {
        let head = self.head();
        let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        let body = self.exactly(length);
        (head, String::from_utf8(body).unwrap())
    }
}

/// The value of a header in a head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    headers(head, name).into_iter().next()
}

/// All values of a header in a head.
pub(crate) fn headers<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .skip(1)
        .filter_map(|l| l.split_once(": "))
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
        .collect()
}

/// The status of an answer.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// An upstream.
pub(crate) struct Origin {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Origin {
    pub(crate) fn new() -> Origin {
        Origin::at("127.0.0.1:0")
    }

    pub(crate) fn at(address: &str) -> Origin {
        let listener = TcpListener::bind(address).unwrap();
        Origin {
            address: listener.local_addr().unwrap(),
            listener,
        }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Wire {
        self.try_accept(PATIENCE).expect("nobody came to the origin")
    }

    /// The next connection, if one comes in time.
    pub(crate) fn try_accept(&self, within: Duration) -> Option<Wire> {
        self.listener.set_nonblocking(true).unwrap();
        let by = Instant::now() + within;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return Some(Wire::new(stream));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < by => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(_) => return None,
            }
        }
    }

    /// Whether a connection waits now. Only after an answer that the proxy gave by itself does `false` mean anything.
    pub(crate) fn was_asked(&self) -> bool {
        self.try_accept(Duration::ZERO).is_some()
    }

    pub(crate) fn endpoint(&self) -> Address {
        Address::Tcp(self.address.ip().to_string(), self.address.port())
    }
}

/// A proxy in front of origins.
pub(crate) struct Front {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
}

impl Front {
    pub(crate) fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).unwrap())
    }
}

/// The plan of a reverse proxy on a port of its own.
pub(crate) fn plan(origins: &[&Origin]) -> Plan {
    let to = origins.iter().map(|o| o.endpoint()).collect();
    Plan::simple(vec![Bind::Tcp("127.0.0.1:0".parse().unwrap())], to)
}

pub(crate) fn front(origin: &Origin) -> Front {
    start(&plan(&[origin]))
}

pub(crate) fn front_with(origin: &Origin, change: impl FnOnce(&mut Plan)) -> Front {
    let mut plan = plan(&[origin]);
    change(&mut plan);
    start(&plan)
}

pub(crate) fn start(plan: &Plan) -> Front {
    let proxy = Proxy::start(plan, Options { workers: 1 }).unwrap();
    let address = proxy.address(&plan.listeners[0].name).unwrap();
    Front { proxy, address }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < by, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A request and its answer through an upstream that says `answer`; gives what the upstream and the client saw.
pub(crate) fn round(request: &str, answer: &str) -> (String, String) {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send(request);
    let mut upstream = origin.accept();
    let asked = upstream.head();
    upstream.send(answer);
    let told = client.head();
    (asked, told)
}

/// What the proxy says by itself; the upstream must not hear of the request.
pub(crate) fn refused(request: impl AsRef<[u8]>) -> String {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send(request);
    let answer = client.rest();
    assert!(!origin.was_asked(), "the request reached the upstream");
    answer
}

/// A small answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
