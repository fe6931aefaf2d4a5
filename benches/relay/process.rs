//! What the kernel says of a process: the processor time and the memory that it has used.

use std::fs;
use std::process::Child;
use std::time::Duration;

/// User and system time of all its threads that still run.
pub(crate) fn processor_time(child: &Child) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("the process runs");
    let nanoseconds = threads.flatten().map(|thread| {
        // A thread that has just ended has no figures any more.
        let figures = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let first = figures.split(' ').next().unwrap_or_default();
        first.parse::<u64>().unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Resident memory now, in MB.
pub(crate) fn memory(child: &Child) -> f64 {
    status(child, "VmRSS:")
}

/// The highest resident memory so far, in MB.
pub(crate) fn peak_memory(child: &Child) -> f64 {
    status(child, "VmHWM:")
}

fn status(child: &Child, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: f64 = kilobytes
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kilobytes * 1024.0 / 1e6
}
