//! A disk without room: the pipeline waits, says so, and goes on. Needs a file system of its own, which only root may mount;
//! elsewhere the test says that it was skipped.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says why it is skipped"
)]
#![cfg(feature = "components")]

use std::{fs, path::Path, process::Command, time::Duration};

use qd_logs::{Options, Pipeline, facade};
use qd_logs_config::{Format, LoadOptions, load_text};

/// A file system in memory.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(size: &str) -> Option<Mounted> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "qd-test"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(o) if o.status.success() => Some(Mounted(dir)),
            Ok(o) => {
                println!("skipped: cannot mount: {}", String::from_utf8_lossy(&o.stderr).trim());
                None
            }
            Err(e) => {
                println!("skipped: cannot mount: {e}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _said_by_itself = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn start(config: &str) -> Pipeline {
    let loaded = load_text("c.yaml", config, Format::Yaml, &LoadOptions::default()).unwrap();
    let plan = qd_logs::Plan::new(&loaded.config, &facade::full_catalog()).unwrap();
    Pipeline::start(plan, Options::default()).await.unwrap()
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let number = |l: &str| l.split(' ').nth(1).and_then(|n| n.parse().ok());
    whole.lines().map(|l| number(l).unwrap_or(usize::MAX)).collect()
}

/// The file sink and the checkpoints of the file source lie on a disk that another file fills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_the_pipeline_up_and_loses_nothing() {
    const LINES: usize = 20_000;
    let Some(disk) = Mounted::new("4m") else { return };
    let (root, input) = (disk.0.path(), tempfile::tempdir().unwrap());
    let text: String = (0..LINES).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
    fs::write(input.path().join("a.log"), text).unwrap();
    fs::write(root.join("filler"), vec![0; 3_400_000]).unwrap();
    let config = format!(
        "data_dir: {root}\nsources:\n  in: {{type: file, include: [\"{input}/*.log\"]}}\nsinks:\n  out: {{type: file, \
         inputs: [in], path: \"{root}/out.log\", encoding: {{codec: text}}}}\n",
        root = root.display(),
        input = input.path().display(),
    );
    let pipeline = start(&config).await;
    let trouble = || pipeline.snapshot().component("out").unwrap().trouble.clone();
    until(|| trouble().is_some()).await;
    assert!(trouble().unwrap().contains("waiting for room"), "{:?}", trouble());
    let full = numbers(&root.join("out.log"));
    assert!(full.len() < LINES, "it is full before all is written");
    fs::remove_file(root.join("filler")).unwrap();
    until(|| numbers(&root.join("out.log")).len() >= LINES).await;
    let at_rest = || pipeline.snapshot().components.iter().all(|c| c.trouble.is_none());
    until(at_rest).await;
    pipeline.stop().await;
    pipeline.wait().await.unwrap();
    assert_eq!(numbers(&root.join("out.log")), (0..LINES).collect::<Vec<_>>());
    // The position was written when there was room again: a second run finds nothing new but what is new.
    fs::write(input.path().join("b.log"), format!("line {LINES} {}\n", "y".repeat(99))).unwrap();
    let pipeline = start(&config).await;
    until(|| numbers(&root.join("out.log")).len() > LINES).await;
    pipeline.stop().await;
    assert_eq!(numbers(&root.join("out.log")), (0..=LINES).collect::<Vec<_>>());
}

/// The disk buffer lies on the full disk: what does not fit waits in the source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_buffer_without_room_waits_for_its_sink() {
    const LINES: usize = 40_000;
    let Some(disk) = Mounted::new("1m") else { return };
    let (root, input) = (disk.0.path(), tempfile::tempdir().unwrap());
    let text: String = (0..LINES).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
    fs::write(input.path().join("a.log"), text).unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let config = format!(
        "data_dir: {root}\nsources:\n  in: {{type: file, include: [\"{input}/*.log\"]}}\nsinks:\n  out:\n    type: \
         socket\n    mode: tcp\n    inputs: [in]\n    address: 127.0.0.1:{port}\n    encoding: {{codec: text}}\n    buffer: \
         {{type: disk, max_size: 268435488}}\n",
        root = root.display(),
        input = input.path().display(),
    );
    let pipeline = start(&config).await;
    // Nobody listens yet: the buffer fills the disk long before its own bound.
    let out = || pipeline.snapshot().component("out").unwrap().clone();
    until(|| out().trouble.is_some()).await;
    assert!(out().trouble.unwrap().contains("the disk buffer could not be written"));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let reader = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader};
        let mut all = Vec::new();
        while all.len() < LINES {
            let (stream, _) = listener.accept().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                all.push(line.split(' ').nth(1).unwrap().parse::<usize>().unwrap());
                if all.len() == LINES {
                    break;
                }
            }
        }
        all
    });
    until(|| reader.is_finished()).await;
    assert_eq!(reader.join().unwrap(), (0..LINES).collect::<Vec<_>>());
    until(|| out().trouble.is_none()).await;
    pipeline.stop().await;
}
