//! Texts of up to a mebibyte that could be too deep for the stack, or quadratic: each is read, checked, printed
//! and dropped, and told a bounded number of things.

use sequor::pattern::render::Source;
use sequor::pattern::{Limits, compile, print::print};

/// The text, cut to the largest that is read.
fn cut(mut text: String) -> String {
    let limit = Limits::default().text_bytes;
    while text.len() > limit || !text.is_char_boundary(text.len()) {
        text.truncate(text.len().min(limit + 1) - 1);
    }
    text
}

fn run(name: &str, text: String) -> (usize, usize) {
    let text = cut(text);
    let limits = Limits::default();
    let compiled = compile(&text, &limits);
    let told = compiled.diagnostics.iter().count();
    assert!(told <= limits.diagnostics, "{name}: {told}");
    let rendered = Source::new(name, &text).render_all(&compiled.diagnostics, true);
    assert!(rendered.len() < 200_000, "{name}: {} bytes", rendered.len());
    print(&compiled.file, &text);
    (told, compiled.plans.len())
}

fn in_where(condition: &str) -> String {
    format!("pattern p match a: a where {condition}")
}

#[test]
fn large_texts_that_mean_something_are_accepted() {
    let many = |one: &str, count: usize| one.repeat(count);
    let patterns: String = (0..6_250).map(|i| format!("pattern p{i} match a: a where x > {i}\n")).collect();
    assert_eq!(run("patterns", patterns.clone()), (0, 6_250));
    assert_eq!(run("and", in_where(&format!("{}a", many("a and ", 170_000)))), (0, 1));
    assert_eq!(run("or", in_where(&format!("{}a", many("a or ", 50_000)))), (0, 1));
    assert_eq!(run("sums", in_where(&format!("{}a > 1", many("a + ", 50_000)))), (0, 1));
    assert_eq!(run("products", in_where(&format!("{}a > 1", many("a*", 125_000)))), (0, 1));
    assert_eq!(run("path", in_where(&format!("x{} > 1", many(".b", 99)))), (0, 1));
    assert_eq!(run("arguments", in_where(&format!("concat(a{}) == ''", many(",a", 125_000)))), (0, 1));
    assert_eq!(run("list", in_where(&format!("a in (1{})", many(",1", 125_000)))), (0, 1));
    assert_eq!(run("comments", format!("{}\npattern p match a: a", many("/**/ ", 50_000))), (0, 1));
    assert_eq!(run("comments in", format!("pattern p match a: a {}", many("// c\n", 50_000))), (0, 1));
    assert_eq!(run("string", in_where(&format!("a == \"{}\"", many("\\n", 125_000)))), (0, 1));
    assert_eq!(run("white space", format!("{}pattern p match a: a", many(" \n", 125_000))), (0, 1));
    assert_eq!(run("one name", format!("pattern p match {}: a", many("x", 250_000))), (0, 1));
    let stages: String = (1..10_000).map(|i| format!(" next s{i}: a where s{}.x > s0.x", i - 1)).collect();
    assert_eq!(run("stages", format!("pattern p match s0: a{stages}")), (0, 1));
    let fields: String = (0..12_500).map(|i| format!(" and field{i} > 1")).collect();
    assert_eq!(run("fields", in_where(&format!("x > 1{fields}"))), (0, 1));
    let items: String = (0..20_000).map(|i| format!(", a.x{i}")).collect();
    assert_eq!(run("select", format!("pattern p match a: a select a.y{items}")), (0, 1));
}

#[test]
fn large_texts_that_mean_nothing_are_refused() {
    let kinds = [
        ("open groups", format!("pattern p match {}", "(".repeat(1_000_000))),
        ("groups", format!("pattern p match {}a: a{}", "(".repeat(125_000), ")".repeat(125_000))),
        ("groups on lines", format!("pattern p match {}", "(a: a next\n".repeat(22_500))),
        ("open parentheses", in_where(&"(".repeat(1_000_000))),
        ("parentheses", in_where(&format!("{}a{}", "(".repeat(125_000), ")".repeat(125_000)))),
        ("closed parentheses", in_where(&format!("a{}", ")".repeat(250_000)))),
        ("not", in_where(&"not ".repeat(62_500))),
        ("not parentheses", in_where(&"not (".repeat(50_000))),
        ("signs", in_where(&"- ".repeat(125_000))),
        ("signs and parentheses", in_where(&"-(".repeat(125_000))),
        ("comparisons", in_where(&format!("a{}", " < a".repeat(62_500)))),
        ("calls", in_where(&"f(".repeat(125_000))),
        ("lists", in_where(&"a in (".repeat(42_500))),
        ("path", in_where(&format!("a{} > 1", ".b".repeat(125_000)))),
        ("indexes", in_where(&format!("a{}", "[0".repeat(125_000)))),
        ("open string", in_where(&format!("\"{}", "x".repeat(250_000)))),
        ("open strings", in_where(&"\"\n".repeat(125_000))),
        ("escapes", in_where(&format!("\"{}\"", "\\q".repeat(125_000)))),
        ("open comment", format!("pattern p match a: a {}", "/*".repeat(125_000))),
        ("open name", format!("pattern p match {}", "`\n".repeat(125_000))),
        ("patterns", "pattern ".repeat(32_500)),
        ("patterns of one name", "pattern p match a: a ".repeat(12_500)),
        ("clauses", format!("pattern p match a: a{}", " within 5s".repeat(25_000))),
        ("matches", format!("pattern p {}", "match a: a ".repeat(22_500))),
        ("unknown clauses", format!("pattern p match a: a{}", "\nduring 5s".repeat(22_500))),
        ("words", format!("pattern p match a: a{}", " x".repeat(125_000))),
        ("lines of words", format!("pattern p match a: a{}", "\nx".repeat(125_000))),
        ("misspelt", format!("pattern p match a: a{}", " folowed by b: b".repeat(15_000))),
        ("links", format!("pattern p match a: a{}", " next".repeat(50_000))),
        ("colons", format!("pattern p match {}", ":".repeat(250_000))),
        ("numbers", in_where(&"1 ".repeat(125_000))),
        ("digits", in_where(&"1".repeat(250_000))),
        ("letters after digits", in_where(&format!("1{}", "1mx".repeat(75_000)))),
        ("strange", "\u{1f}".repeat(250_000)),
        ("strange words", "$ ".repeat(125_000)),
        ("stages of one name", format!("pattern p match a: a{}", " next a: a".repeat(25_000))),
        ("misspelt stages", {
            let stages: String = (0..5_000).map(|i| format!(" next stage{i}: a")).collect();
            let paths: String = (0..12_500).map(|i| format!(" and stag{i}x.y > 1")).collect();
            format!("pattern p match a: a{stages} next b: b where x{paths}")
        }),
        ("modifiers", format!("pattern p match a: a{}", " greedy".repeat(35_000))),
        ("conditions", format!("pattern p match a: a{}", " where x".repeat(27_500))),
        ("aliases", format!("pattern p match a: a select {}", "a.x as y,".repeat(27_500))),
        ("regular expressions", in_where(&format!("x{}", " or x matches '('".repeat(15_000)))),
        ("large regular expressions", {
            let tests: String = (0..20_000).map(|i| format!(" or x matches r'\\w{{20}}{i}'")).collect();
            in_where(&format!("x{tests}"))
        }),
        ("regular expressions of letters in both cases", {
            let tests: String =
                (0..20_000).map(|i| format!(" or x matches '(?i)(error|failed){i}'")).collect();
            in_where(&format!("x{tests}"))
        }),
        (
            "huge counts",
            format!("pattern p match {}a: a{}", "(".repeat(50), "){18446744073709551615}".repeat(50)),
        ),
        ("too long", " ".repeat(5_000_000)),
    ];
    for (name, text) in kinds {
        let too_long = text.len() > 4_000_000;
        let (told, plans) = match too_long {
            true => {
                let compiled = compile(&text, &Limits::default());
                (compiled.diagnostics.iter().count(), compiled.plans.len())
            }
            false => run(name, text),
        };
        assert!(told > 0, "{name} is told nothing");
        // The first of several patterns of one name is right.
        assert!(plans == 0 || name == "patterns of one name", "{name} gives {plans} plans");
    }
}
