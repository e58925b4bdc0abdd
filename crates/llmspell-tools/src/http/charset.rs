//! Decodes bodies by the character set that the server declares.

/// Returns the text of a body, or the reason why it is not text.
pub(super) fn text(body: Vec<u8>, content_type: &str) -> Result<String, String> {
    let named = charset(content_type);
    match named.as_deref().unwrap_or("utf-8") {
        "iso-8859-1" | "latin1" | "iso_8859-1" => Ok(latin_1(&body)),
        "utf-8" | "utf8" | "us-ascii" | "ascii" => {
            String::from_utf8(body).map_err(|error| format!("not UTF-8 text: {}", error.utf8_error()))
        }
        // ASCII text is valid in many character sets.
        _ if body.is_ascii() => String::from_utf8(body).map_err(|error| error.to_string()),
        other => Err(format!("text in `{other}`, which is not supported")),
    }
}

/// Returns the value of a header. Values that are not UTF-8 are read as Latin-1, as early HTTP specified.
pub(super) fn header(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(|_| latin_1(value), str::to_owned)
}

/// In Latin-1, each byte is the code point of its character.
fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_the_server_says() {
        assert_eq!(text(b"\xe4".to_vec(), "text/plain; charset=\"ISO-8859-1\"").as_deref(), Ok("ä"));
        assert_eq!(text("ä".into(), "text/html").as_deref(), Ok("ä"));
        assert!(text(b"\xe4".to_vec(), "text/html").unwrap_err().contains("not UTF-8"));
        assert!(text(b"\xe4".to_vec(), "text/html; charset=koi8-r").unwrap_err().contains("koi8-r"));
        assert_eq!(text(b"a".to_vec(), "text/html; charset=windows-1252").as_deref(), Ok("a"));
    }
}
