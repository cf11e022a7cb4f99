//! Random patterns and streams, small enough that everything the language says happens often: few types, values and
//! times. The choices come from the bytes that the fuzzer makes up, so that it learns which ones lead somewhere.

use std::fmt::Write;

/// Makes choices.
pub trait Choose {
    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize;

    /// Yes, once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) + 1 == n
    }

    /// One of some texts.
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A text with some patterns. The rules of the language may refuse it: negations stand anywhere, and so on.
pub fn patterns(choose: &mut impl Choose) -> String {
    let mut text = String::new();
    for number in 0..=choose.below(2) {
        let _ = writeln!(text, "pattern p{number}");
        pattern(choose, &mut text);
    }
    text
}

fn pattern(choose: &mut impl Choose, text: &mut String) {
    if choose.once_in(6) {
        let _ = writeln!(text, "  from {}", choose.one(&["s", "t", "s, t"]));
    }
    if choose.once_in(2) {
        let _ = writeln!(text, "  key by {}", choose.one(&["k", "k", "k, v"]));
    }
    let mut stages = Vec::new();
    let sequence = sequence(choose, 0, &mut stages);
    let _ = writeln!(text, "  match {sequence}");
    if !choose.once_in(4) {
        let _ = write!(text, "  within {}ms", 1 + choose.below(9));
        text.push_str(choose.one(&["\n", "\n", " between events\n"]));
    }
    let named = stages[choose.below(stages.len())].clone();
    let skip =
        choose.one(&["", "", "no skip", "skip to next", "skip past last", "skip to first ", "skip to last "]);
    if !skip.is_empty() {
        let name = if skip.ends_with(' ') { named.as_str() } else { "" };
        let _ = writeln!(text, "  after match {skip}{name}");
    }
    if choose.once_in(2) {
        text.push_str("  emit timeouts\n");
    }
    if choose.once_in(2) {
        let of = &stages[choose.below(stages.len())];
        let _ = writeln!(
            text,
            "  select count({of}) as n, sum({of}.v) as total, avg({of}.v) as mean, {of}.v as last, {of}[0].@offset as at, min({of}.v) as least, max({of}.k) as most"
        );
    }
}

fn sequence(choose: &mut impl Choose, depth: usize, stages: &mut Vec<String>) -> String {
    let mut text = element(choose, depth, stages);
    for _ in 0..choose.below(4) {
        if choose.once_in(4) {
            let name = format!("s{}", stages.len());
            let link = choose.one(&["not next", "not followed by"]);
            let _ = write!(text, " {link} {name}: {}", accepts(choose, stages));
            stages.push(name);
        } else {
            let link = choose.one(&["next", "followed by", "followed by", "followed by any"]);
            let _ = write!(text, " {link} {}", element(choose, depth, stages));
        }
    }
    text
}

fn element(choose: &mut impl Choose, depth: usize, stages: &mut Vec<String>) -> String {
    const COUNTS: [&str; 14] =
        ["", "", "", "", "+", "*", "?", "{2}", "{3}", "{1,2}", "{2,}", "{0,2}", "{2,3}", "{1,}"];
    let quantifier = choose.one(&COUNTS);
    let inside = choose.one(&["", "", "", " consecutive", " combinations"]);
    let inside = if matches!(quantifier, "" | "?") { "" } else { inside };
    let optional =
        if choose.once_in(9) && !matches!(quantifier, "?" | "*" | "{0,2}") { " optional" } else { "" };
    if depth < 2 && choose.once_in(6) {
        return format!("({}){quantifier}{inside}{optional}", sequence(choose, depth + 1, stages));
    }
    let name = format!("s{}", stages.len());
    stages.push(name.clone());
    let mut text = format!("{name}{quantifier}: {}", accepts(choose, stages));
    if matches!(quantifier, "+" | "*" | "{2,}" | "{1,}") && choose.once_in(3) {
        let _ = write!(text, " until {}", condition(choose, stages));
    }
    let is_loop = !matches!(quantifier, "" | "?");
    let greedy = if is_loop && inside != " combinations" && choose.once_in(3) { " greedy" } else { "" };
    text + inside + greedy + optional
}

/// Types, and perhaps a condition.
fn accepts(choose: &mut impl Choose, stages: &[String]) -> String {
    let types = choose.one(&["a", "a", "b", "b", "c", "any", "a | b", "\"a\" | c"]);
    match choose.below(3) {
        0 => format!("{types} where {}", condition(choose, stages)),
        _ => types.to_owned(),
    }
}

fn condition(choose: &mut impl Choose, stages: &[String]) -> String {
    const ALONE: [&str; 16] = [
        "v > 1",
        "v == 1",
        "v != 2",
        "v <= 1.0",
        "v is null",
        "not (v > 1)",
        "v in (0, 2)",
        "v between 1 and 2 or k == \"x\"",
        "v % 2 == 0 and k is not null",
        "coalesce(v, 0) + 1 > 2",
        "@offset > 2",
        "@type != \"b\"",
        "k == 1",
        "k == \"x\"",
        "o.n >= 1",
        "if(v > 1, o.n, v) == 1",
    ];
    if stages.is_empty() || choose.once_in(2) {
        return choose.one(&ALONE).to_owned();
    }
    let of = &stages[choose.below(stages.len())];
    let number = choose.below(3);
    match choose.below(8) {
        0 => format!("v > {of}.v"),
        1 => format!("v == {of}.v"),
        2 => format!("v != {of}[0].v"),
        3 => format!("count({of}) > {number}"),
        4 => format!("sum({of}.v) >= {number}"),
        5 => format!("@time - {of}.@time < {}ms and v >= {number}", 1 + number),
        6 => format!("avg({of}.v) is null or v >= {of}[-2].v"),
        _ => format!("max({of}.v) > v or min({of}.v) == {number}"),
    }
}

/// Lines of one partition, `len` at most. Most are events in about the order of their times.
pub fn lines(choose: &mut impl Choose, len: usize) -> Vec<Vec<u8>> {
    const VALUES: [&str; 9] = ["0", "1", "2", "3", "1.0", "1.5", "null", "\"x\"", "[1]"];
    let mut time = 10;
    let mut lines = Vec::new();
    for _ in 0..choose.below(len + 1) {
        time += choose.below(4) as i64;
        let at = if choose.once_in(5) { time - choose.below(9) as i64 } else { time };
        let kind = choose.one(&["\"a\"", "\"a\"", "\"b\"", "\"b\"", "\"c\"", "\"d\"", "null"]);
        let key = choose.one(&["1", "1", "1", "2", "2", "1.0", "\"x\"", "\"1\"", "null"]);
        let value = choose.one(&VALUES);
        let line = match choose.below(24) {
            0 => choose
                .one(&["", " ", "{", "[]", "{\"ts\":null}", "{\"type\":\"a\"}", "{\"ts\":\"x\"}"])
                .to_owned(),
            1 => format!("{{\"type\":{kind},\"ts\":{at}}}"),
            2 => format!(" {{ \"ts\":{at}.0 ,\t\"k\":{key}, \"type\":{kind},\"v\":{value} }} "),
            3..7 => {
                format!("{{\"type\":{kind},\"ts\":{at},\"k\":{key},\"v\":{value},\"o\":{{\"n\":{value}}}}}")
            }
            _ => format!("{{\"type\":{kind},\"ts\":{at},\"k\":{key},\"v\":{value}}}"),
        };
        lines.push(line.into_bytes());
    }
    lines
}
