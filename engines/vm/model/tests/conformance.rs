//! The API, request by request: every path, required key, bound, unknown key and wrong order, with the class of the
//! answer that Firecracker documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use qd_vm_model::controller::{Access, Outcome};
use qd_vm_model::{Action, Controller, Fault, Host, Method, Phase, VmConfig, Work};
use serde_json::{Value, json};

/// A host with a few files on which everything succeeds, unless it is told otherwise.
#[derive(Default)]
struct Fake {
    done: Vec<Work>,
    fails: bool,
}

impl Host for Fake {
    fn look(&mut self, path: &str, access: Access) -> Result<(), String> {
        match (path, access) {
            ("/vmlinux" | "/initrd" | "/disk" | "/disk2", _) | ("/ro", Access::Read) => Ok(()),
            ("/ro", Access::Write) => Err("Permission denied".to_owned()),
            _ => Err("No such file or directory".to_owned()),
        }
    }

    fn work(&mut self, work: Work) -> Result<Outcome, Fault> {
        if self.fails {
            return Err(Fault::Vmm("told to fail".to_owned()));
        }
        let out = match &work {
            Work::GetMmds | Work::BalloonStats | Work::HintingStatus => Outcome::Answer(json!({})),
            Work::SnapshotLoad(_) => Outcome::Restored(Box::default()),
            _ => Outcome::Done,
        };
        self.done.push(work);
        Ok(out)
    }
}

struct Api(Controller, Fake);

impl Api {
    fn new() -> Api {
        Api(Controller::new("anonymous-instance"), Fake::default())
    }

    fn call(&mut self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let action = Action::parse(Method::of(method).unwrap(), path, body.map(str::as_bytes));
        match action.and_then(|a| self.0.request(a, &mut self.1)) {
            Ok(Outcome::Answer(v)) => (200, v),
            Ok(_) => (204, Value::Null),
            Err(f) => (f.status().code(), serde_json::from_str(&f.body()).unwrap()),
        }
    }

    fn ok(&mut self, method: &str, path: &str, body: &str) -> &mut Api {
        let (status, v) = self.call(method, path, Some(body));
        assert_eq!(status, 204, "{method} {path} {body}: {v}");
        self
    }

    fn fault(&mut self, method: &str, path: &str, body: Option<&str>) -> String {
        let (status, v) = self.call(method, path, body);
        assert_eq!(status, 400, "{method} {path} {body:?}: {v}");
        v["fault_message"].as_str().expect("a fault_message").to_owned()
    }

    fn started() -> Api {
        let mut api = Api::new();
        api.ok("PUT", "/boot-source", r#"{"kernel_image_path": "/vmlinux"}"#)
            .ok("PUT", "/drives/rootfs", r#"{"drive_id": "rootfs", "path_on_host": "/disk", "is_root_device": true}"#)
            .ok("PUT", "/network-interfaces/eth0", r#"{"iface_id": "eth0", "host_dev_name": "tap0"}"#)
            .ok("PUT", "/balloon", r#"{"amount_mib": 10, "deflate_on_oom": true, "stats_polling_interval_s": 1, "free_page_hinting": true}"#)
            .ok("PUT", "/actions", r#"{"action_type": "InstanceStart"}"#);
        api
    }
}

/// A good body for every PUT before the start.
const PUTS: &[(&str, &str)] = &[
    (
        "/boot-source",
        r#"{"kernel_image_path": "/vmlinux", "initrd_path": "/initrd", "boot_args": "console=ttyS0"}"#,
    ),
    (
        "/machine-config",
        r#"{"vcpu_count": 2, "mem_size_mib": 256, "smt": true, "track_dirty_pages": true, "huge_pages": "2M", "cpu_template": "T2"}"#,
    ),
    (
        "/cpu-config",
        r#"{"cpuid_modifiers": [], "msr_modifiers": [], "kvm_capabilities": []}"#,
    ),
    (
        "/drives/a",
        r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false, "is_read_only": true, "cache_type": "Writeback", "io_engine": "Sync", "partuuid": "x", "rate_limiter": {"ops": {"size": 1, "refill_time": 1, "one_time_burst": 2}}}"#,
    ),
    (
        "/network-interfaces/e",
        r#"{"iface_id": "e", "host_dev_name": "t", "guest_mac": "06:00:AC:10:00:02", "mtu": 1400, "rx_rate_limiter": {"bandwidth": {"size": 1, "refill_time": 1}}, "tx_rate_limiter": {}}"#,
    ),
    ("/vsock", r#"{"guest_cid": 3, "uds_path": "./v.sock", "vsock_id": "v"}"#),
    (
        "/balloon",
        r#"{"amount_mib": 5, "deflate_on_oom": false, "stats_polling_interval_s": 1}"#,
    ),
    (
        "/entropy",
        r#"{"rate_limiter": {"bandwidth": {"size": 1, "refill_time": 1}}}"#,
    ),
    ("/serial", r#"{"serial_out_path": "/tmp/out"}"#),
    (
        "/logger",
        r#"{"log_path": "/tmp/log", "level": "Warning", "show_level": true, "show_log_origin": true, "module": "api"}"#,
    ),
    ("/metrics", r#"{"metrics_path": "/tmp/m"}"#),
    ("/mmds", r#"{"latest": {"meta-data": {}}}"#),
];

#[test]
fn everything_can_be_said_before_the_start_and_configuration_not_after_it() {
    for (path, body) in PUTS {
        Api::new().ok("PUT", path, body);
        if *path == "/mmds" {
            Api::started().ok("PUT", path, body);
            continue;
        }
        let fault = Api::started().fault("PUT", path, Some(body));
        assert!(fault.contains("not supported after starting"), "{path}: {fault}");
    }
    let mut api = Api::new();
    api.ok("PUT", "/network-interfaces/e", PUTS[4].1).ok(
        "PUT",
        "/mmds/config",
        r#"{"network_interfaces": ["e"], "version": "V2", "ipv4_address": "169.254.170.2", "imds_compat": true}"#,
    );
    let fault = Api::started().fault("PUT", "/mmds/config", Some(r#"{"network_interfaces": ["eth0"]}"#));
    assert!(fault.contains("after starting"));
}

#[test]
fn unknown_keys_and_bodies_that_are_none_are_refused_everywhere() {
    for (path, body) in PUTS.iter().filter(|p| p.0 != "/mmds") {
        let mut v: Value = serde_json::from_str(body).unwrap();
        v["no_such_key"] = json!(1);
        let fault = Api::new().fault("PUT", path, Some(&v.to_string()));
        assert!(fault.contains("unknown field `no_such_key`"), "{path}: {fault}");
        let fault = Api::new().fault("PUT", path, Some(&body[..body.len() - 1]));
        assert!(fault.contains("deserializing the json body"), "{path}: {fault}");
        assert_eq!(Api::new().fault("PUT", path, None), "Empty PUT request.");
        assert_eq!(Api::new().fault("PUT", path, Some("")), "Empty PUT request.");
        Api::new().fault("PUT", path, Some("[]"));
        Api::new().fault("PUT", path, Some("\u{0}"));
    }
}

#[test]
fn keys_that_must_be_there() {
    let required: &[(&str, &[&str])] = &[
        ("/boot-source", &["kernel_image_path"]),
        ("/machine-config", &["vcpu_count", "mem_size_mib"]),
        ("/drives/a", &["drive_id", "is_root_device", "path_on_host"]),
        ("/network-interfaces/e", &["iface_id", "host_dev_name"]),
        ("/vsock", &["guest_cid", "uds_path"]),
        ("/balloon", &["amount_mib", "deflate_on_oom"]),
        ("/metrics", &["metrics_path"]),
    ];
    for (path, keys) in required {
        let good = PUTS.iter().find(|p| p.0 == *path).unwrap().1;
        for key in *keys {
            let mut v: Value = serde_json::from_str(good).unwrap();
            v.as_object_mut().unwrap().remove(*key);
            let fault = Api::new().fault("PUT", path, Some(&v.to_string()));
            assert!(fault.contains(key), "{path} without {key}: {fault}");
        }
    }
}

#[test]
fn bounds() {
    let bad: &[(&str, &str, &str)] = &[
        (
            "/machine-config",
            r#"{"vcpu_count": 0, "mem_size_mib": 1}"#,
            "number of vCPUs",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 33, "mem_size_mib": 1}"#,
            "number of vCPUs",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 256, "mem_size_mib": 1}"#,
            "invalid value",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": -1, "mem_size_mib": 1}"#,
            "invalid value",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 3, "mem_size_mib": 1, "smt": true}"#,
            "even number",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 0}"#,
            "memory size",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 3, "huge_pages": "2M"}"#,
            "multiple",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 3, "huge_pages": "7M"}"#,
            "unknown variant",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 99999999999}"#,
            "above",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 1, "cpu_template": "V1N1"}"#,
            "aarch64",
        ),
        (
            "/machine-config",
            r#"{"vcpu_count": 1, "mem_size_mib": 1, "cpu_template": "X"}"#,
            "unknown variant",
        ),
        ("/vsock", r#"{"guest_cid": 2, "uds_path": "v"}"#, "guest_cid"),
        (
            "/vsock",
            r#"{"guest_cid": 4294967296, "uds_path": "v"}"#,
            "invalid value",
        ),
        ("/vsock", r#"{"guest_cid": 3, "uds_path": ""}"#, "path"),
        (
            "/balloon",
            r#"{"amount_mib": 129, "deflate_on_oom": false}"#,
            "too large",
        ),
        (
            "/balloon",
            r#"{"amount_mib": 1, "deflate_on_oom": false, "stats_polling_interval_s": 65536}"#,
            "invalid value",
        ),
        (
            "/boot-source",
            r#"{"kernel_image_path": "/none"}"#,
            "kernel file cannot be opened",
        ),
        (
            "/boot-source",
            r#"{"kernel_image_path": "/vmlinux", "initrd_path": "/none"}"#,
            "initrd file cannot be opened",
        ),
        (
            "/boot-source",
            r#"{"kernel_image_path": "/vmlinux", "boot_args": "a\u0001"}"#,
            "command line is invalid",
        ),
        (
            "/drives/a",
            r#"{"drive_id": "a", "path_on_host": "/none", "is_root_device": false}"#,
            "No such file",
        ),
        (
            "/drives/a",
            r#"{"drive_id": "a", "path_on_host": "/ro", "is_root_device": false}"#,
            "Permission denied",
        ),
        (
            "/drives/a",
            r#"{"drive_id": "a", "path_on_host": "/disk", "socket": "s", "is_root_device": false}"#,
            "Exactly one",
        ),
        (
            "/drives/a",
            r#"{"drive_id": "a", "socket": "s", "is_root_device": false}"#,
            "vhost-user",
        ),
        (
            "/drives/a",
            r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false, "io_engine": "Async"}"#,
            "io_uring",
        ),
        (
            "/drives/b",
            r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false}"#,
            "does not match",
        ),
        (
            "/drives/a-b",
            r#"{"drive_id": "a-b", "path_on_host": "/disk", "is_root_device": false}"#,
            "alphanumeric",
        ),
        (
            "/drives",
            r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false}"#,
            "cannot be empty",
        ),
        (
            "/drives/",
            r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false}"#,
            "cannot be empty",
        ),
        (
            "/network-interfaces/e",
            r#"{"iface_id": "e", "host_dev_name": "a-name-of-16-chr"}"#,
            "15 bytes",
        ),
        (
            "/network-interfaces/e",
            r#"{"iface_id": "e", "host_dev_name": ""}"#,
            "15 bytes",
        ),
        (
            "/network-interfaces/e",
            r#"{"iface_id": "e", "host_dev_name": "t", "guest_mac": "06:00"}"#,
            "Ethernet",
        ),
        (
            "/network-interfaces/e",
            r#"{"iface_id": "e", "host_dev_name": "t", "mtu": 65536}"#,
            "invalid value",
        ),
        (
            "/network-interfaces/f",
            r#"{"iface_id": "e", "host_dev_name": "t"}"#,
            "does not match",
        ),
        ("/mmds/config", r#"{"network_interfaces": []}"#, "empty"),
        (
            "/mmds/config",
            r#"{"network_interfaces": ["x"]}"#,
            "does not correspond",
        ),
        (
            "/mmds/config",
            r#"{"network_interfaces": ["x"], "ipv4_address": "10.0.0.1"}"#,
            "link local",
        ),
        (
            "/mmds/config",
            r#"{"network_interfaces": ["x"], "version": "V3"}"#,
            "unknown variant",
        ),
        ("/mmds/other", r#"{}"#, "Invalid request"),
        ("/actions", r#"{"action_type": "Explode"}"#, "unknown variant"),
        ("/actions", r#"{}"#, "missing field"),
        ("/actions", r#"{"action_type": "InstanceStart"}"#, "without kernel"),
        ("/actions", r#"{"action_type": "SendCtrlAltDel"}"#, "before starting"),
        ("/actions", r#"{"action_type": "FlushMetrics"}"#, "before starting"),
        ("/logger", r#"{"level": "Loud"}"#, "unknown variant"),
        ("/entropy", r#"{"rate_limiter": {"ops": {"size": 1}}}"#, "refill_time"),
        (
            "/snapshot/create",
            r#"{"snapshot_path": "s", "mem_file_path": "m"}"#,
            "before starting",
        ),
        ("/snapshot/create", r#"{"snapshot_path": "s"}"#, "mem_file_path"),
        (
            "/snapshot/create",
            r#"{"snapshot_path": "s", "mem_file_path": "m", "snapshot_type": "Half"}"#,
            "unknown variant",
        ),
        ("/snapshot/load", r#"{"snapshot_path": "s"}"#, "either `mem_backend`"),
        (
            "/snapshot/load",
            r#"{"snapshot_path": "s", "mem_file_path": "m", "mem_backend": {"backend_path": "m", "backend_type": "File"}}"#,
            "exclusively",
        ),
        (
            "/snapshot/load",
            r#"{"snapshot_path": "s", "mem_backend": {"backend_path": "m", "backend_type": "Disk"}}"#,
            "unknown variant",
        ),
        ("/snapshot/other", r#"{}"#, "Invalid request"),
        ("/snapshot", r#"{}"#, "Invalid request"),
        ("/pmem/p", r#"{}"#, "not supported: persistent memory"),
        ("/hotplug/memory", r#"{}"#, "not supported: memory hotplug"),
        ("/nothing", r#"{}"#, "Invalid request method and/or path: PUT /nothing"),
    ];
    for (path, body, says) in bad {
        let fault = Api::new().fault("PUT", path, Some(body));
        assert!(fault.contains(says), "{path} {body}: {fault}");
    }
    let long = json!({"kernel_image_path": "/vmlinux", "boot_args": "x".repeat(2048)}).to_string();
    assert!(
        Api::new()
            .fault("PUT", "/boot-source", Some(&long))
            .contains("2047 is the most")
    );
    let fits = json!({"kernel_image_path": "/vmlinux", "boot_args": "x".repeat(2047)}).to_string();
    Api::new().ok("PUT", "/boot-source", &fits);
}

#[test]
fn what_can_be_changed_only_while_it_runs() {
    let patches = [
        ("/drives/rootfs", r#"{"drive_id": "rootfs", "path_on_host": "/disk2"}"#),
        ("/drives/rootfs", r#"{"drive_id": "rootfs", "rate_limiter": {}}"#),
        (
            "/network-interfaces/eth0",
            r#"{"iface_id": "eth0", "rx_rate_limiter": {}}"#,
        ),
        ("/balloon", r#"{"amount_mib": 64}"#),
        ("/balloon/statistics", r#"{"stats_polling_interval_s": 2}"#),
        ("/vm", r#"{"state": "Paused"}"#),
        ("/vm", r#"{"state": "Resumed"}"#),
    ];
    let mut api = Api::started();
    for (path, body) in patches {
        api.ok("PATCH", path, body);
        assert!(
            Api::new().fault("PATCH", path, Some(body)).contains("before starting"),
            "{path}"
        );
        assert_eq!(Api::started().fault("PATCH", path, None), "Empty PATCH request.");
    }
    assert_eq!(api.0.config().drives[0].path_on_host.as_deref(), Some("/disk2"));
    assert_eq!(api.0.config().balloon.as_ref().unwrap().amount_mib, 64);
    for (path, body, says) in [
        (
            "/drives/other",
            r#"{"drive_id": "other", "path_on_host": "/disk"}"#,
            "no drive",
        ),
        (
            "/drives/rootfs",
            r#"{"drive_id": "rootfs", "is_read_only": true}"#,
            "unknown field",
        ),
        ("/network-interfaces/eth1", r#"{"iface_id": "eth1"}"#, "no interface"),
        ("/balloon", r#"{"amount_mib": 4096}"#, "too large"),
        (
            "/balloon/statistics",
            r#"{"stats_polling_interval_s": 0}"#,
            "enabled or disabled",
        ),
        ("/vm", r#"{"state": "Stopped"}"#, "unknown variant"),
        ("/machine-config", r#"{"vcpu_count": 1}"#, "after starting"),
        ("/machine-config", r#"{}"#, "Empty PATCH"),
        ("/balloon/hinting", r#"{}"#, "Invalid request"),
    ] {
        let fault = api.fault("PATCH", path, Some(body));
        assert!(fault.contains(says), "{path} {body}: {fault}");
    }
    Api::new().ok("PATCH", "/machine-config", r#"{"mem_size_mib": 512}"#);
    assert_eq!(api.call("PATCH", "/balloon/hinting/start", None).0, 204);
    assert_eq!(api.call("PATCH", "/balloon/hinting/stop", None).0, 204);
}

#[test]
fn what_is_read() {
    let mut api = Api::started();
    for path in [
        "/",
        "/version",
        "/machine-config",
        "/vm/config",
        "/balloon",
        "/balloon/statistics",
        "/mmds",
        "/balloon/hinting/status",
    ] {
        assert_eq!(api.call("GET", path, None).0, 200, "{path}");
        assert_eq!(api.fault("GET", path, Some("{}")), "GET request cannot have a body.");
    }
    assert_eq!(
        api.call("GET", "/", None).1,
        json!({"id": "anonymous-instance", "state": "Running", "vmm_version": qd_vm_model::API_VERSION, "app_name": "Firecracker"})
    );
    let config = api.call("GET", "/vm/config", None).1;
    assert_eq!(config["machine-config"]["mem_size_mib"], 128);
    assert_eq!(config["boot-source"]["kernel_image_path"], "/vmlinux");
    assert_eq!(config["drives"][0]["cache_type"], "Unsafe");
    assert!(config["network-interfaces"].is_array());
    // What is read can be given as a file again.
    VmConfig::read(&config.to_string()).unwrap();
    let mut fresh = Api::new();
    assert_eq!(fresh.call("GET", "/", None).1["state"], "Not started");
    assert!(fresh.fault("GET", "/balloon", None).contains("No balloon"));
    assert!(
        fresh
            .fault("GET", "/balloon/statistics", None)
            .contains("before starting")
    );
    for path in [
        "/drives",
        "/nothing",
        "/vm",
        "/vm/state",
        "/balloon/other",
        "//x",
        "/version/x",
    ] {
        assert!(
            fresh
                .fault("GET", path, None)
                .starts_with("Invalid request method and/or path"),
            "{path}"
        );
    }
    assert!(fresh.fault("GET", "/hotplug/memory", None).contains("memory hotplug"));
    assert!(fresh.fault("DELETE", "/drives/a", None).contains("not supported"));
    fresh.fault("DELETE", "/nothing", None);
}

#[test]
fn the_life_of_a_machine() {
    let mut api = Api::started();
    assert!(
        api.fault("PUT", "/actions", Some(r#"{"action_type": "InstanceStart"}"#))
            .contains("after starting")
    );
    api.ok("PUT", "/actions", r#"{"action_type": "SendCtrlAltDel"}"#).ok(
        "PUT",
        "/actions",
        r#"{"action_type": "FlushMetrics"}"#,
    );
    let create = r#"{"snapshot_path": "s", "mem_file_path": "m", "snapshot_type": "Diff"}"#;
    assert!(
        api.fault("PUT", "/snapshot/create", Some(create))
            .contains("paused first")
    );
    api.ok("PATCH", "/vm", r#"{"state": "Paused"}"#);
    assert_eq!(api.0.phase(), Phase::Paused);
    let before = api.1.done.len();
    api.ok("PATCH", "/vm", r#"{"state": "Paused"}"#);
    assert_eq!(api.1.done.len(), before, "pausing twice is one pause");
    api.ok("PUT", "/snapshot/create", create);
    api.1.fails = true;
    api.fault("PATCH", "/vm", Some(r#"{"state": "Resumed"}"#));
    assert_eq!(api.0.phase(), Phase::Paused, "what failed did not happen");
    api.1.fails = false;
    api.ok("PATCH", "/vm", r#"{"state": "Resumed"}"#);

    let load =
        r#"{"snapshot_path": "s", "mem_backend": {"backend_path": "m", "backend_type": "Uffd"}, "resume_vm": true}"#;
    assert!(
        api.fault("PUT", "/snapshot/load", Some(load))
            .contains("after starting")
    );
    let mut fresh = Api::new();
    fresh
        .ok("PUT", "/logger", r#"{"log_path": "l"}"#)
        .ok("PUT", "/snapshot/load", load);
    assert_eq!(fresh.0.phase(), Phase::Running);
    assert!(fresh.0.config().logger.is_some());
    let mut late = Api::new();
    late.ok("PUT", "/entropy", "{}");
    assert!(
        late.fault("PUT", "/snapshot/load", Some(load))
            .contains("boot-specific")
    );
    let mut failing = Api::new();
    failing.1.fails = true;
    failing.fault("PUT", "/snapshot/load", Some(load));
    assert_eq!(failing.0.phase(), Phase::NotStarted);
}

#[test]
fn drives_and_interfaces_among_each_other() {
    let mut api = Api::new();
    api.ok(
        "PUT",
        "/drives/a",
        r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false}"#,
    )
    .ok(
        "PUT",
        "/drives/r",
        r#"{"drive_id": "r", "path_on_host": "/ro", "is_root_device": true, "is_read_only": true}"#,
    );
    assert_eq!(api.0.config().drives[0].drive_id, "r", "the root device is the first");
    let second = r#"{"drive_id": "a", "path_on_host": "/disk", "is_root_device": true}"#;
    assert!(
        api.fault("PUT", "/drives/a", Some(second))
            .contains("root block device already exists")
    );
    api.ok(
        "PUT",
        "/drives/r",
        r#"{"drive_id": "r", "path_on_host": "/disk2", "is_root_device": true}"#,
    );
    assert_eq!(api.0.config().drives.len(), 2, "the same id is the same drive");
    api.ok("PUT", "/network-interfaces/e", PUTS[4].1)
        .ok("PUT", "/network-interfaces/e", PUTS[4].1);
    let mac = r#"{"iface_id": "f", "host_dev_name": "u", "guest_mac": "06:00:ac:10:00:02"}"#;
    assert!(
        api.fault("PUT", "/network-interfaces/f", Some(mac))
            .contains("already in use: 06:00:ac:10:00:02")
    );
    let tap = r#"{"iface_id": "f", "host_dev_name": "t"}"#;
    assert!(
        api.fault("PUT", "/network-interfaces/f", Some(tap))
            .contains("has an interface already")
    );
    api.ok("PUT", "/balloon", r#"{"amount_mib": 100, "deflate_on_oom": true}"#);
    assert!(
        api.fault("PATCH", "/machine-config", Some(r#"{"mem_size_mib": 99}"#))
            .contains("balloon")
    );
    assert_eq!(api.0.machine().mem_size_mib, 128);
    // A template of one's own and one by name: the newest word counts.
    api.ok("PATCH", "/machine-config", r#"{"cpu_template": "T2"}"#)
        .ok("PUT", "/cpu-config", "{}");
    assert_eq!(api.0.machine().cpu_template, None);
    api.ok("PATCH", "/machine-config", r#"{"cpu_template": "C3"}"#);
    assert!(api.0.config().cpu_config.is_none());
}

#[test]
fn a_file_is_the_same_as_its_requests() {
    let text = r#"{"boot-source": {"kernel_image_path": "/vmlinux", "boot_args": "console=ttyS0"},
        "drives": [{"drive_id": "a", "path_on_host": "/disk", "is_root_device": false},
                   {"drive_id": "r", "path_on_host": "/disk", "is_root_device": true, "partuuid": null}],
        "machine-config": {"vcpu_count": 2, "mem_size_mib": 1024, "smt": false},
        "network-interfaces": [{"iface_id": "e", "host_dev_name": "t"}],
        "mmds-config": {"network_interfaces": ["e"]}, "vsock": null, "entropy": {}, "logger": {"log_path": "l"}}"#;
    let mut api = Api::new();
    api.0.load(VmConfig::read(text).unwrap(), &mut api.1).unwrap();
    assert_eq!(api.0.config().drives[0].drive_id, "r");
    assert_eq!(api.0.machine().vcpu_count, 2);
    api.ok("PUT", "/actions", r#"{"action_type": "InstanceStart"}"#);
    assert!(
        matches!(api.1.done.last(), Some(Work::Start(c)) if c.machine_config.as_ref().unwrap().mem_size_mib == 1024)
    );
    for (text, says) in [
        (r#"{"boot_source": {}}"#, "unknown field `boot_source`"),
        (r#"{"boot-source": {"kernel_image_path": 1}}"#, "line 1 column"),
        ("", "EOF"),
    ] {
        assert!(VmConfig::read(text).unwrap_err().to_string().contains(says), "{text}");
    }
    let mut api = Api::new();
    let pmem = VmConfig::read(r#"{"pmem": [{}]}"#).unwrap();
    assert!(api.0.load(pmem, &mut api.1).unwrap_err().to_string().contains("pmem"));
    let none =
        VmConfig::read(r#"{"drives": [{"drive_id": "-", "path_on_host": "/disk", "is_root_device": false}]}"#).unwrap();
    assert_eq!(api.0.load(none, &mut api.1), Err(Fault::BadId));
}
