//! Waiting for durability without blocking a thread: [`DurableAt`], a future, and callbacks.
//!
//! Invariant: each ends with what [`Log::sync_to`] would have returned, and nobody has to call `sync`
//! for that: the log's own thread leads for them, or the call that asks syncs by itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Log, Shared};
use crate::append::appender::Appender;
use crate::error::Result;
use crate::lsn::Lsn;
use crate::protocol::{self, Outcome, Place, Polled, Stopped, call};

impl Log {
    /// Makes everything up to and including the record at `lsn` durable, but not more than what was
    /// appended before the call; the future ends with the durable watermark.
    ///
    /// The future needs no runtime, may be dropped at any time, and does not keep the log open:
    /// closing the log syncs everything, so the future then ends with that. Polling it does not
    /// block. When it is polled first, the log's own thread is asked to sync, together with all others
    /// that wait then. Without that thread, that is with
    /// [`background(false)`](crate::Options::background), this very call syncs, as
    /// [`sync_to`](Self::sync_to) does.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #             Poll::Ready(output) => return output,
    /// #             Poll::Pending => std::thread::yield_now(),
    /// #         }
    /// #     }
    /// # }
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let durable = block_on(async {
    ///     let lsn = log.append_buffered(b"record")?;
    ///     log.durable_at(lsn).await
    /// })?;
    /// assert_eq!(durable, log.tail());
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// Everything below the address that the future ends with survives power loss. Dropping the
    /// future takes back nothing: what was appended stays.
    ///
    /// # Errors
    ///
    /// The future ends with the errors of [`sync`](Self::sync). If the log was closed or poisoned
    /// before this call, it does so at once.
    pub fn durable_at(&self, lsn: Lsn) -> DurableAt {
        let state = match self.target(lsn).map(|target| (target, self.outcome_now(target))) {
            Ok((target, None)) => State::Waiting { target, place: Place::default() },
            Ok((_, Some(outcome))) => State::Ready(outcome),
            Err(cut) => State::Ready(Err(cut)),
        };
        DurableAt { shared: Arc::clone(self.shared()), state }
    }

    /// Makes everything up to and including the record at `lsn` durable, but not more than what was
    /// appended before the call; then calls `callback` with the durable watermark.
    ///
    /// If that is durable already, or the log is closed or poisoned, the calling thread runs the
    /// callback before this returns. Otherwise the log's own thread is asked to sync, and whichever
    /// thread leads the sync that covers the record runs it: that may also be one that appends
    /// durably, syncs or closes. Callbacks that one sync covers run one after the other, in order of
    /// `lsn`; those of two syncs may run at the same time.
    /// Without that thread, that is with [`background(false)`](crate::Options::background), this very
    /// call syncs, and runs the callback.
    ///
    /// A callback should be short: others wait for it. No lock is held, so it may use the log, also
    /// append and ask for further callbacks; but it must not wait for another callback or future. If
    /// it panics, the panic ends there: it is reported by the panic hook and otherwise ignored.
    ///
    /// Closing the log, or dropping its last handle, syncs everything, so every callback is called,
    /// though another thread may still be at it when closing returns.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let (sender, receiver) = channel();
    /// for word in ["one", "two"] {
    ///     let (lsn, sender) = (log.append_buffered(word.as_bytes())?, sender.clone());
    ///     log.on_durable(lsn, move |durable| drop(sender.send((word, durable.is_ok()))));
    /// }
    /// assert_eq!(receiver.recv(), Ok(("one", true)));
    /// assert_eq!(receiver.recv(), Ok(("two", true)));
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// Everything below the address that the callback gets survives power loss.
    ///
    /// # Errors
    ///
    /// The callback gets the errors of [`sync`](Self::sync).
    pub fn on_durable(&self, lsn: Lsn, callback: impl FnOnce(Result<Lsn>) + Send + 'static) {
        let target = self.target(lsn);
        let shared = Arc::clone(self.shared());
        let callback = Box::new(move |outcome| callback(shared.result(outcome)));
        let appender = self.appender();
        let target = match target {
            Ok(target) => target,
            Err(cut) => return call(callback, Err(cut)),
        };
        match self.outcome_now(target) {
            Some(outcome) => call(callback, outcome),
            None if appender.protocol.call_when_durable(target, callback) => {
                appender.disk.bell.ring();
            }
            None => {}
        }
    }

    /// What becomes of waiting for `target`, where nobody else is to lead for it.
    fn outcome_now(&self, target: u64) -> Option<Outcome> {
        let appender = self.appender();
        match appender.protocol.state() {
            Some(protocol::State::Poisoned) => Some(Err(Stopped::Poisoned)),
            Some(protocol::State::Closed) => Some(Err(Stopped::Closed)),
            // The thread ends only after the log was closed or poisoned, either of which tells all
            // who wait.
            None if self.handle.has_thread() => None,
            None => Some(appender.sync_outcome(target)),
        }
    }
}

impl Shared {
    fn result(&self, outcome: Outcome) -> Result<Lsn> {
        outcome.map(Lsn::new).map_err(|stopped| self.appender.disk.stopped(stopped))
    }
}

/// Ends when a record is durable; see [`Log::durable_at`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct DurableAt {
    shared: Arc<Shared>,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready(Outcome),
    Waiting { target: u64, place: Place },
}

impl Future for DurableAt {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Lsn>> {
        let Self { shared, state } = &mut *self;
        let outcome = match state {
            State::Ready(outcome) => *outcome,
            State::Waiting { target, place } => {
                let Appender { protocol, disk, .. } = &shared.appender;
                match protocol.poll_durable(*target, place, context.waker()) {
                    Polled::Ready(outcome) => outcome,
                    Polled::Ask => {
                        disk.bell.ring();
                        return Poll::Pending;
                    }
                    Polled::Wait => return Poll::Pending,
                }
            }
        };
        *state = State::Ready(outcome);
        Poll::Ready(shared.result(outcome))
    }
}

impl Drop for DurableAt {
    fn drop(&mut self) {
        if let State::Waiting { place, .. } = &mut self.state {
            self.shared.appender.protocol.withdraw(place);
        }
    }
}
