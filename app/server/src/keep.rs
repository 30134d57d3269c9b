//! What outlives this server: the holder keeps the terminals, and here the rest of the session is written down whenever it
//! changes, into a file in memory that the holder keeps too. A server that is started after another ended reads it, takes
//! the terminals over and goes on.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    time::{Duration, UNIX_EPOCH},
};

use qd_mux::{LayoutSpec, Model, PaneId, PaneSpec, PaneState};
use qd_panes::{IdlePane, Pane, TerminalPane};
use qd_terminal::{Adopted, Link, Look, Was};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{messages::Level, session::Session, slots::Slot};

/// What a server is handed by its holder.
#[derive(Debug)]
pub struct Handed {
    /// The connection to the holder.
    pub link: Link,
    /// Where the session is written down.
    pub state: OwnedFd,
    /// What there was before.
    pub was: Was,
    /// The terminals that are there.
    pub held: Vec<Adopted>,
}

/// A session as it is written down. Fields are only ever added, each with a default.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    created: u64,
    model: Model,
    slots: BTreeMap<u32, SavedSlot>,
    #[serde(default)]
    last_shell: Option<PaneId>,
    #[serde(default)]
    command_history: Vec<String>,
    #[serde(default)]
    env: Vec<(String, Option<String>)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedSlot {
    spec: PaneSpec,
    /// What the holder knows its terminal by.
    key: Option<u64>,
}

/// Writing the session down.
pub(crate) struct Keeping {
    pub(crate) link: Link,
    state: OwnedFd,
    /// Two places are written in turn: the number of the newer, and what it has.
    number: u64,
    last: Vec<u8>,
    chrome: u64,
}

/// Where the second place begins.
const SECOND: u64 = 64 << 20;
/// Length and number, before the bytes.
const HEAD: u64 = 16;

impl Keeping {
    pub(crate) fn new(link: Link, state: OwnedFd) -> Self {
        Self {
            link,
            state,
            number: 0,
            last: Vec::new(),
            chrome: 0,
        }
    }

    /// What was written last.
    fn load(&mut self) -> Option<Saved> {
        let mut newest: Option<(u64, u64, u64)> = None;
        for place in [0, SECOND] {
            let mut head = [0; 16];
            let Ok(16) = rustix::io::pread(&self.state, &mut head, place) else {
                continue;
            };
            let word = |i: usize| {
                let bytes = head.get(i..i + 8).and_then(|b| b.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            };
            let (len, number) = (word(0), word(8));
            if len <= SECOND - HEAD && newest.is_none_or(|n| n.0 < number) {
                newest = Some((number, place, len));
            }
        }
        let (number, place, len) = newest.filter(|n| n.0 > 0)?;
        self.number = number;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let mut at = 0;
        while at < bytes.len() {
            match rustix::io::pread(&self.state, &mut bytes[at..], place + HEAD + at as u64) {
                Ok(0) => return None,
                Ok(n) => at += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        match serde_json::from_slice(&bytes) {
            Ok(saved) => Some(saved),
            Err(e) => {
                warn!("what the server before wrote down is not understood: {e}");
                None
            }
        }
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let place = if self.number.is_multiple_of(2) { SECOND } else { 0 };
        write_all(&self.state, bytes, place + HEAD)?;
        let words = [bytes.len() as u64, self.number + 1];
        let head: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        write_all(&self.state, &head, place)?;
        self.number += 1;
        Ok(())
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, at) {
            Ok(n) => {
                at += n as u64;
                bytes = &bytes[n..];
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

impl Session {
    /// Writes the session down if it changed.
    pub(crate) fn write_down(&mut self) {
        let chrome = self.chrome;
        if self.keeping.as_ref().is_none_or(|k| k.chrome == chrome) || !self.opened {
            return;
        }
        let slots = self.slots.iter_mut().map(|(id, s)| {
            let key = s.pane.terminal().and_then(|t| t.holder_key());
            let spec = s.spec.clone();
            (id.0, SavedSlot { spec, key })
        });
        let saved = Saved {
            created: self.created.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            slots: slots.collect(),
            model: self.model.clone(),
            last_shell: self.last_shell,
            command_history: self.command_history.clone(),
            env: self.env.brought(),
        };
        let Some(keeping) = &mut self.keeping else { return };
        keeping.chrome = chrome;
        match serde_json::to_vec(&saved) {
            Ok(bytes) if bytes != keeping.last => match keeping.store(&bytes) {
                Ok(()) => keeping.last = bytes,
                Err(e) => warn!("the session could not be written down: {e}"),
            },
            Ok(_) => {}
            Err(e) => warn!("the session could not be written down: {e}"),
        }
    }

    /// Goes on where the server before ended.
    pub(crate) fn resume(&mut self, was: Was, held: Vec<Adopted>) {
        let Some(keeping) = &mut self.keeping else { return };
        let link = keeping.link.clone();
        let saved = keeping.load();
        if saved.is_none() && held.is_empty() {
            return;
        }
        let look = if was.blank { Look::Nothing } else { Look::Everything };
        let mut held: BTreeMap<u64, Adopted> = held.into_iter().map(|a| (a.key(), a)).collect();
        let saved = saved.filter(|s| match s.model.check() {
            Ok(()) => true,
            Err(e) => {
                warn!("what the server before wrote down does not hold together: {e}");
                false
            }
        });
        self.opened = true;
        let slots = match saved {
            Some(saved) => {
                self.created = UNIX_EPOCH + Duration::from_secs(saved.created);
                self.model = saved.model;
                self.last_shell = saved.last_shell;
                self.command_history = saved.command_history;
                self.env.bring(saved.env);
                saved.slots
            }
            None => self.one_tab_each(&held),
        };
        let count = held.len();
        for (id, slot) in slots {
            let id = PaneId(id);
            if self.model.pane(id).is_none() {
                continue;
            }
            let terminal = slot.key.and_then(|k| held.remove(&k));
            self.take_over(id, slot.spec, terminal, &link, look);
        }
        // What was started in the last moment belongs to no pane.
        held.into_values().for_each(|a| link.refuse(a));
        let home = self.model.home();
        self.model.set_mode(home);
        self.relayout();
        self.reap_all();
        let how = match was.before {
            Some(s) if s.signal.is_some() => format!("by signal {}", s.signal.unwrap_or(0)),
            Some(s) => format!("with status {}", s.code.unwrap_or(0)),
            None => "without a word".to_owned(),
        };
        let text = format!("the session's server ended {how} and was started again; {count} programs went on");
        self.say(if was.upgraded { Level::Info } else { Level::Warn }, &text);
    }

    /// A tab for each terminal, when nothing else is known of the session.
    fn one_tab_each(&mut self, held: &BTreeMap<u64, Adopted>) -> BTreeMap<u32, SavedSlot> {
        let tab = || LayoutSpec::single(PaneSpec::default()).tabs;
        let spec = LayoutSpec {
            tabs: held.keys().flat_map(|_| tab()).collect(),
        };
        let mut keys = held.keys();
        let mut slots = BTreeMap::new();
        for effect in self.model.open(&spec) {
            if let qd_mux::Effect::Spawn { pane, spec } = effect {
                let key = keys.next().copied();
                slots.insert(pane.0, SavedSlot { spec, key });
            }
        }
        slots
    }

    fn take_over(&mut self, id: PaneId, spec: PaneSpec, terminal: Option<Adopted>, link: &Link, look: Look) {
        let options = crate::settings::terminal_options(&self.config);
        let made: Result<Box<dyn Pane>, String> = match terminal {
            Some(a) => TerminalPane::adopt(link, a, look, options)
                .map(|p| Box::new(p) as Box<dyn Pane>)
                .map_err(|e| e.to_string()),
            None if spec.kind == PaneSpec::TERMINAL => {
                self.model.set_pane_state(id, PaneState::Exited);
                let title = self.model.pane(id).map(|p| p.label().to_owned()).unwrap_or_default();
                Ok(Box::new(IdlePane::waiting(&spec.kind, &title)))
            }
            None => {
                // An engine begins anew, from what it keeps itself.
                self.spawn(id, spec);
                return;
            }
        };
        let pane = made.unwrap_or_else(|why| {
            self.say(Level::Error, &why);
            Box::new(IdlePane::failed(&spec.kind, &why))
        });
        self.model.set_home(id, pane.home());
        self.slots.insert(id, Slot::new(pane, spec));
        self.watch(id);
        self.after_pane(id);
    }
}
