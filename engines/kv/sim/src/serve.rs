//! What a node answers to clients, in the simulation.

use std::collections::BTreeMap;

use qd_kv_model::{Cf, Modify, Payload, RegionId, Snapshot, Ts, encode_bytes};
use qd_kv_node::{Node, Outcome, Refusal};
use qd_kv_txn::{Latches, Reader, Reply, Step, TxnError};

use crate::disk::Disk;
use crate::run::Violation;

/// What a client asks.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Put(Vec<u8>, u64),
    Get(Vec<u8>),
    Cas(Vec<u8>, Option<u64>, u64),
    TxnGet(Vec<u8>, Ts),
    Step(Step),
}

/// What it hears.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It was not done, certainly.
    Refused,
    Done,
    Value(Option<u64>),
    Swapped(bool),
    TxnValue(Box<Result<Option<Vec<u8>>, TxnError>>),
    Step(Box<Result<Reply, TxnError>>),
}

struct Waiting {
    client: usize,
    op: u64,
    region: RegionId,
    ask: Ask,
    latched: bool,
    /// The answer, once what it says is to be written.
    answer: Option<Answer>,
    /// The term in which it was worked out, while it is made sure that nobody else leads.
    sure: Option<u64>,
}

pub(crate) struct Server {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    latches: Latches,
    max_ts: Ts,
    pub(crate) answers: Vec<(usize, u64, Answer)>,
    skip_read_index: bool,
}

fn number(bytes: Option<Vec<u8>>) -> Option<u64> {
    bytes.and_then(|b| b.try_into().ok().map(u64::from_le_bytes))
}

impl Ask {
    fn keys(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Put(k, _) | Self::Get(k) | Self::Cas(k, ..) => vec![k.clone()],
            Self::TxnGet(k, _) => vec![encode_bytes(k)],
            Self::Step(s) => s.keys().into_iter().map(encode_bytes).collect(),
        }
    }

    const fn takes_turns(&self) -> bool {
        // A put takes its turn too: a swap that has looked at the value and is not applied yet would not see it.
        !matches!(self, Self::Get(_))
    }
}

impl Server {
    pub(crate) fn new(first: u64, skip_read_index: bool) -> Self {
        Self {
            next: first,
            waiting: BTreeMap::new(),
            latches: Latches::new(64),
            max_ts: Ts::ZERO,
            answers: Vec::new(),
            skip_read_index,
        }
    }

    /// A region is led from here: whoever read elsewhere did so before this moment.
    pub(crate) fn leads(&mut self, now: Ts) {
        self.max_ts = self.max_ts.max(now);
    }

    pub(crate) fn ask(
        &mut self,
        node: &mut Node,
        disk: &Disk,
        client: usize,
        op: u64,
        ask: Ask,
    ) -> Result<(), Violation> {
        let keys = ask.keys();
        let region = keys
            .first()
            .and_then(|k| node.region_of(k))
            .filter(|r| keys.iter().all(|k| r.contains(k)));
        let Some(region) = region.map(|r| r.id) else {
            self.answers.push((client, op, Answer::Refused));
            return Ok(());
        };
        if self.skip_read_index
            && let Ask::Get(key) = &ask
            && node.leads(region).is_ok()
        {
            let value = number(disk.get(Cf::Raw, key)?);
            self.answers.push((client, op, Answer::Value(value)));
            return Ok(());
        }
        self.next += 1;
        let id = self.next;
        let latched = ask.takes_turns();
        let w = Waiting {
            client,
            op,
            region,
            ask,
            latched,
            answer: None,
            sure: None,
        };
        if latched {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let turn = self.latches.acquire(id, &keys);
            self.waiting.insert(id, w);
            if turn {
                self.turn(node, disk, id)?;
            }
            return Ok(());
        }
        self.waiting.insert(id, w);
        let begun = node.read(region, id);
        if begun.is_err() {
            self.finish(node, disk, id, Answer::Refused)?;
        }
        Ok(())
    }

    /// A request has its keys for itself.
    fn turn(&mut self, node: &mut Node, disk: &Disk, id: u64) -> Result<(), Violation> {
        let Some(w) = self.waiting.get_mut(&id) else {
            return Ok(());
        };
        if matches!(w.ask, Ask::TxnGet(..)) {
            // Only the leader knows which prewrites are under way.
            let begun = node.leads(w.region).and_then(|term| {
                w.sure = Some(term);
                node.read(w.region, id)
            });
            if begun.is_err() {
                self.finish(node, disk, id, Answer::Refused)?;
            }
            return Ok(());
        }
        let Ok(term) = node.leads(w.region) else {
            return self.finish(node, disk, id, Answer::Refused);
        };
        if w.ask
            .keys()
            .iter()
            .any(|k| node.region(w.region).is_none_or(|r| !r.contains(k)))
        {
            return self.finish(node, disk, id, Answer::Refused);
        }
        let (writes, answer) = match &w.ask {
            Ask::Put(k, v) => (
                vec![Modify::Put(Cf::Raw, k.clone(), v.to_le_bytes().to_vec())],
                Answer::Done,
            ),
            Ask::Cas(k, was, v) => {
                let ok = number(disk.get(Cf::Raw, k)?) == *was;
                let m = Modify::Put(Cf::Raw, k.clone(), v.to_le_bytes().to_vec());
                (if ok { vec![m] } else { vec![] }, Answer::Swapped(ok))
            }
            Ask::Step(s) => {
                self.max_ts = self.max_ts.max(s.reads_at().unwrap_or(Ts::ZERO));
                match s.run(&disk.data, self.max_ts) {
                    Ok(done) => (done.writes, Answer::Step(Box::new(Ok(done.reply)))),
                    Err(e) if e.is_broken() => return Err(Violation::new(e.to_string())),
                    Err(e) => (vec![], Answer::Step(Box::new(Err(e)))),
                }
            }
            _ => return Ok(()),
        };
        let begun = if writes.is_empty() {
            // Nothing is written, so nothing says that this is still the leader: the others are asked.
            w.sure = Some(term);
            node.read(w.region, id)
        } else {
            node.propose(w.region, id, Some(term), Payload::Write(writes))
        };
        w.answer = Some(answer);
        if begun.is_err() {
            self.finish(node, disk, id, Answer::Refused)?;
        }
        Ok(())
    }

    pub(crate) fn outcome(
        &mut self,
        node: &mut Node,
        disk: &Disk,
        id: u64,
        o: Result<Outcome, Refusal>,
    ) -> Result<(), Violation> {
        let Some(w) = self.waiting.get_mut(&id) else {
            return Ok(());
        };
        let answer = match o {
            Ok(Outcome::Written) => w.answer.take().unwrap_or(Answer::Done),
            // It may have been done: the client hears nothing.
            Err(Refusal::Timeout(_)) => return self.drop(node, disk, id),
            Ok(_) | Err(_) => Answer::Refused,
        };
        self.finish(node, disk, id, answer)
    }

    pub(crate) fn read(
        &mut self,
        node: &mut Node,
        disk: &Disk,
        id: u64,
        r: Result<u64, Refusal>,
    ) -> Result<(), Violation> {
        let Some(w) = self.waiting.get_mut(&id) else {
            return Ok(());
        };
        let here = disk.data.regions.get(&w.region).filter(|s| !s.gone);
        let mine = here.is_some_and(|s| w.ask.keys().iter().all(|k| s.region.contains(k)));
        if r.is_err() || !mine || w.sure.is_some_and(|t| node.leads(w.region) != Ok(t)) {
            return self.finish(node, disk, id, Answer::Refused);
        }
        let answer = match &w.ask {
            Ask::Get(k) => Answer::Value(number(disk.get(Cf::Raw, k)?)),
            Ask::TxnGet(k, ts) => {
                self.max_ts = self.max_ts.max(*ts);
                match Reader::new(&disk.data).get(k, *ts, &[]) {
                    Err(e) if e.is_broken() => return Err(Violation::new(e.to_string())),
                    v => Answer::TxnValue(Box::new(v)),
                }
            }
            _ => w.answer.take().unwrap_or(Answer::Refused),
        };
        self.finish(node, disk, id, answer)
    }

    fn finish(&mut self, node: &mut Node, disk: &Disk, id: u64, answer: Answer) -> Result<(), Violation> {
        if let Some(w) = self.waiting.get(&id) {
            self.answers.push((w.client, w.op, answer));
        }
        self.drop(node, disk, id)
    }

    fn drop(&mut self, node: &mut Node, disk: &Disk, id: u64) -> Result<(), Violation> {
        let Some(w) = self.waiting.remove(&id) else {
            return Ok(());
        };
        if !w.latched {
            return Ok(());
        }
        let keys = w.ask.keys();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        for next in self.latches.release(id, &keys) {
            let Some(n) = self.waiting.get(&next) else { continue };
            let keys = n.ask.keys();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            if self.latches.has_turn(next, &keys) && n.answer.is_none() && n.sure.is_none() {
                self.turn(node, disk, next)?;
            }
        }
        Ok(())
    }
}
