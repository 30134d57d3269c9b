//! Holding requests and answers on their way until somebody says how they go on.
//!
//! A rule says which ones are held. One that is held waits with its body, as far as a bound allows, until it is let go, let
//! go in an edited form, or killed; at its deadline it goes on by itself. There is a bound on how many are held at once;
//! beyond it they pass and are counted. While there is no rule a request asks one flag.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use parking_lot::Mutex;
use qd_core::Filter;
use qd_proxy_wire::{
    Fields, Framing, Known, RequestHead, ResponseHead, Version,
    fields::{is_name, is_value},
};
use serde::Serialize;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    exchange::Down,
    fault::Fault,
    flow::{self, Flow, Stage},
    forward::{ConnCx, Desk, Sum},
    inject::Asked,
    side::{Filled, Replay, Source},
};

/// Rules there are at once.
pub const MAX_HOLDS: usize = 16;
/// Flows that are held at once.
pub const MAX_HELD: usize = 64;
/// The longest a flow is held.
pub const MAX_HOLD_TIME: Duration = Duration::from_secs(600);
/// The largest body that is kept of a held flow.
pub const MAX_HOLD_BODY: usize = 4 << 20;
/// How long the rest of a request is waited for before it is held as it is.
const ARRIVE: Duration = Duration::from_secs(5);

/// At which point flows are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldAt {
    /// Before the request is sent.
    Request,
    /// Before the answer is sent.
    Answer,
    /// At both.
    Both,
}

/// Which flows are held.
#[derive(Debug, Clone)]
pub struct Hold {
    /// At which point.
    pub at: HoldAt,
    /// Which ones, by the fields `method path host route src header.*`, and for answers `status` and `response.header.*`.
    pub filter: Filter,
    /// How long one is held before it goes on by itself; more than zero, at most [`MAX_HOLD_TIME`].
    pub deadline: Duration,
    /// Bytes that are kept of a body while it is held; at most [`MAX_HOLD_BODY`]. A longer body can't be edited.
    pub body: usize,
}

/// Why there is no such rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// The deadline is none.
    #[error("what is held goes on by itself: give it a deadline of more than zero and at most 10m")]
    Deadline,
    /// The bound of bodies is too large.
    #[error("at most 4 MiB are kept of a body that is held")]
    Body,
    /// There are too many.
    #[error("there are {MAX_HOLDS} rules already; end one first")]
    Full,
}

/// A request as it shall be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEdit {
    /// The method.
    pub method: Vec<u8>,
    /// The target.
    pub target: Vec<u8>,
    /// The header's lines. A value that still reads as its cover is sent as it was. The length is set by itself.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
}

impl RequestEdit {
    /// An edit of a flow's request that changes nothing yet.
    pub fn of(flow: &Flow) -> RequestEdit {
        let head = flow.request();
        RequestEdit {
            method: head.method().to_vec(),
            target: head.target().to_vec(),
            headers: head.fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
            body: None,
        }
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), EditError> {
        if !is_name(&self.method) || self.method == b"CONNECT" {
            return Err(EditError("the method is none"));
        }
        if self.target.is_empty() || self.target.iter().any(|b| *b <= 0x20 || *b == 0x7f) {
            return Err(EditError("the target is none"));
        }
        check_headers(&self.headers)
    }

    /// The head that it makes of another, and how the body comes.
    pub(crate) fn apply(self, head: &mut RequestHead, rules: &qd_proxy_content::Rules) -> Option<Vec<u8>> {
        let target = flow::uncovered_target(&self.target, head.target(), rules).to_vec();
        let fields = flow::uncovered(&self.headers, &head.fields, rules);
        head.fields = fields;
        head.set_method(&self.method);
        head.set_target(&target);
        self.body
    }
}

/// An answer as it shall be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerEdit {
    /// The status, 200 to 599.
    pub status: u16,
    /// The header's lines, as in [`RequestEdit::headers`].
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body; `None` leaves it as it is.
    pub body: Option<Vec<u8>>,
}

impl AnswerEdit {
    fn check(&self) -> Result<(), EditError> {
        if !(200..=599).contains(&self.status) {
            return Err(EditError("a status is a number from 200 to 599"));
        }
        check_headers(&self.headers)
    }
}

fn check_headers(headers: &[(Vec<u8>, Vec<u8>)]) -> Result<(), EditError> {
    match headers.iter().all(|(n, v)| is_name(n) && is_value(v)) {
        true => Ok(()),
        false => Err(EditError("a header's name or value has bytes that are not allowed")),
    }
}

/// An edit that can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EditError(pub &'static str);

/// How a held flow goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// As it is.
    Resume,
    /// A request, edited.
    Request(RequestEdit),
    /// An answer, edited.
    Answer(AnswerEdit),
    /// Not at all: the client's connection (of HTTP/2, its stream) is reset.
    Kill,
}

/// Why a held flow was not let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is not held, or not any more.
    #[error("nothing is held under this number any more")]
    Gone,
    /// A request was held and an answer given, or the other way round.
    #[error("what is held is not what was edited")]
    Other,
    /// Its body was not kept whole.
    #[error("the body is longer than what is kept of it, so it can't be replaced")]
    Truncated,
    /// The edit is none.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// A rule as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct HoldView {
    /// Its number.
    pub id: u64,
    /// At which point.
    pub at: HoldAt,
    /// Flows that fitted.
    pub matched: u64,
    /// Flows that were held.
    pub held: u64,
    /// Flows that went on by themselves at their deadline.
    pub expired: u64,
    /// Flows that passed because too many were held.
    pub passed: u64,
}

/// A held flow as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct HeldView {
    /// Its number.
    pub id: u64,
    /// The rule's number.
    pub rule: u64,
    /// The flow's number.
    pub flow: u64,
    /// Whether the answer is held, and not the request.
    pub is_answer: bool,
    /// Seconds until it goes on by itself.
    pub left: f64,
    /// Bytes that are kept of the body.
    pub body: usize,
    /// Whether that is the whole body.
    pub is_whole: bool,
}

/// A held flow.
#[derive(Debug, Clone)]
pub struct Held {
    /// What is listed of it.
    pub view: HeldView,
    /// The flow.
    pub flow: Arc<Flow>,
    /// The answer's head, with what is secret covered, if it is the answer that is held.
    pub answer: Option<ResponseHead>,
    /// What is kept of the body, as it was sent.
    pub body: Vec<u8>,
}

struct Rule {
    hold: Hold,
    view: HoldView,
}

struct Entry {
    rule: u64,
    flow: Arc<Flow>,
    answer: Option<ResponseHead>,
    body: Vec<u8>,
    is_whole: bool,
    until: Instant,
    say: oneshot::Sender<Release>,
}

impl Entry {
    fn view(&self, id: u64) -> HeldView {
        HeldView {
            id,
            rule: self.rule,
            flow: self.flow.id,
            is_answer: self.answer.is_some(),
            left: self.until.saturating_duration_since(Instant::now()).as_secs_f64(),
            body: self.body.len(),
            is_whole: self.is_whole,
        }
    }
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    held: BTreeMap<u64, Entry>,
    /// Flows that are chosen and whose body is waited for.
    coming: usize,
    last: u64,
}

/// All rules, and all flows that are held.
#[derive(Default)]
pub(crate) struct Holds {
    any: AtomicBool,
    state: Mutex<State>,
}

impl std::fmt::Debug for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holds").field("any", &self.any).finish_non_exhaustive()
    }
}

/// A flow that a rule has chosen.
struct Chosen<'h> {
    holds: &'h Holds,
    rule: u64,
    deadline: Duration,
    body: usize,
    /// It has its place and is counted there.
    placed: bool,
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        if !self.placed {
            let mut state = self.holds.state.lock();
            state.coming = state.coming.saturating_sub(1);
        }
    }
}

/// A held flow; dropped, it is not held any more.
struct Place<'h> {
    holds: &'h Holds,
    id: u64,
    flow: Arc<Flow>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.flow.set_held(0);
        self.holds.state.lock().held.remove(&self.id);
    }
}

impl Holds {
    /// Whether there is any rule.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self, hold: Hold) -> Result<u64, HoldError> {
        if hold.deadline.is_zero() || hold.deadline > MAX_HOLD_TIME {
            return Err(HoldError::Deadline);
        }
        if hold.body > MAX_HOLD_BODY {
            return Err(HoldError::Body);
        }
        let mut state = self.state.lock();
        if state.rules.len() >= MAX_HOLDS {
            return Err(HoldError::Full);
        }
        state.last += 1;
        let view = HoldView {
            id: state.last,
            at: hold.at,
            matched: 0,
            held: 0,
            expired: 0,
            passed: 0,
        };
        state.rules.push(Rule { hold, view });
        self.any.store(true, Ordering::Release);
        Ok(state.last)
    }

    /// Ends a rule; what it holds goes on.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        let before = state.rules.len();
        state.rules.retain(|r| r.view.id != id);
        self.any.store(!state.rules.is_empty(), Ordering::Release);
        let its: Vec<u64> = state
            .held
            .iter()
            .filter(|(_, e)| e.rule == id)
            .map(|(n, _)| *n)
            .collect();
        for number in its {
            if let Some(entry) = state.held.remove(&number) {
                let _ = entry.say.send(Release::Resume);
            }
        }
        state.rules.len() < before
    }

    pub(crate) fn release(&self, id: u64, release: Release) -> Result<(), ReleaseError> {
        let mut state = self.state.lock();
        let entry = state.held.get(&id).ok_or(ReleaseError::Gone)?;
        let replaces = match &release {
            Release::Resume | Release::Kill => false,
            Release::Request(_) if entry.answer.is_some() => return Err(ReleaseError::Other),
            Release::Answer(_) if entry.answer.is_none() => return Err(ReleaseError::Other),
            Release::Request(edit) => {
                edit.check()?;
                edit.body.is_some()
            }
            Release::Answer(edit) => {
                edit.check()?;
                edit.body.is_some()
            }
        };
        if replaces && !entry.is_whole {
            return Err(ReleaseError::Truncated);
        }
        let entry = state.held.remove(&id).ok_or(ReleaseError::Gone)?;
        entry.say.send(release).map_err(|_| ReleaseError::Gone)
    }

    pub(crate) fn views(&self) -> (Vec<HoldView>, Vec<HeldView>) {
        let state = self.state.lock();
        let rules = state.rules.iter().map(|r| r.view.clone()).collect();
        (rules, state.held.iter().map(|(id, e)| e.view(*id)).collect())
    }

    pub(crate) fn held(&self, id: u64) -> Option<Held> {
        let state = self.state.lock();
        let entry = state.held.get(&id)?;
        let rules = &entry.flow.rules();
        Some(Held {
            view: entry.view(id),
            flow: Arc::clone(&entry.flow),
            answer: entry.answer.as_ref().map(|a| flow::covered_response(a, rules)),
            body: entry.body.clone(),
        })
    }

    fn choose(&self, asked: &Asked<'_>, is_answer: bool) -> Option<Chosen<'_>> {
        let mut state = self.state.lock();
        let State {
            rules, held, coming, ..
        } = &mut *state;
        let fits = |r: &&mut Rule| {
            let point = match r.hold.at {
                HoldAt::Both => true,
                HoldAt::Request => !is_answer,
                HoldAt::Answer => is_answer,
            };
            point && r.hold.filter.matches(asked)
        };
        let rule = rules.iter_mut().find(fits)?;
        rule.view.matched += 1;
        if held.len() + *coming >= MAX_HELD {
            rule.view.passed += 1;
            return None;
        }
        rule.view.held += 1;
        *coming += 1;
        Some(Chosen {
            holds: self,
            rule: rule.view.id,
            deadline: rule.hold.deadline,
            body: rule.hold.body,
            placed: false,
        })
    }

    fn place(&self, chosen: &mut Chosen<'_>, entry: Entry) -> Place<'_> {
        let mut state = self.state.lock();
        state.coming = state.coming.saturating_sub(1);
        chosen.placed = true;
        state.last += 1;
        let id = state.last;
        let flow = Arc::clone(&entry.flow);
        // A rule that has ended meanwhile holds nothing.
        if state.rules.iter().any(|r| r.view.id == chosen.rule) {
            state.held.insert(id, entry);
            flow.set_held(id);
        }
        Place { holds: self, id, flow }
    }

    fn expired(&self, rule: u64) {
        let mut state = self.state.lock();
        if let Some(rule) = state.rules.iter_mut().find(|r| r.view.id == rule) {
            rule.view.expired += 1;
        }
    }
}

/// Takes what comes of a body, up to so many bytes and until then; whether it came to its end.
async fn fill(
    from: &mut impl Source,
    kept: &mut Replay,
    most: usize,
    by: Instant,
) -> Result<bool, crate::side::Broken> {
    let work = poll_fn(|cx| {
        loop {
            let room = most.saturating_sub(kept.data.len());
            match from.poll_fill(cx)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Filled::End(trailers)) => {
                    kept.end(trailers);
                    return Poll::Ready(Ok(true));
                }
                Poll::Ready(Filled::Data(_)) if room == 0 => return Poll::Ready(Ok(false)),
                Poll::Ready(Filled::Data(n)) => {
                    let n = n.min(room);
                    kept.data.extend_from_slice(from.front().get(..n).unwrap_or_default());
                    from.consume(n);
                }
            }
        }
    });
    tokio::time::timeout_at(by, work).await.unwrap_or(Ok(false))
}

/// Waits until it is said how a held flow goes on; `None` at the deadline.
async fn wait(
    until: Instant,
    down: &mut Down<'_>,
    watched: bool,
    told: oneshot::Receiver<Release>,
) -> Result<Option<Release>, Fault> {
    let gone = poll_fn(|cx| match watched {
        true => down.poll_gone(cx),
        false => Poll::Pending,
    });
    tokio::select! {
        biased;
        // A rule that ends lets go what it holds.
        said = told => Ok(Some(said.unwrap_or(Release::Resume))),
        () = gone => Err(Fault::ClientGone),
        () = tokio::time::sleep_until(until) => Ok(None),
    }
}

/// Sets the length that a body has now.
fn set_length(fields: &mut Fields, length: usize, expected: bool) -> Framing {
    fields.remove(Known::ContentLength);
    fields.remove(Known::TransferEncoding);
    fields.remove(Known::Trailer);
    if length > 0 || expected {
        fields.push(b"Content-Length", length.to_string().as_bytes());
    }
    match length {
        0 => Framing::None,
        n => Framing::Length(n as u64),
    }
}

/// Holds a request if a rule says so; gives how its body comes then, and how long it was held.
pub(crate) async fn request(
    cx: &ConnCx,
    route: &str,
    desk: &mut Desk,
    down: &mut Down<'_>,
    framing: Framing,
    sum: &mut Sum,
) -> Result<Option<(Framing, Duration)>, Fault> {
    let client = cx.peer.map(|p| p.ip());
    let chosen = cx.shared.holds.choose(&Asked::new(&desk.head, client, route), false);
    let (Some(mut chosen), Some(capture)) = (chosen, sum.capture.as_deref_mut()) else {
        return Ok(None);
    };
    let began = Instant::now();
    let until = began + chosen.deadline;
    let flow = Arc::clone(&capture.flow);
    desk.replay.clear();
    if desk.head.fields.has(Known::Expect) && framing != Framing::None {
        // Nobody else can ask for the body now.
        down.send_interim(&ResponseHead::new(100), Version::Http11);
        poll_fn(|cx| crate::side::Sink::poll_flush(down, cx))
            .await
            .map_err(Fault::client)?;
        desk.head.fields.remove(Known::Expect);
    }
    let arrive = until.min(began + ARRIVE);
    let is_whole = match framing {
        Framing::None => {
            desk.replay.end(None);
            true
        }
        _ => fill(down, &mut desk.replay, chosen.body, arrive)
            .await
            .map_err(Fault::client)?,
    };
    desk.prefilled = true;
    let (say, told) = oneshot::channel();
    let rule = chosen.rule;
    let place = cx.shared.holds.place(
        &mut chosen,
        Entry {
            rule,
            flow: Arc::clone(&flow),
            answer: None,
            body: desk.replay.data.clone(),
            is_whole,
            until,
            say,
        },
    );
    flow.set_stage(Stage::HeldRequest);
    let said = wait(until, down, is_whole, told).await;
    drop(place);
    flow.set_stage(Stage::Queued);
    let took = began.elapsed();
    capture.times.held += took;
    let edit = match said? {
        None => {
            cx.shared.holds.expired(chosen.rule);
            return Ok(Some((framing, took)));
        }
        Some(Release::Kill) => return Err(Fault::Killed),
        Some(Release::Request(edit)) => edit,
        Some(_) => return Ok(Some((framing, took))),
    };
    let body = edit.apply(&mut desk.head, &flow.rules());
    let framing = match body {
        Some(body) => {
            desk.replay.replace(body);
            let expected = matches!(desk.head.method(), b"POST" | b"PUT" | b"PATCH");
            set_length(&mut desk.head.fields, desk.replay.data.len(), expected)
        }
        None => {
            // How the body comes is not a matter of what was typed.
            desk.head.fields.remove(Known::ContentLength);
            desk.head.fields.remove(Known::TransferEncoding);
            if let Framing::Length(n) = framing {
                desk.head.fields.push(b"Content-Length", n.to_string().as_bytes());
            }
            framing
        }
    };
    Ok(Some((framing, took)))
}

/// Holds an answer if a rule says so; gives how its body comes then, what was kept of it, and how long it was held.
pub(crate) async fn answer(
    cx: &ConnCx,
    route: &str,
    asked: &RequestHead,
    head: &mut ResponseHead,
    ends: (&mut Down<'_>, &mut crate::exchange::Up),
    framing: Framing,
    sum: &mut Sum,
) -> Result<Option<(Framing, Replay, Duration)>, Fault> {
    let (down, up) = ends;
    let client = cx.peer.map(|p| p.ip());
    let chosen = cx
        .shared
        .holds
        .choose(&Asked::new(asked, client, route).answered(head), true);
    let (Some(mut chosen), Some(capture)) = (chosen, sum.capture.as_deref_mut()) else {
        return Ok(None);
    };
    let began = Instant::now();
    let until = began + chosen.deadline;
    let flow = Arc::clone(&capture.flow);
    let mut kept = Replay::default();
    let is_whole = match framing {
        Framing::None => {
            kept.end(None);
            true
        }
        _ => fill(up, &mut kept, chosen.body, until.min(began + ARRIVE))
            .await
            .map_err(Fault::upstream)?,
    };
    let (say, told) = oneshot::channel();
    let rule = chosen.rule;
    let place = cx.shared.holds.place(
        &mut chosen,
        Entry {
            rule,
            flow: Arc::clone(&flow),
            answer: Some(head.clone()),
            body: kept.data.clone(),
            is_whole,
            until,
            say,
        },
    );
    flow.set_stage(Stage::HeldAnswer);
    let said = wait(until, down, true, told).await;
    drop(place);
    let took = began.elapsed();
    capture.times.held += took;
    let edit = match said? {
        None => {
            cx.shared.holds.expired(chosen.rule);
            return Ok(Some((framing, kept, took)));
        }
        Some(Release::Kill) => return Err(Fault::Killed),
        Some(Release::Answer(edit)) => edit,
        Some(_) => return Ok(Some((framing, kept, took))),
    };
    let length = head.fields.first(Known::ContentLength).map(<[u8]>::to_vec);
    head.fields = flow::uncovered(&edit.headers, &head.fields, &flow.rules());
    if head.status != edit.status {
        head.status = edit.status;
        head.set_reason(b"");
    }
    let bodiless = matches!(edit.status, 204 | 304);
    let framing = match edit.body {
        _ if bodiless => {
            kept.replace(Vec::new());
            set_length(&mut head.fields, 0, false)
        }
        Some(body) if asked.method() != b"HEAD" => {
            kept.replace(body);
            set_length(&mut head.fields, kept.data.len(), true)
        }
        _ => {
            head.fields.remove(Known::ContentLength);
            head.fields.remove(Known::TransferEncoding);
            if let Some(length) = length {
                head.fields.push(b"Content-Length", &length);
            }
            framing
        }
    };
    Ok(Some((framing, kept, took)))
}
