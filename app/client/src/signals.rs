//! The signals a client lives with: a new size, being continued after a stop, and being asked to go. It owns their
//! registration; while nobody shows a session they do what they always do.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    SigId,
    consts::{SIGCONT, SIGHUP, SIGTERM, SIGWINCH},
    low_level,
};

/// The signals that concern us, caught while this lives.
pub(crate) struct Signals {
    pub(crate) pipe: UnixStream,
    pub(crate) size: Arc<AtomicBool>,
    pub(crate) cont: Arc<AtomicBool>,
    pub(crate) stop: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

/// True while nobody waits for SIGHUP and SIGTERM, which then do what they always do.
static IDLE: OnceLock<Arc<AtomicBool>> = OnceLock::new();

fn idle() -> io::Result<&'static Arc<AtomicBool>> {
    if let Some(i) = IDLE.get() {
        return Ok(i);
    }
    let flag = Arc::new(AtomicBool::new(true));
    for s in [SIGHUP, SIGTERM] {
        signal_hook::flag::register_conditional_default(s, flag.clone())?;
    }
    Ok(IDLE.get_or_init(|| flag))
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let idle = idle()?;
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let flag = || Arc::new(AtomicBool::new(false));
        let mut s = Self {
            pipe,
            size: flag(),
            cont: flag(),
            stop: flag(),
            ids: Vec::new(),
        };
        for (signal, flag) in [
            (SIGWINCH, &s.size),
            (SIGCONT, &s.cont),
            (SIGHUP, &s.stop),
            (SIGTERM, &s.stop),
        ] {
            s.ids.push(signal_hook::flag::register(signal, flag.clone())?);
            s.ids.push(low_level::pipe::register(signal, write.try_clone()?)?);
        }
        idle.store(false, Ordering::SeqCst);
        Ok(s)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Some(idle) = IDLE.get() {
            idle.store(true, Ordering::SeqCst);
        }
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}
