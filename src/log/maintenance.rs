//! The maintenance thread: syncs for futures and callbacks, keeps a spare ready, fills ahead, seals
//! what is full, marks idleness.
//!
//! Invariant: the log is correct without it; appenders that need what it would have done do it
//! themselves. While the log is neither closed nor poisoned the thread is at work if it was started
//! at all. A failure of its writes or syncs poisons, a full disk does not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::error::Result;
use crate::segment::bell::Woken;
use crate::sync::{self, JoinHandle};

/// How long nothing must have become durable for the log to count as idle.
const IDLE_AFTER: Duration = Duration::from_millis(50);

/// Starts the thread. The first that it does is to close files that opening has removed.
pub(super) fn spawn(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    sync::spawn("stratalog", move || run(&shared))
}

/// Poisons if the thread unwinds: a storage of the caller's has panicked.
struct Unwinding<'a>(&'a Shared);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.appender.protocol.poison();
        }
    }
}

fn run(shared: &Shared) {
    let _unwinding = Unwinding(shared);
    let disk = &shared.appender.disk;
    let mut idle = Idle::default();
    // Before it makes files of its own: their space may be needed.
    while disk.supply.pool.close_one() {}
    while !disk.bell.is_stopped() {
        let worked = work(shared).and_then(|()| {
            let timeout = disk.bell.is_watched().then_some(IDLE_AFTER);
            match disk.bell.wait(timeout) {
                Woken::TimedOut => idle.look(shared),
                Woken::Rung | Woken::Stop => Ok(()),
            }
        });
        if let Err(error) = worked {
            disk.poison(&shared.appender.protocol, &error);
            return;
        }
    }
}

/// Does what there is to do, until nothing is left or the log closes.
fn work(shared: &Shared) -> Result<()> {
    let appender = &shared.appender;
    let disk = &appender.disk;
    while !disk.bell.is_stopped() && appender.protocol.state().is_none() {
        if let Some(target) = appender.protocol.asked() {
            appender.sync_kept(target)?;
        }
        disk.seal_ended(&appender.protocol)?;
        if disk.keep_spares(&appender.protocol)? {
            continue;
        }
        if !disk.supply.fill_ahead(&appender.protocol)? {
            return Ok(());
        }
    }
    Ok(())
}

/// What the thread saw when it last looked.
#[derive(Debug, Default)]
struct Idle {
    durable: u64,
    /// The end of the last mark.
    marked: u64,
}

impl Idle {
    /// Appends the idle mark if nothing has happened for a while and nothing is waiting to be
    /// synced.
    fn look(&mut self, shared: &Shared) -> Result<()> {
        let protocol = &shared.appender.protocol;
        let disk = &shared.appender.disk;
        if self.durable != protocol.durable() {
            self.durable = protocol.durable();
            return Ok(());
        }
        // What becomes durable after this rings again.
        disk.bell.unwatch();
        let quiet = protocol.durable() == self.durable && protocol.tail() == self.durable;
        if quiet
            && self.marked != self.durable
            && let Some(end) = disk.mark_idle(protocol, self.durable)?
        {
            // Not what is durable by now: a record behind the mark needs one of its own.
            self.marked = end;
        }
        Ok(())
    }
}
