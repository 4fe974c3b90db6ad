//! Processor time and memory of process trees, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// `USER_HZ`, the unit of `/proc/<pid>/stat`: 100 on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time that `roots` and all their living descendants have used.
///
/// `None` when a root can't be read, as on a system without `/proc`.
pub(crate) fn cpu(roots: &[u32]) -> Option<Duration> {
    sum_over_tree(roots, cpu_of)
}

/// Processor time that this process has used, without its children.
pub(crate) fn own_cpu() -> Option<Duration> {
    cpu_of(std::process::id())
}

/// Resident memory of `roots` and all their living descendants, in bytes.
pub(crate) fn resident_bytes(roots: &[u32]) -> Option<u64> {
    sum_over_tree(roots, |pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        resident_kib(&status).map(|kib| kib * 1_024)
    })
}

/// Sums `read` over the tree of `roots`. A descendant may end at any moment and counts nothing then; a root may not.
fn sum_over_tree<T: std::iter::Sum>(roots: &[u32], read: impl Fn(u32) -> Option<T>) -> Option<T> {
    if roots.is_empty() {
        return None;
    }
    let of_roots: Vec<T> = roots.iter().map(|pid| read(*pid)).collect::<Option<_>>()?;
    let of_others = descendants(roots, &parents()).into_iter().filter_map(read);
    Some(of_roots.into_iter().chain(of_others).sum())
}

/// Child and parent of every process there is.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, field(&stat(pid)?, 1)?.parse().ok()?))).collect()
}

fn descendants(roots: &[u32], parents: &[(u32, u32)]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (child, parent) in parents {
        children.entry(*parent).or_default().push(*child);
    }
    let mut found = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let new: Vec<u32> =
            children.get(pid).into_iter().flatten().filter(|child| !found.contains(child)).copied().collect();
        found.extend(new);
        next += 1;
    }
    found.split_off(roots.len())
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

fn cpu_of(pid: u32) -> Option<Duration> {
    Some(Duration::from_secs_f64(ticks(&stat(pid)?)? / TICKS_PER_SECOND))
}

/// User and system time.
fn ticks(stat: &str) -> Option<f64> {
    Some(field(stat, 11)?.parse::<f64>().ok()? + field(stat, 12)?.parse::<f64>().ok()?)
}

/// The `n`th field after the process's name, which stands in parentheses and may hold spaces and parentheses itself.
fn field(stat: &str, n: usize) -> Option<&str> {
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(n)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (tokio ) rt) S 7 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1 1 1";

    #[test]
    fn a_name_may_hold_parentheses() {
        assert_eq!(field(STAT, 1), Some("7"));
        assert_eq!(ticks(STAT), Some(300.0));
        assert_eq!(ticks("gone"), None);
    }

    #[test]
    fn grandchildren_count_once() {
        let parents = [(2, 1), (3, 2), (4, 2), (5, 9)];
        assert_eq!(descendants(&[1], &parents), [2, 3, 4]);
        assert_eq!(descendants(&[1, 2], &parents), [3, 4]);
    }

    #[test]
    fn resident_memory_is_in_kib() {
        assert_eq!(resident_kib("VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(resident_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn nothing_named_is_nothing_measured() {
        assert_eq!(cpu(&[]), None);
        assert_eq!(resident_bytes(&[u32::MAX]), None);
    }
}
