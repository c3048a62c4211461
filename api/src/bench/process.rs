//! A process looked at from outside, as Linux tells of it.

use std::{path::Path, time::Duration};

/// The kernel's clock tick is 10 ms on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory of a process in MiB: now, and at its highest; zeros for one that has ended.
pub fn rss_mib_of(process: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1_024
    };
    (read("VmRSS:"), read("VmHWM:"))
}

/// Processor time a process has used so far, all of its threads together.
pub fn processor_of(process: u32) -> Duration {
    ticks(&format!("/proc/{process}/stat"), 11)
}

/// Processor time of all processes that this one has started and seen the end of.
pub fn processor_of_children() -> Duration {
    ticks("/proc/self/stat", 13)
}

/// Processor time of this thread so far.
pub fn processor_of_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// The sum of two neighbouring fields of a `stat` file, counted from after the name.
fn ticks(path: &str, field: usize) -> Duration {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks: u32 = fields.split(' ').skip(field).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// Bytes of all files below a directory.
pub fn disk_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let mut sum = 0_u64;
        while processor_of_thread() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(processor_of(std::process::id()) >= TICK);
        let (now, most) = rss_mib_of(std::process::id());
        assert!(now > 0 && most >= now, "{now} {most}");
        assert!(disk_bytes(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path()) > 10_000);
    }
}
