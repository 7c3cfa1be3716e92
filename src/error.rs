//! [`Error`]: what can go wrong, one variant for each different thing that a caller would do about it.
//!
//! Invariant: `Display` is one line that names the file, the place, what was expected and what was
//! found; the operating system's own error is reachable through `source()` only.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Lsn;
use one_line::OneLine;

pub(crate) mod one_line;
mod wrong_type;

pub use wrong_type::WrongType;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The call to the storage that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Listing the names of a log's directory, or making that directory.
    OpenDirectory,
    /// Creating a file and reserving its blocks.
    Create,
    /// Opening a file that is there.
    Open,
    /// A positioned read.
    Read,
    /// A positioned write.
    Write,
    /// Making a file's bytes durable.
    Sync,
    /// Making the directory's names durable.
    SyncDirectory,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Mapping a file into memory.
    Map,
    /// Taking an advisory lock.
    Lock,
    /// Starting the maintenance thread.
    Spawn,
    /// A call of a [`Storage`](crate::storage::Storage) that panicked.
    Panicked,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenDirectory => "open directory",
            Self::Create => "create",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::SyncDirectory => "sync directory",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Map => "map",
            Self::Lock => "lock",
            Self::Spawn => "start the maintenance thread for",
            Self::Panicked => "return from a storage call on",
        })
    }
}

/// What can go wrong. Each variant ends with what the caller should do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call to the operating system failed, in this thread.
    ///
    /// After a failed write or sync the log is poisoned, and the record that was being appended is
    /// *indeterminate*: it may be there after reopening, or not. Close the log, mend the cause, open
    /// it again.
    #[non_exhaustive]
    Io {
        /// The call that failed.
        op: Op,
        /// The file or directory that it failed on.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// Bytes that were durable are damaged. Nothing was changed.
    ///
    /// Restore the file from a copy, or open with [`RecoveryPolicy::SkipCorrupt`] to save what is
    /// left.
    ///
    /// [`RecoveryPolicy::SkipCorrupt`]: crate::RecoveryPolicy::SkipCorrupt
    #[non_exhaustive]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// The offset in that file, in bytes.
        offset: u64,
        /// The address of the damage, where it has one.
        lsn: Option<Lsn>,
        /// What was expected there, and what was found.
        reason: Corruption,
    },
    /// The log ends in the expected leftovers of a crash, and the policy is
    /// [`Strict`](crate::RecoveryPolicy::Strict). Nothing was changed.
    ///
    /// Open it with the default policy, which cuts the leftovers off.
    #[non_exhaustive]
    TornTail {
        /// The segment that ends in leftovers.
        path: PathBuf,
        /// Where the intact prefix of the log ends.
        lsn: Lsn,
    },
    /// The file was written by a newer version of this format. Use a newer version of this crate.
    #[non_exhaustive]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// The version that the file names.
        found: u32,
        /// The newest version that this crate reads.
        supported: u32,
    },
    /// An option is out of its range. Correct it.
    #[non_exhaustive]
    InvalidOptions {
        /// The option.
        option: &'static str,
        /// The value that it was given.
        found: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// Another process, or another handle in this one, has the log open for appending.
    ///
    /// Close that one first, or share its handle: a `Log` is cheap to clone.
    #[non_exhaustive]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The record or batch does not fit in one segment. Split it, or open the log with larger
    /// segments. Or the application's state is larger than 1024 bytes.
    #[non_exhaustive]
    RecordTooLarge {
        /// The bytes that it takes: for one record its payload, for a batch all frames.
        len: u64,
        /// The largest value that fits.
        max: u64,
    },
    /// No record begins at this address. Use an address that the log returned.
    #[non_exhaustive]
    NotARecord {
        /// The address.
        lsn: Lsn,
    },
    /// The address is below the head: the record has been dropped. Begin at the head.
    #[non_exhaustive]
    Truncated {
        /// The address.
        lsn: Lsn,
        /// The first address that is kept.
        head: Lsn,
    },
    /// The address lies in a range that was cut away, by `truncate_after` or by recovery.
    ///
    /// What was appended there is gone; begin anew at an address that the log holds.
    #[non_exhaustive]
    Cut {
        /// The address.
        lsn: Lsn,
    },
    /// The address is at or above the end. Wait for it to be committed.
    #[non_exhaustive]
    NotYet {
        /// The address.
        lsn: Lsn,
        /// The end of what can be read.
        end: Lsn,
    },
    /// There is no room for another segment: on the disk, or below
    /// [`max_log_bytes`](crate::Options::max_log_bytes). Nothing was appended and nothing is lost.
    ///
    /// Free some space, by `truncate_before` or otherwise, and append again: the log need not be
    /// reopened.
    #[non_exhaustive]
    NoSpace {
        /// The file that could not be made.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// An earlier write or sync failed, so nothing more can be promised. Reading what was committed
    /// goes on.
    ///
    /// Whatever was waiting to become committed or durable is *indeterminate*. Close the log, mend
    /// the cause, open it again.
    #[non_exhaustive]
    Poisoned {
        /// The call that failed first.
        op: Op,
        /// The file or directory that it failed on.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// The log was closed through another handle. Open it again.
    Closed,
    /// The path holds no log, and something else. It was not touched.
    ///
    /// Name an empty directory, one that does not exist yet, or the directory of a log.
    #[non_exhaustive]
    NotALog {
        /// The path.
        path: PathBuf,
        /// What was found there.
        found: NotALog,
    },
    /// The directory of the log holds a file that is not the log's, and the policy is
    /// [`Strict`](crate::RecoveryPolicy::Strict). Move the file away.
    #[non_exhaustive]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// Something is in the way of what would be archived or restored: in the archive a file of the
    /// same name that differs, or a second history of which links don't say which one goes on; where
    /// a log is to be made, files that are there already. It was not touched.
    ///
    /// Name another directory, or move the file away; of two histories name a record of the one.
    #[non_exhaustive]
    ArchiveConflict {
        /// The file.
        path: PathBuf,
    },
    /// A segment that the log needs is not there. Nothing was changed. Restore it from a copy.
    #[non_exhaustive]
    MissingSegment {
        /// Where it is missed: the path it would have, or the segment that names it.
        path: PathBuf,
        /// The first address that is missing.
        lsn: Lsn,
    },
    /// The record is there and undamaged, but of another type than it was read as.
    ///
    /// Read it as the type that it was appended as, or leave it out.
    #[non_exhaustive]
    NotOfType {
        /// The record.
        lsn: Lsn,
        /// The name of the type that it was read as.
        expected: &'static str,
        /// What gave it away.
        reason: WrongType,
    },
    /// The value can't be written as a record of its type: its own code refuses, its length is not
    /// known ahead, or its archive has parts that want to be aligned to more than 8 bytes.
    ///
    /// Nothing was appended. Change the type, or encode it by other means.
    #[non_exhaustive]
    NotEncodable {
        /// The name of the type.
        type_name: &'static str,
    },
}

/// What was expected at a damaged place, and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// A checksum does not fit the bytes that it covers.
    Checksum {
        /// What the bytes give.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// The bytes are not a header, frame, trailer or control slot at all.
    Malformed,
    /// A frame's length reaches beyond the end of its segment.
    Length {
        /// The largest payload that fits there, in bytes.
        max: u64,
        /// The length that the frame names.
        found: u64,
    },
    /// The file is shorter or longer than its header says.
    FileLength {
        /// The length that it should have, in bytes.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// A field does not agree with the rest of the log.
    Mismatch {
        /// The field.
        field: &'static str,
        /// What the rest of the log says.
        expected: u64,
        /// What is stored.
        found: u64,
    },
    /// The file belongs to another log.
    ForeignLog,
    /// A batch goes on into something that is not a record of the same segment.
    BrokenBatch,
    /// Neither slot of the control file is valid, but there are segments.
    NoControl,
    /// A segment that the log needs is not there.
    MissingSegment,
}

/// What was found where a log was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotALog {
    /// The path names a file.
    File,
    /// A directory that holds other things.
    OtherFiles,
    /// Nothing, and [`create(false)`](crate::Options::create) was asked for.
    Nothing,
}

impl Error {
    pub(crate) fn io(op: Op, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { op, path: path.into(), source: Arc::new(source) }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { expected, found } => {
                write!(f, "expected checksum {expected:08x}, found {found:08x}")
            }
            Self::Malformed => f.write_str("expected a frame or block, found other bytes"),
            Self::Length { max, found } => {
                write!(f, "expected a length of at most {max}, found {found}")
            }
            Self::FileLength { expected, found } => {
                write!(f, "expected a file of {expected} bytes, found {found}")
            }
            Self::Mismatch { field, expected, found } => {
                write!(f, "expected {field} {expected}, found {found}")
            }
            Self::ForeignLog => f.write_str("expected this log's id, found another log's"),
            Self::BrokenBatch => {
                f.write_str("expected the next record of a batch, found something else")
            }
            Self::NoControl => {
                f.write_str("expected a valid slot, found none, though there are segments")
            }
            Self::MissingSegment => f.write_str("expected a segment, found none"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, path, .. } => write!(f, "failed to {op} {}", OneLine(path)),
            Self::Corrupt { path, offset, lsn, reason } => {
                write!(f, "{}: damaged at offset {offset}", OneLine(path))?;
                if let Some(lsn) = lsn {
                    write!(f, " (lsn {lsn})")?;
                }
                write!(f, ": {reason}")
            }
            Self::TornTail { path, lsn } => write!(
                f,
                "{}: torn tail: expected a clean end, found leftovers of a crash from lsn {lsn} on",
                OneLine(path)
            ),
            Self::UnsupportedFormat { path, found, supported } => write!(
                f,
                "{}: expected format version {supported} or older, found {found}",
                OneLine(path)
            ),
            Self::InvalidOptions { option, found, expected } => {
                write!(f, "option {option}: expected {expected}, found {found}")
            }
            Self::Locked { path } => {
                write!(f, "{}: the log is open for appending elsewhere", OneLine(path))
            }
            Self::RecordTooLarge { len, max } => {
                write!(f, "record too large: expected at most {max} bytes, found {len}")
            }
            Self::NotARecord { lsn } => write!(f, "no record begins at lsn {lsn}"),
            Self::Truncated { lsn, head } => {
                write!(f, "lsn {lsn} was truncated: the log begins at lsn {head}")
            }
            Self::Cut { lsn } => write!(f, "lsn {lsn} lies in a range that was cut away"),
            Self::NotYet { lsn, end } => {
                write!(f, "lsn {lsn} is not there yet: the log ends at lsn {end}")
            }
            Self::NoSpace { path, .. } => {
                write!(f, "{}: no space for another segment", OneLine(path))
            }
            Self::Poisoned { op, path, .. } => {
                write!(f, "poisoned by an earlier failure to {op} {}", OneLine(path))
            }
            Self::Closed => f.write_str("the log is closed"),
            Self::NotALog { path, found } => {
                let found = match found {
                    NotALog::File => "a file",
                    NotALog::OtherFiles => "a directory of other files",
                    NotALog::Nothing => "nothing",
                };
                write!(f, "{}: expected a log, found {found}", OneLine(path))
            }
            Self::ForeignFile { path } => {
                write!(f, "{}: expected only files of the log, found this one", OneLine(path))
            }
            Self::ArchiveConflict { path } => {
                write!(f, "{}: expected nothing or the same, found something else", OneLine(path))
            }
            Self::MissingSegment { path, lsn } => {
                write!(f, "{}: expected a segment that holds lsn {lsn}, found none", OneLine(path))
            }
            Self::NotOfType { lsn, expected, reason } => {
                let name = expected.escape_debug();
                write!(f, "lsn {lsn}: not a record of type {name}: {reason}")
            }
            Self::NotEncodable { type_name } => {
                write!(f, "the value of type {} has no encoding", type_name.escape_debug())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. }
            | Self::NoSpace { source, .. }
            | Self::Poisoned { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
