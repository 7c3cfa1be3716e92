//! Archives of several histories, as their headers, links and trailers tell.

use super::*;
use crate::format::{LogId, MIN_SEGMENT_BYTES, SegmentHeader, Trailer, archived_name};
use crate::storage::MemoryStorage;

const FULL: u64 = MIN_SEGMENT_BYTES - 4096;

/// A segment: log, number of its base, end from there, and what it follows.
fn segment(log: u8, number: u64, end: u64, after: Option<&Archived>) -> Archived {
    let (id, base) = (LogId::new([log; 16]), number * MIN_SEGMENT_BYTES);
    let trailer = Trailer {
        end: base + end,
        records: 0,
        first: None,
        last: None,
        frames_crc: u32::from(log) ^ u32::try_from(end).unwrap(),
        previous_checksum: after.map_or(0, |after| after.outline.checksum),
    };
    let block = trailer.encode(&id, base);
    let (_, checksum) = Trailer::decode(&block, &id, base).unwrap();
    let header = SegmentHeader { id, base, segment_bytes: MIN_SEGMENT_BYTES };
    let link = after.map_or(Link::FIRST, Archived::as_link);
    let outline = Outline { header, link, trailer, checksum };
    Archived { name: archived_name(base, checksum), outline }
}

/// Segments of one log, full, one behind the other, from the number `from` to before `to`.
fn chain(log: u8, from: u64, to: u64, after: Option<&Archived>) -> Vec<Archived> {
    let mut chain: Vec<Archived> = Vec::new();
    for number in from..to {
        let next = segment(log, number, FULL, chain.last().or(after));
        chain.push(next);
    }
    chain
}

fn histories(files: &[&[Archived]]) -> Histories {
    let mut files = files.concat();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut by_link: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        by_link.entry(key(&file.as_link())).or_default().push(index);
    }
    Histories { files, by_link }
}

fn chosen(files: &[&[Archived]], until: Option<u64>) -> Result<Vec<String>> {
    let histories = histories(files);
    let chosen = histories.choose(&MemoryStorage::new(), until)?;
    Ok(chosen.into_iter().map(|file| file.name.clone()).collect())
}

fn names(files: &[&[Archived]]) -> Vec<String> {
    files.concat().into_iter().map(|file| file.name).collect()
}

#[test]
fn a_history_without_a_cut_is_chosen_whole_or_up_to_an_address() {
    let files = chain(1, 0, 5, None);
    assert_eq!(chosen(&[&files], None).unwrap(), names(&[&files]));
    let until = 2 * MIN_SEGMENT_BYTES + 5000;
    assert_eq!(chosen(&[&files], Some(until)).unwrap(), names(&[&files[..3]]));
    // An archive may begin anywhere.
    assert_eq!(chosen(&[&files[2..]], None).unwrap(), names(&[&files[2..]]));
    let gap = chosen(&[&files[..1], &files[2..]], None).unwrap_err();
    let missing =
        matches!(&gap, Error::MissingSegment { path, .. } if path.ends_with(&files[2].name));
    assert!(missing, "{gap:?}");
}

#[test]
fn a_cut_that_was_archived_is_followed_and_the_history_before_it_is_still_there() {
    let old = chain(1, 0, 5, None);
    let cut = segment(1, 2, 6000, Some(&old[1]));
    let new = chain(1, 6, 8, Some(&cut));
    let cut = [cut];
    let expected = names(&[&old[..2], &cut, &new]);
    assert_eq!(chosen(&[&old, &cut, &new], None).unwrap(), expected);
    // Before anything behind the cut was sealed.
    assert_eq!(chosen(&[&old, &cut], None).unwrap(), names(&[&old[..2], &cut]));
    // An address below the cut is found in what was cut, one behind it in what there was before.
    let below = 2 * MIN_SEGMENT_BYTES + 4200;
    assert_eq!(chosen(&[&old, &cut, &new], Some(below)).unwrap(), expected[..3]);
    let behind = 3 * MIN_SEGMENT_BYTES + 4200;
    assert_eq!(chosen(&[&old, &cut, &new], Some(behind)).unwrap(), names(&[&old[..4]]));
    // Cut twice, and at a segment's very end.
    let again = [segment(1, 6, 5000, Some(&cut[0]))];
    let expected = names(&[&old[..2], &cut, &again]);
    assert_eq!(chosen(&[&old, &cut, &new, &again], None).unwrap(), expected);
    let at_end = chain(1, 9, 10, Some(&old[1]));
    let expected = names(&[&old[..2], &at_end]);
    assert_eq!(chosen(&[&old, &at_end], None).unwrap(), expected);
}

#[test]
fn a_restored_log_that_goes_on_above_is_the_later_history() {
    let old = chain(1, 0, 5, None);
    let cut = [segment(1, 2, 6000, Some(&old[1]))];
    let new = chain(2, 5, 7, Some(&cut[0]));
    let expected = names(&[&old[..2], &cut, &new]);
    assert_eq!(chosen(&[&old, &cut, &new], None).unwrap(), expected);
}

#[test]
fn two_histories_that_both_went_on_are_a_conflict() {
    let old = chain(1, 0, 5, None);
    let mine = chain(1, 5, 7, Some(&old[4]));
    let theirs = chain(2, 5, 8, Some(&old[4]));
    let conflict = |files: &[&[Archived]], until| {
        let error = chosen(files, until).unwrap_err();
        assert!(matches!(error, Error::ArchiveConflict { .. }), "{error:?}");
    };
    conflict(&[&old, &mine, &theirs], None);
    // What they share is not in doubt.
    let shared = chosen(&[&old, &mine, &theirs], Some(MIN_SEGMENT_BYTES + 5000)).unwrap();
    assert_eq!(shared, names(&[&old[..2]]));
    // A log that went on after another was restored from its archive, and cut.
    let cut = segment(1, 2, 6000, Some(&old[1]));
    let restored = chain(2, 5, 6, Some(&cut));
    let cut = [cut];
    conflict(&[&old, &mine, &cut, &restored], None);
    conflict(&[&chain(1, 0, 3, None), &chain(2, 0, 3, None)], None);
}

#[test]
fn a_segment_that_was_sealed_twice_is_no_second_history() {
    let files = chain(1, 0, 3, None);
    // The first one's trailer was lost and written again, without what it knew of the one before.
    let again = [segment(1, 1, FULL, None)];
    let again = [Archived {
        outline: Outline { link: files[1].outline.link, ..again[0].outline },
        ..again[0].clone()
    }];
    assert_ne!(again[0].name, files[1].name);
    assert_eq!(chosen(&[&files, &again], None).unwrap(), names(&[&files]));
    let both = chosen(&[&files[..2], &again], None).unwrap();
    assert_eq!(both.len(), 2);
}

#[test]
fn a_link_has_to_name_the_log_too() {
    let files = chain(1, 0, 4, None);
    let mut other = segment(2, 1, FULL, Some(&files[0]));
    other.outline.trailer.frames_crc = files[1].outline.trailer.frames_crc;
    let error = chosen(&[&files[..1], &[other], &files[2..]], None).unwrap_err();
    assert!(matches!(error, Error::MissingSegment { .. }), "{error:?}");
}
