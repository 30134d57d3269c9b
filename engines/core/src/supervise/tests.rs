//! Supervision of a test engine that can be told to fail in every way, under tokio's paused time.

use super::*;
use crate::clock::{RealClock, VirtualClock};
use crate::filter::Schema;
use crate::record::{Severity, SourceId};
use crate::stream::Overflow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle as Runtime;
use tokio::time::Instant;

#[derive(Debug, thiserror::Error)]
#[error("cannot open the volume")]
struct Broken(#[source] std::fmt::Error);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Count,
    Panic,
    Fail,
    Finish,
    Ignore,
    PanicInTask,
    PanicInThread,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Well,
    Panic,
}

/// How a life behaves when it is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Drain,
    Hang,
}

#[derive(Clone)]
struct Config {
    lives: Arc<AtomicUsize>,
    drained: Arc<AtomicUsize>,
    start: Start,
    stop: Stop,
}

impl Config {
    fn new() -> Config {
        Config {
            lives: Arc::default(),
            drained: Arc::default(),
            start: Start::Well,
            stop: Stop::Drain,
        }
    }
}

struct Toy;

impl Engine for Toy {
    type Config = Config;
    type Command = Order;
    type Reply = usize;
    type Snapshot = usize;
    type Error = Broken;
    const KIND: &'static str = "toy";

    fn schema() -> Schema {
        Schema::records()
    }

    async fn run(config: Config, mut cx: Context<Self>) -> Result<(), Broken> {
        let life = config.lives.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(config.start == Start::Well, "no good start in life {life}");
        let mut count = 0;
        while let Some(request) = cx.next().await {
            match request.command {
                Order::Count => {
                    count += 1;
                    cx.publish(count);
                    cx.emit(cx.record(Severity::Info).field("count", count as u64).finish())
                        .await;
                    request.reply.send(count);
                }
                Order::Panic => panic!("ordered to"),
                Order::Fail => return Err(Broken(std::fmt::Error)),
                Order::Finish => return Ok(()),
                Order::Ignore => drop(request.reply),
                Order::PanicInTask => cx.spawn(async { panic!("a helper fell") }),
                Order::PanicInThread => drop(cx.thread("helper", |_| panic!("a thread fell"))),
            }
        }
        if config.stop == Stop::Hang {
            std::future::pending::<()>().await;
        }
        config.drained.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn supervisor() -> Supervisor {
    Supervisor::new(Runtime::current(), Arc::new(VirtualClock::default()))
}

fn start(config: &Config, policy: Policy) -> (Supervisor, EngineHandle<Toy>) {
    let supervisor = supervisor();
    let handle = supervisor
        .start::<Toy>(SourceId::new("toy"), config.clone(), policy)
        .unwrap();
    (supervisor, handle)
}

async fn running(handle: &EngineHandle<Toy>) {
    handle.wait_state(EngineState::is_running).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_answers_publishes_and_emits() {
    let config = Config::new();
    let (_supervisor, handle) = start(&config, Policy::default());
    let mut records = handle.subscribe(8, Overflow::DropOldest);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let _guard = handle.on_change(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    assert_eq!(*handle.snapshot(), 0);
    assert_eq!(handle.ask(Order::Count).await, Ok(1));
    assert_eq!(handle.ask(Order::Count).await, Ok(2));
    assert_eq!(*handle.snapshot(), 2);
    assert!(handle.state().is_running());
    assert_eq!(handle.health().level, HealthLevel::Healthy);
    // Running, health, two snapshots, two answers.
    assert_eq!(woken.load(Ordering::SeqCst), 6);
    let record = records.recv().await.unwrap();
    assert_eq!(
        (record.source().as_str(), record.get("count").unwrap().to_string()),
        ("toy", "1".to_owned())
    );
    assert_eq!(handle.ask(Order::Ignore).await, Err(CallError::Lost));
}

#[tokio::test(start_paused = true)]
async fn any_kind_can_be_held_and_found_again() {
    let config = Config::new();
    let (supervisor, handle) = start(&config, Policy::default());
    running(&handle).await;
    handle.ask(Order::Count).await.unwrap();
    let held = supervisor.handles().remove(0);
    assert_eq!((held.kind(), held.source().as_str()), ("toy", "toy"));
    assert_eq!(held.snapshot_any().downcast_ref::<usize>(), Some(&1));
    assert_eq!(held.snapshot_version(), 1);
    assert!(held.schema().get("level").is_some());
    let found = held.downcast::<Toy>().unwrap();
    assert_eq!(found.ask(Order::Count).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_becomes_a_state_and_the_engine_comes_back() {
    let config = Config::new();
    let (_supervisor, handle) = start(&config, Policy::default());
    running(&handle).await;
    assert_eq!(handle.ask(Order::Panic).await, Err(CallError::Lost));
    let state = handle
        .wait_state(|s| matches!(s, EngineState::BackingOff { .. }))
        .await
        .unwrap();
    let failure = state.failure().unwrap();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Panic, "ordered to")
    );
    assert!(failure.place.as_ref().unwrap().contains("tests.rs:"), "{failure}");
    assert_eq!(
        handle.ask(Order::Count).await,
        Err(CallError::NotRunning("backing off"))
    );
    assert_eq!(handle.health().level, HealthLevel::Unknown);
    running(&handle).await;
    assert_eq!(handle.ask(Order::Count).await, Ok(1));
    assert_eq!(handle.last_failure().unwrap().message, "ordered to");
}

#[tokio::test(start_paused = true)]
async fn an_error_shows_its_causes() {
    let config = Config::new();
    let (_supervisor, handle) = start(
        &config,
        Policy {
            restart: Restart::Never,
            ..Policy::default()
        },
    );
    running(&handle).await;
    assert_eq!(handle.ask(Order::Fail).await, Err(CallError::Lost));
    let state = handle
        .wait_state(|s| matches!(s, EngineState::Crashed(_)))
        .await
        .unwrap();
    assert!(
        state.to_string().starts_with("crashed: cannot open the volume: "),
        "{state}"
    );
    // It stays down until someone restarts it.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(config.lives.load(Ordering::SeqCst), 1);
    handle.restart();
    running(&handle).await;
    assert_eq!(config.lives.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_delay_grows_to_its_cap_and_then_it_gives_up() {
    let config = Config {
        start: Start::Panic,
        ..Config::new()
    };
    let backoff = Backoff {
        first: Duration::from_millis(100),
        factor: 2,
        cap: Duration::from_millis(500),
    };
    let begun = Instant::now();
    let (_supervisor, handle) = start(
        &config,
        Policy {
            backoff,
            max_failures: Some(5),
            ..Policy::default()
        },
    );
    handle
        .wait_state(|s| matches!(s, EngineState::Crashed(_)))
        .await
        .unwrap();
    assert_eq!(config.lives.load(Ordering::SeqCst), 6);
    // 100 + 200 + 400 + 500 + 500, on the paused clock.
    assert_eq!(begun.elapsed().as_millis() / 10, 170);
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_life_forgives_earlier_failures() {
    let config = Config::new();
    let policy = Policy {
        max_failures: Some(2),
        healthy_after: Duration::from_secs(60),
        ..Policy::default()
    };
    let (_supervisor, handle) = start(&config, policy);
    for _ in 0..6 {
        running(&handle).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        let _ = handle.ask(Order::Panic).await;
        let state = handle.wait_state(|s| s.failure().is_some()).await.unwrap();
        assert!(matches!(*state, EngineState::BackingOff { attempt: 1, .. }), "{state}");
    }
    for attempt in 2..=3 {
        running(&handle).await;
        let _ = handle.ask(Order::Panic).await;
        let state = handle.wait_state(|s| s.failure().is_some()).await.unwrap();
        assert_eq!(matches!(*state, EngineState::Crashed(_)), attempt == 3, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_hand_does_not_wait_for_the_delay() {
    let config = Config::new();
    let backoff = Backoff {
        first: Duration::from_secs(1000),
        factor: 1,
        cap: Duration::from_secs(1000),
    };
    let (_supervisor, handle) = start(
        &config,
        Policy {
            backoff,
            ..Policy::default()
        },
    );
    running(&handle).await;
    let _ = handle.ask(Order::Panic).await;
    handle
        .wait_state(|s| matches!(s, EngineState::BackingOff { .. }))
        .await
        .unwrap();
    let begun = Instant::now();
    handle.restart();
    running(&handle).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    handle.restart();
    let lives = Arc::clone(&config.lives);
    handle
        .wait_state(move |s| s.is_running() && lives.load(Ordering::SeqCst) == 3)
        .await
        .unwrap();
    assert_eq!(
        (
            config.lives.load(Ordering::SeqCst),
            config.drained.load(Ordering::SeqCst)
        ),
        (3, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn helpers_take_the_engine_down_with_them() {
    for (order, message) in [
        (Order::PanicInTask, "a helper fell"),
        (Order::PanicInThread, "a thread fell"),
    ] {
        let config = Config::new();
        let (_supervisor, handle) = start(
            &config,
            Policy {
                restart: Restart::Never,
                ..Policy::default()
            },
        );
        running(&handle).await;
        drop(handle.call(order).unwrap());
        let state = handle
            .wait_state(|s| matches!(s, EngineState::Crashed(_)))
            .await
            .unwrap();
        assert_eq!(state.failure().unwrap().message, message);
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_asked_and_rests() {
    let config = Config::new();
    let (_supervisor, handle) = start(&config, Policy::default());
    running(&handle).await;
    handle.stop(Duration::from_secs(1));
    let state = handle
        .wait_state(|s| matches!(s, EngineState::Stopped(_)))
        .await
        .unwrap();
    assert_eq!(*state, EngineState::Stopped(Ending::Asked));
    assert_eq!(config.drained.load(Ordering::SeqCst), 1);
    handle.restart();
    running(&handle).await;
    drop(handle.call(Order::Finish).unwrap());
    let state = handle
        .wait_state(|s| matches!(s, EngineState::Stopped(_)))
        .await
        .unwrap();
    assert_eq!(*state, EngineState::Stopped(Ending::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_delay_is_shown() {
    let config = Config {
        start: Start::Panic,
        ..Config::new()
    };
    let (_supervisor, handle) = start(&config, Policy::default());
    handle
        .wait_state(|s| matches!(s, EngineState::BackingOff { .. }))
        .await
        .unwrap();
    handle.stop(Duration::from_secs(1));
    handle
        .wait_state(|s| *s == EngineState::Stopped(Ending::Asked))
        .await
        .unwrap();
    let lives = config.lives.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(config.lives.load(Ordering::SeqCst), lives);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_cut_off_at_the_deadline() {
    let config = Config {
        stop: Stop::Hang,
        ..Config::new()
    };
    let (supervisor, handle) = start(&config, Policy::default());
    running(&handle).await;
    let begun = Instant::now();
    supervisor.shutdown(Duration::from_secs(3)).await;
    assert_eq!(*handle.state(), EngineState::Stopped(Ending::CutOff));
    assert_eq!(begun.elapsed().as_millis() / 100, 30);
    assert_eq!(config.drained.load(Ordering::SeqCst), 0);
    handle.restart();
    assert_eq!(handle.wait_state(EngineState::is_running).await, None);
    let again = supervisor.start::<Toy>(SourceId::new("late"), config, Policy::default());
    assert!(matches!(again, Err(SupervisorError::Closing { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_full_command_queue_refuses() {
    let config = Config::new();
    let (_supervisor, handle) = start(
        &config,
        Policy {
            command_queue: 2,
            ..Policy::default()
        },
    );
    // The engine has not run yet: on this runtime nothing runs until this test waits.
    let mut pending: Vec<_> = (0..2).map(|_| handle.call(Order::Count).unwrap()).collect();
    assert_eq!(handle.call(Order::Count).err(), Some(CallError::Busy));
    assert_eq!(pending[0].try_take(), None);
    assert_eq!(pending.remove(0).await, Ok(1));
}

#[test]
fn a_plain_thread_can_use_an_engine() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let supervisor = Supervisor::new(runtime.handle().clone(), Arc::new(RealClock::new()));
    let config = Config::new();
    let handle = supervisor
        .start::<Toy>(SourceId::new("toy"), config.clone(), Policy::default())
        .unwrap();
    let (sender, woken) = std::sync::mpsc::channel();
    let _guard = handle.on_change(Arc::new(move || {
        let _ = sender.send(());
    }));
    let mut pending = handle.call(Order::Count).unwrap();
    let answer = loop {
        match pending.try_take() {
            Some(answer) => break answer,
            None => woken.recv().unwrap(),
        }
    };
    assert_eq!(answer, Ok(1));
    assert_eq!(handle.call(Order::Count).unwrap().wait(), Ok(2));
    supervisor.shutdown_blocking(Duration::from_secs(5));
    assert_eq!(*handle.state(), EngineState::Stopped(Ending::Asked));
    assert_eq!(config.drained.load(Ordering::SeqCst), 1);
}

#[test]
fn the_delay_never_overflows() {
    let backoff = Backoff {
        first: Duration::from_secs(1),
        factor: 10,
        cap: Duration::from_secs(77),
    };
    assert_eq!(backoff.delay(1), Duration::from_secs(1));
    assert_eq!(backoff.delay(2), Duration::from_secs(10));
    assert_eq!(backoff.delay(3), Duration::from_secs(77));
    assert_eq!(backoff.delay(u32::MAX), Duration::from_secs(77));
}
