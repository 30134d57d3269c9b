//! The proxy's own thread, for what no request waits for: active checks, the admin listener, spans.

use std::{sync::Arc, thread::JoinHandle};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    admin::{self, AdminSlot},
    checks,
    listener::Bound,
    shared::Shared,
    spans::Tracer,
};

/// What it is told.
pub(crate) enum Errand {
    /// Answer at an admin socket until it is closed.
    Admin(Arc<AdminSlot>, Bound),
    /// Send the spans of a tracer until that is gone.
    Export(Arc<Tracer>),
    /// End.
    Stop(oneshot::Sender<()>),
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Keeper {
    errands: mpsc::UnboundedSender<Errand>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        self.send(Errand::Stop(reply));
    }
}

impl Keeper {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Keeper> {
        let (errands, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("proxy-keeper".to_owned())
            .spawn(move || run(shared, receiver))?;
        Ok(Keeper {
            errands,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn send(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    /// Ends it and waits for that.
    pub(crate) async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        self.send(Errand::Stop(reply));
        let _ = done.await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn run(shared: Arc<Shared>, mut errands: mpsc::UnboundedReceiver<Errand>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    let reply = runtime.block_on(async move {
        loop {
            let next = checks::begin(&shared);
            let rest = async {
                match next {
                    Some(next) => tokio::time::sleep(next).await,
                    // Nothing is checked; a new plan may change that.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some(Errand::Admin(slot, bound)) => {
                        tokio::spawn(admin::serve(Arc::clone(&shared), slot, bound));
                    }
                    Some(Errand::Export(tracer)) => {
                        if let Some(work) = tracer.exporter(&shared) {
                            tokio::spawn(work);
                        }
                    }
                    Some(Errand::Stop(reply)) => return Some(reply),
                    None => return None,
                },
                () = shared.changed.notified() => {}
                () = rest => {}
            }
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    if let Some(reply) = reply {
        let _ = reply.send(());
    }
}
