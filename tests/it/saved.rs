//! The state of a key by itself: whenever all keys are encoded, dropped and loaded again, the engine goes on as if
//! nothing had been; and bytes that are damaged are refused.

use sequor::engine::{Engine, SavedKey};

use crate::generate::Case;
use crate::naive;
use crate::stepwise::Run;

/// Encodes all keys, drops them and loads them.
fn reload(engine: &mut Engine) {
    let (held, partial_matches) = (engine.held(), engine.partial_matches());
    let saved = engine.unload();
    assert_eq!(saved.len(), held.0, "one piece for each key");
    assert_eq!(engine.held(), (0, 0, 0), "what was unloaded is not held any more");
    engine.load(&saved).unwrap();
    let now = engine.held();
    assert_eq!((now.0, engine.partial_matches()), (held.0, partial_matches));
    // Sets hold what is dead a little longer; what is loaded is alive, and shared as it was.
    assert!(now.1 <= held.1 && now.2 <= held.2, "{now:?} after {held:?}");
}

#[test]
fn nothing_shows_of_dropping_and_loading_all_keys_after_every_event() {
    let (mut matches, mut loaded) = (0, 0);
    for seed in 0..600 {
        let (case, _) = Case::new(seed);
        // Where even the naive matcher gives up, partial matches double with every event.
        if naive::run(&[case.compile().unwrap().file], &case.inputs, &case.settings).is_err() {
            continue;
        }
        let mut plain = Run::of_case(&case);
        plain.all_lines(&case);
        let mut run = Run::of_case(&case);
        run.batch_size = 1;
        run.between = reload;
        run.all_lines(&case);
        let text = |run: &Run| String::from_utf8(run.found.json.clone()).unwrap();
        assert_eq!(text(&run), text(&plain), "seed {seed}\n{}", case.text());
        assert_eq!(run.engine.counters(), plain.engine.counters(), "seed {seed}\n{}", case.text());
        matches += plain.found.count;
        loaded += usize::from(plain.found.count > 0);
    }
    assert!(matches > 2_000 && loaded > 200, "hardly any matches: {matches} in {loaded} cases");
}

/// An engine in the middle of something, with all that keys can hold: several states, loops, complete matches that
/// wait, values of all kinds, strings with escapes.
fn busy() -> Run {
    let mut run = Run::of(
        "pattern p key by k match a: a followed by b+: b where v > coalesce(max(b.v), 0) followed by c?: c followed by d: d within 1h
           after match skip past last select a.text as text, b[0].list as list
         pattern q key by k match a: a not followed by z: z within 1h between events
         pattern r key by k match a: a followed by any b+: b followed by any c?: c followed by d: d within 1h
         pattern s key by k match (x: a followed by any n: z)? followed by any y: b followed by any w: b | c within 1h
           after match skip to next",
    );
    for (time, kind) in (1..).zip(["a", "b", "a", "b", "b", "c", "a", "b"]) {
        run.lines(0, line(time, kind));
    }
    run
}

fn line(time: u32, kind: &str) -> Vec<u8> {
    let value = r#""k":"x","text":"a\n\u00e9b","list":[1,{}]"#;
    format!("{{\"type\":\"{kind}\",\"ts\":{time}0000,\"v\":{time}.5,{value}}}\n").into_bytes()
}

#[test]
fn a_key_that_was_loaded_finds_what_it_would_have_found() {
    let mut run = busy();
    let before = run.engine.held();
    assert!(before.1 > 5, "{before:?}");
    let saved = run.engine.unload();
    run.engine.load(&saved).unwrap();
    let mut plain = busy();
    for run in [&mut run, &mut plain] {
        run.lines(0, line(9, "d"));
        run.end();
    }
    assert!(plain.found.count > 2, "{}", plain.found.count);
    assert_eq!(run.found.json, plain.found.json);
}

#[test]
fn damaged_bytes_are_refused_and_leave_nothing_behind() {
    let mut run = busy();
    let saved = run.engine.unload();
    let refused = |engine: &mut Engine, key: SavedKey| {
        let result = engine.load(std::slice::from_ref(&key));
        if result.is_ok() {
            // A change that still means something, like another time: it is held, and goes again.
            assert_eq!(engine.unload().len(), 1);
        }
        assert_eq!(engine.held(), (0, 0, 0), "{key:?}");
        result.is_err()
    };
    for key in &saved {
        for len in 0..key.bytes.len() {
            let bytes = key.bytes[..len].to_vec();
            assert!(refused(&mut run.engine, SavedKey { bytes, ..*key }), "cut to {len} bytes");
        }
        let mut count = 0;
        for at in 0..key.bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = key.bytes.clone();
                bytes[at] ^= flip;
                count += usize::from(refused(&mut run.engine, SavedKey { bytes, ..*key }));
            }
        }
        assert!(count > key.bytes.len() / 2, "only {count} of {} damages were noticed", key.bytes.len() * 3);
        let unknown = SavedKey { pattern: 7, bytes: key.bytes.clone() };
        assert!(refused(&mut run.engine, unknown));
    }
    let error = run.engine.load(&[SavedKey { pattern: 0, bytes: vec![9] }]).unwrap_err();
    assert_eq!(error.to_string(), "the saved state of a key is damaged at byte 0: expected version 1");
}
