//! Prompts in files of their own, with the statements of Jinja.

use std::sync::{Arc, LazyLock};

use llmspell::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Output, State};

use super::bounded_writer::BoundedWriter;
use super::compile::{Check, Compiler, name_in};
use super::guarded_names::GuardedNames;
use super::known_names::unknown;
use super::language::LANGUAGE;
use super::large_stack::{MAX_EXPR_BYTES, depth_estimate, with_stack_for};
use super::size::is_unknown;
use super::tags::{Tag, tags};
use super::{DEFAULT, describe, json};
use crate::syntax::source::Source;

/// A text with expressions and statements, ready to be rendered.
pub(crate) struct PromptFile {
    /// The language, with the text as its only template.
    language: Environment<'static>,
    name: Arc<str>,
    /// The names that the text uses, such as `inputs.url`.
    names: Vec<String>,
    depth_estimate: usize,
}

/// The name of the text in its own environment.
const TEMPLATE_NAME: &str = "prompt";

/// The most tags of a prompt: each `elif` takes stack.
const MAX_TAGS: usize = 4096;

/// The longest rendered text, in bytes.
const MAX_OUTPUT: usize = 4 << 20;

/// The language of expressions with statements around them. Lines with only a statement leave no empty line.
pub(super) static STATEMENTS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = LANGUAGE.clone();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        language.set_syntax(syntax);
    }
    language.set_debug(true);
    language.set_formatter(write_value);
    language
});

/// Writes text as it is and any other value as JSON, as in flow files.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::Error::from(ErrorKind::UndefinedError));
    }
    if is_unknown(value) {
        return Ok(());
    }
    let error = |why: String| minijinja::Error::new(ErrorKind::InvalidOperation, format!("a value {why}"));
    match value.as_str() {
        Some(text) => out.write_str(text).map_err(minijinja::Error::from),
        None => out.write_str(&json::json(value).map_err(error)?.to_string()).map_err(minijinja::Error::from),
    }
}

impl Compiler<'_> {
    /// Compiles a prompt and checks the names that it uses. Problems are positions in the text of the prompt.
    pub(crate) fn prompt_file(&mut self, source: &Source, check: Check<'_>) -> Option<PromptFile> {
        let tags = tags(source.text());
        if tags.len() > MAX_TAGS {
            let diagnostic =
                source.diagnose(None, format!("this text has {} tags, and the most is {MAX_TAGS}", tags.len()));
            self.problems.push(diagnostic.with_hint("make several prompts of it"));
            return None;
        }
        let before = self.problems.len();
        for tag in &tags {
            self.tag(source, tag);
        }
        if self.problems.len() > before {
            return None;
        }
        let deepest = tags.iter().map(|tag| depth_estimate(tag.text)).max().unwrap_or(0);
        let depth_estimate = deepest + tags.iter().filter(|tag| tag.word == Some("elif")).count();
        let parse = || {
            let mut language = STATEMENTS.clone();
            language.add_template_owned(TEMPLATE_NAME, source.text().to_owned())?;
            let mut names: Vec<_> =
                language.get_template(TEMPLATE_NAME)?.undeclared_variables(true).into_iter().collect();
            names.sort();
            Ok::<_, minijinja::Error>((language, names))
        };
        let (language, names) = match with_stack_for(depth_estimate, parse) {
            Ok(Ok(parse)) => parse,
            Ok(Err(error)) => {
                let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                let line = error.line().map(|line| line_at(source.text(), line));
                let diagnostic = source.diagnose(error.range().or(line), format!("this cannot be read: {detail}"));
                self.problems
                    .push(diagnostic.with_hint("prompts in files are templates of Jinja: `{{ inputs.question }}`"));
                return None;
            }
            Err(why) => {
                self.problems.push(source.diagnose(None, why));
                return None;
            }
        };
        let mut guarded = GuardedNames::default();
        tags.iter().for_each(|tag| guarded.add(tag.text));
        for name in super::names(&names) {
            if let Some(name_problem) = check(name) {
                let find =
                    |tag: &Tag<'_>| name_in(tag.text, name).map(|place| tag.at + place.start..tag.at + place.end);
                let diagnostic = source.diagnose(tags.iter().find_map(find), name_problem.message.as_str());
                self.report_name(diagnostic, name, name_problem, &guarded);
            }
        }
        Some(PromptFile { language, name: Arc::from(source.name()), names, depth_estimate })
    }

    fn tag(&mut self, source: &Source, tag: &Tag<'_>) {
        let whole = tag.at..tag.at + tag.text.len();
        if tag.text.len() > MAX_EXPR_BYTES {
            let message =
                format!("this expression is too long: {} bytes, and the most is {MAX_EXPR_BYTES}", tag.text.len());
            self.problems.push(source.diagnose(Some(whole), message).with_hint("compute it in several steps"));
            return;
        }
        // `{% filter upper %}` is checked as a filter behind a value.
        let (text, before) = match tag.word {
            Some("filter") => (format!("x|{}", tag.text), 2),
            _ => (tag.text.to_owned(), 0),
        };
        for error in unknown(&text) {
            let at = (tag.at + error.at).saturating_sub(before);
            let diagnostic = source.diagnose(Some(at..at + error.word.len()), error.name_problem.message);
            self.problems.push(diagnostic.with_hint(error.name_problem.hint));
        }
    }
}

/// Returns the byte range of a line, counted from 1.
fn line_at(text: &str, line: usize) -> std::ops::Range<usize> {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    start..start + text[start..].lines().next().map_or(0, str::len)
}

impl PromptFile {
    /// Returns the names that the text uses, such as `inputs.url`.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        super::names(&self.names)
    }

    /// Returns the bytes of the text without its tags.
    pub(super) fn plain_size(&self) -> usize {
        let Ok(template) = self.language.get_template(TEMPLATE_NAME) else { return 0 };
        let text = template.source();
        let tags = tags(text).iter().map(|tag| tag.word.map_or(0, str::len) + tag.text.len() + "{{}}".len()).sum();
        text.len().saturating_sub(tags)
    }

    /// Renders the text for one record.
    pub(crate) fn render(&self, scope: &minijinja::Value) -> Result<String> {
        let mut output = BoundedWriter::new(MAX_OUTPUT);
        let rendered = with_stack_for(self.depth_estimate, || {
            let template = self.language.get_template(TEMPLATE_NAME)?;
            template.render_captured_to(scope.clone(), &mut output).map(drop)
        });
        let name = &self.name;
        if output.is_full {
            return Err(Error::invalid(format!("{name} makes a text of more than {} MiB", MAX_OUTPUT >> 20)));
        }
        match rendered {
            Ok(Ok(())) => String::from_utf8(output.bytes).map_err(|error| {
                Error::invalid(format!("{name} does not produce UTF-8 text")).with_source(error.utf8_error())
            }),
            Ok(Err(error)) => Err(self.evaluation_error(&error)),
            Err(why) => Err(Error::invalid(format!("{name} {why}"))),
        }
    }

    fn evaluation_error(&self, error: &minijinja::Error) -> Error {
        let detail = describe(error);
        let line = error.line().map_or(String::new(), |line| format!(":{line}"));
        let output = Error::invalid(format!("{}{line} cannot be computed: {detail}", self.name));
        match error.kind() {
            ErrorKind::UndefinedError => output.with_hint(DEFAULT.replace("${{", "{{")),
            _ => output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::NameProblem;
    use minijinja::context;

    fn prompt(text: &str) -> std::result::Result<PromptFile, String> {
        let flow = Source::new("f.yaml", "");
        let mut compiler = Compiler::new(&flow, Vec::new());
        let check = |name: &str| {
            let name_problem = || NameProblem::new(format!("no `{name}`"), "none");
            (super::super::root(name) != "inputs").then(name_problem)
        };
        let output = compiler.prompt_file(&Source::new("p.j2", text), &check);
        let shown: Vec<String> = compiler.problems.iter().map(ToString::to_string).collect();
        output.filter(|_| shown.is_empty()).ok_or_else(|| shown.join("\n"))
    }

    fn rendered(text: &str) -> std::result::Result<String, String> {
        let scope =
            context! { inputs => context! { list => vec!["a", "b"], table => context! { x => 1.5 }, none => () } };
        prompt(text)?.render(&scope).map_err(|error| error.to_string())
    }

    #[test]
    fn statements_follow_jinja_and_values_are_json() {
        let text = "{% for x in inputs.list %}\n- {{ loop.index }} {{ x | upper }}\n{% endfor %}\n{{ inputs.table }} {{ inputs.none }}\n";
        assert_eq!(rendered(text).unwrap(), "- 1 A\n- 2 B\n{\"x\":1.5} null");
        let text = "{% if inputs.list %}{% set y = 'yes' %}{{ y }}{% else %}no{% endif %}";
        assert_eq!(rendered(text).unwrap(), "yes");
        assert_eq!(rendered("{% raw %}{{ nope }}{% endraw %}").unwrap(), "{{ nope }}");
    }

    #[test]
    fn errors_are_found_before_the_first_record() {
        for (text, wanted) in [
            ("a\n{{ steps.x }}", "p.j2:2:4"),
            ("a\n{{ inputs.x | uper }}", "did you mean `upper`?"),
            ("{% filter uper %}x{% endfilter %}", "p.j2:1:11"),
            ("a\n\n{% if inputs.x %}", "p.j2:3:"),
            ("{% include 'x' %}", "this cannot be read"),
            ("{{ inputs.x.items() }}", "there is no method"),
        ] {
            let error = prompt(text).err().unwrap_or_default();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let long = format!("{{{{ {}1 }}}}", "1+".repeat(3000));
        assert!(prompt(&long).err().unwrap().contains("too long"));
        let many = "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(5000) + "{% endif %}";
        assert!(prompt(&many).err().unwrap().contains("tags"));
        let deep = "{% if inputs.x %}".to_owned() + &"{% elif inputs.y %}".repeat(4000) + "{% endif %}";
        assert!(prompt(&deep).is_ok());
    }

    #[test]
    fn undefined_values_and_unbounded_output_are_errors() {
        assert!(rendered("a\n{{ inputs.nope }}").unwrap_err().contains("p.j2:2 cannot be computed"));
        let error = rendered("{% for a in range(90000) %}{{ 'x' * 1000 }}{% endfor %}").unwrap_err();
        assert!(error.contains("more than 4 MiB") || error.contains("fuel"), "{error}");
        let text = "{% for a in range(300) %}{% for b in range(3000) %}{% endfor %}{% endfor %}";
        assert!(rendered(text).unwrap_err().contains("fuel"));
    }
}
