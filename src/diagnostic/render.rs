//! Diagnostics for people: the message, the place, the line with the place marked, and the way out.

use super::{Diagnostic, Diagnostics, Severity, Span};

/// The widest excerpt of a line, in columns. Of longer lines the part around the mark is shown.
const WIDTH: usize = 120;
/// How many characters before the mark are shown of a line that is cut.
const BEFORE: usize = 40;
/// Tab stops.
const TAB: usize = 4;

/// A text with its name, ready to tell lines and columns.
#[derive(Debug)]
pub struct Source<'a> {
    name: &'a str,
    text: &'a str,
    /// The offsets at which lines begin.
    lines: Vec<usize>,
}

/// A place as people count: lines and columns (characters) from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl<'a> Source<'a> {
    /// A text and the name that it is shown under.
    pub fn new(name: &'a str, text: &'a str) -> Source<'a> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Source { name, text, lines: std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect() }
    }

    /// Where an offset is. One that is past the end is at the end, one within a character at its beginning.
    pub fn place(&self, offset: u32) -> Place {
        let offset = self.boundary(offset);
        let line = self.line_of(offset);
        Place { line: line + 1, column: self.text[self.lines[line]..offset].chars().count() + 1 }
    }

    /// A diagnostic as text, ending with a line break.
    pub fn render(&self, diagnostic: &Diagnostic, colour: bool) -> String {
        let paint = Paint { on: colour };
        let (style, mark) = match diagnostic.severity {
            Severity::Error => (RED, '^'),
            Severity::Warning => (YELLOW, '^'),
        };
        let spans = diagnostic.related.iter().map(|(span, _)| span).chain([&diagnostic.span]);
        let last_line = spans.map(|span| self.line_of(self.boundary(span.end))).max().unwrap_or_default() + 1;
        let margin = last_line.to_string().len();
        let mut out = String::new();
        out.push_str(&paint.paint(style, &format!("{}[{}]", diagnostic.severity, diagnostic.code)));
        out.push_str(&paint.paint(BOLD, &format!(": {}", diagnostic.message)));
        out.push('\n');
        self.excerpt(&mut out, diagnostic.span, mark, style, margin, paint);
        for (span, note) in &diagnostic.related {
            out.push_str(&format!("{:margin$} {} {note}\n", "", paint.paint(BLUE, "note:")));
            self.excerpt(&mut out, *span, '-', BLUE, margin, paint);
        }
        if let Some(help) = &diagnostic.help {
            out.push_str(&format!("{:margin$} {} {help}\n", "", paint.paint(CYAN, "help:")));
        }
        out
    }

    /// All diagnostics as text, with an empty line after each.
    pub fn render_all(&self, diagnostics: &Diagnostics, colour: bool) -> String {
        let mut out = String::new();
        for diagnostic in diagnostics {
            out.push_str(&self.render(diagnostic, colour));
            out.push('\n');
        }
        if diagnostics.omitted() > 0 {
            out.push_str(&format!("{}: and {} more that are not shown\n", self.name, diagnostics.omitted()));
        }
        out
    }

    /// The name and the place, and the lines on which a span begins and ends with the span marked.
    fn excerpt(&self, out: &mut String, span: Span, mark: char, style: Style, margin: usize, paint: Paint) {
        let Place { line, column } = self.place(span.start);
        let arrow = paint.paint(BLUE, "-->");
        let bar = paint.paint(BLUE, "|");
        out.push_str(&format!(
            "{:margin$} {arrow} {}:{line}:{column}\n{:margin$} {bar}\n",
            "", self.name, ""
        ));
        let (start, end) =
            (self.boundary(span.start), self.boundary(span.end).max(self.boundary(span.start)));
        let (first, last) =
            (self.line_of(start), self.line_of(end.max(start + 1) - 1).min(self.line_of(end)));
        let mut row = |line: usize, from: usize, to: usize| {
            let (text, marked) =
                mark_line(self.line(line), from - self.lines[line], to - self.lines[line], mark);
            let number = paint.paint(BLUE, &format!("{:>margin$}", line + 1));
            out.push_str(format!("{number} {bar} {text}").trim_end());
            out.push_str(&format!("\n{:margin$} {bar} {}\n", "", paint.paint_marks(style, &marked)));
        };
        if first == last {
            row(first, start, end);
            return;
        }
        row(first, start, self.lines[first] + self.line(first).len());
        let text = self.line(last);
        let indent = text.len() - text.trim_start().len();
        row(last, (self.lines[last] + indent).min(end), end);
    }

    /// A line without its line break.
    fn line(&self, line: usize) -> &'a str {
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        self.text[self.lines[line]..end].trim_end_matches('\r')
    }

    /// The number of the line that an offset is on, from 0.
    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn boundary(&self, offset: u32) -> usize {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A line as shown, cut where it is long, and the marks that go below it. The range counts bytes of the line.
fn mark_line(line: &str, start: usize, end: usize, mark: char) -> (String, String) {
    let (start, end) = (start.min(line.len()), end.min(line.len()));
    let mut text = String::new();
    let mut marks = String::new();
    let mut columns = 0;
    // The first character shown: all before the mark, or some where that would be too many.
    let before = line[..start].char_indices().rev().map(|(at, _)| at).nth(BEFORE);
    let before = before.filter(|_| line.len() > WIDTH && start > WIDTH / 2);
    if before.is_some() {
        text.push('…');
        marks.push(' ');
        columns = 1;
    }
    let from = before.unwrap_or(0);
    for (at, c) in line[from..].char_indices() {
        let at = from + at;
        if columns >= WIDTH {
            text.push('…');
            break;
        }
        let width = match c {
            '\t' => TAB - columns % TAB,
            c => width(c),
        };
        match c {
            '\t' => text.extend(std::iter::repeat_n(' ', width)),
            c => text.push(visible(c)),
        }
        let under = if at < start { ' ' } else { mark };
        if at < end || at < start {
            marks.extend(std::iter::repeat_n(under, width));
        }
        columns += width;
    }
    if start == end {
        marks.push(mark);
    }
    (text, marks)
}

/// The columns that a character takes in a terminal: none for marks that combine, two for wide ones.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// A character that is safe to show: control characters could lead a terminal astray, and characters that turn the
/// direction of writing a reader.
fn visible(c: char) -> char {
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A graphic rendition of ECMA-48.
type Style = &'static str;

const BOLD: Style = "1";
const RED: Style = "1;31";
const YELLOW: Style = "1;33";
const BLUE: Style = "1;34";
const CYAN: Style = "1;36";

#[derive(Debug, Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn paint(self, style: Style, text: &str) -> String {
        if self.on { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Paints marks, but not the spaces before them.
    fn paint_marks(self, style: Style, marks: &str) -> String {
        let marked = marks.trim_start();
        format!("{}{}", &marks[..marks.len() - marked.len()], self.paint(style, marked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, start: usize, end: usize) -> String {
        let diagnostic = Diagnostic::new("E201", Span::new(start, end), "what");
        Source::new("f", text).render(&diagnostic, false)
    }

    #[test]
    fn tabs_and_wide_characters_keep_marks_below_what_they_mark() {
        assert_eq!(shown("a\tbc", 2, 4), "error[E201]: what\n  --> f:1:3\n  |\n1 | a   bc\n  |     ^^\n");
        assert_eq!(shown("é漢x", 5, 6), "error[E201]: what\n  --> f:1:3\n  |\n1 | é漢x\n  |    ^\n");
    }

    #[test]
    fn the_end_of_the_text_can_be_marked() {
        assert_eq!(shown("ab", 2, 2), "error[E201]: what\n  --> f:1:3\n  |\n1 | ab\n  |   ^\n");
        assert_eq!(shown("ab\n", 3, 3), "error[E201]: what\n  --> f:2:1\n  |\n2 |\n  | ^\n");
        assert_eq!(shown("", 7, 9), "error[E201]: what\n  --> f:1:1\n  |\n1 |\n  | ^\n");
    }

    #[test]
    fn a_span_of_several_lines_shows_the_first_and_the_last() {
        let expected = "error[E201]: what\n  --> f:1:2\n  |\n1 | abc\n  |  ^^\n3 |   ghi\n  |   ^^\n";
        assert_eq!(shown("abc\ndef\n  ghi", 1, 12), expected);
        // A line break at the end of a span belongs to the line before it.
        assert_eq!(shown("abc\ndef", 1, 4), "error[E201]: what\n  --> f:1:2\n  |\n1 | abc\n  |  ^^\n");
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}x{}", "a".repeat(100_000), "b".repeat(100_000));
        let shown = shown(&text, 100_000, 100_001);
        assert!(shown.len() < 500, "{shown}");
        assert!(shown.contains("f:1:100001"));
        let lines: Vec<&str> = shown.lines().collect();
        let x = lines[3].chars().position(|c| c == 'x');
        assert_eq!(x, lines[4].chars().position(|c| c == '^'));
    }

    #[test]
    fn control_characters_are_not_shown() {
        assert!(!shown("a\x1b[31mb", 0, 1).contains('\x1b'));
    }
}
