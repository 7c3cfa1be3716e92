//! [`Input`]: standard input, cut into records.
//!
//! Invariant: a wait for input can be interrupted, and who waits is told when nothing comes, so that
//! what has come can be appended meanwhile.

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::interrupt;

const CHUNK_BYTES: usize = 64 << 10;
/// How many chunks are read ahead.
const CHUNKS: usize = 16;
const LENGTH_BYTES: usize = 4;
/// After such a pause the input is idle.
const IDLE: Duration = Duration::from_millis(50);

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Taken {
    Bytes(Vec<u8>),
    /// There is nothing just now.
    Idle,
    /// The input has ended; so many bytes are left that are not enough.
    End(Vec<u8>),
    /// The command is to end.
    Interrupted,
}

/// Standard input.
pub(crate) struct Input {
    chunks: Receiver<io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    /// What lies below was taken.
    at: usize,
    /// No delimiter lies between `at` and here.
    searched: usize,
    ended: bool,
}

impl Input {
    /// Begins to read.
    pub(crate) fn begin() -> Self {
        let (sender, chunks) = mpsc::sync_channel(CHUNKS);
        // It may stay behind in a read that never returns; the process ends all the same.
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = stdin.read(&mut chunk).map(|len| {
                    chunk.truncate(len);
                    chunk
                });
                let is_last = read.as_ref().map_or(true, Vec::is_empty);
                if sender.send(read).is_err() || is_last {
                    break;
                }
            }
        });
        Self { chunks, buffer: Vec::new(), at: 0, searched: 0, ended: false }
    }

    /// Takes what lies before the next `delimiter`, and the delimiter itself away.
    pub(crate) fn until(&mut self, delimiter: u8) -> Result<Taken, Failure> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(found) = rest.iter().position(|byte| *byte == delimiter) {
                let end = self.searched + found;
                let bytes = self.buffer.get(self.at..end).unwrap_or_default().to_vec();
                (self.at, self.searched) = (end + 1, end + 1);
                return Ok(Taken::Bytes(bytes));
            }
            self.searched = self.buffer.len();
            if let Some(stopped) = self.fill()? {
                return Ok(stopped);
            }
        }
    }

    /// Takes so many bytes.
    pub(crate) fn exactly(&mut self, len: usize) -> Result<Taken, Failure> {
        loop {
            let end = self.at.saturating_add(len);
            if let Some(bytes) = self.buffer.get(self.at..end) {
                let bytes = bytes.to_vec();
                (self.at, self.searched) = (end, end);
                return Ok(Taken::Bytes(bytes));
            }
            if let Some(stopped) = self.fill()? {
                return Ok(stopped);
            }
        }
    }

    /// Takes a length, 4 bytes little endian, and so many bytes behind it; nothing before all are there.
    pub(crate) fn prefixed(&mut self) -> Result<Taken, Failure> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some((len, rest)) = rest.split_first_chunk() {
                let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
                if let Some(bytes) = rest.get(..len) {
                    let bytes = bytes.to_vec();
                    self.at += LENGTH_BYTES + len;
                    self.searched = self.at;
                    return Ok(Taken::Bytes(bytes));
                }
            }
            if let Some(stopped) = self.fill()? {
                return Ok(stopped);
            }
        }
    }

    /// Adds a chunk, or says why there is none.
    fn fill(&mut self) -> Result<Option<Taken>, Failure> {
        if interrupt::is_requested() {
            return Ok(Some(Taken::Interrupted));
        }
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.searched = self.searched.saturating_sub(self.at);
            self.at = 0;
        }
        if self.ended {
            (self.at, self.searched) = (0, 0);
            return Ok(Some(Taken::End(std::mem::take(&mut self.buffer))));
        }
        match self.chunks.recv_timeout(IDLE) {
            Ok(Ok(chunk)) if chunk.is_empty() => self.ended = true,
            Ok(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
            Ok(Err(source)) => {
                return Err(Failure::io("read", Path::new("standard input"), source));
            }
            Err(RecvTimeoutError::Timeout) => return Ok(Some(Taken::Idle)),
            Err(RecvTimeoutError::Disconnected) => self.ended = true,
        }
        Ok(None)
    }
}
