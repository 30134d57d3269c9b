//! A node's disk: what is written, what is durable, and what a crash leaves of the rest.

use std::collections::{BTreeMap, VecDeque};

use qd_kv_model::{
    Cf, CodecError, Direction, LogWrite, MemData, Modify, Pair, Range, ReadError, RegionId, RegionLog, RegionState,
    Snapshot,
};
use qd_kv_node::{Install, Target};

use crate::luck::Luck;
use crate::run::Violation;

/// A node's data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Data {
    pub(crate) pairs: MemData,
    pub(crate) regions: BTreeMap<RegionId, RegionState>,
}

impl Snapshot for Data {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.pairs.get(cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        self.pairs.scan(cf, range, limit, direction)
    }
}

#[derive(Debug, Clone)]
enum Change {
    Modify(Modify),
    Region(Box<RegionState>),
}

impl Data {
    fn change(&mut self, c: &Change) {
        match c {
            Change::Modify(m) => self.pairs.modify(m),
            Change::Region(s) => {
                self.regions.insert(s.region.id, (**s).clone());
            }
        }
    }
}

/// Works that are not on disk yet.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) seq: u64,
    pub(crate) installs: Vec<Install>,
    pub(crate) writes: Vec<LogWrite>,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    logs: BTreeMap<RegionId, RegionLog>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) data: Data,
    durable: Data,
    /// Commits of the data since the checkpoint, each a list of changes.
    since: Vec<Vec<Change>>,
    current: Vec<Change>,
    /// The logs as they were before the disk began to say yes without having written: only with the mutation.
    honest: Option<BTreeMap<RegionId, RegionLog>>,
}

/// A snapshot's data: the pairs as writes.
pub(crate) fn export(data: &Data, state: &RegionState) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    for cf in Cf::ALL {
        let rows = data.scan(cf, state.region.range(), usize::MAX, Direction::Forward)?;
        all.extend(rows.into_iter().map(|(k, v)| Modify::Put(cf, k, v)));
    }
    let payload = qd_kv_model::Payload::Write(all);
    Ok(qd_kv_model::Command {
        epoch: state.region.epoch,
        payload,
    }
    .encode())
}

impl Disk {
    pub(crate) fn put_first(&mut self, state: &RegionState) {
        let region = state.region.id;
        self.data.regions.insert(region, state.clone());
        self.current.clear();
        self.durable = self.data.clone();
        let log = RegionLog {
            region,
            purged: state.applied,
            purged_term: state.applied_term,
            ..RegionLog::default()
        };
        self.logs.insert(region, log);
    }

    /// The oldest job reaches the disk.
    pub(crate) fn finish(&mut self, lie: bool) -> Result<Option<u64>, Violation> {
        let Some(job) = self.jobs.pop_front() else {
            return Ok(None);
        };
        self.write(&job, lie)?;
        Ok(Some(job.seq))
    }

    fn write(&mut self, job: &Job, lie: bool) -> Result<(), Violation> {
        for i in &job.installs {
            let r = &i.state.region;
            for cf in Cf::ALL {
                self.modify(&Modify::DeleteRange(cf, r.start.clone(), r.end.clone()))?;
            }
            let command =
                qd_kv_model::Command::decode(&i.data).map_err(|e| Violation::new(format!("a snapshot: {e}")))?;
            if let qd_kv_model::Payload::Write(all) = command.payload {
                for m in &all {
                    self.modify(m)?;
                }
            }
            self.put_region(&i.state)?;
            self.commit();
            self.checkpoint();
        }
        match lie {
            true if self.honest.is_none() => self.honest = Some(self.logs.clone()),
            true => {}
            false => self.honest = None,
        }
        for w in &job.writes {
            self.log_write(w)?;
        }
        Ok(())
    }

    fn log_write(&mut self, w: &LogWrite) -> Result<(), Violation> {
        let of = |logs: &mut BTreeMap<RegionId, RegionLog>, r: RegionId| {
            logs.entry(r).or_insert_with(|| RegionLog {
                region: r,
                ..RegionLog::default()
            });
        };
        match w {
            LogWrite::Append(r, entries) => {
                of(&mut self.logs, *r);
                if let (Some(log), Some(first)) = (self.logs.get_mut(r), entries.first()) {
                    let last = log.purged + log.entries.len() as u64;
                    if first.index <= log.purged || first.index > last + 1 {
                        return Err(Violation::new(format!(
                            "region {r}: entry {} behind {last}",
                            first.index
                        )));
                    }
                    log.entries.truncate((first.index - log.purged - 1) as usize);
                    log.entries.extend(entries.iter().cloned());
                }
            }
            LogWrite::State(r, h) => {
                of(&mut self.logs, *r);
                if let Some(log) = self.logs.get_mut(r) {
                    log.hard = *h;
                }
            }
            LogWrite::Reset(r, index, term) => {
                of(&mut self.logs, *r);
                if let Some(log) = self.logs.get_mut(r) {
                    log.entries.clear();
                    (log.purged, log.purged_term) = (*index, *term);
                }
            }
            LogWrite::Purge(r, index, term) => {
                let durable = self.durable.regions.get(r).map_or(0, |s| s.applied);
                if *index > durable {
                    return Err(Violation::new(format!(
                        "region {r}: purged to {index}, durable is {durable}"
                    )));
                }
                of(&mut self.logs, *r);
                if let Some(log) = self.logs.get_mut(r) {
                    log.entries.retain(|e| e.index > *index);
                    (log.purged, log.purged_term) = (
                        (*index).max(log.purged),
                        if *index >= log.purged { *term } else { log.purged_term },
                    );
                }
            }
            LogWrite::Forget(r) => {
                self.logs.remove(r);
            }
        }
        Ok(())
    }

    /// A commit of the data ends.
    pub(crate) fn commit(&mut self) {
        let changes = std::mem::take(&mut self.current);
        self.since.push(changes);
    }

    pub(crate) fn checkpoint(&mut self) -> Vec<(RegionId, u64)> {
        self.durable = self.data.clone();
        self.since.clear();
        self.data.regions.values().map(|s| (s.region.id, s.applied)).collect()
    }

    /// The power goes: jobs that wait may have reached the disk, in their order, and so may commits of the data.
    pub(crate) fn crash(&mut self, luck: &mut Luck) -> Result<(), Violation> {
        if let Some(logs) = self.honest.take() {
            self.logs = logs;
        }
        // What stands in the data was durable when a job's snapshot was; the two are cut in that order.
        let mut jobs = std::mem::take(&mut self.jobs);
        let keep = luck.below(jobs.len() as u64 + 1);
        let commits = luck.below(self.since.len() as u64 + 1) as usize;
        let mut data = self.durable.clone();
        for c in self.since.iter().take(commits).flatten() {
            data.change(c);
        }
        self.data = data;
        self.durable = self.data.clone();
        self.since.clear();
        self.current.clear();
        for job in jobs.drain(..).take(keep as usize) {
            self.write(&job, false)?;
            // Or only the half of it that comes first.
            if luck.one_in(4) {
                break;
            }
        }
        self.jobs.clear();
        Ok(())
    }

    /// What a node finds when it starts.
    pub(crate) fn found(&self) -> (Vec<RegionState>, Vec<RegionLog>) {
        (
            self.data.regions.values().cloned().collect(),
            self.logs.values().cloned().collect(),
        )
    }
}

impl Snapshot for Disk {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.data.get(cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        self.data.scan(cf, range, limit, direction)
    }
}

impl Target for Disk {
    type Error = Violation;

    fn modify(&mut self, m: &Modify) -> Result<(), Violation> {
        let c = Change::Modify(m.clone());
        self.data.change(&c);
        self.current.push(c);
        Ok(())
    }

    fn put_region(&mut self, state: &RegionState) -> Result<(), Violation> {
        let c = Change::Region(Box::new(state.clone()));
        self.data.change(&c);
        self.current.push(c);
        Ok(())
    }

    fn region(&self, id: RegionId) -> Result<Option<RegionState>, Violation> {
        Ok(self.data.regions.get(&id).cloned())
    }
}

impl From<ReadError> for Violation {
    fn from(e: ReadError) -> Self {
        Self::new(e.to_string())
    }
}

impl From<CodecError> for Violation {
    fn from(e: CodecError) -> Self {
        Self::new(e.to_string())
    }
}
