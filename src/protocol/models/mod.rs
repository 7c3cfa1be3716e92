//! loom models: every interleaving of small runs of the protocol, on a medium that is a list.
//!
//! Invariant of each model: what the medium was given is contiguous and checksummed right, nobody is
//! told of more than was written or synced, and nobody waits for ever.
//! Run with `RUSTFLAGS="--cfg stratalog_loom" cargo test --release --lib protocol::models`.
//!
//! [`alone`] is about who writes beside the ring; [`appending`], [`rolling`], [`syncing`] and [`reading`] run the protocol from the start;
//! [`cutting`] makes the log shorter; [`handing`] begins in the middle, with a leader at work, to
//! reach with two threads what otherwise takes three; [`listening`] is about futures and callbacks;
//! [`following`] about those who wait for whatever comes; [`ending`] about failures and closing.

mod alone;
mod appending;
mod cutting;
mod ending;
mod following;
mod handing;
mod listening;
mod reading;
mod rolling;
mod syncing;

use std::task::{Wake, Waker};

use super::*;
use crate::format::{Kind, LINK_FRAME_BYTES, frame_at, frames_start};
use crate::sync::{Arc, Builder, Mutex, RaceDetector, Thread, current, park, thread};

/// What was written and synced, and which call shall fail.
struct Disk {
    state: Mutex<DiskState>,
    /// Why a call failed: noted before the protocol hears of it, read by whoever hears of the poison.
    cause: RaceDetector,
    /// Held by whoever cuts.
    truncation: Mutex<()>,
    /// The bytes of the file: a reader looks at what the committed watermark covers, and at no more.
    bytes: RaceDetector,
}

#[derive(Default)]
struct DiskState {
    /// Bytes by address, in the order in which they were written.
    written: Vec<(u64, Vec<u8>)>,
    written_to: u64,
    synced_to: u64,
    fail_write: bool,
    fail_sync: bool,
    /// Whether a cause is noted.
    has_failed: bool,
    /// The bases of the segments that readers find, beside the first.
    set: Vec<u64>,
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

impl Disk {
    fn failed(&self, state: &mut DiskState) -> Failed {
        if !std::mem::replace(&mut state.has_failed, true) {
            self.cause.on_write();
        }
        Failed
    }

    /// Reads why waiting was stopped.
    fn hear(&self, stopped: Stopped) -> Stopped {
        if matches!(stopped, Stopped::Failed | Stopped::Poisoned) {
            self.cause.on_read();
        }
        stopped
    }
}

impl Medium for Disk {
    type NoRoom = ();

    fn make_room(&self, protocol: &Protocol, tail: u64, _need: u64) -> Result<bool, ()> {
        let mut state = self.state.lock();
        // Another may have attached it since the refusal.
        if protocol.tail() != tail || protocol.refuses() || protocol.attached_end() > tail + 4000 {
            return Ok(true);
        }
        let spare = state.spares.pop().ok_or(())?;
        state.set.push(spare.base);
        protocol.attach(spare);
        protocol.raise_attached_end(spare.end);
        Ok(true)
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        self.bytes.on_write();
        let mut bytes = vec![0; usize::try_from(run.data_end - run.from).unwrap()];
        protocol.take(run.from, &mut bytes);
        let mut state = self.state.lock();
        if state.fail_write {
            return Err(self.failed(&mut state));
        }
        assert!(run.from >= state.written_to, "written in order, once");
        state.written_to = run.to;
        state.written.push((run.from, bytes));
        Ok(())
    }

    fn sync(&self, from: u64, to: u64) -> Result<(), Failed> {
        let mut state = self.state.lock();
        if state.fail_sync {
            return Err(self.failed(&mut state));
        }
        assert!(from >= state.synced_to, "synced in order");
        assert!(state.written_to >= state.written_at(to), "only what is written is synced");
        state.synced_to = to;
        Ok(())
    }

    fn await_cut(&self) {
        drop(self.truncation.lock());
    }

    fn gather(&self, _waiting: &dyn Fn() -> u64) {}
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
        Arc::new(Self {
            protocol,
            disk: Disk {
                state: Mutex::new(state),
                cause: RaceDetector::new(),
                truncation: Mutex::new(()),
                bytes: RaceDetector::new(),
            },
        })
    }

    /// A log that is written up to `to`, and a sync leader at work.
    fn syncing(to: u64) -> Arc<Self> {
        let log = Self::new(1024, 128, DiskState::default());
        log.disk.state.lock().written_to = to;
        assert!(log.protocol.sync_lead.signal());
        log
    }

    fn stage(&self, payload: &[u8]) -> Result<(u64, u64), Stopped> {
        let part = Part::new(payload, u32::try_from(payload.len()).unwrap());
        self.heard(self.protocol.stage(&self.disk, part))
    }

    fn heard<T>(&self, result: Result<T, Refused<()>>) -> Result<T, Stopped> {
        result.map_err(|refused| match refused {
            Refused::Stopped(stopped) => self.disk.hear(stopped),
            Refused::NoRoom(()) => panic!("every model has room enough"),
        })
    }

    fn buffered(&self, payload: &[u8]) -> Result<(u64, u64), Stopped> {
        let (at, end) = self.stage(payload)?;
        self.protocol.published(&self.disk, end).map_err(|Failed| Stopped::Failed)?;
        Ok((at, end))
    }

    fn append(&self, payload: &[u8]) -> Result<(u64, u64), Stopped> {
        let (at, end) = self.stage(payload)?;
        self.commit_until(end)?;
        Ok((at, end))
    }

    fn durable(&self, payload: &[u8]) -> Result<(u64, u64), Stopped> {
        let (at, end) = self.stage(payload)?;
        self.sync_until(end)?;
        Ok((at, end))
    }

    fn batch(&self, payloads: &[&[u8]]) -> Result<(u64, u64), Stopped> {
        let parts: Vec<_> =
            payloads.iter().map(|p| Part::new(p, u32::try_from(p.len()).unwrap())).collect();
        let need = parts.iter().map(|part| crate::format::frame_bytes(part.len)).sum();
        let (at, end) = self.heard(self.protocol.stage_batch(&self.disk, &parts, need))?;
        self.commit_until(end)?;
        Ok((at, end))
    }

    /// Writes `bytes` bytes beside the ring.
    fn direct(&self, bytes: u64) -> Result<u64, Stopped> {
        let at = self.heard(self.protocol.place(&self.disk, bytes, false))?;
        let written = self.protocol.commit_direct(&self.disk, (at, at + bytes), |_base| {
            let mut state = self.disk.state.lock();
            assert!(at == state.written_at(at), "its turn");
            state.written_to = at + bytes;
            Ok(())
        });
        written.map(|()| at).map_err(|stopped| self.disk.hear(stopped))
    }

    /// Appends a record beside the ring if nobody is in the way, and through it otherwise.
    fn alone(&self, payload: &[u8]) -> Result<(u64, u64), Stopped> {
        self.try_alone(payload).unwrap_or_else(|| self.append(payload))
    }

    /// Appends a record beside the ring if nobody is in the way.
    fn try_alone(&self, payload: &[u8]) -> Option<Result<(u64, u64), Stopped>> {
        let part = Part::new(payload, u32::try_from(payload.len()).unwrap());
        let need = crate::format::frame_bytes(part.len);
        let written = self.protocol.append_alone(&self.disk, need, |base, at| {
            assert_eq!(base, if at < 8192 { 0 } else { 8192 }, "the segment of the address");
            self.disk.bytes.on_write();
            let mut state = self.disk.state.lock();
            if state.fail_write {
                return Err(self.disk.failed(&mut state));
            }
            assert!(at == state.written_at(at), "its turn");
            let mut frame = self.protocol.frame(at, Kind::Record, &part, false).encode().to_vec();
            frame.extend_from_slice(payload);
            state.written_to = at + need;
            state.written.push((at, frame));
            Ok(())
        });
        Some(match written? {
            Ok(at) => {
                assert!(self.disk.state.lock().written_to >= at + need, "committed means written");
                Ok((at, at + need))
            }
            Err(Failed) => Err(self.disk.hear(Stopped::Failed)),
        })
    }

    fn commit_until(&self, target: u64) -> Outcome {
        let reached = self.protocol.commit_until(&self.disk, target);
        let reached = reached.map_err(|stopped| self.disk.hear(stopped))?;
        assert!(reached >= target);
        let state = self.disk.state.lock();
        assert!(state.written_to >= state.written_at(target), "committed means written");
        Ok(reached)
    }

    fn sync_until(&self, target: u64) -> Outcome {
        self.check_durable(target, self.protocol.sync_until(&self.disk, target))
    }

    /// Checks what someone was told who waited for `target`.
    fn check_durable(&self, target: u64, outcome: Outcome) -> Outcome {
        let reached = outcome.map_err(|stopped| self.disk.hear(stopped))?;
        assert!(reached >= target);
        assert!(self.disk.state.lock().synced_to >= target, "durable means synced");
        Ok(reached)
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
                if frame.header.kind == Kind::Record {
                    records.push(frame.payload.to_vec());
                }
                at += frame.header.frame_bytes();
            }
        }
        records
    }
}

/// What listeners were told, and the thread that leads for them.
struct Told {
    outcomes: Mutex<Vec<Outcome>>,
    keeper: Thread,
}

impl Told {
    /// The calling thread will lead.
    fn new() -> Arc<Self> {
        Arc::new(Self { outcomes: Mutex::new(Vec::new()), keeper: current() })
    }

    /// Has a callback called that notes its outcome.
    fn callback(told: &Arc<Told>, log: &Arc<Log>, target: u64) {
        let keeper = told.keeper.clone();
        let (told, disk) = (Arc::clone(told), Arc::clone(log));
        let note = move |outcome| told.note(disk.check_durable(target, outcome));
        if log.protocol.call_when_durable(target, Box::new(note)) {
            keeper.unpark();
        }
    }

    /// Runs a future to its end on this thread, and notes its outcome.
    fn future(&self, log: &Log, target: u64) {
        self.run(log, target, &mut Place::default());
    }

    fn run(&self, log: &Log, target: u64, place: &mut Place) {
        let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
        let outcome = loop {
            match log.protocol.poll_durable(target, place, &waker) {
                Polled::Ready(outcome) => break outcome,
                Polled::Ask => self.keeper.unpark(),
                Polled::Wait => {}
            }
            park();
        };
        self.note(log.check_durable(target, outcome));
    }

    fn note(&self, outcome: Outcome) {
        self.outcomes.lock().push(outcome);
        self.keeper.unpark();
    }

    /// Leads for listeners, as the log's own thread does, until so many were told.
    fn keep(&self, log: &Log, count: usize) {
        loop {
            if let Some(asked) = log.protocol.asked() {
                // A failure reaches the listeners.
                let _ = log.sync_until(asked);
            }
            if self.outcomes.lock().len() >= count {
                break;
            }
            park();
        }
    }

    /// What everyone was told, once nothing can follow.
    fn all(&self) -> Vec<Outcome> {
        self.outcomes.lock().clone()
    }
}

/// Runs `work` on another thread.
fn spawn<T: 'static>(
    log: &Arc<Log>,
    work: impl FnOnce(&Arc<Log>) -> T + 'static,
) -> thread::JoinHandle<T> {
    let log = Arc::clone(log);
    thread::spawn(move || work(&log))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
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
