//! The message of a panic on standard error, which is printed before any error handler can redact it.

use std::panic::PanicHookInfo;

use llmspell_flow::Flow;

use crate::ui::terminal;

/// Redacts the secrets of the flow from the messages of all later panics. A panic of a tool also becomes the error of
/// its record.
pub(crate) fn redact_secrets(flow: &Flow) {
    if let Some(redact) = flow.redactor() {
        std::panic::set_hook(hook(redact, terminal::note));
    }
}

fn hook(
    redact: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    print: impl Fn(&str) + Send + Sync + 'static,
) -> Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> {
    Box::new(move |panic| {
        let message = panic.to_string();
        print(&redact(&message).unwrap_or(message));
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use llmspell_flow::{Source, Toolbox};
    use llmspell_tools::Permissions;

    use super::*;

    #[test]
    fn the_message_of_a_panic_has_its_place_and_no_secret() {
        let text = "flow: f\nsecrets: [CARGO_MANIFEST_DIR]\nsteps: [{ id: a, value: 1 }]\n";
        let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap();
        let printed = Arc::<Mutex<String>>::default();
        let sink = printed.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(hook(flow.redactor().unwrap(), move |text| sink.lock().unwrap().push_str(text)));
        let secret = env!("CARGO_MANIFEST_DIR");
        let caught = std::panic::catch_unwind(|| panic!("the key is {secret}!"));
        std::panic::set_hook(before);
        let printed = printed.lock().unwrap();
        assert!(caught.is_err() && printed.contains("panics.rs") && printed.contains("the key is ***!"), "{printed}");
        assert!(!printed.contains(secret), "{printed}");
    }
}
