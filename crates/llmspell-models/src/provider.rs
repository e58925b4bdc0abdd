//! Providers of models, and their wire formats.

use genai::adapter::AdapterKind;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// Chat Completions, as OpenAI, llama.cpp, vLLM, LM Studio, Ollama (at `/v1`) and most gateways have it.
    OpenAi,
    /// Messages, the format of Anthropic.
    Anthropic,
    /// `streamGenerateContent`, the format of Gemini.
    Gemini,
    /// `/api/chat`, the format of Ollama. Supports no schemas, no [`extra`](llmspell::model::Options::extra) and no choice
    /// of tools: for those use [`Wire::OpenAi`] and Ollama's `/v1`.
    Ollama,
}

impl Wire {
    pub(crate) fn adapter(self) -> AdapterKind {
        match self {
            Wire::OpenAi => AdapterKind::OpenAI,
            Wire::Anthropic => AdapterKind::Anthropic,
            Wire::Gemini => AdapterKind::Gemini,
            Wire::Ollama => AdapterKind::Ollama,
        }
    }

    /// The tools that the wire takes for the provider's own, by their names.
    pub(crate) fn own_tools(self) -> &'static [&'static str] {
        match self {
            Wire::Anthropic => &["web_search"],
            Wire::Gemini => &["googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext"],
            Wire::OpenAi | Wire::Ollama => &[],
        }
    }
}

/// A provider that is known by name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
    pub(crate) base_url: &'static str,
    pub(crate) key_variable: Option<&'static str>,
    pub(crate) url_variable: Option<&'static str>,
}

pub(crate) static KNOWN: [Known; 4] = [
    Known {
        name: "openai",
        wire: Wire::OpenAi,
        base_url: "https://api.openai.com/v1/",
        key_variable: Some("OPENAI_API_KEY"),
        url_variable: Some("OPENAI_BASE_URL"),
    },
    Known {
        name: "anthropic",
        wire: Wire::Anthropic,
        base_url: "https://api.anthropic.com/v1/",
        key_variable: Some("ANTHROPIC_API_KEY"),
        url_variable: Some("ANTHROPIC_BASE_URL"),
    },
    Known {
        name: "gemini",
        wire: Wire::Gemini,
        base_url: "https://generativelanguage.googleapis.com/v1beta/",
        key_variable: Some("GEMINI_API_KEY"),
        url_variable: None,
    },
    Known {
        name: "ollama",
        wire: Wire::Ollama,
        base_url: "http://127.0.0.1:11434/",
        key_variable: None,
        url_variable: Some("OLLAMA_HOST"),
    },
];

/// Ollama's own variable may lack the scheme and the port, and may be the address that a server listens on.
pub(crate) fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.trim().split_once("://").unwrap_or(("http", host.trim()));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (authority, None),
    };
    let name = if matches!(name, "" | "0.0.0.0" | "[::]") { "127.0.0.1" } else { name };
    let port = match (port, scheme) {
        (Some(port), _) => format!(":{port}"),
        (None, "http") => ":11434".to_owned(),
        (None, _) => String::new(),
    };
    format!("{scheme}://{name}{port}/{path}")
}

/// Anthropic's own libraries add the version to the host that they are given.
pub(crate) fn anthropic_url(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let is_bare = url.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
    if is_bare { format!("{url}/v1/") } else { format!("{url}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_is_found_wherever_its_variable_says() {
        assert_eq!(ollama_url("127.0.0.1:11500"), "http://127.0.0.1:11500/");
        assert_eq!(ollama_url("0.0.0.0"), "http://127.0.0.1:11434/");
        assert_eq!(ollama_url("https://ollama.example.org"), "https://ollama.example.org/");
        assert_eq!(ollama_url("http://box:80/ollama/"), "http://box:80/ollama/");
        assert_eq!(ollama_url("[::]:11434"), "http://127.0.0.1:11434/");
    }

    #[test]
    fn the_version_is_added_to_a_bare_host() {
        assert_eq!(anthropic_url("https://api.anthropic.com"), "https://api.anthropic.com/v1/");
        assert_eq!(anthropic_url("http://127.0.0.1:8080/v1/"), "http://127.0.0.1:8080/v1/");
    }
}
