//! Power that fails inside recovery, cuts that were begun, and pages that were never written back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::images::{BYTES, Writer, open, open_as};
use crate::format::{FileKind, classify, frames_start, segment_name};
use crate::recover::{Recovered, recover};
use crate::storage::{
    Access, Fault, FaultStorage, Image, LockKind, MemoryStorage, Storage, StorageFile, StorageLock,
    read_exact_at, write_all_at,
};
use crate::sync::Mutex;
use crate::{Error, Options, RecoveryPolicy};

fn open_on(disk: &FaultStorage) -> Result<Recovered, Error> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    recover(&storage, Options::new().segment_bytes(BYTES))
}

/// A disk that holds `disk`, under a cache that holds `cache` and counts all of it as written. What
/// has a name in the cache only has its bytes on the disk.
fn cached_over(cache: &Image, disk: &Image) -> FaultStorage {
    let storage = FaultStorage::from_image(disk.clone());
    for name in cache.names() {
        let bytes = cache.get(name).unwrap();
        if disk.get(name).is_some() {
            let file = storage.open(name, Access::ReadWrite).unwrap();
            write_all_at(&*file, bytes, 0).unwrap();
            storage.fail(storage.events(), Fault::LostSync { seed: None });
            file.sync().unwrap_err();
        } else {
            let file = storage.create(name, bytes.len() as u64).unwrap();
            write_all_at(&*file, bytes, 0).unwrap();
            file.sync().unwrap();
        }
    }
    storage
}

/// Cuts the power before each event of opening `cache` over `disk`, and again before each event of
/// the opening that follows. At least the first `durable` records survive, and never others than
/// `writer`'s; what an opening handed out stays.
fn survives_power_loss(writer: &Writer, disk: &Image, durable: usize) {
    let storage = cached_over(&writer.image, disk);
    let begin = storage.events();
    let recovered = open_on(&storage).unwrap();
    let end = storage.events();
    assert!(end > begin + 5, "{recovered:?}");
    let (left, seen) = (storage.durable(), storage.visible());
    assert!(left.names().eq(seen.names()), "names are durable on return");
    let handed_out = open(&seen).unwrap().records().len();
    for event in begin..=end {
        let least = if event == end { handed_out } else { durable };
        for seed in 0..18 {
            check(writer, &storage.crash_at(event, seed), least, event);
        }
        let again = FaultStorage::from_image(storage.crash_at(event, event));
        open_on(&again).unwrap();
        let handed_out = open(&again.visible()).unwrap().records().len();
        for inner in 0..=again.events() {
            let least = if inner == again.events() { handed_out } else { least };
            for seed in [inner, inner + 4] {
                check(writer, &again.crash_at(inner, seed), least, event);
            }
        }
    }
}

fn is_segment(name: &str) -> bool {
    matches!(classify(name), FileKind::Segment(_))
}

/// Opens an image for good and checks what it holds.
fn check(writer: &Writer, image: &Image, durable: usize, event: u64) {
    let opened = open(image).unwrap_or_else(|error| panic!("before event {event}: {error}"));
    let records = opened.checked().records();
    assert!(records.len() >= durable, "before event {event}: {} records", records.len());
    assert_eq!(records, writer.records[..records.len()], "before event {event}");
}

#[test]
fn power_may_fail_at_any_step_of_recovery_twice_in_a_row() {
    let killed = Writer::new().segment().records(4, 60).sync().records(2, 60).spare();
    survives_power_loss(&killed, &killed.image, 6);
    let rolled = Writer::new().segment().records(4, 60).roll().records(2, 60).roll().batch(2, 9);
    survives_power_loss(&rolled, &rolled.image, 8);
    let torn = rolled.clone().zero(rolled.records[2].0..rolled.records[2].0 + 8);
    survives_power_loss(&torn, &torn.image, 2);
    let closed = rolled.close().spare().control(|state| state.clean = true);
    survives_power_loss(&closed, &closed.image, 8);
    let headed = killed.control(|state| state.head = frames_start(0) + 48);
    survives_power_loss(&headed, &headed.image, 6);
    let nothing = Writer::new().segment().zero(frames_start(0)..frames_start(0) + 8).spare();
    survives_power_loss(&nothing, &nothing.image, 0);
}

#[test]
fn what_only_the_cache_holds_is_on_the_disk_once_the_log_is_open() {
    let synced = Writer::new().segment().records(4, 60).sync();
    let writer = synced.clone().records(3, 60).roll().batch(2, 9);
    // The disk never got what was not proven durable, and the cache counts it as written.
    let mut disk = writer.image.clone();
    for base in [0, BYTES] {
        let lost = disk.get_mut(&segment_name(base)).unwrap();
        let from = if base == 0 { usize::try_from(synced.at).unwrap() } else { 4096 };
        lost[from..].fill(0);
    }
    assert_eq!(open(&disk).unwrap().records(), writer.records[..4]);
    survives_power_loss(&writer, &disk, 4);
}

#[test]
fn a_name_that_only_the_cache_holds_is_on_the_disk_once_the_log_is_open() {
    let writer = Writer::new().segment().records(4, 60);
    let mut disk = writer.image.clone();
    disk.remove(&segment_name(0));
    let storage = cached_over(&writer.image, &disk);
    open_on(&storage).unwrap();
    for seed in 0..18 {
        assert_eq!(open(&storage.crash(seed)).unwrap().records(), writer.records);
    }
}

#[test]
fn a_control_slot_that_only_the_cache_holds_is_not_relied_upon() {
    let old = Writer::new().segment().records(4, 60).sync().records(1, 9).control(|_| {});
    let writer = old.clone().control(|state| state.app_state = b"new".to_vec());
    let mut torn = old.image.clone();
    let slot = usize::from(
        writer.image.get("control").unwrap()[..4096] == old.image.get("control").unwrap()[..4096],
    );
    torn.get_mut("control").unwrap()[slot * 4096 + 99] ^= 1;
    survives_power_loss(&writer, &torn, 5);
}

#[test]
fn a_cut_that_was_begun_is_finished_from_each_of_its_steps() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = writer.records(2, 60).roll().sync().records(2, 60).spare();
    let damaged = writer.clone().flip(frames_start(BYTES) + 20);
    let damaged = damaged.image.get(&segment_name(BYTES)).unwrap().to_vec();
    let kept = writer.records_below(end);
    let marked = writer.cut(0, end);
    let fresh = marked.state.next_base;
    let removed = marked.clone().lose(BYTES).lose(2 * BYTES);
    let sealed = removed.clone().seal_at(0, end);
    let created = sealed.clone().spare();
    for (step, image) in [
        ("marked", marked.image),
        ("one removed", removed.clone().image),
        ("sealed", sealed.clone().image),
        ("created", created.clone().image),
        ("closed", {
            let mut closed = sealed;
            closed.at = frames_start(fresh);
            closed.close().image
        }),
    ] {
        let opened = open(&image).unwrap().checked();
        assert_eq!(opened.records(), kept, "{step}");
        let state = opened.state();
        let mark = state.cut.unwrap();
        assert_eq!((mark.segment, mark.end, state.newest), (0, end, Some(0)), "{step}");
        assert_eq!(opened.recovered.tail, frames_start(mark.fresh));
        assert_eq!(mark.fresh, state.next_base);
        let names: Vec<String> = opened.image().names().map(str::to_owned).collect();
        let segments = names.iter().filter(|name| is_segment(name)).count();
        assert_eq!(segments, 1, "{step}: {names:?}");
    }
    // What the cut removed proves nothing, should it come back.
    let mut resurrected = created.image.clone();
    resurrected.insert(segment_name(BYTES), damaged);
    for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict] {
        assert_eq!(open_as(&resurrected, policy).unwrap().checked().records(), kept);
    }
    // Once the fresh segment's link is there, the chain goes on in it.
    let mut linked = created;
    linked.base = 0;
    let linked = linked.end_at(end).attach(fresh).records(2, 30);
    let expected = [kept, linked.records[linked.records.len() - 2..].to_vec()].concat();
    for image in [linked.image.clone(), linked.close().image] {
        let opened = open(&image).unwrap().checked();
        assert_eq!(opened.records(), expected);
        assert!(opened.state().cut.is_none_or(|cut| cut.segment == fresh));
    }
}

#[test]
fn a_cuts_trailer_that_only_the_cache_holds_is_on_the_disk_before_the_mark_goes() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let full = writer.records(2, 60).pad().seal(0).sync();
    // The process ended between writing the trailer of the cut, over that of the full segment, and
    // syncing it.
    let on_disk = full.cut(0, end);
    let in_cache = on_disk.clone().seal_at(0, end);
    let fresh = in_cache.state.next_base;
    let mut linked = in_cache.clone().spare();
    linked.base = 0;
    let linked = linked.end_at(end).attach(fresh).records(2, 30);
    for (cache, kept) in [(&in_cache, 4), (&linked, 6)] {
        let storage = cached_over(&cache.image, &on_disk.image);
        open_on(&storage).unwrap();
        let name = segment_name(0);
        let last = |image: &Image| image.get(&name).unwrap().last_chunk::<4096>().copied();
        assert_eq!(last(&storage.durable()), last(&cache.image));
        assert_eq!(open(&storage.durable()).unwrap().checked().records().len(), kept);
    }
}

#[test]
fn the_segment_that_a_cut_ended_stays_whatever_is_said_of_the_newest() {
    let writer = Writer::new().segment().records(4, 60);
    let cut = writer.clone().cut(0, writer.at);
    let opened = open(&cut.control(|state| state.newest = None).image).unwrap().checked();
    assert_eq!(opened.records(), writer.records);
    assert_eq!(open(&opened.image()).unwrap().checked().records(), writer.records);
}

#[test]
fn damage_before_the_end_of_a_cut_is_corruption() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let place = writer.records[2].0;
    let writer = writer.records(1, 60).cut(0, end).flip(place + 1);
    let untold = writer.clone().control(|state| state.durable_end = frames_start(0));
    for image in [writer.image, untold.image] {
        assert!(matches!(open(&image), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn what_a_cut_left_in_its_segment_stays_there_and_stays_cut() {
    let writer = Writer::new().segment().records(4, 60).batch(2, 40);
    let torn = writer.clone().zero(writer.at - 48..writer.at);
    let first = open(&torn.image).unwrap().checked();
    assert_eq!(first.records(), writer.records[..4]);
    let before = &torn.image.get(&segment_name(0)).unwrap()[..12288];
    assert_eq!(&first.image().get(&segment_name(0)).unwrap()[..12288], before);
    let mut image = first.image();
    for _ in 0..3 {
        let again = open(&image).unwrap().checked();
        assert_eq!(again.records(), writer.records[..4]);
        assert_eq!(again.recovered.report.cut, None);
        image = again.image();
    }
}

#[test]
fn a_frame_that_changes_between_two_reads_is_damage() {
    /// Flips a bit in every second read of a whole segment.
    #[derive(Debug)]
    struct Fickle(Arc<dyn StorageFile>, Arc<Mutex<u32>>);
    impl StorageFile for Fickle {
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            read_exact_at(&*self.0, buffer, offset)?;
            if offset == 4096 {
                *self.1.lock() += 1;
                if *self.1.lock() == 2 {
                    buffer[70] ^= 1;
                }
            }
            Ok(buffer.len())
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.0.write_at(bytes, offset)
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }
    #[derive(Debug)]
    struct FickleDisk(MemoryStorage, Arc<Mutex<u32>>);
    impl Storage for FickleDisk {
        fn names(&self) -> io::Result<Vec<String>> {
            self.0.names()
        }
        fn create_directory(&self) -> io::Result<()> {
            Ok(())
        }
        fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
            self.0.create(name, bytes)
        }
        fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
            let file = self.0.open(name, access)?;
            let fickle = is_segment(name);
            Ok(if fickle { Arc::new(Fickle(file, Arc::clone(&self.1))) } else { file })
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }
        fn sync_directory(&self) -> io::Result<()> {
            Ok(())
        }
        fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
            self.0.lock(name, kind)
        }
        fn path(&self, name: &str) -> PathBuf {
            self.0.path(name)
        }
    }
    let writer = Writer::new().segment().roll().seal(0).records(4, 60);
    let disk = MemoryStorage::from_image(writer.image.clone());
    let storage: Arc<dyn Storage> = Arc::new(FickleDisk(disk.clone(), Arc::new(Mutex::new(0))));
    let result = recover(&storage, Options::new().segment_bytes(BYTES));
    let (first, segment) = (writer.records[0].0, segment_name(BYTES));
    assert!(
        matches!(result, Err(Error::Corrupt { offset, lsn: Some(lsn), .. })
            if lsn.get() == first && offset == first - BYTES),
        "{result:?}"
    );
    assert_eq!(disk.image().get(&segment), writer.image.get(&segment));
}
