//! [`FollowOptions`]: how a log is followed.
//!
//! Invariant: no option changes the order in which records are handed out.

use crate::protocol::Followed;
use crate::read::ReadOptions;

/// How a log is followed. Made with defaults, changed by setters.
///
/// ```
/// use stratalog::{FollowOptions, Options, storage::MemoryStorage};
/// let log = Options::new().open_with(MemoryStorage::new())?;
/// let durable_only = FollowOptions::new().durable_only(true);
/// let mut follower = log.follow_with(log.head(), durable_only)?;
/// log.append(b"committed")?;
/// assert!(follower.try_next()?.is_none());
/// log.sync()?;
/// assert!(follower.try_next()?.is_some());
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowOptions {
    durable_only: bool,
    pub(super) read: ReadOptions,
}

impl FollowOptions {
    /// The defaults: what is committed is handed out, read with the defaults of [`ReadOptions`].
    pub const fn new() -> Self {
        Self { durable_only: false, read: ReadOptions::new() }
    }

    /// Whether a record is handed out only once it survives power loss. Default false.
    ///
    /// For what must not be seen before: a replica that would be ahead of its source, an answer to
    /// somebody else. Following makes nothing durable by itself.
    #[must_use]
    pub const fn durable_only(self, durable_only: bool) -> Self {
        Self { durable_only, ..self }
    }

    /// How segments are read, and what becomes of damage.
    #[must_use]
    pub const fn read(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }

    pub(super) const fn followed(self) -> Followed {
        if self.durable_only { Followed::Durable } else { Followed::Committed }
    }
}
