//! [`Place`]: the file system and the device that a directory is on.
//!
//! Invariant: what is not known is None, and nothing fails for it. Only Linux tells most of it: in
//! `/proc/self/mountinfo` and below `/sys/dev/block`.

use std::fs;
use std::path::{Path, PathBuf};

use super::platform::{self, Space};

/// Where a log would be.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) mount: Option<Mount>,
    pub(super) device: Option<Device>,
    pub(super) space: Option<Space>,
}

/// A file system, as it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: String,
    pub(super) file_system: String,
    pub(super) source: String,
    pub(super) options: Vec<String>,
}

/// A block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) model: Option<String>,
    pub(super) logical_sector_bytes: Option<u64>,
    pub(super) physical_sector_bytes: Option<u64>,
    pub(super) optimal_io_bytes: Option<u64>,
    pub(super) is_rotational: Option<bool>,
    /// `write back`: it has a cache that a sync has to empty; `write through`: it says it has none.
    pub(super) write_cache: Option<String>,
}

impl Place {
    /// Looks at a directory that is there.
    pub(super) fn of(dir: &Path) -> Self {
        let path = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mount = mount_of(&mounts, &path);
        let space = platform::space(&path).ok().flatten();
        let device = device(&path, mount.as_ref());
        Self { path, mount, device, space }
    }

    /// The name of the file system's kind; empty if that is not known.
    pub(super) fn file_system(&self) -> &str {
        self.mount.as_ref().map_or("", |mount| &mount.file_system)
    }
}

impl Mount {
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }
}

/// The mount that a path is below: of all whose point it begins with the longest, and of those that
/// are mounted on one point the last.
fn mount_of(mounts: &str, path: &Path) -> Option<Mount> {
    let candidates = mounts.lines().filter_map(parse_mount);
    let fitting = candidates.filter(|mount| path.starts_with(&mount.point));
    fitting.max_by_key(|mount| Path::new(&mount.point).components().count())
}

/// One line of mountinfo: `36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=..`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (mounted, system) = line.split_once(" - ")?;
    let mut mounted = mounted.split(' ').skip(4);
    let (point, own) = (mounted.next()?, mounted.next()?);
    let mut system = system.split(' ');
    let (file_system, source) = (system.next()?, system.next()?);
    let mut options: Vec<String> = Vec::new();
    for option in own.split(',').chain(system.next().unwrap_or_default().split(',')) {
        if !option.is_empty() && !options.iter().any(|given| given == option) {
            options.push(unescaped(option));
        }
    }
    let (point, source) = (unescaped(point), unescaped(source));
    Some(Mount { point, file_system: file_system.to_owned(), source, options })
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { more.get(3..).unwrap_or_default() } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The device of a path. File systems that span devices have a number that is no device's; then what
/// was mounted is asked.
fn device(path: &Path, mount: Option<&Mount>) -> Option<Device> {
    let source = mount.map(|mount| Path::new(&mount.source)).filter(|source| source.is_absolute());
    [Some(path), source].into_iter().flatten().find_map(|path| {
        let (major, minor) = platform::device_of(path).ok().flatten()?;
        device_at(Path::new(&format!("/sys/dev/block/{major}:{minor}")))
    })
}

/// A device by its folder below `/sys`. A partition's queue is that of the whole.
fn device_at(folder: &Path) -> Option<Device> {
    let folder = fs::canonicalize(folder).ok()?;
    let whole = [Some(folder.as_path()), folder.parent()].into_iter().flatten();
    let whole = whole.into_iter().find(|folder| folder.join("queue").is_dir())?;
    let text = |name: &str| {
        let text = fs::read_to_string(whole.join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    Some(Device {
        name: folder.file_name()?.to_string_lossy().into_owned(),
        model: text("device/model"),
        logical_sector_bytes: number("queue/logical_block_size"),
        physical_sector_bytes: number("queue/physical_block_size"),
        optimal_io_bytes: number("queue/optimal_io_size").filter(|bytes| *bytes > 0),
        is_rotational: number("queue/rotational").map(|number| number == 1),
        write_cache: text("queue/write_cache"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
23 22 0:5 / /proc rw,relatime - proc proc rw
30 22 8:1 / /data rw,noatime shared:1 - xfs /dev/sda1 rw,attr2,nobarrier
31 30 8:2 /sub /data/my\\040logs rw master:1 shared:2 - btrfs /dev/sdb rw,subvol=/sub
32 22 8:3 / /data rw - ext4 /dev/sdc rw
nonsense
";

    #[test]
    fn the_innermost_mount_counts_and_of_several_the_last() {
        let source = |path: &str| mount_of(MOUNTS, Path::new(path)).expect("a mount").source;
        assert_eq!(source("/srv/wal"), "/dev/vda");
        assert_eq!(source("/data/wal"), "/dev/sdc");
        assert_eq!(source("/database"), "/dev/vda");
        assert_eq!(source("/data/my logs/wal"), "/dev/sdb");
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn options_of_the_mount_and_of_its_file_system_are_both_there() {
        let line = MOUNTS.lines().nth(2).expect("a line");
        let mount = parse_mount(line).expect("a mount");
        assert_eq!(mount.options, ["rw", "noatime", "attr2", "nobarrier"]);
        assert!(mount.has("nobarrier") && !mount.has("barrier"));
    }

    #[test]
    fn a_partition_has_the_queue_of_its_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = dir.path().join("sda");
        fs::create_dir_all(disk.join("queue")).expect("made");
        fs::create_dir_all(disk.join("device")).expect("made");
        fs::create_dir_all(disk.join("sda1")).expect("made");
        for (name, text) in [
            ("queue/logical_block_size", "512\n"),
            ("queue/physical_block_size", "4096\n"),
            ("queue/optimal_io_size", "0\n"),
            ("queue/rotational", "1\n"),
            ("queue/write_cache", "write back\n"),
            ("device/model", "SPINNING RUST \n"),
        ] {
            fs::write(disk.join(name), text).expect("written");
        }
        let expected = Device {
            name: "sda1".to_owned(),
            model: Some("SPINNING RUST".to_owned()),
            logical_sector_bytes: Some(512),
            physical_sector_bytes: Some(4096),
            optimal_io_bytes: None,
            is_rotational: Some(true),
            write_cache: Some("write back".to_owned()),
        };
        assert_eq!(device_at(&disk.join("sda1")), Some(expected));
        assert_eq!(device_at(&dir.path().join("sdb")), None);
    }
}
