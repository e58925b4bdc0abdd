//! Suggestions for unknown names: "did you mean …?".

/// Returns the candidate closest to `word`, if it is close enough for a typing error. No candidate is close to a word of one
/// character.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = (length / 3).max(1).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns a hint for an unknown name: the closest candidate, or all of them.
///
/// ```
/// use llmspell::internal::suggest::hint;
///
/// let tools = ["read_file", "text"];
/// assert_eq!(hint("raed_file", tools, "the tools are"), "did you mean `read_file`?");
/// assert_eq!(hint("search", tools, "the tools are"), "the tools are: read_file, text");
/// ```
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("{what}: {}", candidates.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// Returns the number of characters to add, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Names are short; longer texts are not typing errors.
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let tools = ["http_get", "read_file", "text"];
        assert_eq!(nearest("http_gte", tools), Some("http_get"));
        assert_eq!(nearest("txt", tools), Some("text"));
        assert_eq!(nearest("command", tools), None);
        assert_eq!((nearest("z", ["x", "y"]), nearest("idd", ["x", "id"])), (None, Some("id")));
        assert_eq!(hint("zzz", tools, "there are"), "there are: http_get, read_file, text");
    }
}
