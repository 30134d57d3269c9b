//! What the tests of machines have in common: guests as files, a machine, and waiting for what it says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use qd_vm::model::VmConfig;
use qd_vm::{End, Machine, Options};

/// How long anything may take on a machine that others use too.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Whether machines can run here; says why not.
pub(crate) fn can() -> bool {
    if let Err(e) = qd_vm::host() {
        println!("skipped: {e}");
        return false;
    }
    if qd_vm_guest::test().is_none() {
        println!("skipped: no guests could be built here");
        return false;
    }
    true
}

/// A machine with what it needs on disk.
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    _dir: tempfile::TempDir,
    news: Arc<(Mutex<u64>, Condvar)>,
    from: u64,
    text: String,
}

pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

impl Rig {
    /// Boots a guest with a command line; `more` are further keys of the configuration, `DIR` the directory.
    pub(crate) fn boot(image: &[u8], args: &str, dir: tempfile::TempDir, more: &str) -> Rig {
        let kernel = write(dir.path(), "kernel", image);
        let more = more.replace("DIR", dir.path().to_str().unwrap());
        // Keys of the boot source go before the first semicolon, others behind it.
        let (boot, rest) = more.split_once(';').unwrap_or(("", &more));
        let text =
            format!(r#"{{"boot-source": {{"kernel_image_path": {kernel:?}, "boot_args": {args:?}{boot}}}{rest}}}"#);
        Rig::config(&VmConfig::read(&text).unwrap(), dir)
    }

    /// Boots what a configuration says.
    pub(crate) fn config(config: &VmConfig, dir: tempfile::TempDir) -> Rig {
        let news = Arc::new((Mutex::new(0), Condvar::new()));
        let bell = Arc::clone(&news);
        let watch = Arc::new(move || {
            *bell.0.lock().unwrap() += 1;
            bell.1.notify_all();
        });
        let machine = Machine::build(
            config,
            Options {
                watch,
                ..Options::default()
            },
        )
        .unwrap();
        machine.resume().unwrap();
        Rig {
            machine,
            _dir: dir,
            news,
            from: 0,
            text: String::new(),
        }
    }

    /// The guest of the tests doing one of its things.
    pub(crate) fn test(name: &str, more: &str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        Rig::boot(qd_vm_guest::test().unwrap(), &format!("t={name}"), dir, more)
    }

    fn read(&mut self) {
        let r = self.machine.console().read(self.from, 1 << 20);
        self.from = r.next;
        self.text.push_str(&String::from_utf8_lossy(&r.bytes));
    }

    /// Waits until the guest has said something, and gives what came before it and it.
    pub(crate) fn expect(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut seen = self.news.0.lock().map(|n| *n).unwrap();
        loop {
            self.read();
            if let Some(at) = self.text.find(wanted) {
                let rest = self.text.split_off(at + wanted.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let over = matches!(self.machine.state(), qd_vm::State::Ended(_));
            assert!(
                !over && Instant::now() < deadline,
                "no `{wanted}` in: {} ({:?})",
                self.text,
                self.machine.state()
            );
            let guard = self.news.0.lock().unwrap();
            let (guard, _) = self
                .news
                .1
                .wait_timeout_while(guard, Duration::from_secs(1), |n| *n == seen)
                .unwrap();
            seen = *guard;
        }
    }

    /// Waits for the end: how it ended, and what the guest said until then.
    pub(crate) fn end(&mut self) -> (End, String) {
        let end = self
            .machine
            .wait(LIMIT)
            .unwrap_or_else(|| panic!("it goes on: {:?}", self.machine));
        self.read();
        (end, std::mem::take(&mut self.text).replace('\r', ""))
    }

    pub(crate) fn say(&self, text: &str) {
        assert_eq!(self.machine.input(text.as_bytes()), text.len());
    }
}
