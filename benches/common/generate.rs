//! Deterministic event logs for benchmarks and examples: the same workload, number of events and seed give the same
//! bytes on every machine. Lines are JSON objects with `type`, `ts` (epoch milliseconds) and the workload's own fields,
//! in order of time except for `out_of_order`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::io;

/// The first event's time: 2023-11-14T22:13:20Z.
const START: i64 = 1_700_000_000_000;

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Workload {
    /// `tx` of 10,000 cards at 1,000 a second: now and then a tiny amount, then a large one at perhaps the same merchant.
    CardTesting,
    /// The events of `CardTesting`, each arriving up to five seconds late.
    OutOfOrder,
    /// `login` of 1,000 users at 20 a second: a tenth fail, and now and then a row of failures ends in a success.
    BruteForce,
    /// `tick` of 100 symbols at 100 a second: prices that wander, volumes from 1 to 1,000.
    RisingPrice,
    /// One event a millisecond, all of one key: `A`, `B` and `C` with this share each, the rest noise of 17 types.
    Abc(f64),
    /// `order` and `payment` at 100 a second: four orders in a hundred are never paid, one more too late.
    MissingPayment,
    /// `t0` to `t9999`, each type as often as any other, of 10,000 cards at 1,000 a second.
    Spread,
    /// A little of a web shop: logins, card payments and orders, for the demonstration.
    Shop,
}

impl Workload {
    /// The workloads by their names.
    pub(crate) const ALL: [(&'static str, Workload); 8] = [
        ("card_testing", Workload::CardTesting),
        ("out_of_order", Workload::OutOfOrder),
        ("brute_force", Workload::BruteForce),
        ("rising_price", Workload::RisingPrice),
        ("abc", Workload::Abc(0.01)),
        ("missing_payment", Workload::MissingPayment),
        ("spread", Workload::Spread),
        ("shop", Workload::Shop),
    ];

    /// The workload of a name.
    pub(crate) fn named(name: &str) -> Option<Workload> {
        Workload::ALL.iter().find(|(known, _)| *known == name).map(|(_, workload)| *workload)
    }
}

/// Writes `events` lines of a workload.
pub(crate) fn generate(
    workload: Workload,
    events: u64,
    seed: u64,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    if workload == Workload::OutOfOrder {
        return out_of_order(events, seed, out);
    }
    let mut source = Source::new(workload, seed);
    let mut line = String::with_capacity(256);
    for left in (0..events).rev() {
        line.clear();
        source.event(left, &mut line);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// The lines of a workload in memory, each with its line break.
#[allow(dead_code, reason = "the program that writes logs has no use for it, benchmarks do")]
pub(crate) fn lines(workload: Workload, events: u64, seed: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    match generate(workload, events, seed, &mut lines) {
        Ok(()) => lines,
        Err(e) => unreachable!("memory takes every write: {e}"),
    }
}

/// Each event arrives at its time and up to five seconds more.
fn out_of_order(events: u64, seed: u64, out: &mut dyn io::Write) -> io::Result<()> {
    let mut source = Source::new(Workload::CardTesting, seed);
    let mut delay = Random(seed ^ 0x5eed);
    let mut waiting: BinaryHeap<Reverse<(i64, u64, String)>> = BinaryHeap::new();
    for number in 0..events {
        let mut line = String::with_capacity(128);
        source.event(events - number - 1, &mut line);
        line.push('\n');
        waiting.push(Reverse((source.now + delay.below(5_001), number, line)));
        while waiting.peek().is_some_and(|Reverse((arrival, _, _))| *arrival < source.now) {
            if let Some(Reverse((_, _, line))) = waiting.pop() {
                out.write_all(line.as_bytes())?;
            }
        }
    }
    while let Some(Reverse((_, _, line))) = waiting.pop() {
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// An event that an earlier one has set in motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A large payment with this card at this merchant.
    LargePayment(i64, i64),
    /// A login of this user, successful or not.
    Login(i64, bool),
    /// The payment of this order.
    Payment(i64),
}

struct Source {
    workload: Workload,
    random: Random,
    /// The time of the event made last.
    now: i64,
    /// What comes later: its time, a number that keeps equal times in order, and what.
    due: BinaryHeap<Reverse<(i64, u64, Due)>>,
    scheduled: u64,
    orders: i64,
    /// Of so many events a few begin something; the fewer, the livelier.
    calm: i64,
    /// The price of each symbol, in cents.
    cents: Vec<i64>,
}

impl Source {
    fn new(workload: Workload, seed: u64) -> Source {
        let mut random = Random(seed);
        let cents = (0..100).map(|_| 5_000 + random.below(20_000)).collect();
        let calm = if workload == Workload::Shop { 60 } else { 1_000 };
        Source { workload, random, calm, now: START, due: BinaryHeap::new(), scheduled: 0, orders: 0, cents }
    }

    /// Makes the next event, of which `left` more will follow.
    fn event(&mut self, left: u64, line: &mut String) {
        match self.workload {
            Workload::CardTesting | Workload::OutOfOrder => {
                self.now += self.random.below(3);
                let due = self.due_now();
                self.card_payment(due, 10_000, line);
            }
            Workload::BruteForce => {
                self.now += self.random.below(101);
                let due = self.due_now();
                self.login(due, 1_000, line);
            }
            Workload::RisingPrice => self.tick(line),
            Workload::Abc(share) => self.letter(share, line),
            Workload::MissingPayment => {
                let due = self.advance(20, left);
                self.order(due, line);
            }
            Workload::Spread => self.spread(line),
            Workload::Shop => self.shop(left, line),
        }
    }

    fn schedule(&mut self, delay: i64, due: Due) {
        self.due.push(Reverse((self.now + delay, self.scheduled, due)));
        self.scheduled += 1;
    }

    /// What is due by now, if anything.
    fn due_now(&mut self) -> Option<Due> {
        let Reverse((time, _, due)) = *self.due.peek()?;
        if time > self.now {
            return None;
        }
        self.due.pop();
        Some(due)
    }

    fn card_payment(&mut self, due: Option<Due>, cards: i64, line: &mut String) {
        let (card, merchant, cents) = match due {
            Some(Due::LargePayment(card, merchant)) => (card, merchant, self.random.between(40_001, 240_000)),
            _ => {
                let (card, merchant) = (self.random.below(cards), self.merchant());
                let cents = match self.random.below(self.calm) {
                    0..5 => {
                        let late = self.random.below(10) == 0;
                        let delay = if late {
                            self.random.between(600_000, 700_000)
                        } else {
                            self.random.between(2_000, 120_000)
                        };
                        let other = if self.random.below(10) < 6 { merchant } else { self.merchant() };
                        self.schedule(delay, Due::LargePayment(card, other));
                        self.random.between(10, 199)
                    }
                    5 => self.random.between(10, 199),
                    6 => self.random.between(40_001, 240_000),
                    _ => 200 + (39_800.0 * self.random.unit() * self.random.unit()) as i64,
                };
                (card, merchant, cents)
            }
        };
        let ts = self.now;
        let _ = write!(
            line,
            r#"{{"type":"tx","ts":{ts},"card":"c{card}","amount":{},"merchant":"m{merchant}"}}"#,
            Money(cents)
        );
    }

    /// Merchants are not equally liked: m0 has 4.6 % of all payments, the first ten have 10 %.
    fn merchant(&mut self) -> i64 {
        let share = self.random.unit();
        (10_000.0 * share * share * share) as i64
    }

    fn login(&mut self, due: Option<Due>, users: i64, line: &mut String) {
        let (user, success) = match due {
            Some(Due::Login(user, success)) => (user, success),
            _ => {
                let user = self.random.below(users);
                // Two in a thousand begin an attack: this failure, two to eleven more, and a success.
                if self.random.below(self.calm) < 2 {
                    let mut delay = 0;
                    let failures = self.random.between(2, 11);
                    for guess in 0..=failures {
                        delay += self.random.between(500, 8_500);
                        self.schedule(delay, Due::Login(user, guess == failures));
                    }
                    (user, false)
                } else {
                    (user, self.random.below(10) > 0)
                }
            }
        };
        let (ts, outcome) = (self.now, if success { "success" } else { "failure" });
        let (a, b) = (self.random.below(256), self.random.below(256));
        let _ = write!(
            line,
            r#"{{"type":"login","ts":{ts},"user":"u{user}","outcome":"{outcome}","ip":"10.0.{a}.{b}"}}"#
        );
    }

    fn tick(&mut self, line: &mut String) {
        self.now += self.random.below(21);
        let symbol = self.random.below(100);
        let step = self.random.between(-20, 20);
        let cents = &mut self.cents[symbol as usize];
        *cents = (*cents + step).max(100);
        let (ts, price, volume) = (self.now, Money(*cents), self.random.between(1, 1_000));
        let _ = write!(
            line,
            r#"{{"type":"tick","ts":{ts},"symbol":"S{symbol}","price":{price},"volume":{volume}}}"#
        );
    }

    fn letter(&mut self, share: f64, line: &mut String) {
        let chance = self.random.unit();
        let letter = match (chance / share) as i64 {
            letter @ 0..3 => b'A' + letter as u8,
            _ => b'D' + self.random.below(17) as u8,
        } as char;
        let (ts, v) = (self.now, self.random.below(1_000));
        let _ = write!(line, r#"{{"type":"{letter}","ts":{ts},"v":{v}}}"#);
        self.now += 1;
    }

    fn spread(&mut self, line: &mut String) {
        self.now += self.random.below(3);
        let (kind, card) = (self.random.below(10_000), self.random.below(10_000));
        let (ts, amount) = (self.now, Money(self.random.between(100, 50_000)));
        let _ = write!(line, r#"{{"type":"t{kind}","ts":{ts},"card":"c{card}","amount":{amount}}}"#);
    }

    /// Goes on in time by up to `step`, and says what is due then. Towards the end of the log, of which `left` events are
    /// to come, time goes straight to what is due, so that all of it still comes.
    fn advance(&mut self, step: i64, left: u64) -> Option<Due> {
        let next = self.now + self.random.below(step + 1);
        let first_due = self.due.peek().map(|Reverse((time, _, _))| *time);
        self.now = match first_due {
            Some(time) if time <= next => time.max(self.now),
            Some(time) if self.due.len() as u64 > left => time,
            _ => next,
        };
        self.due_now()
    }

    fn order(&mut self, due: Option<Due>, line: &mut String) {
        let (kind, order) = match due {
            Some(Due::Payment(order)) => ("payment", order),
            _ => {
                let order = self.orders;
                self.orders += 1;
                match self.random.below(100) {
                    0..4 => {}
                    4 => {
                        let delay = self.random.between(1_860_000, 2_460_000);
                        self.schedule(delay, Due::Payment(order));
                    }
                    _ => {
                        let delay = 1_000 + (1_200_000.0 * self.random.unit() * self.random.unit()) as i64;
                        self.schedule(delay, Due::Payment(order));
                    }
                }
                ("order", order)
            }
        };
        let (ts, amount) = (self.now, Money(self.random.between(500, 20_500)));
        let _ = write!(line, r#"{{"type":"{kind}","ts":{ts},"order_id":"o{order}","amount":{amount}}}"#);
    }

    fn shop(&mut self, left: u64, line: &mut String) {
        match self.advance(8_000, left) {
            due @ Some(Due::LargePayment(..)) => self.card_payment(due, 40, line),
            due @ Some(Due::Login(..)) => self.login(due, 25, line),
            due @ Some(Due::Payment(_)) => self.order(due, line),
            None => match self.random.below(3) {
                0 => self.card_payment(None, 40, line),
                1 => self.login(None, 25, line),
                _ => self.order(None, line),
            },
        }
    }
}

/// An amount in cents, written with two decimals.
struct Money(i64);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// SplitMix64: small, fast, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without `end`.
    fn below(&mut self, end: i64) -> i64 {
        ((u128::from(self.next()) * end as u128) >> 64) as i64
    }

    /// From `first` to `last`.
    fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(last - first + 1)
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
