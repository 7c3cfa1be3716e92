//! [`Svg`]: a picture as text, with no more of the format than bars take.
//!
//! Invariant: what is drawn is well-formed, whatever the texts are: they are escaped here and nowhere
//! else. Nothing outside the file is needed, no font either.

use std::fmt::Write as _;

/// Shades for light and for dark pages. Own, other and raw differ by darkness and outline too.
const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#24292f}\
.h{font-size:16px;font-weight:600}.b{font-weight:600}.s{font-size:11px;fill:#57606a}\
.bg{fill:#fff}.own{fill:#0a3069}.peer{fill:#a8c7ec}.raw{fill:none;stroke:#57606a}\
.axis{fill:none;stroke:#8c959f}.own-line{fill:none;stroke:#0a3069;stroke-dasharray:2 3}\
.spread{fill:none;stroke:#6e7781}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.bg{fill:#0d1117}\
.own{fill:#b6d7ff}.peer{fill:#33567f}.raw{stroke:#9198a1}.axis{stroke:#656c76}\
.own-line{stroke:#b6d7ff}.spread{stroke:#9aa4af}}";

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    End,
}

/// A picture that is being drawn, downwards: its height is told at the end.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    title: String,
    body: String,
}

impl Svg {
    /// `title` is what is read aloud instead of the picture.
    pub(super) fn new(width: f64, title: &str) -> Self {
        Self { width, title: title.to_owned(), body: String::new() }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ =
            writeln!(self.body, "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
    }

    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let ((x, y), (width, height)) = (corner, size);
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        );
    }

    /// A text; `class` is empty for an ordinary one.
    pub(super) fn text(&mut self, class: &str, anchor: Anchor, place: (f64, f64), text: &str) {
        let (x, y) = place;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        );
    }

    /// The file's text.
    pub(super) fn finish(self, height: f64) -> String {
        let Self { width, title, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"bg\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n{body}</svg>\n",
            escaped(&title)
        )
    }
}

/// No character of markup is left, and none that XML has no place for.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Panics unless every element is closed in order and no text holds markup of its own.
    pub(in super::super) fn assert_well_formed(text: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some((between, from_tag)) = rest.split_once('<') {
            assert_escaped(between);
            let (tag, after) = from_tag.split_once('>').expect("every tag ends");
            assert!(!tag.contains('<'), "a tag within a tag: {tag}");
            assert!(tag.matches('"').count().is_multiple_of(2), "an open attribute: {tag}");
            assert_escaped(tag);
            let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{tag} closes something else");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            rest = after;
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "left: {open:?} {rest}");
    }

    fn assert_escaped(text: &str) {
        assert!(!text.contains('>'), "a bare > in {text}");
        for entity in text.split('&').skip(1) {
            let is_known =
                ["lt;", "gt;", "amp;", "quot;"].iter().any(|name| entity.starts_with(name));
            assert!(is_known, "a bare & before {entity}");
        }
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control in {text:?}");
    }

    #[test]
    fn every_text_is_escaped() {
        let nasty = "<a & \"b\"> \u{1b}\u{ffff}]]>";
        let mut svg = Svg::new(10.0, nasty);
        svg.text("b", Anchor::End, (1.0, 2.0), nasty);
        svg.rectangle("own", (0.0, 0.0), (1.0, 1.0));
        svg.line("axis", (0.0, 0.0), (1.0, 1.0));
        let text = svg.finish(20.0);
        assert_well_formed(&text);
        assert_eq!(text.matches("&lt;a &amp; &quot;b&quot;&gt; ??]]&gt;").count(), 2, "{text}");
    }

    #[test]
    #[should_panic(expected = "closes something else")]
    fn what_is_closed_out_of_order_is_not_well_formed() {
        assert_well_formed("<a><b></a></b>");
    }
}
