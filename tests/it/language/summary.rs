//! Plans as short text, for golden files.

use std::fmt::Write;

use sequor::event::FieldPath;
use sequor::pattern::expr::{Attribute, Expr, Pick};
use sequor::pattern::plan::{ElementKind, Plan, Sequence};

/// A plan on a few lines.
pub(super) fn summary(plan: &Plan) -> String {
    let mut out = format!("plan {}", plan.name);
    if let Some(streams) = &plan.streams {
        write!(out, " from {streams:?}").unwrap();
    }
    let key: Vec<String> = plan.key.iter().map(FieldPath::to_string).collect();
    writeln!(
        out,
        " key {key:?} within {:?} skip {:?} timeouts {}",
        plan.within, plan.skip, plan.emit_timeouts
    )
    .unwrap();
    sequence(&mut out, plan, &plan.sequence, 1);
    for (name, expr) in &plan.select {
        writeln!(out, "  select {name} = {}", show(plan, expr)).unwrap();
    }
    out
}

fn sequence(out: &mut String, plan: &Plan, sequence_: &Sequence, depth: usize) {
    let indent = "  ".repeat(depth);
    for element in &sequence_.elements {
        let mut words = String::new();
        if element.optional {
            words.push_str(" optional");
        }
        if element.greedy {
            words.push_str(" greedy");
        }
        let most = element.repeat.max.map_or("…".to_owned(), |most| most.to_string());
        write!(
            out,
            "{indent}{:?} {}..{most}{words} inner {:?}: ",
            element.link, element.repeat.min, element.inner
        )
        .unwrap();
        match &element.kind {
            ElementKind::Stage(id) => stage(out, plan, *id),
            ElementKind::Group(inner) => {
                out.push_str("group\n");
                sequence(out, plan, inner, depth + 1);
            }
        }
        for negation in &element.negations {
            write!(out, "{indent}not {}: ", if negation.next { "next" } else { "followed by" }).unwrap();
            stage(out, plan, negation.stage);
        }
    }
}

fn stage(out: &mut String, plan: &Plan, id: usize) {
    let stage = &plan.stages[id];
    write!(out, "#{id} {} {:?}{}", stage.name, stage.types, if stage.negated { " negated" } else { "" })
        .unwrap();
    for (word, expr) in [("where", &stage.condition), ("until", &stage.until)] {
        if let Some(expr) = expr {
            write!(out, " {word} {}", show(plan, expr)).unwrap();
        }
    }
    out.push('\n');
}

fn show(plan: &Plan, expr: &Expr) -> String {
    let one = |expr: &Expr| show(plan, expr);
    let all = |list: &[Expr]| list.iter().map(one).collect::<Vec<_>>().join(", ");
    let not = |negated: bool| if negated { "not-" } else { "" };
    match expr {
        Expr::Const(value) => format!("{value:?}"),
        Expr::This(attribute) => format!("this.{}", show_attribute(plan, attribute)),
        Expr::Stage(id, Pick::Last, attribute) => format!("#{id}.{}", show_attribute(plan, attribute)),
        Expr::Stage(id, Pick::Index(n), attribute) => {
            format!("#{id}[{n}].{}", show_attribute(plan, attribute))
        }
        Expr::Key(index) => format!("key {index}"),
        Expr::Aggregate(aggregate, id, attribute) => {
            let attribute = attribute.as_ref().map_or(String::new(), |a| show_attribute(plan, a));
            format!("{aggregate:?}(#{id}.{attribute})")
        }
        Expr::Call(function, args) => format!("{function:?}({})", all(args)),
        Expr::Not(operand) => format!("Not({})", one(operand)),
        Expr::Negate(operand) => format!("Negate({})", one(operand)),
        Expr::Or(operands) => format!("Or({})", all(operands)),
        Expr::And(operands) => format!("And({})", all(operands)),
        Expr::Chain(first, rest) => {
            let rest: Vec<String> =
                rest.iter().map(|(op, operand)| format!(" {op:?} {}", one(operand))).collect();
            format!("({}{})", one(first), rest.concat())
        }
        Expr::Compare(left, op, right) => format!("{op:?}({}, {})", one(left), one(right)),
        Expr::IsNull(operand, negated) => format!("{}IsNull({})", not(*negated), one(operand)),
        Expr::In(operand, list, negated) => format!("{}In({}: {})", not(*negated), one(operand), all(list)),
        Expr::Between(operand, low, high, negated) => {
            format!("{}Between({}, {}, {})", not(*negated), one(operand), one(low), one(high))
        }
        Expr::Matches(operand, regex, negated) => {
            format!("{}Matches({}, /{regex}/)", not(*negated), one(operand))
        }
    }
}

fn show_attribute(plan: &Plan, attribute: &Attribute) -> String {
    match attribute {
        Attribute::Field(field) => plan.fields[*field].to_string(),
        other => format!("{other:?}"),
    }
}
