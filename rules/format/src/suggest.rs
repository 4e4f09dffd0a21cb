//! "Did you mean": the nearest of the known words.

/// The candidate nearest to `word`, if it is near enough to be a slip of the keys: at most a third
/// of the letters differ (insertion, deletion, change or swap of neighbours), case aside. The first
/// of equally near ones.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are not typed by hand; the distance is quadratic.
    const LONGEST: usize = 100;
    let word: String = word.to_lowercase().chars().take(LONGEST + 1).collect();
    let length = word.chars().count();
    if word.is_empty() || length > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let other_length = other.chars().count();
            let allowed = (length.max(other_length) / 3).max(1);
            if length.abs_diff(other_length) > allowed {
                return None;
            }
            let distance = strsim::osa_distance(&word, &other);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
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
