//! [`Grid`]: rows of cells, as aligned text or as Markdown.
//!
//! Invariant: no cell breaks the table, whatever is in it.

use std::fmt::Write as _;

/// The first line is the head, and the first column names things.
#[derive(Debug, Default)]
pub(super) struct Grid {
    lines: Vec<Vec<String>>,
}

impl Grid {
    pub(super) fn push(&mut self, line: Vec<String>) {
        self.lines.push(line);
    }

    pub(super) fn render(&self, markdown: bool) -> String {
        if markdown { self.markdown() } else { self.text() }
    }

    fn columns(&self) -> usize {
        self.lines.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            let cells = line.iter().map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.collect::<Vec<String>>().join(" | "));
            if number == 0 {
                let _ = writeln!(text, "|---|{}", "---:|".repeat(self.columns().saturating_sub(1)));
            }
        }
        text
    }

    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns()).map(width).collect();
        let mut text = String::new();
        for line in &self.lines {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = if column == 0 {
                    write!(text, "  {cell:<width$}")
                } else {
                    write!(text, "  {cell:>width$}")
                };
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::default();
        for line in [["system", "time"], ["a|b", "12 ns"]] {
            grid.push(line.map(ToOwned::to_owned).to_vec());
        }
        grid
    }

    #[test]
    fn a_markdown_table_has_a_line_below_its_head_and_escapes_bars() {
        let wanted = "| system | time |\n|---|---:|\n| a\\|b | 12 ns |\n";
        assert_eq!(grid().render(true), wanted);
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(grid().render(false), "  system   time\n  a|b     12 ns\n");
    }
}
