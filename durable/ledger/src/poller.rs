//! Endpoints that are polled. They match messages as others do, and nothing is handed out: what one has is derived from
//! `owed`, so it costs no row beside its messages, and the log itself is the queue.

use postern_domain::digest;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Call;
use postern_domain::wire::follow::Wanted;
use postern_domain::wire::poll::{Poll, Polled, PollerKey};
use postern_domain::wire::{EndpointConfig, EndpointKind, HeaderNames, POLLED_URL};

use crate::Ledger;
use crate::endpoint::Endpoint;
use crate::follow::Reading;
use crate::memory::Memory;
use crate::page::invalid_iterator;
use crate::sql::Sql;

impl Endpoint {
    /// Whether it is polled: it has no deliveries, whatever it is owed.
    pub(crate) fn is_polled(&self) -> bool {
        self.config.kind == EndpointKind::Polling
    }
}

impl Memory {
    /// The same of a number. What nobody knows is not polled.
    pub(crate) fn is_polled(&self, endpoint: u32) -> bool {
        self.endpoints.get(&endpoint).is_some_and(Endpoint::is_polled)
    }
}

/// Who asks for a page: the poller itself, or one of its consumers, whose iterators hold until it is put somewhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) sink: u32,
    /// Its name, and how often it was put somewhere else.
    pub(crate) consumer: Option<(&'a str, u64)>,
}

/// What an iterator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// All up to this message was given.
    pub(crate) sequence: u64,
    /// Of a consumer: how often it had been put somewhere else.
    pub(crate) seeks: u64,
}

impl<S: Sql> Ledger<S> {
    /// What the endpoint has behind the iterator; the caller keeps account of where it stands.
    pub(crate) fn poll(&mut self, call: &Poll) -> Result<(Polled, Vec<Vec<u8>>), Problem> {
        let reader = Reader {
            sink: self.sink(&call.sink)?,
            consumer: None,
        };
        let behind = match &call.iterator {
            Some(iterator) => Some(self.position(reader, iterator)?.sequence),
            None => None,
        };
        let list = |word: &Option<String>| word.clone().map(|word| vec![word]);
        let wanted = Wanted {
            event_types: list(&call.event_type),
            channels: list(&call.channel),
        };
        self.give(reader, behind, &wanted, call.after, call.limit)
    }

    /// A page for a reader that stands behind a message, or at the endpoint's beginning.
    pub(crate) fn give(
        &mut self,
        reader: Reader<'_>,
        behind: Option<u64>,
        wanted: &Wanted,
        after: Option<Millis>,
        limit: u16,
    ) -> Result<(Polled, Vec<Vec<u8>>), Problem> {
        let beginning = self.beginning(reader.sink)?;
        let (page, bodies) = self.read_on(&Reading {
            behind: behind.unwrap_or(beginning),
            from_start: behind.is_none(),
            after,
            sink: Some(reader.sink),
            wanted,
            limit,
        })?;
        let polled = Polled {
            iterator: self.iterator(reader, page.through)?,
            page,
        };
        Ok((polled, bodies))
    }

    /// The number of an endpoint that is polled.
    pub(crate) fn sink(&mut self, text: &str) -> Result<u32, Problem> {
        let number = self.endpoint_number(text)?;
        if self.memory()?.is_polled(number) {
            Ok(number)
        } else {
            Err(Problem::new(
                Code::NotFound,
                "This endpoint is sent to and cannot be polled; make one of type polling",
            ))
        }
    }

    /// The last message before the endpoint was made. Turning it off does not move it: it ends what comes, and takes
    /// nothing away.
    pub(crate) fn beginning(&mut self, sink: u32) -> Result<u64, Problem> {
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&sink).ok_or_else(Problem::not_found)?;
        Ok(endpoint.cancelled_through)
    }

    /// Where the next poll of this reader begins: `po_`, the message's number, how often a consumer was moved, and a tag
    /// that binds it to its endpoint and its consumer. No secret: it keeps mistakes out, and says nothing.
    pub(crate) fn iterator(&mut self, reader: Reader<'_>, sequence: u64) -> Result<String, Problem> {
        let tag = self.tag(reader)?;
        let seeks = reader.consumer.map_or(0, |(_, seeks)| seeks);
        Ok(format!("po_{sequence:x}_{seeks:x}_{tag}"))
    }

    /// Reads one back. Another reader's is refused; of what it says about the consumer the caller judges.
    pub(crate) fn position(&mut self, reader: Reader<'_>, text: &str) -> Result<Position, Problem> {
        let tag = self.tag(reader)?;
        let last = self.memory()?.last_sequence;
        let mut parts = text.strip_prefix("po_").unwrap_or_default().split('_');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let position = number().zip(number());
        let position = position.filter(|_| parts.next() == Some(tag.as_str()) && parts.next().is_none());
        position
            .map(|(sequence, seeks)| Position { sequence, seeks })
            .filter(|position| position.sequence <= last)
            .ok_or_else(invalid_iterator)
    }

    fn tag(&mut self, reader: Reader<'_>) -> Result<String, Problem> {
        let memory = self.memory()?;
        let endpoint = memory
            .endpoints
            .get(&reader.sink)
            .ok_or_else(Problem::not_found)?;
        let (kind, name): (&[u8], &str) = match reader.consumer {
            None => (b"poll", ""),
            Some((name, _)) => (b"consumer", name),
        };
        let parts = [endpoint.random.as_slice(), kind, name.as_bytes()];
        Ok(digest::of_parts(&parts).chars().take(8).collect())
    }

    /// What comes with a poller's token may read that poller, and nothing else. Another token, an ended one, a deleted
    /// endpoint: all the same 401; another endpoint is 404.
    pub(crate) fn authorise_poller(
        &mut self,
        key: PollerKey,
        call: &Call,
        now: Millis,
    ) -> Result<(), Problem> {
        let refused = || {
            Problem::new(
                Code::AuthenticationFailed,
                "This poller's token is not valid any more",
            )
        };
        let memory = self.memory()?;
        let lives = memory
            .endpoints
            .get(&key.endpoint)
            .is_some_and(|endpoint| endpoint.deleted_at.is_none() && endpoint.is_polled());
        if !lives || memory.organisation != key.organisation || !self.holds_token(key, now)? {
            return Err(refused());
        }
        let sink = match call {
            Call::Poll(call) => &call.sink,
            Call::ConsumerPoll(call) => &call.sink,
            Call::ConsumerSeek(call) => &call.sink,
            Call::Watch(call) => call.sink.as_ref().ok_or_else(Problem::not_found)?,
            _ => return Err(Problem::not_found()),
        };
        if self.endpoint_number(sink)? == key.endpoint {
            Ok(())
        } else {
            Err(Problem::not_found())
        }
    }
}

/// Whether a configuration fits its kind, and the kind the one that the endpoint has.
pub(crate) fn check_kind(config: &EndpointConfig, has: Option<EndpointKind>) -> Result<(), Problem> {
    if has.is_some_and(|has| has != config.kind) {
        let sentence = "an endpoint stays what it was made as; make another one";
        return Err(Problem::fault(&["body", "type"], sentence));
    }
    if config.kind == EndpointKind::Webhook {
        return Ok(());
    }
    let set = [
        ("url", config.url != POLLED_URL),
        ("headers", !config.headers.is_empty()),
        ("throttleRate", config.throttle_rate.is_some()),
        ("retrySchedule", config.retry_schedule.is_some()),
        ("headerNames", config.header_names != HeaderNames::default()),
        ("connectionId", config.connection_id.is_some()),
    ];
    match set.into_iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(Problem::fault(
            &["body", name],
            "has no meaning here: nothing is sent to an endpoint that is polled",
        )),
        None => Ok(()),
    }
}
