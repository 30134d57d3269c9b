//! Who holds a port, found in `/proc`.
//!
//! `/proc/net/tcp` and `tcp6` name the inode of every listening socket, and each process's `fd` directory the inodes it
//! holds. What this user may not look into stays unknown.

use std::{net::SocketAddr, path::Path};

/// The inode of a listening socket from a line of `/proc/net/tcp`.
fn inode(line: &str, port: u16) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = words.get(1)?.rsplit_once(':')?;
    let listens = words.get(3) == Some(&"0A");
    let same = u16::from_str_radix(local, 16).ok()? == port;
    (listens && same).then(|| words.get(9)?.parse().ok())?
}

fn holder(inode: u64) -> Option<(u32, String)> {
    let want = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = fds.filter_map(|f| std::fs::read_link(f.ok()?.path()).ok());
        if links.any(|l| l == Path::new(&want)) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// A few words on who listens on the port: `nginx (pid 812)`.
pub(crate) fn of_port(address: SocketAddr) -> Option<String> {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let found: Vec<u64> = text.lines().skip(1).filter_map(|l| inode(l, address.port())).collect();
        found
    });
    let inodes: Vec<u64> = inodes.collect();
    if inodes.is_empty() {
        return None;
    }
    let found = inodes.into_iter().find_map(holder);
    Some(match found {
        Some((pid, name)) if pid == std::process::id() => format!("{name} (pid {pid}, this process)"),
        Some((pid, name)) => format!("{name} (pid {pid})"),
        None => "a process of another user".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let words = of_port(listener.local_addr().unwrap()).unwrap();
        assert!(words.contains(&format!("pid {}", std::process::id())), "{words}");
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1";
        assert_eq!(inode(line, 8080), Some(4242));
        assert_eq!(inode(line, 8081), None);
        assert_eq!(inode(&line.replace(" 0A ", " 01 "), 8080), None);
    }
}
