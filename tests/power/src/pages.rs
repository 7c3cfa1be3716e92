//! [`Pages`]: what a block device holds, in memory.
//!
//! Invariant: a clone shares all pages until one of the two writes, so that an image of a cut costs
//! its table and what is written to it afterwards. A page that was never written reads as zeros.

use std::sync::Arc;

/// The unit of sharing, and what a cut persists or drops as a whole unless it tears sectors.
pub(crate) const PAGE_BYTES: usize = 4096;

type Page = Arc<[u8; PAGE_BYTES]>;

#[derive(Clone)]
pub(crate) struct Pages {
    pages: Vec<Option<Page>>,
}

impl Pages {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { pages: vec![None; bytes as usize / PAGE_BYTES] }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// Reads up to `len` bytes; fewer at the end of the device.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.bytes().min(offset + len as u64) as usize;
        let mut at = offset as usize;
        let mut bytes = Vec::with_capacity(end.saturating_sub(at));
        while at < end {
            let within = at % PAGE_BYTES;
            let step = (PAGE_BYTES - within).min(end - at);
            match &self.pages[at / PAGE_BYTES] {
                Some(page) => bytes.extend_from_slice(&page[within..within + step]),
                None => bytes.resize(bytes.len() + step, 0),
            }
            at += step;
        }
        bytes
    }

    /// Writes bytes; what lies beyond the end of the device is left out.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = at % PAGE_BYTES;
            let (now, later) = rest.split_at((PAGE_BYTES - within).min(rest.len()));
            let Some(slot) = self.pages.get_mut(at / PAGE_BYTES) else { return };
            // Journals that are made empty stay sparse.
            if slot.is_some() || now.iter().any(|byte| *byte != 0) {
                let page = slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
                Arc::make_mut(page)[within..within + now.len()].copy_from_slice(now);
            }
            at += now.len();
            rest = later;
        }
    }
}
