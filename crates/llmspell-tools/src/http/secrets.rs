//! Redacts the secrets of a request, which servers often repeat in their errors.

use std::collections::BTreeMap;

use reqwest::Url;

/// Shorter values are not treated as secrets: redacting them would make any text unreadable.
const SHORTEST: usize = 4;

/// The values of headers, query, user and password.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(url: &Url, headers: &BTreeMap<String, String>) -> Self {
        // `Bearer 1234` is recognised by `1234` as well.
        let mut all: Vec<String> = headers
            .values()
            .flat_map(|value| std::iter::once(value.as_str()).chain(value.split_whitespace()))
            .chain([url.username(), url.password().unwrap_or_default(), url.query().unwrap_or_default()])
            .map(str::to_owned)
            .chain(url.query_pairs().map(|(_, value)| value.into_owned()))
            .chain(
                url.query().unwrap_or_default().split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())),
            )
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        // Longest first, so that a part of a secret does not break up the whole.
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Secrets(all)
    }

    pub(super) fn masked(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Returns the part of an invalid address that is safe to show.
pub(super) fn scheme(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => format!("{scheme}://…"),
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_masked() {
        let url = Url::parse("https://user:passw@h/?q=a%20word&n=1").unwrap();
        let headers = BTreeMap::from([("authorization".to_owned(), "Bearer 12345".to_owned())]);
        let secrets = Secrets::of(&url, &headers);
        assert_eq!(secrets.masked("Bearer 12345: 12345 a word a%20word n 1 passw"), "***: *** *** *** n 1 ***");
        assert_eq!(scheme("http://user:pa/ss@host:99999/?token=x"), "http://…");
        assert_eq!(scheme("token=x"), "…");
    }
}
