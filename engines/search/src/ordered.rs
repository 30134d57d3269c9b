//! Work that is done by several threads and comes out in the order it went in.
//!
//! One thread hands in batches; workers take them, and what each makes of one is passed on when everything before it has
//! been. Memory is bounded by the number of batches under way, where who hands in waits until there is room, and by the size of
//! what waits for its turn, where workers take nothing new. What is due has been taken by then, so it will not wait for long.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The belt between one thread that hands in `T`s, workers, and whoever takes `D`s in order.
pub(crate) struct Belt<T, D> {
    room: usize,
    most_held: usize,
    state: Mutex<State<T, D>>,
    /// There is something to work on, or nothing will come any more.
    work: Condvar,
    /// There is room for more, or nothing is wanted any more.
    space: Condvar,
    /// Somebody's turn may have come.
    turn: Condvar,
}

struct State<T, D> {
    waiting: VecDeque<(u64, T)>,
    done: BTreeMap<u64, (usize, D)>,
    /// The size of all that is done and waits for its turn.
    held: usize,
    /// The number of the next batch that is handed in.
    next_in: u64,
    /// The number of the next one that comes out.
    next_out: u64,
    /// Somebody is passing results on.
    emitting: bool,
    /// So many wait for their turn.
    impatient: usize,
    closed: bool,
    stopped: bool,
}

impl<T, D> Belt<T, D> {
    /// A belt with room for so many batches between going in and coming out, whose results are held back up to a size.
    pub(crate) fn new(room: usize, most_held: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            done: BTreeMap::new(),
            held: 0,
            next_in: 0,
            next_out: 0,
            emitting: false,
            impatient: 0,
            closed: false,
            stopped: false,
        };
        Belt {
            room: room.max(1),
            most_held,
            state: Mutex::new(state),
            work: Condvar::new(),
            space: Condvar::new(),
            turn: Condvar::new(),
        }
    }

    /// A belt on which all that will ever be handed in is waiting, with room for all of it. It takes the memory it takes.
    pub(crate) fn full(batches: impl Iterator<Item = T>, most_held: usize) -> Self {
        let belt = Belt::new(usize::MAX, most_held);
        let mut state = belt.lock();
        state.waiting = (0..).zip(batches).collect();
        state.next_in = state.waiting.len() as u64;
        state.closed = true;
        drop(state);
        belt
    }

    /// Hands a batch in, when there is room. Says whether more is wanted.
    pub(crate) fn put(&self, batch: T) -> bool {
        let room = self.room as u64;
        let state = self.lock();
        let mut state = self
            .space
            .wait_while(state, |s| !s.stopped && s.next_in - s.next_out >= room)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return false;
        }
        let number = state.next_in;
        state.next_in += 1;
        state.waiting.push_back((number, batch));
        drop(state);
        self.work.notify_one();
        true
    }

    /// Nothing more will be handed in.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// Nothing more is wanted: what waits is dropped.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.waiting.clear();
        drop(state);
        self.work.notify_all();
        self.space.notify_all();
        self.turn.notify_all();
    }

    /// Waits until everything before batch `number`, which is not finished, has been passed on. Until it is finished, nobody else
    /// passes anything on. Says whether more is wanted.
    pub(crate) fn wait_for_turn(&self, number: u64) -> bool {
        let mut state = self.lock();
        state.impatient += 1;
        let mut state = self
            .turn
            .wait_while(state, |s| !s.stopped && (s.next_out != number || s.emitting))
            .unwrap_or_else(PoisonError::into_inner);
        state.impatient -= 1;
        !state.stopped
    }

    /// The next batch to work on, with its number; none at the end.
    pub(crate) fn take(&self) -> Option<(u64, T)> {
        let most = self.most_held;
        let state = self.lock();
        let mut state = self
            .work
            .wait_while(state, |s| {
                !s.stopped && (s.held > most || (s.waiting.is_empty() && !s.closed))
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// What became of batch `number`, and its size. If its turn has come, it and what waited for it is given to `emit`, by one thread at a
    /// time and without the others having to wait for it.
    pub(crate) fn finish(&self, number: u64, size: usize, result: D, mut emit: impl FnMut(D)) {
        let mut state = self.lock();
        state.done.insert(number, (size, result));
        state.held += size;
        if state.emitting {
            return;
        }
        state.emitting = true;
        while let Some(result) = self.ready(&mut state) {
            drop(state);
            emit(result);
            state = self.lock();
        }
        state.emitting = false;
        if state.impatient > 0 {
            self.turn.notify_all();
        }
    }

    /// What is due, if it is done. Who waits because of it is told: to wake somebody is dear, so only they are.
    fn ready(&self, state: &mut State<T, D>) -> Option<D> {
        if state.stopped {
            return None;
        }
        let (size, result) = state.done.remove(&state.next_out)?;
        if state.held > self.most_held && state.held - size <= self.most_held {
            self.work.notify_all();
        }
        if state.next_in - state.next_out >= self.room as u64 {
            self.space.notify_one();
        }
        state.held -= size;
        state.next_out += 1;
        Some(result)
    }

    fn lock(&self) -> MutexGuard<'_, State<T, D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends numbers through `workers` threads that are slow in different ways, and returns them as they come out.
    fn through(workers: usize, room: usize, count: u64) -> Vec<u64> {
        let belt = Belt::new(room, 5);
        let out = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((number, value)) = belt.take() {
                        for _ in 0..(value * 7919 % 13) {
                            std::thread::yield_now();
                        }
                        belt.finish(number, 1, value, |v| out.lock().unwrap().push(v));
                    }
                });
            }
            for value in 0..count {
                assert!(belt.put(value));
            }
            belt.close();
        });
        out.into_inner().unwrap()
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        for (workers, room) in [(1, 1), (2, 1), (4, 3), (8, 64)] {
            assert_eq!(through(workers, room, 1000), (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn there_is_no_more_under_way_than_there_is_room_for() {
        let belt = Belt::new(2, 9);
        assert!(belt.put('a') && belt.put('b'));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| belt.put('c'));
            let (number, _) = belt.take().unwrap();
            let (second, _) = belt.take().unwrap();
            belt.finish(second, 1, (), |()| panic!("the first is not done"));
            assert!(!third.is_finished());
            let mut emitted = 0;
            belt.finish(number, 1, (), |()| emitted += 1);
            assert_eq!(emitted, 2);
            assert!(third.join().unwrap());
        });
    }

    #[test]
    fn whoever_waits_for_its_turn_has_it_alone() {
        let belt = Belt::full(0..3, 9);
        let out = Mutex::new(Vec::new());
        let (first, second, third) = (belt.take().unwrap(), belt.take().unwrap(), belt.take().unwrap());
        std::thread::scope(|scope| {
            let turn = scope.spawn(|| {
                assert!(belt.wait_for_turn(second.0));
                out.lock().unwrap().push('b');
                belt.finish(third.0, 1, 'd', |v| out.lock().unwrap().push(v));
                out.lock().unwrap().push('c');
                belt.finish(second.0, 1, 'C', |v| out.lock().unwrap().push(v));
            });
            belt.finish(first.0, 1, 'a', |v| out.lock().unwrap().push(v));
            turn.join().unwrap();
        });
        assert_eq!(out.into_inner().unwrap(), ['a', 'b', 'c', 'C', 'd']);
        belt.stop();
        assert!(!belt.wait_for_turn(7));
    }

    #[test]
    fn a_stop_frees_everybody() {
        let belt: Belt<char, ()> = Belt::new(1, 9);
        assert!(belt.put('a'));
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| belt.put('b'));
            belt.stop();
            assert!(!blocked.join().unwrap());
        });
        assert!(belt.take().is_none());
    }
}
