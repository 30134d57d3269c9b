//! Catching panics of supervised code, with the place where they happened.
//!
//! The message of a panic is in its payload, but its place is only told to the process-wide panic hook. This module
//! installs one (once) that notes the place for supervised code, keeps it off the terminal, and passes every other panic
//! to the hook that was there before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub(super) struct Panic {
    pub(super) message: String,
    pub(super) place: Option<String>,
}

/// Installs the hook; later calls do nothing.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // During thread teardown the thread-locals may be gone: then it is not supervised code.
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(info);
            } else if let Some(place) = info.location() {
                let _ = PLACE.try_with(|slot| *slot.borrow_mut() = Some(place.to_string()));
            }
        }));
    });
}

/// The text of a panic's payload.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// Runs `work`, turning a panic into a value.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    result.map_err(|payload| {
        let message = message(&*payload);
        // A payload's own destructor may panic too; one defect is enough to report.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Panic {
            message,
            place: PLACE.with(|slot| slot.borrow_mut().take()),
        }
    })
}

/// A future whose panics become values.
pub(super) struct Caught<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Caught<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Caught(Some(Box::pin(future)))
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.0.as_mut() else {
            return Poll::Pending;
        };
        match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                let future = self.0.take();
                Poll::Ready(catch(|| drop(future)).map(|()| value))
            }
            Err(panic) => {
                let future = self.0.take();
                let _ = catch(|| drop(future));
                Poll::Ready(Err(panic))
            }
        }
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = catch(|| drop(future));
    }
}
