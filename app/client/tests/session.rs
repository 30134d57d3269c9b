//! The client on a real pty, against a server that this test plays.
#![allow(clippy::unwrap_used, clippy::panic)] // The helpers are tests as well.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use qd_client::{Exit, Options, Probe, Writer, probe, run_on};
use qd_proto::{
    Attach, AttachMode, Capabilities, ClientMsg, Hello, Purpose, ServerMsg, read_hello, read_msg, write_msg,
};
use qd_tty::{InputEvent, Key, KeyEvent, Mods, Size};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

/// One terminal at a time: a process has one.
static ONE: Mutex<()> = Mutex::new(());

const LONG: Duration = Duration::from_secs(20);

struct Scene {
    master: File,
    slave: OwnedFd,
    before: Termios,
    server: UnixStream,
    /// What the terminal shows, piece by piece.
    shown: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    client: Option<JoinHandle<Result<Exit, String>>>,
}

fn size(cols: u16, rows: u16) -> Winsize {
    Winsize {
        ws_col: cols,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Scene {
    fn new(options: Options) -> Self {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let slave = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        tcsetwinsize(&slave, size(100, 30)).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let master = File::from(master);
        let (mut server, ours) = UnixStream::pair().unwrap();
        server.set_read_timeout(Some(LONG)).unwrap();
        let attach = Attach {
            size: Size::new(100, 30),
            caps: probe::from_env(&|n| (n == "TERM").then(|| "xterm-256color".to_owned())),
            mode: AttachMode::Interactive,
            env: Vec::new(),
            tty: None,
            exclusive: false,
        };
        let (input, output) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
        let want = attach.clone();
        let client =
            std::thread::spawn(move || run_on(input, output, ours, attach, options).map_err(|e| e.to_string()));
        read_hello(&mut server).unwrap();
        server.write_all(&Hello::ours().to_bytes()).unwrap();
        let open = read_msg::<ClientMsg>(&mut server).unwrap();
        assert_eq!(open, Some(ClientMsg::Open(Purpose::Attach(want))));
        let (send, shown) = channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buf) {
                if send.send(buf[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            master,
            slave,
            before,
            server,
            shown,
            seen: Vec::new(),
            client: Some(client),
        }
    }

    /// Waits until the terminal has got these bytes.
    fn wait_for(&mut self, what: &[u8]) {
        while !self.seen.windows(what.len()).any(|w| w == what) {
            let more = self.shown.recv_timeout(LONG).unwrap_or_else(|e| {
                panic!(
                    "{e}: {:?} is not in {:?}",
                    String::from_utf8_lossy(what),
                    String::from_utf8_lossy(&self.seen)
                )
            });
            self.seen.extend(more);
        }
    }

    fn type_in(&mut self, what: &[u8]) {
        self.master.write_all(what).unwrap();
    }

    fn next(&mut self) -> ClientMsg {
        read_msg(&mut self.server).unwrap().unwrap()
    }

    fn tell(&mut self, msg: &ServerMsg) {
        write_msg(&mut self.server, msg).unwrap();
    }

    fn end(&mut self) -> Exit {
        let exit = self.client.take().unwrap().join().unwrap().unwrap();
        let now = tcgetattr(&self.slave).unwrap();
        assert_eq!(
            format!("{now:?}"),
            format!("{:?}", self.before),
            "the terminal is as it was"
        );
        let flags = rustix::fs::fcntl_getfl(self.slave.as_fd()).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        exit
    }
}

fn key(c: char, mods: Mods) -> InputEvent {
    InputEvent::Key(KeyEvent::new(Key::Char(c), mods))
}

fn trust() -> Options {
    Options {
        probe: Probe::Trust,
        writer: Writer::Client,
        ..Options::default()
    }
}

#[test]
fn keys_go_in_and_frames_come_out() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut s = Scene::new(trust());
    s.wait_for(b"\x1b[?1006h");
    assert!(!tcgetattr(&s.slave).unwrap().local_modes.contains(LocalModes::ICANON));
    s.type_in(b"a\x1bx");
    assert_eq!(
        s.next(),
        ClientMsg::Input(vec![key('a', Mods::empty()), key('x', Mods::ALT)])
    );
    s.type_in(b"\x1b");
    assert_eq!(
        s.next(),
        ClientMsg::Input(vec![InputEvent::Key(KeyEvent::new(Key::Esc, Mods::empty()))])
    );
    for number in 1..=3 {
        s.tell(&ServerMsg::Frame {
            number,
            bytes: format!("frame {number}").into_bytes(),
        });
        s.wait_for(format!("frame {number}").as_bytes());
        assert_eq!(s.next(), ClientMsg::Ack(number));
    }
    s.tell(&ServerMsg::Detached {
        reason: "gone for tea".into(),
    });
    assert_eq!(s.end(), Exit::Detached("gone for tea".into()));
    s.wait_for(b"\x1b[?1049l");
}

#[test]
fn answers_become_capabilities_and_keys_in_between_are_kept() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut s = Scene::new(Options::default());
    s.wait_for(b"\x1b[c");
    s.type_in(b"\x1bP>|foot(1.19)\x1b\\q\x1b[?2026;2$y\x1b[?0u\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62c");
    let ClientMsg::Direct(tty) = s.next() else { panic!() };
    let stat = rustix::fs::fstat(&s.slave).unwrap();
    assert_eq!((tty.dev, tty.ino, tty.rdev), (stat.st_dev, stat.st_ino, stat.st_rdev));
    let (mut caps, mut own, mut input) = (None, Vec::new(), Vec::new());
    while input.is_empty() || own.is_empty() || !caps.is_some_and(|c: Capabilities| c.kitty_keyboard) {
        match s.next() {
            ClientMsg::Caps(c) => caps = Some(c),
            ClientMsg::Input(i) => input.extend(i),
            ClientMsg::Own(b) => own.extend(b),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(input, [key('q', Mods::empty())]);
    assert_eq!(own, b"\x1b[>5u", "what the client writes goes by way of the server");
    let caps = caps.unwrap();
    assert!(caps.paint.sync && caps.paint.hyperlinks);
    s.tell(&ServerMsg::Ended { reason: "over".into() });
    assert_eq!(s.end(), Exit::Ended("over".into()));
    s.wait_for(b"\x1b[<u");
}

#[test]
fn a_slow_terminal_delays_frames_and_nothing_else() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut s = Scene::new(trust());
    s.wait_for(b"\x1b[?1006h");
    // Output is stopped, as Ctrl-S does it.
    rustix::termios::tcflow(&s.slave, rustix::termios::Action::OOff).unwrap();
    s.tell(&ServerMsg::Frame {
        number: 1,
        bytes: vec![b'x'; 1 << 20],
    });
    s.type_in(b"k");
    assert_eq!(
        s.next(),
        ClientMsg::Input(vec![key('k', Mods::empty())]),
        "keys pass, the frame is not acknowledged"
    );
    rustix::termios::tcflow(&s.slave, rustix::termios::Action::OOn).unwrap();
    assert_eq!(s.next(), ClientMsg::Ack(1));
    s.server.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(s.end(), Exit::ServerGone);
    s.wait_for(b"\x1b[?1049l");
}

#[test]
fn a_stopped_terminal_does_not_keep_the_client() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut s = Scene::new(trust());
    s.wait_for(b"\x1b[?1006h");
    rustix::termios::tcflow(&s.slave, rustix::termios::Action::OOff).unwrap();
    s.tell(&ServerMsg::Frame {
        number: 1,
        bytes: vec![b'x'; 1 << 20],
    });
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    assert_eq!(s.next(), ClientMsg::Detach);
    assert_eq!(s.end(), Exit::Hangup);
}

#[test]
fn signals_resize_repaint_and_end() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    use rustix::process::{Signal, getpid, kill_process};
    let mut s = Scene::new(trust());
    s.wait_for(b"\x1b[?1006h");
    tcsetwinsize(&s.slave, size(40, 12)).unwrap();
    kill_process(getpid(), Signal::WINCH).unwrap();
    assert_eq!(s.next(), ClientMsg::Resize(Size::new(40, 12)));
    // A size that is the old one again was another one in between.
    kill_process(getpid(), Signal::WINCH).unwrap();
    assert_eq!(s.next(), ClientMsg::Repaint);
    s.seen.clear();
    rustix::termios::tcsetattr(&s.slave, rustix::termios::OptionalActions::Now, &s.before).unwrap();
    kill_process(getpid(), Signal::CONT).unwrap();
    // The first signal may have come after the client had looked for the size by itself: that is one repaint more, whose
    // place is not known.
    let own = after_repaints(&mut s);
    let ClientMsg::Own(bytes) = own else { panic!("{own:?}") };
    assert!(bytes.windows(8).any(|w| w == b"\x1b[?1049h"));
    assert_eq!(s.next(), ClientMsg::Repaint);
    assert!(!tcgetattr(&s.slave).unwrap().local_modes.contains(LocalModes::ECHO));
    kill_process(getpid(), Signal::TERM).unwrap();
    assert_eq!(after_repaints(&mut s), ClientMsg::Detach);
    assert_eq!(s.end(), Exit::Hangup);
}

/// The next message that is no request to repaint.
fn after_repaints(s: &mut Scene) -> ClientMsg {
    loop {
        let next = s.next();
        if next != ClientMsg::Repaint {
            return next;
        }
    }
}

#[test]
fn a_terminal_that_is_lent_is_given_back_when_the_server_has_let_go() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    use rustix::process::{Signal, getpid, kill_process};
    let mut s = Scene::new(Options {
        probe: Probe::Trust,
        ..Options::default()
    });
    let ClientMsg::Direct(_) = s.next() else { panic!() };
    kill_process(getpid(), Signal::TERM).unwrap();
    assert_eq!(s.next(), ClientMsg::Detach);
    // It has said that it goes, and the server still writes.
    assert_eq!(read_msg::<ClientMsg>(&mut s.server).unwrap(), None);
    rustix::io::write(&s.slave, b"the last frame").unwrap();
    s.server.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(s.end(), Exit::Hangup);
    s.wait_for(b"\x1b[?1049l");
    let at = |what: &[u8]| s.seen.windows(what.len()).position(|w| w == what);
    assert!(at(b"the last frame").unwrap() < at(b"\x1b[?1049l").unwrap());
}

#[test]
fn another_version_is_refused_before_the_terminal_is_touched() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut server, ours) = UnixStream::pair().unwrap();
    server
        .write_all(
            &Hello {
                protocol: 999,
                build: "99.0".into(),
            }
            .to_bytes(),
        )
        .unwrap();
    let attach = Attach {
        size: Size::new(1, 1),
        caps: probe::from_env(&|_| None),
        mode: AttachMode::ReadOnly,
        env: Vec::new(),
        tty: None,
        exclusive: false,
    };
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let e = run_on(null(), null(), ours, attach, trust()).unwrap_err().to_string();
    assert!(e.contains("99.0"), "{e}");
}
