//! [`ReadOptions`]: how a snapshot is read.
//!
//! Invariant: no option changes which records there are in an undamaged log.

/// How a [`Snapshot`](crate::Snapshot) is read. Made with defaults, changed by setters.
///
/// ```
/// use stratalog::ReadOptions;
/// let certain = ReadOptions::new().copy(true);
/// assert_ne!(certain, ReadOptions::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    pub(super) verify: bool,
    pub(super) copy: bool,
    pub(super) skip_damage: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadOptions {
    /// The defaults: checksums are verified, files are mapped, damage is an error.
    pub const fn new() -> Self {
        Self { verify: true, copy: false, skip_damage: false }
    }

    /// Whether each frame's checksum is verified as it is read. Default true.
    ///
    /// Without it damaged payloads are handed out as they are, and a damaged length leads anywhere
    /// in its segment. What proves that an address is a record's is verified all the same.
    #[must_use]
    pub const fn verify(self, verify: bool) -> Self {
        Self { verify, ..self }
    }

    /// Whether segments are read into memory of our own, instead of being mapped. Default false.
    ///
    /// A disk that fails under a map can be a signal that ends the process, `SIGBUS`. Where the
    /// system allows it, maps are read ahead in a way that reports an error instead, which makes the
    /// signal unlikely, not impossible. With `copy` it is impossible. Each segment that is read then
    /// takes its size in memory until the snapshot is dropped.
    #[must_use]
    pub const fn copy(self, copy: bool) -> Self {
        Self { copy, ..self }
    }

    /// Whether an iterator steps over damage instead of ending with an error. Default false.
    ///
    /// It goes on at the next frame that is valid at its own address, in the same segment or in the
    /// one behind it. Whoever appended a payload that holds a frame made for the very address at
    /// which it came to lie will find it taken for a record where the frame around it is damaged:
    /// this is for saving what is left.
    #[must_use]
    pub const fn skip_damage(self, skip_damage: bool) -> Self {
        Self { skip_damage, ..self }
    }

    pub(crate) const fn skips_damage(self) -> bool {
        self.skip_damage
    }
}
