//! Staging: records become frames at addresses of their own.
//!
//! Invariant: between a claim and its publication there is no allocation, lock, system call or
//! foreign code. Checksums of payloads are computed before, so that memory of the caller's that
//! faults does so before anything is claimed.

use crate::format::{
    FRAME_HEADER_BYTES, FrameHeader, Kind, Link, durable_back, frame_bytes, payload_crc,
};
use crate::protocol::layout::NO_SEGMENT;
use crate::protocol::{Claim, Failed, Medium, Protocol, Refusal, Stopped};

/// One payload and its CRC-32C, ready to be framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// Why a record got no address. `E` is the medium's own reason for having no segment.
#[derive(Debug)]
pub(crate) enum Refused<E> {
    Stopped(Stopped),
    NoRoom(E),
}

impl<E> From<Stopped> for Refused<E> {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl<E> From<Failed> for Refused<E> {
    fn from(Failed: Failed) -> Self {
        Self::Stopped(Stopped::Failed)
    }
}

impl<'a> Part<'a> {
    /// Computes the CRC. `len` is the payload's length, which the caller has found to fit.
    #[inline]
    pub(crate) fn new(payload: &'a [u8], len: u32) -> Self {
        Self { payload, len, crc: payload_crc(payload) }
    }
}

impl Protocol {
    /// Frames one record into the ring and publishes it. Returns its address and its end.
    #[inline]
    pub(crate) fn stage<M: Medium>(
        &self,
        medium: &M,
        part: Part<'_>,
    ) -> Result<(u64, u64), Refused<M::NoRoom>> {
        let need = frame_bytes(part.len);
        let at = self.place(medium, need, true)?;
        let header = self.frame(at, Kind::Record, &part, false);
        self.ring.fill(at, header, part.payload);
        self.ring.publish(at, header);
        Ok((at, at + need))
    }

    /// Frames a batch of `need` bytes into the ring and publishes it at once. Returns its address
    /// and its end. `parts` is not empty.
    pub(crate) fn stage_batch<M: Medium>(
        &self,
        medium: &M,
        parts: &[Part<'_>],
        need: u64,
    ) -> Result<(u64, u64), Refused<M::NoRoom>> {
        let at = self.place(medium, need, true)?;
        let mut next = at;
        let mut first = None;
        for (index, part) in parts.iter().enumerate() {
            let header = self.frame(next, Kind::Record, part, index + 1 < parts.len());
            self.ring.fill(next, header, part.payload);
            match first {
                None => first = Some(header),
                Some(_) => self.ring.join(next, header),
            }
            next += frame_bytes(part.len);
        }
        debug_assert_eq!(next, at + need, "a batch fills its claim");
        if let Some(header) = first {
            self.ring.publish(at, header);
        }
        Ok((at, next))
    }

    /// Claims `need` bytes, and on the way whatever link or padding has to come before; through the
    /// ring if `staged`, else to be written by the caller with
    /// [`commit_direct`](Protocol::commit_direct).
    #[inline]
    pub(crate) fn place<M: Medium>(
        &self,
        medium: &M,
        need: u64,
        staged: bool,
    ) -> Result<u64, Refused<M::NoRoom>> {
        if staged && let Some(at) = self.claim_in_ring(need) {
            return Ok(at);
        }
        self.place_after_all(medium, need, staged)
    }

    /// The same, whatever is in the way.
    #[cold]
    fn place_after_all<M: Medium>(
        &self,
        medium: &M,
        need: u64,
        staged: bool,
    ) -> Result<u64, Refused<M::NoRoom>> {
        loop {
            let claim = if staged { self.reserve(need) } else { self.reserve_direct(need) };
            match claim {
                Ok(Claim::Frames { at }) => return Ok(at),
                Ok(claim) => self.fill_structure(medium, claim)?,
                Err(refusal) => self.overcome(medium, refusal)?,
            }
        }
    }

    /// Pads the rest of the segment, if it holds a record.
    pub(crate) fn roll<M: Medium>(&self, medium: &M) -> Result<(), Refused<M::NoRoom>> {
        let base = self.extent().map_or(u64::MAX, |extent| extent.base);
        loop {
            match self.reserve_rest(base) {
                Ok(None) => return Ok(()),
                Ok(Some(claim)) => return Ok(self.fill_structure(medium, claim)?),
                Err(refusal) => self.overcome(medium, refusal)?,
            }
        }
    }

    /// Appends an empty padding frame, which carries the durable watermark, if the log ends at
    /// `tail` and the frame fits there. Returns its end.
    pub(crate) fn mark_idle<M: Medium>(
        &self,
        medium: &M,
        tail: u64,
    ) -> Result<Option<u64>, Failed> {
        let Some((at, end)) = self.reserve_mark(tail) else { return Ok(None) };
        self.fill_padding(at, end);
        self.published(medium, end)?;
        Ok(Some(end))
    }

    /// The header of a frame at `at`.
    #[inline]
    pub(crate) fn frame(
        &self,
        at: u64,
        kind: Kind,
        part: &Part<'_>,
        continues: bool,
    ) -> FrameHeader {
        let back = durable_back(at, self.durable());
        FrameHeader::new(kind, part.len, continues, back).sealed_at(part.crc, self.salt, at)
    }

    /// Fills and publishes a link or a padding.
    fn fill_structure<M: Medium>(&self, medium: &M, claim: Claim) -> Result<(), Failed> {
        match claim {
            Claim::Frames { .. } | Claim::Remainder => Ok(()),
            Claim::Padding { at, end } => {
                self.fill_padding(at, end);
                self.published(medium, at + FRAME_HEADER_BYTES)
            }
            Claim::Link { at, previous_base, previous_end } => {
                let previous_id = self.id_of(previous_base);
                let link = match previous_base {
                    NO_SEGMENT => Link::FIRST,
                    _ => Link { previous_base, previous_end, previous_id },
                };
                let payload = link.encode();
                let part = Part { payload: &payload, len: 32, crc: payload_crc(&payload) };
                let header = self.frame(at, Kind::Link, &part, false);
                self.ring.fill(at, header, &payload);
                self.ring.publish(at, header);
                self.published(medium, at + header.frame_bytes())
            }
        }
    }

    fn fill_padding(&self, at: u64, end: u64) {
        let len = u32::try_from(end - at - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
        let part = Part { payload: &[], len, crc: payload_crc(&[]) };
        let header = self.frame(at, Kind::Padding, &part, false);
        self.ring.fill(at, header, &[]);
        self.ring.publish(at, header);
    }

    /// Does what makes the next try at a claim succeed.
    #[cold]
    fn overcome<M: Medium>(&self, medium: &M, refusal: Refusal) -> Result<(), Refused<M::NoRoom>> {
        match refusal {
            Refusal::Stopped(state) => Err(Stopped::from(state).into()),
            Refusal::Cutting => {
                medium.await_cut();
                Ok(())
            }
            Refusal::RingFull { until } => Ok(self.commit_until(medium, until).map(drop)?),
            Refusal::NoSegment { tail, need } => {
                if !medium.make_room(self, tail, need).map_err(Refused::NoRoom)? {
                    self.commit_until(medium, tail)?;
                }
                Ok(())
            }
        }
    }
}
