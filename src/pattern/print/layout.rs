//! Where lines break, and where comments go. A node is printed on one line where it fits and no comment has to stand
//! within it, else each of its parts begins a line of its own. A comment goes before the part that it stood before, or
//! to the end of the line that it stood at the end of: none is lost, and printing again changes nothing.

use crate::pattern::ast::Comment;

/// The longest line, in characters, of what could stand on several.
const WIDTH: usize = 100;
/// How much deeper parts stand than what they are parts of.
const INDENT: usize = 2;

/// Something to print: a head, and parts that follow it on the same line or on lines of their own.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it begins in the source: comments from before that are printed before it.
    start: u32,
    head: String,
    parts: Vec<Node>,
    /// What closes it.
    tail: String,
    /// Where its last part ends, if it encloses them: they follow the head at once, and the tail begins a line of its
    /// own where they do. Else they follow after a space, and the tail at once.
    enclosed: Option<u32>,
    /// The width on one line.
    width: usize,
    /// Where the last line begins if all lines are broken: comments from before that have to stand within it.
    last_start: u32,
}

impl Node {
    /// A node without parts.
    pub(super) fn leaf(start: u32, head: String) -> Node {
        Node::with_parts(start, head, Vec::new(), String::new())
    }

    /// A head and its parts, and what follows the last of them at once.
    pub(super) fn with_parts(start: u32, head: String, parts: Vec<Node>, tail: String) -> Node {
        let width = width(&head) + width(&tail) + parts.iter().map(|part| part.width + 1).sum::<usize>();
        let last_start = parts.iter().map(|part| part.last_start).fold(start, u32::max);
        Node { start, head, parts, tail, enclosed: None, width, last_start }
    }

    /// An opening, what stands in it and ends at `end`, and its closing.
    pub(super) fn enclosed(start: u32, head: String, parts: Vec<Node>, end: u32, tail: String) -> Node {
        Node { enclosed: Some(end), ..Node::with_parts(start, head, parts, tail) }
    }

    fn write_flat(&self, out: &mut String) {
        out.push_str(&self.head);
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 || self.enclosed.is_none() {
                out.push(' ');
            }
            part.write_flat(out);
        }
        out.push_str(&self.tail);
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Writes nodes and comments in the order of the source.
pub(super) struct Writer<'a> {
    /// The source, to see how comments stood in it.
    source: &'a str,
    /// The comments that are not written yet.
    comments: &'a [Comment],
    out: String,
    /// Whether the last line ends with a comment that nothing can follow on its line.
    ends_with_line_comment: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a str, comments: &'a [Comment]) -> Writer<'a> {
        Writer { source, comments, out: String::new(), ends_with_line_comment: false }
    }

    /// Writes a pattern: its header, and its clauses each on its own lines.
    pub(super) fn pattern(&mut self, start: u32, header: &str, clauses: &[Node]) {
        self.comments_between_patterns(start);
        self.new_line(0);
        self.out.push_str(header);
        for clause in clauses {
            self.node(clause, INDENT);
        }
    }

    /// Writes the comments after the last pattern, and gives the text.
    pub(super) fn finish(mut self) -> String {
        self.comments_between_patterns(u32::MAX);
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }

    /// A node that begins a line.
    fn node(&mut self, node: &Node, indent: usize) {
        self.comments_within(node.start, indent);
        self.new_line(indent);
        let fits = indent + node.width <= WIDTH;
        if node.parts.is_empty() || (fits && !self.is_comment_within(node)) {
            node.write_flat(&mut self.out);
            return;
        }
        self.out.push_str(&node.head);
        for part in &node.parts {
            self.node(part, indent + INDENT);
        }
        if let Some(end) = node.enclosed {
            let closing = self.closing(end);
            self.comments_within(closing, indent + INDENT);
            self.new_line(indent);
        }
        self.out.push_str(&node.tail);
    }

    /// Whether the next comment has to stand within a node: before the last line that it could be broken into.
    fn is_comment_within(&self, node: &Node) -> bool {
        let Some(next) = self.comments.first() else { return false };
        let is_before_closing = |end: u32| {
            self.source.get(end as usize..next.span.start as usize).is_some_and(|gap| gap.trim().is_empty())
        };
        next.span.start < node.last_start || node.enclosed.is_some_and(is_before_closing)
    }

    /// Where the token stands that comes after a place: beyond white space and the comments that are not written yet.
    fn closing(&self, after: u32) -> u32 {
        let mut at = after;
        for comment in self.comments {
            let gap = self.source.get(at as usize..comment.span.start as usize);
            if gap.is_none_or(|gap| !gap.trim().is_empty()) {
                break;
            }
            at = comment.span.end;
        }
        at
    }

    fn new_line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.ends_with_line_comment = false;
    }

    fn blank_line(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Writes the comments from before a place within a pattern.
    fn comments_within(&mut self, start: u32, indent: usize) {
        self.trailing_comments(start);
        let mut last = None;
        while let Some(comment) = self.next_comment(start) {
            if self.blank_before(comment) {
                self.blank_line();
            }
            self.own_line(comment, indent);
            last = Some(comment);
        }
        if last.is_some_and(|comment| self.blank_after(comment)) {
            self.blank_line();
        }
    }

    /// Writes the comments from before a pattern, and the blank line before them or it. Those that follow the clauses
    /// of the pattern before it, indented and without a blank line, belong to that one.
    fn comments_between_patterns(&mut self, start: u32) {
        self.trailing_comments(start);
        while let Some(comment) = self.comments.first()
            && comment.span.start < start
            && !self.out.is_empty()
            && !self.blank_before(comment)
            && self.is_indented(comment)
        {
            self.comments = &self.comments[1..];
            self.own_line(comment, INDENT);
        }
        let mut last = None;
        while let Some(comment) = self.next_comment(start) {
            if last.is_none() || self.blank_before(comment) {
                self.blank_line();
            }
            self.own_line(comment, 0);
            last = Some(comment);
        }
        if start < u32::MAX && last.is_none_or(|comment| self.blank_after(comment)) {
            self.blank_line();
        }
    }

    /// Writes comments that stand at the end of a line to the end of the last one.
    fn trailing_comments(&mut self, start: u32) {
        while let Some(comment) = self.comments.first()
            && comment.span.start < start
            && self.is_trailing(comment)
            && !self.ends_with_line_comment
            && !self.out.is_empty()
        {
            self.comments = &self.comments[1..];
            self.out.push(' ');
            self.write(comment);
        }
    }

    fn own_line(&mut self, comment: &Comment, indent: usize) {
        self.new_line(indent);
        self.write(comment);
    }

    fn write(&mut self, comment: &Comment) {
        self.out.push_str(&comment.text);
        self.ends_with_line_comment = comment.text.starts_with("//");
    }

    /// Takes the next comment, if it stands before a place.
    fn next_comment(&mut self, start: u32) -> Option<&'a Comment> {
        let (first, rest) = self.comments.split_first().filter(|(comment, _)| comment.span.start < start)?;
        self.comments = rest;
        Some(first)
    }

    /// The white space before a comment.
    fn space_before(&self, comment: &Comment) -> &'a str {
        let before = self.source.get(..comment.span.start as usize).unwrap_or_default();
        &before[before.trim_end().len()..]
    }

    fn is_trailing(&self, comment: &Comment) -> bool {
        !self.space_before(comment).contains('\n')
    }

    fn is_indented(&self, comment: &Comment) -> bool {
        !self.space_before(comment).ends_with('\n')
    }

    fn blank_before(&self, comment: &Comment) -> bool {
        self.space_before(comment).matches('\n').nth(1).is_some()
    }

    fn blank_after(&self, comment: &Comment) -> bool {
        let after = self.source.get(comment.span.end as usize..).unwrap_or_default();
        after[..after.len() - after.trim_start().len()].matches('\n').nth(1).is_some()
    }
}
