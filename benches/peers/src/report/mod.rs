//! What a run tells: tables as text or Markdown, all medians in one table, and a picture.

mod chart;
mod grid;
mod preamble;
mod svg;
mod table;
mod words;

pub(crate) use chart::draw;
pub(crate) use preamble::Preamble;
pub(crate) use table::{summary, table};

/// What a log can't go below.
const FLOOR: &str = "raw";
/// The log that all others are set beside.
const OWN: &str = "stratalog";
