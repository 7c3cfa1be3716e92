//! [`Work`]: what is done to a log while something fails, step by step.
//!
//! Invariant: the same work on the same disk makes the same events.

use stratalog::format::{FileKind, classify, segment_name};
use stratalog::storage::{FaultStorage, Image};
use stratalog::{Log, Options};

use super::super::common::{TINY, read, records, tiny};
use super::story::{Story, no_space, open};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    /// Calls that append; the number is the size of the payload, without its tag.
    Append(usize),
    Buffered(usize),
    Durable(usize),
    With(usize),
    /// So many records.
    Batch(u32, usize),
    Commit,
    Sync,
    Roll,
    /// Drops what lies before the record that is followed by so many others.
    Truncate(usize),
    /// Drops what lies behind the record that is followed by so many others.
    Cut(usize),
    /// Sets the application's state.
    State,
    Read,
    Close,
}

use Step::{
    Append, Batch, Buffered, Close, Commit, Cut, Durable, Open, Read, Roll, State, Sync, Truncate,
    With,
};

/// Steps, and the disk that they begin with.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) name: &'static str,
    disk: FaultStorage,
    pub(super) story: Story,
    pub(super) steps: Vec<Step>,
}

impl Work {
    /// The disk to begin with, each time anew. Events have the same numbers each time.
    pub(super) fn disk(&self) -> FaultStorage {
        self.disk.restart_at(self.disk.events())
    }

    /// Does everything, and returns the disk.
    fn done(&self) -> (FaultStorage, Story) {
        let mut life = Life::new(self, self.disk());
        for step in &self.steps {
            life.step(*step).unwrap_or_else(|error| panic!("{}: {step:?}: {error}", self.name));
        }
        (life.disk, life.story)
    }
}

/// All works.
pub(super) fn works() -> Vec<Work> {
    let filled = Work { name: "life with zeros ahead", ..life(FaultStorage::new()) };
    filled.disk.set_zero_fill(true);
    let made = Work { name: "life", ..life(FaultStorage::without_directory()) };
    let (killed, torn, closed) = (killed(), torn(), closed());
    vec![made, filled, killed, torn, closed, large(), filling()]
}

/// A whole life: everything that a log does, over several segments.
fn life(disk: FaultStorage) -> Work {
    let steps = [
        &[Open, Durable(100), Append(700), Buffered(300), Batch(3, 200), Read, Sync][..],
        // Larger than half the ring: written beside it.
        &[Append(3000), Buffered(900), Buffered(900), Commit, Append(2500), Durable(1500)],
        &[Roll, With(100), Batch(4, 900), Durable(10), Roll, Sync, Durable(50), Read, Close],
        &[Open, Buffered(500), State, Durable(2000), Truncate(12), Read, Append(2000)],
        &[Append(2000), Append(2000), Sync, Batch(3, 700), Read, Buffered(8), Close],
        // Into the segment before, into the one that is written, and twice in a row.
        &[
            Open,
            Append(2500),
            Append(2500),
            Append(2500),
            Buffered(500),
            Cut(3),
            Read,
            Append(2000),
        ],
        &[Batch(2, 300), Append(9), Cut(1), Cut(2), Durable(10), Buffered(20), Cut(0), Roll, Close],
    ];
    Work { name: "life", disk, story: Story::default(), steps: steps.concat() }
}

/// What is done after opening what an earlier life left.
const GO_ON: [Step; 14] = [
    Open,
    Read,
    Append(900),
    Batch(2, 1500),
    Durable(40),
    Buffered(3000),
    Roll,
    Durable(700),
    State,
    Cut(2),
    Append(100),
    Truncate(1),
    Read,
    Close,
];

/// A process was killed: records in two segments are in the cache, and only the first are durable.
fn killed() -> Work {
    let work = Work {
        steps: [&[Open][..], &[Durable(500); 4], &[Append(1200); 7], &[Batch(2, 99)]].concat(),
        ..life(FaultStorage::new())
    };
    let mut life = Life::new(&work, work.disk());
    work.steps.iter().for_each(|step| life.step(*step).unwrap());
    let disk = life.disk.restart_at(life.disk.events());
    assert_ne!(disk.durable(), disk.visible());
    Work { name: "killed", disk, story: life.story.clone(), steps: GO_ON.to_vec() }
}

/// Power was lost: the second of three segments is torn, the third did not follow it, and files
/// were being made.
fn torn() -> Work {
    let work = Work {
        steps: [&[Open][..], &[Durable(500); 18], &[Append(1200); 8]].concat(),
        ..life(FaultStorage::new())
    };
    let mut life = Life::new(&work, work.disk());
    work.steps.iter().for_each(|step| life.step(*step).unwrap());
    let log = life.log.take().unwrap();
    let torn = records(&log).iter().map(|(lsn, _)| lsn.get()).find(|lsn| *lsn > TINY + 8000);
    let torn = torn.unwrap();
    let mut image = life.disk.visible();
    let kept = records(&log).iter().filter(|(lsn, _)| lsn.get() < torn).count();
    let durable = log.durable().get();
    assert!(durable < torn && log.segments().len() == 3, "{durable} {torn} {:?}", log.segments());
    flip(&mut image, torn);
    image.insert(format!("{}.tmp", segment_name(9 * TINY)), vec![1; 100]);
    image.insert("control.tmp", Vec::new());
    image.insert("notes.txt", b"not the log's".to_vec());
    let disk = FaultStorage::from_image(image);
    let mut story = life.story.clone();
    story.opened(&open(&disk), kept).unwrap();
    assert_eq!(story.durable, kept);
    let disk = disk.restart_at(0);
    Work { name: "torn", disk, story, steps: GO_ON.to_vec() }
}

/// A log that was closed.
fn closed() -> Work {
    let (disk, story) = life(FaultStorage::new()).done();
    let disk = FaultStorage::from_image(disk.durable());
    Work { name: "closed", disk, story, steps: GO_ON.to_vec() }
}

/// Segments so large that their unused rest is given back.
fn large() -> Work {
    let steps = [Open, Durable(100), Roll, Append(70), Roll, Durable(9), Roll, Durable(1), Close];
    Work { name: "large", steps: steps.to_vec(), ..life(FaultStorage::new()) }
}

/// Segments so large that zeros are written into them while they are appended to.
fn filling() -> Work {
    let steps = [&[Open, Durable(9)][..], &[Batch(9, 1700); 5], &[Sync, Close]].concat();
    let work = Work { name: "large with zeros ahead", steps, ..life(FaultStorage::new()) };
    work.disk.set_zero_fill(true);
    work
}

/// Flips a bit behind the header of the frame at an address.
fn flip(image: &mut Image, at: u64) {
    let is_there = |name: &&str| match classify(name) {
        FileKind::Segment(base) => (base..base + TINY).contains(&at),
        _ => false,
    };
    let name = image.names().find(is_there).unwrap().to_owned();
    image.get_mut(&name).unwrap()[(at % TINY) as usize + 20] ^= 1;
}

/// A work that is being done.
pub(super) struct Life {
    pub(super) disk: FaultStorage,
    options: Options,
    pub(super) log: Option<Log>,
    pub(super) story: Story,
}

impl Life {
    pub(super) fn new(work: &Work, disk: FaultStorage) -> Self {
        let mut options = tiny();
        if work.name.starts_with("large") {
            options.segment_bytes(8 * TINY);
        }
        Self { disk, options, log: None, story: work.story.clone() }
    }

    /// Takes a step, and notes what came of it.
    pub(super) fn step(&mut self, step: Step) -> stratalog::Result<()> {
        let (parts, more) = match step {
            Open => {
                let log = self.log.insert(self.options.open_with(self.disk.clone())?);
                return self.story.opened(log, self.story.committed).map(drop);
            }
            Close => return self.close(),
            Commit | Sync | Roll | Truncate(_) | Cut(_) | State | Read => return self.other(step),
            Append(more) | Buffered(more) | Durable(more) | With(more) => (1, more),
            Batch(parts, more) => (parts, more),
        };
        let log = self.log.as_ref().expect("an open log");
        let payloads = self.story.payloads(parts, more);
        let first = &payloads[0];
        let appended = match step {
            Append(_) => log.append(first),
            Buffered(_) => log.append_buffered(first),
            Durable(_) => log.append_durable(first),
            With(_) => log.append_with(first.len(), |bytes| bytes.copy_from_slice(first)),
            _ => log.append_batch(&payloads).map(|range| range.start),
        };
        match (appended, step) {
            (Ok(lsn), _) => self.story.appended(lsn, payloads),
            (Err(error), _) => {
                if !no_space(&error) {
                    self.story.in_doubt(payloads);
                }
                self.story.note_watermarks(log);
                return Err(error);
            }
        }
        match step {
            Buffered(_) => {}
            Durable(_) => self.story.is_durable(),
            _ => self.story.is_committed(),
        }
        self.story.note_watermarks(log);
        Ok(())
    }

    fn other(&mut self, step: Step) -> stratalog::Result<()> {
        let log = self.log.as_ref().expect("an open log");
        match step {
            Commit => {
                log.commit()?;
                self.story.is_committed();
            }
            Sync => {
                log.sync()?;
                self.story.is_durable();
            }
            Roll => log.roll()?,
            Truncate(back) => {
                let head = self.story.dropping(back);
                assert_eq!(log.truncate_before(head)?, head);
                self.story.is_dropped();
            }
            Cut(back) => {
                log.truncate_after(self.story.cutting(back))?;
                self.story.is_cut();
            }
            State => log.set_app_state(b"a vote")?,
            _ => {
                let (seen, failure) = read(&log.snapshot());
                failure.map_or(Ok(()), Err)?;
                self.story.check(&seen, self.story.committed);
            }
        }
        self.story.note_watermarks(log);
        Ok(())
    }

    fn close(&mut self) -> stratalog::Result<()> {
        let closed = self.log.take().expect("an open log").close();
        if closed.is_ok() {
            self.story.is_durable();
        }
        closed
    }
}
