//! The registry of providers: from a name such as `openai/gpt-5-mini` to a model, with its address and key.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use genai::Client;
use llmspell::internal::suggest::nearest;
use llmspell::registry::{Extension, Registry};
use llmspell::{Error, Result};

use crate::key::Key;
use crate::provider::{KNOWN, Known, Wire, anthropic_url, ollama_url};
use crate::remote::{Inner, RemoteModel};

/// How long a server may take to answer at all, and how long it may then be silent. Models that think before they
/// speak are silent for more than a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where models are: providers with their addresses, keys and timeouts.
///
/// `openai`, `anthropic`, `gemini` and `ollama` are known by name; any other server that speaks one of their
/// [wires](Wire) is an [endpoint](Models::endpoint). Nothing is sent before a model is asked.
///
/// ```
/// use std::time::Duration;
/// use llmspell_models::{Models, Wire};
///
/// let models = Models::new()
///     .key("anthropic", "sk-ant-…".replace('…', "0123456789"))
///     .endpoint("local", Wire::OpenAi, "http://127.0.0.1:8080/v1")
///     .idle_timeout(Duration::from_secs(30));
/// let claude = models.get("anthropic/claude-sonnet-4-5")?;
/// let local = models.get("local/smollm2")?;
///
/// let error = models.get("antropic/claude-sonnet-4-5").unwrap_err();
/// assert_eq!(error.hint(), Some("did you mean `anthropic`?"));
/// # Ok::<(), llmspell::Error>(())
/// ```
#[derive(Clone)]
pub struct Models {
    vars: Option<Vars>,
    settings: BTreeMap<String, Settings>,
    header_timeout: Duration,
    idle_timeout: Duration,
    client: Arc<OnceLock<Client>>,
}

type Vars = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Clone, Default)]
struct Settings {
    wire: Option<Wire>,
    base_url: Option<String>,
    key: Option<Source>,
    headers: Vec<(String, Arc<str>)>,
}

#[derive(Clone)]
enum Source {
    Text(Arc<str>),
    File(PathBuf),
}

impl Default for Models {
    fn default() -> Self {
        Models::new()
    }
}

impl Models {
    /// The known providers, and no keys.
    pub fn new() -> Self {
        Models {
            vars: None,
            settings: BTreeMap::new(),
            header_timeout: PATIENCE,
            idle_timeout: PATIENCE,
            client: Arc::default(),
        }
    }

    /// The known providers as the environment has them: `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, or
    /// the file that the same name with `_FILE` at its end names; `OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL` and
    /// `OLLAMA_HOST`. An [endpoint](Models::endpoint) `groq` has its key in `GROQ_API_KEY`. Values set by a method
    /// override the environment. The environment is read by [`Models::get`].
    pub fn from_env() -> Self {
        Models::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`Models::from_env`], with variables from elsewhere.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Models { vars: Some(Arc::new(vars)), ..Models::new() }
    }

    /// The key for a provider.
    pub fn key(mut self, provider: &str, key: impl Into<Arc<str>>) -> Self {
        self.of(provider).key = Some(Source::Text(key.into()));
        self
    }

    /// Sets the file with the key of a provider. It is read by [`Models::get`], which refuses a file that
    /// every user may read or write (on Unix: `chmod o= FILE`).
    pub fn key_file(mut self, provider: &str, path: impl Into<PathBuf>) -> Self {
        self.of(provider).key = Some(Source::File(path.into()));
        self
    }

    /// Adds a header to every request to a provider, such as a gateway needs. Its value is treated as a secret.
    pub fn header(mut self, provider: &str, name: impl Into<String>, value: impl Into<Arc<str>>) -> Self {
        self.of(provider).headers.push((name.into(), value.into()));
        self
    }

    /// Sets another address for a provider: a gateway, or a server in its place. Another address needs no key.
    pub fn base_url(mut self, provider: &str, url: impl Into<String>) -> Self {
        self.of(provider).base_url = Some(url.into());
        self
    }

    /// A provider under a name of your own. A key is not needed; [`Models::key`] sets one.
    pub fn endpoint(mut self, provider: &str, wire: Wire, base_url: impl Into<String>) -> Self {
        let settings = self.of(provider);
        settings.wire = Some(wire);
        settings.base_url = Some(base_url.into());
        self
    }

    /// Sets both [`Models::header_timeout`] and [`Models::idle_timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.header_timeout(timeout).idle_timeout(timeout)
    }

    /// How long a server may take until it begins to answer: 120 s unless set. The
    /// [deadline](llmspell::Context::deadline) of a call shortens it.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// How long nothing may come in the middle of an answer: 120 s unless set, for models that think are silent for
    /// long. The [deadline](llmspell::Context::deadline) of a call shortens it.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The model with this name, as `provider/model`. Everything that can be checked without sending anything is
    /// checked here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the provider is unknown, or its address is invalid;
    /// [`ErrorKind::Denied`](llmspell::ErrorKind::Denied) if its key is missing or unusable. The hint says what to do.
    pub fn get(&self, name: &str) -> Result<RemoteModel> {
        let Some((provider, model)) =
            name.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty())
        else {
            let provider = name.trim_end_matches('/');
            if self.providers().contains(&provider) {
                return Err(Error::invalid(format!("`{name}` names a provider, and none of its models"))
                    .with_hint(format!("add the model's name: {provider}/…")));
            }
            return Err(Error::invalid(format!("`{name}` does not say whose model it is"))
                .with_hint("write it as provider/model, such as openai/gpt-5-mini"));
        };
        let known = KNOWN.iter().find(|known| known.name == provider);
        let none = Settings::default();
        let settings = self.settings.get(provider).unwrap_or(&none);
        let Some(wire) = settings.wire.or(known.map(|known| known.wire)) else {
            return Err(self.unknown(provider));
        };
        // An endpoint under a known name has nothing of its namesake.
        let known = known.filter(|_| settings.wire.is_none());
        let (base_url, is_elsewhere) = self.address(provider, settings, known)?;
        let key = self.key_of(provider, settings, known)?;
        if let (None, false, Some(variable)) = (&key, is_elsewhere, known.and_then(|known| known.key_variable)) {
            return Err(Error::denied(format!("there is no key for {provider}"))
                .with_hint(format!("set {variable}, or {variable}_FILE to the file that it is in")));
        }
        let mut headers = Vec::new();
        for (name, value) in &settings.headers {
            if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Error::invalid(format!("invalid header name `{name}`")));
            }
            headers.push((name.clone(), Key::header(value, name)?));
        }
        if let Some(ending) = misread_ending(wire, model) {
            let message = format!("`{model}`: on this wire `{ending}` at the end of a name is taken for an effort");
            return Err(Error::invalid(message).with_hint("leave it out, and set Options::effort"));
        }
        Ok(RemoteModel::new(Inner {
            name: name.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            wire,
            base_url,
            key,
            headers,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            client: self.client()?,
        }))
    }

    /// The names that [`Models::get`] knows.
    pub fn providers(&self) -> Vec<&str> {
        let own = self.settings.iter().filter(|(_, settings)| settings.wire.is_some()).map(|(name, _)| name.as_str());
        let mut names: Vec<_> = KNOWN.iter().map(|known| known.name).chain(own).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn of(&mut self, provider: &str) -> &mut Settings {
        self.settings.entry(provider.to_owned()).or_default()
    }

    fn var(&self, name: &str) -> Option<String> {
        self.vars.as_ref()?(name).filter(|value| !value.trim().is_empty())
    }

    fn unknown(&self, provider: &str) -> Error {
        let names = self.providers();
        let message = format!("there is no provider `{provider}`; there are {}", names.join(", "));
        Error::invalid(message).with_hint(match nearest(&provider.to_ascii_lowercase(), names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "name a server of your own with Models::endpoint".to_owned(),
        })
    }

    /// The address with a slash at its end, and whether it is another than the provider's own.
    fn address(&self, provider: &str, settings: &Settings, known: Option<&Known>) -> Result<(String, bool)> {
        let from_env = known.and_then(|known| self.var(known.url_variable?));
        let own = known.map(|known| known.base_url);
        let mut url = settings.base_url.clone().or(from_env).or(own.map(str::to_owned)).unwrap_or_default();
        match known.map(|known| known.wire) {
            Some(Wire::Ollama) => url = ollama_url(&url),
            Some(Wire::Anthropic) => url = anthropic_url(&url),
            _ => url = format!("{}/", url.trim().trim_end_matches('/')),
        }
        let complaint = match reqwest::Url::parse(&url) {
            Err(error) => Some(error.to_string()),
            Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => Some("it is not http or https".to_owned()),
            Ok(parsed) if parsed.host_str().is_none() => Some("it names no host".to_owned()),
            Ok(parsed) if cfg!(not(feature = "tls")) && parsed.scheme() == "https" => {
                Some("https is left out of this build (feature `tls`)".to_owned())
            }
            Ok(_) => None,
        };
        match complaint {
            // The address itself may have a password in it.
            Some(complaint) => Err(Error::invalid(format!("the base URL of {provider} cannot be used: {complaint}"))
                .with_hint("write it as https://host/path, up to what all requests have in common")),
            None => {
                let is_elsewhere = own != Some(url.as_str());
                Ok((url, is_elsewhere))
            }
        }
    }

    fn key_of(&self, provider: &str, settings: &Settings, known: Option<&Known>) -> Result<Option<Key>> {
        match &settings.key {
            Some(Source::Text(text)) => return Key::new(text, &format!("Models::key for {provider}")).map(Some),
            Some(Source::File(path)) => return Key::read(path).map(Some),
            None => {}
        }
        let variable = match known {
            Some(known) => known.key_variable.map(str::to_owned),
            None => Some(format!("{}_API_KEY", provider.to_ascii_uppercase().replace('-', "_"))),
        };
        let Some(variable) = variable else { return Ok(None) };
        if let Some(text) = self.var(&variable) {
            return Key::new(&text, &variable).map(Some);
        }
        self.var(&format!("{variable}_FILE")).map(|path| Key::read(path.as_ref())).transpose()
    }

    /// The client that all models of this value and its clones share: it reads certificates, so it is made once.
    fn client(&self) -> Result<Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        // The program may have installed a provider already, which is fine.
        #[cfg(feature = "tls")]
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            // The library would send the key to the target of a redirect.
            .redirect(reqwest::redirect::Policy::none());
        // Without the feature `tls` another crate of the build may have turned on reqwest's, which then panics for want
        // of a provider.
        let http = std::panic::catch_unwind(AssertUnwindSafe(|| http.build())).map_err(|_| {
            Error::invalid("no HTTP client: another crate in this build turns on TLS without a provider")
                .with_hint("build llmspell-models with its feature `tls`")
        })??;
        let client = Client::builder().with_reqwest(http).build();
        let client = client.map_err(|error| Error::invalid(format!("no HTTP client: {error}")))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Without keys, and without addresses, which may have passwords in them.
impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("providers", &self.providers()).finish_non_exhaustive()
    }
}

/// The end of a model's name that genai would take off, for an effort. (On the other wires it is kept from doing so.)
fn misread_ending(wire: Wire, model: &str) -> Option<&str> {
    let ending = model.rsplit_once('-')?.1;
    let is_effort = matches!(ending, "none" | "zero" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max");
    (is_effort && matches!(wire, Wire::Anthropic | Wire::Gemini)).then_some(ending)
}

/// Every provider that is known, so that a registry finds their models by name. Keys are read when one is asked for.
///
/// ```
/// use llmspell::Model;
/// use llmspell::registry::Registry;
/// use llmspell_models::Models;
///
/// let registry = Registry::new().with(Models::new().key("openai", "sk-0123456789"))?;
/// assert_eq!(registry.find_model("openai/gpt-5-mini")?.name(), "openai/gpt-5-mini");
/// # Ok::<(), llmspell::Error>(())
/// ```
impl Extension for Models {
    fn name(&self) -> &str {
        "models"
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        for provider in self.providers() {
            let (models, prefix) = (self.clone(), provider.to_owned());
            registry.provider(provider, move |model| models.get(&format!("{prefix}/{model}")))?;
        }
        Ok(())
    }
}
