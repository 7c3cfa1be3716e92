//! What the figures were measured on, in sentences.
//!
//! Invariant: what can't be found out is left out, and nothing here fails a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The processor, and what runs on it.
pub(crate) fn machine() -> String {
    let cpus = read("/proc/cpuinfo");
    let named = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let name = named.map_or("unknown processor", |rest| rest.trim_start_matches([':', ' ', '\t']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (cores, arch) = (count(cores, "core"), std::env::consts::ARCH);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{name}, {cores}, {arch}, {} of memory, Linux {}", memory(), kernel.trim())
}

fn memory() -> String {
    let info = read("/proc/meminfo");
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or("?".to_owned(), |kib| format!("{} GiB", (kib + (1 << 19)) >> 20))
}

/// The file system below `directory`, and the device that holds it.
pub(crate) fn storage(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    let mounts = read("/proc/self/mountinfo");
    let Some(mount) = mount_of(&mounts, &directory) else { return "unknown storage".to_owned() };
    let device = Path::new("/sys/dev/block").join(mount.device);
    // A partition has no queue of its own.
    let has_queue = |device: &Path| device.join("queue").is_dir();
    let disk = if has_queue(&device) { device.clone() } else { device.join("..") };
    let mut words = vec![format!("{} on {}", mount.kind, mount.source)];
    words.push(read(disk.join("device/model")).trim().to_owned());
    match read(disk.join("queue/write_cache")).trim() {
        "" => {}
        cache => words.push(format!("{cache} cache")),
    }
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// Its numbers, as `254:0`.
    device: &'a str,
    kind: &'a str,
    source: &'a str,
}

/// The last mount of the longest path that `directory` is below. Paths with spaces are not found.
fn mount_of<'a>(mounts: &'a str, directory: &Path) -> Option<Mount<'a>> {
    let mut found: Option<(usize, Mount<'a>)> = None;
    for line in mounts.lines() {
        let Some((place, origin)) = line.split_once(" - ") else { continue };
        let place: Vec<&str> = place.split(' ').collect();
        let origin: Vec<&str> = origin.split(' ').collect();
        let ([_, _, device, _, point, ..], [kind, source, ..]) = (&place[..], &origin[..]) else {
            continue;
        };
        let is_longest = found.as_ref().is_none_or(|(length, _)| point.len() >= *length);
        if directory.starts_with(point) && is_longest {
            found = Some((point.len(), Mount { device, kind, source }));
        }
    }
    found.map(|(_, mount)| mount)
}

/// What else the machine did: figures from a busy one are those of all its work together.
pub(crate) fn load(when: &str) -> String {
    let averages = read("/proc/loadavg");
    let averages: Vec<&str> = averages.split(' ').take(3).collect();
    format!("Load average {when}, over 1, 5 and 15 minutes: {}.", averages.join(" "))
}

/// The command that began this run.
pub(crate) fn command() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::iter::once(name).chain(words).collect::<Vec<String>>().join(" ")
}

/// What one reading of the clock costs.
pub(crate) fn clock_nanos() -> u128 {
    const READINGS: u128 = 10_000;
    let start = Instant::now();
    let mut last = start;
    for _ in 0..READINGS {
        last = std::hint::black_box(Instant::now());
    }
    (last - start).as_nanos() / READINGS
}

/// The day and the minute, UTC.
pub(crate) fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, minutes) = (since.as_secs() / 86_400, since.as_secs() % 86_400 / 60);
    format!("{} {:02}:{:02} UTC", day(days), minutes / 60, minutes % 60)
}

/// The date that is so many days after 1970-01-01.
fn day(mut days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The version of a package, out of what this program was built with.
pub(crate) fn version(package: &str) -> Option<&'static str> {
    version_in(include_str!("../Cargo.lock"), package)
}

fn version_in<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_through_leap_years() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(31 + 28), "1970-03-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(11_017), "2000-03-01");
        assert_eq!(day(19_722), "2023-12-31");
        assert_eq!(day(19_723), "2024-01-01");
    }

    #[test]
    fn the_innermost_mount_holds_a_directory() {
        let mounts = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:25 / /home rw shared:1 - tmpfs none rw
29 27 8:1 / /home rw - xfs /dev/sda1 rw
damaged
30 27 0:9 / /homes rw - btrfs /dev/sdb rw";
        let kind = |path| mount_of(mounts, Path::new(path)).unwrap().kind;
        assert_eq!([kind("/"), kind("/home/a"), kind("/homestead")], ["ext4", "xfs", "ext4"]);
        let source = mount_of(mounts, Path::new("/home")).unwrap();
        assert_eq!(source, Mount { device: "8:1", kind: "xfs", source: "/dev/sda1" });
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn a_version_is_that_of_the_package() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ab\"\n";
        assert_eq!(version_in(lock, "a"), Some("1.2.3"));
        assert_eq!((version_in(lock, "ab"), version_in(lock, "b")), (None, None));
        assert!(version("wal-db").is_some());
    }
}
