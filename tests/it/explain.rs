//! What `explain` shows: every rendering of patterns that use all of the language, whatever stands in their names.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use proptest::prelude::*;
use sequor::cli::explain::{ExplainArgs, run};
use sequor::pattern::explain::{Edge, EdgeKind, Format, Graph, Link, render};
use sequor::pattern::{Limits, compile};

fn graphs(text: &str) -> Option<Vec<Graph>> {
    let compiled = compile(text, &Limits::default());
    if compiled.diagnostics.has_errors() {
        return None;
    }
    let pairs = compiled.file.patterns.iter().zip(&compiled.plans);
    Some(pairs.map(|(tree, plan)| Graph::new(tree, plan).expect("small enough")).collect())
}

#[track_caller]
fn graph(text: &str) -> Graph {
    graphs(text)
        .unwrap_or_else(|| panic!("{text}: {:?}", compile(text, &Limits::default()).diagnostics))
        .remove(0)
}

#[test]
fn renderings() {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../explain", omit_expression => true }, {
        insta::glob!("../explain", "*.seq", |path| {
            let graph = graph(&fs::read_to_string(path).unwrap());
            for (name, format) in Format::ALL {
                if format != Format::Svg {
                    insta::assert_snapshot!(name, render(&graph, format));
                }
            }
        });
    });
}

/// Graphviz reads what we write for it, where it is installed.
#[test]
fn graphviz_reads_the_graphs() {
    for file in fs::read_dir("tests/explain").unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_none_or(|e| e != "seq") {
            continue;
        }
        let text = render(&graph(&fs::read_to_string(&file).unwrap()), Format::Dot);
        let mut dot = Command::new("dot");
        dot.arg("-Tplain").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = dot.spawn() else {
            println!("skipped: there is no Graphviz");
            return;
        };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{file:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// Every tag is one of ours and is closed: nothing of a pattern's text is read as markup.
fn assert_is_ours(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag is closed");
        assert!(!text.contains('>'), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        assert!(["svg", "title", "style", "rect", "path", "text"].contains(&name), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty());
    assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "XML has no control characters");
}

/// Place and size of the rectangles of a class.
fn rects(svg: &str, class: &str) -> Vec<[f64; 4]> {
    let of = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap_or_default();
        rest.split('"').next().and_then(|number| number.parse::<f64>().ok()).expect("a number")
    };
    let tags = svg.lines().filter(|l| l.starts_with(&format!("<rect class=\"{class}")));
    tags.map(|l| [of(l, "x"), of(l, "y"), of(l, "width"), of(l, "height")]).collect()
}

#[test]
fn pictures_hold_what_they_show() {
    for file in fs::read_dir("tests/explain").unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_none_or(|e| e != "seq") {
            continue;
        }
        let graph = graph(&fs::read_to_string(&file).unwrap());
        let svg = render(&graph, Format::Svg);
        assert_is_ours(&svg);
        let boxes = rects(&svg, "box");
        assert_eq!(boxes.len(), graph.nodes.len(), "{file:?}");
        let beside = boxes.windows(2).all(|pair| pair[0][0] + pair[0][2] < pair[1][0]);
        assert!(beside, "{file:?}: boxes stand beside one another");
        let size = svg.split("viewBox=\"0 0 ").nth(1).and_then(|s| s.split('"').next()).unwrap();
        let (width, height) = size.split_once(' ').unwrap();
        let (width, height): (f64, f64) = (width.parse().unwrap(), height.parse().unwrap());
        assert!(boxes.iter().all(|[x, y, w, h]| x + w < width && y + h < height), "{file:?}");
        assert_eq!(svg.matches("class=\"way\"").count(), graph.edges.len(), "{file:?}");
    }
}

fn way<'a>(graph: &'a Graph, from: &str, to: &str) -> &'a Edge {
    let is = |e: &&Edge| graph.nodes[e.from].name() == from && graph.nodes[e.to].name() == to;
    graph.edges.iter().find(is).unwrap_or_else(|| panic!("no way from {from} to {to}"))
}

#[test]
fn a_loop_is_one_node_and_a_way_to_itself() {
    let graph = graph("pattern p match a: x followed by b{3,7}: x consecutive next c: x");
    assert_eq!((graph.nodes.len(), graph.positions), (5, 9));
    assert_eq!(graph.edges.len(), 5);
    assert_eq!((way(&graph, "b", "b").kind, way(&graph, "b", "b").link), (EdgeKind::Again, Link::Next));
    assert_eq!(way(&graph, "c", "match").link, Link::Completes);
}

#[test]
fn what_is_left_out_and_what_comes_again() {
    let graph = graph(
        "pattern p match (a: x not next z: z followed by b?: x followed by c: x){2} followed by d*: x greedy followed by e: x",
    );
    assert!(graph.edges.iter().all(|e| e.kind != EdgeKind::Again || (e.from, e.to) == (4, 4)));
    assert_eq!(way(&graph, "c", "a").kind, EdgeKind::Round);
    assert_eq!(way(&graph, "c", "e").kind, EdgeKind::Over);
    assert_eq!(way(&graph, "c", "e").yields_to, ["d"]);
    assert_eq!(way(&graph, "a", "c").unless[0].to_string(), "not next z");
    assert_eq!(graph.groups.len(), 1);
}

#[test]
fn conditions_are_divided_by_what_they_read() {
    let text = "pattern p match a: x followed by b+: x \
                where n > 1 and (m < 2 and n == a.n) and sum(b.n) < 9 or k == 1 \
                followed by c: x where n > 1 and (m < 2 and n == a.n) and sum(b.n) < 9";
    let graph = graph(text);
    let condition = |node: usize| match &graph.nodes[node] {
        sequor::pattern::explain::Node::Stage(stage) => stage.condition.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(condition(2).per_event, Vec::<String>::new());
    assert_eq!(condition(2).per_partial_match, [condition(2).text]);
    assert_eq!(condition(3).per_event, ["n > 1", "m < 2"]);
    assert_eq!(condition(3).per_partial_match, ["n == a.n", "sum(b.n) < 9"]);
}

#[test]
fn what_makes_a_pattern_see_every_event() {
    let strict = |text: &str| graph(text).index.strict;
    assert_eq!(strict("pattern p match a: x followed by b: y"), None);
    assert_eq!(strict("pattern p match a: x next b: y").as_deref(), Some("next b"));
    assert_eq!(strict("pattern p match a+: x consecutive").as_deref(), Some("a consecutive"));
    assert_eq!(strict("pattern p match a: x not next b: y").as_deref(), Some("not next b"));
    let graph = graph("pattern p match a: x where n > 1 followed by b: y | z where n > 1 and n > a.n");
    assert_eq!(graph.index.types.unwrap(), ["x", "y", "z"]);
    assert_eq!((graph.index.shared_tests, graph.index.tests_per_partial_match), (1, 1));
}

#[test]
fn ways_out_are_told_where_they_help() {
    let remedies = |text: &str| {
        let graph = graph(&format!("pattern p match {text} within 1h after match skip past last"));
        let told = graph.growth.remedies.into_iter().map(|r| format!("{}: {}", r.change, r.effect));
        (graph.growth.class, told.collect::<Vec<_>>())
    };
    let (class, told) = remedies("a: x followed by any b: x followed by any c: x");
    assert_eq!(class, "quadratic");
    assert!(
        told[0].starts_with("`followed by` instead of `followed by any` before `b`: then linear"),
        "{told:?}"
    );
    let (class, told) = remedies("a+: x followed by c: y");
    assert_eq!(class, "quadratic");
    assert!(told.iter().any(|t| t == "`greedy` on `a`: then linear"), "{told:?}");
    let (class, told) = remedies("a+: x combinations followed by c: y");
    assert_eq!(class, "exponential");
    assert!(told.iter().any(|t| t == "no `combinations` on `a`: then quadratic"), "{told:?}");
    let (class, told) = remedies("a+: x combinations followed by b+: y combinations");
    assert_eq!(class, "exponential");
    assert!(
        told[0].contains("on `a`") && told[0].contains("on `b`") && told[0].contains("together"),
        "{told:?}"
    );
    assert_eq!(remedies("a: x next b: x"), ("bounded", Vec::new()));
    assert_eq!(remedies("a: x"), ("none", Vec::new()));
}

#[test]
fn what_is_too_large_is_refused_and_the_rest_is_quick() {
    let stages = |n: usize, stage: &str| (0..n).map(|i| format!("s{i}{stage}")).collect::<Vec<_>>();
    let of = |text: &str| {
        let compiled = compile(text, &Limits::default());
        Graph::new(&compiled.file.patterns[0], &compiled.plans[0])
    };
    assert!(of(&format!("pattern p match a: x next {}", stages(150, "?: x").join(" next "))).is_none());
    let long = of(&format!("pattern p match {}", stages(3_000, ": x").join(" followed by any "))).unwrap();
    assert_eq!(long.growth.power, Some(2_999));
    for text in ["a{5000}: x followed by any b{4900}: x", "(a{1,30}: x followed by any b{1,30}: x){1,30}"] {
        let graph = of(&format!("pattern p match {text}")).unwrap();
        assert_eq!(graph.nodes.len(), 4);
    }
    for (_, format) in Format::ALL {
        assert!(render(&long, format).len() > 100_000);
    }
}

#[test]
fn what_is_kept_without_a_window_is_said() {
    let lifetime = |text: &str| graph(text).growth.lifetime.unwrap_or_default();
    assert!(lifetime("pattern p match a: x followed by b: x").contains("no `within`"));
    assert!(lifetime("pattern p match a+: x within 1s between events").contains("between events"));
    assert_eq!(lifetime("pattern p match a: x followed by b: x within 1s"), "");
    assert_eq!(lifetime("pattern p match a: x"), "");
}

/// An odd name in backticks.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("x".to_owned()), "[^`\n\r]{1,12}", Just("\u{1b}[2J<b>&\"]]>#;|\\".to_owned())]
}

fn quantifier() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("?"), Just("+"), Just("*"), Just("{2}"), Just("{2,4}"), Just("{3,}")]
}

/// An element with `#` in the place of each stage's number.
fn element() -> impl Strategy<Value = String> {
    let stage = (
        name(),
        quantifier(),
        name(),
        prop_oneof![
            Just(""),
            Just(" consecutive"),
            Just(" combinations"),
            Just(" greedy"),
            Just(" where n > 1 and s == '<&\">' and m < count(`#`)"),
        ],
    );
    let stage = stage.prop_map(|(name, q, types, modifier)| {
        let name = name.replace('#', "");
        format!(
            "`{name}#`{q}: `{}`{}",
            types.replace('#', ""),
            modifier.replace("`#`", &format!("`{name}#`"))
        )
    });
    stage.prop_recursive(3, 12, 3, |inner| {
        let link = prop_oneof![
            Just("next"),
            Just("followed by"),
            Just("followed by any"),
            Just("not next `no#`: z followed by"),
            Just("not followed by `no#`: z next"),
        ];
        (inner.clone(), link, inner, quantifier()).prop_map(|(a, link, b, q)| format!("({a} {link} {b}){q}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_in_a_pattern_breaks_a_rendering(pattern in name(), element in element()) {
        // Stage names are made distinct by numbers; a stage's condition names the stage that it belongs to.
        let (mut text, mut number) = (format!("pattern `{pattern}` match "), 0);
        let mut parts = element.split('#').peekable();
        while let Some(part) = parts.next() {
            text.push_str(part);
            if parts.peek().is_some() {
                let inside_condition = part.contains("count(`");
                number += u32::from(!inside_condition);
                text.push_str(&number.to_string());
            }
        }
        if let Some(graph) = graphs(&text).and_then(|mut g| g.pop()) {
            for (_, format) in Format::ALL {
                let out = render(&graph, format);
                prop_assert!(out.ends_with('\n'));
                if format == Format::Json {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
                } else {
                    let is_odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                    prop_assert!(!out.chars().any(is_odd), "{}", out);
                }
                if format == Format::Svg {
                    assert_is_ours(&out);
                }
            }
        }
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ExplainArgs,
}

fn status(args: &[&str]) -> ExitCode {
    run(Cli::parse_from([&["explain"], args].concat()).args)
}

#[test]
fn the_command_gives_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("two.seq"), "pattern p match a: x\npattern q match b: x next c: y").unwrap();
    fs::write(path("bad.seq"), "pattern p match a: x next").unwrap();
    let (two, bad, out) = (path("two.seq"), path("bad.seq"), path("out"));
    assert_eq!(status(&[&two, "--output", &out]), ExitCode::SUCCESS);
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("pattern p\n") && text.contains("\n\npattern q\n"), "{text}");
    assert_eq!(status(&[&two, "--pattern", "q", "--format", "svg", "--output", &out]), ExitCode::SUCCESS);
    assert!(fs::read_to_string(&out).unwrap().starts_with("<svg "));
    assert_eq!(status(&[&two, "--format", "svg", "--output", &out]), ExitCode::from(2));
    assert_eq!(status(&[&two, "--pattern", "r", "--output", &out]), ExitCode::from(2));
    assert_eq!(status(&[&two, &bad, "--output", &out]), ExitCode::from(2));
    assert_eq!(status(&[&path("none.seq")]), ExitCode::from(1));
    assert_eq!(status(&[&two, "--output", &path("no/folder")]), ExitCode::from(1));
}
