//! What is done to the files of a log before it is opened: changes of bytes, of frames and blocks
//! whose checksums are made right again, of names and lengths.
//!
//! Invariant: any bytes are a list of edits, and no edit makes the disk large.

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, FileKind, LogId, Salt, SegmentHeader, archived,
    classify, segment_name,
};
use stratalog::storage::Image;

use super::frames::{seal, seal_block};
use super::input::Input;

const EDITS_MAX: usize = 40;
const FILES_MAX: usize = 12;
const FILE_MAX: usize = 40 << 10;
const BLOCK: usize = BLOCK_BYTES as usize;
const SEGMENT: u64 = 16 << 10;

/// Does all that the input says, until it ends.
pub(crate) fn edit_all(image: &mut Image, input: &mut Input<'_>) {
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            return;
        }
        edit(image, input);
    }
}

fn edit(image: &mut Image, input: &mut Input<'_>) {
    match input.below(16) {
        0 => on_bytes(image, input, |file, at, input| {
            let len = input.below(64);
            file.iter_mut().skip(at).zip(input.take(len)).for_each(|(to, from)| *to = *from);
        }),
        1 => on_bytes(image, input, |file, at, input| {
            let mask = input.byte();
            file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
        }),
        2 => on_bytes(image, input, |file, at, input| {
            let (len, value) = (input.short(), input.byte());
            file.iter_mut().skip(at).take(len).for_each(|byte| *byte = value);
        }),
        3 => on_bytes(image, input, |file, at, _| file.resize(at, 0)),
        4 => {
            if let Some(name) = name(image, input) {
                image.remove(&name);
            }
        }
        5 => rename(image, input),
        6 => swap(image, input),
        7 => make(image, input),
        8 | 9 => frame(image, input),
        10 | 11 => block_word(image, input),
        12 => reseal_block(image, input),
        13 => move_bytes(image, input),
        14 => control_word(image, input),
        _ => rewrite_frame(image, input),
    }
}

fn name(image: &Image, input: &mut Input<'_>) -> Option<String> {
    let count = image.names().count();
    let wanted = input.below(count);
    image.names().nth(wanted).map(str::to_owned)
}

fn on_bytes(
    image: &mut Image,
    input: &mut Input<'_>,
    change: impl FnOnce(&mut Vec<u8>, usize, &mut Input<'_>),
) {
    let name = name(image, input);
    let at = input.short();
    if let Some(file) = name.and_then(|name| image.get_mut(&name)) {
        change(file, at.min(FILE_MAX), input);
        file.truncate(FILE_MAX);
    }
}

/// A name of ours, mostly, or any.
fn new_name(input: &mut Input<'_>) -> String {
    let stem = match input.below(8) {
        0 => CONTROL_NAME.to_owned(),
        1 => segment_name(input.word()),
        2 => {
            let len = input.below(32);
            return String::from_utf8_lossy(input.take(len)).into_owned();
        }
        _ => segment_name(SEGMENT * u64::from(input.byte() & 15)),
    };
    let suffix = match input.below(8) {
        0 => ".tmp",
        1 => ".bak",
        2 => ".drop",
        _ => "",
    };
    stem + suffix
}

fn rename(image: &mut Image, input: &mut Input<'_>) {
    let (from, to) = (name(image, input), new_name(input));
    if let Some(bytes) = from.and_then(|from| image.remove(&from)) {
        image.insert(to, bytes);
    }
}

fn swap(image: &mut Image, input: &mut Input<'_>) {
    let (Some(one), Some(two)) = (name(image, input), name(image, input)) else { return };
    let (Some(first), Some(second)) = (image.remove(&one), image.remove(&two)) else { return };
    image.insert(one, second);
    image.insert(two, first);
}

/// A copy of a file under another name, or a new file.
fn make(image: &mut Image, input: &mut Input<'_>) {
    let to = new_name(input);
    let bytes = match (input.below(4), name(image, input)) {
        (0, _) => {
            let len = input.short().min(FILE_MAX);
            let mut bytes = input.take(len).to_vec();
            bytes.resize(len, 0);
            bytes
        }
        (_, Some(from)) => image.get(&from).unwrap_or_default().to_vec(),
        (_, None) => Vec::new(),
    };
    if image.names().count() < FILES_MAX {
        image.insert(to, bytes);
    }
}

/// The log's id, by the control file, or by the first header of an archive.
fn log_id(image: &Image) -> LogId {
    let Some(control) = image.get(CONTROL_NAME) else {
        let blocks = image.names().filter_map(|name| image.get(name)?.get(..BLOCK));
        let headers = blocks.map(SegmentHeader::decode);
        return headers.flatten().next().map(|header| header.id).unwrap_or_default();
    };
    let slots = control.chunks(BLOCK).map(ControlState::decode);
    slots.flatten().next().map(|(_, state)| state.id).unwrap_or_default()
}

/// The base that a segment's name says, in a log or in an archive.
fn base_of(name: &str) -> Option<u64> {
    match classify(name) {
        FileKind::Segment(base) => Some(base),
        _ => archived(name).map(|(base, _)| base),
    }
}

/// A segment's bytes, with base and id of the log.
fn segment<'a>(
    image: &'a mut Image,
    input: &mut Input<'_>,
) -> Option<(&'a mut Vec<u8>, u64, LogId)> {
    let id = log_id(image);
    let name = name(image, input)?;
    let base = base_of(&name)?;
    Some((image.get_mut(&name)?, base, id))
}

/// A frame with a right checksum, at any place.
fn frame(image: &mut Image, input: &mut Input<'_>) {
    let Some((file, base, id)) = segment(image, input) else { return };
    let at = input.short() % FILE_MAX / 8 * 8;
    let (kind, flags) = ([1, 1, 2, 3][input.below(4)], input.byte() & 1);
    let len = if kind == 3 { 32 } else { input.short() as u32 };
    let back = match input.byte() {
        255 => u32::MAX,
        near => u32::from(near) * 2,
    };
    let payload = input.below(40);
    let second = (u64::from(back) << 32) | u64::from(flags) << 8 | kind;
    let bytes = [&[0; 4][..], &len.to_le_bytes(), &second.to_le_bytes(), input.take(payload)];
    file.iter_mut().skip(at).zip(bytes.concat()).for_each(|(to, from)| *to = from);
    seal_at(file, base, at, &id);
}

/// A change inside a frame that is there, with its checksum made right again.
fn rewrite_frame(image: &mut Image, input: &mut Input<'_>) {
    let Some((file, base, id)) = segment(image, input) else { return };
    let at = input.short() / 8 * 8;
    let (inside, value) = (input.below(40), input.byte());
    file.iter_mut().skip(at + inside).take(1).for_each(|byte| *byte = value);
    seal_at(file, base, at, &id);
}

fn seal_at(file: &mut [u8], base: u64, at: usize, id: &LogId) {
    let end = file.len().saturating_sub(BLOCK);
    if at >= BLOCK && at < end {
        seal(&mut file[BLOCK..end], base.wrapping_add(BLOCK_BYTES), at - BLOCK, id);
    }
}

/// A word of a block, with its checksum made right again.
fn block_word(image: &mut Image, input: &mut Input<'_>) {
    let id = log_id(image);
    let Some(name) = name(image, input) else { return };
    let last = input.byte() & 1 == 1;
    let at = 8 + input.below(16) * 8;
    let change = match input.byte() {
        128 => input.word(),
        near => u64::from(near) << 3,
    };
    let add = input.byte() & 1 == 1;
    let Some((block, salt)) = block(image, &name, last, &id) else { return };
    let word = &mut block[at..at + 8];
    let old = u64::from_le_bytes(word.try_into().unwrap());
    let new = if add { old.wrapping_add(change) } else { old.wrapping_sub(change) };
    word.copy_from_slice(&new.to_le_bytes());
    seal_block(block, salt);
}

fn reseal_block(image: &mut Image, input: &mut Input<'_>) {
    let id = log_id(image);
    let Some(name) = name(image, input) else { return };
    if let Some((block, salt)) = block(image, &name, input.byte() & 1 == 1, &id) {
        seal_block(block, salt);
    }
}

/// The first or the last block of a file, and the salt that it would have there.
fn block<'a>(
    image: &'a mut Image,
    name: &str,
    last: bool,
    id: &LogId,
) -> Option<(&'a mut [u8], u32)> {
    let base = base_of(name);
    let file = image.get_mut(name)?;
    let from = if last { file.len().checked_sub(BLOCK)? } else { 0 };
    let block = file.get_mut(from..from + BLOCK)?;
    let salt = base.filter(|_| last).map_or(0, |base| Salt::new(id).at(base));
    Some((block, salt))
}

/// A field of a control slot.
fn control_word(image: &mut Image, input: &mut Input<'_>) {
    let (slot, field) = (input.below(2) * BLOCK, input.below(9));
    let value = match input.byte() {
        255 => u64::MAX,
        254 => input.word(),
        segment => SEGMENT * u64::from(segment & 15) + 8 * input.short() as u64,
    };
    let clean = input.byte();
    let Some(file) = image.get_mut(CONTROL_NAME) else { return };
    let Some(block) = file.get_mut(slot..slot + BLOCK) else { return };
    let at = 32 + field * 8;
    // Sequence, head, next_base, newest, durable_end, the three of a cut; then the flags.
    if field == 8 {
        block[96] = clean;
    } else {
        block[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    seal_block(block, 0);
}

fn move_bytes(image: &mut Image, input: &mut Input<'_>) {
    let (Some(from), Some(to)) = (name(image, input), name(image, input)) else { return };
    let (source, target, len) = (input.short(), input.short(), input.short());
    let bytes: Vec<_> =
        image.get(&from).unwrap_or_default().iter().skip(source).take(len).copied().collect();
    if let Some(file) = image.get_mut(&to) {
        file.iter_mut().skip(target).zip(bytes).for_each(|(to, from)| *to = from);
    }
}
