//! Ranges of numbers, so that those that a number lies in are found without looking at the others: a search tree by
//! lower bounds, laid out in one array, of which every node knows the highest upper bound below it.

use super::Entry;
use super::need::Range;

/// Entries by ranges.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// In the order of their ranges. The middle one of a stretch is the node above its two halves.
    nodes: Vec<Node>,
    /// The lowest and the highest bound of all: most numbers are outside where thresholds are set for what is rare.
    all: Option<Range>,
}

#[derive(Debug, Clone)]
struct Node {
    range: Range,
    /// The highest upper bound in the node's stretch.
    highest: f64,
    entry: Entry,
}

impl Ranges {
    pub(super) fn add(&mut self, range: Range, entry: Entry) {
        self.nodes.push(Node { range, highest: range.max, entry });
    }

    /// Has to be called when all have been added.
    pub(super) fn finish(&mut self) {
        let bounds = |node: &Node| (node.range.min, node.range.max);
        self.nodes.sort_by(|a, b| {
            let ((a_min, a_max), (b_min, b_max)) = (bounds(a), bounds(b));
            a_min.total_cmp(&b_min).then(a_max.total_cmp(&b_max))
        });
        self.bound();
    }

    /// Takes a pattern out.
    pub(super) fn remove(&mut self, pattern: u32) {
        self.nodes.retain(|node| node.entry.pattern != pattern);
        self.bound();
    }

    fn bound(&mut self) {
        let max = highest(&mut self.nodes);
        self.all = self.nodes.first().map(|lowest| Range { min: lowest.range.min, max });
    }

    /// Whether `with` is true of an entry in whose range a number lies; it is asked of them until then.
    #[inline]
    pub(super) fn any(&self, number: Range, with: &mut impl FnMut(&Entry) -> bool) -> bool {
        self.all.is_some_and(|all| all.meets(number)) && visit(&self.nodes, number, with)
    }
}

/// Sets the highest upper bounds, and tells that of the whole stretch.
fn highest(nodes: &mut [Node]) -> f64 {
    let middle = nodes.len() / 2;
    let Some((left, [node, right @ ..])) = nodes.split_at_mut_checked(middle) else {
        return f64::NEG_INFINITY;
    };
    node.highest = node.range.max.max(highest(left)).max(highest(right));
    node.highest
}

fn visit(nodes: &[Node], number: Range, with: &mut impl FnMut(&Entry) -> bool) -> bool {
    let mut nodes = nodes;
    // Goes down the left half by recursion and the right half by the loop: as deep as the tree at most.
    while let Some((left, [node, right @ ..])) = nodes.split_at_checked(nodes.len() / 2) {
        if node.highest < number.min {
            return false;
        }
        if visit(left, number, with) {
            return true;
        }
        if node.range.min > number.max {
            return false;
        }
        if node.range.meets(number) && with(&node.entry) {
            return true;
        }
        nodes = right;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_that_a_number_lies_in_are_found() {
        let inf = f64::INFINITY;
        let mut all: Vec<(f64, f64)> = vec![(-inf, inf), (-inf, 3.0), (7.0, inf), (5.0, 4.0)];
        let mut random = 1_u32;
        for _ in 0..200 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (min, len) = (f64::from(random >> 28), f64::from(random >> 20 & 7));
            all.push(if len > 5.0 { (min, inf) } else { (min, min + len) });
        }
        for some in 0..all.len() {
            let mut ranges = Ranges::default();
            for (number, &(min, max)) in (0..).zip(&all[..some]) {
                ranges.add(Range { min, max }, Entry { pattern: number, slot: 0, range: Range::ALL });
            }
            ranges.finish();
            for half in -2..40 {
                let x = f64::from(half) / 2.0;
                let mut found = Vec::new();
                let is_one = ranges.any(Range { min: x, max: x }, &mut |_| true);
                ranges.any(Range { min: x, max: x }, &mut |entry| {
                    found.push(entry.pattern);
                    false
                });
                assert_eq!(is_one, !found.is_empty(), "{x} of {some}");
                found.sort_unstable();
                let within = |&number: &u32| {
                    let (min, max) = all[number as usize];
                    min <= x && x <= max
                };
                assert_eq!(found, (0..some as u32).filter(within).collect::<Vec<_>>(), "{x} of {some}");
            }
        }
    }
}
