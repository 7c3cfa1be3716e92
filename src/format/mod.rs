//! The bytes on disk: pure functions that encode, decode and check them.
//!
//! Invariant: nothing here reads a file, names an atomic, or panics on any input; what is decoded is
//! valid by the rules below or refused with a [`Defect`].
//!

// Bottom-up: a module uses only those above it in this list.
pub(crate) mod defect;
pub(crate) mod layout;

pub(crate) mod checksum;

pub(crate) mod block;
pub(crate) mod frame;
pub(crate) mod name;

pub(crate) mod control;
pub(crate) mod header;
pub(crate) mod range_crc;
pub(crate) mod search;

pub(crate) mod evidence;
pub(crate) mod scan;
pub(crate) mod trailer;

pub use checksum::{Salt, payload_crc};
pub use control::{APP_STATE_MAX, CONTROL_FILE_BYTES, ControlState, CutMark, Winner, winner};
pub use defect::{Defect, DefectAt};
pub use evidence::{Evidence, evidence};
pub(crate) use frame::checksum_of;
pub use frame::{DURABLE_UNKNOWN, FrameHeader, Kind, Link, durable_back, frame_bytes};
pub use header::SegmentHeader;
pub use layout::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, LINK_FRAME_BYTES, LogId, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES,
    VERSION, frames_end, frames_start, max_record_bytes,
};
pub use name::{
    CONTROL_NAME, DROPPED_SUFFIX, FileKind, LOCK_NAME, READERS_NAME, SET_ASIDE_SUFFIX,
    TEMPORARY_SUFFIX, classify, segment_name,
};
pub use scan::{Frame, ScanEnd, Stopped, frame_at, header_at, next_valid, scan};
pub use trailer::{Summary, Trailer, summarize};
