//! Logs that other programs give: of containers, of the journal, of files on other hosts. The program is a child in a process
//! group of its own; it ends with its source or its view, and what it said and how it ended is kept to be shown.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::source::clip;

/// How many lines of what a program complained about are kept: the last ones.
const COMPLAINTS: usize = 16;
/// How much of such a line is kept, in bytes.
const COMPLAINT: usize = 512;
/// How long the last of them is waited for when a program has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Whether a text names a log by a scheme (`docker://…`), not by a path.
pub fn is_location(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// What is run to read a log.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    argv: Vec<String>,
    /// What the program writes to its standard error is part of the log.
    both: bool,
    /// It writes the journal's entries as JSON.
    journal: bool,
}

/// A text in quotes that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn plan(location: &str) -> Result<Plan> {
    let wrong = |reason: &str| Error::Location {
        location: location.to_owned(),
        reason: reason.to_owned(),
    };
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (scheme, rest) = location.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    if rest.starts_with('-') || rest.contains(|c: char| c.is_control()) {
        return Err(wrong("a name cannot begin with - or hold control characters"));
    }
    match scheme {
        "docker" => {
            let good = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
            if rest.is_empty() || !rest.chars().all(good) {
                return Err(wrong("it is docker:// and the name or id of a container"));
            }
            Ok(Plan {
                argv: words(&["docker", "logs", "--follow", rest]),
                both: true,
                journal: false,
            })
        }
        "journal" => {
            let mut argv = words(&["journalctl", "--follow", "--no-tail", "--all", "--output=json"]);
            if !rest.is_empty() {
                argv.push(format!("--unit={rest}"));
            }
            Ok(Plan {
                argv,
                both: false,
                journal: true,
            })
        }
        "ssh" => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            if authority.is_empty() || path.is_empty() {
                return Err(wrong("it is ssh://host/path or ssh://user@host:port/path"));
            }
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() && !host.is_empty() => (host, Some(port)),
                Some(_) => return Err(wrong("its port is no number from 0 to 65535")),
                None => (authority, None),
            };
            // Nobody can answer a question here; a key or an agent must do.
            let mut argv = words(&["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
            if let Some(port) = port {
                argv.extend(words(&["-p", port]));
            }
            argv.push(host.to_owned());
            argv.push(format!("exec tail -c +1 -F -- {}", quoted(&format!("/{path}"))));
            Ok(Plan {
                argv,
                both: false,
                journal: false,
            })
        }
        other => Err(wrong(&format!(
            "there is no `{other}://`; there are docker://name, journal://unit, ssh://host/path and, in a session, pane://name"
        ))),
    }
}

/// A program that runs, or has run.
#[derive(Debug)]
pub(crate) struct Running {
    program: String,
    pid: Option<Pid>,
    child: Mutex<Option<Child>>,
    complaints: Mutex<Vec<String>>,
    /// Closed when there will be no more complaints.
    silent: Mutex<Option<mpsc::Receiver<()>>>,
    ended: Mutex<Option<String>>,
}

impl Running {
    /// The last lines of what it complained about.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.lock().clone()
    }

    /// Ends it, and everything it started in its group.
    pub(crate) fn kill(&self) {
        // While the child is not taken, its number is its own.
        let child = self.child.lock();
        if let (Some(_), Some(pid)) = (&*child, self.pid) {
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }

    /// Waits for its end and takes note of it.
    fn reap(&self) {
        if let Some(pid) = self.pid {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
        }
        let Some(mut child) = self.child.lock().take() else {
            return;
        };
        let words = match child.wait() {
            Ok(status) => self.words(status),
            Err(error) => format!("{} ended: {error}", self.program),
        };
        // Its last words belong to how it ended. Something that it left running may keep the pipe open, but not us.
        if let Some(silent) = self.silent.lock().take() {
            let _heard = silent.recv_timeout(LAST_WORDS);
        }
        *self.ended.lock() = Some(words);
    }

    fn words(&self, status: ExitStatus) -> String {
        let program = &self.program;
        match (status.code(), status.signal()) {
            (Some(0), _) => format!("{program} is over: exit status 0"),
            (Some(code), _) => format!("{program} failed: exit status {code}"),
            (None, Some(signal)) => format!("{program} was ended by signal {signal}"),
            (None, None) => format!("{program} ended"),
        }
    }

    fn complain(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = clip(text.trim_end(), COMPLAINT);
        if text.is_empty() {
            return;
        }
        let mut list = self.complaints.lock();
        if list.len() >= COMPLAINTS {
            list.remove(0);
        }
        list.push(text.to_owned());
    }
}

/// Called when there is something new to be told.
pub(crate) type Changed = Arc<dyn Fn() + Send + Sync>;

/// What a program writes; at its end, the program is waited for.
struct Output<R> {
    from: R,
    running: Arc<Running>,
    changed: Changed,
    over: bool,
}

impl<R: Read> Read for Output<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.over {
            return Ok(0);
        }
        match self.from.read(buf) {
            Ok(n) if n > 0 || buf.is_empty() => Ok(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            _ => {
                self.over = true;
                self.running.reap();
                (self.changed)();
                Ok(0)
            }
        }
    }
}

impl<R> Drop for Output<R> {
    fn drop(&mut self) {
        // Nobody reads on.
        self.running.kill();
        self.running.reap();
    }
}

/// Starts the program that gives a log; `changed` is called when it said something.
pub(crate) fn start(location: &str, changed: &Changed) -> Result<(Arc<Running>, Box<dyn Read + Send>)> {
    let plan = plan(location)?;
    let name = plan.argv.first().cloned().unwrap_or_default();
    let wrong = |error: io::Error| Error::Location {
        location: location.to_owned(),
        reason: match error.kind() {
            io::ErrorKind::NotFound => format!("{name} is not installed: no program of that name is on the PATH"),
            _ => format!("{name} cannot be started: {error}"),
        },
    };
    let mut command = Command::new(&name);
    command
        .args(plan.argv.iter().skip(1))
        .stdin(Stdio::null())
        .process_group(0);
    let (both, from) = if plan.both {
        let (from, to) = io::pipe().map_err(wrong)?;
        command.stdout(to.try_clone().map_err(wrong)?).stderr(to);
        (true, Some(from))
    } else {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        (false, None)
    };
    let mut child = command.spawn().map_err(wrong)?;
    // Its copies of the writing ends would keep the pipe open.
    drop(command);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let running = Arc::new(Running {
        program: name.clone(),
        pid: i32::try_from(child.id()).ok().and_then(Pid::from_raw),
        child: Mutex::new(Some(child)),
        complaints: Mutex::default(),
        silent: Mutex::default(),
        ended: Mutex::default(),
    });
    if let Some(err) = err {
        let (theirs, changed) = (Arc::clone(&running), Arc::clone(changed));
        let (talking, silent) = mpsc::channel();
        *running.silent.lock() = Some(silent);
        let listen = move || {
            let _talking: mpsc::Sender<()> = talking;
            lines(err, &mut |line| {
                theirs.complain(line);
                changed();
            });
        };
        let builder = std::thread::Builder::new().name("logs-complaints".to_owned());
        builder.spawn(listen).map_err(|error| {
            running.kill();
            wrong(error)
        })?;
    }
    let reader: Box<dyn Read + Send> = match (both, from, out) {
        (true, Some(from), _) => output(from, &running, changed),
        (_, _, Some(out)) if plan.journal => Box::new(Journal::new(output(out, &running, changed))),
        (_, _, Some(out)) => output(out, &running, changed),
        _ => Box::new(io::empty()),
    };
    Ok((running, reader))
}

fn output(from: impl Read + Send + 'static, running: &Arc<Running>, changed: &Changed) -> Box<dyn Read + Send> {
    Box::new(Output {
        from,
        running: Arc::clone(running),
        changed: Arc::clone(changed),
        over: false,
    })
}

/// Hands on the lines of a stream until its end; of a long one only the beginning.
fn lines(mut from: impl Read, each: &mut dyn FnMut(&[u8])) {
    let (mut buf, mut line) = ([0; 4096], Vec::new());
    loop {
        match from.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                for byte in &buf[..n] {
                    if *byte == b'\n' {
                        each(&line);
                        line.clear();
                    } else if line.len() < COMPLAINT {
                        line.push(*byte);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if !line.is_empty() {
        each(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(location: &str) -> Vec<String> {
        plan(location).map(|p| p.argv).unwrap_or_default()
    }

    #[test]
    fn locations_are_programs() {
        assert_eq!(argv("docker://web-1"), ["docker", "logs", "--follow", "web-1"]);
        assert_eq!(argv("journal://nginx").last().unwrap(), "--unit=nginx");
        assert!(!argv("journal://").iter().any(|w| w.starts_with("--unit")));
        let ssh = argv("ssh://ops@web-3:2222/var/log/it's.log");
        assert_eq!(ssh[ssh.len() - 4..ssh.len() - 1], ["-p", "2222", "ops@web-3"]);
        assert_eq!(ssh.last().unwrap(), r"exec tail -c +1 -F -- '/var/log/it'\''s.log'");
    }

    #[test]
    fn what_would_be_an_option_or_a_command_is_refused() {
        for bad in [
            "docker://",
            "docker://--help",
            "docker://a b",
            "journal://-x",
            "ssh://host",
            "ssh:///x",
            "ssh://-oProxyCommand=x/y",
            "ssh://host:99999/x",
            "ssh://host/a\nb",
            "gopher://x",
        ] {
            let error = plan(bad).unwrap_err().to_string();
            assert!(error.contains(bad.split('\n').next().unwrap()), "{error}");
        }
        assert!(is_location("docker://x") && !is_location("/var/log/x") && !is_location("a/b://x"));
    }
}
