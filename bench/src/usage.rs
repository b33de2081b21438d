//! What this process used so far, as Linux counts it.

use std::fs;

/// Clock ticks per second of `/proc`, which Linux fixes for all programs.
const TICKS: f64 = 100.0;

/// Seconds of processor time, all threads, user and system; 0 where `/proc` is not there.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the name in parentheses and may hold spaces: count from behind it.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let ticks = |index: usize| -> f64 {
        fields.as_ref().and_then(|fields| fields.get(index)?.parse().ok()).unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / TICKS
}

/// The most memory that was ever resident, in bytes; 0 where `/proc` is not there.
pub(crate) fn peak_resident_bytes() -> u64 {
    status("VmHWM:")
}

/// The memory that is resident now, in bytes; 0 where `/proc` is not there.
pub(crate) fn resident_bytes() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
