//! A journal beside a model of it: whatever is done in whatever order, it holds what a list would hold.

use std::sync::Arc;

use proptest::prelude::*;
use sequor::journal::{Journal, Options, Record, Tail, verify};

use super::{Random, Unsynced, read_tail, write};

#[derive(Debug, Clone)]
enum Step {
    Write(u64),
    Sync,
    Roll,
    Reopen,
    /// Prunes, cuts or copies at this part of the numbers, in 1/1000.
    Prune(u64),
    Cut(u64),
    Copy(u64),
    Read(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<u64>().prop_map(Step::Write),
        4 => Just(Step::Sync),
        1 => Just(Step::Roll),
        2 => Just(Step::Reopen),
        1 => (0..1_100_u64).prop_map(Step::Prune),
        1 => (500..1_100_u64).prop_map(Step::Cut),
        1 => (0..1_100_u64).prop_map(Step::Copy),
        3 => (0..1_100_u64).prop_map(Step::Read),
    ]
}

/// What the journal should hold: the frames, in order; and how many of them are durable.
#[derive(Default)]
struct Model {
    frames: Vec<Vec<Record>>,
    durable: usize,
    first: u64,
}

impl Model {
    fn records(&self, frames: usize) -> Vec<Record> {
        let all = self.frames[..frames].iter().flatten();
        all.filter(|record| record.first >= self.first).cloned().collect()
    }

    fn end(&self, frames: usize) -> u64 {
        self.frames[..frames].last().map_or(0, |frame| frame.last().unwrap().next())
    }
}

fn cases() -> u32 {
    std::env::var("SEQUOR_CASES").map_or(96, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_holds_what_a_list_would(steps in prop::collection::vec(step(), 1..60)) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("journal");
        let options = Options { segment_bytes: 1_500, disk: Arc::new(Unsynced), ..Options::default() };
        let (mut journal, _) = Journal::open(&dir, options.clone()).unwrap();
        let mut model = Model::default();
        let mut copies = 0;
        for step in steps {
            let share = |part: u64| model.first + (model.end(model.durable) - model.first) * part / 1_000;
            match step {
                Step::Write(seed) => {
                    let records = Random(seed).records(journal.next(), 500);
                    write(&mut journal, &records).unwrap();
                    // It may have begun a segment, for which it has synced what was before.
                    let durable = journal.durable_next();
                    while model.end(model.durable) < durable {
                        model.durable += 1;
                    }
                    model.frames.push(records);
                }
                Step::Sync => {
                    journal.sync().unwrap();
                    model.durable = model.frames.len();
                }
                Step::Roll => {
                    journal.roll().unwrap();
                    model.durable = model.frames.len();
                    prop_assert!(journal.tail().segments().last().unwrap().first == journal.next());
                }
                Step::Reopen => {
                    drop(journal);
                    // Only the program has ended: what was written is there.
                    model.durable = model.frames.len();
                    let (reopened, opened) = Journal::open(&dir, options.clone()).unwrap();
                    prop_assert_eq!((opened.cut_bytes, opened.is_new), (0, false));
                    journal = reopened;
                }
                Step::Prune(part) => {
                    let below = share(part);
                    journal.prune(below).unwrap();
                    let segments = journal.tail().segments();
                    prop_assert!(journal.first() <= below.max(model.first));
                    prop_assert!(segments.len() == 1 || segments[0].next > below);
                    model.first = journal.first();
                }
                Step::Cut(part) => {
                    let at = share(part);
                    let next = journal.cut(at).unwrap();
                    let keep = model.frames.iter().take_while(|f| f.last().unwrap().next() <= at).count();
                    model.frames.truncate(keep);
                    model.durable = keep;
                    prop_assert_eq!(next, model.end(keep).max(model.first));
                }
                Step::Copy(part) => {
                    copies += 1;
                    let (to, below) = (temporary.path().join(format!("copy-{copies}")), share(part));
                    let next = journal.tail().copy_with(&Unsynced, &to, below).unwrap();
                    prop_assert!(next >= below.min(model.end(model.durable)));
                    let mut expected = model.records(model.durable);
                    expected.retain(|record| record.first < next);
                    prop_assert_eq!(read_tail(&Tail::open(&to).unwrap()).unwrap(), expected);
                    prop_assert_eq!(verify(&to).unwrap().next, next);
                }
                Step::Read(part) => {
                    let from = share(part);
                    let mut expected = model.records(model.durable);
                    let before: Vec<Record> =
                        expected.iter().rev().filter(|record| record.first < from).cloned().collect();
                    let backward = journal.tail().backward(from).collect::<Result<Vec<_>, _>>().unwrap();
                    prop_assert_eq!(backward, before);
                    expected.retain(|record| record.next() > from);
                    let reader = journal.tail().reader(from).unwrap();
                    prop_assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), expected);
                }
            }
            let written = model.end(model.frames.len()).max(model.first);
            let durable = model.end(model.durable).max(model.first);
            prop_assert_eq!(journal.next(), written);
            prop_assert_eq!((journal.first(), journal.durable_next()), (model.first, durable));
            prop_assert_eq!(journal.tail().next(), durable);
        }
        prop_assert_eq!(read_tail(journal.tail()).unwrap(), model.records(model.durable));
        drop(journal);
        prop_assert_eq!(verify(&dir).unwrap().torn_bytes, 0);
        prop_assert_eq!(read_tail(&Tail::open(&dir).unwrap()).unwrap(), model.records(model.frames.len()));
    }
}
