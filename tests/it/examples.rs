//! The example log is what the generator makes: whoever changes one changes the other.

#[path = "../../benches/common/generate.rs"]
#[allow(dead_code, reason = "the test uses a part of what benchmarks use")]
mod generate;

#[test]
fn the_example_log_is_generated() {
    let log = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop.jsonl")).unwrap();
    let generated = generate::lines(generate::Workload::Shop, 600, 3);
    assert!(log == generated, "./dev generate shop --events 600 --seed 3 > examples/shop.jsonl");
}
