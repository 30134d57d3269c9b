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

    #[tokio::test(start_paused = true)]
    async fn the_last_deadline_counts_whichever_way_it_moved() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        alarm.after(Duration::from_secs(10));
        let ring = async |alarm: &mut Alarm| std::future::poll_fn(|cx| alarm.poll(cx)).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), ring(&mut alarm)).await;
        alarm.after(Duration::from_secs(20));
        ring(&mut alarm).await;
        assert_eq!(start.elapsed().as_secs(), 25);
        alarm.after(Duration::from_secs(60));
        let _ = tokio::time::timeout(Duration::from_secs(1), ring(&mut alarm)).await;
        alarm.after(Duration::from_secs(2));
        ring(&mut alarm).await;
        assert_eq!(start.elapsed().as_secs(), 28);
    }
}
