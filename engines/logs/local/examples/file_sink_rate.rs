//! What the file sink costs an event: `file_sink_rate <lines of JSON> <output> [compression] [rounds]` reads the lines as
//! documents once and sends them to the sink as often as asked, then prints the processor time an event took.

use std::{error::Error, io::Write, sync::Arc, sync::atomic::AtomicBool};

use bytes::Bytes;
use memchr::memchr_iter;
use qd_logs_model::{
    Batch, BoxFuture, Context, DocsBuilder, Finalizers, Globals, Inlet, InternalLog, LogBatch, LogSchema, Rows,
    SinkInput, Telemetry, component::ProxySettings,
};

struct Feed {
    batches: Vec<Batch>,
    next: usize,
    left: usize,
}

impl Inlet for Feed {
    fn recv(&mut self) -> BoxFuture<'_, Option<Batch>> {
        Box::pin(async {
            if self.next == self.batches.len() {
                self.next = 0;
                self.left = self.left.saturating_sub(1);
            }
            if self.left == 0 {
                return None;
            }
            let batch = self.batches.get(self.next).cloned();
            self.next += 1;
            batch
        })
    }
}

/// User and system time of this process, in seconds.
fn cpu() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn batches(block: &Bytes) -> Vec<Batch> {
    let mut all = Vec::new();
    let mut start = 0;
    let ends: Vec<usize> = memchr_iter(b'\n', block).collect();
    for lines in ends.chunks(600) {
        let last = lines.last().copied().unwrap_or(start);
        let part = block.slice(start..last + 1);
        let mut docs = DocsBuilder::new(part);
        let mut at = 0;
        for end in lines {
            let end = (end - start) as u32;
            if docs.parse(at, end).is_ok() {
                docs.commit();
            }
            at = end + 1;
        }
        start = last + 1;
        all.push(Batch::Logs(LogBatch {
            rows: Rows::Docs(docs.take()),
            kind: qd_logs_model::EventKind::Log,
            finalizers: Finalizers::none(),
        }));
    }
    all
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (input, output) = args.next().zip(args.next()).ok_or("two files are needed")?;
    let compression = args.next().unwrap_or_else(|| "none".to_owned());
    let rounds = args.next().map_or(Ok(10), |r| r.parse())?;
    let batches = batches(&Bytes::from(std::fs::read(input)?));
    let events = batches.iter().map(Batch::len).sum::<usize>() * rounds;
    let catalog = qd_logs_local::catalog();
    let entry = catalog
        .sinks
        .iter()
        .find(|e| e.name == "file")
        .ok_or("there is no file sink")?;
    let json = serde_json::json!({"path": output, "compression": compression, "encoding": {"codec": "json"}});
    let config = (entry.parse)(&json.into())?;
    let cx = Context {
        id: "out".into(),
        globals: Arc::new(Globals {
            data_dir: std::env::temp_dir(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "host".into(),
            proxy: Arc::new(ProxySettings::default()),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::new(AtomicBool::new(false)),
        acknowledgements: false,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let before = cpu()?;
    runtime.block_on(async {
        let built = config.build(cx).await?;
        let feed = Feed {
            batches,
            next: 0,
            left: rounds,
        };
        built.sink.run(SinkInput::new(Box::new(feed))).await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    let seconds = cpu()? - before;
    writeln!(
        std::io::stdout(),
        "{events} events, {seconds:.2} s of processor time, {:.3} µs an event",
        seconds * 1e6 / events as f64
    )?;
    Ok(())
}
