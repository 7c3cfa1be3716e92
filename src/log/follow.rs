//! [`Follower`]: the records of a log as they are committed, one after the other.
//!
//! Invariant: every record from where it began is handed out once and in order, up to the first error;
//! and it pins one segment, the one that its position lies in.
//!
//! 1. Find: the next record in the window, which is on one segment.
//! 2. Used up, and the watermark has moved: look at the log's segments as they are now. The position
//!    lies in one of them (go on there), at the end of one (go on in the next), below the head (it
//!    was overtaken), or between them (it was cut away).
//! 3. Used up, and it has not moved: wait, or say why nothing will come.
//!
//! A record is found first and borrowed then: `found` lies in the window as long as nothing else is
//! looked for.

mod options;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Log, Shared};
use crate::append::appender::Appender;
use crate::error::{Error, Result};
use crate::format::{FRAME_HEADER_BYTES, LINK_FRAME_BYTES};
use crate::lsn::Lsn;
use crate::protocol::{Ahead, Followed, Place};
use crate::read::window::{Found, Window};
use crate::read::{ReadOptions, Record};
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::sync::Deadline;

pub use options::FollowOptions;

impl Log {
    /// Follows the log from the first record at or after `lsn` on: hands out what is committed, and
    /// then each record as it is committed.
    ///
    /// `lsn` is a place to resume from, as with [`iter_from`](crate::Snapshot::iter_from): a record's
    /// address or [`next_lsn`](Record::next_lsn), the end of a batch, a follower's
    /// [`position`](Follower::position), [`head`](Self::head) for everything, or
    /// [`committed`](Self::committed) for what comes from now on.
    ///
    /// Damage is an error when it is read, or passed where the log was opened with
    /// [`SkipCorrupt`](crate::RecoveryPolicy::SkipCorrupt).
    ///
    /// ```
    /// use std::thread;
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// log.append(b"one")?;
    /// let mut follower = log.follow(log.head())?;
    /// let reader = thread::spawn(move || {
    ///     let mut seen = Vec::new();
    ///     loop {
    ///         match follower.next() {
    ///             Ok(record) => seen.push(record.payload().to_vec()),
    ///             Err(stratalog::Error::Closed) => return Ok(seen),
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    /// });
    /// log.append(b"two")?;
    /// log.close()?;
    /// assert_eq!(reader.join().expect("no panic")?, [b"one", b"two"]);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// A record is handed out once it is committed, so power loss may still take it; and a position
    /// above what is durable may then be [`NotYet`](Error::NotYet) or [`Cut`](Error::Cut) when the log
    /// is opened again. [`FollowOptions::durable_only`] hands out what survives.
    ///
    /// # Errors
    ///
    /// Those of [`iter_from`](crate::Snapshot::iter_from): [`Truncated`](Error::Truncated),
    /// [`NotYet`](Error::NotYet) above what is committed, [`Cut`](Error::Cut),
    /// [`NotARecord`](Error::NotARecord), [`Corrupt`](Error::Corrupt), [`Io`](Error::Io).
    pub fn follow(&self, lsn: Lsn) -> Result<Follower> {
        self.follow_with(lsn, FollowOptions::new().read(self.shared().read_options()))
    }

    /// Follows the log with these options, whatever the recovery policy. See
    /// [`follow`](Self::follow).
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow).
    pub fn follow_with(&self, lsn: Lsn, options: FollowOptions) -> Result<Follower> {
        let snapshot = self.snapshot_with(options.read);
        // Where the first record is looked for: with damage at `lsn` that is passed, behind it.
        let position = snapshot.iter_from(lsn)?.at().unwrap_or(lsn.get());
        let shared = Arc::clone(self.shared());
        let set = shared.appender.disk.segments.load();
        let mut follower = Follower {
            shared,
            followed: options.followed(),
            read: options.read,
            position,
            passed: position,
            window: None,
            found: None,
            skipped_bytes: 0,
            place: Place::default(),
            failed: None,
        };
        // Pinned from now on, so that it is known what lies between this place and a later head.
        let below = set.segments.partition_point(|segment| segment.start() <= position);
        if let Some(segment) = below.checked_sub(1).and_then(|index| set.segments.get(index)) {
            follower.look_at(segment, position);
        }
        Ok(follower)
    }
}

/// Hands out the records of a log as they are committed; see [`Log::follow`].
///
/// Any number of them follow a log at once, each at a pace of its own. Appenders do not wait for them,
/// and do nothing for those who do not wait just then. A follower never makes anyone write or sync: a
/// record of [`append_buffered`](Log::append_buffered) is handed out when somebody else commits it.
///
/// There are four ways to ask for the next record: [`next`](Self::next) blocks,
/// [`next_timeout`](Self::next_timeout) does so for a while, [`try_next`](Self::try_next) does not, and
/// [`next_async`](Self::next_async), with [`ready`](Self::ready) and [`poll_next`](Self::poll_next),
/// is for tasks of any runtime. None polls in the background, and none needs the log's own thread.
///
/// # What it pins
///
/// The one segment that its position lies in, whether it waits or not: the segment's bytes stay
/// readable, and its file stays on the disk, also when it is truncated away meanwhile. What lies
/// before and behind is free to go. A follower that nobody asks any more should be dropped.
///
/// With [`ReadOptions::copy`] it has memory for what was committed of that segment when it came to
/// look, from its position on.
///
/// # How it ends
///
/// By an error, which every later call returns again; to go on, begin anew with [`Log::follow`].
///
/// - [`Closed`](Error::Closed): the log was closed, or its last handle dropped, and everything was
///   handed out. A follower does not keep the log open.
/// - [`Poisoned`](Error::Poisoned): a write or sync failed, and everything that can be trusted was
///   handed out.
/// - [`Truncated`](Error::Truncated): a record that it had not come to was dropped. What lies in the
///   segment that it pins may be handed out before.
/// - [`Cut`](Error::Cut): its position was cut away. What was cut away behind its position may have
///   been handed out before, if it was committed by then; a position at the very end of what was kept
///   goes on in what follows.
/// - [`Corrupt`](Error::Corrupt), [`Io`](Error::Io): the record at its position can't be read.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    followed: Followed,
    read: ReadOptions,
    position: u64,
    /// Up to here there is nothing else to hand out, though the position may lie below: behind a cut
    /// no segment may have been made yet.
    passed: u64,
    /// On the segment that holds the position, or that ends there.
    window: Option<Window>,
    /// The next record, where it was looked for and not yet handed out.
    found: Option<Found>,
    /// In windows before.
    skipped_bytes: u64,
    /// Of the waker that was left by polling.
    place: Place,
    failed: Option<Error>,
}

impl Follower {
    /// Waits for the next record.
    ///
    /// # Errors
    ///
    /// What ends the follower: see [there](Self#how-it-ends).
    #[expect(clippy::should_implement_trait, reason = "what it hands out borrows from it")]
    pub fn next(&mut self) -> Result<Record<'_>> {
        while !self.find()? {
            self.wait(&Deadline::NEVER);
        }
        self.hand_out()
    }

    /// Waits for the next record, at most so long.
    ///
    /// ```
    /// use std::time::Duration;
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let mut follower = log.follow(log.committed())?;
    /// assert!(follower.next_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Record<'_>>> {
        let deadline = Deadline::after(timeout);
        while !self.find()? {
            if self.wait(&deadline) == Ahead::Nothing {
                return Ok(None);
            }
        }
        self.hand_out().map(Some)
    }

    /// Returns the next record if it is there.
    ///
    /// ```
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let mut follower = log.follow(log.head())?;
    /// log.append_buffered(b"record")?;
    /// assert!(follower.try_next()?.is_none());
    /// log.commit()?;
    /// assert_eq!(follower.try_next()?.expect("a record").payload(), b"record");
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<Record<'_>>> {
        if self.find()? { self.hand_out().map(Some) } else { Ok(None) }
    }

    /// Waits for the next record without blocking the thread.
    ///
    /// The future needs no runtime and may be dropped at any time: no record is lost by that. It is
    /// woken by whichever thread commits the record, in the midst of its append.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_async(&mut self) -> Result<Record<'_>> {
        self.ready().await?;
        self.hand_out()
    }

    /// Waits without blocking the thread until [`try_next`](Self::try_next) returns a record.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn ready(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// Returns the next record if it is there; otherwise the context's waker is woken when it may be.
    ///
    /// Records borrow from the follower. Where that is in the way, as in a `Stream`, copy what is
    /// needed: `stream::poll_fn(move |context| follower.poll_next(context).map_ok(..).map(Some))`.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let mut follower = log.follow(log.head())?;
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(follower.poll_next(&mut context).is_pending());
    /// log.append(b"record")?;
    /// let Poll::Ready(record) = follower.poll_next(&mut context) else { panic!("a record") };
    /// assert_eq!(record?.payload(), b"record");
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Record<'_>>> {
        match self.poll_ready(context) {
            Poll::Ready(Ok(())) => Poll::Ready(self.hand_out()),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Where it goes on: behind what it has handed out last, or further up if there was no record in
    /// between. A place to begin anew, also after the log was opened again.
    pub fn position(&self) -> Lsn {
        Lsn::new(self.position)
    }

    /// How many bytes were passed because they are damaged, so far. 0 unless
    /// [`skip_damage`](ReadOptions::skip_damage) is set.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes + self.window.as_ref().map_or(0, Window::skipped_bytes)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let found = self.find();
            let awaited = self.awaited();
            let Self { shared, followed, place, .. } = self;
            let protocol = &shared.appender.protocol;
            if !matches!(found, Ok(false)) {
                protocol.forget_follower(*followed, place);
                return Poll::Ready(found.map(drop));
            }
            let ahead = protocol.poll_ahead(*followed, awaited, place, context.waker());
            if ahead == Ahead::Nothing {
                return Poll::Pending;
            }
        }
    }

    fn wait(&self, deadline: &Deadline) -> Ahead {
        self.shared.appender.protocol.wait_ahead(self.followed, self.awaited(), deadline)
    }

    /// What the watermark has to pass for there to be more.
    fn awaited(&self) -> u64 {
        self.position.max(self.passed)
    }

    /// Hands out the record that was found.
    fn hand_out(&mut self) -> Result<Record<'_>> {
        match (&self.window, self.found.take()) {
            (Some(window), Some(found)) => {
                self.position = found.next_lsn;
                window.record(found)
            }
            _ => Err(Error::NotARecord { lsn: self.position() }),
        }
    }

    /// Looks for the next record. False if there is none yet.
    fn find(&mut self) -> Result<bool> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let found = self.look();
        if let Err(error) = &found {
            self.failed = Some(error.clone());
            self.skipped_bytes = self.skipped_bytes();
            self.window = None;
        }
        found
    }

    fn look(&mut self) -> Result<bool> {
        while self.found.is_none() {
            if let Some(window) = &mut self.window {
                self.found = window.find()?;
                if self.found.is_some() {
                    break;
                }
                self.position = self.position.max(window.at());
            }
            let Appender { protocol, disk, .. } = &self.shared.appender;
            match protocol.ahead(self.followed, self.awaited()) {
                Ahead::More => self.go_on()?,
                Ahead::Nothing => return Ok(false),
                Ahead::Stopped(stopped) => return Err(disk.stopped(stopped)),
            }
        }
        Ok(true)
    }

    /// Goes on in what the log holds now: the watermark has moved beyond the position.
    fn go_on(&mut self) -> Result<()> {
        let (mut end, set, refused) = self.shared.readable();
        if self.followed == Followed::Durable {
            // It lies below what was committed before it, and so in the set.
            end = end.min(self.shared.appender.protocol.durable());
        }
        let at = self.position;
        if at < set.head {
            return self.catch_up_with_head(&set);
        }
        if end <= at {
            return refused.map_or(Ok(()), Err);
        }
        let above = set.segments.partition_point(|segment| segment.start() <= at);
        let below = above.checked_sub(1).and_then(|index| set.segments.get(index));
        match below {
            Some(segment) if holds(segment, at) => self.look_at(segment, end),
            // Between two segments, and not at the end of the first: it was cut away.
            Some(segment) if at > segment.end => return Err(Error::Cut { lsn: self.position() }),
            below => match (set.segments.get(above).filter(|next| next.start() < end), below) {
                (Some(next), _) => {
                    self.position = next.start();
                    self.look_at(next, end);
                }
                // At the end of a cut, which is under way, or behind which nothing was needed yet.
                (None, Some(last)) => {
                    self.position = end.min(last.end);
                    self.passed = end;
                    self.look_at(last, end);
                }
                (None, None) => self.passed = end,
            },
        }
        Ok(())
    }

    /// Passes what lies below the head, if there was no record in it.
    fn catch_up_with_head(&mut self, set: &SegmentSet) -> Result<()> {
        let (lsn, head) = (self.position(), set.head);
        let Appender { protocol, disk, .. } = &self.shared.appender;
        // The segment that was cut may be gone.
        protocol.uncut(self.position).map_err(|stopped| disk.stopped(stopped))?;
        let overtaken = Err(Error::Truncated { lsn, head: Lsn::new(head) });
        let Some(window) = &mut self.window else { return overtaken };
        window.extend(head);
        if !matches!(window.find(), Ok(None)) {
            return overtaken;
        }
        let segment = window.segment();
        if head > segment.end {
            // The link is all that may lie before it.
            let index = set.segments.partition_point(|segment| segment.start() <= head);
            let holder = index.checked_sub(1).and_then(|index| set.segments.get(index));
            let follows = |holder: &Arc<Segment>| {
                segment.next_base() == Some(holder.base)
                    && head <= holder.start() + LINK_FRAME_BYTES
            };
            if !holder.is_some_and(follows) {
                return overtaken;
            }
        }
        self.position = head;
        Ok(())
    }

    /// Has the window show the frames of `segment` from the position on, up to `end`.
    fn look_at(&mut self, segment: &Arc<Segment>, end: u64) {
        match &mut self.window {
            Some(window) if Arc::ptr_eq(window.segment(), segment) => window.extend(end),
            _ => {
                self.skipped_bytes = self.skipped_bytes();
                let storage = Arc::clone(&self.shared.appender.disk.storage);
                let range = (self.position, end);
                self.window = Some(Window::new(storage, Arc::clone(segment), range, self.read));
            }
        }
    }
}

/// Whether a frame may begin at `at`, not below the first, in what `segment` holds.
fn holds(segment: &Segment, at: u64) -> bool {
    segment.end.saturating_sub(at) >= FRAME_HEADER_BYTES
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.appender.protocol.forget_follower(self.followed, &mut self.place);
    }
}
