//! Ports on this machine: a free one, and the name of who holds a busy one.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port that something else listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    pub port: u16,
    pub holder: Option<Holder>,
}

/// The process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => write!(f, "port {} is taken by {} (process {})", self.port, holder.name, holder.pid),
            None => write!(f, "port {} is taken by another process", self.port),
        }
    }
}

impl std::error::Error for Busy {}

/// A port of 127.0.0.1 that nothing listens on now; another process may take it before the caller does.
pub fn free() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Errs with the holder's name when `address` cannot be listened on because its port is busy.
pub fn check(address: SocketAddr) -> Result<(), Busy> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(Busy { port: address.port(), holder: holder(address.port()) })
        }
        // Any other failure is the caller's to meet, with its own words, when it listens.
        _ => Ok(()),
    }
}

/// Who listens on this TCP port; `None` when nobody does or the system won't say (another user's process).
#[cfg(target_os = "linux")]
pub fn holder(port: u16) -> Option<Holder> {
    let read = |table| std::fs::read_to_string(table).unwrap_or_default();
    let sockets = read("/proc/net/tcp") + &read("/proc/net/tcp6");
    let inodes = sockets.lines().filter_map(|line| listening_inode(line, port));
    let inodes: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    if inodes.is_empty() {
        return None;
    }
    let holds = |pid: u32| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            std::fs::read_link(file.path()).is_ok_and(|to| inodes.iter().any(|inode| to.as_os_str() == inode.as_str()))
        })
    };
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut pids: Vec<u32> = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // A forked child shares its parent's socket; the parent, usually the lower number, is the one to name.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| holds(*pid))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// The socket's inode when this line of /proc/net/tcp is a listener on `port`.
#[cfg(target_os = "linux")]
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let listens = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(local_port, 16) == Ok(port);
    if listens { fields.get(9).copied() } else { None }
}

/// Who listens on this TCP port; `None` when nobody does or the system won't say (another user's process).
#[cfg(not(target_os = "linux"))]
pub fn holder(port: u16) -> Option<Holder> {
    let output = std::process::Command::new("lsof")
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pid = text.lines().find_map(|line| line.strip_prefix('p'))?.parse().ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix('c'))?.to_owned();
    Some(Holder { pid, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let busy = check(address).unwrap_err();
        assert_eq!(busy.port, address.port());
        assert_eq!(busy.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
        assert!(busy.to_string().contains(&format!("port {} is taken by", address.port())), "{busy}");
    }

    #[test]
    fn a_free_port_has_no_holder() {
        let port = free().unwrap();
        assert_eq!(check((Ipv4Addr::LOCALHOST, port).into()), Ok(()));
        assert_eq!(holder(port), None);
    }
}
