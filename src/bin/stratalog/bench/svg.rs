//! [`Svg`]: a picture as text, with no more of the format than charts take.
//!
//! Invariant: what is drawn is well-formed, whatever the texts are: they are escaped here and nowhere
//! else. Coordinates are written with one decimal, which keeps files small.

use std::fmt::Write as _;

/// Colours for light and for dark pages; the picture has no background of its own but this.
const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#24292f}\
.h{font-size:14px;font-weight:600}.s{font-size:11px;fill:#57606a}\
.bg{fill:#fff}.g{stroke:#d8dee4;stroke-width:1}.a{stroke:#8c959f;stroke-width:1}\
.roll{stroke:#bf8700;stroke-width:1;stroke-dasharray:3 3}.sync{fill:#8250df}\
.p50{fill:none;stroke:#0969da;stroke-width:1.5}.p99{fill:none;stroke:#cf222e;stroke-width:1.5}\
.max{fill:none;stroke:#8c959f;stroke-width:1}.bar{fill:#0969da}.area{fill:#1a7f37;fill-opacity:.75}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.bg{fill:#0d1117}\
.g{stroke:#30363d}.a{stroke:#656c76}.roll{stroke:#d29922}.sync{fill:#ab7df8}.p50{stroke:#4493f8}\
.p99{stroke:#f85149}.max{stroke:#656c76}.bar{fill:#4493f8}.area{fill:#3fb950}}";

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// A picture of this size; `title` is what is read aloud instead of it.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut text = String::new();
        let _ = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"bg\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n",
            Escaped(title)
        );
        Self { text }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ =
            writeln!(self.text, "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
    }

    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let ((x, y), (width, height)) = (corner, size);
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        );
    }

    /// A line through all points.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        if points.is_empty() {
            return;
        }
        let _ = write!(self.text, "<path class=\"{class}\" d=\"");
        for (at, (x, y)) in points.iter().enumerate() {
            let _ = write!(self.text, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
        }
        self.text.push_str("\"/>\n");
    }

    /// A text; `class` is empty for an ordinary one.
    pub(super) fn text(&mut self, class: &str, anchor: Anchor, place: (f64, f64), text: &str) {
        let (x, y) = place;
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{}\">{}</text>",
            anchor.name(),
            Escaped(text)
        );
    }

    /// The file's text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                // XML has no place for these, not even escaped.
                c if c.is_control() => f.write_str("?")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut svg = Svg::new(10.0, 10.0, "a & b");
        svg.text("", Anchor::Start, (1.0, 2.0), "<p99> \"x\"\u{1b}");
        let text = svg.finish();
        assert!(text.contains("<title>a &amp; b</title>"), "{text}");
        assert!(text.contains(">&lt;p99&gt; &quot;x&quot;?</text>"), "{text}");
    }

    #[test]
    fn a_curve_without_points_is_nothing() {
        let mut svg = Svg::new(10.0, 10.0, "");
        svg.curve("p50", &[]);
        assert!(!svg.finish().contains("<path"));
    }
}
