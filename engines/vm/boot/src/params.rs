//! Boot parameters, PVH's start information, and the tables of an entry in 64-bit mode.

use qd_vm_devices::Memory;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use crate::image::Kernel;
use crate::layout;

const USABLE: u32 = 1;
const RESERVED: u32 = 2;

/// The memory map: address, length, kind.
fn map(memory: &Memory) -> Vec<(u64, u64, u32)> {
    let mut out = vec![
        (0, layout::EBDA, USABLE),
        (layout::EBDA, layout::HIGH - layout::EBDA, RESERVED),
    ];
    for r in memory.iter() {
        let (at, end) = (r.start_addr().raw_value(), r.start_addr().raw_value() + r.len());
        let from = at.max(layout::HIGH);
        out.push((from, end - from, USABLE));
    }
    out
}

fn set(page: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = page.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn low(n: u64) -> [u8; 4] {
    // Everything that is pointed at lies below the hole.
    u32::try_from(n).unwrap_or(0).to_le_bytes()
}

/// `boot_params`.
pub(crate) fn zero_page(
    memory: &Memory,
    kernel: &Kernel,
    initrd: Option<(u64, u64)>,
    cmdline: usize,
    rsdp: u64,
) -> Vec<u8> {
    let mut page = vec![0; 4096];
    match &kernel.header {
        Some(header) => set(&mut page, 0x1f1, header),
        None => {
            set(&mut page, 0x1fe, &0xaa55u16.to_le_bytes());
            set(&mut page, 0x202, b"HdrS");
            set(&mut page, 0x206, &0x20cu16.to_le_bytes());
            set(&mut page, 0x230, &0x0100_0000u32.to_le_bytes());
        }
    }
    // A boot loader without a number; the code was loaded high.
    set(&mut page, 0x210, &[0xff]);
    let flags = page.get(0x211).copied().unwrap_or(0) | 1;
    set(&mut page, 0x211, &[flags]);
    if let Some((at, len)) = initrd {
        set(&mut page, 0x218, &low(at));
        set(&mut page, 0x21c, &low(len));
    }
    set(&mut page, 0x228, &low(layout::CMDLINE));
    set(&mut page, 0x238, &low(u64::try_from(cmdline).unwrap_or(0)));
    set(&mut page, 0x70, &rsdp.to_le_bytes());
    let map = map(memory);
    set(&mut page, 0x1e8, &[u8::try_from(map.len()).unwrap_or(0)]);
    for (i, (at, len, kind)) in map.iter().enumerate() {
        let entry = 0x2d0 + 20 * i;
        set(&mut page, entry, &at.to_le_bytes());
        set(&mut page, entry + 8, &len.to_le_bytes());
        set(&mut page, entry + 16, &kind.to_le_bytes());
    }
    page
}

/// PVH's start information, list of modules and memory map, with their addresses.
pub(crate) fn pvh(memory: &Memory, initrd: Option<(u64, u64)>, rsdp: u64) -> Vec<(u64, Vec<u8>)> {
    let map = map(memory);
    let mut info = Vec::new();
    let count = u32::from(initrd.is_some());
    for word in [0x336e_c578, 1, 0, count] {
        info.extend(u32::to_le_bytes(word));
    }
    for word in [
        if initrd.is_some() { layout::PVH_MODULES } else { 0 },
        layout::CMDLINE,
        rsdp,
        layout::PVH_MEMMAP,
    ] {
        info.extend(u64::to_le_bytes(word));
    }
    info.extend(u32::try_from(map.len()).unwrap_or(0).to_le_bytes());
    info.extend([0; 4]);
    let mut list = Vec::new();
    for (at, len, kind) in map {
        list.extend(at.to_le_bytes());
        list.extend(len.to_le_bytes());
        list.extend(kind.to_le_bytes());
        list.extend([0; 4]);
    }
    let mut out = vec![(layout::PVH_INFO, info), (layout::PVH_MEMMAP, list)];
    if let Some((at, len)) = initrd {
        let module = [at, len, 0, 0].iter().flat_map(|w| w.to_le_bytes()).collect();
        out.push((layout::PVH_MODULES, module));
    }
    out
}

/// Descriptors: code of 64 bits at 0x10, data at 0x18, a task state at 0x20.
fn gdt(code: u64) -> Vec<u8> {
    [0, 0, code, 0x00cf_9300_0000_ffff, 0x008f_8b00_0000_ffff]
        .iter()
        .flat_map(|w: &u64| w.to_le_bytes())
        .collect()
}

/// Descriptors of an entry by PVH: code of 32 bits.
pub(crate) fn gdt_pvh() -> Vec<u8> {
    gdt(0x00cf_9b00_0000_ffff)
}

/// Page tables and descriptors of an entry in 64-bit mode, with their addresses.
pub(crate) fn long_mode() -> Vec<(u64, Vec<u8>)> {
    let (pdpt, pd) = (layout::PML4 + 0x1000, layout::PML4 + 0x2000);
    // Present, writable; the last level in pieces of 2 MiB.
    let pieces = (0..512u64).flat_map(|i| (i << 21 | 0x83).to_le_bytes()).collect();
    vec![
        (layout::PML4, (pdpt | 3).to_le_bytes().to_vec()),
        (pdpt, (pd | 3).to_le_bytes().to_vec()),
        (pd, pieces),
        (layout::GDT, gdt(0x00af_9b00_0000_ffff)),
        (layout::IDT, vec![0; 8]),
    ]
}
