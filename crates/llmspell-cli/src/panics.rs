//! What a panic says on standard error: it comes before anybody can look at it.

use std::panic::PanicHookInfo;

use llmspell_flow::Flow;

use crate::show;

/// From here on, panics say what they have to say without the secrets of the flow. Those of tools are told again, as
/// errors of their records.
pub(crate) fn keep_secrets(flow: &Flow) {
    if let Some(scrub) = flow.scrub() {
        std::panic::set_hook(told(scrub, show::note));
    }
}

fn told(
    scrub: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    tell: impl Fn(&str) + Send + Sync + 'static,
) -> Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> {
    Box::new(move |panic| {
        let said = panic.to_string();
        tell(&scrub(&said).unwrap_or(said));
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use llmspell_flow::{Source, Toolbox};

    use llmspell_tools::Permissions;

    use super::*;

    #[test]
    fn a_panic_says_where_and_not_which_secret() {
        let text = "flow: f\nsecrets: [CARGO_MANIFEST_DIR]\nsteps: [{ id: a, value: 1 }]\n";
        let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap();
        let said = Arc::<Mutex<String>>::default();
        let heard = said.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(told(flow.scrub().unwrap(), move |text| heard.lock().unwrap().push_str(text)));
        let secret = env!("CARGO_MANIFEST_DIR");
        let caught = std::panic::catch_unwind(|| panic!("the key is {secret}!"));
        std::panic::set_hook(before);
        let said = said.lock().unwrap();
        assert!(caught.is_err() && said.contains("panics.rs") && said.contains("the key is ***!"), "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}
