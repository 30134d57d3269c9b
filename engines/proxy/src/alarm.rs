//! A deadline that is moved for every request and is almost never reached.
//!
//! Registering a timer costs more than parsing a small request. So the timer stays where it is when the deadline moves
//! back, and is set again only when it rings too early.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// One deadline; nothing is due while there is none.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Moves the deadline.
    pub(crate) fn set(&mut self, at: Instant) {
        self.deadline = Some(at);
        if let Some(timer) = &mut self.timer
            && timer.deadline() > at
        {
            timer.as_mut().reset(at);
        }
    }

    /// Takes it away.
    pub(crate) fn clear(&mut self) {
        self.deadline = None;
    }

    /// Sets it from now on.
    pub(crate) fn after(&mut self, time: Duration) {
        self.set(Instant::now() + time);
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        loop {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_deadline_counts_whichever_way_it_moved() {
        let mut alarm = Alarm::default();
        let ring = async |alarm: &mut Alarm| std::future::poll_fn(|cx| alarm.poll(cx)).await;
        let soon = Duration::from_millis(20);
        // Looked at once, so that the timer stands; then moved back.
        alarm.after(soon);
        assert!(tokio::time::timeout(Duration::ZERO, ring(&mut alarm)).await.is_err());
        let later = Instant::now() + 4 * soon;
        alarm.set(later);
        ring(&mut alarm).await;
        assert!(Instant::now() >= later);
        // Moved forward, it rings before the timer that stood.
        alarm.after(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::ZERO, ring(&mut alarm)).await.is_err());
        alarm.after(soon);
        ring(&mut alarm).await;
        alarm.clear();
        assert!(tokio::time::timeout(soon, ring(&mut alarm)).await.is_err());
    }
}
