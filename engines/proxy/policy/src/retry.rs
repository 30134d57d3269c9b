//! Whether a request is sent again.
//!
//! A retry needs all of: tries left, an answer that the route calls worth another try, a request that may be sent twice, a
//! body that is still there, a client that has seen nothing yet, time, and a budget. [`RetryPolicy::decide`] asks in
//! that order, so that the budget is touched only by a retry that will happen.

use std::ops::RangeInclusive;
use std::time::Duration;

use qd_core::Mono;

use crate::budget::Budget;
use crate::class::GrpcCode;
use crate::deadline::Deadline;
use crate::dice::Dice;
use crate::when::nanos;

/// Bytes of a request's body that are kept for a retry.
pub const MAX_REPLAY: usize = 64 * 1024;

/// What a route sends again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first try; 0 for none.
    pub attempts: u32,
    /// HTTP statuses that are worth another try.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// The same for gRPC codes.
    pub grpc: Vec<GrpcCode>,
    /// Whether a try that gets no answer (connect failed, broke off, too slow) is repeated.
    pub on_error: OnError,
    /// The wait before the first retry; it doubles for each one after, and chance adds up to half of it. Zero for none.
    pub backoff: Duration,
    /// Which methods are sent again.
    pub methods: Methods,
}

/// Whether tries without an answer are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// They are.
    Retry,
    /// Only those that never reached the endpoint are.
    IfUnsent,
    /// They are not.
    Fail,
}

/// Which methods may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// Those that mean the same when they arrive twice: GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// All: the route says that its service can take it. For gRPC, whose calls are all POST.
    All,
}

impl Default for RetryPolicy {
    /// No retries; when there are, for 502, 503 and 504 and UNAVAILABLE, of idempotent methods.
    fn default() -> Self {
        RetryPolicy {
            attempts: 0,
            statuses: vec![502..=504],
            grpc: vec![GrpcCode::UNAVAILABLE],
            on_error: OnError::Retry,
            backoff: Duration::ZERO,
            methods: Methods::Idempotent,
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer of this status.
    Status(u16),
    /// With this gRPC code, known before any data: of an answer that is trailers only.
    Grpc(GrpcCode),
    /// Before a byte was sent: the connection could not be made, or the peer said that it took nothing (REFUSED_STREAM).
    Unsent,
    /// Without an answer, after something was sent.
    NoAnswer,
}

/// What is known of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay<'a> {
    /// Its method.
    pub method: &'a str,
    /// Tries so far, the one that just ended included.
    pub tries: u32,
    /// Whether its body can be sent again: none, or whole and at most [`MAX_REPLAY`].
    pub body: Body,
    /// Whether the client has got any of a response.
    pub response: Progress,
}

/// Whether a body can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It can.
    Kept,
    /// It is gone.
    Gone,
}

/// What the client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Nothing,
    /// The head of a response, or more.
    Begun,
}

/// Why there is no retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryRefusal {
    /// The answer is final.
    Final,
    /// There were as many as there may be.
    Attempts,
    /// The method may not be sent twice.
    Method,
    /// The body is gone.
    Body,
    /// The client has seen something.
    Begun,
    /// The time is over, or would be before the wait is.
    Time,
    /// The budget is used up.
    Budget,
}

impl RetryRefusal {
    /// The word of the label `error` of `retry_skipped_total`.
    pub fn word(self) -> &'static str {
        match self {
            RetryRefusal::Final => "final",
            RetryRefusal::Attempts => "limit",
            RetryRefusal::Method => "method",
            RetryRefusal::Body => "body_too_long",
            RetryRefusal::Begun => "begun",
            RetryRefusal::Time => "timeout",
            RetryRefusal::Budget => "no_budget",
        }
    }
}

/// Whether a method means the same when it arrives twice (RFC 9110, 9.2.2). Methods are compared exactly.
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

impl RetryPolicy {
    /// Whether this end of a try is worth another one.
    fn wants(&self, ended: Ended) -> bool {
        match ended {
            Ended::Status(status) => self.statuses.iter().any(|range| range.contains(&status)),
            Ended::Grpc(code) => self.grpc.contains(&code),
            Ended::Unsent => self.on_error != OnError::Fail,
            Ended::NoAnswer => self.on_error == OnError::Retry,
        }
    }

    /// The wait before retry number `retry`, counted from 0.
    fn wait(&self, retry: u32, dice: &mut Dice) -> Duration {
        let base = nanos(self.backoff).saturating_mul(1u64.checked_shl(retry).unwrap_or(u64::MAX));
        let base = base.min(60_000_000_000);
        Duration::from_nanos(base + (dice.unit() * base as f64 / 2.0) as u64)
    }

    /// Whether the request is sent again, and after which wait. The retry is taken out of the budget.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn decide(
        &self,
        ended: Ended,
        request: &Replay<'_>,
        deadline: &Deadline,
        budget: &mut Budget,
        now: Mono,
        dice: &mut Dice,
    ) -> Result<Duration, RetryRefusal> {
        if !self.wants(ended) {
            return Err(RetryRefusal::Final);
        }
        if request.tries > self.attempts {
            return Err(RetryRefusal::Attempts);
        }
        // What never reached anybody was not sent once yet.
        let safe = self.methods == Methods::All || ended == Ended::Unsent || is_idempotent(request.method);
        if !safe {
            return Err(RetryRefusal::Method);
        }
        if request.body == Body::Gone {
            return Err(RetryRefusal::Body);
        }
        if request.response == Progress::Begun {
            return Err(RetryRefusal::Begun);
        }
        let wait = self.wait(request.tries.saturating_sub(1), dice);
        if deadline.left(now).is_some_and(|left| left <= wait) {
            return Err(RetryRefusal::Time);
        }
        if !budget.withdraw(now) {
            return Err(RetryRefusal::Budget);
        }
        Ok(wait)
    }
}

/// Whether a request may be sent once more on a new connection, outside any policy, because the pooled connection turned out
/// to be closed: the connection had served before, nothing came back on it, and the request can be repeated.
pub fn stale(reused: bool, bytes_back: u64, request: &Replay<'_>) -> bool {
    reused
        && bytes_back == 0
        && request.body == Body::Kept
        && request.response == Progress::Nothing
        && request.tries <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::BudgetConfig;
    use crate::deadline::Timeouts;
    use crate::when::test::{millis, ms};

    fn get(tries: u32) -> Replay<'static> {
        Replay {
            method: "GET",
            tries,
            body: Body::Kept,
            response: Progress::Nothing,
        }
    }

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 2,
            ..RetryPolicy::default()
        }
    }

    fn decide(policy: &RetryPolicy, ended: Ended, request: &Replay<'_>) -> Result<Duration, RetryRefusal> {
        let mut budget = Budget::new(BudgetConfig::default(), ms(0));
        policy.decide(
            ended,
            request,
            &Deadline::default(),
            &mut budget,
            ms(0),
            &mut Dice::new(0),
        )
    }

    #[test]
    fn each_condition_can_refuse() {
        let p = policy();
        assert_eq!(decide(&p, Ended::Status(503), &get(1)), Ok(Duration::ZERO));
        assert_eq!(decide(&p, Ended::Status(503), &get(3)), Err(RetryRefusal::Attempts));
        assert_eq!(decide(&p, Ended::Status(500), &get(1)), Err(RetryRefusal::Final));
        assert_eq!(
            decide(&p, Ended::Grpc(GrpcCode::UNAVAILABLE), &get(1)),
            Ok(Duration::ZERO)
        );
        let post = Replay {
            method: "POST",
            ..get(1)
        };
        assert_eq!(decide(&p, Ended::NoAnswer, &post), Err(RetryRefusal::Method));
        assert_eq!(decide(&p, Ended::Unsent, &post), Ok(Duration::ZERO));
        let gone = Replay {
            body: Body::Gone,
            ..get(1)
        };
        assert_eq!(decide(&p, Ended::NoAnswer, &gone), Err(RetryRefusal::Body));
        let begun = Replay {
            response: Progress::Begun,
            ..get(1)
        };
        assert_eq!(decide(&p, Ended::NoAnswer, &begun), Err(RetryRefusal::Begun));
        let careful = RetryPolicy {
            on_error: OnError::IfUnsent,
            ..policy()
        };
        assert_eq!(decide(&careful, Ended::NoAnswer, &get(1)), Err(RetryRefusal::Final));
        assert_eq!(
            decide(&RetryPolicy::default(), Ended::Status(503), &get(1)),
            Err(RetryRefusal::Attempts)
        );
    }

    #[test]
    fn waits_double_and_fit_the_time_that_is_left() {
        let p = RetryPolicy {
            backoff: millis(100),
            ..policy()
        };
        let first = decide(&p, Ended::Unsent, &get(1)).unwrap();
        let second = decide(&p, Ended::Unsent, &get(2)).unwrap();
        assert!((millis(100)..millis(150)).contains(&first) && (millis(200)..millis(300)).contains(&second));
        let timeouts = Timeouts {
            request: Some(millis(90)),
            ..Timeouts::default()
        };
        let mut budget = Budget::new(BudgetConfig::default(), ms(0));
        let before = budget.left(ms(0));
        let late = p.decide(
            Ended::Unsent,
            &get(1),
            &Deadline::new(&timeouts, None, ms(0)),
            &mut budget,
            ms(0),
            &mut Dice::new(0),
        );
        assert_eq!(late, Err(RetryRefusal::Time));
        assert_eq!(budget.left(ms(0)), before, "what is not retried costs nothing");
    }

    #[test]
    fn the_budget_ends_a_storm() {
        let p = policy();
        let mut budget = Budget::new(BudgetConfig::default(), ms(0));
        let mut dice = Dice::new(0);
        let mut retried = 0;
        for _ in 0..1_000 {
            budget.deposit(ms(0));
            let again = p.decide(
                Ended::Unsent,
                &get(1),
                &Deadline::default(),
                &mut budget,
                ms(0),
                &mut dice,
            );
            retried += u32::from(again.is_ok());
        }
        // The reserve of 100 and a fifth of the requests.
        assert_eq!(retried, 300);
    }

    #[test]
    fn a_stale_connection_is_replaced_once() {
        assert!(stale(true, 0, &get(1)));
        assert!(!stale(false, 0, &get(1)) && !stale(true, 1, &get(1)) && !stale(true, 0, &get(2)));
        assert!(!stale(
            true,
            0,
            &Replay {
                body: Body::Gone,
                ..get(1)
            }
        ));
    }
}
