//! "Did you mean": the nearest of the known words.

/// The candidate nearest to `word`, if it is near enough to be a slip of the keys: at most a third
/// of the letters differ (insertion, deletion, change or swap of neighbours), case aside. The first
/// of equally near ones.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are not typed by hand; the distance is quadratic.
    const LONGEST: usize = 100;
    let word: Vec<char> = word.to_lowercase().chars().take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.to_lowercase().chars().collect();
            let allowed = (word.len().max(other.len()) / 3).max(1);
            if word.len().abs_diff(other.len()) > allowed {
                return None;
            }
            let distance = distance(&word, &other);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance (Damerau-Levenshtein without edits between swapped letters).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut older = vec![0; b.len() + 1];
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = old[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(old[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(older[j - 2] + 1);
            }
        }
        older = std::mem::replace(&mut old, row);
    }
    old[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expect: Option<&str>) {
        let keys = ["id", "title", "severity", "user_name", "user_email", "status"];
        assert_eq!(suggest(word, keys), expect);
    }

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        check("sevrity", Some("severity"));
        check("Titel", Some("title"));
        check("user_nam", Some("user_name"));
        check("stauts", Some("status"));
        check("runbook", None);
        check("", None);
        check(&"x".repeat(5000), None);
    }
}
