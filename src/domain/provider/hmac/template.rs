//! What the signature of the `hmac` preset covers.

use std::fmt;

use crate::provider::settings::is_header_name;

const MAX_TEMPLATE: usize = 512;

const PLACEHOLDERS: &str = "{body}, {timestamp}, {id}, {method}, {url} and {header:Name}";

/// Texts and placeholders in order; the body once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Template(Vec<Part>);

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Body,
    Timestamp,
    Id,
    Method,
    Url,
    Header(String),
}

impl Template {
    /// Every brace belongs to a placeholder, so that a misspelt one is never signed as text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE {
            return Err(format!("is longer than {MAX_TEMPLATE} characters"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or("has a { that is not closed: braces belong to placeholders")?;
            push_text(&mut parts, before)?;
            parts.push(Part::parse(name)?);
            rest = after;
        }
        push_text(&mut parts, rest)?;
        match parts.iter().filter(|part| **part == Part::Body).count() {
            1 => Ok(Self(parts)),
            0 => {
                Err("must contain {body}: otherwise the signature says nothing about the message".to_owned())
            }
            _ => Err("must contain {body} once".to_owned()),
        }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl Part {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "body" => Self::Body,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "method" => Self::Method,
            "url" => Self::Url,
            _ => match name.strip_prefix("header:") {
                Some(header) if is_header_name(header) => Self::Header(header.to_owned()),
                _ => {
                    return Err(format!(
                        "has a placeholder that is none; there are {PLACEHOLDERS}"
                    ));
                }
            },
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Body => f.write_str("{body}"),
            Part::Timestamp => f.write_str("{timestamp}"),
            Part::Id => f.write_str("{id}"),
            Part::Method => f.write_str("{method}"),
            Part::Url => f.write_str("{url}"),
            Part::Header(name) => write!(f, "{{header:{name}}}"),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err("has a } that closes nothing: braces belong to placeholders".to_owned());
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_template_is_written_as_it_was_read(text in "([a-z.:\n]|\\{(body|id|url|method|timestamp|header:X-A)\\}){0,8}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}a-z:é]*|.*") {
            let _ = Template::parse(&text);
        }
    }

    #[test]
    fn placeholders_and_texts_stand_in_order() {
        let template = Template::parse("v0:{timestamp}:{header:X-Topic}{body}").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            template.parts(),
            [
                text("v0:"),
                Part::Timestamp,
                text(":"),
                Part::Header("X-Topic".to_owned()),
                Part::Body
            ]
        );
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused() {
        for text in [
            "",
            "{timestamp}",
            "{body}{body}",
            "{Body}",
            "{body}{",
            "{body}}",
            "}{body}",
            "{bo{dy}{body}",
            "{header:}{body}",
            "{header:a b}{body}",
            "{time}{body}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse(&format!("{{body}}{}", "a".repeat(512))).is_err());
    }
}
