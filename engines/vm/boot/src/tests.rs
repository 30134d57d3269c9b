//! Images that are right, and images that are wrong in every field.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn file(bytes: &[u8]) -> File {
    let mut f = tempfile::tempfile().unwrap();
    f.write_all(bytes).unwrap();
    f
}

fn request<'a>(kernel: &'a File, initrd: Option<&'a File>) -> Request<'a> {
    Request {
        kernel,
        initrd,
        cmdline: "quiet",
        cpus: 1,
        devices: &[Announced {
            at: 0xd000_0000,
            len: 4096,
            irq: 5,
        }],
    }
}

/// An ELF image of one segment with this code, at 2 MiB, and a PVH note where one is wanted.
fn elf(code: &[u8], pvh: Option<u32>) -> Vec<u8> {
    let n = if pvh.is_some() { 2 } else { 1u16 };
    let at = 64 + 56 * u64::from(n);
    let mut e = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for w in [0x20_0000u64, 64, 0] {
        e.extend(w.to_le_bytes());
    }
    e.extend([0; 4]);
    for h in [64u16, 56, n, 0, 0, 0] {
        e.extend(h.to_le_bytes());
    }
    let len = code.len() as u64;
    let mut segment = |kind: u32, offset: u64, addr: u64, len: u64, mem: u64| {
        e.extend(kind.to_le_bytes());
        e.extend(5u32.to_le_bytes());
        for w in [offset, addr, addr, len, mem, 4096] {
            e.extend(w.to_le_bytes());
        }
    };
    segment(1, at, 0x20_0000, len, len + 100);
    if pvh.is_some() {
        segment(4, at + len, 0, 20, 20);
    }
    e.extend(code);
    if let Some(entry) = pvh {
        e.extend(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0");
        e.extend(entry.to_le_bytes());
    }
    e
}

/// A bzImage of one setup sector.
fn bzimage(code: usize) -> Vec<u8> {
    let mut b = vec![0; 1024 + code];
    b[0x1f1] = 1;
    b[0x1f4..0x1f8].copy_from_slice(&u32::try_from(code / 16).unwrap().to_le_bytes());
    b[0x201] = 0x62;
    b[0x202..0x206].copy_from_slice(b"HdrS");
    b[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    b[0x234] = 1;
    b[0x236] = 1;
    b[0x258..0x260].copy_from_slice(&0x100_0000u64.to_le_bytes());
    b[0x260..0x264].copy_from_slice(&0x2_0000u32.to_le_bytes());
    b[1024..].fill(0x90);
    b
}

fn text(m: &Memory, at: u64, n: usize) -> Vec<u8> {
    let mut b = vec![0; n];
    m.read_slice(&mut b, GuestAddress(at)).unwrap();
    b
}

#[test]
fn an_elf_image_is_entered_where_it_says() {
    let m = qd_vm_devices::allocate(16 << 20).unwrap();
    let (k, i) = (file(&elf(b"code", None)), file(&[7; 5000]));
    let entry = load(&m, &request(&k, Some(&i))).unwrap();
    assert_eq!(
        entry,
        Entry {
            at: 0x20_0000,
            protocol: Protocol::Linux64
        }
    );
    assert_eq!(text(&m, 0x20_0000, 5), b"code\0");
    assert_eq!(
        text(&m, layout::CMDLINE, 43),
        b"quiet virtio_mmio.device=4K@0xd0000000:5\0\0\0"
    );
    let initrd: u32 = m.read_obj(GuestAddress(layout::ZERO_PAGE + 0x218)).unwrap();
    assert_eq!(initrd, (16 << 20) - 8192);
    assert_eq!(text(&m, u64::from(initrd), 5000), [7; 5000]);
    assert_eq!(text(&m, layout::ZERO_PAGE + 0x1e8, 1), [3]);
    assert_eq!(
        m.read_obj::<u64>(GuestAddress(layout::ZERO_PAGE + 0x2d0 + 48)).unwrap(),
        15 << 20
    );
    let pvh = load(&m, &request(&file(&elf(b"code", Some(0x20_0002))), None)).unwrap();
    assert_eq!(
        pvh,
        Entry {
            at: 0x20_0002,
            protocol: Protocol::Pvh
        }
    );
    let none = file(b"");
    load(&m, &request(&k, Some(&none))).unwrap();
    assert_eq!(
        m.read_obj::<u64>(GuestAddress(layout::ZERO_PAGE + 0x218)).unwrap(),
        0,
        "no initrd of no length"
    );
}

#[test]
fn a_bzimage_where_it_likes_to_be_or_where_it_fits() {
    let k = file(&bzimage(4096));
    let m = qd_vm_devices::allocate(32 << 20).unwrap();
    assert_eq!(load(&m, &request(&k, None)).unwrap().at, 0x100_0200);
    assert_eq!(text(&m, layout::ZERO_PAGE + 0x202, 4), b"HdrS");
    let m = qd_vm_devices::allocate(8 << 20).unwrap();
    assert_eq!(load(&m, &request(&k, None)).unwrap().at, 0x10_0200);
    let mut old = bzimage(4096);
    old[0x236] = 0;
    let why = load(&m, &request(&file(&old), None)).unwrap_err().to_string();
    assert!(why.contains("no 64-bit entry"), "{why}");
}

#[test]
fn what_is_wrong_is_named() {
    let m = qd_vm_devices::allocate(16 << 20).unwrap();
    let good = elf(b"code", None);
    let with = |at: usize, bytes: &[u8]| {
        let mut e = good.clone();
        e[at..at + bytes.len()].copy_from_slice(bytes);
        e
    };
    for (kernel, says) in [
        (Vec::new(), "the file is empty"),
        (b"#!/bin/sh\n".to_vec(), "neither an ELF header nor"),
        (good[..40].to_vec(), "cut off"),
        (good[..good.len() - 1].to_vec(), "truncated"),
        (with(4, &[1]), "64 bits"),
        (with(18, &[0xb7]), "another processor"),
        (with(56, &[0]), "0 program headers"),
        (with(32, &[0xff; 8]), "beyond the file's end"),
        (with(24, &[0; 8]), "lies in no segment"),
        (with(64 + 24, &[0, 0, 0]), "below 1 MiB"),
        (with(64 + 24, &[0xff; 8]), "does not fit into memory"),
        (with(64 + 40, &[0xff; 8]), "does not fit into memory"),
        (with(64 + 40, &[1, 0]), "larger in the file"),
        (with(64, &[2]), "nothing to load"),
        (bzimage(4096)[..1300].to_vec(), "truncated"),
        (bzimage(4096)[..3000].to_vec(), "truncated"),
    ] {
        let why = load(&m, &request(&file(&kernel), None)).unwrap_err().to_string();
        assert!(why.contains(says), "{says}: {why}");
    }
    let k = file(&good);
    let huge = file(b"");
    huge.set_len(15 << 20).unwrap();
    let why = load(&m, &request(&k, Some(&huge))).unwrap_err().to_string();
    assert!(why.contains("initrd does not fit"), "{why}");
    let long = "x".repeat(2020);
    let request = Request {
        cmdline: &long,
        ..request(&k, None)
    };
    assert!(load(&m, &request).unwrap_err().to_string().contains("2047 is the most"));
    let small = qd_vm_devices::allocate(1 << 20).unwrap();
    assert!(matches!(load(&small, &request), Err(BootError::Small(_))));
}

proptest! {
    #[test]
    fn any_header_at_all(at in 0usize..180, bytes in prop::collection::vec(any::<u8>(), 1..24), bz in any::<bool>()) {
        let m = qd_vm_devices::allocate(8 << 20).unwrap();
        let mut image = if bz { bzimage(2048) } else { elf(&[0x90; 64], Some(0x20_0000)) };
        let at = if bz { 0x1f0 + at } else { at };
        let n = bytes.len().min(image.len() - at);
        image[at..at + n].copy_from_slice(&bytes[..n]);
        let _ = load(&m, &request(&file(&image), None));
    }
}
