//! What a vCPU begins with: CPUID, MSRs, registers, the local APIC's lines.

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2, kvm_fpu, kvm_msr_entry, kvm_regs, kvm_segment,
};
use kvm_ioctls::{Cap, Kvm, VcpuFd};
use qd_vm_boot::{Entry, Protocol, layout};
use qd_vm_model::cpu::{CpuConfig, Register};

use crate::VmError;
use crate::error::kvm;

const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
const MSR_MISC_ENABLE: u32 = 0x1a0;
const MSR_MTRR_DEFAULT: u32 = 0x2ff;

fn bits(word: &mut u32, mask: u32, shift: u32, value: u32) {
    *word = *word & !(mask << shift) | (value & mask) << shift;
}

/// CPUID of a vCPU: what KVM can, with this vCPU's number and the machine's topology in it, changed by a template.
pub(crate) fn cpuid(host: &Kvm, id: u8, count: u8, smt: bool, template: Option<&CpuConfig>) -> Result<CpuId, VmError> {
    let mut all = host
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(kvm("say what its CPU can"))?;
    let deadline = host.check_extension(Cap::TscDeadlineTimer);
    let (id, count) = (u32::from(id), u32::from(count));
    let width = |n: u32| n.next_power_of_two().trailing_zeros();
    let threads = if smt && count > 1 { 2 } else { 1 };
    for e in all.as_mut_slice() {
        match e.function {
            1 => {
                bits(&mut e.ebx, 0xff, 24, id);
                bits(&mut e.ebx, 0xff, 16, count);
                bits(&mut e.ebx, 0xff, 8, 8);
                bits(&mut e.edx, 1, 28, u32::from(count > 1));
                // There is a hypervisor, and the timer's deadline where KVM has it.
                e.ecx |= 1 << 31;
                bits(&mut e.ecx, 1, 24, u32::from(deadline));
            }
            4 if e.eax & 0x1f != 0 => {
                // The first two levels belong to a core, others to all.
                let level = e.eax >> 5 & 7;
                bits(&mut e.eax, 0xfff, 14, if level < 3 { threads - 1 } else { count - 1 });
                bits(&mut e.eax, 0x3f, 26, count / threads - 1);
            }
            0xb | 0x1f => {
                let (shift, n, kind) = match e.index {
                    0 => (width(threads), threads, 1),
                    1 => (width(count), count, 2),
                    _ => (0, 0, 0),
                };
                (e.eax, e.ebx, e.ecx, e.edx) = (shift, n, e.index | kind << 8, id);
            }
            0x8000_0008 => {
                bits(&mut e.ecx, 0xff, 0, count - 1);
                bits(&mut e.ecx, 0xf, 12, width(count));
            }
            0x8000_001e => e.eax = id,
            _ => {}
        }
    }
    for change in template.into_iter().flat_map(|t| &t.cpuid_modifiers) {
        let (leaf, subleaf) = (change.leaf.0, change.subleaf.0);
        let fits = |e: &&mut kvm_cpuid_entry2| e.function == leaf && e.index == subleaf;
        let Some(entry) = all.as_mut_slice().iter_mut().find(fits) else {
            return Err(VmError::Config(format!(
                "the CPU template changes leaf {leaf:#x}, subleaf {subleaf:#x} of CPUID, which this host's KVM does not have"
            )));
        };
        for m in &change.modifiers {
            let word = match m.register {
                Register::Eax => &mut entry.eax,
                Register::Ebx => &mut entry.ebx,
                Register::Ecx => &mut entry.ecx,
                Register::Edx => &mut entry.edx,
            };
            *word = m.bitmap.apply(*word);
        }
    }
    Ok(all)
}

/// MSRs that a vCPU begins with, changed by a template.
pub(crate) fn set_msrs(cpu: &VcpuFd, template: Option<&CpuConfig>) -> Result<(), VmError> {
    let entry = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    // String instructions are fast; memory is cached unless something else is said.
    let mut list = vec![entry(MSR_MISC_ENABLE, 1), entry(MSR_MTRR_DEFAULT, 1 << 11 | 6)];
    for change in template.into_iter().flat_map(|t| &t.msr_modifiers) {
        let mut one = Msrs::from_entries(&[entry(change.addr.0, 0)]).map_err(|e| VmError::Config(format!("{e:?}")))?;
        let n = cpu.get_msrs(&mut one).map_err(kvm("read an MSR"))?;
        let Some(old) = one.as_slice().first().filter(|_| n == 1) else {
            return Err(VmError::Config(format!(
                "the CPU template changes MSR {:#x}, which this host's KVM does not have",
                change.addr.0
            )));
        };
        list.push(entry(change.addr.0, change.bitmap.apply(old.data)));
    }
    let msrs = Msrs::from_entries(&list).map_err(|e| VmError::Config(format!("{e:?}")))?;
    let n = cpu.set_msrs(&msrs).map_err(kvm("set MSRs"))?;
    match list.get(n) {
        Some(refused) => Err(VmError::Config(format!("KVM does not take MSR {:#x}", refused.index))),
        None => Ok(()),
    }
}

/// The local APIC's two lines: the old interrupt controller, and non-maskable interrupts.
pub(crate) fn set_lapic(cpu: &VcpuFd) -> Result<(), VmError> {
    let mut lapic = cpu.get_lapic().map_err(kvm("read a local APIC"))?;
    for (at, mode) in [(0x350, 7u8), (0x360, 4)] {
        // The delivery mode is bits 8 to 10 of the register.
        if let Some(byte) = lapic.regs.get_mut(at + 1) {
            let [b] = byte.to_le_bytes();
            *byte = i8::from_le_bytes([b & !7 | mode]);
        }
    }
    cpu.set_lapic(&lapic).map_err(kvm("set a local APIC"))
}

fn segment(selector: u16, kind: u8, long: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: kind,
        present: 1,
        s: 1,
        l: u8::from(long),
        db: u8::from(!long),
        g: 1,
        ..Default::default()
    }
}

/// Registers of the first vCPU. The others wait until it wakes them.
pub(crate) fn set_entry(cpu: &VcpuFd, entry: Entry) -> Result<(), VmError> {
    let mut s = cpu.get_sregs().map_err(kvm("read registers"))?;
    let long = entry.protocol == Protocol::Linux64;
    s.cs = segment(0x10, 11, long);
    let data = segment(0x18, 3, false);
    (s.ds, s.es, s.fs, s.gs, s.ss) = (data, data, data, data, data);
    s.tr = kvm_segment {
        selector: 0x20,
        type_: 11,
        present: 1,
        limit: 0x67,
        ..Default::default()
    };
    (s.gdt.base, s.gdt.limit) = (layout::GDT, 39);
    (s.idt.base, s.idt.limit) = (layout::IDT, 7);
    if long {
        s.cr0 |= CR0_PE | CR0_PG;
        s.cr3 = layout::PML4;
        s.cr4 |= CR4_PAE;
        s.efer |= EFER_LME | EFER_LMA;
    } else {
        (s.cr0, s.cr4) = (CR0_PE | CR0_ET, 0);
    }
    cpu.set_sregs(&s).map_err(kvm("set registers"))?;
    let mut r = kvm_regs {
        rip: entry.at,
        rflags: 2,
        ..Default::default()
    };
    if long {
        (r.rsp, r.rbp, r.rsi) = (layout::STACK, layout::STACK, layout::ZERO_PAGE);
    } else {
        r.rbx = layout::PVH_INFO;
    }
    cpu.set_regs(&r).map_err(kvm("set registers"))?;
    let fpu = kvm_fpu {
        fcw: 0x37f,
        mxcsr: 0x1f80,
        ..Default::default()
    };
    cpu.set_fpu(&fpu).map_err(kvm("set the FPU"))
}
