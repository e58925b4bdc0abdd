//! The declared fields of records, outputs and answers.

use llmspell::{Error, Result};
use serde_json::{Map, Value, json};

use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::{InputDef, InputType};
use crate::syntax::lossy_int::{HINT, find_lossy};
use crate::syntax::mapping::{Mapping, MappingEntry};
use crate::syntax::source::Source;

/// The declared fields; `None` if any object is accepted.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Option<Vec<Input>>);

#[derive(Clone, Debug)]
struct Input {
    name: String,
    kind: Option<InputType>,
    required: bool,
    default: Value,
    description: Option<String>,
}

impl Inputs {
    /// Reads the fields from the file, and adds a problem for each invalid default.
    pub(crate) fn declared(file: Option<&Mapping<InputDef>>, source: &Source, problems: &mut Vec<Diagnostic>) -> Self {
        let Some(entries) = file else { return Inputs(None) };
        let input = |(name, def): &MappingEntry<InputDef>| {
            let given = def.value.default.as_ref();
            let default = given.map(|default| default.value.to_json());
            if let (Some(at), Some(value), Some(kind)) = (given, &default, def.value.kind)
                && !kind.fits(value)
            {
                let message = format!("the default of `{}` is not {}", name.value, kind.display_name());
                problems.push(source.diagnose(Some(at.at.clone()), message).with_hint("make the default fit the type"));
            }
            Input {
                name: name.value.clone(),
                kind: def.value.kind,
                required: def.value.required.unwrap_or(true) && default.is_none(),
                default: default.unwrap_or(Value::Null),
                description: def.value.description.clone(),
            }
        };
        Inputs(Some(entries.0.iter().map(input).collect()))
    }

    /// Returns the names of the fields; `None` if none are declared.
    pub fn names(&self) -> Option<Vec<&str>> {
        Some(self.0.as_ref()?.iter().map(|input| input.name.as_str()).collect())
    }

    /// Returns the fields and their types; `None` if none are declared.
    pub(crate) fn types(&self) -> Option<impl Iterator<Item = (&str, Option<InputType>)>> {
        Some(self.0.as_ref()?.iter().map(|input| (input.name.as_str(), input.kind)))
    }

    /// Returns whether a field is declared as required.
    pub fn requires(&self, field: &str) -> bool {
        self.0.iter().flatten().any(|input| input.name == field && input.required)
    }

    /// Returns the JSON Schema of a record: any object if no fields are declared.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = json!({ "type": "object" });
        let Some(inputs) = &self.0 else { return schema };
        let property = |input: &Input| {
            let mut property = Map::new();
            if let Some(kind) = input.kind {
                property.insert("type".to_owned(), kind.as_str().into());
            }
            if let Some(description) = &input.description {
                property.insert("description".to_owned(), description.as_str().into());
            }
            if !input.default.is_null() {
                property.insert("default".to_owned(), input.default.clone());
            }
            (input.name.clone(), Value::Object(property))
        };
        schema["properties"] = inputs.iter().map(property).collect::<Map<_, _>>().into();
        schema["required"] = inputs.iter().filter(|input| input.required).map(|input| input.name.as_str()).collect();
        schema
    }

    /// Returns the part of a field's declaration that the steps which name it depend on; null if it is not declared.
    pub(crate) fn definition_of(&self, field: &str) -> Value {
        let field = self.0.iter().flatten().find(|input| input.name == field);
        field.map_or(Value::Null, |input| json!([input.kind.map(InputType::as_str), input.default]))
    }

    /// Returns everything in the declarations that affects an output, which descriptions do not. Null if no fields are
    /// declared.
    pub(crate) fn definition(&self) -> Value {
        let definition = |input: &Input| json!([input.name, input.required, self.definition_of(&input.name)]);
        self.0.as_ref().map_or(Value::Null, |inputs| inputs.iter().map(definition).collect())
    }

    /// Checks the output of a flow against the fields declared under `returns`.
    pub(crate) fn check_output(&self, output: &Value) -> Result<()> {
        match self.wrong(output) {
            None => Ok(()),
            Some((field, wrong)) => Err(Error::invalid(format!("the field `{field}` of the output {wrong}"))
                .with_hint("the fields are declared under `returns` in the flow file")),
        }
    }

    /// Returns how a value differs from these fields; `None` if it fits.
    pub(crate) fn mismatch(&self, value: &Value) -> Option<String> {
        if !value.is_object() {
            return Some("expected an object".to_owned());
        }
        self.wrong(value).map(|(field, wrong)| format!("`{field}` {wrong}"))
    }

    /// Returns the first field that does not fit, and the reason.
    fn wrong(&self, value: &Value) -> Option<(&str, String)> {
        self.0.iter().flatten().find_map(|field| {
            let wrong = match (value.get(&field.name), field.kind) {
                (None | Some(Value::Null), _) if !field.required => None,
                (None, _) => Some("is missing".to_owned()),
                (Some(value), Some(kind)) if !kind.fits(value) => Some(format!("is not {}", kind.display_name())),
                _ => None,
            };
            Some((field.name.as_str(), wrong?))
        })
    }

    /// Parses the value of a field from text.
    pub(crate) fn read(&self, field: &str, text: &str) -> Result<Value> {
        let json = || serde_json::from_str::<Value>(text).ok();
        match self.kind(field) {
            kind if kind != Some(InputType::String)
                && json().is_some()
                && find_lossy(text.as_bytes(), |_| true).is_some() =>
            {
                Err(Error::invalid(format!("`{text}` does not fit into 64 bits")).with_hint(HINT))
            }
            None => Ok(json().unwrap_or_else(|| text.into())),
            Some(InputType::String) => Ok(text.into()),
            Some(kind) => json().filter(|value| kind.fits(value)).ok_or_else(|| {
                Error::invalid(format!("`{text}` is not {}, as the field `{field}` must be", kind.display_name()))
                    .with_hint("the types are declared under `inputs` in the flow file")
            }),
        }
    }

    /// Converts the text values of an untyped record, such as a row of CSV, to the declared types.
    ///
    /// An empty value is removed unless its field is a string. A value that does not fit stays unchanged, so that
    /// [`accept`](Inputs::accept) reports it.
    ///
    /// # Errors
    /// If a number would lose digits.
    pub fn type_texts(&self, record: &mut Map<String, Value>) -> Result<()> {
        for input in self.0.iter().flatten() {
            let kind = input.kind.filter(|kind| *kind != InputType::String);
            let Some((kind, Value::String(text))) = kind.zip(record.get(&input.name)) else { continue };
            if text.is_empty() {
                record.shift_remove(&input.name);
            } else if let Some(value) = serde_json::from_str(text.trim()).ok().filter(|value| kind.fits(value)) {
                if find_lossy(text.as_bytes(), |_| true).is_some() {
                    let message = format!("the field `{}` does not fit into 64 bits: {text}", input.name);
                    let hint = "declare it as `type: string`: as a text it keeps all of its digits";
                    return Err(Error::invalid(message).with_hint(hint));
                }
                record.insert(input.name.clone(), value);
            }
        }
        Ok(())
    }

    fn kind(&self, field: &str) -> Option<InputType> {
        self.0.iter().flatten().find(|input| input.name == field)?.kind
    }

    /// Checks a record and fills in the defaults of missing optional fields, or null. Other fields stay.
    pub(crate) fn accept(&self, mut record: Map<String, Value>) -> Result<Map<String, Value>> {
        for input in self.0.iter().flatten() {
            match (record.get(&input.name), input.kind) {
                (None, _) if input.required => {
                    let message = format!("the record has no field `{}`", input.name);
                    return Err(
                        Error::invalid(message).with_hint("the fields are declared under `inputs` in the flow file")
                    );
                }
                // A field that may be left out may also be null.
                (Some(Value::Null), _) if !input.required => {
                    record.insert(input.name.clone(), input.default.clone());
                }
                (None, _) => {
                    record.insert(input.name.clone(), input.default.clone());
                }
                (Some(value), Some(kind)) if !kind.fits(value) => {
                    let message = format!("the field `{}` is not {}", input.name, kind.display_name());
                    return Err(
                        Error::invalid(message).with_hint("the types are declared under `inputs` in the flow file")
                    );
                }
                (Some(_), _) => {}
            }
        }
        Ok(record)
    }
}

impl InputType {
    fn fits(self, value: &Value) -> bool {
        match self {
            InputType::String => value.is_string(),
            InputType::Number => value.is_number(),
            InputType::Integer => value.is_i64() || value.is_u64(),
            InputType::Boolean => value.is_boolean(),
            InputType::Array => value.is_array(),
            InputType::Object => value.is_object(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            InputType::String => "string",
            InputType::Number => "number",
            InputType::Integer => "integer",
            InputType::Boolean => "boolean",
            InputType::Array => "array",
            InputType::Object => "object",
        }
    }

    fn display_name(self) -> &'static str {
        match self {
            InputType::String => "a string",
            InputType::Number => "a number",
            InputType::Integer => "an integer",
            InputType::Boolean => "a boolean",
            InputType::Array => "an array",
            InputType::Object => "an object",
        }
    }
}
