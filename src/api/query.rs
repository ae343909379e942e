//! Reads the query, and collects everything that is wrong with it.

use postern_domain::event_type;
use postern_domain::id::MessageId;
use postern_domain::problem::{Fault, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{AttemptFilter, MessageFilter, PageOf};
use postern_domain::wire::reads::DeliveryFilter;
use postern_domain::wire::{AttemptStatus, DeliveryStatus};
use url::Url;

use super::field;

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

    /// A time.
    pub(crate) fn time(&mut self, name: &str) -> Option<Millis> {
        let msg = "must be a time of RFC 3339, such as 2026-08-01T12:00:00Z";
        self.read(name, msg, Millis::from_rfc3339)
    }

    /// A time that must be there; any other if it is not, as nothing is done then.
    pub(crate) fn required_time(&mut self, name: &str) -> Millis {
        if self.text(name).is_none() {
            self.say(name, "is missing");
        }
        self.time(name).unwrap_or_default()
    }

    /// `before`, `after`, `channel`, `event_types`, `tag`.
    pub(crate) fn messages(&mut self) -> MessageFilter {
        MessageFilter {
            before: self.time("before"),
            after: self.time("after"),
            channel: self.read("channel", "must be 1 to 128 of A-Z a-z 0-9 - _ .", |text| {
                event_type::check_channel(text).ok().map(|()| text.to_owned())
            }),
            event_types: self.event_types(),
            tag: self.read("tag", "must be 1 to 128 of A-Z a-z 0-9 - _ . / \\ #", |text| {
                field::check_tag(text).ok().map(|()| text.to_owned())
            }),
        }
    }

    /// All that a list of deliveries can be narrowed by.
    pub(crate) fn deliveries(&mut self) -> DeliveryFilter {
        DeliveryFilter {
            message: self.messages(),
            status: self.status(),
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
        // An attempt has ended: it succeeded or failed.
        match self.status() {
            Some(DeliveryStatus::Delivered) => filter.status = Some(AttemptStatus::Success),
            Some(DeliveryStatus::Failed) => filter.status = Some(AttemptStatus::Failure),
            other => filter.delivery = other,
        }
        filter
    }

    /// `limit` alone: of what has iterators of its own.
    pub(crate) fn limit(&mut self) -> u16 {
        let limit = self.read("limit", "must be a whole number from 1 to 250", |text| {
            text.parse().ok().filter(|limit| (1..=250).contains(limit))
        });
        limit.unwrap_or(50)
    }

    /// `iterator`, which whoever gave it judges.
    pub(crate) fn iterator(&self) -> Option<String> {
        self.text("iterator")
    }

    /// `wait`: seconds that a poll waits for something to come, as milliseconds.
    pub(crate) fn wait(&mut self) -> u64 {
        let seconds = self.read("wait", "must be a whole number of seconds from 0 to 25", |text| {
            text.parse::<u64>().ok().filter(|seconds| *seconds <= 25)
        });
        seconds.unwrap_or(0) * Millis::SECOND
    }

    /// The name of one event type.
    pub(crate) fn event_type(&mut self, name: &str) -> Option<String> {
        self.checked(name, event_type::check_name)
    }

    /// One channel.
    pub(crate) fn channel(&mut self, name: &str) -> Option<String> {
        self.checked(name, event_type::check_channel)
    }

    /// The id of a message.
    pub(crate) fn message(&mut self, name: &str) -> Option<MessageId> {
        self.read(name, "must be the id of a message", |text| text.parse().ok())
    }

    /// Names and patterns of event types, repeated or with commas.
    pub(crate) fn patterns(&mut self, name: &str) -> Option<Vec<String>> {
        self.list(name, event_type::check_pattern)
    }

    /// Channels, repeated or with commas.
    pub(crate) fn channels(&mut self, name: &str) -> Option<Vec<String>> {
        self.list(name, event_type::check_channel)
    }

    /// Svix's numbers: 0 success, 1 pending, 2 fail, 3 sending.
    fn status(&mut self) -> Option<DeliveryStatus> {
        self.read("status", "must be 0, 1, 2 or 3", |text| match text {
            "0" => Some(DeliveryStatus::Delivered),
            "1" => Some(DeliveryStatus::Pending),
            "2" => Some(DeliveryStatus::Failed),
            "3" => Some(DeliveryStatus::Waiting),
            _ => None,
        })
    }

    /// A truth.
    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        let flag = self.read(name, "must be true or false", |text| text.parse().ok());
        flag.unwrap_or(default)
    }

    /// A truth, if it is asked for.
    pub(crate) fn maybe_flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "must be true or false", |text| text.parse().ok())
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
        self.list("event_types", event_type::check_name)
    }

    fn list(&mut self, name: &str, check: fn(&str) -> Result<(), &'static str>) -> Option<Vec<String>> {
        let words: Vec<String> = self
            .pairs
            .iter()
            .filter(|(key, _)| key.strip_suffix("[]").unwrap_or(key) == name)
            .flat_map(|(_, value)| value.split(','))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(msg) = words.iter().find_map(|word| check(word).err()) {
            self.say(name, msg);
        }
        (!words.is_empty()).then_some(words)
    }

    fn checked(&mut self, name: &str, check: fn(&str) -> Result<(), &'static str>) -> Option<String> {
        let word = self.text(name)?;
        if let Err(msg) = check(&word) {
            self.say(name, msg);
        }
        Some(word)
    }

    /// A text, as it is.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
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
