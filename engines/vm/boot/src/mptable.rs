//! The MP table: processors, the ISA bus, the I/O APIC and its lines.

use crate::layout;

/// Lines of the I/O APIC.
const LINES: u8 = 24;
const APIC_VERSION: u8 = 0x14;

fn close(bytes: &mut [u8], at: usize) {
    let sum = bytes.iter().fold(0u8, |a, b| a.wrapping_add(*b));
    if let Some(place) = bytes.get_mut(at) {
        *place = sum.wrapping_neg();
    }
}

fn word(n: u64) -> [u8; 4] {
    u32::try_from(n).unwrap_or(0).to_le_bytes()
}

/// The floating pointer with the table behind it, to lie at [`layout::MPTABLE`].
pub(crate) fn table(cpus: u8) -> Vec<u8> {
    let io_apic = cpus;
    let mut entries = Vec::new();
    for cpu in 0..cpus {
        let flags = if cpu == 0 { 3 } else { 1 };
        entries.extend([0, cpu, APIC_VERSION, flags]);
        // Signature and features, as old as the table itself; kernels ask CPUID.
        entries.extend(0x600u32.to_le_bytes());
        entries.extend(0x201u32.to_le_bytes());
        entries.extend([0; 8]);
    }
    entries.extend(*b"\x01\x00ISA   ");
    entries.extend([2, io_apic, APIC_VERSION, 1]);
    entries.extend(word(layout::IOAPIC));
    for line in 0..LINES {
        // An interrupt of the ISA bus, edge and polarity as the bus has them.
        entries.extend([3, 0, 0, 0, 0, line, io_apic, line]);
    }
    entries.extend([4, 3, 0, 0, 0, 0, 0, 0]);
    entries.extend([4, 1, 0, 0, 0, 0, 0xff, 1]);
    let count = u16::from(cpus) + 2 + u16::from(LINES) + 2;

    let mut header = b"PCMP".to_vec();
    header.extend(u16::try_from(44 + entries.len()).unwrap_or(0).to_le_bytes());
    header.extend([4, 0]);
    header.extend(*b"QDVM    MICROVM     ");
    header.extend([0; 6]);
    header.extend(count.to_le_bytes());
    header.extend(word(layout::LAPIC));
    header.extend([0; 4]);
    header.extend(entries);
    close(&mut header, 7);

    let mut pointer = b"_MP_".to_vec();
    pointer.extend(word(layout::MPTABLE + 16));
    pointer.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    close(&mut pointer, 10);
    pointer.extend(header);
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_zero_and_it_fits() {
        for cpus in [1, 2, 32] {
            let t = table(cpus);
            assert!(t.len() <= 1024, "{}", t.len());
            let sum = |b: &[u8]| b.iter().fold(0u8, |a, b| a.wrapping_add(*b));
            assert_eq!((sum(&t[..16]), sum(&t[16..])), (0, 0));
            assert_eq!(usize::from(u16::from_le_bytes([t[20], t[21]])), t.len() - 16);
            assert_eq!(&t[..4], b"_MP_");
            assert_eq!(&t[16..20], b"PCMP");
        }
    }
}
