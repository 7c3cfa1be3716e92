//! [`draw`]: a run as a picture, one panel of horizontal bars for each work.
//!
//! Invariant: a panel's bars begin at zero and share one linear scale, so that their lengths are to
//! each other as the times are. Between panels only the ratios can be compared.
//!
//! Panels stand in two columns, under a heading for each class of acknowledgement. The bar of
//! stratalog is the darkest and its name is bold; `raw`, which is no log, is an outline.

use super::svg::{Anchor, Svg};
use super::words::{rate, ratio, time};
use super::{FLOOR, OWN, Preamble};
use crate::measure::{Measured, Row};
use crate::statistics::{self, float, median, range};
use crate::system::Ack;

const WIDTH: f64 = 920.0;
const MARGIN: f64 = 20.0;
const COLUMNS: usize = 2;
const GAP: f64 = 28.0;
const PANEL: f64 = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
/// Where bars begin, from a panel's left edge.
const NAMES: f64 = 78.0;
/// The longest bar; what remains is for a figure and a ratio.
const BARS: f64 = PANEL - NAMES - 132.0;
/// How wide the column of ratios is.
const RATIOS: f64 = 54.0;
const ROW: f64 = 19.0;
const BAR: f64 = 12.0;
/// A panel's title, and the space below the panel.
const TITLE: f64 = 22.0;
const BELOW: f64 = 18.0;
/// About as many characters of small text as a line holds.
const LINE_CHARS: usize = 150;

/// The picture's text.
pub(crate) fn draw(preamble: &Preamble, all: &[Measured]) -> String {
    let title = "stratalog beside other logs: shorter bars are faster";
    let mut svg = Svg::new(WIDTH, title);
    svg.text("h", Anchor::Start, (MARGIN, 32.0), title);
    let legend = format!(
        "Bars: medians of {} rounds, each panel with a scale of its own. Thin lines: fastest to \
         slowest round. x: the time over that of stratalog (dashed).",
        preamble.rounds
    );
    let outline = "Outlined: raw, which is no log but plain writes and a scan. *: scaled from a \
                   smaller log.";
    let lines = [
        legend,
        outline.to_owned(),
        preamble.systems.clone(),
        format!("{}; {}", preamble.machine, preamble.storage),
        format!("{}: {}", preamble.date, preamble.command),
    ];
    let mut y = 54.0;
    for line in lines {
        svg.text("s", Anchor::Start, (MARGIN, y), &shortened(&line));
        y += 16.0;
    }
    for (heading, ack) in [
        ("Acknowledged in the page cache", Some(Ack::PageCache)),
        ("Acknowledged in memory", Some(Ack::Memory)),
        ("Acknowledged on disk", Some(Ack::Disk)),
        ("Opening and reading", None),
    ] {
        let of_class = |measured: &&Measured| measured.work.plan.timed.class() == ack;
        let with_rows = all.iter().filter(|measured| !measured.rows.is_empty());
        let works: Vec<&Measured> = with_rows.filter(of_class).collect();
        if !works.is_empty() {
            y = section(&mut svg, y, heading, &works);
        }
    }
    svg.finish(y + MARGIN / 2.0)
}

/// Draws the works of one class below `y`, and returns where they end.
fn section(svg: &mut Svg, mut y: f64, heading: &str, works: &[&Measured]) -> f64 {
    y += 20.0;
    svg.text("h", Anchor::Start, (MARGIN, y), heading);
    svg.line("axis", (MARGIN, y + 8.0), (WIDTH - MARGIN, y + 8.0));
    y += 14.0;
    for beside in works.chunks(COLUMNS) {
        let mut x = MARGIN;
        for measured in beside {
            panel(svg, (x, y), measured);
            x += PANEL + GAP;
        }
        let rows = beside.iter().map(|measured| measured.rows.len()).max().unwrap_or(0);
        y += TITLE + float(rows as u64) * ROW + BELOW;
    }
    y
}

fn panel(svg: &mut Svg, (x, y): (f64, f64), measured: &Measured) {
    let rows = &measured.rows;
    svg.text("b", Anchor::Start, (x, y + 14.0), measured.work.title);
    let own = rows.iter().find(|row| row.system == OWN);
    let longest = rows.iter().map(|row| median(&row.nanos())).fold(f64::MIN_POSITIVE, f64::max);
    let length = |nanos: f64| (nanos / longest).clamp(0.0, 1.06) * BARS;
    let (left, top) = (x + NAMES, y + TITLE);
    let bottom = top + float(rows.len() as u64) * ROW;
    for (row, number) in rows.iter().zip(0..) {
        let middle = top + (float(number) + 0.5) * ROW;
        let nanos = row.nanos();
        let (class, bold) = match row.system {
            FLOOR => ("raw", ""),
            OWN => ("own", "b"),
            _ => ("peer", ""),
        };
        svg.text(bold, Anchor::End, (left - 6.0, middle + 4.0), &name(row));
        let end = length(median(&nanos));
        svg.rectangle(class, (left, middle - BAR / 2.0), (end.max(1.0), BAR));
        let (least, most) = range(&nanos);
        let (from, to) = (left + length(least), left + length(most));
        svg.line("spread", (from, middle + BAR / 2.0 + 2.0), (to, middle + BAR / 2.0 + 2.0));
        let (figure, to_own) = labels(measured, row, own);
        svg.text(bold, Anchor::End, (x + PANEL - RATIOS, middle + 4.0), &figure);
        svg.text(bold, Anchor::End, (x + PANEL, middle + 4.0), &to_own);
    }
    svg.line("axis", (left, top), (left, bottom));
    if let Some(own) = own {
        let at = left + length(median(&own.nanos()));
        svg.line("own-line", (at, top), (at, bottom));
    }
}

fn name(row: &Row) -> String {
    format!("{}{}", row.system, if row.scaled > 1 { "*" } else { "" })
}

/// The figure, and its ratio to stratalog's.
fn labels(measured: &Measured, row: &Row, own: Option<&Row>) -> (String, String) {
    let nanos = median(&row.nanos());
    let figure = if measured.work.is_shared() { rate(nanos) } else { time(nanos) };
    let to_own = own.and_then(|own| statistics::ratio(&row.nanos(), &own.nanos()));
    (figure, to_own.map_or(String::new(), |to_own| format!("{}x", ratio(Some(to_own)))))
}

/// A line that does not run out of the picture.
fn shortened(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS {
        return line.to_owned();
    }
    line.chars().take(LINE_CHARS - 2).chain("..".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::measure::Round;
    use crate::works::Choice;

    fn measured(systems: &[(&'static str, f64)]) -> Vec<Measured> {
        let works = Choice { patterns: vec![], all: true }.works(false).unwrap();
        let rows = |factor: f64| {
            let row = |(system, nanos): &(&'static str, f64)| Row {
                system,
                rounds: [1.0, 1.1, 30.0].map(|part| Round::new(nanos * part * factor)).to_vec(),
                scaled: 2,
            };
            systems.iter().map(row).collect::<Vec<Row>>()
        };
        let one = |work| Measured { work, rows: rows(1.0), notes: Vec::new() };
        works.into_iter().map(one).collect()
    }

    #[test]
    fn a_picture_is_well_formed_and_has_a_bar_for_each_figure() {
        let all = measured(&[("raw", 50.0), ("stratalog", 100.0), ("<&>", 1e9)]);
        let text = draw(&Preamble::sample(), &all);
        assert_well_formed(&text);
        assert_eq!(text.matches("class=\"own\"").count(), all.len());
        assert_eq!(text.matches("class=\"raw\"").count(), all.len());
        assert_eq!(text.matches("&lt;&amp;&gt;*").count(), all.len());
        assert!(text.contains("peers &lt;all&gt; &amp; &quot;more&quot;"), "{text}");
        for heading in ["in the page cache<", "in memory<", "on disk<", "Opening and reading<"] {
            assert_eq!(text.matches(heading).count(), 1, "{heading}");
        }
    }

    #[test]
    fn no_place_in_a_picture_is_beyond_it_or_no_number() {
        for systems in [&[][..], &[("raw", 1e-9)], &[("stratalog", 1.0), ("a", 1e12)]] {
            let text = draw(&Preamble::sample(), &measured(systems));
            assert_well_formed(&text);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            for at in text.split(" x=\"").skip(1) {
                let x: f64 = at.split('"').next().unwrap().parse().unwrap();
                assert!((0.0..WIDTH).contains(&x), "{x}");
            }
        }
    }

    #[test]
    fn bars_are_as_long_as_times_are_to_each_other() {
        let all = measured(&[("stratalog", 100.0), ("a", 400.0)]);
        let text = draw(&Preamble::sample(), &all[..1]);
        let width = |class: &str| {
            let (_, bar) = text.split_once(&format!("rect class=\"{class}\"")).unwrap();
            let (_, width) = bar.split_once("width=\"").unwrap();
            width.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!((width("own") * 4.0 - width("peer")).abs() < 0.5);
        assert!(text.contains(">440 ns</text>") && text.contains(">4.00x</text>"), "{text}");
    }

    #[test]
    fn every_title_fits_its_panel() {
        // The widest letters of a bold text of 12 px take about so much on average.
        let most = PANEL / 6.9;
        for Measured { work, .. } in measured(&[]) {
            assert!(float(work.title.len() as u64) <= most, "{}", work.title);
        }
    }

    #[test]
    fn a_long_line_is_shortened() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"x".repeat(LINE_CHARS + 1));
        assert_eq!((long.len(), long.ends_with("..")), (LINE_CHARS, true));
    }
}
