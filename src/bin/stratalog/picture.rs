//! The log drawn as bars: a row for each segment file, with the watermarks where they lie.
//!
//! Invariant: no row is wider than 80 columns, and a segment that holds anything at all shows it.

use crate::output::grouped;

const BAR_COLUMNS: u64 = 24;
/// Of a longer log the rows between the first and the last ones are left out.
const FIRST_ROWS: usize = 2;
const LAST_ROWS: usize = 6;

/// One segment file.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) base: u64,
    /// The size of the file.
    pub(crate) bytes: u64,
    /// Where its frames end.
    pub(crate) end: u64,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sealed,
    Active,
    Spare,
}

/// A watermark: its letter in the bar, its name beside it, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) letter: char,
    pub(crate) name: &'static str,
    pub(crate) at: u64,
}

/// Draws the rows, ascending: `#` is written, `.` is to be written yet.
pub(crate) fn draw(rows: &[Row], marks: &[Mark]) -> Vec<String> {
    let left_out = FIRST_ROWS..rows.len().saturating_sub(LAST_ROWS).max(FIRST_ROWS);
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if !left_out.contains(&index) || left_out.len() == 1 {
            lines.push(draw_row(row, marks));
        } else if index == left_out.start {
            let count = left_out.len() as u64;
            lines.push(format!("{:>20} {} more, sealed", "...", grouped(count)));
        }
    }
    lines
}

fn draw_row(row: &Row, marks: &[Mark]) -> String {
    let (state, free) = match row.state {
        State::Sealed => ("sealed", ' '),
        State::Active => ("active", '.'),
        State::Spare => ("spare ", '.'),
    };
    // Where a watermark is the end of a segment, the next one has not begun.
    let here: Vec<_> =
        marks.iter().filter(|mark| row.base < mark.at && mark.at <= row.top()).collect();
    let used = match row.state {
        State::Spare => 0,
        // To the nearest column; what is written at all shows.
        _ => (row.end.saturating_sub(row.base) * BAR_COLUMNS * 2 / row.bytes.max(1))
            .div_ceil(2)
            .max(1),
    };
    let column = |column| {
        let is_there = |mark: &&&Mark| row.column(mark.at) == column;
        let letter = here.iter().rev().find(is_there).map(|mark| mark.letter);
        letter.unwrap_or(if column < used { '#' } else { free })
    };
    let bar: String = (0..BAR_COLUMNS).map(column).collect();
    let names: Vec<_> = here.iter().map(|mark| mark.name).collect();
    let line = format!("{:020} {state} [{bar}] {}", row.base, names.join(" "));
    line.trim_end().to_owned()
}

impl Row {
    fn top(&self) -> u64 {
        self.base.saturating_add(self.bytes)
    }

    /// The column of an address. An end lies in the column of the byte before it.
    fn column(&self, at: u64) -> u64 {
        let offset = at.saturating_sub(self.base).saturating_sub(1);
        (offset.saturating_mul(BAR_COLUMNS) / self.bytes.max(1)).min(BAR_COLUMNS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Vec<Row> {
        let row = |index: u64| Row {
            base: index << 20,
            bytes: 1 << 20,
            end: (index << 20) + (1_u64 << 19),
            state: if index + 1 == count { State::Active } else { State::Sealed },
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn watermarks_stand_where_they_lie() {
        let mark = |letter, name, at| Mark { letter, name, at };
        let marks = [
            mark('H', "head", 4096),
            mark('D', "durable", 1 << 19),
            mark('C', "committed", 1 << 19),
        ];
        let expected =
            "00000000000000000000 active [H##########C............] head durable committed";
        assert_eq!(draw(&rows(1), &marks), [expected]);
        assert!(expected.len() <= crate::output::COLUMNS);
    }

    #[test]
    fn the_middle_of_a_long_log_is_left_out() {
        let lines = draw(&rows(1000), &[]);
        assert_eq!(lines.len(), FIRST_ROWS + 1 + LAST_ROWS);
        assert_eq!(lines[FIRST_ROWS], "                 ... 992 more, sealed");
        assert_eq!(draw(&rows(9), &[]).len(), 9);
    }
}
