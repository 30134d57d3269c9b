//! Acknowledgement: who waits to hear what became of the events.
//!
//! A source that can resume puts a [`Token`] on each batch. Every copy and part of the batch carries a clone; when the
//! last is gone the token calls back, with the worst [`Delivery`] that anybody reported. A batch that a transform drops on
//! purpose is as good as delivered, so dropping without a word is delivery, except while a thread unwinds or the
//! pipeline is aborted ([`Token::abort_flag`]): what is lost then must be read again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use smallvec::SmallVec;

/// What became of events, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// A sink's receiver or a disk buffer has them, or they were dropped on purpose.
    Delivered = 0,
    /// They could not be delivered now; sending them again may help.
    Errored = 1,
    /// The receiver refused them for good.
    Rejected = 2,
}

type Callback = Box<dyn FnOnce(Delivery) + Send + Sync>;

struct Inner {
    worst: AtomicU8,
    aborted: Option<Arc<AtomicBool>>,
    done: Option<Callback>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let lost = std::thread::panicking() || self.aborted.as_ref().is_some_and(|a| a.load(Ordering::Acquire));
        let status = match (*self.worst.get_mut(), lost) {
            (0, false) => Delivery::Delivered,
            (2, _) => Delivery::Rejected,
            _ => Delivery::Errored,
        };
        if let Some(done) = self.done.take() {
            done(status);
        }
    }
}

/// One who waits to hear of a batch.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

impl Token {
    /// A token that calls `done` once, when its last clone is gone, on the thread that drops it: `done` must be quick
    /// and must not block.
    pub fn new(done: impl FnOnce(Delivery) + Send + Sync + 'static) -> Token {
        Token(Arc::new(Inner {
            worst: AtomicU8::new(0),
            aborted: None,
            done: Some(Box::new(done)),
        }))
    }

    /// As [`Token::new`], but events still on their way when `aborted` is true are reported as [`Delivery::Errored`].
    pub fn abort_flag(aborted: Arc<AtomicBool>, done: impl FnOnce(Delivery) + Send + Sync + 'static) -> Token {
        Token(Arc::new(Inner {
            worst: AtomicU8::new(0),
            aborted: Some(aborted),
            done: Some(Box::new(done)),
        }))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Everybody who waits to hear of some events.
#[derive(Debug, Clone, Default)]
pub struct Finalizers(SmallVec<[Token; 1]>);

impl Finalizers {
    /// Nobody waits.
    pub fn none() -> Finalizers {
        Finalizers::default()
    }

    /// One waits.
    pub fn one(token: Token) -> Finalizers {
        Finalizers(SmallVec::from_iter([token]))
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of `other`; one that waits already is not added again.
    pub fn merge(&mut self, other: Finalizers) {
        for t in other.0 {
            if !self.0.iter().rev().take(8).any(|o| Arc::ptr_eq(&o.0, &t.0)) {
                self.0.push(t);
            }
        }
    }

    /// Reports what became of the events; the worst report counts. To be called before the last clone is dropped.
    pub fn report(&self, delivery: Delivery) {
        for t in &self.0 {
            t.0.worst.fetch_max(delivery as u8, Ordering::AcqRel);
        }
    }

    /// Takes them out: the events that stay behind are nobody's business any more.
    pub fn take(&mut self) -> Finalizers {
        Finalizers(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn token() -> (Finalizers, mpsc::Receiver<Delivery>) {
        let (tx, rx) = mpsc::channel();
        let tx = parking_lot::Mutex::new(tx);
        let f = Finalizers::one(Token::new(move |d| {
            let _ = tx.lock().send(d);
        }));
        (f, rx)
    }

    #[test]
    fn the_last_clone_reports_the_worst() {
        let (f, rx) = token();
        let g = f.clone();
        g.report(Delivery::Errored);
        drop(g);
        assert!(rx.try_recv().is_err());
        f.report(Delivery::Delivered);
        drop(f);
        assert_eq!(rx.try_recv(), Ok(Delivery::Errored));
    }

    #[test]
    fn a_silent_drop_is_delivery() {
        let (f, rx) = token();
        drop(f);
        assert_eq!(rx.try_recv(), Ok(Delivery::Delivered));
    }

    #[test]
    fn a_panic_is_not() {
        let (f, rx) = token();
        let r = std::thread::spawn(move || {
            let _kept = f;
            panic!("on purpose");
        })
        .join();
        assert!(r.is_err());
        assert_eq!(rx.try_recv(), Ok(Delivery::Errored));
    }

    #[test]
    fn an_abort_is_not() {
        let flag = Arc::new(AtomicBool::new(false));
        let (tx, rx) = mpsc::channel();
        let tx = parking_lot::Mutex::new(tx);
        let t = Token::abort_flag(flag.clone(), move |d| {
            let _ = tx.lock().send(d);
        });
        flag.store(true, Ordering::Release);
        drop(Finalizers::one(t));
        assert_eq!(rx.try_recv(), Ok(Delivery::Errored));
    }
}
