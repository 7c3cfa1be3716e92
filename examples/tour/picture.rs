//! The picture of a log: a bar for each segment file, with what the watermarks point into.
//!
//! Invariant: no line is longer than 80 columns.

use stratalog::{Log, SegmentInfo, SegmentState};

use crate::screen::grouped;

const BAR_COLUMNS: u64 = 26;
/// Of a longer log, the segments between the first and the last ones are left out.
const FIRST_ROWS: usize = 2;
const LAST_ROWS: usize = 6;

pub(crate) fn draw(log: &Log) {
    let segments = log.segments();
    let marks = [("head", log.head()), ("durable", log.durable()), ("committed", log.committed())];
    let is_in = |segment: &SegmentInfo, address: u64| {
        (segment.base..segment.base + segment.bytes).contains(&address)
    };
    let left_out = FIRST_ROWS..segments.len().saturating_sub(LAST_ROWS).max(FIRST_ROWS);
    for (index, segment) in segments.iter().enumerate() {
        if left_out.contains(&index) {
            if index == left_out.start {
                println!("  {:>20} {} more, sealed", "...", left_out.len());
            }
            continue;
        }
        // A spare may have the address at which the log will go on, but nothing is there yet.
        let names = marks.iter().filter(|(_, lsn)| is_in(segment, lsn.get()));
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        println!("  {:020} {} {}", segment.base, bar(segment), names.join(" "));
    }
    for (name, lsn) in marks {
        let elsewhere = if segments.iter().any(|segment| is_in(segment, lsn.get())) {
            ""
        } else {
            "  (in a segment that is made when it is needed)"
        };
        println!("  {name:>20} {:>15}{elsewhere}", grouped(lsn.get()));
    }
}

/// Full, free, and where a segment was sealed early, unused.
fn bar(segment: &SegmentInfo) -> String {
    let (state, free) = match segment.state {
        SegmentState::Sealed => ("sealed", ' '),
        SegmentState::Active => ("active", '.'),
        SegmentState::Spare => ("spare ", '.'),
    };
    let used = match segment.state {
        SegmentState::Spare => 0,
        _ => (segment.end.get() - segment.base).div_ceil(segment.bytes.div_ceil(BAR_COLUMNS)),
    };
    let column = |column| if column < used { '#' } else { free };
    let bar: String = (0..BAR_COLUMNS).map(column).collect();
    format!("{state} [{bar}]")
}
