//! The action menu: what can be done here, and why not where it cannot.

use super::{Panel, ProxyPane, View, prompt::Ask, send};

/// Something that can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Filter,
    Follow,
    Mark,
    Comment,
    Replay,
    Edit,
    /// What came out of the editor; asked for by the pane itself.
    SendEdited,
    Diff,
    Curl,
    Har,
    Raw,
    Body,
    Save,
    Load,
    Inject,
    EndFaults,
    Hold,
    ShowHeld,
    EndHolds,
    /// Kill what is held under this number; asked for by the panel of what is held.
    Kill(u64),
    Drain,
    Close,
    Reload,
}

/// The actions in their order.
const ACTS: [Act; 21] = [
    Act::Filter,
    Act::Follow,
    Act::Mark,
    Act::Comment,
    Act::Replay,
    Act::Edit,
    Act::Diff,
    Act::Curl,
    Act::Har,
    Act::Raw,
    Act::Body,
    Act::Save,
    Act::Load,
    Act::Inject,
    Act::EndFaults,
    Act::Hold,
    Act::ShowHeld,
    Act::EndHolds,
    Act::Drain,
    Act::Close,
    Act::Reload,
];

impl Act {
    /// What it does.
    fn words(self) -> &'static str {
        match self {
            Act::Filter => "filter the flows",
            Act::Follow => "follow or pause the view",
            Act::Mark => "mark this flow",
            Act::Comment => "comment on this flow",
            Act::Replay => "send this request again",
            Act::Edit => "edit this request and send it",
            Act::SendEdited => "send the edited request",
            Act::Diff => "compare the two marked flows",
            Act::Curl => "copy as a curl command",
            Act::Har => "copy as HAR",
            Act::Raw => "copy the raw request and answer",
            Act::Body => "copy the answer's body",
            Act::Save => "save what is shown to a HAR file",
            Act::Load => "load flows from a HAR file",
            Act::Inject => "inject a fault",
            Act::EndFaults => "end all injected faults",
            Act::Hold => "hold requests or answers on their way",
            Act::ShowHeld => "what is held: edit it, let it go on, kill it",
            Act::EndHolds => "hold nothing any more",
            Act::Kill(_) => "kill what is held",
            Act::Drain => "drain this endpoint, or end that",
            Act::Close => "close this connection",
            Act::Reload => "read the configuration again",
        }
    }

    /// The keys that do the same.
    fn key(self) -> &'static str {
        match self {
            Act::Filter => "/",
            Act::Follow => "f",
            Act::Mark => "Space",
            Act::Comment => "#",
            Act::Replay => ".",
            Act::Edit => "e",
            Act::Diff => "=",
            Act::Curl => "y c",
            Act::Har => "y h",
            Act::Raw => "y r",
            Act::Body => "y b",
            Act::Load => "o",
            Act::Inject => "i",
            Act::EndFaults => "I",
            Act::Hold => "h",
            Act::ShowHeld => "H",
            Act::Drain | Act::Close => "D",
            Act::Reload => "r",
            Act::Save | Act::SendEdited | Act::EndHolds | Act::Kill(_) => "",
        }
    }
}

impl ProxyPane {
    /// Why something cannot be done now.
    pub(super) fn refusal(&self, act: Act) -> Option<String> {
        let why = |text: &str| Some(text.to_owned());
        match act {
            Act::Filter | Act::Follow | Act::Load | Act::Inject | Act::Hold | Act::Kill(_) | Act::SendEdited => None,
            Act::Mark | Act::Comment | Act::Curl | Act::Har | Act::Raw | Act::Body | Act::Replay | Act::Edit => {
                let Some(seen) = self.current() else {
                    return why("no flow is selected");
                };
                match act {
                    Act::Replay | Act::Edit => self.cannot_send(&seen),
                    Act::Body if seen.told.response.body.is_empty() => why("no body was kept"),
                    _ => None,
                }
            }
            Act::Diff if self.marks.len() != 2 => Some(format!("{} flows are marked, not two", self.marks.len())),
            Act::Diff => None,
            Act::Save if self.shown.is_empty() => why("nothing is shown"),
            Act::Save => None,
            Act::EndFaults if self.snapshot().faults.is_empty() => why("there is none"),
            Act::EndFaults => None,
            Act::ShowHeld if self.snapshot().held.is_empty() => why("nothing is held"),
            Act::EndHolds if self.snapshot().holds.is_empty() => why("there is no rule that holds"),
            Act::ShowHeld | Act::EndHolds => None,
            Act::Drain if self.view != View::Endpoints => why("3 shows the endpoints"),
            Act::Drain if self.endpoint().is_none() => why("no endpoint is selected"),
            Act::Drain => None,
            Act::Close if self.view != View::Connections => why("4 shows the connections"),
            Act::Close if self.connection().is_none() => why("no connection is selected"),
            Act::Close => None,
            Act::Reload if self.source.path().is_none() => why("it was not opened with a configuration file"),
            Act::Reload => None,
        }
    }

    /// The rows of the menu: what, by which key, or why not.
    pub(super) fn menu_rows(&self) -> Vec<(String, String, bool)> {
        ACTS.iter()
            .map(|act| match self.refusal(*act) {
                Some(why) => (act.words().to_owned(), format!("not now: {why}"), true),
                None => (act.words().to_owned(), act.key().to_owned(), false),
            })
            .collect()
    }

    /// Does what a row of the menu offers.
    pub(super) fn menu_act(&mut self, at: usize) {
        if let Some(act) = ACTS.get(at) {
            self.act_on(*act);
        }
    }

    /// Does it, or says why not; asks first where it may do harm.
    pub(super) fn act_on(&mut self, act: Act) {
        if let Some(why) = self.refusal(act) {
            self.tell(format!("not now: {why}"), true);
            return;
        }
        self.panel = None;
        let current = self.current();
        match (act, current) {
            (Act::Replay, Some(seen)) if !send::is_idempotent(&seen.told.method) => {
                let words = format!(
                    "send {} {} again? It may have its effects twice.",
                    seen.told.method, seen.told.path
                );
                self.confirm = Some((words, act));
            }
            (Act::Drain, _) if self.endpoint().is_some_and(|e| !e.draining) => {
                let name = self.endpoint().map(|e| e.address.to_string()).unwrap_or_default();
                self.confirm = Some((format!("give {name} no more requests?"), act));
            }
            (Act::Close, _) => {
                let peer = self.connection().and_then(|c| c.peer).map(|p| format!(" of {p}"));
                let words = format!("close the connection{} now?", peer.unwrap_or_default());
                self.confirm = Some((words, act));
            }
            (act, _) => self.carry_out(act),
        }
    }

    /// Does it without asking.
    pub(super) fn carry_out(&mut self, act: Act) {
        let current = self.current();
        match (act, current) {
            (Act::Filter, _) => {
                let text = self.filter.as_ref().map(|(t, _)| t.clone()).unwrap_or_default();
                self.ask(Ask::Filter, &text);
            }
            (Act::Follow, _) => self.set_follow(!self.follow),
            (Act::Mark, Some(seen)) => self.toggle_mark(&seen),
            (Act::Comment, Some(seen)) => self.ask(Ask::Comment, &seen.told.notes.comment),
            (Act::Replay, Some(seen)) => self.replay(&seen),
            (Act::Edit, Some(seen)) => self.edit(&seen),
            (Act::SendEdited, _) => self.send_edited(),
            (Act::Diff, _) => {
                if let [a, b] = self.marks.as_slice() {
                    self.panel = Some(Panel::Diff(super::diff::lines(a, b), 0));
                }
            }
            (Act::Curl, Some(seen)) => self.copy(&seen, 'c'),
            (Act::Har, Some(seen)) => self.copy(&seen, 'h'),
            (Act::Raw, Some(seen)) => self.copy(&seen, 'r'),
            (Act::Body, Some(seen)) => self.copy(&seen, 'b'),
            (Act::Save, _) => self.ask(Ask::Save, "flows.har"),
            (Act::Load, _) => self.ask(Ask::Load, ""),
            (Act::Inject, _) => {
                let route = self
                    .selected_route()
                    .map(|r| format!(" route:{}", super::rows::quoted(&r)));
                self.ask(
                    Ask::Fault,
                    &format!("abort 503 50% for 30s{}", route.unwrap_or_default()),
                );
            }
            (Act::EndFaults, _) => self.end_faults(),
            (Act::Hold, _) => self.ask(Ask::Hold, "request for 60s "),
            (Act::ShowHeld, _) => self.panel = Some(Panel::Held(0)),
            (Act::EndHolds, _) => self.end_holds(),
            (Act::Kill(id), _) => self.release(id, qd_proxy::Release::Kill),
            (Act::Drain, _) => self.drain(),
            (Act::Close, _) => self.close(),
            (Act::Reload, _) => self.reload(),
            _ => {}
        }
    }
}
