//! Connections to what may be talked to, under addresses that may be talked to.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use llmspell::Result;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

use crate::permission::{Gate, is_public};

/// A server that accepts no connection, or falls silent, is given up; the timeout of the step is usually shorter.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// Clients, made when they are first needed: they read the certificates of the system.
pub(crate) struct Http {
    gate: Gate,
    /// For names that have to lead to public addresses.
    public: OnceLock<Client>,
    /// For hosts that may be private.
    any: OnceLock<Client>,
}

impl Http {
    pub(crate) fn new(gate: &Gate) -> Arc<Self> {
        Arc::new(Http { gate: gate.clone(), public: OnceLock::new(), any: OnceLock::new() })
    }

    /// The client to ask an address with, if it may be asked. `say` puts the reason why not into a sentence.
    pub(super) fn client(&self, url: &Url, say: impl Fn(String) -> String) -> Result<&Client> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        self.gate.talk(host, port, &say)?;
        if self.gate.both().may_be_private(host, port) {
            return made(&self.any, |builder| builder);
        }
        // What is an address already is not looked up.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        if address.is_ok_and(|address| !is_public(address)) {
            return Err(self.gate.private(host, &say));
        }
        made(&self.public, |builder| builder.dns_resolver(PublicOnly))
    }
}

fn made(
    place: &OnceLock<Client>,
    with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<&Client> {
    if let Some(client) = place.get() {
        return Ok(client);
    }
    // Whoever embeds this crate may have chosen a provider already: that one is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        // The library would send the headers on to whoever a redirect leads to.
        .redirect(redirect::Policy::none())
        // A proxy from the environment would be a host that nobody has allowed.
        .no_proxy();
    let client = with(builder).build()?;
    Ok(place.get_or_init(|| client))
}

/// Looks up names, and leaves out private addresses. A connection goes to what was found here: a server of names that
/// gives another answer the next time is not asked again.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let mut addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let found = addresses.len();
            addresses.retain(|address| is_public(address.ip()));
            if addresses.is_empty() && found > 0 {
                return Err(OnlyPrivate.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name leads to private addresses only.
#[derive(Debug)]
pub(super) struct OnlyPrivate;

impl fmt::Display for OnlyPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its addresses are private")
    }
}

impl std::error::Error for OnlyPrivate {}
