//! Drives the proxy by hand: `proxy --listen 127.0.0.1:8080 --to 127.0.0.1:3000[,…]` or `proxy --config FILE`,
//! and `[--workers N] [--forward] [--tap]`.

use std::{error::Error, time::Duration};

use qd_proxy::{
    Options, Plan, Proxy, TapRequest,
    plan::{Address, Bind, Forward},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut binds, mut to, mut workers, mut forward, mut tap) = (Vec::new(), Vec::new(), 1, Forward::Off, false);
    let mut config: Option<String> = None;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--listen" => {
                let value = value()?;
                binds.push(match value.strip_prefix("unix:") {
                    Some(path) => Bind::Unix(path.into()),
                    None => Bind::Tcp(value.parse()?),
                });
            }
            "--to" => {
                for part in value()?.split(',') {
                    to.push(Address::parse(part).ok_or(format!("`{part}` is no address"))?);
                }
            }
            "--workers" => workers = value()?.parse()?,
            "--config" => config = Some(value()?),
            "--forward" => forward = Forward::On,
            "--tap" => tap = true,
            other => return Err(format!("`{other}` is not known").into()),
        }
    }
    let mut plan = match config {
        Some(path) => qd_proxy::plan_of(&qd_proxy::config::load(path.as_ref())?.config)?,
        None => Plan::simple(binds, to),
    };
    if forward == Forward::On {
        plan.listeners.iter_mut().for_each(|l| l.forward = forward);
    }
    let proxy = Proxy::start(&plan, Options { workers })?;
    eprintln!("ready");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if tap {
            // As a pane does: at its own pace, all there is at once.
            let mut flows = proxy.tap(TapRequest {
                queue: 8192,
                ..TapRequest::default()
            });
            let (mut seen, mut told, mut batch) = (0u64, 0u64, Vec::new());
            loop {
                tokio::time::sleep(Duration::from_millis(30)).await;
                batch.clear();
                seen += flows.drain(&mut batch, 8192) as u64;
                if seen / 100_000 > told {
                    told = seen / 100_000;
                    eprintln!("{seen} flows, {} dropped", flows.dropped());
                }
            }
        }
        loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    })
}
