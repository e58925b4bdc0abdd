//! Names of tools that models can call.
//!
//! MCP lets servers name their tools almost as they like (`files.read`); the providers of models take ASCII letters,
//! digits, `_` and `-`, and 64 of them, and refuse the whole request otherwise.

use std::collections::{HashMap, HashSet};

/// The longest name that all providers take.
const LONGEST: usize = 64;

/// What of a name stays in any case, before its number.
const STEM: usize = 40;

/// Names in the order of `wanted`, each of which a model can call, and no two of which are the same. One that can be
/// called as it is stays so; of several that would become the same the later ones get a number.
pub(crate) fn callable(wanted: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = wanted.iter().filter(|name| fits(name)).cloned().collect();
    let mut kept = HashSet::new();
    let mut numbers = HashMap::new();
    let name = |name: &String| {
        if fits(name) && kept.insert(name.clone()) {
            return name.clone();
        }
        let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let base = plain.get(..LONGEST).unwrap_or(&plain).to_owned();
        if fits(&base) && taken.insert(base.clone()) {
            return base;
        }
        // A number is tried once: a server may list very many tools of one name.
        let stem = base.get(..STEM).unwrap_or(&base).to_owned();
        let number = numbers.entry(stem).or_insert(1_usize);
        loop {
            *number += 1;
            let tail = format!("_{number}");
            let room = base.len().min(LONGEST - tail.len());
            let candidate = format!("{}{tail}", &base[..room]);
            if taken.insert(candidate.clone()) {
                return candidate;
            }
        }
    };
    wanted.iter().map(name).collect()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn fits(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_callable_and_stay_apart() {
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
