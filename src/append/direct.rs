//! Writing straight from the caller's slices: what is too big for the ring, and what nobody else is
//! in the way of.
//!
//! Invariant: the frames lie in the file exactly as if they had gone through the ring. The watermark
//! passes them at once when all are written, so a batch is still whole or not there.

use crate::append::disk::{Disk, Writer};
use crate::error::Error;
use crate::format::{Kind, frame_bytes};
use crate::protocol::{Failed, Part, Protocol, Refused};

/// Pieces up to this size are gathered into one write with their neighbours. Under test many are
/// larger.
const GATHER_BYTES: usize = if cfg!(test) { 1 << 10 } else { 32 << 10 };

/// Claims room for `parts`, `need` bytes in all, writes them when it is their turn, and returns
/// their address and end, which are committed.
pub(super) fn append_direct(
    protocol: &Protocol,
    disk: &Disk,
    parts: &[Part<'_>],
    need: u64,
) -> Result<(u64, u64), Refused<Error>> {
    let at = protocol.place(disk, need, false)?;
    let end = at + need;
    protocol
        .commit_direct(disk, (at, end), |base| write_frames(protocol, disk, base, parts, at))?;
    Ok((at, end))
}

/// Appends `parts`, `need` bytes in all, if nobody else is at it; their address, which is committed.
#[inline]
pub(super) fn append_alone(
    protocol: &Protocol,
    disk: &Disk,
    parts: &[Part<'_>],
    need: u64,
) -> Option<Result<u64, Failed>> {
    protocol.append_alone(disk, need, |base, at| write_frames(protocol, disk, base, parts, at))
}

fn write_frames(
    protocol: &Protocol,
    disk: &Disk,
    base: u64,
    parts: &[Part<'_>],
    at: u64,
) -> Result<(), Failed> {
    let mut writer = disk.writer.lock();
    let Writer { target, buffer, covered, closed } = &mut *writer;
    if *closed {
        return Err(Failed);
    }
    buffer.clear();
    // The address of the buffer's first byte, and of the next frame.
    let (mut begin, mut next) = (at, at);
    for (index, part) in parts.iter().enumerate() {
        let header = protocol.frame(next, Kind::Record, part, index + 1 < parts.len());
        buffer.extend_from_slice(&header.encode());
        next += frame_bytes(part.len);
        if part.payload.len() <= GATHER_BYTES {
            buffer.extend_from_slice(part.payload);
        } else {
            disk.write_to(target, base, buffer, begin)?;
            begin += buffer.len() as u64;
            disk.write_to(target, base, part.payload, begin)?;
            begin += part.payload.len() as u64;
            buffer.clear();
        }
        let padded = usize::try_from(next - begin).unwrap_or(buffer.len());
        buffer.resize(padded, 0);
        if buffer.len() >= GATHER_BYTES {
            disk.write_covering((target, covered), base, buffer, begin)?;
            begin = next;
            buffer.clear();
        }
    }
    if buffer.is_empty() {
        return Ok(());
    }
    disk.write_covering((target, covered), base, buffer, begin)
}
