//! Faults on purpose: which requests are delayed or refused, how many of a hundred, and until when.
//!
//! A fault always has an end, so that one that was forgotten ends by itself, and it is counted, so that a pane can say what
//! it did.

use std::sync::Arc;
use std::time::Duration;

use qd_core::{Fields, Filter, Mono};

use crate::dice::Dice;
use crate::when::after;

/// The longest life of a fault.
pub const MAX_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// The longest delay.
pub const MAX_DELAY: Duration = Duration::from_secs(600);
/// Faults there are at once.
pub const MAX_FAULTS: usize = 64;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// It waits before it is sent.
    Delay(Duration),
    /// It is answered with this status, 200 to 599; a gRPC call with the code that the status maps to.
    Abort(u16),
    /// Its connection is closed without an answer.
    Reset,
}

/// One fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What happens.
    pub action: FaultAction,
    /// To how many of a hundred requests, 0 to 100.
    pub percent: f64,
    /// On which route; `None` for all.
    pub route: Option<Arc<str>>,
    /// To which requests.
    pub filter: Filter,
    /// For how long.
    pub life: Duration,
}

/// Why there is no such fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The life is missing or too long.
    #[error("a fault ends by itself: give it a life of more than zero and at most 24h")]
    Life,
    /// The percentage is none.
    #[error("a percentage is a number from 0 to 100")]
    Percent,
    /// The status is none.
    #[error("a status to abort with is a number from 200 to 599")]
    Status,
    /// The delay is too long.
    #[error("a delay is at most 10m")]
    Delay,
    /// There are too many.
    #[error("there are {MAX_FAULTS} faults already; remove one first")]
    Full,
}

/// What a fault decided for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// Which fault.
    pub fault: u64,
    /// What happens.
    pub action: FaultAction,
}

/// A fault and how it goes.
#[derive(Debug, Clone)]
pub struct ActiveFault {
    /// Its number, never given twice.
    pub id: u64,
    /// What it is.
    pub fault: Fault,
    /// When it ends.
    pub expires: Mono,
    /// Requests that it was for.
    pub matched: u64,
    /// Requests that it happened to.
    pub injected: u64,
}

/// The faults of a proxy.
#[derive(Debug, Clone, Default)]
pub struct FaultSet {
    faults: Vec<ActiveFault>,
    last: u64,
}

impl FaultSet {
    /// Adds a fault that begins now and gives its number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, fault: Fault, now: Mono) -> Result<u64, FaultError> {
        self.expire(now);
        if fault.life.is_zero() || fault.life > MAX_LIFE {
            return Err(FaultError::Life);
        }
        if !(0.0..=100.0).contains(&fault.percent) {
            return Err(FaultError::Percent);
        }
        match fault.action {
            FaultAction::Abort(status) if !(200..=599).contains(&status) => return Err(FaultError::Status),
            FaultAction::Delay(delay) if delay > MAX_DELAY => return Err(FaultError::Delay),
            _ => {}
        }
        if self.faults.len() >= MAX_FAULTS {
            return Err(FaultError::Full);
        }
        self.last += 1;
        self.faults.push(ActiveFault {
            id: self.last,
            expires: after(now, fault.life),
            fault,
            matched: 0,
            injected: 0,
        });
        Ok(self.last)
    }

    /// Ends a fault; whether there was one.
    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|f| f.id != id);
        self.faults.len() < before
    }

    /// Forgets those that have ended; whether there were any.
    pub fn expire(&mut self, now: Mono) -> bool {
        let before = self.faults.len();
        self.faults.retain(|f| now < f.expires);
        self.faults.len() < before
    }

    /// Whether there is none: what the path of every request asks first.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Those that have not been forgotten, in the order they were added.
    pub fn list(&self) -> &[ActiveFault] {
        &self.faults
    }

    /// What happens to a request: the first fault that is for it decides, by chance. Delays of several do not add up.
    pub fn decide<F: Fields + ?Sized>(
        &mut self,
        route: &str,
        request: &F,
        now: Mono,
        dice: &mut Dice,
    ) -> Option<Injection> {
        let active = self.faults.iter_mut().find(|f| {
            now < f.expires
                && f.fault.route.as_deref().is_none_or(|only| only == route)
                && f.fault.filter.matches(request)
        })?;
        active.matched += 1;
        if dice.unit() * 100.0 >= active.fault.percent {
            return None;
        }
        active.injected += 1;
        Some(Injection {
            fault: active.id,
            action: active.fault.action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::ms;
    use qd_core::{Now, Schema, Timestamp, ValueRef};

    struct Path(&'static str);

    impl Fields for Path {
        fn field(&self, name: &str) -> Option<ValueRef<'_>> {
            (name == "path").then_some(ValueRef::Str(self.0))
        }
        fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
            found(self.0)
        }
    }

    fn fault(action: FaultAction, percent: f64) -> Fault {
        Fault {
            action,
            percent,
            route: None,
            filter: Filter::default(),
            life: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_fault_without_an_end_is_refused() {
        let mut set = FaultSet::default();
        let mut add = |f: Fault| set.add(f, ms(0));
        let abort = fault(FaultAction::Abort(503), 10.0);
        assert_eq!(
            add(Fault {
                life: Duration::ZERO,
                ..abort.clone()
            }),
            Err(FaultError::Life)
        );
        assert_eq!(
            add(Fault {
                life: MAX_LIFE * 2,
                ..abort.clone()
            }),
            Err(FaultError::Life)
        );
        assert_eq!(add(fault(FaultAction::Abort(99), 1.0)), Err(FaultError::Status));
        assert_eq!(add(fault(FaultAction::Abort(500), 100.5)), Err(FaultError::Percent));
        assert_eq!(add(fault(FaultAction::Abort(500), f64::NAN)), Err(FaultError::Percent));
        assert_eq!(
            add(fault(FaultAction::Delay(MAX_DELAY * 2), 1.0)),
            Err(FaultError::Delay)
        );
        for _ in 0..MAX_FAULTS {
            assert!(add(abort.clone()).is_ok());
        }
        assert_eq!(add(abort.clone()), Err(FaultError::Full));
        assert!(set.add(abort, ms(60_000)).is_ok(), "the others have ended by then");
        assert_eq!(set.list().len(), 1);
    }

    #[test]
    fn route_filter_and_time_choose() {
        let mut set = FaultSet::default();
        let now = Now::utc(Timestamp(0));
        let filter = Filter::new("path:/api/*", &Schema::empty().open(), &now).unwrap();
        let mut f = fault(FaultAction::Abort(503), 100.0);
        f.filter = filter;
        f.route = Some("web".into());
        let id = set.add(f, ms(0)).unwrap();
        let mut dice = Dice::new(0);
        let mut hit = |route, path, at| set.decide(route, &Path(path), ms(at), &mut dice).is_some();
        assert!(hit("web", "/api/x", 0));
        assert!(!hit("api", "/api/x", 0));
        assert!(!hit("web", "/x", 0));
        assert!(hit("web", "/api/x", 59_999));
        assert!(!hit("web", "/api/x", 60_000));
        assert_eq!((set.list()[0].matched, set.list()[0].injected), (2, 2));
        assert!(set.remove(id) && !set.remove(id));
    }

    #[test]
    fn the_percentage_is_kept() {
        let mut set = FaultSet::default();
        set.add(fault(FaultAction::Reset, 12.5), ms(0)).unwrap();
        let mut dice = Dice::new(3);
        let hits = (0..20_000)
            .filter(|_| set.decide("", &Path("/"), ms(0), &mut dice).is_some())
            .count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        let mut none = FaultSet::default();
        none.add(fault(FaultAction::Reset, 0.0), ms(0)).unwrap();
        assert!((0..1_000).all(|_| none.decide("", &Path("/"), ms(0), &mut dice).is_none()));
    }
}
