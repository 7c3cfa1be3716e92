//! [`OneLine`]: a path for a message.
//!
//! Invariant: what is shown has no control characters, so that the name of a file, which may hold any,
//! can't end a line of a message or forge another.

use std::fmt::{self, Write};
use std::path::Path;

/// Shows a path with its control characters escaped.
pub(crate) struct OneLine<'a>(pub(crate) &'a Path);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
