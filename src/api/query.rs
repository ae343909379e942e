//! Reads the query, and collects everything that is wrong with it.

use postern_domain::event_type;
use postern_domain::problem::{Fault, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{AttemptFilter, MessageFilter, PageOf};
use postern_domain::wire::{AttemptStatus, DeliveryStatus};
use url::Url;

/// The query of a request, while it is read.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Query {
    /// Of this URL.
    pub(crate) fn new(url: &Url) -> Self {
        Self {
            pairs: url
                .query_pairs()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            faults: Vec::new(),
        }
    }

    /// `limit`, `iterator`, `order`.
    pub(crate) fn page(&mut self) -> PageOf {
        let limit = self.read("limit", "must be a whole number from 1 to 250", |text| {
            text.parse().ok().filter(|limit| (1..=250).contains(limit))
        });
        let order = self.read("order", "must be ascending or descending", |text| match text {
            "ascending" => Some(true),
            "descending" => Some(false),
            _ => None,
        });
        PageOf {
            limit: limit.unwrap_or(50),
            iterator: self.text("iterator"),
            ascending: order.unwrap_or(true),
        }
    }

    /// `before`, `after`, `channel`, `event_types`.
    pub(crate) fn messages(&mut self) -> MessageFilter {
        let time = "must be a time of RFC 3339, such as 2026-08-01T12:00:00Z";
        MessageFilter {
            before: self.read("before", time, Millis::from_rfc3339),
            after: self.read("after", time, Millis::from_rfc3339),
            channel: self.read("channel", "must be 1 to 128 of A-Z a-z 0-9 - _ .", |text| {
                event_type::check_channel(text).ok().map(|()| text.to_owned())
            }),
            event_types: self.event_types(),
        }
    }

    /// All that a list of attempts can be narrowed by.
    pub(crate) fn attempts(&mut self) -> AttemptFilter {
        let mut filter = AttemptFilter {
            message: self.messages(),
            endpoint: self.text("endpoint_id"),
            status_code_class: self.read(
                "status_code_class",
                "must be 0, 100, 200, 300, 400 or 500",
                |text| {
                    text.parse()
                        .ok()
                        .filter(|class| *class <= 500 && class % 100 == 0)
                },
            ),
            ..AttemptFilter::default()
        };
        // Numbers of Svix: 0 success, 1 pending, 2 fail, 3 sending. An attempt is 0 or 2.
        match self.read("status", "must be 0, 1, 2 or 3", |text| {
            text.parse::<u8>().ok().filter(|n| *n <= 3)
        }) {
            Some(0) => filter.status = Some(AttemptStatus::Success),
            Some(1) => filter.delivery = Some(DeliveryStatus::Pending),
            Some(2) => filter.status = Some(AttemptStatus::Failure),
            Some(_) => filter.delivery = Some(DeliveryStatus::Waiting),
            None => {}
        }
        filter
    }

    /// A truth.
    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        let flag = self.read(name, "must be true or false", |text| text.parse().ok());
        flag.unwrap_or(default)
    }

    /// Everything holds, or all that does not.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Problem::validation(self.faults))
        }
    }

    /// `event_types`, repeated or with commas, as different clients write a list.
    fn event_types(&mut self) -> Option<Vec<String>> {
        let names: Vec<String> = self
            .pairs
            .iter()
            .filter(|(name, _)| matches!(name.as_str(), "event_types" | "event_types[]"))
            .flat_map(|(_, value)| value.split(','))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(msg) = names.iter().find_map(|name| event_type::check_name(name).err()) {
            self.say("event_types", msg);
        }
        (!names.is_empty()).then_some(names)
    }

    fn text(&self, name: &str) -> Option<String> {
        let pair = self
            .pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        pair.map(|(_, value)| value.clone())
    }

    /// A parameter of a form of its own; `msg` says what would be right.
    pub(crate) fn read<T>(&mut self, name: &str, msg: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.say(name, msg);
        }
        value
    }

    fn say(&mut self, name: &str, msg: &str) {
        self.faults.push(Fault {
            loc: vec!["query".to_owned(), name.to_owned()],
            msg: msg.to_owned(),
            kind: "value_error".to_owned(),
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(&Url::parse(&format!("https://postern.example/?{text}")).unwrap())
    }

    #[test]
    fn a_limit_is_1_to_250_and_50_if_nobody_says() {
        assert_eq!(query("").page().limit, 50);
        assert_eq!(query("limit=250").page().limit, 250);
        for text in ["limit=0", "limit=251", "limit=-1", "limit=x", "order=up"] {
            let mut query = query(text);
            let _ = query.page();
            assert!(query.finish().is_err(), "{text}");
        }
    }

    #[test]
    fn event_types_come_repeated_or_with_commas() {
        for text in [
            "event_types=a,b",
            "event_types=a&event_types=b",
            "event_types%5B%5D=a&event_types%5B%5D=b",
        ] {
            assert_eq!(query(text).messages().event_types.unwrap(), ["a", "b"], "{text}");
        }
    }
}
