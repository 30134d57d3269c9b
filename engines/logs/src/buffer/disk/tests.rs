use std::{fs, sync::mpsc};

use proptest::prelude::*;
use qd_logs_model::{LogBatch, LogEvent, Telemetry, Value};

use super::*;

fn batch(numbers: impl IntoIterator<Item = i64>) -> Batch {
    let events = numbers.into_iter().map(|n| LogEvent::new(Value::Integer(n)));
    Batch::Logs(LogBatch::events(events.collect()))
}

fn numbers(batch: &Batch) -> Vec<i64> {
    let Batch::Logs(logs) = batch else { panic!("no logs") };
    (0..logs.len())
        .map(|i| match logs.value(i) {
            Value::Integer(n) => n,
            other => panic!("{other:?}"),
        })
        .collect()
}

struct Disk {
    dir: tempfile::TempDir,
    telemetry: Telemetry,
}

impl Disk {
    fn new() -> Disk {
        Disk {
            dir: tempfile::tempdir().unwrap(),
            telemetry: Telemetry::new(),
        }
    }

    fn open(&self, max: u64, segment: u64) -> Result<(DiskIn, DiskOut), BufferError> {
        let stats = StageStats::new(&self.telemetry, "out", 0);
        super::open(self.dir.path(), max, Some(segment), stats, InternalLog::new())
    }

    /// Opens it after another one was dropped, whose housekeeper may hold it for a moment longer.
    async fn reopen(&self) -> (DiskIn, DiskOut) {
        loop {
            match self.open(1 << 20, 1 << 16) {
                Ok(ends) => return ends,
                Err(BufferError::Locked { .. }) => tokio::task::yield_now().await,
                Err(e) => panic!("{e}"),
            }
        }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "seg"))
            .collect();
        all.sort();
        all
    }

    fn counter(&self, name: &str) -> u64 {
        let all = self.telemetry.read();
        all.iter()
            .filter(|(n, ..)| *n == name)
            .map(|(_, _, r)| match r {
                qd_logs_model::telemetry::Reading::Counter(n) => *n,
                _ => 0,
            })
            .sum()
    }
}

async fn drain(way_in: DiskIn, mut out: DiskOut) -> Vec<i64> {
    drop(way_in);
    let mut all = Vec::new();
    while let Some(b) = out.recv().await {
        all.extend(numbers(&b));
    }
    all
}

#[tokio::test]
async fn what_is_not_finished_is_read_again_after_a_restart() {
    let disk = Disk::new();
    let (way_in, mut out) = disk.open(1 << 20, 1 << 16).unwrap();
    for n in 0..5 {
        way_in.send(batch([n * 2, n * 2 + 1])).await;
    }
    assert_eq!(numbers(&out.recv().await.unwrap()), [0, 1]);
    assert_eq!(numbers(&out.recv().await.unwrap()), [2, 3]);
    let kept = out.recv().await.unwrap();
    let later = out.recv().await.unwrap();
    drop(later);
    // The third was neither finished nor given up: its sink is cut off.
    out.aborted.store(true, Ordering::Release);
    kept.finalizers().report(Delivery::Errored);
    drop(kept);
    assert_eq!(
        way_in.0.events.load(Ordering::Relaxed),
        6,
        "two records of two are finished"
    );
    drop((way_in, out));
    let (way_in, out) = disk.reopen().await;
    assert_eq!(drain(way_in, out).await, [4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_batch_is_delivered_when_it_is_written() {
    let disk = Disk::new();
    let (way_in, _out) = disk.open(1 << 20, 1 << 16).unwrap();
    let (tx, rx) = mpsc::sync_channel(1);
    let mut b = batch([1]);
    *b.finalizers_mut() = Finalizers::one(Token::new(move |d| tx.send(d).unwrap()));
    way_in.send(b).await;
    assert_eq!(rx.try_recv(), Ok(Delivery::Delivered));
}

#[tokio::test]
async fn two_instances_do_not_share_a_folder() {
    let disk = Disk::new();
    let first = disk.open(1 << 20, 1 << 16).unwrap();
    assert!(matches!(disk.open(1 << 20, 1 << 16), Err(BufferError::Locked { .. })));
    drop(first);
    // The housekeeper may hold it for a moment longer.
    while disk.open(1 << 20, 1 << 16).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_version() {
    let disk = Disk::new();
    let mut front = record::front();
    front[8] = 9;
    fs::write(disk.dir.path().join("00000000000000000000.seg"), front).unwrap();
    assert!(matches!(
        disk.open(1 << 20, 1 << 16),
        Err(BufferError::Version { version: 9, .. })
    ));
}

#[tokio::test]
async fn full_is_full_until_the_sink_has_finished_and_segments_go() {
    let disk = Disk::new();
    let (way_in, mut out) = disk.open(1000, 400).unwrap();
    let mut sent = 0;
    let left = loop {
        match way_in.offer(batch([sent])).await {
            Offer::Taken => sent += 1,
            Offer::Left(b) => break b,
            Offer::Gone(_) => panic!("somebody reads"),
        }
    };
    assert!(sent > 5, "{sent}");
    assert!(disk.segments().len() > 1);
    let size: u64 = disk.segments().iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(size <= 1000, "{size}");
    let sender = tokio::spawn(async move {
        way_in.send(left).await;
        way_in
    });
    let mut all = Vec::new();
    for _ in 0..sent {
        all.extend(numbers(&out.recv().await.unwrap()));
    }
    let way_in = sender.await.unwrap();
    all.extend(drain(way_in, out).await);
    assert_eq!(all, (0..=sent).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_fails_lets_wait_and_loses_nothing() {
    let disk = Disk::new();
    let (way_in, mut out) = disk.open(1 << 20, 100).unwrap();
    way_in.send(batch([0])).await;
    way_in.send(batch([1])).await;
    // No new segment can be made where the folder is gone.
    let (dir, away) = (disk.dir.path().to_owned(), disk.dir.path().with_extension("away"));
    fs::rename(&dir, &away).unwrap();
    let sender = tokio::spawn(async move {
        for n in 2..6 {
            way_in.send(batch([n])).await;
        }
        way_in
    });
    while disk.counter("component_errors_total") == 0 {
        tokio::task::yield_now().await;
    }
    fs::rename(&away, &dir).unwrap();
    let mut all = Vec::new();
    while all.len() < 6 {
        all.extend(numbers(&out.recv().await.unwrap()));
    }
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    drop(sender.await.unwrap());
    assert!(out.recv().await.is_none());
}

#[tokio::test]
async fn an_id_stays_in_the_folder() {
    let dir = folder(Path::new("/d"), "../../etc/x y");
    assert_eq!(dir, Path::new("/d/buffer/qd/%2E%2E%2F%2E%2E%2Fetc%2Fx%20y"));
}

/// Writes records of one event each into segments of several, and gives them back as they lie on disk.
fn written(count: i64, segment: u64) -> Disk {
    let disk = Disk::new();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let (way_in, out) = disk.open(1 << 20, segment).unwrap();
        for n in 0..count {
            way_in.send(batch([n])).await;
        }
        drop((way_in, out));
    });
    drop(rt);
    disk
}

fn read_all(disk: &Disk) -> Vec<i64> {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all = rt.block_on(async {
        let (way_in, out) = disk.open(1 << 20, 1 << 16).unwrap();
        drain(way_in, out).await
    });
    drop(rt);
    all
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_goes_on() {
    let disk = written(10, 1 << 16);
    let path = disk.segments().pop().unwrap();
    let len = path.metadata().unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(len - 3)
        .unwrap();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all = rt.block_on(async {
        let (way_in, out) = disk.open(1 << 20, 1 << 16).unwrap();
        assert!(path.metadata().unwrap().len() < len - 3, "the torn record is gone");
        way_in.send(batch([77])).await;
        drain(way_in, out).await
    });
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 77]);
    assert_eq!(disk.counter("buffer_errors_total"), 0);
}

#[test]
fn damage_in_the_middle_costs_what_it_hit_and_is_counted() {
    let disk = written(10, 1 << 16);
    let path = disk.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let record = (bytes.len() - 16) / 10;
    // The length of the fourth record, and the body of the seventh.
    bytes[16 + 3 * record + 5] ^= 0xff;
    bytes[16 + 7 * record - 1] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    assert_eq!(read_all(&disk), [0, 1, 2, 4, 5, 7, 8, 9]);
    assert_eq!(disk.counter("buffer_errors_total"), 2);
    assert_eq!(disk.counter("buffer_discarded_events_total"), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes, opening and reading come to an end, what is read was written, in order, and
    /// records that were not touched are read.
    #[test]
    fn any_damage_is_survived(
        count in 1i64..40, segment in 100u64..1000,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..), 0..6),
    ) {
        let disk = written(count, segment);
        let paths = disk.segments();
        for (which, at, flip) in &hits {
            let path = which.get(&paths);
            let mut bytes = fs::read(path).unwrap();
            let at = at.index(bytes.len());
            // A version that is newer is refused, and rightly so.
            if (8..12).contains(&at) { continue; }
            bytes[at] ^= flip;
            fs::write(path, bytes).unwrap();
        }
        let all = read_all(&disk);
        prop_assert!(all.windows(2).all(|w| w[0] < w[1]), "{:?}", all);
        prop_assert!(all.iter().all(|n| (0..count).contains(n)));
        prop_assert!(all.len() as i64 >= count - hits.len() as i64, "{} of {count} with {} hits", all.len(), hits.len());
    }
}

/// What a kill leaves: the files as they are, while the buffer is still open.
fn killed(disk: &Disk) -> Disk {
    let copy = Disk::new();
    for entry in fs::read_dir(disk.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.dir.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[tokio::test]
async fn after_a_kill_the_first_record_is_the_first_that_was_not_finished() {
    let disk = Disk::new();
    let (way_in, mut out) = disk.open(1 << 20, 1 << 16).unwrap();
    for n in 0..50 {
        way_in.send(batch([n])).await;
    }
    let mut held = Vec::new();
    for n in 0..50 {
        held.push(out.recv().await.unwrap());
        // Every fourth is still in the sink's hands when the next one is read.
        if n % 4 != 0 {
            held.retain(|b| numbers(b) == [n / 4 * 4]);
        }
        let first = held.iter().map(|b| numbers(b)[0]).min().unwrap_or(n + 1);
        let copy = killed(&disk);
        let (way_in, out) = copy.open(1 << 20, 1 << 16).unwrap();
        assert_eq!(drain(way_in, out).await, (first..50).collect::<Vec<_>>());
    }
    assert_eq!(disk.segments().len(), 1, "all of it is in one segment");
}

#[tokio::test]
async fn segments_that_are_finished_are_deleted_and_the_last_is_emptied() {
    let disk = Disk::new();
    let (way_in, mut out) = disk.open(64 << 20, 2 << 20).unwrap();
    let long = |n: i64| {
        let text = vec![b'x'; 256 << 10];
        let event = Value::Object(
            [
                ("n".into(), Value::Integer(n)),
                ("text".into(), Value::Bytes(text.into())),
            ]
            .into(),
        );
        Batch::Logs(LogBatch::events(vec![LogEvent::new(event)]))
    };
    for n in 0..41 {
        way_in.send(long(n)).await;
    }
    assert!(disk.segments().len() > 4);
    for _ in 0..41 {
        out.recv().await.unwrap();
    }
    way_in.0.keep_house();
    let left = disk.segments();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].metadata().unwrap().len(), record::FRONT);
    // And it goes on from there, also after a kill.
    way_in.send(batch([7])).await;
    let copy = killed(&disk);
    let (other, rest) = copy.open(1 << 20, 1 << 16).unwrap();
    assert_eq!(drain(other, rest).await, [7]);
    assert_eq!(drain(way_in, out).await, [7]);
}

#[test]
fn a_place_behind_the_end_of_a_shortened_file_hides_nothing() {
    let disk = Disk::new();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let (way_in, mut out) = disk.open(1 << 20, 1 << 16).unwrap();
        for n in 0..9 {
            way_in.send(batch([n])).await;
        }
        for _ in 0..9 {
            out.recv().await.unwrap();
        }
    });
    // A loss of power: the place reached the disk, half of the segment did not.
    let path = disk.segments().pop().unwrap();
    let len = path.metadata().unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(len / 2).unwrap();
    rt.block_on(async {
        let (way_in, out) = disk.reopen().await;
        way_in.send(batch([50])).await;
        way_in.send(batch([51])).await;
        assert_eq!(drain(way_in, out).await, [50, 51]);
        assert_eq!(disk.counter("buffer_errors_total"), 0);
    });
}
