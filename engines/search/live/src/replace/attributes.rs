//! What belongs to a file beside its text: owner, mode, extended attributes.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use rustix::{
    fs::{Gid, Uid, XattrFlags},
    io::Errno,
};

/// The longest list of names, and the longest value, that Linux has.
const LONGEST: usize = 64 * 1024;

/// Makes the new file what the old one is.
pub(super) fn keep(old: &File, meta: &Metadata, new: &File) -> io::Result<()> {
    let fresh = new.metadata()?;
    if (fresh.uid(), fresh.gid()) != (meta.uid(), meta.gid()) {
        let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
        rustix::fs::fchown(new, Some(uid), Some(gid)).map_err(|e| named("its owner cannot be kept", e.into()))?;
    }
    attributes(old, new)?;
    // After the owner: a change of that takes bits away.
    let mode = meta.permissions().mode() & 0o7777;
    new.set_permissions(std::fs::Permissions::from_mode(mode))
}

fn named(what: &str, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{what}: {e}"))
}

/// An attribute's value; `None` when there is none of the name.
fn value(file: &File, name: &[u8], buf: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    match rustix::fs::fgetxattr(file, name, &mut *buf) {
        Ok(n) => Ok(buf.get(..n).map(<[u8]>::to_vec)),
        Err(Errno::NODATA) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn attributes(old: &File, new: &File) -> io::Result<()> {
    let mut list = vec![0u8; LONGEST];
    let n = match rustix::fs::flistxattr(old, &mut list[..]) {
        Ok(n) => n,
        // A file system without them.
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(e) => return Err(named("its attributes cannot be read", e.into())),
    };
    let mut buf = vec![0u8; LONGEST];
    for name in list
        .get(..n)
        .unwrap_or_default()
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty())
    {
        let Some(want) = value(old, name, &mut buf)? else {
            continue;
        };
        if value(new, name, &mut buf)?.as_ref() == Some(&want) {
            // The system has given it the same already.
            continue;
        }
        rustix::fs::fsetxattr(new, name, &want, XattrFlags::empty()).map_err(|e| {
            let what = format!("its attribute {} cannot be kept", String::from_utf8_lossy(name));
            named(&what, e.into())
        })?;
    }
    Ok(())
}
