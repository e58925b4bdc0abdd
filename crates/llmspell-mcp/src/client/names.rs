//! Converts names of tools to names that models can call.
//!
//! MCP allows almost any name (`files.read`). Model providers accept ASCII letters, digits, `_` and `-`, at most 64 of
//! them, and reject the whole request otherwise.

use std::collections::{HashMap, HashSet};

/// The longest name that all providers accept.
const MAX_LEN: usize = 64;

/// The length of the prefix that names share to share a counter. A number never shortens a name below it.
const STEM_LEN: usize = 40;

/// Returns distinct callable names, in the order of `wanted`. A name that is callable already is kept. If several names
/// become equal, the later ones get a number.
pub(crate) fn callable(wanted: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = wanted.iter().filter(|name| is_callable(name)).cloned().collect();
    let mut kept = HashSet::new();
    let mut numbers = HashMap::new();
    let name = |name: &String| {
        if is_callable(name) && kept.insert(name.clone()) {
            return name.clone();
        }
        let replaced: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
        let base = replaced.get(..MAX_LEN).unwrap_or(&replaced).to_owned();
        if is_callable(&base) && taken.insert(base.clone()) {
            return base;
        }
        // Each number is tried once, because a server may list very many tools of one name.
        let stem = base.get(..STEM_LEN).unwrap_or(&base).to_owned();
        let number = numbers.entry(stem).or_insert(1_usize);
        loop {
            *number += 1;
            let suffix = format!("_{number}");
            let len = base.len().min(MAX_LEN - suffix.len());
            let candidate = format!("{}{suffix}", &base[..len]);
            if taken.insert(candidate.clone()) {
                return candidate;
            }
        }
    };
    wanted.iter().map(name).collect()
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn is_callable(name: &str) -> bool {
    (1..=MAX_LEN).contains(&name.len()) && name.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_callable_and_distinct() {
        let wanted = ["files.read", "files_read", "files/read", "look-up", "größe", "", "twice", "twice"];
        let names = callable(&wanted.map(String::from));
        assert_eq!(names, ["files_read_2", "files_read", "files_read_3", "look-up", "gr__e", "_2", "twice", "twice_2"]);

        let long = "a".repeat(80);
        let names = callable(&[long.clone(), format!("{long}b"), "a".repeat(64)]);
        assert_eq!(names, ["a".repeat(62) + "_2", "a".repeat(62) + "_3", "a".repeat(64)]);

        let names = callable(&vec!["a.b".to_owned(); 20_000]);
        assert_eq!(
            (names.first().map(String::as_str), names.last().map(String::as_str)),
            (Some("a_b"), Some("a_b_20000"))
        );
        assert_eq!(names.into_iter().collect::<HashSet<_>>().len(), 20_000);
    }
}
