//! The tree back into text: the canonical form that `fmt` gives. Reading it gives the same tree again, and printing
//! that the same text.

mod expr;
mod layout;

pub use expr::{print_expr, print_path};

use self::expr::{Binding, needs_parentheses, write_name, write_operand, write_string};
use self::layout::{Node, Writer};
use super::ast::{
    ClauseKind, Element, Expr, ExprKind, File, Item, LinkKind, Modifier, ModifierKind, Name, Pattern,
    Quantifier, QuantifierKind, Sequence, Skip, Types,
};
use super::diagnostic::Span;
use super::parse::token::is_plain_name;

/// A file as canonical text. `source` is the text that it was read from: how comments stood there decides where they
/// go.
pub fn print(file: &File, source: &str) -> String {
    let mut writer = Writer::new(source, &file.comments);
    for pattern in &file.patterns {
        let mut header = String::from("pattern ");
        write_name(&mut header, &pattern.name.text);
        writer.pattern(pattern.span.start, &header, &clauses(pattern));
    }
    writer.finish()
}

fn clauses(pattern: &Pattern) -> Vec<Node> {
    let mut nodes = Vec::new();
    for clause in &pattern.clauses {
        let start = clause.span.start;
        match &clause.kind {
            ClauseKind::Match(sequence) => nodes.extend(elements(sequence, start, "match ")),
            ClauseKind::From(streams) => {
                nodes.push(list(start, "from", streams, |name| (name.span.start, type_name(name))))
            }
            ClauseKind::KeyBy(paths) => {
                nodes.push(list(start, "key by", paths, |path| (path.span.start, print_path(path))));
            }
            ClauseKind::Select(items) => nodes.push(list(start, "select", items, item)),
            ClauseKind::Within { span, between_events: false } => {
                nodes.push(Node::leaf(start, format!("within {span}")))
            }
            ClauseKind::Within { span, between_events: true } => {
                nodes.push(Node::leaf(start, format!("within {span} between events")));
            }
            ClauseKind::AfterMatch(skip) => {
                nodes.push(Node::leaf(start, format!("after match {}", skip_words(skip))))
            }
            ClauseKind::EmitTimeouts => nodes.push(Node::leaf(start, String::from("emit timeouts"))),
        }
    }
    nodes
}

/// Things after a word, with commas between them.
fn list<T>(start: u32, word: &str, things: &[T], print: impl Fn(&T) -> (u32, String)) -> Node {
    let parts = things.iter().enumerate().map(|(i, thing)| {
        let (start, mut text) = print(thing);
        if i + 1 < things.len() {
            text.push(',');
        }
        Node::leaf(start, text)
    });
    Node::with_parts(start, word.to_owned(), parts.collect(), String::new())
}

fn item(item: &Item) -> (u32, String) {
    let mut text = print_expr(&item.expr);
    if let Some(alias) = &item.alias {
        text.push_str(" as ");
        write_name(&mut text, &alias.text);
    }
    (item.expr.span.start, text)
}

fn skip_words(skip: &Skip) -> String {
    let (words, stage) = match skip {
        Skip::NoSkip => return String::from("no skip"),
        Skip::ToNext => return String::from("skip to next"),
        Skip::PastLast => return String::from("skip past last"),
        Skip::ToFirst(stage) => ("skip to first ", stage),
        Skip::ToLast(stage) => ("skip to last ", stage),
    };
    let mut text = words.to_owned();
    write_name(&mut text, &stage.text);
    text
}

/// The elements of a sequence, each with its link; the first after `prefix`, which stands at `start`.
fn elements(sequence: &Sequence, start: u32, prefix: &str) -> Vec<Node> {
    let rest = sequence.rest.iter().map(|(link, next)| element(next, link.span.start, link_words(link.kind)));
    std::iter::once(element(&sequence.first, start, prefix)).chain(rest).collect()
}

fn link_words(link: LinkKind) -> &'static str {
    match link {
        LinkKind::Next => "next ",
        LinkKind::FollowedBy => "followed by ",
        LinkKind::FollowedByAny => "followed by any ",
        LinkKind::NotNext => "not next ",
        LinkKind::NotFollowedBy => "not followed by ",
    }
}

fn element(element: &Element, start: u32, prefix: &str) -> Node {
    let mut head = prefix.to_owned();
    match element {
        Element::Stage(stage) => {
            write_name(&mut head, &stage.name.text);
            head.push_str(&quantifier(stage.quantifier.as_ref()));
            head.push_str(": ");
            match &stage.types {
                Types::Any(_) => head.push_str("any"),
                Types::OneOf(types) => {
                    let names: Vec<String> = types.iter().map(type_name).collect();
                    head.push_str(&names.join(" | "));
                }
            }
            Node::with_parts(start, head, stage.modifiers.iter().map(modifier).collect(), String::new())
        }
        Element::Group(group) => {
            head.push('(');
            let inner = elements(&group.sequence, span_of(&group.sequence.first).start, "");
            let mut tail = String::from(")");
            tail.push_str(&quantifier(group.quantifier.as_ref()));
            for modifier in &group.modifiers {
                tail.push(' ');
                tail.push_str(word(&modifier.kind));
            }
            let last = group.sequence.rest.last().map_or(&group.sequence.first, |(_, last)| last);
            Node::enclosed(start, head, inner, span_of(last).end, tail)
        }
    }
}

fn span_of(element: &Element) -> Span {
    match element {
        Element::Stage(stage) => stage.span,
        Element::Group(group) => group.span,
    }
}

fn quantifier(quantifier: Option<&Quantifier>) -> String {
    match quantifier.map(|quantifier| quantifier.kind) {
        None => String::new(),
        Some(QuantifierKind::Optional) => String::from("?"),
        Some(QuantifierKind::Plus) => String::from("+"),
        Some(QuantifierKind::Star) => String::from("*"),
        Some(QuantifierKind::Exactly(n)) => format!("{{{n}}}"),
        Some(QuantifierKind::AtLeast(n)) => format!("{{{n},}}"),
        Some(QuantifierKind::Between(n, m)) => format!("{{{n},{m}}}"),
    }
}

fn word(modifier: &ModifierKind) -> &'static str {
    match modifier {
        ModifierKind::Where(_) => "where",
        ModifierKind::Until(_) => "until",
        ModifierKind::Consecutive => "consecutive",
        ModifierKind::Combinations => "combinations",
        ModifierKind::Greedy => "greedy",
        ModifierKind::Optional => "optional",
    }
}

fn modifier(modifier: &Modifier) -> Node {
    let start = modifier.span.start;
    let word = word(&modifier.kind);
    match &modifier.kind {
        ModifierKind::Where(expr) | ModifierKind::Until(expr) => {
            condition(start, format!("{word} "), expr, Binding::Or, String::new())
        }
        _ => Node::leaf(start, word.to_owned()),
    }
}

/// A condition: where it is a chain of `and` or `or`, its operands can stand on lines of their own.
fn condition(start: u32, mut head: String, expr: &Expr, least: Binding, mut tail: String) -> Node {
    let (operands, word, binding) = match &expr.kind {
        ExprKind::Or(operands) => (operands, "or ", Binding::And),
        ExprKind::And(operands) => (operands, "and ", Binding::Not),
        _ => {
            write_operand(&mut head, expr, least);
            head.push_str(&tail);
            return Node::leaf(start, head);
        }
    };
    if needs_parentheses(expr, least) {
        head.push('(');
        tail.insert(0, ')');
    }
    let Some((first, rest)) = operands.split_first() else { return Node::leaf(start, head) };
    write_operand(&mut head, first, binding);
    let parts = rest
        .iter()
        .map(|operand| condition(operand.span.start, word.to_owned(), operand, binding, String::new()));
    Node::with_parts(start, head, parts.collect(), tail)
}

/// The name of a type or a stream: as a string where it cannot stand alone.
fn type_name(name: &Name) -> String {
    if is_plain_name(&name.text) {
        return name.text.clone();
    }
    let mut text = String::new();
    write_string(&mut text, &name.text);
    text
}
