//! Expressions of any kind of value, as text, with no regard for whether their kinds fit: null is a result too.

use super::{Features, Random};

/// Whose fields a path reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// The event being tested.
    This,
    /// A stage's events.
    Stage(&'a str),
}

/// A field that events have now and then.
const FIELDS: [(u64, &str); 9] = [
    (6, "v"),
    (3, "w"),
    (3, "num"),
    (2, "text"),
    (1, "flag"),
    (1, "at"),
    (1, "ip"),
    (2, "nest.x"),
    (1, "nest.list[1]"),
];

const LITERALS: [&str; 18] = [
    "0",
    "1",
    "2",
    "7",
    "-3",
    "2.5",
    "1.0",
    "1e3",
    "9007199254740993",
    "9223372036854775807",
    "\"x\"",
    "\"Ab cd\"",
    "''",
    "true",
    "null",
    "2s",
    "1500ms",
    "\"10.0.0.7\"",
];

/// A path to a field or an attribute.
pub(crate) fn path(random: &mut Random, of: Of<'_>, features: &mut Features) -> String {
    let steps = if random.chance(15) {
        features.insert("meta attribute");
        *random.pick(&["@time", "@type", "@stream", "@partition", "@offset", "@key"])
    } else {
        *random.weighted(&FIELDS)
    };
    if steps.contains('.') {
        features.insert("nested field");
    }
    match of {
        Of::This if random.chance(10) => format!("this.{steps}"),
        Of::This => steps.to_owned(),
        Of::Stage(stage) => match random.below(6) {
            0 => format!("{stage}[0].{steps}"),
            1 => format!("{stage}[-1].{steps}"),
            2 => format!("{stage}[{}].{steps}", random.between(-3, 3)),
            _ => format!("{stage}.{steps}"),
        },
    }
}

/// An aggregate over a stage's events.
pub(crate) fn aggregate(random: &mut Random, stage: &str, features: &mut Features) -> String {
    features.insert("aggregate");
    if random.chance(30) {
        return format!("count({stage})");
    }
    let name = random.pick(&["sum", "avg", "min", "max", "first", "last"]);
    let field = if random.chance(80) { "v" } else { random.weighted(&FIELDS) };
    format!("{name}({stage}.{field})")
}

/// Any expression.
pub(crate) fn any(random: &mut Random, of: Of<'_>, depth: u32, features: &mut Features) -> String {
    if depth == 0 || random.chance(30) {
        return match (random.below(10), of) {
            (0..=3, _) => (*random.pick(&LITERALS)).to_owned(),
            (4, Of::Stage(stage)) => aggregate(random, stage, features),
            _ => path(random, of, features),
        };
    }
    let mut next = |random: &mut Random| any(random, of, depth - 1, features);
    match random.below(12) {
        0..=3 => {
            let operator = *random.pick(&["+", "-", "*", "/", "%"]);
            let (a, b) = (next(random), next(random));
            features.insert("arithmetic");
            if random.chance(50) {
                format!("({a} {operator} {b})")
            } else {
                format!("({a}) {operator} ({b})")
            }
        }
        4 => format!("-({})", next(random)),
        5 => {
            let operator = *random.pick(&["==", "!=", "<", "<=", ">", ">=", "=", "<>"]);
            format!("({} {operator} {})", next(random), next(random))
        }
        6 => {
            let word = *random.pick(&["and", "or"]);
            format!("(({}) {word} not ({}))", next(random), next(random))
        }
        7 => {
            let not = *random.pick(&["", "not "]);
            match random.below(5) {
                0 => format!("({} {not}in ({}, {}))", next(random), next(random), next(random)),
                1 => format!("(({}) {not}between ({}) and ({}))", next(random), next(random), next(random)),
                2 => format!("({} is {not}null)", next(random)),
                3 => format!(
                    "({} {not}like \"{}\")",
                    next(random),
                    random.pick(&["%", "x%", "_b%d", "%b c_", ""])
                ),
                _ => {
                    format!(
                        "({} {not}matches r\"{}\")",
                        next(random),
                        random.pick(&["^x", "[ab]+ c", "\\d", "^$"])
                    )
                }
            }
        }
        _ => {
            let text = call(random, of, &mut next);
            features.insert("function");
            text
        }
    }
}

/// A field, without an index.
fn field(of: Of<'_>, name: &str) -> String {
    match of {
        Of::This => name.to_owned(),
        Of::Stage(stage) => format!("{stage}.{name}"),
    }
}

/// A call of a function with arguments that mostly suit it.
fn call(random: &mut Random, of: Of<'_>, next: &mut dyn FnMut(&mut Random) -> String) -> String {
    const TEXTS: [&str; 5] = ["\"Ab cd\"", "\" x\u{e9} \"", "\"12\"", "\"x\"", "\"-1.5e2\""];
    let text = match random.below(3) {
        0 => next(random),
        1 => format!("to_string({})", next(random)),
        _ => (*random.pick(&TEXTS)).to_owned(),
    };
    match random.below(13) {
        0 => {
            let name = *random.pick(&["lower", "upper", "length", "trim", "to_number"]);
            format!("{name}({text})")
        }
        1 => {
            let name = *random.pick(&["contains", "starts_with", "ends_with"]);
            let part = random.pick(&["\"b\"", "\"\"", "\"x\"", "\" \""]);
            format!("{name}({text}, {part})")
        }
        2 => format!("substring({text}, {})", random.between(-2, 4)),
        3 => format!("substring({text}, {}, {})", random.between(-2, 4), random.between(-1, 4)),
        4 => format!("concat({}, {text}, {})", next(random), next(random)),
        5 => {
            let name = *random.pick(&["abs", "round", "floor", "ceil", "sqrt"]);
            format!("{name}({})", next(random))
        }
        6 => format!("round({}, {})", next(random), random.between(-1, 3)),
        7 => format!("coalesce({}, {}, {})", next(random), next(random), next(random)),
        8 => format!("if({}, {}, {})", next(random), next(random), next(random)),
        9 => {
            let network =
                random.pick(&["10.0.0.0/8", "10.0.0.4/30", "2001:db8::/32", "0.0.0.0/0", "nonsense"]);
            let address = match random.below(6) {
                0 => "\"2001:db8::1\"".to_owned(),
                1 => "\"::ffff:10.0.0.5\"".to_owned(),
                2 => next(random),
                _ => field(of, "ip"),
            };
            format!("cidr_contains(\"{network}\", {address})")
        }
        10 => {
            let name = *random.pick(&["hour_of_day", "day_of_week"]);
            let time = match random.below(6) {
                0 => "1700000000000".to_owned(),
                1 => "\"2024-02-29T23:30:00-01:00\"".to_owned(),
                2 => next(random),
                3 => field(of, "@time"),
                _ => field(of, "at"),
            };
            format!("{name}({time})")
        }
        11 => format!("to_string({})", next(random)),
        _ => format!("to_number({text})"),
    }
}
