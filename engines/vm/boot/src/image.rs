//! Kernels and initial file systems from files: ELF64, with a PVH note or without, and bzImage.

use std::fs::File;
use std::os::unix::fs::FileExt;

use qd_vm_devices::Memory;
use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::{BootError, Entry, layout, low_end};

/// How a kernel is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// In 64-bit mode, with boot parameters in RSI.
    Linux64,
    /// In 32-bit mode without paging, with start information in EBX.
    Pvh,
}

/// A kernel in memory.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) entry: Entry,
    /// The first address behind it.
    pub(crate) end: u64,
    /// The setup header of a bzImage, from 0x1f1 on.
    pub(crate) header: Option<Vec<u8>>,
}

/// Most program headers that are looked at.
const MAX_HEADERS: u16 = 64;
/// Most bytes of notes that are looked at.
const MAX_NOTES: u64 = 64 << 10;

fn read(what: &'static str) -> impl Fn(std::io::Error) -> BootError {
    move |why| BootError::Read { what, why }
}

fn bad<T>(why: impl Into<String>) -> Result<T, BootError> {
    Err(BootError::Kernel(why.into()))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    let field = bytes.get(at..at + N).unwrap_or_default();
    out.iter_mut().zip(field).for_each(|(o, b)| *o = *b);
    u64::from_le_bytes(out)
}

/// Copies a part of a file to memory below the hole.
fn copy(
    memory: &Memory,
    what: &'static str,
    file: &File,
    from: u64,
    at: u64,
    len: u64,
    room: u64,
) -> Result<(), BootError> {
    let end = low_end(memory);
    let to = at.checked_add(room.max(len)).filter(|to| *to <= end);
    let Some(to) = to else {
        return Err(BootError::Room {
            what,
            from: at,
            to: at.saturating_add(room.max(len)),
            end,
        });
    };
    let too_large = |_| BootError::Room {
        what,
        from: at,
        to,
        end,
    };
    let size = usize::try_from(len).map_err(too_large)?;
    if size == 0 {
        return Ok(());
    }
    let slice = memory.get_slice(GuestAddress(at), size).map_err(|_| BootError::Room {
        what,
        from: at,
        to,
        end,
    })?;
    let mut block = vec![0; size.min(1 << 20)];
    let mut done = 0;
    while done < size {
        let n = block.len().min(size - done);
        let Some(part) = block.get_mut(..n) else { break };
        let offset = from.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        file.read_exact_at(part, offset).map_err(read(what))?;
        let Ok(place) = slice.subslice(done, n) else { break };
        place.copy_from(part);
        done += n;
    }
    Ok(())
}

/// Loads a kernel of whatever kind it is.
pub(crate) fn load(memory: &Memory, file: &File) -> Result<Kernel, BootError> {
    let size = file.metadata().map_err(read("kernel"))?.len();
    let mut start = vec![0; usize::try_from(size.min(0x1000)).unwrap_or(0)];
    file.read_exact_at(&mut start, 0).map_err(read("kernel"))?;
    if start.starts_with(b"\x7fELF") {
        elf(memory, file, size, &start)
    } else if start.get(0x202..0x206) == Some(b"HdrS") {
        bzimage(memory, file, size, &start)
    } else if size == 0 {
        bad("the file is empty")
    } else {
        bad("it begins with neither an ELF header nor a boot sector with a setup header")
    }
}

fn elf(memory: &Memory, file: &File, size: u64, start: &[u8]) -> Result<Kernel, BootError> {
    if start.len() < 64 {
        return bad(format!("the ELF header is cut off after {size} bytes"));
    }
    if start.get(4..6) != Some(&[2, 1]) {
        return bad("the ELF image is not one of 64 bits, little-endian");
    }
    if number::<2>(start, 18) != 62 {
        return bad("the ELF image is for another processor");
    }
    let (entry, table) = (number::<8>(start, 24), number::<8>(start, 32));
    let (each, count) = (number::<2>(start, 54), number::<2>(start, 56));
    if each != 56 || count == 0 || count > u64::from(MAX_HEADERS) {
        return bad(format!("the ELF image has {count} program headers of {each} bytes"));
    }
    let mut headers = vec![0; usize::try_from(each * count).unwrap_or(0)];
    if table.checked_add(each * count).is_none_or(|end| end > size) {
        return bad("the ELF program headers lie beyond the file's end");
    }
    file.read_exact_at(&mut headers, table).map_err(read("kernel"))?;
    let (mut end, mut pvh, mut loaded, mut entered) = (0, None, false, false);
    for h in headers.chunks_exact(56) {
        let (kind, offset, at) = (number::<4>(h, 0), number::<8>(h, 8), number::<8>(h, 24));
        let (in_file, in_memory) = (number::<8>(h, 32), number::<8>(h, 40));
        let inside = offset.checked_add(in_file).is_some_and(|e| e <= size);
        match kind {
            1 if in_memory == 0 => {}
            1 if !inside => {
                return bad(format!(
                    "an ELF segment at {offset:#x} of {in_file} bytes lies beyond the file's end: it is truncated"
                ));
            }
            1 if in_file > in_memory => return bad("an ELF segment is larger in the file than in memory"),
            1 if at < layout::HIGH => return bad(format!("an ELF segment lies at {at:#x}, below 1 MiB")),
            1 => {
                copy(memory, "kernel", file, offset, at, in_file, in_memory)?;
                loaded = true;
                end = end.max(at + in_memory);
                entered |= (at..at + in_memory).contains(&entry);
            }
            4 if inside && in_file <= MAX_NOTES => {
                let mut notes = vec![0; usize::try_from(in_file).unwrap_or(0)];
                file.read_exact_at(&mut notes, offset).map_err(read("kernel"))?;
                pvh = pvh.or_else(|| pvh_entry(&notes));
            }
            _ => {}
        }
    }
    if !loaded {
        return bad("the ELF image has nothing to load");
    }
    if pvh.is_none() && !entered {
        return bad(format!("the ELF entry {entry:#x} lies in no segment"));
    }
    let entry = match pvh {
        Some(at) => Entry {
            at,
            protocol: Protocol::Pvh,
        },
        None => Entry {
            at: entry,
            protocol: Protocol::Linux64,
        },
    };
    Ok(Kernel {
        entry,
        end,
        header: None,
    })
}

/// The address in the note XEN_ELFNOTE_PHYS32_ENTRY.
fn pvh_entry(notes: &[u8]) -> Option<u64> {
    let mut rest = notes;
    let align = |n: u64| usize::try_from(n.checked_add(3)? & !3).ok();
    while rest.len() >= 12 {
        let (name, desc, kind) = (number::<4>(rest, 0), number::<4>(rest, 4), number::<4>(rest, 8));
        let body = rest.get(12..)?;
        let desc_at = align(name)?;
        if kind == 18 && body.get(..4) == Some(b"Xen\0") && name == 4 {
            return match desc {
                4 => Some(number::<4>(body, desc_at)),
                8 => Some(number::<8>(body, desc_at)),
                _ => None,
            };
        }
        rest = body.get(desc_at.checked_add(align(desc)?)?..)?;
    }
    None
}

fn bzimage(memory: &Memory, file: &File, size: u64, start: &[u8]) -> Result<Kernel, BootError> {
    let version = number::<2>(start, 0x206);
    if version < 0x20c || number::<2>(start, 0x236) & 1 == 0 {
        return bad(format!(
            "the bzImage (boot protocol {}.{:02}) has no 64-bit entry",
            version >> 8,
            version & 0xff
        ));
    }
    let sectors = match number::<1>(start, 0x1f1) {
        0 => 4,
        n => n,
    };
    let setup = (sectors + 1) * 512;
    let Some(len) = size.checked_sub(setup).filter(|l| *l > 0x200) else {
        return bad("the bzImage is truncated: it ends within its setup code");
    };
    // In units of 16 bytes, and it may be rounded up.
    let stated = number::<4>(start, 0x1f4) * 16;
    if stated > len + 15 {
        return bad(format!(
            "the bzImage is truncated: {len} bytes of code are there and {stated} are needed"
        ));
    }
    let relocatable = number::<1>(start, 0x234) != 0;
    let (preferred, needs) = (number::<8>(start, 0x258), number::<4>(start, 0x260).max(len));
    let fits = preferred >= layout::HIGH && preferred.checked_add(needs).is_some_and(|e| e <= low_end(memory));
    let at = if fits || !relocatable { preferred } else { layout::HIGH };
    copy(memory, "kernel", file, setup, at, len, needs)?;
    // The header ends where the jump at 0x200 goes.
    let header_end = 0x202 + usize::try_from(number::<1>(start, 0x201)).unwrap_or(0);
    let header = start.get(0x1f1..header_end.min(0x290)).unwrap_or_default().to_vec();
    let entry = Entry {
        at: at + 0x200,
        protocol: Protocol::Linux64,
    };
    Ok(Kernel {
        entry,
        end: at + needs,
        header: Some(header),
    })
}

/// Loads an initial file system as high as it goes below the hole: its address and length.
pub(crate) fn initrd(memory: &Memory, file: &File, kernel_end: u64) -> Result<Option<(u64, u64)>, BootError> {
    let what = "initrd";
    let len = file.metadata().map_err(read(what))?.len();
    if len == 0 {
        return Ok(None);
    }
    let end = low_end(memory);
    let at = end.checked_sub(len).map(|a| a & !4095).filter(|a| *a >= kernel_end);
    let Some(at) = at else {
        return Err(BootError::Room {
            what,
            from: kernel_end,
            to: kernel_end.saturating_add(len),
            end,
        });
    };
    copy(memory, what, file, 0, at, len, len)?;
    Ok(Some((at, len)))
}
