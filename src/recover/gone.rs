//! [`unless_gone`]: looks again where a file that was listed has gone meanwhile.
//!
//! Invariant: a file that is listed still and can't be found, such as a link that leads nowhere, is an
//! error at once; and there is an end to looking.

use std::io::ErrorKind;

use crate::error::{Error, Result};
use crate::storage::Storage;

/// A writer that drops segments as fast as it can takes one away during most looks.
const TRIES_MAX: usize = 256;

/// Has `look` look, and look again as long as it fails because a file has gone since it was listed.
pub(crate) fn unless_gone<T>(
    storage: &dyn Storage,
    mut look: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 1;
    loop {
        match look() {
            Err(error) if tries < TRIES_MAX && has_gone(storage, &error) => tries += 1,
            found => return found,
        }
    }
}

fn has_gone(storage: &dyn Storage, error: &Error) -> bool {
    let Error::Io { path, .. } = error else { return false };
    let is_listed = |names: Vec<String>| names.iter().any(|name| storage.path(name) == *path);
    is_gone(error) && storage.names().is_ok_and(|names| !is_listed(names))
}

/// Whether a file was not there.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}
