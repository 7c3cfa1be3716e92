//! The picture of a log: a bar for each segment file, with what the watermarks point into.
//!
//! Invariant: no line is longer than 80 columns.

use stratalog::{Log, SegmentInfo, SegmentState};

const BAR_COLUMNS: u64 = 26;
/// Of a longer log, the segments between the first and the last ones are left out.
const FIRST_ROWS: usize = 1;
const LAST_ROWS: usize = 5;

/// Prints the picture: `#` is written, `.` is prepared for what comes.
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
        let names = marks.iter().filter(|(_, lsn)| is_in(segment, lsn.get()));
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        let row = format!("  {:020} {} {}", segment.base, bar(segment), names.join(" "));
        println!("{}", row.trim_end());
    }
    let all = marks.map(|(name, lsn)| format!("{name} {lsn}")).join(", ");
    // The segment at which the log goes on may not be there yet.
    let is_there = segments.iter().any(|segment| is_in(segment, log.committed().get()));
    println!("  {all}{}", if is_there { "" } else { ": the next segment" });
}

/// Full, free, and where a segment was sealed early, unused.
fn bar(segment: &SegmentInfo) -> String {
    let (state, free) = match segment.state {
        SegmentState::Sealed => ("sealed", ' '),
        SegmentState::Active => ("active", '.'),
        SegmentState::Spare => ("spare ", '.'),
    };
    // To the nearest column; what is written at all shows.
    let written = segment.end.get() - segment.base;
    let used = match segment.state {
        SegmentState::Spare => 0,
        _ => (written * BAR_COLUMNS * 2 / segment.bytes).div_ceil(2).max(1),
    };
    let column = |column| if column < used { '#' } else { free };
    let bar: String = (0..BAR_COLUMNS).map(column).collect();
    format!("{state} [{bar}]")
}
