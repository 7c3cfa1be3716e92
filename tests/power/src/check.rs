//! [`check`]: mounts an image that a cut left, opens the log there, and holds it to its promises;
//! then lets it go on, and cuts that.
//!
//! Invariant: nothing is taken on trust from the level above but the promises that it made.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use stratalog::{Error, Log, Options};

use crate::common::{Random, Records, Tag, read};
use crate::cut::{Cut, Cutter};
use crate::device::Recording;
use crate::history::History;
use crate::kind::Kind;
use crate::pages::Pages;
use crate::workload::{log_directory, some_options};
use crate::workplace::{Mounted, Workplace};

/// Cuts inside a recovery, inside the recovery after that, and so on.
const DEEPEST: u32 = 3;
/// In how many of a hundred recoveries there are cuts.
const DEEPER_PERCENT: u64 = 30;

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) cuts: u64,
    /// Of them those inside or after a recovery.
    pub(crate) deeper: u64,
    pub(crate) torn: u64,
    pub(crate) rewritten: u64,
    pub(crate) created: u64,
    /// Rounds in which a disk failed.
    pub(crate) failures: u64,
}

/// A broken promise.
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) image: Option<Pages>,
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self { what, image: None }
    }
}

pub(crate) struct Checker<'a> {
    pub(crate) place: &'a Workplace,
    pub(crate) kind: Kind,
    pub(crate) count: Count,
    /// After this no further cut is begun.
    pub(crate) deadline: Instant,
}

impl Checker<'_> {
    /// Makes the image of each cut, and checks it: by `history`, or from a moment on by another.
    pub(crate) fn check_all(
        &mut self,
        recording: &Recording,
        tearable: &[Range<u64>],
        cuts: &[Cut],
        history: &History,
        later: Option<(usize, &History)>,
    ) -> Result<(), Broken> {
        let mut cutter = Cutter::new(recording, tearable);
        for cut in cuts {
            let image = cutter.image(cut);
            let later = later.filter(|(from, _)| *from <= cut.at);
            self.check(image, later.map_or(history, |(_, history)| history), cut, 0)?;
            if Instant::now() >= self.deadline {
                break;
            }
        }
        Ok(())
    }

    /// Checks an image, and in some cases cuts of what its recovery does.
    fn check(
        &mut self,
        image: Pages,
        history: &History,
        cut: &Cut,
        depth: u32,
    ) -> Result<(), Broken> {
        self.count.cuts += 1;
        self.count.deeper += u64::from(depth > 0);
        let mut random = Random::new(cut.seed ^ cut.at as u64);
        let kept = image.clone();
        let place = |what: String| Broken {
            what: format!("{cut}, depth {depth}: {what}"),
            image: Some(kept.clone()),
        };
        let tried =
            catch_unwind(AssertUnwindSafe(|| self.recover(image, history, cut.at, &mut random)));
        let (recording, next) = match tried {
            Ok(result) => result.map_err(&place)?,
            Err(panic) => return Err(place(text_of(&*panic))),
        };
        if depth + 1 < DEEPEST && random.chance(DEEPER_PERCENT) {
            let promises = next.promises();
            let cuts = Cut::choose(&recording, &promises, 2, &mut random);
            let mut cutter = Cutter::new(&recording, &[]);
            for cut in &cuts {
                let image = cutter.image(cut);
                self.check(image, &next, cut, depth + 1).map_err(|broken| Broken {
                    what: format!(
                        "{}\n  in what followed {}",
                        broken.what,
                        place(String::new()).what
                    ),
                    image: broken.image,
                })?;
            }
        }
        Ok(())
    }

    /// Opens the log twice on an image, appends in between. Returns what was done to the device,
    /// and what was promised.
    fn recover(
        &mut self,
        image: Pages,
        history: &History,
        cut: usize,
        random: &mut Random,
    ) -> Result<(Recording, History), String> {
        let mounted = self.place.mount(self.kind, image, self.kind.options()[0]);
        let mounted = mounted.map_err(|error| format!("the image does not mount: {error}"))?;
        let mut options = some_options(random);
        // Whatever they were before, the new ones need not be large.
        options.segment_bytes(16384 << random.below(3));
        let log = open(&mounted, &options)?;
        let stamp = mounted.device().stamp();
        let report = log.recovery();
        self.count.torn += u64::from(report.cut.is_some());
        self.count.rewritten += u64::from(report.rewritten_bytes > 0);
        self.count.created += u64::from(report.created);
        if report.created && history.exists(cut) {
            return Err("there is no log, though one had been opened".into());
        }
        let found = contents(&log)?;
        history.judge(cut, &found)?;
        let mut next = History::after(&found, stamp);
        if !report.created {
            next.created(0);
        }
        // The image was all durable: wherever recovery is stopped, the next one finds the same.
        if let Some((last, _)) = found.last() {
            next.durable_below(last.get() + 1, 0);
        }
        let appended = append(&log, &mounted, history.used(cut), &found, &mut next)?;
        close(log, random.chance(50))?;
        next.durable_below(
            appended.last().map_or(0, |(lsn, _)| lsn.get() + 1),
            mounted.device().stamp(),
        );
        if random.chance(50) {
            let log = open(&mounted, &options)?;
            if contents(&log)? != [&found[..], &appended[..]].concat() {
                return Err("opening again gives other records".into());
            }
            close(log, true)?;
        }
        let recording =
            mounted.unmount().map_err(|error| format!("the image does not unmount: {error}"))?;
        Ok((recording, next))
    }
}

pub(crate) fn open(mounted: &Mounted, options: &Options) -> Result<Log, String> {
    options
        .open(log_directory(mounted))
        .map_err(|error| format!("opening fails: {}", chain(&error)))
}

pub(crate) fn contents(log: &Log) -> Result<Records, String> {
    match read(&log.snapshot()) {
        (records, None) => Ok(records),
        (_, Some(error)) => Err(format!("reading fails: {}", chain(&error))),
    }
}

/// Goes on: the log must take records, and at addresses that were never used.
pub(crate) fn append(
    log: &Log,
    mounted: &Mounted,
    used: u64,
    found: &Records,
    history: &mut History,
) -> Result<Records, String> {
    // A writer that no one was before.
    let writers = found.iter().map(|(_, payload)| Tag::of(payload).writer + 1);
    let writer = writers.max().unwrap_or(0).max(1000);
    let mut appended = Records::new();
    for call in 0..3 {
        let tag = Tag::single(writer, call);
        let payload = tag.payload(200 * call as usize);
        let lsn = log
            .append_durable(&payload)
            .map_err(|error| format!("appending: {}", chain(&error)))?;
        if lsn.get() < used {
            return Err(format!("{lsn} is given again: all below {used} had been used"));
        }
        let stamp = mounted.device().stamp();
        history.appended(lsn, vec![(tag, payload.clone())], stamp);
        history.durable_below(lsn.get() + 1, stamp);
        appended.push((lsn, payload));
    }
    Ok(appended)
}

fn close(log: Log, by_name: bool) -> Result<(), String> {
    if by_name {
        return log.close().map_err(|error| format!("closing fails: {}", chain(&error)));
    }
    drop(log);
    Ok(())
}

/// An error with its causes.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a panic".into())
}
