//! HTTP clients that connect only to allowed hosts at allowed addresses.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use llmspell::Result;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

use crate::permission::{Gate, is_public};

/// Time limit for a server that does not accept a connection or stops sending. The step's timeout is usually shorter.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// Clients, created on first use because each reads the system's certificates.
pub(crate) struct Http {
    gate: Gate,
    /// For names that must resolve to public addresses.
    public: OnceLock<Client>,
    /// For hosts that may be private.
    any: OnceLock<Client>,
}

impl Http {
    pub(crate) fn new(gate: &Gate) -> Arc<Self> {
        Arc::new(Http { gate: gate.clone(), public: OnceLock::new(), any: OnceLock::new() })
    }

    /// Returns the client for an address that the gate allows. `say` wraps a refusal into a full sentence.
    pub(super) fn client(&self, url: &Url, say: impl Fn(String) -> String) -> Result<&Client> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        self.gate.talk(host, port, &say)?;
        if self.gate.both().may_be_private(host, port) {
            return made(&self.any, |builder| builder);
        }
        // An IP address needs no lookup.
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
    // A program that embeds this crate may have installed a provider already; that provider is kept.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        // reqwest would forward the headers to the target of any redirect.
        .redirect(redirect::Policy::none())
        // A proxy from the environment would be a host outside the permissions.
        .no_proxy();
    let client = with(builder).build()?;
    Ok(place.get_or_init(|| client))
}

/// A resolver that drops private addresses. The connection goes to an address from this lookup, so a DNS server that
/// answers differently the next time (DNS rebinding) has no effect.
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

/// The name resolves to private addresses only.
#[derive(Debug)]
pub(super) struct OnlyPrivate;

impl fmt::Display for OnlyPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its addresses are private")
    }
}

impl std::error::Error for OnlyPrivate {}
