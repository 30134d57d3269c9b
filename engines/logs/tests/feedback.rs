//! A pipeline that reads what it says itself does not talk itself into a frenzy.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "components")]

use std::time::Duration;

use qd_core::Severity;
use qd_logs::{Options, Pipeline, Plan, facade};
use qd_logs_config::{Format, LoadOptions, load_text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_logs_do_not_feed_on_themselves() {
    const SAID: u64 = 3000;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // Each event makes the program fail, and each request to the sink does: all of that is said, and read again.
    let config = format!(
        "sources: {{own: {{type: internal_logs}}}}\ntransforms:\n  fails: {{type: remap, inputs: [own], drop_on_error: true, \
         source: '.n = to_int!(.message)'}}\nsinks:\n  void: {{type: blackhole, inputs: [fails]}}\n  gone: {{type: http, \
         inputs: [own], uri: 'http://{closed}', encoding: {{codec: json}}, healthcheck: false, batch: {{timeout_secs: \
         0.01}}, buffer: {{type: memory, max_events: 500, when_full: drop_newest}}}}\n"
    );
    let loaded = load_text("c.yaml", &config, Format::Yaml, &LoadOptions::default()).unwrap();
    let plan = Plan::new(&loaded.config, &facade::full_catalog()).unwrap();
    let pipeline = Pipeline::start(plan, Options::default()).await.unwrap();
    let came = || pipeline.snapshot().component("fails").unwrap().events_in;
    // Nothing is said before the source listens.
    while came() == 0 {
        pipeline.log().say(Severity::Warn, "is anybody there", Vec::new());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = came();
    for i in 0..SAID {
        pipeline.log().say(Severity::Warn, format!("no number {i}"), Vec::new());
        // A listener may be 1,024 events late and no more.
        if i % 500 == 499 {
            while came() < before + i {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    let failed = || pipeline.snapshot().component("fails").unwrap().errors;
    while failed() < before + SAID {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let added = came().saturating_sub(before + SAID);
    assert!(added < 50, "{added} events of its own about {SAID}");
    pipeline.stop_within(Duration::from_millis(100)).await;
}
