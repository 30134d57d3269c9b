//! The pipeline under the supervisor.

#![cfg(feature = "components")]
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use qd_core::{
    EngineHandle, EngineState, Overflow, RealClock, SourceId, Supervisor,
    supervise::{Handle, Policy, Restart},
};
use qd_logs::{
    TapRequest,
    engine::{Command, ConfigPath, EngineConfig, LoadOptions, LogsEngine, Origin, Reply, record_of},
};

const CONFIG: &str = r#"data_dir: "@/data"
sources:
  in: {type: file, include: ["@/in.log"], read_from: beginning}
transforms:
  tag: {type: remap, inputs: [in], source: '.level = "warn"'}
sinks:
  out: {type: file, inputs: [tag], path: "@/out.log", encoding: {codec: text}}
"#;

fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("p.yaml"), text.replace('@', &dir.display().to_string())).unwrap();
}

fn start(supervisor: &Supervisor, dir: &Path) -> EngineHandle<LogsEngine> {
    let config = EngineConfig {
        origin: Origin::Files(vec![ConfigPath::File(dir.join("p.yaml"), None)]),
        load: LoadOptions::default(),
        deadline: Duration::from_secs(10),
    };
    let policy = Policy {
        restart: Restart::Never,
        ..Policy::default()
    };
    supervisor
        .start::<LogsEngine>(SourceId::new("p"), config, policy)
        .unwrap()
}

fn supervisor() -> Supervisor {
    Supervisor::new(tokio::runtime::Handle::current(), Arc::new(RealClock::new()))
}

async fn until(what: &str, mut cond: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while !cond() {
        assert!(tokio::time::Instant::now() < end, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_is_tapped_reloads_and_drains() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), CONFIG);
    let input = dir.path().join("in.log");
    std::fs::write(&input, "first line of the file\n").unwrap();
    let supervisor = supervisor();
    let handle = start(&supervisor, dir.path());
    let mut said = handle.subscribe(1000, Overflow::DropOldest);
    handle.wait_state(EngineState::is_running).await.unwrap();
    let Reply::Tap(tap) = handle
        .ask(Command::Tap(TapRequest {
            outputs_of: vec!["tag".into()],
            ..TapRequest::default()
        }))
        .await
        .unwrap()
    else {
        panic!()
    };
    let mut all = String::from("first line of the file\n");
    let mut growing = std::fs::OpenOptions::new().append(true).open(&input).unwrap();
    let mut append = |text: &str| {
        all.push_str(text);
        growing.write_all(text.as_bytes()).unwrap();
    };
    append("second line\n");
    let seen = loop {
        let r = record_of(&tap.next().await.unwrap());
        if r.body() == "second line" {
            break r;
        }
    };
    assert_eq!(
        (seen.source().as_str(), seen.severity()),
        ("tag", qd_core::Severity::Warn)
    );
    assert!(seen.get("file").is_some());
    let two = || {
        handle
            .snapshot()
            .pipeline
            .component("out")
            .is_some_and(|c| c.events_in == 2)
    };
    until("two events in the snapshot", two).await;

    // A change that cannot be is told, and changes nothing.
    write(dir.path(), &CONFIG.replace("type: remap", "type: remapp"));
    let Reply::Reloaded(Err(why)) = handle.ask(Command::Reload).await.unwrap() else {
        panic!()
    };
    assert!(why.contains("remapp") && why.contains("p.yaml:5"), "{why}");
    assert_eq!(handle.snapshot().problem.as_deref(), Some(why.as_str()));
    assert!(said.try_recv().is_some(), "what happened is in the records");
    // One that can be is taken over without being asked for.
    write(dir.path(), &CONFIG.replace("\"warn\"", "\"error\""));
    until("the change", || handle.snapshot().pipeline.reloads == 1).await;
    assert_eq!(handle.snapshot().problem, None);

    (0..1000).for_each(|i| append(&format!("line {i}\n")));
    until("all are read", || {
        handle
            .snapshot()
            .pipeline
            .component("in")
            .is_some_and(|c| c.events_out == 1002)
    })
    .await;
    handle.shutdown(Duration::from_secs(20)).await;
    assert_eq!(std::fs::read_to_string(dir.path().join("out.log")).unwrap(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_says_why_and_runs_when_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &CONFIG.replace("include:", "inclde:"));
    let supervisor = supervisor();
    let handle = start(&supervisor, dir.path());
    let state = handle.wait_state(|s| s.failure().is_some()).await.unwrap();
    let why = &state.failure().unwrap().message;
    assert!(
        why.contains("p.yaml:3") && why.contains("inclde") && why.contains("include"),
        "{why}"
    );
    write(dir.path(), CONFIG);
    handle.restart();
    handle.wait_state(EngineState::is_running).await.unwrap();
    assert_eq!(handle.snapshot().pipeline.components.len(), 3);
    handle.shutdown(Duration::from_secs(20)).await;
}
