//! Where things lie in guest memory. Addresses are physical.

/// The descriptor table of an entry in 64-bit or PVH mode.
pub const GDT: u64 = 0x500;
/// An empty interrupt table.
pub const IDT: u64 = 0x540;
/// PVH's start information.
pub const PVH_INFO: u64 = 0x6000;
/// PVH's list of modules.
pub const PVH_MODULES: u64 = 0x6040;
/// PVH's memory map.
pub const PVH_MEMMAP: u64 = 0x6080;
/// Boot parameters.
pub const ZERO_PAGE: u64 = 0x7000;
/// The stack an entry in 64-bit mode begins with.
pub const STACK: u64 = 0x8ff0;
/// The first of three page tables, which map the first GiB where it lies.
pub const PML4: u64 = 0x9000;
/// The command line.
pub const CMDLINE: u64 = 0x2_0000;
/// Bytes of a command line with the ending zero.
pub const CMDLINE_MAX: usize = 2048;
/// The end of conventional memory: from here the tables of firmware are.
pub const EBDA: u64 = 0x9_fc00;
/// The MP table, in the first KiB of what firmware keeps.
pub const MPTABLE: u64 = EBDA;
/// ACPI's tables, where firmware's read-only memory would be.
pub const ACPI: u64 = 0xe_0000;
/// Where memory goes on after the first MiB's end.
pub const HIGH: u64 = 0x10_0000;
/// The local APICs.
pub const LAPIC: u64 = 0xfee0_0000;
/// The I/O APIC.
pub const IOAPIC: u64 = 0xfec0_0000;
/// Three pages that KVM needs for itself on Intel hosts, outside memory.
pub const TSS: u64 = 0xfffb_d000;
/// The page table that KVM needs for real mode.
pub const IDENTITY_MAP: u64 = 0xfffb_c000;
/// Where the first virtio device is; the others follow.
pub const DEVICES: u64 = 0xd000_0000;
/// The line of the first virtio device; the others follow.
pub const FIRST_IRQ: u32 = 5;
/// Lines that virtio devices can have: 5 to 23.
pub const IRQS: u32 = 19;
