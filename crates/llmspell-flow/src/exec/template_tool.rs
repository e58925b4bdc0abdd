//! The tool `template`: renders a text with values.

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Tool};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::template::render_restricted;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct TemplateArguments {
    /// A Jinja template with `{{ expression }}`, `{% if condition %} … {% elif … %} … {% else %} … {% endif %}`,
    /// `{% for item in list %} … {% else %} … {% endfor %}` (`key, value in table`; `loop.index`, `loop.first`,
    /// `loop.last`), and `{# comments #}`; `-` inside of the braces removes white space. A value that is not text is
    /// written as JSON; an undefined value is an error.
    template: String,
    /// The values, by their names in the template. They are data: braces in them mean nothing.
    #[serde(default)]
    values: Map<String, Value>,
}

/// Creates the tool.
pub(crate) fn template() -> DynTool {
    let description = "Renders a text with values: a Jinja template with expressions, `if` and `for`.";
    let write = |arguments: TemplateArguments, cx: Context| async move {
        cx.blocking(move |cx| render_restricted(&arguments.template, &arguments.values, move || cx.is_cancelled()))
            .await
    };
    Tool::new("template", description, write).erase()
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Result, Step};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    async fn call(text: &str, values: Value) -> Result<Value> {
        template().run(json!({ "template": text, "values": values }), &Context::new()).await
    }

    #[tokio::test]
    async fn values_conditions_and_loops_are_written() {
        let values = json!({ "name": "Ada", "n": 2, "list": ["a", "b"], "empty": [], "table": { "x": 1, "y": [2] }, "t": "{{ n }}" });
        for (text, wanted) in [
            ("Hello, {{ name | upper }}!", "Hello, ADA!"),
            ("{{ list }} {{ n * 2 + 1 }} {{ table.y[0] }}", "[\"a\",\"b\"] 5 2"),
            ("{{ t }}{{ '{{' }}{{ {'a': {'b': '}}'}}.a.b }}", "{{ n }}{{}}"),
            ("{% if n > 2 %}many{% elif n == 2 %}two{% else %}few{% endif %}", "two"),
            ("{% if empty %}x{% else %}nothing{% endif %}", "nothing"),
            (
                "{% for item in list %}{{ loop.index }}{{ item }}{% if not loop.last %}, {% endif %}{% endfor %}",
                "1a, 2b",
            ),
            ("{% for item in empty %}x{% else %}nothing{% endfor %}", "nothing"),
            ("{% for key, value in table %}{{ key }}={{ value }};{% endfor %}", "x=1;y=[2];"),
            ("{% for a in list %}{% for b in list %}{{ a }}{{ b }} {% endfor %}{% endfor %}", "aa ab ba bb "),
            ("a  {#- no {{ x }} -#}  b {{- ' c ' -}} d\n{%- if 1 -%}\n e{% endif %}", "ab c de"),
            ("{{ missing | default('-') }}", "-"),
            ("", ""),
        ] {
            let written = call(text, values.clone()).await;
            assert_eq!(written.as_ref().ok(), Some(&json!(wanted)), "{text}: {written:?}");
        }
    }

    #[tokio::test]
    async fn errors_have_their_line() {
        let deep = "{% if 1 %}".repeat(40);
        for (text, why) in [
            ("a\n{{ missing }}", "line 2: `missing` is undefined"),
            ("{{ list.x.y }}", "undefined"),
            ("\n\n{{ name", "line 3 of the template: this tag never ends"),
            ("{# x", "comment"),
            ("{% if 1 %}", "never ends"),
            ("{% endif %}", "`endif` ends nothing"),
            ("{% if 1 %}{% endfor %}", "does not belong"),
            ("{% if 1 %}{% else %}{% else %}{% endif %}", "does not belong"),
            ("{% for x %}{% endfor %}", "has no `in`"),
            ("{% for 1 in list %}{% endfor %}", "does not name"),
            ("{% for x in 1 %}{% endfor %}", "neither a list nor a table"),
            ("{% for a, b in list %}{% endfor %}", "lists of 2"),
            ("{% set x = 1 %}", "unknown statement `set`"),
            ("{% include 'x' %}", "unknown statement"),
            ("{{ 1 + }}", "cannot be read"),
            ("{{ }}", "cannot be read"),
            ("{{ name | uper }}", "uper"),
            ("{{ range }}", "function"),
            (&deep, "nested"),
        ] {
            let error = call(text, json!({ "name": "x", "list": [1] })).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}: {error}");
            assert!(error.message().contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn no_template_takes_all_the_memory_or_the_time() {
        let doubled = "{% for a in [a + a] %}".repeat(16);
        let listed = "{% for a in [[a, a, a, a, a, a, a, a, a, a]] %}".repeat(16);
        let end = "{% endfor %}".repeat(16);
        let large = format!("{{{{ a }}}}{}", "{{ a }}".repeat(1000));
        for text in [
            format!("{doubled}{{{{ a }}}}{end}"),
            format!("{listed}{{{{ a }}}}{end}"),
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{{ b }}{% endfor %}".to_owned(),
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}".to_owned(),
            "{{ ([[a] * 100000] * 100000) ~ '' }}".to_owned(),
            "{{ ([a] * 100000000) | join }}".to_owned(),
            "{{ 'x' * 100000000 }}".to_owned(),
            format!("{{{{ a{} }}}}", " + a".repeat(100)),
            large,
        ] {
            let error = call(&text, json!({ "a": "x".repeat(100_000) })).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{}: {error}", &text[..60.min(text.len())]);
        }
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "([{}%#]|\\{\\{|\\}\\}|\\{%|%\\}|if |for |in |else|endif|endfor|[a-z1'\"ä+*~|. -]){0,30}") {
            let _ = render_restricted(&text, &Map::new(), || false);
        }
    }
}
