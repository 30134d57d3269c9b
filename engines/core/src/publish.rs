//! Publishing without locks: the newest value, readable by anyone at any time.
//!
//! An engine (or the session) is the writer of a [`Published`] value; panes read it while they draw. This module owns the
//! swap and the two ways of hearing about a change: a tokio watch for tasks, and plain callbacks ([`Wake`]) for threads
//! that sit in `epoll` and know nothing of tokio. Readers never wait for writers, and writers never wait for readers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

/// Called after something changed, from whatever thread changed it. It must be quick and must not block: write to an
/// eventfd, set a flag.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A set of callbacks; adding and removing never delays a wake-up in progress.
#[derive(Clone, Default)]
pub struct Wakers {
    list: Arc<ArcSwap<Vec<(u64, Wake)>>>,
    next: Arc<AtomicU64>,
}

impl Wakers {
    /// Adds a callback for as long as the guard lives.
    #[must_use = "the callback goes away with the guard"]
    pub fn add(&self, wake: Wake) -> WakeGuard {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.list.rcu(|list| {
            let mut list = Vec::clone(list);
            list.push((id, Arc::clone(&wake)));
            list
        });
        WakeGuard {
            wakers: self.clone(),
            id,
        }
    }

    /// Calls every callback.
    pub fn wake(&self) {
        for (_, wake) in self.list.load().iter() {
            wake();
        }
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakers")
            .field("count", &self.list.load().len())
            .finish()
    }
}

/// Keeps a callback registered; dropping it removes the callback. A wake-up already under way may still call it once.
#[derive(Debug)]
pub struct WakeGuard {
    wakers: Wakers,
    id: u64,
}

impl Drop for WakeGuard {
    fn drop(&mut self) {
        self.wakers.list.rcu(|list| {
            list.iter()
                .filter(|(id, _)| *id != self.id)
                .cloned()
                .collect::<Vec<_>>()
        });
    }
}

struct Shared<T> {
    value: ArcSwap<T>,
    version: watch::Sender<u64>,
    wakers: Wakers,
}

/// The newest value of `T`. Clones share it; any of them may publish and read.
pub struct Published<T>(Arc<Shared<T>>);

impl<T> Clone for Published<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("version", &self.version())
            .field("value", &*self.0.value.load())
            .finish()
    }
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Starts with a value, at version 0.
    pub fn new(value: T) -> Self {
        Self::with_wakers(value, Wakers::default())
    }

    /// Starts with a value and an existing set of callbacks, so that several values can wake the same threads.
    pub fn with_wakers(value: T, wakers: Wakers) -> Self {
        Self(Arc::new(Shared {
            value: ArcSwap::from_pointee(value),
            version: watch::Sender::new(0),
            wakers,
        }))
    }

    /// Replaces the value, then tells everyone who asked.
    pub fn publish(&self, value: T) {
        self.publish_shared(Arc::new(value));
    }

    /// As [`Published::publish`], for a value that is shared already.
    pub fn publish_shared(&self, value: Arc<T>) {
        self.0.value.store(value);
        self.changed();
    }

    fn changed(&self) {
        self.0.version.send_modify(|version| *version += 1);
        self.0.wakers.wake();
    }

    /// The newest value.
    pub fn load(&self) -> Arc<T> {
        self.0.value.load_full()
    }
}

impl<T> Published<T> {
    /// How many times a value was published.
    pub fn version(&self) -> u64 {
        *self.0.version.borrow()
    }

    /// A tokio watch of the version; `changed().await` on it, then [`Published::load`].
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Calls `wake` after every change for as long as the guard lives.
    #[must_use = "the callback goes away with the guard"]
    pub fn on_change(&self, wake: Wake) -> WakeGuard {
        self.0.wakers.add(wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_change_is_seen_and_heard() {
        let published = Published::new(1);
        let heard = Arc::new(AtomicUsize::new(0));
        let guard = published.on_change({
            let heard = Arc::clone(&heard);
            Arc::new(move || {
                heard.fetch_add(1, Ordering::SeqCst);
            })
        });
        let watch = published.watch();
        published.publish(2);
        assert_eq!((*published.load(), published.version()), (2, 1));
        assert!(watch.has_changed().unwrap());
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        drop(guard);
        published.publish(3);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_reader_keeps_what_it_loaded() {
        let published = Published::new(vec![1]);
        let old = published.load();
        published.clone().publish(vec![2]);
        assert_eq!((*old).clone(), vec![1]);
        assert_eq!(*published.load(), vec![2]);
    }

    #[test]
    fn wakers_come_and_go_from_many_threads() {
        let wakers = Wakers::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let guard = wakers.add(Arc::new(|| ()));
                        wakers.wake();
                        drop(guard);
                    }
                });
            }
        });
        assert!(wakers.list.load().is_empty());
    }
}
