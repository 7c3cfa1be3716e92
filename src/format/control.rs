//! [`ControlState`]: what the control file says, in two slots that are written in turn.
//!
//! Invariant: a slot is wholly right or refused, and the one with the higher sequence number wins; so
//! a write that tears costs its own state, never the one before.

use super::block;
use super::defect::Defect;
use super::layout::{BLOCK_BYTES, LogId};

/// The most bytes that an application may keep in the control file.
pub const APP_STATE_MAX: usize = 1024;
/// The size of the control file, two slots, in bytes.
pub const CONTROL_FILE_BYTES: u64 = 2 * BLOCK_BYTES;

const MAGIC: [u8; 8] = *b"STRATCTL";
const CLEAN: u32 = 1;

/// What the control file says about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlState {
    /// The log.
    pub id: LogId,
    /// The first address that is kept.
    pub head: u64,
    /// No address at or above this one was ever offered to an appender.
    pub next_base: u64,
    /// The base of the newest segment, if there is any.
    pub newest: Option<u64>,
    /// The end of what was durable when this was written.
    pub durable_end: u64,
    /// A cut that was begun and is to be finished.
    pub cut: Option<CutMark>,
    /// Whether the log was closed with everything durable.
    pub clean: bool,
    /// What the application keeps here: at most [`APP_STATE_MAX`] bytes.
    pub app_state: Vec<u8>,
}

/// A cut that was begun: the log ends at `end`, and goes on at `fresh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutMark {
    /// The base of the segment that is cut.
    pub segment: u64,
    /// The address where its frames end now.
    pub end: u64,
    /// The base of the segment that follows it; whatever lies between is to be removed.
    pub fresh: u64,
}

impl ControlState {
    /// Encodes a slot, of [`BLOCK_BYTES`].
    ///
    /// # Panics
    ///
    /// If the application's state is longer than [`APP_STATE_MAX`]: to cut it off would be to lose
    /// it.
    pub fn encode(&self, sequence: u64) -> Vec<u8> {
        assert!(self.app_state.len() <= APP_STATE_MAX, "the application's state is too long");
        let none = CutMark {
            segment: block::NO_ADDRESS,
            end: block::NO_ADDRESS,
            fresh: block::NO_ADDRESS,
        };
        let cut = self.cut.unwrap_or(none);
        let newest = self.newest.unwrap_or(block::NO_ADDRESS);
        let app_state_bytes = u32::try_from(self.app_state.len()).unwrap_or(0);
        let mut block = block::begin(MAGIC);
        block.extend_from_slice(&self.id.bytes());
        let words = [sequence, self.head, self.next_base, newest, self.durable_end];
        for word in words.into_iter().chain([cut.segment, cut.end, cut.fresh]) {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(&if self.clean { CLEAN } else { 0 }.to_le_bytes());
        block.extend_from_slice(&app_state_bytes.to_le_bytes());
        block.extend_from_slice(&self.app_state);
        block::finish(block, 0)
    }

    /// Decodes a slot of [`BLOCK_BYTES`] into its sequence number and what it says.
    ///
    /// # Errors
    ///
    /// [`Defect::Version`] for an intact slot of a newer version; [`Defect::Checksum`],
    /// [`Defect::Length`] or [`Defect::Malformed`] for anything that is not exactly an encoded slot.
    pub fn decode(bytes: &[u8]) -> Result<(u64, Self), Defect> {
        let (mut fields, _) = block::open(bytes, MAGIC, 0)?;
        let id = LogId::new(fields.bytes()?);
        let sequence = fields.u64()?;
        let head = fields.address()?;
        let next_base = fields.address()?;
        let newest = fields.optional_address()?;
        let durable_end = fields.address()?;
        let cut =
            [fields.optional_address()?, fields.optional_address()?, fields.optional_address()?];
        let cut = match cut {
            [None, None, None] => None,
            [Some(segment), Some(end), Some(fresh)] if segment < end && end <= fresh => {
                Some(CutMark { segment, end, fresh })
            }
            _ => return Err(Defect::Malformed),
        };
        let clean = match fields.u32()? {
            0 => false,
            CLEAN => true,
            _ => return Err(Defect::Malformed),
        };
        let len = fields.u32()?;
        let app_state = match usize::try_from(len) {
            Ok(len) if len <= APP_STATE_MAX => fields.slice(len)?.to_vec(),
            _ => return Err(Defect::Length { max: APP_STATE_MAX as u64, found: u64::from(len) }),
        };
        fields.end()?;
        let state = Self { id, head, next_base, newest, durable_end, cut, clean, app_state };
        Ok((sequence, state))
    }
}

/// The slot that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Winner {
    /// Which slot it is: 0 or 1.
    pub slot: usize,
    /// Its sequence number.
    pub sequence: u64,
    /// What it says.
    pub state: ControlState,
    /// Whether the other slot is valid too. Only then does a clean mark count.
    pub both_valid: bool,
}

/// Chooses between the two slots as [`ControlState::decode`] gave them: the valid one with the higher
/// sequence number, slot 0 where they are equal.
///
/// # Errors
///
/// [`Defect::Version`] where either slot is of a newer version, whatever the other one says: that one
/// is older than it. Otherwise the defect of slot 0, where neither is valid.
pub fn winner(slots: [Result<(u64, ControlState), Defect>; 2]) -> Result<Winner, Defect> {
    let won = |slot, (sequence, state), both_valid| Winner { slot, sequence, state, both_valid };
    match slots {
        [Err(newer @ Defect::Version { .. }), _] | [_, Err(newer @ Defect::Version { .. })] => {
            Err(newer)
        }
        [Ok(a), Ok(b)] if a.0 < b.0 => Ok(won(1, b, true)),
        [Ok(a), Ok(_)] => Ok(won(0, a, true)),
        [Ok(a), Err(_)] => Ok(won(0, a, false)),
        [Err(_), Ok(b)] => Ok(won(1, b, false)),
        [Err(defect), Err(_)] => Err(defect),
    }
}

#[cfg(test)]
mod tests;
