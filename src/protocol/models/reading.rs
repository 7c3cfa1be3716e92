//! Models of reading: what a thread may conclude from the committed watermark.
//!
//! Invariant: everything below it is written, whole batches only, in segments that readers find.
//! The reader is the spawned thread: loom lets a load choose among the stores made so far, but does
//! not try it before a later store.

use super::*;
use crate::protocol::models::rolling::next;

#[test]
fn a_batch_is_committed_whole() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.protocol.committed());
        let (at, end) = log.batch(&[&[1; 8], &[2; 8]]).unwrap();
        let committed = thread.join().unwrap();
        assert!(committed <= at || committed >= end, "committed never lies inside a batch");
    });
}

#[test]
fn a_reader_never_sees_past_what_is_written() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| {
            let committed = log.protocol.committed();
            if committed > START {
                log.disk.bytes.on_read();
            }
            assert!(log.disk.state.lock().written_to >= committed);
        });
        log.append(&[1; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_snapshot_finds_every_segment_that_holds_what_is_committed() {
    model(|| {
        let log = Log::new(24, 64, next(24));
        let thread = spawn(&log, move |log| {
            // In this order: a segment is in the set before anything in it is committed.
            let end = log.protocol.committed();
            let state = log.disk.state.lock();
            assert!(end <= START + 24 || state.set == [8192], "the set lacks a segment");
        });
        log.append(&[1; 8]).unwrap();
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}
