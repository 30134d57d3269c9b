//! What reading a file costs: generates one, reads it with the `file` source into an outlet that drops everything, and
//! tells the CPU time of the process for each line.
//!
//! `cargo run --release -p qd-logs-local --example read_file -- [LINES] [BYTES A LINE]`

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BoxFuture, Closed, Context, Globals, InternalLog, LogSchema, Outlet, Shutdown, SourceOut, Telemetry,
};
use rustix::time::{ClockId, clock_gettime};

struct Drop(AtomicUsize);

impl Outlet for Drop {
    fn send<'a>(&'a self, _port: usize, batch: Batch) -> BoxFuture<'a, Result<(), Closed>> {
        self.0.fetch_add(batch.len(), Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }
}

fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.try_into().unwrap_or(0), t.tv_nsec.try_into().unwrap_or(0))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let lines: usize = args.next().map_or(Ok(680_938), |a| a.parse())?;
    let bytes: usize = args.next().map_or(Ok(393), |a| a.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("input.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for i in 0..lines {
        writeln!(file, "{i:0>width$}", width = bytes - 1)?;
    }
    file.flush()?;
    drop(file);
    let cx = Context {
        id: "in".into(),
        globals: Arc::new(Globals {
            data_dir: dir.path().to_owned(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "host".into(),
            proxy: Arc::default(),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::default(),
        acknowledgements: false,
    };
    let node = Node::from(serde_json::json!({"include": [path]}));
    let entry = qd_logs_local::sources::file::entry();
    let config = (entry.parse)(&node)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    for _ in 0..3 {
        let _none = std::fs::remove_dir_all(dir.path().join("in"));
        let source = runtime.block_on(config.build(cx.clone()))?;
        let outlet = Arc::new(Drop(AtomicUsize::new(0)));
        let (stop, signal) = tokio::sync::watch::channel(false);
        let (begin, wall) = (cpu(), std::time::Instant::now());
        let task = runtime.spawn(source.run(SourceOut::new(outlet.clone()), Shutdown::new(signal)));
        while outlet.0.load(Ordering::Relaxed) < lines {
            std::thread::sleep(Duration::from_millis(1));
        }
        let wall = wall.elapsed();
        stop.send_replace(true);
        runtime.block_on(task)??;
        let used = cpu() - begin;
        let each = used.as_secs_f64() * 1e6 / lines as f64;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{lines} lines of {bytes} B: {each:.3} µs of CPU a line, {:.2} s",
            wall.as_secs_f64()
        )?;
    }
    Ok(())
}
