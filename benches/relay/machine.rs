//! What the figures depend on: the processor, the kernel, and the disk that the data lie on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// In one line.
pub(crate) fn facts() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_matches(['\t', ':', ' ']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let folder = tempfile::tempdir().expect("a folder");
    format!(
        "{model}, {cores} cores, Linux {}, {} on which 4 KiB are synced in {:.2} ms",
        kernel.trim(),
        file_system(folder.path()),
        sync_time(folder.path())
    )
}

/// The type of the file system: that of the longest mount point above the folder.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    let nearest = above.max_by_key(|(point, _)| point.len());
    nearest.map_or(String::new(), |(_, kind)| kind.to_owned())
}

/// How long an append of 4 KiB and its sync take, in milliseconds: the median of many.
fn sync_time(folder: &Path) -> f64 {
    let mut file = fs::File::create(folder.join("sync")).expect("the folder is writable");
    let times: Vec<f64> = (0..200)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; 4096])
                .and_then(|()| file.sync_data())
                .expect("the disk has room");
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    crate::table::median(&times)
}
