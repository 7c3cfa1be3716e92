//! Everything that can happen to the files of a log that is not open: bits flip, sectors are lost, files
//! are cut short, exchanged, missing, of another time, of another log, recycled; and two of these at
//! once. Over logs that were closed, that crashed with whole and torn tails, idle, after a roll, cut and
//! gone on with, of segments of several sizes; under each policy.
//!
//! Invariant: opening gives the whole log; or an exact prefix that holds everything that an undamaged
//! piece proves durable; or an error that names the file, and then no byte is changed. The policy that
//! skips damage gives all that is undamaged and proven, and reports the rest.
//!
//! What is proven is computed by an [`oracle`] of the tests' own, from the bytes. The tables in
//! [`in_place`] and [`files`] are the specification: damage and its place, and what each policy may make
//! of it. Each cell has to occur. By default one bit of each byte is flipped and lengths are tried in
//! steps, by the seed; `STRATALOG_EXHAUSTIVE=1` tries all.
//!
//! What can't be known, and is not asked for:
//!
//! - damage to what was synced last, before anything said so, looks torn;
//! - where both the newest control slot and the newest segments are lost, so is the knowledge of which
//!   addresses were offered;
//! - where damage lies right before leftovers of a crash, the policy that skips may hand these out;
//! - in a file whose header is damaged and whose length is that of no segment no frame is looked for.

mod files;
mod in_place;
mod judge;
mod logs;
mod oracle;
mod pairs;

use stratalog::Log;
use stratalog::format::segment_name;
use stratalog::storage::MemoryStorage;

use crate::common::{TINY, Tag, open_image, records, tiny};

#[test]
fn a_segment_that_was_cut_away_stays_away_when_it_comes_back() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let append = |log: &Log, calls: std::ops::Range<u32>| {
        for call in calls {
            log.append(&Tag::single(1, call).payload(500)).unwrap();
        }
    };
    append(&log, 0..20);
    log.sync().unwrap();
    append(&log, 20..40);
    let torn = records(&log)[24].0.get();
    let mut image = disk.image();
    image.get_mut(&segment_name(torn / TINY * TINY)).unwrap()[(torn % TINY) as usize + 99] ^= 1;
    let behind = segment_name(torn / TINY * TINY + TINY);
    let abandoned = image.get(&behind).unwrap().to_vec();

    let disk = MemoryStorage::from_image(image);
    for round in 0..3 {
        let log = tiny().open_with(disk.clone()).unwrap();
        assert_eq!(log.recovery().set_aside.len(), usize::from(round == 0));
        assert_eq!(records(&log).len(), 24 + 20 * round as usize);
        append(&log, 100 + round * 20..120 + round * 20);
        let expected = records(&log);
        let mut images = vec![disk.image()];
        log.close().unwrap();
        images.push(disk.image());
        for mut image in images {
            let before = image.insert(&behind, abandoned.clone());
            assert!(before.is_none(), "its addresses were given to other records");
            let log = open_image(&image).unwrap();
            assert_eq!(records(&log), expected);
            assert!(!log.recovery().set_aside.is_empty(), "{}", log.recovery());
        }
    }
}
