//! [`look`]: reads on several threads what a walk along the chain is going to ask for.
//!
//! Invariant: each answer is the one that the walk would find by itself, with the same calls. What
//! can't be read is left out: the walk comes upon it in its turn.
//!
//! After a kill some segments may have no trailer yet. Each has to be scanned as a whole, which takes
//! a processor some 15 ms for 64 MiB, and none depends on another.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};

use crate::format::{Salt, ScanEnd, Stopped, Summary};
use crate::recover::facts::SegmentFile;
use crate::recover::windows::{Area, Windows};
use crate::storage::{Access, Storage};
use crate::sync::Mutex;

/// More would wait for memory, or for the disk.
const THREADS_MAX: usize = 4;
/// To start a thread takes as long as to read less than this.
const BYTES_MIN: u64 = 1 << 20;

/// What is going to be asked of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    pub(super) file: &'a SegmentFile,
    pub(super) question: Question,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// How far its frames are valid, and if they end before they should, what is left behind them.
    Frames { from: u64, until: Option<u64> },
    /// Where its last byte lies that is not zero, from here on.
    Content { from: u64 },
}

/// What was found.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) base: u64,
    pub(super) question: Question,
    pub(super) frames: Option<(ScanEnd, Summary)>,
    /// From the first of these to the second there may be anything; from there on the segment is zero.
    pub(super) rest: Option<(u64, u64)>,
}

/// How many threads are worth while for these tasks.
pub(super) fn threads_for(tasks: &[Task<'_>]) -> usize {
    let bytes: u64 = tasks.iter().map(|task| task.file.area_bytes()).sum();
    if tasks.len() < 2 || bytes < BYTES_MIN {
        return 1;
    }
    available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(tasks.len())
}

/// Answers what it can, on so many threads, this one included.
pub(super) fn look(storage: &dyn Storage, tasks: &[Task<'_>], threads: usize) -> Vec<Answer> {
    let left = Mutex::new(tasks.iter());
    let work = || {
        let mut buffer = Vec::new();
        let mut answers = Vec::new();
        loop {
            let task = left.lock().next();
            let Some(task) = task else { return answers };
            answers.extend(answer(storage, task, &mut buffer).ok());
        }
    };
    thread::scope(|scope| {
        let helper = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (1..threads).filter_map(helper).collect();
        let mut answers = work();
        for helper in helpers {
            answers.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        answers
    })
}

fn answer(storage: &dyn Storage, task: &Task<'_>, buffer: &mut Vec<u8>) -> io::Result<Answer> {
    let Task { file: segment, question } = *task;
    let file = storage.open(&segment.name(), Access::Read)?;
    let end = segment.start().saturating_add(segment.area_bytes());
    let area = Area { base: segment.base, end };
    let mut windows = Windows { file: &*file, buffer, area };
    let mut answer = Answer { base: segment.base, question, frames: None, rest: None };
    let behind = match question {
        Question::Content { from } => Some(from),
        Question::Frames { from, until } => {
            let found = windows.scan(from, until, Salt::new(&segment.id))?;
            answer.frames = Some(found);
            (found.0.stopped != Stopped::Complete).then_some(found.0.end)
        }
    };
    if let Some(from) = behind {
        answer.rest = Some((from, windows.content_end(from)?));
    }
    Ok(answer)
}
