//! Opening models: those of extensions, simulated ones, and those of providers.

use std::sync::Arc;

use llmspell::Result;
use llmspell::model::Model;
use llmspell::registry::Registry;
use llmspell_flow::DeclaredModel;
use llmspell_test::SimulatedModel;

/// Opens a model that a flow declares. No request is sent.
pub(super) fn open(declared: &DeclaredModel, registry: &Registry) -> Result<Arc<dyn Model>> {
    let name = declared.model.as_str();
    let provider = name.split_once('/').map_or(name, |(provider, _)| provider);
    if declared.endpoint.is_none() && declared.key.is_none() {
        if registry.models().any(|known| known == name) || registry.providers().any(|known| known == provider) {
            return registry.find_model(name);
        }
        if provider == "simulated" {
            return Ok(Arc::new(SimulatedModel::new(name)));
        }
    }
    open_remote(declared, provider)
}

#[cfg(feature = "models")]
fn open_remote(declared: &DeclaredModel, provider: &str) -> Result<Arc<dyn Model>> {
    use llmspell::Error;
    use llmspell_models::{Models, Wire};

    let mut models = match &declared.endpoint {
        None => Models::from_env(),
        // Without the keys of the environment: an endpoint of the user's is not the provider that those keys belong to.
        Some(url) if Models::new().providers().contains(&provider) => Models::new().base_url(provider, url.as_str()),
        Some(url) => Models::new().endpoint(provider, Wire::OpenAi, url.as_str()),
    };
    if let Some(variable) = &declared.key {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let file = format!("{variable}_FILE");
        models = match (set(variable), set(&file)) {
            (Some(key), _) => models.key(provider, key),
            (None, Some(path)) => models.key_file(provider, path),
            (None, None) => {
                let error = Error::denied(format!("the key of the model `{}` is not set", declared.name));
                return Err(error.with_hint(format!("set {variable} to the key, or {file} to the file that holds it")));
            }
        };
    }
    Ok(Arc::new(models.get(&declared.model)?))
}

#[cfg(not(feature = "models"))]
fn open_remote(declared: &DeclaredModel, _: &str) -> Result<Arc<dyn Model>> {
    let message = format!("`{}`: this program was built without models of providers", declared.model);
    Err(llmspell::Error::invalid(message).with_hint("build llmspell-cli with its feature `models`"))
}
