//! Looking for proof over a torn tail of any contents.
//!
//! Invariant: it finds what is there and nothing else, in a time that depends on the size only. How
//! much work it is, is counted by the tests of the search itself; the bound in seconds holds for
//! optimised code, so its tests are run on demand.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stratalog::format::{
    FrameHeader, Kind, Salt, evidence, frame_bytes, next_valid, payload_crc, segment_name,
};
use stratalog::{Log, Options};

use super::torn::{ID, START, contents};

/// The size of a segment unless one asks for another, and the time that was promised for it.
const SEGMENT_BYTES: usize = 64 << 20;
const PROMISED: Duration = Duration::from_millis(500);

/// The first valid frame, and proof, of what has none but perhaps records that prove nothing.
fn look(bytes: &[u8]) -> (Option<u64>, bool) {
    let salt = Salt::new(&ID);
    let proof = evidence(bytes, START, START, START, salt);
    (next_valid(bytes, START, START, salt), proof.is_some())
}

#[test]
fn nothing_in_a_torn_tail_is_taken_for_proof_but_proof() {
    let salt = Salt::new(&ID);
    for (what, mut bytes) in contents(1 << 20) {
        let (valid, proven) = look(&bytes);
        assert_eq!(valid.is_some(), what.contains("that prove nothing"), "{what}");
        assert!(!proven, "{what}");
        // One record at the very end that does prove something.
        for len in [0, 10, 1000] {
            let frame = frame_bytes(len) as usize;
            let at = bytes.len() - frame;
            let lsn = START + at as u64;
            let payload = vec![9; len as usize];
            let header = FrameHeader::new(Kind::Record, len, false, 1);
            let header = header.sealed(payload_crc(&payload), salt.at(lsn));
            bytes[at..].fill(0);
            bytes[at..at + 16].copy_from_slice(&header.encode());
            bytes[at + 16..at + 16 + payload.len()].copy_from_slice(&payload);
            let found = evidence(&bytes, START, START, START, salt).expect("proof");
            assert_eq!((found.at, found.watermark), (lsn, lsn - 8), "{what}");
        }
    }
}

/// Bounds in seconds are for optimised code, on demand.
fn is_asked_for() -> bool {
    let asked = super::common::number("STRATALOG_SECONDS").is_some_and(|value| value > 0);
    if !asked {
        println!("skipped: STRATALOG_SECONDS=1 asks for it, scripts/lookahead.sh does");
    }
    asked
}

/// A time that other processes have little part in: what this thread has computed, where the system
/// tells; what has passed, elsewhere.
fn now(begin: Instant) -> Duration {
    let computed = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = computed.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// The fastest of three runs, since the machine may be at something else.
fn timed<T>(mut work: impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    let time = |_| {
        let start = now(begin);
        black_box(work());
        now(begin).saturating_sub(start)
    };
    (0..3).map(time).min().expect("three runs")
}

#[test]
fn a_search_of_64_mib_of_anything_takes_less_than_half_a_second() {
    if !is_asked_for() {
        return;
    }
    let salt = Salt::new(&ID);
    let mut slow = Vec::new();
    for (what, bytes) in contents(SEGMENT_BYTES) {
        let proof = timed(|| evidence(&bytes, START, START, START, salt));
        let valid = timed(|| next_valid(&bytes, START, START, salt));
        println!("{what}: proof {proof:?}, next valid {valid:?}");
        if proof.max(valid) > PROMISED {
            slow.push(what);
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

#[test]
fn a_log_with_a_torn_segment_of_anything_opens_in_less_than_half_a_second() {
    if !is_asked_for() {
        return;
    }
    let mut slow = Vec::new();
    let size = SEGMENT_BYTES - 16384;
    for (what, bytes) in contents(size) {
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let log = Options::new().open(folder.path()).unwrap();
            log.append_durable(b"the first").unwrap();
            let end = log.tail().get() as usize;
            // What a crash leaves: the files as they are, before the log is closed.
            let crashed = tempfile::tempdir().unwrap();
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
            }
            log.close().unwrap();
            let path = crashed.path().join(segment_name(0));
            let mut file = std::fs::read(&path).unwrap();
            file[end..end + size - 8].copy_from_slice(&bytes[8..]);
            std::fs::write(&path, file).unwrap();
            std::fs::File::open(&path).unwrap().sync_all().unwrap();
            let begin = Instant::now();
            let start = now(begin);
            let log = Log::open(crashed.path()).unwrap();
            fastest = fastest.min(now(begin).saturating_sub(start));
            assert_eq!(log.snapshot().iter().count(), 1, "{what}");
        }
        println!("{what}: opened in {fastest:?}");
        if fastest > PROMISED {
            slow.push(what);
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
