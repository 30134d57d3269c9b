//! Gathering events into requests.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use qd_logs_config::common::BatchSettings;
use qd_logs_model::{Delivery, Finalizers};
use tokio::time::Instant;

/// Partitions that are filled at once, at the most; beyond that the oldest one leaves.
const MAX_OPEN: usize = 10_000;
/// Bytes in all partitions that are being filled, at the most, unless one batch alone may have more; beyond that the
/// oldest one leaves.
const MAX_OPEN_BYTES: usize = 64 * 1024 * 1024;

/// Events that make one request.
pub(crate) struct Part<K, E> {
    /// What they have in common.
    pub(crate) key: K,
    /// The events in the order they came.
    pub(crate) entries: Vec<E>,
    /// Who waits to hear of them.
    pub(crate) finalizers: Finalizers,
    /// Their size before compression.
    pub(crate) bytes: usize,
    opened: u64,
    /// The batch whose finalizers were added last.
    seen: u64,
}

/// Events by key, until they are enough or old enough.
pub(crate) struct Batcher<K, E> {
    settings: BatchSettings,
    open: HashMap<K, Part<K, E>>,
    /// When each partition must leave; those that left earlier are skipped by their number.
    deadlines: VecDeque<(Instant, K, u64)>,
    full: VecDeque<Part<K, E>>,
    open_bytes: usize,
    finalizers: Finalizers,
    batch: u64,
    opened: u64,
}

impl<K: Clone + Eq + Hash, E> Batcher<K, E> {
    pub(crate) fn new(settings: BatchSettings) -> Batcher<K, E> {
        Batcher {
            settings,
            open: HashMap::new(),
            deadlines: VecDeque::new(),
            full: VecDeque::new(),
            open_bytes: 0,
            finalizers: Finalizers::none(),
            batch: 0,
            opened: 0,
        }
    }

    /// The events that are added next belong to these.
    pub(crate) fn begin(&mut self, finalizers: Finalizers) {
        self.batch += 1;
        self.finalizers = finalizers;
    }

    /// No more events of that batch will come; nobody needs to wait for those that were not added.
    pub(crate) fn end(&mut self) {
        self.finalizers = Finalizers::none();
    }

    /// Adds an event of so many bytes.
    pub(crate) fn add(&mut self, key: &K, entry: E, bytes: usize) {
        if let Some(part) = self.open.get(key)
            && part.bytes.saturating_add(bytes) > self.settings.max_bytes
        {
            self.close(key);
        }
        if !self.open.contains_key(key) {
            self.opened += 1;
            let part = Part {
                key: key.clone(),
                entries: Vec::new(),
                finalizers: Finalizers::none(),
                bytes: 0,
                opened: self.opened,
                seen: 0,
            };
            self.open.insert(key.clone(), part);
            self.deadlines
                .push_back((Instant::now() + self.settings.timeout, key.clone(), self.opened));
        }
        if let Some(part) = self.open.get_mut(key) {
            part.entries.push(entry);
            part.bytes = part.bytes.saturating_add(bytes);
            self.open_bytes = self.open_bytes.saturating_add(bytes);
            if part.seen != self.batch {
                part.seen = self.batch;
                part.finalizers.merge(self.finalizers.clone());
            }
            if part.entries.len() >= self.settings.max_events || part.bytes >= self.settings.max_bytes {
                self.close(key);
            }
        }
        // A bound on bytes that was configured holds for one batch; without one, one batch is all there may be.
        let alone = usize::from(self.settings.max_bytes != usize::MAX);
        while self.open.len() > MAX_OPEN || (self.open_bytes > MAX_OPEN_BYTES && self.open.len() > alone) {
            self.close_oldest();
        }
    }

    fn close(&mut self, key: &K) {
        if let Some(part) = self.open.remove(key) {
            self.open_bytes = self.open_bytes.saturating_sub(part.bytes);
            self.full.push_back(part);
        }
    }

    fn close_oldest(&mut self) {
        while let Some((_, key, opened)) = self.deadlines.pop_front() {
            if self.open.get(&key).is_some_and(|p| p.opened == opened) {
                return self.close(&key);
            }
        }
    }

    /// When the oldest partition must leave.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        while let Some((at, key, opened)) = self.deadlines.front() {
            if self.open.get(key).is_some_and(|p| p.opened == *opened) {
                return Some(*at);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Closes the partitions that are old enough.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.deadline().is_some_and(|at| at <= now) {
            self.close_oldest();
        }
    }

    /// Closes all.
    pub(crate) fn flush(&mut self) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
    }

    /// The next batch that is complete.
    pub(crate) fn pop(&mut self) -> Option<Part<K, E>> {
        self.full.pop_front()
    }
}

impl<K, E> Drop for Batcher<K, E> {
    /// What is still here was given up.
    fn drop(&mut self) {
        for part in self.open.values().chain(&self.full) {
            part.finalizers.report(Delivery::Errored);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn batcher(max_events: usize, max_bytes: usize) -> Batcher<&'static str, u32> {
        Batcher::new(BatchSettings {
            max_events,
            max_bytes,
            timeout: Duration::from_secs(1),
        })
    }

    fn popped(b: &mut Batcher<&'static str, u32>) -> Vec<(&'static str, Vec<u32>)> {
        std::iter::from_fn(|| b.pop()).map(|p| (p.key, p.entries)).collect()
    }

    #[test]
    fn it_closes_by_events_and_by_bytes_and_never_exceeds_either() {
        let mut b = batcher(2, 10);
        b.begin(Finalizers::none());
        b.add(&"a", 1, 4);
        b.add(&"b", 2, 4);
        b.add(&"a", 3, 4);
        assert_eq!(popped(&mut b), [("a", vec![1, 3])]);
        b.add(&"b", 4, 7);
        assert_eq!(popped(&mut b), [("b", vec![2])]);
        b.add(&"c", 5, 100);
        assert_eq!(popped(&mut b), [("c", vec![5])]);
        b.flush();
        assert_eq!(popped(&mut b), [("b", vec![4])]);
    }

    #[test]
    fn it_closes_by_age_of_the_first_event() {
        let mut b = batcher(100, 100);
        b.begin(Finalizers::none());
        b.add(&"a", 1, 1);
        b.add(&"b", 2, 1);
        let at = b.deadline().unwrap();
        b.expire(at - Duration::from_millis(1));
        assert!(popped(&mut b).is_empty());
        b.expire(at + Duration::from_secs(1));
        assert_eq!(popped(&mut b), [("a", vec![1]), ("b", vec![2])]);
        assert_eq!(b.deadline(), None);
    }

    #[test]
    fn many_keys_do_not_fill_the_memory() {
        let mut b: Batcher<u32, u32> = Batcher::new(BatchSettings {
            max_events: 100,
            max_bytes: 100,
            timeout: Duration::from_secs(1),
        });
        b.begin(Finalizers::none());
        for i in 0..=u32::try_from(MAX_OPEN).unwrap() {
            b.add(&i, i, 1);
        }
        assert_eq!(b.pop().map(|p| p.key), Some(0));
        assert!(b.pop().is_none());
    }
}
