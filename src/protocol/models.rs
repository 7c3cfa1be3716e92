//! loom models: every interleaving of small runs of the protocol, on a medium that is a list.
//!
//! Invariant of each model: what the medium was given is contiguous and checksummed right, nobody is
//! told of more than was written or synced, and nobody waits for ever.
//! Run with `RUSTFLAGS="--cfg stratalog_loom" cargo test --release --lib protocol::models`.

use super::*;
use crate::format::{LINK_FRAME_BYTES, frame_at, frames_start};
use crate::sync::{Arc, Builder, Mutex, thread};

/// What was written and synced, and which call shall fail.
struct Disk {
    state: Mutex<DiskState>,
}

#[derive(Default)]
struct DiskState {
    /// Bytes by address, in the order in which they were written.
    written: Vec<(u64, Vec<u8>)>,
    written_to: u64,
    synced_to: u64,
    fail_write: bool,
    fail_sync: bool,
    /// Extents that `make_room` may still attach.
    spares: Vec<Extent>,
}

impl DiskState {
    /// The end of the frames that a watermark covers: at the very start of a segment, those of the
    /// segment before.
    fn written_at(&self, watermark: u64) -> u64 {
        if watermark == frames_start(8192) { START } else { watermark }
    }
}

const ID: [u8; 16] = [7; 16];
const START: u64 = frames_start(0) + LINK_FRAME_BYTES;

impl Medium for Disk {
    type NoRoom = ();

    fn make_room(&self, protocol: &Protocol, tail: u64, _need: u64) -> Result<bool, ()> {
        let mut state = self.state.lock();
        // Another may have attached it since the refusal.
        if protocol.tail() != tail || protocol.attached_end() > START + 4096 {
            return Ok(true);
        }
        let spare = state.spares.pop().ok_or(())?;
        protocol.attach(spare);
        protocol.raise_attached_end(spare.end);
        Ok(true)
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        let mut bytes = vec![0; usize::try_from(run.data_end - run.from).unwrap()];
        protocol.take(run.from, &mut bytes);
        let mut state = self.state.lock();
        if state.fail_write {
            return Err(Failed);
        }
        assert!(run.from >= state.written_to, "written in order, once");
        state.written_to = run.to;
        state.written.push((run.from, bytes));
        Ok(())
    }

    fn sync(&self, from: u64, to: u64) -> Result<(), Failed> {
        let mut state = self.state.lock();
        if state.fail_sync {
            return Err(Failed);
        }
        assert!(from >= state.synced_to, "synced in order");
        assert!(state.written_to >= state.written_at(to), "only what is written is synced");
        state.synced_to = to;
        Ok(())
    }

    fn gather(&self, _waiting: &dyn Fn() -> usize) {}
}

struct Log {
    protocol: Protocol,
    disk: Disk,
}

impl Log {
    /// A log whose first segment has `room` bytes left, and whose ring has `ring` bytes.
    fn new(room: u64, ring: usize, state: DiskState) -> Arc<Self> {
        let protocol = Protocol::new(START, ring, LogId::new(ID));
        let extent =
            Extent { base: 0, end: START + room, previous_base: u64::MAX, previous_end: u64::MAX };
        protocol.attach(extent);
        protocol.raise_attached_end(extent.end);
        let state = DiskState { written_to: START, synced_to: START, ..state };
        Arc::new(Self { protocol, disk: Disk { state: Mutex::new(state) } })
    }

    fn buffered(&self, payload: &[u8]) -> Result<(u64, u64), Refused<()>> {
        let part = Part::new(payload, u32::try_from(payload.len()).unwrap());
        let (at, end) = self.protocol.stage(&self.disk, part)?;
        self.protocol.published(&self.disk, end)?;
        Ok((at, end))
    }

    fn append(&self, payload: &[u8]) -> Result<(u64, u64), Refused<()>> {
        let part = Part::new(payload, u32::try_from(payload.len()).unwrap());
        let (at, end) = self.protocol.stage(&self.disk, part)?;
        let reached = self.protocol.commit_until(&self.disk, end)?;
        assert!(reached >= end);
        assert!(self.disk.state.lock().written_to >= end, "committed means written");
        Ok((at, end))
    }

    fn durable(&self, payload: &[u8]) -> Result<(u64, u64), Refused<()>> {
        let part = Part::new(payload, u32::try_from(payload.len()).unwrap());
        let (at, end) = self.protocol.stage(&self.disk, part)?;
        let reached = self.protocol.sync_until(&self.disk, end)?;
        assert!(reached >= end);
        assert!(self.disk.state.lock().synced_to >= end, "durable means synced");
        Ok((at, end))
    }

    fn batch(&self, payloads: &[&[u8]]) -> Result<(u64, u64), Refused<()>> {
        let parts: Vec<_> =
            payloads.iter().map(|p| Part::new(p, u32::try_from(p.len()).unwrap())).collect();
        let need = parts.iter().map(|part| crate::format::frame_bytes(part.len)).sum();
        let (at, end) = self.protocol.stage_batch(&self.disk, &parts, need)?;
        self.protocol.commit_until(&self.disk, end)?;
        Ok((at, end))
    }

    /// Checks every written frame and returns the payloads of the records.
    fn records(&self) -> Vec<Vec<u8>> {
        let salt = Salt::new(&LogId::new(ID));
        let mut records = Vec::new();
        for (from, bytes) in &self.disk.state.lock().written {
            let mut at = *from;
            while at < from + bytes.len() as u64 {
                // A padding's body is not written, so its length may reach beyond what is there.
                let mut area = bytes.clone();
                area.resize(bytes.len() + (1 << 14), 0);
                let frame = frame_at(&area, *from, at, salt).expect("a written frame is whole");
                if frame.header.kind == crate::format::Kind::Record {
                    records.push(frame.payload.to_vec());
                }
                at += frame.header.frame_bytes();
            }
        }
        records
    }
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    bounded(2, run);
}

/// Explores all interleavings with at most so many preemptions, or LOOM_MAX_PREEMPTIONS if that is
/// set.
fn bounded(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(run);
}

#[test]
fn two_appenders_commit_contiguously() {
    model(|| {
        let log = Log::new(1024, 64, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.append(&[1; 8]).unwrap());
        let mine = log.append(&[2; 8]).unwrap();
        let theirs = thread.join().unwrap();
        assert_ne!(mine.0, theirs.0);
        assert_eq!(log.protocol.committed(), START + 48);
        assert_eq!(log.records().len(), 2);
    });
}

#[test]
fn an_appender_behind_a_buffered_record_is_woken_by_its_publisher() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.buffered(&[1; 8]).unwrap());
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_full_ring_is_taken_out_zeroed_and_used_again() {
    model(|| {
        let log = Log::new(1024, 64, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            other.buffered(&[1; 8]).unwrap();
            other.buffered(&[2; 8]).unwrap();
        });
        log.buffered(&[3; 8]).unwrap();
        log.append(&[4; 8]).unwrap();
        thread.join().unwrap();
        log.protocol.commit_until(&log.disk, START + 4 * 24).unwrap();
        let mut records = log.records();
        records.sort();
        assert_eq!(records, [[1; 8], [2; 8], [3; 8], [4; 8]]);
    });
}

/// The reader is the spawned thread: loom lets a load choose among the stores made so far, but does
/// not try it before a later store.
#[test]
fn a_batch_is_committed_whole() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let reader = Arc::clone(&log);
        let thread = thread::spawn(move || reader.protocol.committed());
        let (at, end) = log.batch(&[&[1; 8], &[2; 8]]).unwrap();
        let committed = thread.join().unwrap();
        assert!(committed <= at || committed >= end, "committed never lies inside a batch");
    });
}

#[test]
fn three_appenders_hand_the_lead_over() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let threads: Vec<_> = (1..3)
            .map(|number| {
                let other = Arc::clone(&log);
                thread::spawn(move || other.append(&[number; 8]).unwrap())
            })
            .collect();
        log.append(&[0; 8]).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(log.records().len(), 3);
    });
}

#[test]
fn a_roll_pads_links_and_loses_nothing() {
    model(|| {
        let next =
            Extent { base: 8192, end: 8192 + 8192, previous_base: 0, previous_end: START + 40 };
        let log = Log::new(40, 64, DiskState { spares: vec![next], ..DiskState::default() });
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.append(&[1; 8]).unwrap());
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 2);
        assert!(log.protocol.committed() > 8192);
    });
}

#[test]
fn a_sync_across_a_roll_covers_both_segments() {
    model(|| {
        let next =
            Extent { base: 8192, end: 8192 + 8192, previous_base: 0, previous_end: START + 24 };
        let log = Log::new(24, 64, DiskState { spares: vec![next], ..DiskState::default() });
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.durable(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.protocol.durable(), log.protocol.committed());
    });
}

#[test]
fn syncs_are_handed_over_and_nobody_is_left_behind() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.durable(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_record_too_big_for_the_ring_waits_for_its_turn() {
    model(|| {
        let log = Log::new(4096, 64, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let protocol = &other.protocol;
            let at = protocol.place(&other.disk, 96, false).unwrap();
            protocol
                .commit_direct(&other.disk, (at, at + 96), |_base| {
                    let mut state = other.disk.state.lock();
                    assert!(state.written_to == at, "its turn");
                    state.written_to = at + 96;
                    Ok(())
                })
                .unwrap();
        });
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.protocol.committed(), START + 96 + 24);
    });
}

#[test]
fn a_failed_write_reaches_every_waiter() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_write: true, ..DiskState::default() });
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || assert!(other.append(&[1; 8]).is_err()));
        assert!(log.append(&[2; 8]).is_err());
        thread.join().unwrap();
        assert_eq!(log.protocol.committed(), START);
        assert!(log.buffered(&[3; 8]).is_err(), "poison is sticky");
    });
}

#[test]
fn a_failed_sync_reaches_every_waiter() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_sync: true, ..DiskState::default() });
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || assert!(other.durable(&[1; 8]).is_err()));
        assert!(log.durable(&[2; 8]).is_err());
        thread.join().unwrap();
        assert_eq!(log.protocol.durable(), START);
    });
}

#[test]
fn closing_refuses_claims_and_waits_for_those_that_were_granted() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.buffered(&[1; 8]).is_ok());
        let tail = log.protocol.close();
        log.protocol.sync_until(&log.disk, tail).unwrap();
        let appended = thread.join().unwrap();
        assert_eq!(tail, if appended { START + 24 } else { START });
        assert_eq!(log.records().len(), usize::from(appended));
    });
}

#[test]
fn a_reader_never_sees_past_what_is_written() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let reader = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let committed = reader.protocol.committed();
            assert!(reader.disk.state.lock().written_to >= committed);
        });
        log.append(&[1; 8]).unwrap();
        thread.join().unwrap();
    });
}
