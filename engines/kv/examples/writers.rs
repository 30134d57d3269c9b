//! Three nodes in this process, and writers that say what was acknowledged: to be killed, and started again.
//!
//! `writers DIR WRITERS VALUE_BYTES`. It first says what it finds (`have WRITER N`), then `ready`, then `ack WRITER N` for
//! each write, until it is killed or its input ends.

use std::io::{Read, Write};
use std::time::Duration;

use qd_kv::{Local, MemberHandle};
use qd_kv_model::{Cf, Modify, Snapshot};
use qd_kv_node::Outcome;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn key(writer: u64) -> Vec<u8> {
    format!("writer-{writer}").into_bytes()
}

/// Does it on whoever leads, until somebody does.
fn on_leader<T>(all: &[MemberHandle], mut f: impl FnMut(&MemberHandle) -> Option<T>) -> T {
    loop {
        for m in all {
            if let Some(why) = m.failure() {
                say(&format!("failed {}: {why}", m.node()));
                std::process::exit(1);
            }
            if m.leads(1).is_ok()
                && let Some(t) = f(m)
            {
                return t;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, writers, bytes] = args.as_slice() else {
        return Err("writers DIR WRITERS VALUE_BYTES".into());
    };
    let (writers, bytes): (u64, usize) = (writers.parse()?, bytes.parse()?);
    let cluster = Local::start(std::path::Path::new(dir), 77, 3, Duration::from_millis(20))?;
    let all = cluster.handles();
    for w in 0..writers {
        let found = on_leader(&all, |m| {
            let value = m.read(1).ok()?.get(Cf::Raw, &key(w)).ok()?;
            Some(value.map_or(0, |v| v.first_chunk().map_or(u64::MAX, |n| u64::from_le_bytes(*n))))
        });
        say(&format!("have {w} {found}"));
    }
    say("ready");
    for w in 0..writers {
        let all = all.clone();
        std::thread::spawn(move || {
            let mut n = on_leader(&all, |m| {
                let value = m.read(1).ok()?.get(Cf::Raw, &key(w)).ok()?;
                Some(value.map_or(0, |v| v.first_chunk().map_or(0, |n| u64::from_le_bytes(*n))))
            });
            loop {
                n += 1;
                let mut value = n.to_le_bytes().to_vec();
                value.resize(bytes.max(8), b'.');
                on_leader(&all, |m| {
                    let put = Modify::Put(Cf::Raw, key(w), value.clone());
                    (m.write(1, None, vec![put]) == Ok(Outcome::Written)).then_some(())
                });
                say(&format!("ack {w} {n}"));
            }
        });
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
