//! Many patterns in one engine: each finds what it finds alone, whatever the others ask for.

use std::collections::BTreeSet;

use crate::generate::Case;
use crate::harness::{Run, run_engine};

/// Random patterns that run together.
const TOGETHER: u64 = 30;

#[test]
fn each_of_many_patterns_finds_what_it_finds_alone() {
    let run = Run { threads: 1, batch_size: 50, stretch: 100 };
    let mut found = [0, 0];
    for round in 0..60 {
        let (case, _) = Case::new(round * TOGETHER);
        let mut plans = Vec::new();
        for seed in round * TOGETHER..(round + 1) * TOGETHER {
            plans.extend(Case::new(seed).0.compile().expect("generated patterns are accepted").plans);
        }
        for (number, plan) in plans.iter_mut().enumerate() {
            plan.name = format!("p{number}");
        }
        let matches = |plans: &[_], run| {
            let outputs = run_engine(plans.to_vec(), &case.inputs, &case.settings, run);
            String::from_utf8(outputs.matches).unwrap()
        };
        let together = matches(&plans, run);
        let threads = matches(&plans, Run { threads: 3, batch_size: 7, ..run });
        assert_eq!(together, threads, "round {round}");
        for plan in &plans {
            let alone = matches(std::slice::from_ref(plan), run);
            let name = format!("\"pattern\":\"{}\"", plan.name);
            let own: String = together.split_inclusive('\n').filter(|line| line.contains(&name)).collect();
            assert_eq!(own, alone, "round {round}, {}", plan.name);
            found[usize::from(!alone.is_empty())] += 1;
        }
        let names: BTreeSet<_> = plans.iter().map(|plan| &plan.name).collect();
        assert_eq!(names.len(), plans.len());
    }
    assert!(found.iter().all(|&patterns| patterns > 200), "without and with matches: {found:?}");
}
