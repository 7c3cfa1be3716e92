//! [`Directory`]: the files of a log's directory by what they are, and who writes the log.
//!
//! Invariant: only names, sizes and the system's list of locks are looked at. No lock is taken, so that
//! nobody is kept from opening the log.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use stratalog::format::{FileKind, LOCK_NAME, TEMPORARY_SUFFIX, archived, classify};

use crate::failure::Failure;

/// How often the list of locks is read before a log counts as one that nobody writes.
const LOOKS: usize = 8;

/// One file of the directory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Control,
    Lock,
    /// A segment of the log, or of an archive.
    Segment {
        base: u64,
    },
    /// Being made, or left when making it was interrupted.
    Unfinished,
    /// Set aside by a recovery.
    SetAside,
    /// Dropped from the log, and read by someone still.
    Dropped,
    Foreign,
}

/// What lies in a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Ascending by name.
    pub(crate) files: Vec<Listed>,
}

/// Who has the log open for appending, as far as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Nobody,
    Process(u32),
    /// Somebody whose process is not seen from here.
    Somebody,
    Unknown,
}

impl Directory {
    /// Lists a directory. Files that vanish meanwhile are left out.
    pub(crate) fn list(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::io("list", path, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::io("look at", &entry.path(), error)),
            };
            let name = entry.file_name();
            let kind = name.to_str().map_or(Kind::Foreign, kind_of);
            files.push(Listed { path: entry.path(), bytes: metadata.len(), kind });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { path: path.into(), files })
    }

    /// Whether it holds copies of segments, and no log.
    pub(crate) fn is_archive(&self) -> bool {
        let name =
            |file: &Listed| file.path.file_name().and_then(|name| name.to_str().map(archived));
        let is_copy = |file: &Listed| name(file).flatten().is_some();
        let has_control = self.files.iter().any(|file| file.kind == Kind::Control);
        !has_control && self.files.iter().any(is_copy)
    }

    /// The files of one kind: how many, and how many bytes.
    pub(crate) fn total(&self, kind: Kind) -> (u64, u64) {
        let files = self.files.iter().filter(|file| file.kind == kind);
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.bytes))
    }

    /// Who writes the log.
    pub(crate) fn writer(&self) -> Writer {
        let Ok(metadata) = fs::metadata(self.path.join(LOCK_NAME)) else { return Writer::Nobody };
        let file = file_of(&metadata);
        // The list is read in pieces: where locks come and go meanwhile, one may be passed over.
        for _ in 0..LOOKS {
            let Ok(locks) = fs::read_to_string("/proc/locks") else { return Writer::Unknown };
            let writer = writer_of(&locks, &file);
            if writer != Writer::Nobody {
                return writer;
            }
        }
        Writer::Nobody
    }
}

fn kind_of(name: &str) -> Kind {
    if let Some((base, _)) = archived(name) {
        return Kind::Segment { base };
    }
    if name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|stem| archived(stem).is_some()) {
        return Kind::Unfinished;
    }
    match classify(name) {
        FileKind::Lock | FileKind::Readers => Kind::Lock,
        FileKind::Control => Kind::Control,
        FileKind::Segment(base) => Kind::Segment { base },
        FileKind::Temporary => Kind::Unfinished,
        FileKind::SetAside => Kind::SetAside,
        FileKind::Dropped => Kind::Dropped,
        FileKind::Foreign => Kind::Foreign,
    }
}

/// How the list of locks names a file: `08:01:1234`.
#[cfg(unix)]
fn file_of(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    let device = metadata.dev();
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    format!("{major:02x}:{minor:02x}:{}", metadata.ino())
}

#[cfg(not(unix))]
fn file_of(_: &Metadata) -> String {
    String::new()
}

/// Finds who locks a file in a list such as
/// `1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`.
fn writer_of(locks: &str, file: &str) -> Writer {
    for line in locks.lines() {
        let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "WRITE").skip(1);
        let (Some(process), Some(found)) = (words.next(), words.next()) else { continue };
        if found == file {
            return process
                .parse()
                .ok()
                .filter(|id| *id > 0)
                .map_or(Writer::Somebody, Writer::Process);
        }
    }
    Writer::Nobody
}

#[cfg(test)]
mod tests {
    use stratalog::format::{CONTROL_NAME, READERS_NAME};

    use super::*;

    #[test]
    fn the_writer_is_found_in_the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 12 08:01:99 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 13 08:01:7 0 EOF\n\
            3: FLOCK  ADVISORY  READ  14 08:01:8 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 0 fd:10:5 0 EOF\n";
        assert_eq!(writer_of(locks, "08:01:99"), Writer::Process(12));
        assert_eq!(writer_of(locks, "08:01:8"), Writer::Nobody);
        assert_eq!(writer_of(locks, "fd:10:5"), Writer::Somebody);
        assert_eq!(writer_of("", "08:01:9"), Writer::Nobody);
    }

    #[test]
    fn files_are_known_by_their_names() {
        for (name, kind) in [
            (CONTROL_NAME, Kind::Control),
            (LOCK_NAME, Kind::Lock),
            (READERS_NAME, Kind::Lock),
            ("00000000000000016384.seg", Kind::Segment { base: 16384 }),
            ("00000000000000016384-0123abcd.seg", Kind::Segment { base: 16384 }),
            ("00000000000000016384-0123abcd.seg.tmp", Kind::Unfinished),
            ("00000000000000016384.seg.bak", Kind::SetAside),
            ("00000000000000016384.seg.drop", Kind::Dropped),
            ("notes", Kind::Foreign),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
