//! Room for so many requests at once: what is beyond is turned away, not queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests that a proxy has in flight at most by default.
pub const MAX_IN_FLIGHT: usize = 100_000;

/// Seats for requests, or connections, at once. Shared.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    limit: AtomicUsize,
}

impl Room {
    /// A room with so many seats.
    pub fn new(limit: usize) -> Arc<Room> {
        Arc::new(Room {
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        })
    }

    /// A seat, until it is dropped; `None` when all are taken.
    pub fn sit(self: &Arc<Room>) -> Option<Seat> {
        let limit = self.limit.load(Ordering::Relaxed);
        if self.taken.fetch_add(1, Ordering::Relaxed) >= limit {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Seat(Arc::clone(self)))
    }

    /// Seats that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Seats there are.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes their number; whoever sits stays.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

/// A seat in a [`Room`].
#[derive(Debug)]
#[must_use = "the seat is free again when this is dropped"]
pub struct Seat(Arc<Room>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_given_and_come_back() {
        let room = Room::new(2);
        let a = room.sit().unwrap();
        let _b = room.sit().unwrap();
        assert!(room.sit().is_none());
        assert_eq!(room.taken(), 2);
        drop(a);
        assert!(room.sit().is_some());
        room.set_limit(0);
        assert!(room.sit().is_none());
        assert_eq!((room.taken(), room.limit()), (1, 0));
    }

    #[test]
    fn threads_never_get_more_than_there_are() {
        let room = Room::new(3);
        let most = AtomicUsize::new(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(_seat) = room.sit() {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(room.taken(), 0);
    }
}
