//! [`Input`]: the lines of a file or a folder, numbered, as the records that the tour writes.
//!
//! Invariant: the process that writes and the one that checks have the very same input, even if
//! somebody edits the files meanwhile; so it is handed over as one file.
//!
//! The input is repeated without end. Record number `n` of the repetition has the payload
//!
//! ```text
//! u64 n | u32 file number | u32 line number | text of the line, without its end
//! ```

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::Outcome;

/// More than this is not read of a folder, in bytes.
const MAX_INPUT_BYTES: usize = 64 << 20;
/// A longer line goes in pieces of this size, so that a batch always fits in a segment.
const MAX_LINE_BYTES: usize = 32 << 10;

#[derive(Default)]
pub(crate) struct Input {
    /// File number, line number and text of each record, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    pub(crate) files: u32,
    /// Whether there was more than the tour takes.
    pub(crate) is_cut: bool,
}

impl Input {
    /// Reads the lines of a file, or of all text files in a folder, in the order of their names.
    pub(crate) fn collect(path: &Path) -> Outcome<Self> {
        let mut input = Self::default();
        let about = |error| format!("cannot read {}: {error}", path.display());
        if fs::metadata(path).map_err(about)?.is_dir() {
            input.add_folder(path).map_err(about)?;
        } else {
            input.add_file(path, false).map_err(about)?;
        }
        if input.ends.is_empty() {
            return Err(format!("there is no line of text in {}", path.display()).into());
        }
        Ok(input)
    }

    fn add_folder(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !is_hidden && entry.file_name() != "target" {
                self.add_folder(&entry.path())?;
            } else if kind.is_file() && !is_hidden {
                // What can't be read is no input; a folder may hold such things.
                let _ = self.add_file(&entry.path(), true);
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, only_text: bool) -> std::io::Result<()> {
        let room = MAX_INPUT_BYTES.saturating_sub(self.bytes.len());
        let mut content = Vec::new();
        // One byte more tells whether the file ends there.
        File::open(path)?.take(room as u64 + 1).read_to_end(&mut content)?;
        if only_text && content.iter().take(8 << 10).any(|byte| *byte == 0) {
            return Ok(());
        }
        if content.len() > room {
            self.is_cut = true;
            content.truncate(room);
        }
        if content.last() == Some(&b'\n') {
            content.pop();
        } else if content.is_empty() {
            return Ok(());
        }
        self.files += 1;
        for (line, text) in (1_u32..).zip(content.split(|byte| *byte == b'\n')) {
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            // The first piece of an empty line is that line.
            let (first, rest) = text.split_at(text.len().min(MAX_LINE_BYTES));
            for piece in std::iter::once(first).chain(rest.chunks(MAX_LINE_BYTES)) {
                self.bytes.extend_from_slice(&self.files.to_le_bytes());
                self.bytes.extend_from_slice(&line.to_le_bytes());
                self.bytes.extend_from_slice(piece);
                self.ends.push(self.bytes.len());
            }
        }
        Ok(())
    }

    /// Writes the input to a file, for [`load`](Self::load).
    pub(crate) fn save(&self, path: &Path) -> Outcome<()> {
        let mut file = Vec::with_capacity(self.bytes.len() + self.ends.len() * 8 + 8);
        file.extend_from_slice(&(self.ends.len() as u64).to_le_bytes());
        for end in &self.ends {
            file.extend_from_slice(&(*end as u64).to_le_bytes());
        }
        file.extend_from_slice(&self.bytes);
        Ok(fs::write(path, file)?)
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(crate) fn load(path: &Path) -> Outcome<Self> {
        let file = fs::read(path)?;
        let mut rest = file.as_slice();
        let count = usize::try_from(take_number(&mut rest).ok_or("no input")?)?;
        let mut input = Self::default();
        for _ in 0..count {
            input.ends.push(usize::try_from(take_number(&mut rest).ok_or("short input")?)?);
        }
        input.bytes = rest.to_vec();
        Ok(input)
    }

    /// How many records the input has before it repeats.
    pub(crate) fn records(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes these have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The payload of record `number`, after its first 8 bytes.
    pub(crate) fn record(&self, number: u64) -> &[u8] {
        let index = usize::try_from(number % self.ends.len() as u64).unwrap_or_default();
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(index).copied().unwrap_or_default();
        self.bytes.get(start.unwrap_or_default()..end).unwrap_or_default()
    }

    /// The size of the payload of record `number`, in bytes.
    pub(crate) fn payload_bytes(&self, number: u64) -> u64 {
        self.record(number).len() as u64 + 8
    }
}

/// Takes a number off the front.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
