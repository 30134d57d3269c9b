//! Bounded streams: from one engine to any number of readers, each with its own declared policy for a full queue.
//!
//! This module owns the queues between an engine and whoever reads what it emits. A queue never grows past its capacity;
//! what happens then is chosen by the reader ([`Overflow`]) and counted ([`Counters`]). Nothing here knows what flows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::publish::{Wake, WakeGuard, Wakers};

/// What happens to an item that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest queued item makes room: a reader sees the newest.
    DropOldest,
    /// The item is lost: a reader sees an unbroken beginning.
    DropNewest,
    /// The sender waits: nothing is lost, and a slow reader slows the engine.
    Block,
}

/// What went through a queue since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Items that a sender tried to put in; `accepted + refused` of them.
    pub offered: u64,
    /// Items that entered the queue.
    pub accepted: u64,
    /// Items lost on either side of a full queue: refused ones, and ones pushed out by newer ones.
    pub dropped: u64,
    /// Items a reader took.
    pub received: u64,
    /// Times a sender had to wait.
    pub waits: u64,
    /// The most items ever queued at once.
    pub peak: usize,
}

/// Why an item was not queued; it is handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<T> {
    /// The queue is full; the item was counted as dropped.
    #[error("the queue is full")]
    Full(T),
    /// The reader is gone.
    #[error("the reader of the queue is gone")]
    Closed(T),
}

struct Queue<T> {
    items: VecDeque<T>,
    counters: Counters,
    senders: usize,
    reader: Reader,
}

#[derive(PartialEq, Eq)]
enum Reader {
    Present,
    Gone,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    capacity: usize,
    overflow: Overflow,
    ready: Notify,
    room: Notify,
    room_threads: Condvar,
    wakers: Wakers,
}

/// What putting an item in came to.
enum Push<T> {
    Done,
    Wait(T),
    Refused(SendError<T>),
}

/// How a sender meets a full [`Overflow::Block`] queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Willing,
    Already,
    Never,
}

impl<T> Shared<T> {
    fn push(&self, item: T, patience: Patience) -> Push<T> {
        let was_empty;
        {
            let mut queue = self.queue.lock();
            if queue.reader == Reader::Gone {
                return Push::Refused(SendError::Closed(item));
            }
            let full = queue.items.len() >= self.capacity;
            if patience != Patience::Already {
                queue.counters.offered += 1;
            }
            match (full, self.overflow, patience) {
                (false, _, _) => {}
                (true, Overflow::DropOldest, _) => {
                    queue.items.pop_front();
                    queue.counters.dropped += 1;
                }
                (true, Overflow::Block, Patience::Already) => return Push::Wait(item),
                (true, Overflow::Block, Patience::Willing) => {
                    queue.counters.waits += 1;
                    return Push::Wait(item);
                }
                (true, Overflow::DropNewest, _) | (true, Overflow::Block, Patience::Never) => {
                    queue.counters.dropped += 1;
                    return Push::Refused(SendError::Full(item));
                }
            }
            was_empty = queue.items.is_empty();
            queue.items.push_back(item);
            queue.counters.accepted += 1;
            queue.counters.peak = queue.counters.peak.max(queue.items.len());
        }
        if was_empty {
            self.announce();
        }
        Push::Done
    }

    fn announce(&self) {
        self.ready.notify_one();
        self.wakers.wake();
    }

    fn make_room(&self) {
        if self.overflow == Overflow::Block {
            self.room.notify_waiters();
            self.room_threads.notify_all();
        }
    }
}

/// Makes a queue for at most `capacity` items (at least one).
pub fn channel<T>(capacity: usize, overflow: Overflow) -> (Sender<T>, Receiver<T>) {
    let queue = Queue {
        items: VecDeque::new(),
        counters: Counters::default(),
        senders: 1,
        reader: Reader::Present,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        capacity: capacity.max(1),
        overflow,
        ready: Notify::new(),
        room: Notify::new(),
        room_threads: Condvar::new(),
        wakers: Wakers::default(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The end that puts items in. Clones feed the same queue.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.queue.lock().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = {
            let mut queue = self.0.queue.lock();
            queue.senders -= 1;
            queue.senders == 0
        };
        if last {
            self.0.announce();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("overflow", &self.0.overflow)
            .field("counters", &self.counters())
            .finish()
    }
}

impl<T> Sender<T> {
    /// Puts an item in without ever waiting. A full [`Overflow::Block`] queue refuses it.
    pub fn offer(&self, item: T) -> Result<(), SendError<T>> {
        match self.0.push(item, Patience::Never) {
            Push::Done => Ok(()),
            Push::Wait(item) => Err(SendError::Full(item)),
            Push::Refused(error) => Err(error),
        }
    }

    /// Puts an item in; waits for room if the policy says so. Dropping the future gives the item up.
    pub async fn send(&self, item: T) -> Result<(), SendError<T>> {
        let mut item = item;
        let mut patience = Patience::Willing;
        loop {
            let room = self.0.room.notified();
            tokio::pin!(room);
            // Registers before looking, so that room made in between is not missed.
            room.as_mut().enable();
            match self.0.push(item, patience) {
                Push::Done => return Ok(()),
                Push::Refused(error) => return Err(error),
                Push::Wait(back) => item = back,
            }
            patience = Patience::Already;
            room.await;
        }
    }

    /// As [`Sender::send`], for a thread of the engine's own; never call it on a runtime's thread.
    pub fn send_blocking(&self, item: T) -> Result<(), SendError<T>> {
        let mut item = item;
        let mut patience = Patience::Willing;
        loop {
            match self.0.push(item, patience) {
                Push::Done => return Ok(()),
                Push::Refused(error) => return Err(error),
                Push::Wait(back) => item = back,
            }
            patience = Patience::Already;
            let mut queue = self.0.queue.lock();
            if queue.items.len() >= self.0.capacity && queue.reader == Reader::Present {
                self.0.room_threads.wait(&mut queue);
            }
        }
    }

    /// What went through so far.
    pub fn counters(&self) -> Counters {
        self.0.queue.lock().counters
    }

    /// Whether the reader is still there.
    pub fn is_open(&self) -> bool {
        self.0.queue.lock().reader == Reader::Present
    }
}

/// The end that takes items out.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let rest = {
            let mut queue = self.0.queue.lock();
            queue.reader = Reader::Gone;
            std::mem::take(&mut queue.items)
        };
        drop(rest);
        self.0.make_room();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("overflow", &self.0.overflow)
            .field("counters", &self.counters())
            .finish()
    }
}

impl<T> Receiver<T> {
    /// Takes the next item if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let item = {
            let mut queue = self.0.queue.lock();
            let item = queue.items.pop_front()?;
            queue.counters.received += 1;
            item
        };
        self.0.make_room();
        Some(item)
    }

    /// Moves up to `max` items to the end of `into` in one go; gives how many.
    pub fn drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let count = {
            let mut queue = self.0.queue.lock();
            let count = queue.items.len().min(max);
            into.extend(queue.items.drain(..count));
            queue.counters.received += count as u64;
            count
        };
        if count > 0 {
            self.0.make_room();
        }
        count
    }

    /// Waits for the next item; `None` once every sender is gone and the queue is empty.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            // `notify_one` keeps a permit when nobody waits, so a wake-up between the look and the wait is not lost.
            if let Some(item) = self.try_recv() {
                return Some(item);
            }
            if self.is_finished() {
                return None;
            }
            self.0.ready.notified().await;
        }
    }

    /// Whether the queue is empty and will stay so.
    pub fn is_finished(&self) -> bool {
        let queue = self.0.queue.lock();
        queue.senders == 0 && queue.items.is_empty()
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.0.queue.lock().items.len()
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What went through so far.
    pub fn counters(&self) -> Counters {
        self.0.queue.lock().counters
    }

    /// Calls `wake` whenever an empty queue gets its first item, and when the last sender goes. The reader must then empty
    /// the queue: it is not called again for items that join others.
    #[must_use = "the callback goes away with the guard"]
    pub fn on_ready(&self, wake: Wake) -> WakeGuard {
        self.0.wakers.add(wake)
    }
}

/// One sender, many readers, each with a queue and a policy of its own. Clones feed the same readers.
pub struct Hub<T>(Arc<ArcSwap<Vec<Sender<T>>>>);

impl<T> Clone for Hub<T> {
    fn clone(&self) -> Self {
        Hub(Arc::clone(&self.0))
    }
}

impl<T> Default for Hub<T> {
    fn default() -> Self {
        Hub(Arc::new(ArcSwap::from_pointee(Vec::new())))
    }
}

impl<T> fmt::Debug for Hub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.load().iter()).finish()
    }
}

impl<T: Clone> Hub<T> {
    /// Adds a reader, which gets everything from now on until it is dropped.
    pub fn subscribe(&self, capacity: usize, overflow: Overflow) -> Receiver<T> {
        let (sender, receiver) = channel(capacity, overflow);
        self.0.rcu(|list| {
            let mut list: Vec<_> = list.iter().filter(|sender| sender.is_open()).cloned().collect();
            list.push(sender.clone());
            list
        });
        receiver
    }

    /// Gives every reader the item without waiting; a full queue of a blocking reader drops it, and counts that.
    pub fn offer(&self, item: T) {
        self.each(|sender| sender.offer(item.clone()));
    }

    /// Gives every reader the item, waiting for those whose policy is [`Overflow::Block`].
    pub async fn send(&self, item: T) {
        let list = self.0.load_full();
        let mut gone = false;
        for sender in list.iter() {
            gone |= matches!(sender.send(item.clone()).await, Err(SendError::Closed(_)));
        }
        if gone {
            self.sweep();
        }
    }

    /// As [`Hub::send`], for a thread of the engine's own.
    pub fn send_blocking(&self, item: T) {
        self.each(|sender| sender.send_blocking(item.clone()));
    }

    /// How many readers there are, and what each queue has seen.
    pub fn counters(&self) -> Vec<Counters> {
        self.0
            .load()
            .iter()
            .filter(|sender| sender.is_open())
            .map(Sender::counters)
            .collect()
    }

    fn each(&self, send: impl Fn(&Sender<T>) -> Result<(), SendError<T>>) {
        let list = self.0.load_full();
        let results: usize = list
            .iter()
            .map(|sender| usize::from(matches!(send(sender), Err(SendError::Closed(_)))))
            .sum();
        if results > 0 {
            self.sweep();
        }
    }

    fn sweep(&self) {
        self.0.rcu(|list| {
            list.iter()
                .filter(|sender| sender.is_open())
                .cloned()
                .collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn drained<T>(receiver: &mut Receiver<T>) -> Vec<T> {
        let mut items = Vec::new();
        receiver.drain(&mut items, usize::MAX);
        items
    }

    #[test]
    fn a_full_queue_does_what_was_declared() {
        let (sender, mut receiver) = channel(2, Overflow::DropOldest);
        assert!((1..=4).all(|n| sender.offer(n).is_ok()));
        assert_eq!(drained(&mut receiver), [3, 4]);
        assert_eq!(receiver.counters().dropped, 2);

        let (sender, mut receiver) = channel(2, Overflow::DropNewest);
        assert_eq!((1..=4).map(|n| sender.offer(n)).filter(Result::is_err).count(), 2);
        assert_eq!(drained(&mut receiver), [1, 2]);

        let (sender, mut receiver) = channel(1, Overflow::Block);
        assert_eq!((sender.offer(1), sender.offer(2)), (Ok(()), Err(SendError::Full(2))));
        assert_eq!(drained(&mut receiver), [1]);
        drop(receiver);
        assert_eq!(sender.offer(3), Err(SendError::Closed(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_sender_goes_on_when_there_is_room() {
        let (sender, mut receiver) = channel(1, Overflow::Block);
        let task = tokio::spawn(async move {
            for n in 0..100 {
                sender.send(n).await.unwrap();
            }
            sender.counters()
        });
        let mut got = Vec::new();
        while let Some(n) = receiver.recv().await {
            got.push(n);
        }
        assert_eq!(got, (0..100).collect::<Vec<_>>());
        let counters = task.await.unwrap();
        assert_eq!((counters.dropped, counters.peak, counters.offered), (0, 1, 100));
    }

    #[test]
    fn a_blocked_thread_goes_on_when_there_is_room_or_nobody() {
        let (sender, mut receiver) = channel(1, Overflow::Block);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while sender.send_blocking(sent).is_ok() {
                sent += 1;
            }
            sent
        });
        let mut next = 0;
        while next < 50 {
            match receiver.try_recv() {
                Some(n) => {
                    assert_eq!(n, next);
                    next += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        drop(receiver);
        assert!(thread.join().unwrap() >= 50);
    }

    #[test]
    fn a_reader_is_woken_once_for_a_burst() {
        let (sender, mut receiver) = channel(8, Overflow::DropOldest);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let _guard = receiver.on_ready(Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        assert!(sender.offer(1).and(sender.offer(2)).is_ok());
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(drained(&mut receiver), [1, 2]);
        assert!(sender.offer(3).is_ok());
        drop(sender);
        assert_eq!(woken.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_serves_each_reader_by_its_policy() {
        let hub = Hub::default();
        let mut first = hub.subscribe(2, Overflow::DropNewest);
        let mut last = hub.subscribe(2, Overflow::DropOldest);
        let gone = hub.subscribe(1, Overflow::Block);
        drop(gone);
        for n in 0..5 {
            hub.send(n).await;
        }
        assert_eq!(drained(&mut first), [0, 1]);
        assert_eq!(drained(&mut last), [3, 4]);
        assert_eq!(hub.counters().len(), 2);
        drop(hub);
        assert_eq!((first.recv().await, last.recv().await), (None, None));
    }

    proptest! {
        /// Against a plain model: what comes out, and that the counters add up.
        #[test]
        fn a_queue_behaves_like_its_model(
            capacity in 1usize..6,
            policy in prop::sample::select(vec![Overflow::DropOldest, Overflow::DropNewest, Overflow::Block]),
            steps in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let (sender, mut receiver) = channel(capacity, policy);
            let mut model = Vec::new();
            let mut lost = 0u64;
            for (n, step) in steps.into_iter().enumerate() {
                if step {
                    let full = model.len() == capacity;
                    prop_assert_eq!(sender.offer(n).is_err(), full && policy != Overflow::DropOldest);
                    lost += u64::from(full);
                    if full && policy == Overflow::DropOldest {
                        model.remove(0);
                    }
                    if !full || policy == Overflow::DropOldest {
                        model.push(n);
                    }
                } else {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(receiver.try_recv(), expected);
                }
                prop_assert_eq!(receiver.len(), model.len());
            }
            let c = receiver.counters();
            prop_assert_eq!(c.dropped, lost);
            let waiting = model.len() as u64;
            prop_assert_eq!(c.offered, c.received + c.dropped + waiting);
            prop_assert!(c.peak <= capacity);
        }
    }
}
