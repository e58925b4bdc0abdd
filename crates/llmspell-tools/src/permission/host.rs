//! A host, with or without a port.

use std::fmt;

use llmspell::{Error, Result};
use url::Url;

use super::allow_list::Rule;
use super::public_address::is_public;

/// A host in the normal form of URLs, and its port if only that port is meant.
#[derive(Clone, Debug)]
pub(super) struct Host {
    name: String,
    port: Option<u16>,
    /// Whether the name itself denotes a private host, which allows the private address.
    pub(super) private: bool,
}

impl Host {
    pub(super) fn new(host: &str) -> Result<Self> {
        let (name, port) = normal(host).ok_or_else(|| {
            let message = format!("cannot allow connections to `{host}`: not a host");
            Error::invalid(message)
                .with_hint("name it as in `example.org`, `localhost:8080`, `[::1]:8080`, or `*` for any")
        })?;
        let address = name.trim_start_matches('[').trim_end_matches(']').parse();
        let private = address.map_or(name == "localhost", |address| !is_public(address));
        Ok(Host { name, port, private })
    }

    /// Hosts are compared as a whole.
    pub(super) fn is(&self, host: &str, port: Option<u16>) -> bool {
        self.name.eq_ignore_ascii_case(host) && (self.port.is_none() || self.port == port)
    }
}

impl Rule for Host {
    fn narrowed(&self, asked: &Self) -> Option<Self> {
        let port = match (self.port, asked.port) {
            (Some(own), Some(asked)) if own != asked => return None,
            (own, asked) => own.or(asked),
        };
        (self.name == asked.name).then(|| Host { name: self.name.clone(), port, private: self.private })
    }

    /// Allowing any host does not allow private addresses.
    fn of_any(&self) -> Self {
        Host { private: false, ..self.clone() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Returns a host in the normal form of URLs, in lower case with numbers in full, and its port if given.
fn normal(host: &str) -> Option<(String, Option<u16>)> {
    if host.contains(|c: char| "/?#@*%\\".contains(c) || c.is_whitespace()) {
        return None;
    }
    // The port as written: the URL parser drops the default port 80 of http.
    let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let name = url.host_str()?.to_owned();
    match port {
        None => Some((name, None)),
        Some(port) => Some((name, Some(port?))),
    }
}

/// Returns whether a text is an address of the web, with a host.
pub fn is_http_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
}
