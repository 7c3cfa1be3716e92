//! Logs without a control file: what the segments alone say of them, and what a stranger's file ends.

use super::images::{BYTES, ID, Writer};
use crate::Options;
use crate::format::{BLOCK_BYTES, SegmentHeader, frames_start, segment_name};
use crate::recover::salvage::Salvageable;
use crate::recover::view::View;
use crate::storage::{Image, MemoryStorage};

fn without_control(writer: Writer) -> Image {
    let mut image = writer.image;
    assert!(image.remove("control").is_some());
    image
}

#[test]
fn what_is_salvaged_goes_on_right_behind_the_newest_segment() {
    for segments in 1..4 {
        let mut writer = Writer::new().segment().records(3, 60);
        for _ in 1..segments {
            writer = writer.roll().records(3, 60);
        }
        let storage = MemoryStorage::from_image(without_control(writer));
        let found = Salvageable::find(&storage).unwrap();
        let next_base = segments * BYTES;
        assert_eq!((found.head, found.next_base), (frames_start(0), next_base));
    }
}

#[test]
fn a_header_that_nothing_follows_says_which_log_it_is() {
    let mut image = without_control(Writer::new().segment().records(3, 60).roll());
    // The first has lost its header, the second all else.
    image.get_mut(&segment_name(0)).unwrap()[..16].fill(0);
    image.get_mut(&segment_name(BYTES)).unwrap().truncate(4096);
    assert_eq!(image.get(&segment_name(BYTES)).unwrap().len() as u64, BLOCK_BYTES);
    let storage = MemoryStorage::from_image(image.clone());
    assert_eq!(Salvageable::find(&storage).unwrap().head, frames_start(0));
    image.get_mut(&segment_name(BYTES)).unwrap().truncate(4095);
    let storage = MemoryStorage::from_image(image);
    assert!(Salvageable::find(&storage).is_err());
}

#[test]
fn a_reader_begins_with_the_oldest_segment_that_has_something() {
    let begun = Writer::new().segment().records(3, 60).roll().records(3, 60);
    let head = |image: Image| {
        let view = View::look(&MemoryStorage::from_image(image), &|| false).unwrap();
        (view.head, view.segments.len())
    };
    assert_eq!(head(without_control(begun.clone())), (frames_start(0), 2));
    // The first one was made and nothing was written.
    let link = frames_start(0)..frames_start(0) + 4096;
    let blank = begun.clone().zero(link);
    assert_eq!(head(without_control(blank)), (frames_start(BYTES), 1));
    // Its link is lost, but it was full.
    let sealed = begun.seal(0).zero(frames_start(0)..frames_start(0) + 48);
    assert_eq!(head(without_control(sealed)).0, frames_start(0));
}

#[test]
fn no_segment_is_read_where_one_is_a_strangers() {
    let mut image = Writer::new().segment().records(3, 60).image;
    let look = |image: &Image| {
        let storage = MemoryStorage::from_image(image.clone());
        Options::new().segment_bytes(BYTES).preview_with(storage).unwrap()
    };
    assert!(look(&image).recovery.scanned_bytes > 0);
    let base = (1 << 63) + 8;
    let mut bytes = SegmentHeader { id: ID, base, segment_bytes: BYTES }.encode();
    bytes.resize(usize::try_from(BYTES).unwrap(), 0);
    image.insert(segment_name(base), bytes);
    let preview = look(&image);
    assert!(preview.refusal.is_some());
    assert_eq!((preview.recovery.scanned_bytes, preview.recovery.segments), (0, 0));
}
