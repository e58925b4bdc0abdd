//! API keys: their sources, and their redaction.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use llmspell::{Error, Result};

/// The text in place of a key.
const REDACTED: &str = "[key]";

/// The minimum length of a secret. A shorter key is a placeholder, such as local servers ask for. Redacting it would
/// only make messages unreadable.
const SHORTEST: usize = 8;

/// A key for a provider. It cannot be printed, and takes itself out of what servers say.
#[derive(Clone)]
pub(crate) struct Key(Arc<str>);

impl Key {
    /// The key without the white space around it, as files and copied text have it.
    pub(crate) fn new(text: &str, whence: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::denied(format!("the key from {whence} is empty")));
        }
        // Everything else breaks the header that it travels in, and some libraries print what they cannot send.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                format!("the key from {whence} has characters that no key has, such as a space or a line break");
            return Err(Error::denied(message).with_hint("it should be the key alone, on one line"));
        }
        Ok(Key(text.into()))
    }

    /// The value of a header, which may have spaces in it.
    pub(crate) fn header(text: &str, name: &str) -> Result<Self> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Error::invalid(format!("the header {name} has characters that no header can have")));
        }
        Ok(Key(text.into()))
    }

    /// Reads the key from a file that only its owner and group may read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let whence = path.display().to_string();
        let failed = |error: std::io::Error| {
            Error::denied(format!("the key file {whence} cannot be read: {error}")).with_source(error)
        };
        refuse_if_open(path, &whence)?;
        Key::new(&std::fs::read_to_string(path).map_err(failed)?, &whence)
    }

    /// The key itself, for the request alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The text without the key. Cut it only afterwards: a part of a key would not be recognised.
    pub(crate) fn scrub(&self, text: String) -> String {
        if self.0.len() < SHORTEST || !text.contains(&*self.0) { text } else { text.replace(&*self.0, REDACTED) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(unix)]
fn refuse_if_open(path: &Path, whence: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let open_to_others = 0o006;
    let Ok(about) = std::fs::metadata(path) else { return Ok(()) };
    if about.permissions().mode() & open_to_others == 0 {
        return Ok(());
    }
    Err(Error::denied(format!("the key file {whence} is open to every user on this machine"))
        .with_hint(format!("chmod o= {whence}")))
}

#[cfg(not(unix))]
fn refuse_if_open(_path: &Path, _whence: &str) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_every_text_and_never_printed() {
        let key = Key::new(" sk-very-secret-1 \n", "a test").unwrap();
        assert_eq!(key.scrub("sk-very-secret-1 or sk-very-secret-1?".into()), "[key] or [key]?");
        assert_eq!(format!("{key:?}"), "[key]");
    }

    #[test]
    fn placeholders_do_not_garble_messages() {
        assert_eq!(Key::new("x", "a test").unwrap().scrub("no exit".into()), "no exit");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for text in ["", " \n", "two words", "sk-\u{7f}", "schlüssel"] {
            let error = Key::new(text, "OPENAI_API_KEY").unwrap_err();
            assert!(text.trim().is_empty() || !format!("{error:#}").contains(text.trim()), "{error:#}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_can_read_is_no_place_for_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk-very-secret-1\n").unwrap();
        let allow = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        allow(0o644);
        let error = Key::read(file.path()).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("chmod o= ")), "{error:#}");
        allow(0o640);
        assert_eq!(Key::read(file.path()).unwrap().reveal(), "sk-very-secret-1");
    }
}
