//! Machines with guests that have no operating system: each way to start, to say something and to end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod common;

use std::time::Duration;

use common::{LIMIT, Rig, can};
use qd_vm::model::VmConfig;
use qd_vm::{End, Machine, Options, State};

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0u64, |s, b| s.wrapping_mul(31).wrapping_add(u64::from(*b)))
}

#[test]
fn a_guest_is_started_by_the_linux_protocol_and_by_pvh() {
    if !can() {
        return;
    }
    assert_eq!(
        Rig::test("hello", "").end(),
        (End::Reset, "hello by linux\n".to_owned())
    );
    let dir = tempfile::tempdir().unwrap();
    let mut pvh = Rig::boot(qd_vm_guest::test_pvh().unwrap(), "t=hello", dir, "");
    assert_eq!(pvh.end(), (End::Reset, "hello by pvh\n".to_owned()));
}

#[test]
fn it_finds_its_memory_command_line_and_initrd() {
    if !can() {
        return;
    }
    let (_, map) = Rig::test("e820", r#", "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}"#).end();
    assert_eq!(map, "0x0 0x9fc00 1\n0x9fc00 0x60400 2\n0x100000 0x3f00000 1\n");
    let (_, map) = Rig::test("e820", r#", "machine-config": {"vcpu_count": 1, "mem_size_mib": 4096}"#).end();
    assert!(
        map.ends_with("0x100000 0xbff00000 1\n0x100000000 0x40000000 1\n"),
        "{map}"
    );
    let dir = tempfile::tempdir().unwrap();
    let disk = common::write(dir.path(), "disk", &[0; 512]);
    let drive = format!(r#", "drives": [{{"drive_id": "d", "is_root_device": true, "path_on_host": {disk:?}}}]"#);
    let (_, line) = Rig::boot(qd_vm_guest::test().unwrap(), "t=cmdline", dir, &drive).end();
    assert_eq!(line, "t=cmdline root=/dev/vda rw virtio_mmio.device=4K@0xd0000000:5\n");
    for (image, name) in [(qd_vm_guest::test(), "linux"), (qd_vm_guest::test_pvh(), "pvh")] {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
        common::write(dir.path(), "initrd", &bytes);
        let (_, said) = Rig::boot(image.unwrap(), "t=initrd", dir, r#", "initrd_path": "DIR/initrd";"#).end();
        assert_eq!(said, format!("10000 {:#x}\n", sum(&bytes)), "{name}");
    }
}

#[test]
fn what_is_typed_comes_by_interrupt_and_is_not_lost() {
    if !can() {
        return;
    }
    let mut rig = Rig::test("echo", "");
    rig.expect("ready");
    rig.say("hello\n");
    rig.expect("hello\n");
    rig.say("\n");
    assert_eq!(rig.end().0, End::Reset);
    let mut rig = Rig::test("count", "");
    rig.expect("ready");
    let bytes: Vec<u8> = (0..5000u32).map(|i| (i % 255 + 1) as u8).collect();
    rig.say(std::str::from_utf8(&[b'x'; 1]).unwrap());
    assert_eq!(rig.machine.input(&bytes), bytes.len());
    assert_eq!(rig.machine.input(&[0]), 1);
    let all: Vec<u8> = [b"x", bytes.as_slice()].concat();
    rig.expect(&format!("5001 {:#x}", sum(&all)));
}

#[test]
fn a_flood_of_output_is_whole() {
    if !can() {
        return;
    }
    let (end, said) = Rig::test("flood", "").end();
    let wanted: String = (0..4000)
        .map(|i| format!("{i}{}", if i % 10 == 9 { "\n" } else { " " }))
        .collect();
    assert_eq!((end, said), (End::Reset, wanted + "end\n"));
}

#[test]
fn the_timer_ticks_and_holes_answer_nothing() {
    if !can() {
        return;
    }
    assert_eq!(Rig::test("tick", "").end(), (End::Reset, "20 ticks\n".to_owned()));
    assert_eq!(Rig::test("holes", "").end(), (End::Reset, "0 wrong\n".to_owned()));
    let mut keys = Rig::test("keyboard", "");
    keys.expect("waiting");
    assert!(keys.machine.ctrl_alt_del());
    assert_eq!(keys.end(), (End::Reset, "\n0x141171\n".to_owned()));
}

#[test]
fn the_reason_of_an_end_is_told() {
    if !can() {
        return;
    }
    let (end, said) = Rig::test("triple", "").end();
    assert!(matches!(end, End::TripleFault { .. }), "{end}");
    assert_eq!(said, "going\n");
    let (end, _) = Rig::test("nowhere", "").end();
    match &end {
        End::Internal { suberror, rip, .. } => assert_eq!((*suberror, *rip), (1, 0xc800_0000)),
        // A KVM that fetches all ones from there makes a fault of it.
        other => assert!(matches!(other, End::TripleFault { .. }), "{other}"),
    }
    assert!(end.to_string().contains("0x") || matches!(end, End::TripleFault { .. }));
}

#[test]
fn a_guest_that_spins_or_halts_is_stopped_and_paused() {
    if !can() {
        return;
    }
    for (name, says) in [("spin", "spinning"), ("halt", "halting"), ("idle", "idle")] {
        let mut rig = Rig::test(name, "");
        rig.expect(says);
        assert_eq!(rig.machine.wait(Duration::from_millis(1)), None);
        for _ in 0..20 {
            rig.machine.pause().unwrap();
            assert_eq!(rig.machine.state(), State::Paused);
            rig.machine.resume().unwrap();
        }
        rig.machine.stop();
        assert_eq!(rig.end().0, End::Stopped);
        assert!(rig.machine.resume().is_err() && rig.machine.pause().is_err());
    }
    // One that was never let run.
    let dir = tempfile::tempdir().unwrap();
    let kernel = common::write(dir.path(), "k", qd_vm_guest::test().unwrap());
    let config = VmConfig::read(&format!(r#"{{"boot-source": {{"kernel_image_path": {kernel:?}}}}}"#)).unwrap();
    drop(Machine::build(&config, Options::default()).unwrap());
}

#[test]
fn a_paused_guest_says_nothing_and_goes_on_where_it_was() {
    if !can() {
        return;
    }
    let mut rig = Rig::test("counter", "");
    rig.expect("counting");
    for _ in 0..5 {
        rig.machine.pause().unwrap();
        rig.say("?");
        let end = rig.machine.console().end();
        std::thread::yield_now();
        assert_eq!(rig.machine.console().end(), end, "a paused guest spoke");
        rig.machine.resume().unwrap();
        rig.expect("at ");
        rig.expect("\n");
    }
    rig.say(".");
    assert_eq!(rig.end().0, End::Reset);
}

#[test]
fn two_processors() {
    if !can() {
        return;
    }
    let two = r#", "machine-config": {"vcpu_count": 2, "mem_size_mib": 32}"#;
    assert_eq!(Rig::test("smp", two).end(), (End::Reset, "two processors\n".to_owned()));
}

#[test]
fn a_drive_is_read_and_written() {
    if !can() {
        return;
    }
    for name in ["blk", "blkirq"] {
        let dir = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..8192u32).map(|i| (i * 7 % 253) as u8).collect();
        let disk = common::write(dir.path(), "disk", &image);
        let drive = format!(
            r#", "drives": [{{"drive_id": "d", "is_root_device": false, "path_on_host": {disk:?}, "cache_type": "Writeback"}}]"#
        );
        let mut rig = Rig::boot(qd_vm_guest::test().unwrap(), &format!("t={name}"), dir, &drive);
        let (end, said) = rig.end();
        assert_eq!(end, End::Reset);
        if name == "blkirq" {
            assert_eq!(said, "8 read by interrupt\n");
            continue;
        }
        assert_eq!(said, format!("16 sectors\n0 {:#x}\n0\n1\n", sum(&image[512..1024])));
        let after = std::fs::read(&disk).unwrap();
        let turned: Vec<u8> = image[512..1024].iter().map(|b| !b).collect();
        assert_eq!(
            (&after[..1024], &after[1024..1536], &after[1536..]),
            (&image[..1024], &turned[..], &image[1536..])
        );
    }
}

#[test]
fn hostile_rings_hurt_nobody_but_their_device() {
    if !can() {
        return;
    }
    // How, and whether the device needs a reset afterwards.
    for (how, broken) in [
        ("loop", true),
        ("outside", false),
        ("wrap", false),
        ("huge", false),
        ("next", true),
        ("indirect", true),
        ("status", true),
        ("mmio", false),
        ("jump", true),
        ("descriptor", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let disk = common::write(dir.path(), "disk", &[3; 8192]);
        let drive = format!(r#", "drives": [{{"drive_id": "d", "is_root_device": false, "path_on_host": {disk:?}}}]"#);
        let mut rig = Rig::boot(
            qd_vm_guest::test().unwrap(),
            &format!("t=hostile how={how}"),
            dir,
            &drive,
        );
        let (end, said) = rig.end();
        let wanted = if broken { "needs reset\n" } else { "goes on\n" };
        assert_eq!((end, said), (End::Reset, format!("{wanted}works again\n")), "{how}");
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = common::write(dir.path(), "disk", &[3; 8192]);
    let drive = format!(r#", "drives": [{{"drive_id": "d", "is_root_device": false, "path_on_host": {disk:?}}}]"#);
    let (end, said) = Rig::boot(qd_vm_guest::test().unwrap(), "t=hostile how=config", dir, &drive).end();
    assert!(end == End::Reset && said.ends_with("works again\n"), "{end} {said}");
}

#[test]
fn entropy_is_random() {
    if !can() {
        return;
    }
    assert_eq!(
        Rig::test("rng", r#", "entropy": {}"#).end(),
        (End::Reset, "256 random\n".to_owned())
    );
}

#[test]
fn what_cannot_be_built_is_said_in_one_sentence() {
    if !can() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let kernel = common::write(dir.path(), "k", qd_vm_guest::test().unwrap());
    let boot = format!(r#""boot-source": {{"kernel_image_path": {kernel:?}}}"#);
    for (text, says) in [
        ("{}".to_owned(), "nothing to start"),
        (
            r#"{"boot-source": {"kernel_image_path": "/none"}}"#.to_owned(),
            "kernel /none cannot be opened",
        ),
        (
            r#"{"boot-source": {"kernel_image_path": "/"}}"#.to_owned(),
            "kernel / cannot be opened",
        ),
        (
            r#"{"boot-source": {"kernel_image_path": "/etc/passwd"}}"#.to_owned(),
            "neither an ELF",
        ),
        (
            format!(r#"{{{boot}, "drives": [{{"drive_id": "d", "is_root_device": false, "path_on_host": "/none"}}]}}"#),
            "drive /none cannot be opened",
        ),
        (
            format!(r#"{{{boot}, "machine-config": {{"vcpu_count": 1, "mem_size_mib": 16000000}}}}"#),
            "guest memory cannot be had",
        ),
        (
            format!(r#"{{{boot}, "vsock": {{"guest_cid": 3, "uds_path": "v"}}}}"#),
            "vsock device cannot be used",
        ),
    ] {
        let why = Machine::build(&VmConfig::read(&text).unwrap(), Options::default())
            .unwrap_err()
            .to_string();
        assert!(why.contains(says) && !why.contains('\n'), "{says}: {why}");
    }
}

#[test]
fn the_demo_guest_answers() {
    if !can() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = common::write(dir.path(), "disk", &[9; 4096]);
    let drive = format!(r#", "drives": [{{"drive_id": "d", "is_root_device": false, "path_on_host": {disk:?}}}]"#);
    let mut rig = Rig::boot(qd_vm_guest::demo().unwrap(), "", dir, &drive);
    rig.expect("demo> ");
    for (line, answer) in [
        ("help", "halt "),
        ("echo a b", "\na b\r\n"),
        ("cpuid", "in a virtual machine"),
        ("mem", "KiB usable"),
        ("ticks", "ticks of 10 ms"),
        ("blk", "restoring it: ok"),
        ("nonsense", "no such command"),
    ] {
        rig.say(&format!("{line}\r"));
        rig.expect(answer);
        rig.expect("demo> ");
    }
    assert_eq!(
        std::fs::read(&disk).unwrap(),
        [9; 4096],
        "the self-test restores what it wrote"
    );
    rig.say("crash\r");
    assert!(matches!(rig.end().0, End::TripleFault { .. }));
    let mut rig = Rig::boot(qd_vm_guest::demo().unwrap(), "", tempfile::tempdir().unwrap(), "");
    rig.expect("demo> ");
    rig.say("blk\rhalt\r");
    let (end, said) = rig.end();
    assert!(
        end == End::Reset && said.contains("no drive") && said.ends_with("bye\n"),
        "{end} {said}"
    );
    assert!(rig.machine.wait(LIMIT).is_some());
}
