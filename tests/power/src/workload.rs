//! [`run`]: what applications do to a log, on a mounted file system.
//!
//! Invariant: every call that returned is in the history with the state of the device at that
//! moment; the log is closed when it ends.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stratalog::{Error, Log, Lsn, Options};

use crate::common::{Random, Tag};
use crate::device::Device;
use crate::history::History;
use crate::os;
use crate::workplace::Mounted;

/// How much is done, all from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) sessions: u32,
    pub(crate) writers: u32,
    pub(crate) calls: u32,
    /// Few calls sync, so that much is committed and not durable, over whole segments.
    pub(crate) is_lazy: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_lazy = random.chance(30);
        Self {
            seed,
            options: some_options(&mut random),
            sessions: 1 + random.below(3) as u32,
            writers: 1 + random.below(4) as u32,
            calls: 40 + random.below(if is_lazy { 300 } else { 100 }) as u32,
            is_lazy,
        }
    }
}

/// Options of which most matter here: small segments, so that rolls are frequent.
pub(crate) fn some_options(random: &mut Random) -> Options {
    let mut options = Options::new();
    let segment_bytes = [16 << 10, 64 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20];
    options
        .segment_bytes(segment_bytes[random.below(segment_bytes.len() as u64) as usize])
        .write_buffer_bytes(4096 << random.below(6))
        .background(!random.chance(20));
    options
}

pub(crate) fn log_directory(mounted: &Mounted) -> PathBuf {
    mounted.point.join("log")
}

/// Opens, appends from several threads, closes, as often as the plan says.
pub(crate) fn run(mounted: &Mounted, plan: &Plan) -> Result<History, String> {
    let device = mounted.device();
    let mut history = History::default();
    for session in 0..plan.sessions {
        let opened = plan.options.open(log_directory(mounted));
        let log = opened.map_err(|error| format!("opening for session {session}: {error}"))?;
        let stamp = device.stamp();
        history.created(stamp);
        history.durable_below(log.tail().get(), stamp);
        let stop = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            if !plan.is_lazy {
                scope.spawn(|| disturb(mounted, plan.seed, &stop));
            }
            let start = |writer| {
                let writer = Writer::new(session * plan.writers + writer, plan.seed, device);
                let writer = if plan.is_lazy { writer.lazy() } else { writer };
                let log = log.clone();
                scope.spawn(move || writer.work(&log, plan.calls, || false, || false))
            };
            let writers: Vec<_> = (0..plan.writers).map(start).collect();
            let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            stop.store(true, Ordering::Relaxed);
            ended
        });
        for end in ended {
            let (done, error) = end.map_err(|_| "a writer panicked")?;
            if let Some(error) = error {
                return Err(format!("a call failed: {error}"));
            }
            history.merge(done);
        }
        let tail = log.tail();
        if Random::new(plan.seed ^ u64::from(session)).chance(70) {
            log.close().map_err(|error| format!("closing: {error}"))?;
        } else {
            drop(log);
        }
        history.durable_below(tail.get(), device.stamp());
    }
    Ok(history)
}

/// Other users of the file system: they make it write what nobody asked to be durable.
fn disturb(mounted: &Mounted, seed: u64, stop: &AtomicBool) {
    let mut random = Random::new(!seed);
    let Ok(root) = File::open(&mounted.point) else { return };
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1 + random.below(30)));
        let _ = match random.below(3) {
            0 => os::sync_file_system(&root),
            1 => root.sync_all(),
            _ => Ok(()),
        };
    }
}

/// One thread that appends.
pub(crate) struct Writer<'a> {
    number: u32,
    call: u32,
    random: Random,
    device: &'a Device,
    done: History,
    /// Makes few calls that sync.
    is_lazy: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(number: u32, seed: u64, device: &'a Device) -> Self {
        let random = Random::new(seed.wrapping_mul(31).wrapping_add(u64::from(number)));
        Self { number, call: 0, random, device, done: History::default(), is_lazy: false }
    }

    pub(crate) fn lazy(self) -> Self {
        Self { is_lazy: true, ..self }
    }

    /// Makes `calls` calls, or fewer if one fails. What returns after `too_late` is told to the
    /// history as a record, but not as a promise.
    pub(crate) fn work(
        mut self,
        log: &Log,
        calls: u32,
        too_late: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
    ) -> (History, Option<Error>) {
        for _ in 0..calls {
            if is_over() {
                break;
            }
            if self.is_lazy {
                // So slow that segments are made and sealed while it goes on.
                thread::sleep(Duration::from_micros(self.random.below(3000)));
            }
            // One call in 400 syncs: for several segments nobody does.
            let choices = match self.is_lazy {
                true if self.random.below(400) > 0 => 82,
                true => 100,
                false => 100,
            };
            let failed = match self.random.below(choices) {
                0..82 => self.append(log, &too_late).err(),
                82..88 => log.sync().map(|end| self.promised(end.get(), &too_late)).err(),
                88..92 => self.sync_to(log, &too_late).err(),
                92..95 => log.commit().err(),
                95..97 => log.roll().err(),
                _ => {
                    let durable = log.durable();
                    self.promised(durable.get(), &too_late);
                    None
                }
            };
            if let Some(error) = failed {
                self.done.has_failed = true;
                return (self.done, Some(error));
            }
        }
        (self.done, None)
    }

    fn promised(&mut self, end: u64, too_late: &impl Fn() -> bool) {
        let stamp = self.device.stamp();
        if !too_late() {
            self.done.durable_below(end, stamp);
        }
    }

    fn sync_to(&mut self, log: &Log, too_late: &impl Fn() -> bool) -> stratalog::Result<()> {
        let Some((lsn, _)) = self.done.known.last_key_value() else { return Ok(()) };
        let lsn = *lsn;
        let end = log.sync_to(lsn)?;
        self.promised(end.get().max(lsn.get() + 1), too_late);
        Ok(())
    }

    fn append(&mut self, log: &Log, too_late: &impl Fn() -> bool) -> stratalog::Result<()> {
        let choice = self.random.below(if self.is_lazy { 55 } else { 100 });
        let parts = if choice < 20 { 1 + self.random.below(5) as u32 } else { 1 };
        let call = self.call;
        self.call += 1;
        let payloads: Vec<(Tag, Vec<u8>)> = (0..parts)
            .map(|part| {
                let tag = Tag { writer: self.number, call, part, parts };
                let longest = if self.random.chance(10) { 7000 } else { 900 };
                (tag, tag.payload(self.random.below(longest / u64::from(parts)) as usize))
            })
            .collect();
        let first = &payloads[0].1;
        let lsn: Lsn = match choice {
            0..20 => {
                let all: Vec<&[u8]> = payloads.iter().map(|(_, bytes)| &bytes[..]).collect();
                log.append_batch(&all)?.start
            }
            20..35 => log.append(first)?,
            35..40 => log.append_with(first.len(), |bytes| bytes.copy_from_slice(first))?,
            40..55 => log.append_buffered(first)?,
            _ => log.append_durable(first)?,
        };
        let stamp = self.device.stamp();
        let is_durable = choice >= 55;
        self.done.appended(lsn, payloads, stamp);
        if is_durable && !too_late() {
            self.done.durable_below(lsn.get() + 1, stamp);
        }
        Ok(())
    }
}
