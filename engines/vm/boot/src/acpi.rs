//! ACPI's tables: which processors there are, how to find the virtio devices, and that the rest of ACPI's hardware is missing.

use qd_vm_devices::Memory;

use crate::{Announced, BootError, layout, put};

fn sum_at(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = bytes.iter().fold(0u8, |a, b| a.wrapping_add(*b));
    if let Some(place) = bytes.get_mut(at) {
        *place = place.wrapping_sub(sum);
    }
    bytes
}

/// A table: the common header, its length and sum filled in, and the body.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut t = signature.to_vec();
    t.extend(u32::try_from(36 + body.len()).unwrap_or(0).to_le_bytes());
    t.extend([revision, 0]);
    t.extend(*b"QDVM  MICROVM ");
    t.extend(1u32.to_le_bytes());
    t.extend(*b"QDVM");
    t.extend(1u32.to_le_bytes());
    t.extend(body);
    sum_at(t, 9)
}

/// AML: a package's length in front of its body. It counts itself.
fn package(op: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = op.to_vec();
    let n = body.len();
    if n + 1 < 64 {
        out.extend((n + 1).to_le_bytes().iter().take(1));
    } else {
        // Two bytes: the low four bits, then eight more.
        let [a, b, ..] = (n + 2).to_le_bytes();
        let all = u16::from_le_bytes([a, b]);
        out.extend([
            0x40 | u8::try_from(all & 0x0f).unwrap_or(0),
            u8::try_from(all >> 4 & 0xff).unwrap_or(0),
        ]);
    }
    out.extend(body);
    out
}

fn name(id: &[u8; 4], value: &[u8]) -> Vec<u8> {
    [&[0x08], id.as_slice(), value].concat()
}

/// A device with a name, an id that drivers know, and its resources.
fn device(id: &[u8; 4], hid: &[u8], uid: u8, resources: &[u8]) -> Vec<u8> {
    let mut list = resources.to_vec();
    // The end tag; a sum of 0 is not looked at.
    list.extend([0x79, 0]);
    let length = u8::try_from(list.len()).unwrap_or(0);
    let buffer = package(&[0x11], &[&[0x0a, length], list.as_slice()].concat());
    let body = [
        id.to_vec(),
        name(b"_HID", hid),
        name(b"_UID", &[0x0a, uid]),
        name(b"_CCA", &[0x01]),
        name(b"_CRS", &buffer),
    ]
    .concat();
    package(&[0x5b, 0x82], &body)
}

/// An interrupt of our own: edge, active high.
fn line(irq: u32) -> Vec<u8> {
    let mut out = vec![0x89, 6, 0, 0x03, 1];
    out.extend(irq.to_le_bytes());
    out
}

fn dsdt(devices: &[Announced]) -> Vec<u8> {
    let mut inside = Vec::new();
    // The serial port: PNP0501, eight ports from 0x3f8.
    let ports = [&[0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 1, 8][..], &line(4)].concat();
    inside.extend(device(b"COM1", &[0x0c, 0x41, 0xd0, 0x05, 0x01], 0, &ports));
    for (i, d) in devices.iter().enumerate() {
        let mut memory = vec![0x86, 9, 0, 1];
        memory.extend(u32::try_from(d.at).unwrap_or(0).to_le_bytes());
        memory.extend(u32::try_from(d.len).unwrap_or(0).to_le_bytes());
        memory.extend(line(d.irq));
        let [tens, ones] = [i / 10, i % 10].map(|n| b'0' + u8::try_from(n).unwrap_or(0));
        inside.extend(device(
            &[b'V', b'R', tens, ones],
            b"\x0dLNRO0005\0",
            u8::try_from(i).unwrap_or(0),
            &memory,
        ));
    }
    table(b"DSDT", 2, &package(&[0x10], &[b"\\_SB_".to_vec(), inside].concat()))
}

fn fadt(dsdt: u64) -> Vec<u8> {
    let mut body = vec![0; 276 - 36];
    let mut set = |at: usize, bytes: &[u8]| {
        if let Some(place) = body.get_mut(at - 36..at - 36 + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    // There are ISA devices and an 8042; no VGA and no CMOS clock.
    set(109, &0x0027u16.to_le_bytes());
    // No fixed hardware, no power or sleep button.
    set(112, &(1u32 << 20 | 1 << 4 | 1 << 5).to_le_bytes());
    set(131, &[5]);
    set(140, &dsdt.to_le_bytes());
    set(268, b"QDVM    ");
    table(b"FACP", 6, &body)
}

fn madt(cpus: u8) -> Vec<u8> {
    let mut body = u32::try_from(layout::LAPIC).unwrap_or(0).to_le_bytes().to_vec();
    // There are two PICs as well.
    body.extend(1u32.to_le_bytes());
    for cpu in 0..cpus {
        body.extend([0, 8, cpu, cpu, 1, 0, 0, 0]);
    }
    body.extend([1, 12, cpus, 0]);
    body.extend(u32::try_from(layout::IOAPIC).unwrap_or(0).to_le_bytes());
    body.extend([0; 4]);
    table(b"APIC", 6, &body)
}

/// Writes all tables: the address of the root pointer.
pub(crate) fn write(memory: &Memory, cpus: u8, devices: &[Announced]) -> Result<u64, BootError> {
    // The root pointer is looked for at multiples of 16; it comes first.
    let mut at = layout::ACPI + 64;
    let mut place = |t: &[u8]| -> Result<u64, BootError> {
        let here = at;
        put(memory, here, t)?;
        at = (here + u64::try_from(t.len()).unwrap_or(0)).next_multiple_of(16);
        Ok(here)
    };
    let dsdt = place(&dsdt(devices))?;
    let fadt = place(&fadt(dsdt))?;
    let madt = place(&madt(cpus))?;
    let list: Vec<u8> = [fadt, madt].iter().flat_map(|a| a.to_le_bytes()).collect();
    let xsdt = place(&table(b"XSDT", 1, &list))?;
    let mut rsdp = b"RSD PTR \0QDVM  \x02\0\0\0\0".to_vec();
    let rsdp = {
        rsdp = sum_at(rsdp, 8);
        rsdp.extend(36u32.to_le_bytes());
        rsdp.extend(xsdt.to_le_bytes());
        rsdp.extend([0; 4]);
        sum_at(rsdp, 32)
    };
    put(memory, layout::ACPI, &rsdp)?;
    Ok(layout::ACPI)
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    #[test]
    fn every_table_sums_to_zero_and_is_reached() {
        let m = qd_vm_devices::allocate(2 << 20).unwrap();
        let devices: Vec<_> = (0..19)
            .map(|i| Announced {
                at: 0xd000_0000 + 0x1000 * i,
                len: 0x1000,
                irq: 5,
            })
            .collect();
        let at = write(&m, 32, &devices).unwrap();
        let bytes = |at: u64, n: usize| {
            let mut b = vec![0; n];
            m.read_slice(&mut b, GuestAddress(at)).unwrap();
            b
        };
        let sum = |b: &[u8]| b.iter().fold(0u8, |a, b| a.wrapping_add(*b));
        let word = |b: &[u8], at: usize| u64::from_le_bytes(b[at..at + 8].try_into().unwrap());
        let rsdp = bytes(at, 36);
        assert_eq!((sum(&rsdp[..20]), sum(&rsdp)), (0, 0));
        let read = |at: u64| {
            let n = u32::from_le_bytes(bytes(at, 8)[4..].try_into().unwrap());
            let t = bytes(at, usize::try_from(n).unwrap());
            assert_eq!(sum(&t), 0, "{:?}", &t[..4]);
            t
        };
        let xsdt = read(word(&rsdp, 24));
        assert_eq!(&xsdt[..4], b"XSDT");
        let fadt = read(word(&xsdt, 36));
        assert_eq!((&fadt[..4], fadt.len()), (&b"FACP"[..], 276));
        assert_eq!(&read(word(&xsdt, 44))[..4], b"APIC");
        let dsdt = read(word(&fadt, 140));
        assert_eq!(&dsdt[..4], b"DSDT");
        // The scope's package is as long as the rest of the table.
        let package = usize::from(dsdt[37] & 0x0f) | usize::from(dsdt[38]) << 4;
        assert_eq!((dsdt[36], dsdt[37] >> 6, package), (0x10, 1, dsdt.len() - 37));
    }
}
