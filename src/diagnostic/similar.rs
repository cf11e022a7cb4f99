//! Which known name was meant by an unknown one.

/// The candidate nearest to a name, if it is near enough to have been meant: upper and lower case apart, at most one
/// mistake in every three characters of the longer of them, two in all. Of several the first.
pub(crate) fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer names are nobody's typing.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len() > LONGEST {
            continue;
        }
        let length = candidate.chars().count();
        let allowed = (name.len().max(length) / 3).min(2);
        if name.len().abs_diff(length) > allowed {
            continue;
        }
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        let distance = distance(&name, &other);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and
/// transpositions of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row[j + 1] = least;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognized_and_other_names_are_not() {
        let stages = ["small", "big", "a"];
        assert_eq!(similar("samll", stages), Some("small"));
        assert_eq!(similar("Small", stages), Some("small"));
        assert_eq!(similar("smal", stages), Some("small"));
        assert_eq!(similar("bgi", stages), Some("big"));
        assert_eq!(similar("A", stages), Some("a"));
        assert_eq!(similar("b", stages), None);
        assert_eq!(similar("device", stages), None);
        assert_eq!(similar("followd", ["followed", "from"]), Some("followed"));
    }
}
