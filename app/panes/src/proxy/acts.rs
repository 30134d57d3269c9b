//! What the actions of a proxy pane do: marks and comments, faults, draining, closing, files, the shared time.

use std::{path::PathBuf, sync::Arc};

use qd_core::When;
use qd_proxy::{
    ConnView, Drain, EndpointView,
    engine::{Command, Reply},
    telemetry::har::Har,
};

use super::{ProxyPane, Region, View, book::Seen, export, fault, now, reloaded};
use crate::PaneEvent;

/// Flows that can be marked at once.
const MARKS: usize = 200;
/// Bytes of a file that flows are loaded from.
const FILE: u64 = 256 << 20;

impl ProxyPane {
    /// The endpoint under the cursor.
    pub(super) fn endpoint(&self) -> Option<EndpointView> {
        let key = self.key_of(View::Endpoints);
        let s = self.snapshot();
        let found = s.endpoints.iter().find(|e| Some(e.id.to_string()) == key);
        found.or_else(|| s.endpoints.first()).cloned()
    }

    /// The connection under the cursor.
    pub(super) fn connection(&self) -> Option<ConnView> {
        let key = self.key_of(View::Connections);
        let s = self.snapshot();
        let found = s.connections.iter().find(|c| Some(c.id.to_string()) == key);
        found.or_else(|| s.connections.first()).cloned()
    }

    /// The route under the cursor, in the view of routes.
    pub(super) fn selected_route(&self) -> Option<String> {
        if self.view != View::Routes {
            return None;
        }
        let rows = self.rows();
        // A row of a route begins with its name.
        rows.get(self.place(&rows)).and_then(|r| r.cells.first().cloned())
    }

    pub(super) fn set_follow(&mut self, follow: bool) {
        self.follow = follow;
        if follow {
            self.view = View::Live;
            self.region = Region::List;
            self.at = self.shown.back().map(|s| s.seq);
        }
    }

    /// Changes what is noted about a flow, here and in the rows.
    fn note_on(&mut self, seen: &Seen, change: impl FnOnce(&mut qd_proxy::telemetry::Flow)) {
        let Some(new) = self.book.note(seen.seq, change) else {
            self.tell("the flow is no longer kept", true);
            return;
        };
        let same = |s: &&mut Arc<Seen>| s.seq == new.seq;
        for place in self.shown.iter_mut().filter(same) {
            *place = Arc::clone(&new);
        }
        for place in self.marks.iter_mut().filter(same) {
            *place = Arc::clone(&new);
        }
        self.laid = None;
    }

    pub(super) fn toggle_mark(&mut self, seen: &Seen) {
        let on = !self.marks.iter().any(|m| m.seq == seen.seq);
        if on && self.marks.len() >= MARKS {
            self.tell(format!("{MARKS} flows are marked; no more can be"), true);
            return;
        }
        self.note_on(seen, |told| told.notes.marked = on);
        match (on, self.current()) {
            (true, Some(now)) => self.marks.push(now),
            _ => self.marks.retain(|m| m.seq != seen.seq),
        }
    }

    pub(super) fn comment(&mut self, text: &str) {
        if let Some(seen) = self.current() {
            let text = text.trim().to_owned();
            self.note_on(&seen, |told| told.notes.comment = text);
        }
    }

    pub(super) fn call(&mut self, command: Command, words: String) {
        match self.handle.call(command) {
            Ok(pending) => self.calls.push((pending, words)),
            Err(e) => self.tell(e.to_string(), true),
        }
    }

    /// Takes answers of the engine that have come.
    pub(super) fn take_answers(&mut self) {
        let mut waiting = Vec::new();
        for (mut pending, words) in std::mem::take(&mut self.calls) {
            match pending.try_take() {
                None => waiting.push((pending, words)),
                Some(Ok(Reply::Done(true))) => self.tell(words, false),
                Some(Ok(Reply::Done(false))) => self.tell("it is gone already", true),
                Some(Ok(Reply::Injected(Ok(id)))) => self.tell(format!("fault {id} is injected: {words}"), false),
                Some(Ok(Reply::Injected(Err(e)))) => self.tell(e.to_string(), true),
                Some(Ok(Reply::Holding(Ok(_)))) => {
                    self.tell(format!("holding: {words}; H shows what is held"), false);
                }
                Some(Ok(Reply::Holding(Err(e)))) => self.tell(e.to_string(), true),
                Some(Ok(Reply::Held(Some(held)))) => self.know_held(*held),
                Some(Ok(Reply::Released(Ok(())))) => self.tell(words, false),
                Some(Ok(Reply::Released(Err(e)))) => self.tell(e.to_string(), true),
                Some(Ok(Reply::Replayed(Err(e)))) => self.tell(format!("it was not sent again: {e}"), true),
                Some(Ok(_)) => {}
                Some(Err(e)) => self.tell(e.to_string(), true),
            }
        }
        self.calls = waiting;
    }

    /// Injects what is typed.
    pub(super) fn inject(&mut self, text: &str) -> Result<(), String> {
        let fault = fault::parse(text)?;
        self.call(Command::Inject(Box::new(fault)), text.trim().to_owned());
        Ok(())
    }

    pub(super) fn end_faults(&mut self) {
        for f in &self.snapshot().faults {
            self.call(Command::EndFault(f.id), "the faults have ended".to_owned());
        }
    }

    pub(super) fn drain(&mut self) {
        let Some(e) = self.endpoint() else { return };
        let (drain, words) = match e.draining {
            true => (Drain::End, "gets requests again"),
            false => (Drain::Begin, "gets no more requests"),
        };
        self.call(Command::Drain(e.id, drain), format!("{} {words}", e.address));
    }

    pub(super) fn close(&mut self) {
        if let Some(c) = self.connection() {
            self.call(Command::Close(c.id), format!("connection {} is closed", c.id));
        }
    }

    /// Reads the configuration again.
    pub(super) fn reload(&mut self) {
        let (source, handle) = (self.source.clone(), self.handle.clone());
        let (say, wake) = (self.say.clone(), Arc::clone(&self.wake));
        self.tell("reading the configuration again", false);
        self.runtime.spawn(async move {
            if say.send(reloaded(source.reload(&handle).await)).is_ok() {
                wake();
            }
        });
    }

    /// Copies a flow.
    pub(super) fn copy(&mut self, seen: &Seen, what: char) {
        let text = match what {
            'c' => self.curl_of(seen).into_bytes(),
            'h' => serde_json::to_vec_pretty(&Har::of([&seen.told])).unwrap_or_default(),
            'r' => export::raw(seen),
            'b' => export::body(&seen.told.response),
            'u' => seen.told.url().as_bytes().to_vec(),
            _ => return self.tell("c curl, h HAR, r raw, b body, u URL", true),
        };
        self.events
            .push(PaneEvent::Copied(String::from_utf8_lossy(&text).into_owned()));
    }

    /// The command that asks the same of the same listener.
    fn curl_of(&self, seen: &Seen) -> String {
        let s = self.snapshot();
        let listener = s.listeners.iter().find(|l| *l.name == *seen.more.listener);
        export::curl(&seen.told, listener.map(|l| l.address.as_str()))
    }

    fn file(text: &str) -> Result<PathBuf, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a name is missing".to_owned());
        }
        let home = || std::env::var("HOME").unwrap_or_default();
        Ok(match text.strip_prefix("~/") {
            Some(rest) => PathBuf::from(home()).join(rest),
            None => PathBuf::from(text),
        })
    }

    /// Writes what is shown to a file.
    pub(super) fn save(&mut self, text: &str) -> Result<(), String> {
        let path = Self::file(text)?;
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.exists() {
            return Err(format!("{} is there already", path.display()));
        }
        let flows: Vec<_> = self.shown.iter().map(|s| export::covered(&s.told)).collect();
        let json = serde_json::to_vec_pretty(&Har::of(&flows)).map_err(|e| e.to_string())?;
        std::fs::write(&path, json).map_err(|e| format!("{}: {e}", path.display()))?;
        self.tell(format!("{} flows are in {}", flows.len(), path.display()), false);
        Ok(())
    }

    /// Takes flows from a file in.
    pub(super) fn load(&mut self, text: &str) -> Result<(), String> {
        let path = Self::file(text)?;
        let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let size = std::fs::metadata(&path).map_err(|e| fail(&e))?.len();
        if size > FILE {
            return Err(fail(&"it is larger than 256 MiB"));
        }
        let text = std::fs::read(&path).map_err(|e| fail(&e))?;
        let har: Har = serde_json::from_slice(&text).map_err(|e| fail(&e))?;
        let flows = har.flows();
        self.tell(format!("{} flows from {}", flows.len(), path.display()), false);
        self.book.load(flows);
        Ok(())
    }

    /// Sets the time of all panes to the selected flow's.
    pub(super) fn set_moment_here(&mut self) {
        match self.current() {
            Some(seen) => {
                let at = seen.told.started;
                self.follow = false;
                self.moment = crate::moment::set(Some(at));
                let words = format!(
                    "all panes stand at {}; t l goes back to live",
                    at.date_time(&now().zone)
                );
                self.tell(words, false);
                (self.wake)();
            }
            None => self.tell("no flow is selected", true),
        }
    }

    /// Sets it to a time that is typed.
    pub(super) fn set_moment_at(&mut self, text: &str) -> Result<(), String> {
        let now = now();
        let at = When::parse(text.trim(), &now).map_err(|e| e.to_string())?.start(now.at);
        // This pane goes there as the others do.
        crate::moment::set(Some(at));
        self.tell(
            format!("all panes stand at {}; t l goes back to live", at.date_time(&now.zone)),
            false,
        );
        (self.wake)();
        Ok(())
    }

    /// Lets all panes be live again.
    pub(super) fn go_live(&mut self) {
        self.set_follow(true);
        self.moment = crate::moment::set(None);
        (self.wake)();
    }
}
