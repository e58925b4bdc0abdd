//! `html_to_text`: extracts the readable text of a page.

mod page;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HtmlToText {
    /// The page or a part of it. Invalid HTML is accepted, as browsers do.
    html: String,
    /// Whether to return the links of the page as well.
    #[serde(default)]
    links: bool,
    /// The address of the page, against which its links are resolved.
    base: Option<String>,
    /// Keeps at most this many characters of the text.
    max_chars: Option<usize>,
}

/// The extracted text.
#[derive(Serialize)]
struct Read {
    /// Empty if the page has no title.
    title: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<Vec<PageLink>>,
}

#[derive(Debug, PartialEq, Serialize)]
struct PageLink {
    text: String,
    url: String,
}

/// The largest page, in bytes.
const LARGEST: usize = 16 << 20;

/// The longest base address, in bytes: each resolved link repeats it.
const LONGEST_BASE: usize = 2 << 10;

/// Returns the tool.
pub(crate) fn html_to_text() -> DynTool {
    let description = "Takes the text out of HTML: paragraphs, lists, tables (cells by tabs), no scripts, no styles. Gives \
                       { title, text }, and a list of { text, url } if `links` are wanted.";
    Tool::new("html_to_text", description, |page: HtmlToText, _: Context| async move { page.read() }).erase()
}

impl HtmlToText {
    fn read(self) -> Result<Read> {
        if self.html.len() > LARGEST {
            let error = Error::invalid(format!("the page is larger than {} MiB", LARGEST >> 20));
            return Err(error.with_hint("take a part of it"));
        }
        let base = self.base.as_deref().map(|base| {
            let url = Url::parse(base).ok().filter(|url| url.as_str().len() <= LONGEST_BASE);
            url.ok_or_else(|| Error::invalid("`base` is not an address").with_hint("write it as https://host/path"))
        });
        let page = page::Page::read(&self.html, self.links, base.transpose()?)?;
        let mut text = page.text;
        if let Some((end, _)) = self.max_chars.and_then(|most| text.char_indices().nth(most)) {
            text.truncate(end);
        }
        Ok(Read { title: page.title, text, links: self.links.then_some(page.links) })
    }
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    async fn text(html: &str) -> String {
        let read = html_to_text().run(json!({ "html": html }), &Context::new()).await.unwrap();
        read["text"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_page_becomes_what_one_reads() {
        let html = "<!DOCTYPE html><html><head><title> A &amp; B </title><style>p { x: '<p>' }</style>
            <script>if (1 < 2) document.write('<p>no</p>')</script></head>
            <body><!-- no --><h1>Head&shy;line</h1><p>One   <b>two</b>
            three&nbsp;four.<br>Five</p><div>Six</div><div>Seven</div>
            <ul><li>a</li><li>b<ol><li>c<li>d</ol></li></ul>
            <table><tr><th>x</th><th>y</th></tr><tr><td>1</td><td>2</td></tr></table>
            <pre>  kept
   so</pre><img src=x alt='a picture'><svg><text>no</text></svg><p>End</body></html>";
        let read = html_to_text().run(json!({ "html": html }), &Context::new()).await.unwrap();
        assert_eq!(read["title"], "A & B");
        let wanted = "Head\u{ad}line\n\nOne two three four.\nFive\n\nSix\nSeven\n\n- a\n- b\n\n1. c\n2. d\n\nx\ty\n1\t2\n\n  \
                      kept\n   so\n\na picture\n\nEnd";
        assert_eq!(read["text"], wanted);
        assert!(read.get("links").is_none());
    }

    #[tokio::test]
    async fn soup_is_read_all_the_same() {
        for (html, wanted) in [
            ("", ""),
            ("plain", "plain"),
            ("a < b && c > d", "a < b && c > d"),
            ("<p>unclosed <b>one<p>two", "unclosed one\n\ntwo"),
            ("&eacute;&#233;&#xe9; &unknown; &amp", "ééé &unknown; &"),
            ("</p></li></ul>x</pre>", "x"),
            ("<script>never closed <p>x", ""),
            ("x<textarea>y</textarea><select><option>z</select>w", "xw"),
            ("a<span>b</span>c <i> d</i>", "abc d"),
            ("<a href=x>", ""),
        ] {
            assert_eq!(text(html).await, wanted, "{html}");
        }
    }

    #[tokio::test]
    async fn links_have_absolute_addresses() {
        let html = "<p>See <a href='/a?b&amp;c'> the <b>page</b></a>, <a href=#top>top</a>, <a name=x>no</a>,
            <a href='mailto:a@b.c'>mail</a><a href='javascript:x()'>no</a><a href=other><img alt=pic></a></p>";
        let arguments = json!({ "html": html, "links": true, "base": "https://example.org/dir/page?q" });
        let read = html_to_text().run(arguments, &Context::new()).await.unwrap();
        let wanted = json!([
            { "text": "the page", "url": "https://example.org/a?b&c" },
            { "text": "mail", "url": "mailto:a@b.c" },
            { "text": "pic", "url": "https://example.org/dir/other" },
        ]);
        assert_eq!(read["links"], wanted);
        let arguments = json!({ "html": "<a href=x>y</a>", "links": true });
        assert_eq!(html_to_text().run(arguments, &Context::new()).await.unwrap()["links"][0]["url"], "x");
    }

    #[tokio::test]
    async fn pages_have_bounds() {
        let call = |arguments: Value| async move { html_to_text().run(arguments, &Context::new()).await };
        let error = call(json!({ "html": "x".repeat(LARGEST + 1) })).await.unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Invalid, true));
        assert_eq!(call(json!({ "html": "x", "base": "nonsense" })).await.unwrap_err().kind(), ErrorKind::Invalid);
        let base = format!("https://example.org/{}/", "x".repeat(1500));
        let links = json!({ "html": "<a href=1>a</a>".repeat(100_000), "links": true, "base": base });
        assert!(call(links).await.unwrap_err().message().contains("links"));
        // Neither depth nor bad nesting costs more than length.
        assert_eq!(text(&"<div><ul><li>".repeat(100_000)).await.len(), 0);
        assert_eq!(call(json!({ "html": "äöü", "max_chars": 2 })).await.unwrap()["text"], "äö");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(html in "(<|>|/|a|p|li|pre|script|title|svg| |=|'|\"|&|amp;|#|[a-zä\u{0}]){0,40}") {
            let page = HtmlToText { html, links: true, base: None, max_chars: None };
            prop_assert!(page.read().is_ok());
        }
    }
}
