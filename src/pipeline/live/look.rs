//! Looking inside while events pass: a question goes the way of the events, behind all that was answered before, and
//! each shard answers between two batches. Nobody waits for who asks: one question is asked at a time, each holds a
//! shard for a moment only, and what comes too late is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::handle::Handle;
use super::request::Request;
use crate::engine::{Cost, Engine, HeldKey, Page, Part, Weight, name_of_key};
use crate::event::Value;
use crate::pattern::plan::Plan;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Bytes of events that a shard gives in one answer, about.
const ANSWER_BYTES: usize = 8 << 20;

/// Keys of a pattern whose names a shard gathers in one go.
const KEYS_AT_ONCE: usize = 1 << 14;

/// Of a key among others so many partial matches are shown.
const OF_A_KEY: usize = 10;

/// From so many keys of a shard the weight of all is estimated.
const WEIGHED_KEYS: usize = 1_000;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// Too much is under way: later.
    Busy,
    /// The service is stopping, or has failed.
    Stopping,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Busy => {
                write!(f, "the answer did not come within {} s: too much is under way", ANSWER_TIME.as_secs())
            }
            Unanswered::Stopping => f.write_str("the service is stopping"),
        }
    }
}

impl std::error::Error for Unanswered {}

/// A key as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum AskedKey {
    /// The values of its fields, in the order of the pattern.
    Values(Vec<Value<'static>>),
    /// The values by the names of the fields.
    Fields(BTreeMap<String, Value<'static>>),
}

impl AskedKey {
    /// What names it where keys have these fields; none where they are others, or a value is no key's.
    pub fn name(&self, fields: &[String]) -> Option<Vec<u8>> {
        match self {
            AskedKey::Values(values) => name_of_key(values).filter(|_| values.len() == fields.len()),
            AskedKey::Fields(values) => {
                let in_order = fields.iter().map(|field| values.get(field).cloned());
                let in_order: Vec<Value<'_>> = in_order.collect::<Option<_>>()?;
                name_of_key(&in_order).filter(|_| values.len() == fields.len())
            }
        }
    }

    fn name_in(&self, plan: &Plan) -> Option<Vec<u8>> {
        self.name(&plan.key.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// What keys hold, as far as it was asked for.
#[derive(Debug, Default)]
pub struct HeldPage {
    /// By key and version.
    pub keys: Vec<HeldKey>,
    /// Whether there is more behind them.
    pub is_more: bool,
    /// The name of the last key that was looked at, where keys were listed.
    pub last: Option<Vec<u8>>,
}

impl HeldPage {
    fn items(&self) -> usize {
        self.keys.iter().map(|key| key.items.len()).sum()
    }
}

/// What one version of a pattern costs.
#[derive(Debug, Clone, Default)]
pub struct VersionCost {
    /// The version.
    pub version: u64,
    /// Since it was installed, or the service was started.
    pub cost: Cost,
    /// What it holds now; of many keys it is estimated from some, but for how many keys there are.
    pub weight: Weight,
    /// Whether it is.
    pub is_estimate: bool,
    /// Nanoseconds that were timed in all shards, whichever pattern they were for.
    pub timed_nanos: u64,
}

impl Handle {
    /// What a pattern holds of a key: so many partial matches behind some.
    pub async fn held_of(
        &self,
        pattern: &str,
        key: AskedKey,
        skip: u64,
        take: usize,
    ) -> Result<HeldPage, Unanswered> {
        let _alone = self.alone().await?;
        let pattern = pattern.to_owned();
        let looked = move |engine: &Engine| {
            let name = |plan: &Plan| key.name_in(plan);
            held(engine, &pattern, name, skip, take, &mut { ANSWER_BYTES })
        };
        let keys: Vec<HeldKey> = self.of_shards(looked).await?.into_iter().flatten().collect();
        let count = keys.iter().fold(0, |sum: u64, key| sum.saturating_add(key.count));
        let page = HeldPage { keys, ..HeldPage::default() };
        let is_more = count > skip.saturating_add(page.items() as u64);
        Ok(HeldPage { is_more, ..page })
    }

    /// What a pattern holds of the keys behind one, in the order of their names: so many partial matches, and of each key
    /// the first ones only.
    pub async fn held(
        &self,
        pattern: &str,
        after: Option<Vec<u8>>,
        take: usize,
    ) -> Result<HeldPage, Unanswered> {
        let _alone = self.alone().await?;
        let names = Arc::new(self.names(pattern, after, take).await?);
        let (pattern, asked) = (pattern.to_owned(), Arc::clone(&names));
        let looked = move |engine: &Engine| {
            let mut bytes = ANSWER_BYTES;
            let of = |name: &Vec<u8>| {
                held(engine, &pattern, |_| Some(name.clone()), 0, OF_A_KEY.min(take), &mut bytes)
            };
            asked.iter().take(take).flat_map(of).collect::<Vec<HeldKey>>()
        };
        let mut keys: Vec<HeldKey> = self.of_shards(looked).await?.into_iter().flatten().collect();
        keys.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        let last = names.get(..take.min(names.len())).and_then(<[_]>::last).cloned();
        let mut page = HeldPage { keys: Vec::new(), is_more: names.len() > take, last };
        for of_key in keys.chunk_by(|a, b| a.name == b.name) {
            let items: usize = of_key.iter().map(|key| key.items.len()).sum();
            // A key is shown with all that is shown of it, or on the next page.
            if items == 0 || page.items() + items > take {
                page.is_more = true;
                page.last = page.keys.last().map(|key| key.name.clone());
                break;
            }
            page.keys.extend(of_key.iter().cloned());
        }
        Ok(page)
    }

    /// The names of the next keys of a pattern, in order: one more than `take`, where there are as many.
    async fn names(
        &self,
        pattern: &str,
        after: Option<Vec<u8>>,
        take: usize,
    ) -> Result<Vec<Vec<u8>>, Unanswered> {
        let name = pattern.to_owned();
        let most = move |engine: &Engine| {
            engine.versions(&name).map(|(number, _)| engine.keys_of(number)).max().unwrap_or(0)
        };
        let keys = self.of_shards(most).await?.into_iter().max().unwrap_or(0);
        let of = (keys / KEYS_AT_ONCE) as u32 + 1;
        let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
        for number in 0..of {
            let (pattern, after) = (pattern.to_owned(), after.clone());
            let some = move |engine: &Engine| {
                let mut names = BTreeSet::new();
                for (pattern, _) in engine.versions(&pattern) {
                    engine.key_names(pattern, Part { number, of }, |name| {
                        let is_behind = after.as_ref().is_none_or(|after| name > *after);
                        let is_near = names.len() <= take || names.last().is_some_and(|last| name < *last);
                        if is_behind && is_near && names.insert(name) && names.len() > take + 1 {
                            names.pop_last();
                        }
                    });
                }
                names
            };
            names.extend(self.of_shards(some).await?.into_iter().flatten());
            while names.len() > take + 1 {
                names.pop_last();
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The patterns that hold something of a key, by name and version, behind one; without their partial matches.
    pub async fn holders(
        &self,
        key: AskedKey,
        after: Option<(String, u64)>,
        take: usize,
    ) -> Result<HeldPage, Unanswered> {
        let _alone = self.alone().await?;
        let none = Page { skip: 0, take: 0, bytes: ANSWER_BYTES };
        let looked = move |engine: &Engine| {
            let held = engine
                .patterns()
                .filter_map(|number| engine.held_of(number, &key.name_in(engine.plan(number))?, none));
            let after = after.as_ref().map(|(name, version)| (name.as_str(), *version));
            let held =
                held.filter(|held| after.is_none_or(|after| (held.pattern.as_str(), held.version) > after));
            held.take(take + 1).collect::<Vec<HeldKey>>()
        };
        let mut keys: Vec<HeldKey> = self.of_shards(looked).await?.into_iter().flatten().collect();
        keys.sort_by(|a, b| (&a.pattern, a.version).cmp(&(&b.pattern, b.version)));
        let is_more = keys.len() > take;
        keys.truncate(take);
        Ok(HeldPage { keys, is_more, last: None })
    }

    /// What the versions of a pattern cost that are there, summed over the shards.
    pub async fn cost(&self, pattern: &str) -> Result<Vec<VersionCost>, Unanswered> {
        let _alone = self.alone().await?;
        let pattern = pattern.to_owned();
        let looked = move |engine: &Engine| {
            let versions = engine.versions(&pattern).map(|(number, version)| {
                let weight = engine.weight(number, WEIGHED_KEYS);
                (version, engine.cost_of(number), engine.keys_of(number) as u64, weight)
            });
            (engine.timed_nanos(), versions.collect::<Vec<_>>())
        };
        let shards = self.of_shards(looked).await?;
        let timed_nanos = shards.iter().map(|(nanos, _)| nanos).sum();
        let mut versions: Vec<VersionCost> = Vec::new();
        for (version, cost, keys, weight) in shards.into_iter().flat_map(|(_, versions)| versions) {
            let at = versions.iter().position(|known| known.version == version).unwrap_or_else(|| {
                versions.push(VersionCost { version, timed_nanos, ..VersionCost::default() });
                versions.len() - 1
            });
            let known = &mut versions[at];
            known.cost.events += cost.events;
            known.cost.matches += cost.matches;
            known.cost.timeouts += cost.timeouts;
            known.cost.nanos += cost.nanos;
            known.is_estimate |= weight.keys < keys;
            let of_all = |some: u64| match weight.keys {
                0 => 0,
                weighed => u64::try_from(u128::from(some) * u128::from(keys) / u128::from(weighed))
                    .unwrap_or(u64::MAX),
            };
            known.weight.keys += keys;
            known.weight.partial_matches =
                known.weight.partial_matches.saturating_add(of_all(weight.partial_matches));
            known.weight.events += of_all(weight.events);
            known.weight.bytes += of_all(weight.bytes);
        }
        Ok(versions)
    }

    /// Waits until nobody else looks.
    async fn alone(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Unanswered> {
        timeout(ANSWER_TIME, self.0.looking.lock()).await.map_err(|_| Unanswered::Busy)
    }

    /// What all shards say to a question.
    async fn of_shards<T: Send + 'static>(
        &self,
        look: impl Fn(&Engine) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>, Unanswered> {
        let shards = self.0.shards;
        let (to, mut from) = mpsc::channel(shards.max(1));
        let given = Arc::new(move |engine: &Engine| {
            // Where nobody waits any more, nothing has to be found out.
            if !to.is_closed() {
                let _ = to.try_send(look(engine));
            }
        });
        self.0.requests.try_send(Request::Look(given)).map_err(|refused| match refused {
            TrySendError::Full(_) => Unanswered::Busy,
            TrySendError::Disconnected(_) => Unanswered::Stopping,
        })?;
        let all = async {
            let mut answers = Vec::with_capacity(shards);
            while answers.len() < shards {
                // A shard that has ended, or an owner that has, drops the question.
                answers.push(from.recv().await.ok_or(Unanswered::Stopping)?);
            }
            Ok(answers)
        };
        timeout(ANSWER_TIME, all).await.unwrap_or(Err(Unanswered::Busy))
    }
}

/// What the versions of a pattern hold of a key in a shard: so many partial matches together, behind some.
fn held(
    engine: &Engine,
    pattern: &str,
    key: impl Fn(&Plan) -> Option<Vec<u8>>,
    skip: u64,
    take: usize,
    bytes: &mut usize,
) -> Vec<HeldKey> {
    let (mut skip, mut left) = (skip, take);
    let mut found = Vec::new();
    for (number, _) in engine.versions(pattern) {
        let page = Page { skip, take: left, bytes: *bytes };
        let name = key(engine.plan(number));
        let Some(held) = name.and_then(|name| engine.held_of(number, &name, page)) else { continue };
        let events = held.items.iter().flat_map(|item| &item.events);
        *bytes = bytes.saturating_sub(events.map(|event| event.json.len().max(1)).sum());
        skip = skip.saturating_sub(held.count);
        left -= held.items.len();
        found.push(held);
    }
    found
}

/// Nanoseconds since some moment, for what patterns cost.
#[expect(clippy::disallowed_methods, reason = "it tells people what patterns cost; nothing depends on it")]
pub(super) fn nanos() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed().as_nanos() as u64
}
