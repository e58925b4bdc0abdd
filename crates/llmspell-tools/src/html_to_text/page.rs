//! Turns the tags of a page into text, in one pass and without a tree.

use html5gum::{DefaultEmitter, EndTag, StartTag, Token, Tokenizer};
use llmspell::{Error, Result};
use url::Url;

use super::PageLink;

/// Elements whose content is not meant for readers.
const UNREAD: [&[u8]; 15] = [
    b"script",
    b"style",
    b"noscript",
    b"template",
    b"svg",
    b"math",
    b"iframe",
    b"object",
    b"canvas",
    b"audio",
    b"video",
    b"select",
    b"textarea",
    b"noembed",
    b"noframes",
];

/// Elements with an empty line before and after.
const PARAGRAPHS: [&[u8]; 15] = [
    b"p",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"ul",
    b"ol",
    b"dl",
    b"table",
    b"blockquote",
    b"pre",
    b"figure",
    b"hr",
];

/// Elements on a line of their own.
const LINES: [&[u8]; 23] = [
    b"div",
    b"section",
    b"article",
    b"header",
    b"footer",
    b"main",
    b"aside",
    b"nav",
    b"form",
    b"fieldset",
    b"figcaption",
    b"address",
    b"details",
    b"summary",
    b"dd",
    b"dt",
    b"li",
    b"tr",
    b"br",
    b"body",
    b"caption",
    b"option",
    b"legend",
];

/// Lists nested deeper than this are read as one.
const DEEPEST: usize = 32;

/// The most bytes that all links may take, including the base address of each.
const LARGEST_LINKS: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) links: Vec<PageLink>,
    /// The number of line breaks before the next text.
    breaks: usize,
    /// Whether a space comes before the next text.
    space: bool,
    /// The number of open `pre` elements.
    kept: usize,
    in_title: bool,
    /// The element that is being skipped, and how many of it are open.
    unread: Option<(Vec<u8>, usize)>,
    /// The open lists; numbered ones with their last number.
    lists: Vec<Option<u32>>,
    /// The marker of an item that has no text yet.
    mark: Option<String>,
    /// The start of the open link in the text, and its address.
    link: Option<(usize, String)>,
    taken: usize,
}

impl Page {
    pub(super) fn read(html: &str, links: bool, base: Option<Url>) -> Result<Self> {
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        let mut page = Page::default();
        for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
            match token {
                Token::String(text) => page.say(&String::from_utf8_lossy(&text)),
                Token::StartTag(tag) => page.begin(&tag, links),
                Token::EndTag(tag) => page.end(&tag, base.as_ref())?,
                Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
            }
        }
        page.finish_link(base.as_ref())?;
        page.text.truncate(page.text.trim_end().len());
        page.title = page.title.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(page)
    }

    fn begin(&mut self, tag: &StartTag<()>, links: bool) {
        let name = tag.name.as_slice();
        match &mut self.unread {
            Some((unread, open)) if unread == name && !tag.self_closing => *open += 1,
            Some(_) => return,
            None if UNREAD.contains(&name) && !tag.self_closing => self.unread = Some((name.to_vec(), 1)),
            None => {}
        }
        if self.unread.is_some() {
            return;
        }
        self.part(name);
        let attribute = |name: &[u8]| {
            let value = tag.attributes.get(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        match name {
            b"title" => self.in_title = true,
            b"pre" => self.kept += 1,
            b"ul" if self.lists.len() < DEEPEST => self.lists.push(None),
            b"ol" if self.lists.len() < DEEPEST => self.lists.push(Some(0)),
            b"li" => {
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number = number.saturating_add(1);
                        format!("{number}. ")
                    }
                    _ => "- ".to_owned(),
                };
                // An empty item is dropped: its marker waits for text.
                self.mark = Some(mark);
            }
            b"td" | b"th" => self.cell(),
            b"img" => {
                if let Some(text) = attribute(b"alt") {
                    self.say(&text);
                }
            }
            b"a" if links && self.link.is_none() => {
                if let Some(url) = attribute(b"href") {
                    self.link = Some((self.text.len(), url));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: &EndTag<()>, base: Option<&Url>) -> Result<()> {
        let name = tag.name.as_slice();
        if let Some((unread, open)) = &mut self.unread {
            if unread == name {
                *open -= 1;
                if *open == 0 {
                    self.unread = None;
                }
            }
            return Ok(());
        }
        match name {
            b"title" => self.in_title = false,
            b"pre" => self.kept = self.kept.saturating_sub(1),
            b"ul" | b"ol" => {
                self.lists.pop();
            }
            b"a" => self.finish_link(base)?,
            _ => {}
        }
        self.part(name);
        Ok(())
    }

    /// Ends the line, or the paragraph.
    fn part(&mut self, name: &[u8]) {
        if PARAGRAPHS.contains(&name) {
            self.breaks = self.breaks.max(2);
        } else if LINES.contains(&name) {
            self.breaks = self.breaks.max(1);
        }
    }

    fn cell(&mut self) {
        let begins = self.text.is_empty() || self.breaks > 0;
        if !begins {
            self.text.push('\t');
            self.space = false;
        }
    }

    fn say(&mut self, text: &str) {
        if self.unread.is_some() {
            return;
        }
        if self.in_title {
            self.title.push_str(text);
            return;
        }
        if self.kept > 0 {
            // HTML ignores the first line break of a `pre`.
            let text = if self.breaks > 0 { text.strip_prefix('\n').unwrap_or(text) } else { text };
            if !text.is_empty() {
                self.go_on();
                self.text.push_str(text);
            }
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() {
                self.space = true;
            } else {
                self.go_on();
                self.text.push(c);
            }
        }
    }

    /// Writes the white space between the last text and the next.
    fn go_on(&mut self) {
        let begins = self.text.is_empty() || self.text.ends_with(['\n', '\t']);
        if self.breaks > 0 {
            self.text.truncate(self.text.trim_end_matches([' ', '\n']).len());
            if !self.text.is_empty() {
                (0..self.breaks).for_each(|_| self.text.push('\n'));
            }
        } else if self.space && !begins {
            self.text.push(' ');
        }
        (self.breaks, self.space) = (0, false);
        if let Some(mark) = self.mark.take() {
            self.text.push_str(&mark);
        }
    }

    fn finish_link(&mut self, base: Option<&Url>) -> Result<()> {
        let Some((start, url)) = self.link.take() else { return Ok(()) };
        let url = url.trim();
        let leads = !url.is_empty() && !url.starts_with('#');
        let url = match base {
            _ if !leads => None,
            Some(base) => base.join(url).ok().map(String::from),
            None => Some(url.to_owned()),
        };
        let runs = |url: &String| {
            let scheme = url.split(':').next().unwrap_or_default();
            ["javascript", "data", "vbscript"].iter().any(|wrong| scheme.eq_ignore_ascii_case(wrong))
        };
        let Some(url) = url.filter(|url| !runs(url)) else { return Ok(()) };
        let text = self.text.get(start..).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        self.taken += text.len() + url.len() + size_of::<PageLink>();
        if self.taken > LARGEST_LINKS {
            let error = Error::failed(format!("the links take more than {} MiB", LARGEST_LINKS >> 20)).permanent();
            return Err(error.with_hint("leave out `links`, or take a part of the page"));
        }
        self.links.push(PageLink { text, url });
        Ok(())
    }
}
