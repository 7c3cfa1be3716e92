//! The bytes on disk: pure functions that encode, decode and check them.
//!
//! Invariant: nothing here reads a file, names an atomic, or panics on any input; what is decoded is
//! valid by the rules below or refused with a [`Defect`].
//!
//! A copied segment is checked like this:
//!
//! ```
//! use stratalog::format::{self, Defect, Salt, SegmentHeader, Stopped, Trailer};
//!
//! /// Counts the records of a sealed segment, if all of it is as it was written.
//! fn check(file: &[u8]) -> Result<u64, Box<dyn std::error::Error>> {
//!     let block = format::BLOCK_BYTES as usize;
//!     let end = file.len().checked_sub(block).ok_or(Defect::Malformed)?;
//!     let header = SegmentHeader::decode(file.get(..block).ok_or(Defect::Malformed)?)?;
//!     let frames = file.get(block..end).ok_or(Defect::Malformed)?;
//!     let (trailer, _) = Trailer::decode(&file[end..], &header.id, header.base)?;
//!     let (start, salt) = (format::frames_start(header.base), Salt::new(&header.id));
//!     let found = format::scan(frames, start, start, Some(trailer.end), salt);
//!     let whole = found.stopped == Stopped::Complete && found.records == trailer.records;
//!     if whole && header.segment_bytes == file.len() as u64 {
//!         Ok(found.records)
//!     } else {
//!         Err(format!("not as it was written: {found:?}").into())
//!     }
//! }
//! # let id = format::LogId::new([7; 16]);
//! # let mut file = SegmentHeader { id, base: 0, segment_bytes: 16384 }.encode();
//! # let salt = Salt::new(&id);
//! # let link = format::Link::FIRST.encode();
//! # let header = format::FrameHeader::new(format::Kind::Link, 32, false, 0);
//! # file.extend(header.sealed(format::payload_crc(&link), salt.at(4096)).encode());
//! # file.extend(link);
//! # let record = format::FrameHeader::new(format::Kind::Record, 0, false, 0);
//! # file.extend(record.sealed(0, salt.at(4144)).encode());
//! # let summary = format::summarize(&file[4096..], 4096)?;
//! # let trailer = Trailer {
//! #     end: file.len() as u64,
//! #     records: summary.records,
//! #     first: summary.first,
//! #     last: summary.last,
//! #     frames_crc: summary.frames_crc,
//! #     previous_checksum: 0,
//! # };
//! # file.resize(12288, 0);
//! # file.extend(trailer.encode(&id, 0));
//! assert_eq!(check(&file)?, 1);
//! file[4150] ^= 1;
//! assert!(check(&file).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
#![doc = include_str!("FORMAT.md")]

pub(crate) mod defect;
pub(crate) mod layout;

pub(crate) mod checksum;
mod crc;
mod polynomial;

mod block;
pub(crate) mod frame;
pub(crate) mod name;

pub(crate) mod control;
pub(crate) mod header;
mod range_crc;
mod search;

pub(crate) mod evidence;
pub(crate) mod scan;
pub(crate) mod trailer;

#[cfg(test)]
mod example;
#[cfg(test)]
pub(crate) mod fixture;

pub(crate) use checksum::checksum_at;
pub use checksum::{Salt, payload_crc};
pub use control::{APP_STATE_MAX, CONTROL_FILE_BYTES, ControlState, CutMark, Winner, winner};
pub use defect::{Defect, DefectAt};
pub(crate) use evidence::evidence_in;
pub use evidence::{Evidence, evidence};
pub use frame::{DURABLE_UNKNOWN, FrameHeader, Kind, Link, durable_back, frame_bytes};
pub use header::SegmentHeader;
pub(crate) use layout::MAX_ADDRESS;
pub use layout::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, LINK_FRAME_BYTES, LogId, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES,
    VERSION, frames_end, frames_start, max_record_bytes,
};
pub use name::{
    CONTROL_NAME, DROPPED_SUFFIX, FileKind, LOCK_NAME, READERS_NAME, SET_ASIDE_SUFFIX,
    TEMPORARY_SUFFIX, archived, archived_name, classify, segment_name,
};
pub use scan::{Frame, ScanEnd, Stopped, frame_at, header_at, next_valid, scan};
pub(crate) use trailer::summarize_with;
pub use trailer::{Summary, Trailer, summarize};
