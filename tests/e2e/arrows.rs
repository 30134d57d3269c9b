//! The dependency arrows of ARCHITECTURE.md, read from what cargo resolves: a boundary is never crossed quietly.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let meta: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let name_of: BTreeMap<&str, &str> = meta["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| (p["id"].as_str().expect("id"), p["name"].as_str().expect("name")))
        .collect();
    let mut graph = BTreeMap::new();
    for node in meta["resolve"]["nodes"].as_array().expect("nodes") {
        let name = name_of[node["id"].as_str().expect("id")].to_owned();
        let normal = |d: &&serde_json::Value| {
            d["dep_kinds"]
                .as_array()
                .expect("kinds")
                .iter()
                .any(|k| k["kind"].is_null())
        };
        let deps = node["deps"].as_array().expect("deps").iter().filter(normal);
        let set: &mut BTreeSet<String> = graph.entry(name).or_default();
        set.extend(deps.map(|d| name_of[d["pkg"].as_str().expect("pkg")].to_owned()));
    }
    graph
}

/// Everything a crate reaches, itself included.
fn reach(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![from.to_owned()];
    while let Some(n) = todo.pop() {
        if seen.insert(n.clone()) {
            todo.extend(graph.get(&n).into_iter().flatten().cloned());
        }
    }
    seen
}

const ENGINES: &[&str] = &[
    "qd-core",
    "qd-terminal",
    "qd-tty",
    "qd-kv",
    "qd-kv-model",
    "qd-kv-node",
    "qd-kv-sim",
    "qd-kv-store",
    "qd-kv-txn",
    "qd-logs",
    "qd-logs-codecs",
    "qd-logs-config",
    "qd-logs-local",
    "qd-logs-model",
    "qd-logs-net",
    "qd-logs-tls",
    "qd-logs-view",
    "qd-logs-vrl",
    "qd-proxy",
    "qd-proxy-config",
    "qd-proxy-content",
    "qd-proxy-policy",
    "qd-proxy-telemetry",
    "qd-proxy-wire",
    "qd-search",
    "qd-search-index",
    "qd-tree",
    "qd-search-live",
    "qd-vm",
    "qd-vm-boot",
    "qd-vm-devices",
    "qd-vm-guest",
    "qd-vm-model",
];
const APP: &[&str] = &[
    "quarterdeck",
    "qd-client",
    "qd-server",
    "qd-panes",
    "qd-ui",
    "qd-config",
    "qd-mux",
    "qd-proto",
    "qd-frame",
];

#[test]
fn engines_know_no_screen() {
    let g = graph();
    for e in ENGINES {
        let r = reach(&g, e);
        for bad in APP.iter().chain(&["ratatui", "ratatui-core", "crossterm"]) {
            assert!(!r.contains(*bad), "{e} reaches {bad}");
        }
    }
}

#[test]
fn the_model_has_no_io() {
    let g = graph();
    for pure in ["qd-mux", "qd-frame", "qd-tty"] {
        let r = reach(&g, pure);
        for bad in [
            "tokio",
            "mio",
            "rustix",
            "libc",
            "crossterm",
            "portable-pty",
            "qd-core",
            "qd-terminal",
        ] {
            // parking_lot, in the interner, stands on libc for its futex: no file and no socket.
            if bad == "libc" {
                continue;
            }
            assert!(!r.contains(bad), "{pure} reaches {bad}");
        }
    }
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../mux/src");
    let mut todo = vec![std::path::PathBuf::from(sources)];
    let mut read = 0;
    while let Some(p) = todo.pop() {
        if p.is_dir() {
            todo.extend(
                std::fs::read_dir(&p)
                    .expect("readable")
                    .map(|e| e.expect("an entry").path()),
            );
        } else {
            let text = std::fs::read_to_string(&p).expect("readable");
            read += 1;
            for bad in [
                "std::fs",
                "std::io",
                "std::net",
                "std::process",
                "std::thread",
                "std::time",
                "std::env",
            ] {
                assert!(!text.contains(bad), "{} uses {bad}", p.display());
            }
        }
    }
    assert!(read > 5, "the model's sources were found");
}

#[test]
fn the_screen_knows_no_engine() {
    let g = graph();
    for c in ["qd-ui", "qd-config", "qd-mux", "qd-frame", "qd-proto", "qd-client"] {
        let r = reach(&g, c);
        for bad in ["qd-terminal", "qd-core", "qd-panes", "qd-server"] {
            assert!(!r.contains(bad), "{c} reaches {bad}");
        }
    }
    assert!(!reach(&g, "qd-panes").contains("qd-server"));
    assert!(!reach(&g, "qd-server").contains("qd-client"));
}

#[test]
fn the_log_engine_keeps_its_order() {
    let g = graph();
    // What reads files and shows lines needs no pipeline, and the pipeline's parts don't know how they are wired.
    let parts = [
        "qd-logs-codecs",
        "qd-logs-local",
        "qd-logs-net",
        "qd-logs-tls",
        "qd-logs-vrl",
    ];
    for c in ["qd-logs-config", "qd-logs-model", "qd-logs-view"].iter().chain(&parts) {
        assert!(!reach(&g, c).contains("qd-logs"), "{c} reaches qd-logs");
    }
    for part in parts.into_iter().chain(["qd-logs-model"]) {
        assert!(!reach(&g, "qd-logs-view").contains(part), "the view reaches {part}");
    }
    for heavy in ["reqwest", "tonic", "hyper"] {
        let direct = |c: &str| g.get(c).is_some_and(|d| d.contains(heavy));
        let who: Vec<&str> = ENGINES.iter().copied().filter(|c| direct(c)).collect();
        assert!(who.iter().all(|c| *c == "qd-logs-net"), "{heavy} is used by {who:?}");
    }
}

#[test]
fn what_the_proxy_decides_needs_no_socket() {
    let g = graph();
    for c in [
        "qd-proxy-config",
        "qd-proxy-content",
        "qd-proxy-policy",
        "qd-proxy-telemetry",
    ] {
        let r = reach(&g, c);
        for bad in ["qd-proxy", "hyper", "h2", "tokio-rustls"] {
            assert!(!r.contains(bad), "{c} reaches {bad}");
        }
        // The contract of engines brings tokio; none of these uses it.
        assert!(g.get(c).is_some_and(|d| !d.contains("tokio")), "{c} uses tokio");
    }
    for pure in ["qd-tree", "qd-proxy-content"] {
        assert!(!reach(&g, pure).contains("tokio"), "{pure} reaches tokio");
    }
}

#[test]
fn only_the_machine_knows_kvm() {
    let g = graph();
    for c in ["qd-vm-model", "qd-vm-devices", "qd-vm-boot", "qd-vm-guest"] {
        let r = reach(&g, c);
        for bad in ["qd-vm", "kvm-ioctls", "kvm-bindings", "tokio"] {
            assert!(!r.contains(bad), "{c} reaches {bad}");
        }
    }
    for bad in ["vm-memory", "libc"] {
        assert!(!reach(&g, "qd-vm-model").contains(bad), "the model reaches {bad}");
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut seen = 0;
    for group in [
        "app",
        "engines",
        "engines/logs",
        "engines/proxy",
        "engines/search",
        "engines/vm",
    ] {
        for entry in std::fs::read_dir(format!("{root}/{group}")).expect("readable") {
            let manifest = entry.expect("an entry").path().join("Cargo.toml");
            if group.contains('/') && !manifest.exists() {
                // The engine's own sources, tests and the like.
                continue;
            }
            let text = std::fs::read_to_string(&manifest).expect("a manifest");
            assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
            seen += 1;
        }
    }
    assert!(seen >= 20);
}
