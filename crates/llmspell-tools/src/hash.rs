//! `hash`: computes the checksum of text or bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use md5::Md5;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Hash {
    /// The value to hash: text as UTF-8, other values as compact JSON with fields in their order.
    value: Value,
    /// The algorithm. The default is `sha256`. `md5` serves to compare with existing checksums; it is not secure
    /// against forgery.
    #[serde(default)]
    algorithm: Algorithm,
    /// The encoding of the text in `value`: plain text (the default), or bytes.
    #[serde(default)]
    input: Input,
    /// The encoding of the checksum. The default is `hex`, in lower case.
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    #[default]
    Sha256,
    Blake3,
    Md5,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Input {
    #[default]
    Text,
    Hex,
    Base64,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// Returns the tool.
pub(crate) fn hash() -> DynTool {
    let description = "Computes a checksum by SHA-256, BLAKE3 or MD5, in hex or base64.";
    Tool::new("hash", description, |hash: Hash, _: Context| async move { hash.sum() }).erase()
}

impl Hash {
    fn sum(self) -> Result<String> {
        let bytes = self.bytes()?;
        let sum = match self.algorithm {
            Algorithm::Sha256 => Sha256::digest(&bytes).to_vec(),
            Algorithm::Blake3 => blake3::hash(&bytes).as_bytes().to_vec(),
            Algorithm::Md5 => Md5::digest(&bytes).to_vec(),
        };
        Ok(match self.encoding {
            Encoding::Hex => sum.iter().map(|byte| format!("{byte:02x}")).collect(),
            Encoding::Base64 => STANDARD.encode(sum),
        })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let wrong = |what: &str| Error::invalid(format!("`value` is not {what}"));
        match (self.input, &self.value) {
            (Input::Text, Value::String(text)) => Ok(text.clone().into_bytes()),
            (Input::Text, value) => Ok(value.to_string().into_bytes()),
            (Input::Hex, Value::String(text)) => unhex(text).ok_or_else(|| wrong("hex: an even number of 0-9 and a-f")),
            (Input::Base64, Value::String(text)) => {
                STANDARD.decode(text).map_err(|error| wrong(&format!("base64: {error}")).with_source(error))
            }
            _ => Err(wrong("text")),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(*pair.get(1)?)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};

    use super::*;
    use serde_json::json;

    async fn call(arguments: Value) -> Result<Value> {
        hash().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn checksums_are_those_of_the_standards() {
        for (arguments, wanted) in [
            (json!({ "value": "abc" }), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (json!({ "value": "abc", "algorithm": "md5" }), "900150983cd24fb0d6963f7d28e17f72"),
            (
                json!({ "value": "", "algorithm": "blake3" }),
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
            (json!({ "value": "616263", "input": "hex", "algorithm": "md5" }), "900150983cd24fb0d6963f7d28e17f72"),
            (
                json!({ "value": "YWJj", "input": "base64", "algorithm": "md5", "encoding": "base64" }),
                "kAFQmDzST7DWlj99KOF/cg==",
            ),
        ] {
            assert_eq!(call(arguments.clone()).await.unwrap(), wanted, "{arguments}");
        }
        let (table, text) = (json!({ "value": { "b": 1, "a": [] } }), json!({ "value": r#"{"b":1,"a":[]}"# }));
        assert_eq!(call(table).await.unwrap(), call(text).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_no_encoding_is_refused() {
        for (value, input) in [("abc", "hex"), ("zz", "hex"), ("ä", "hex"), ("YWJ", "base64"), ("-_-_", "base64")] {
            let error = call(json!({ "value": value, "input": input })).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{value}");
        }
        assert_eq!(call(json!({ "value": 1, "input": "hex" })).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}
