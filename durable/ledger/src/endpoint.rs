//! Endpoints: URLs of the tenant's that want messages.

use std::collections::BTreeMap;

use postern_domain::event_type;
use postern_domain::id::{EndpointId, Uid};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal;
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    EndpointChange, EndpointCreate, EndpointDelete, EndpointGet, EndpointList, EndpointPatch, EndpointUpdate,
    Page, Upserted,
};
use postern_domain::wire::lane::SealedPart;
use postern_domain::wire::signing::SigningChange;
use postern_domain::wire::{DisabledReason, EndpointConfig, EndpointView, OrderedSpan};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gate::Health;
use crate::idempotency::Noun;
use crate::memory::Memory;
use crate::operational::{self, Operational, Which};
use crate::page::{self, Turn};
use crate::reseal::Slot;
use crate::signing::{Legacy, Signing};
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

/// Endpoints of one tenant at the most: an accept looks at each.
const MOST: usize = 1000;

/// An endpoint as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) number: u32,
    pub(crate) random: [u8; 7],
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) deleted_at: Option<Millis>,
    pub(crate) generation: u64,
    pub(crate) cancelled_through: u64,
    pub(crate) config: EndpointConfig,
    pub(crate) signing: Signing,
    pub(crate) headers: Option<SealedPart>,
}

impl Endpoint {
    /// The same, disabled by us. What is owed is cancelled, as when its owner does it.
    pub(crate) fn disabled_for(&self, reason: DisabledReason, last: u64, now: Millis) -> Self {
        let mut endpoint = self.clone();
        endpoint.config.disabled = true;
        endpoint.config.disabled_reason = Some(reason);
        endpoint.generation += 1;
        endpoint.cancelled_through = last;
        endpoint.updated_at = now;
        endpoint
    }

    /// Stores it. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let mut values = row_of(self)?;
        values.rotate_left(1);
        let statement = "UPDATE endpoint SET random = ?, created_at = ?, updated_at = ?, deleted_at = ?, generation = ?, \
                         cancelled_through = ?, config = ?, keys = ?, headers = ?, asymmetric = ?, legacy = ? \
                         WHERE number = ?";
        sql.run(statement, &values)?;
        Ok(())
    }

    /// All that is sealed of it.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = Slot<'_>> {
        let headers = self.headers.iter_mut();
        let headers = headers.map(|part| Slot::new("headers", part.generation, &mut part.sealed));
        self.signing.slots().chain(headers)
    }

    /// Whether anything is sent to it.
    pub(crate) fn is_on(&self) -> bool {
        self.takes_messages() && !self.is_polled()
    }

    /// Whether new messages are matched with it.
    pub(crate) const fn takes_messages(&self) -> bool {
        self.deleted_at.is_none() && !self.config.disabled
    }

    /// Whether its filters let a message through.
    pub(crate) fn matches(&self, event_type: &str, channels: Option<&[String]>) -> bool {
        event_type::wants(self.config.event_types.as_deref(), event_type)
            && event_type::hears(self.config.channels.as_deref(), channels)
    }
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_endpoints(&self) -> Result<BTreeMap<u32, Endpoint>, Problem> {
        let statement = "SELECT number, random, created_at, updated_at, deleted_at, generation, cancelled_through, \
                         config, keys, headers, asymmetric, legacy FROM endpoint";
        let mut endpoints = BTreeMap::new();
        for row in self.sql.rows(statement, &[])? {
            let endpoint = Endpoint {
                number: row.small(0)?,
                random: row
                    .blob(1)?
                    .try_into()
                    .map_err(|_| Problem::internal("an endpoint's random part"))?,
                created_at: row.time(2)?,
                updated_at: row.time(3)?,
                deleted_at: row.maybe(4, Row::time)?,
                generation: row.number(5)?,
                cancelled_through: row.number(6)?,
                config: json::read(&row.text(7)?).map_err(Problem::internal)?,
                signing: Signing {
                    keys: json::read(&row.text(8)?).map_err(Problem::internal)?,
                    asymmetric: from_json(row.maybe(10, Row::text)?)?.unwrap_or_default(),
                    legacy: from_json(row.maybe(11, Row::text)?)?,
                },
                headers: from_json(row.maybe(9, Row::text)?)?,
            };
            endpoints.insert(endpoint.number, endpoint);
        }
        Ok(endpoints)
    }

    pub(crate) fn endpoint_create(
        &mut self,
        call: &EndpointCreate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<EndpointView, Problem> {
        if let Some(number) = self.replay(call.idempotency.as_ref(), Noun::Endpoint, now)? {
            return self.endpoint_view(u32::try_from(number).map_err(Problem::internal)?);
        }
        let memory = self.memory()?;
        if memory
            .endpoints
            .values()
            .filter(|endpoint| endpoint.deleted_at.is_none())
            .count()
            >= MOST
        {
            return Err(Problem::new(
                Code::Conflict,
                format!("An application has {MOST} endpoints at the most"),
            ));
        }
        self.uid_is_free(call.config.uid.as_ref(), None)?;
        crate::poller::check_kind(&call.config, None)?;
        let number: u32 = self
            .next_config_number("endpoint_number")?
            .try_into()
            .map_err(Problem::internal)?;
        let signing = self.first_signing(number, call.secret.as_deref(), &call.signing, now, random)?;
        let mut config = call.config.clone();
        let headers = std::mem::take(&mut config.headers);
        let generation = 1;
        let headers = self.seal_headers(number, generation, &headers, random)?;
        let memory = self.memory()?;
        config.disabled_reason = None;
        config.ordered = config.ordering.as_ref().map(|ordering| OrderedSpan {
            from: memory.last_sequence + 1,
            to: None,
            key: ordering.key.clone(),
        });
        let endpoint = Endpoint {
            number,
            random: bytes(random),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            generation,
            cancelled_through: memory.last_sequence,
            config,
            signing,
            headers,
        };
        let row = row_of(&endpoint)?;
        let token = if endpoint.is_polled() {
            Some(self.new_poller_token(number, 1, now, random)?)
        } else {
            None
        };
        let armed = self.sql.atomic(|sql| {
            let statement = "INSERT INTO endpoint (number, random, created_at, updated_at, deleted_at, generation, \
                             cancelled_through, config, keys, headers, asymmetric, legacy) \
                             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            sql.run(statement, &row)?;
            store_number(sql, "endpoint_number", number.into())?;
            token.iter().try_for_each(|token| token.insert(sql))?;
            crate::idempotency::keep(sql, call.idempotency.as_ref(), Noun::Endpoint, number.into(), now)?;
            self.tell_all(sql, &[Operational::EndpointCreated(Which::of(&endpoint))], now)
        });
        self.armed = armed?;
        self.memory()?.endpoints.insert(number, endpoint);
        self.endpoint_view(number)
    }

    pub(crate) fn endpoint_get(&mut self, call: &EndpointGet) -> Result<EndpointView, Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        self.endpoint_view(number)
    }

    pub(crate) fn endpoint_list(&mut self, call: &EndpointList) -> Result<Page<EndpointView>, Problem> {
        let turn = Turn::parse::<EndpointId>(&call.page, |id| id.0.sequence)?;
        let memory = self.memory()?;
        let numbers: Vec<u64> = memory
            .endpoints
            .values()
            .filter(|endpoint| endpoint.deleted_at.is_none())
            .map(|endpoint| endpoint.number.into())
            .collect();
        let (numbers, done) = turn.cut(&numbers, call.page.ascending);
        let mut data = Vec::new();
        for number in numbers {
            data.push(self.endpoint_view(u32::try_from(number).map_err(Problem::internal)?)?);
        }
        Ok(page::of(data, done, |view| view.id.to_string()))
    }

    pub(crate) fn endpoint_update(
        &mut self,
        call: &EndpointUpdate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Upserted<EndpointView>, Problem> {
        match self.endpoint_number(&call.endpoint) {
            Ok(number) => {
                let mut config = call.config.clone();
                config.headers.clear();
                let value = self.change(number, &call.signing, now, random, |_| config)?;
                Ok(Upserted {
                    value,
                    created: false,
                })
            }
            // An id is given by us alone: what is not there is not made under it.
            Err(problem) => {
                let uid: Uid = call.endpoint.parse().map_err(|_| problem)?;
                let mut config = call.config.clone();
                config.uid.get_or_insert(uid);
                let create = EndpointCreate {
                    config,
                    secret: None,
                    signing: call.signing.clone(),
                    idempotency: None,
                };
                Ok(Upserted {
                    value: self.endpoint_create(&create, now, random)?,
                    created: true,
                })
            }
        }
    }

    pub(crate) fn endpoint_patch(
        &mut self,
        call: &EndpointPatch,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<EndpointView, Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let EndpointChange {
            url,
            description,
            uid,
            event_types,
            channels,
            filter,
            throttle_rate,
            disabled,
            metadata,
            retry_schedule,
            header_names,
            ordering,
            disable_after,
            connection_id,
            signing,
        } = call.change.clone();
        self.change(number, &signing, now, random, |config| EndpointConfig {
            url: url.unwrap_or(config.url),
            description: description.unwrap_or(config.description),
            uid: uid.unwrap_or(config.uid),
            event_types: event_types.unwrap_or(config.event_types),
            channels: channels.unwrap_or(config.channels),
            filter: filter.unwrap_or(config.filter),
            throttle_rate: throttle_rate.unwrap_or(config.throttle_rate),
            disabled: disabled.unwrap_or(config.disabled),
            metadata: metadata.unwrap_or(config.metadata),
            headers: config.headers,
            retry_schedule: retry_schedule.unwrap_or(config.retry_schedule),
            header_names: header_names.unwrap_or(config.header_names),
            ordering: ordering.unwrap_or(config.ordering),
            ordered: config.ordered,
            disable_after: disable_after.unwrap_or(config.disable_after),
            disabled_reason: config.disabled_reason,
            kind: config.kind,
            connection_id: connection_id.unwrap_or(config.connection_id),
        })
    }

    /// Deletes it: what is owed is cancelled, by derivation. A tombstone stays until its last message is gone.
    pub(crate) fn endpoint_delete(&mut self, call: &EndpointDelete, now: Millis) -> Result<(), Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let last = self.memory()?.last_sequence;
        if self.memory()?.is_polled(number) {
            self.end_poller(number)?;
        }
        self.write_endpoint(number, |endpoint| {
            endpoint.deleted_at = Some(now);
            endpoint.updated_at = now;
            endpoint.generation += 1;
            endpoint.cancelled_through = last;
            endpoint.config.uid = None;
            endpoint.signing = Signing::default();
            endpoint.headers = None;
        })
    }

    /// The number behind an id or a `uid`. A deleted endpoint is not found.
    pub(crate) fn endpoint_number(&mut self, text: &str) -> Result<u32, Problem> {
        let memory = self.memory()?;
        let id = text.parse::<EndpointId>().ok();
        let found = memory
            .endpoints
            .values()
            .filter(|endpoint| endpoint.deleted_at.is_none())
            .find(|endpoint| match id {
                Some(id) => Memory::endpoint_id(endpoint) == id,
                None => endpoint
                    .config
                    .uid
                    .as_ref()
                    .is_some_and(|uid| uid.as_str() == text),
            });
        found
            .map(|endpoint| endpoint.number)
            .ok_or_else(Problem::not_found)
    }

    /// Forgets tombstones that no message owes anything any more.
    pub(crate) fn bury_endpoints(&mut self, oldest: u64) -> Result<(), Problem> {
        let gone = |endpoint: &Endpoint| endpoint.deleted_at.is_some() && endpoint.cancelled_through < oldest;
        let numbers: Vec<u32> = self
            .memory()?
            .endpoints
            .values()
            .filter(|endpoint| gone(endpoint))
            .map(|e| e.number)
            .collect();
        for number in numbers {
            self.sql
                .run("DELETE FROM endpoint WHERE number = ?", &[number.into()])?;
            self.memory()?.endpoints.remove(&number);
        }
        Ok(())
    }

    pub(crate) fn endpoint_view(&mut self, number: u32) -> Result<EndpointView, Problem> {
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&number).ok_or_else(Problem::not_found)?;
        Ok(EndpointView {
            id: Memory::endpoint_id(endpoint),
            config: endpoint.config.clone(),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            signatures: endpoint.signing.current(),
            legacy: endpoint.signing.legacy.as_ref().map(Legacy::to_view),
        })
    }

    /// Changes a configuration. Turning it off cancels what is owed, also after it is turned on again.
    fn change(
        &mut self,
        number: u32,
        signing: &SigningChange,
        now: Millis,
        random: &mut dyn Random,
        to: impl FnOnce(EndpointConfig) -> EndpointConfig,
    ) -> Result<EndpointView, Problem> {
        let memory = self.memory()?;
        let last = memory.last_sequence;
        let before = memory
            .endpoints
            .get(&number)
            .ok_or_else(Problem::not_found)?
            .config
            .clone();
        let (was_off, kind) = (before.disabled, before.kind);
        let mut config = to(before.clone());
        crate::poller::check_kind(&config, Some(kind))?;
        config.ordered = self.span_after(number, &before, &config)?;
        // Why it was disabled stands until it is enabled.
        config.disabled_reason = before.disabled_reason.filter(|_| config.disabled && was_off);
        self.uid_is_free(config.uid.as_ref(), Some(number))?;
        let before = self.endpoint_at(number)?.signing;
        let signing = self.changed_signing(number, before, signing, now, random)?;
        if config.disabled != was_off {
            self.note_turned(number, config.disabled, now)?;
        }
        self.write_endpoint(number, |endpoint| {
            endpoint.signing = signing;
            endpoint.updated_at = now;
            endpoint.config = config;
            if endpoint.config.disabled && !was_off {
                endpoint.generation += 1;
                if !endpoint.is_polled() {
                    endpoint.cancelled_through = last;
                }
            }
        })?;
        self.endpoint_view(number)
    }

    /// Which messages keep an order after a change of it. One that is under way may end; another begins behind it.
    fn span_after(
        &mut self,
        number: u32,
        before: &EndpointConfig,
        after: &EndpointConfig,
    ) -> Result<Option<OrderedSpan>, Problem> {
        let key = |config: &EndpointConfig| config.ordering.as_ref().map(|ordering| ordering.key.clone());
        if key(before) == key(after) {
            return Ok(before.ordered.clone());
        }
        let memory = self.memory()?;
        let last = memory.last_sequence;
        match &after.ordering {
            None => Ok(before.ordered.clone().map(|span| OrderedSpan {
                to: Some(last),
                ..span
            })),
            Some(ordering) => {
                memory.may_reorder(number)?;
                Ok(Some(OrderedSpan {
                    from: last + 1,
                    to: None,
                    key: ordering.key.clone(),
                }))
            }
        }
    }

    /// Writes a changed endpoint, and what is to be told of it.
    pub(crate) fn write_endpoint(
        &mut self,
        number: u32,
        change: impl FnOnce(&mut Endpoint),
    ) -> Result<(), Problem> {
        self.write_endpoint_and(number, change, |_| Ok(()))
    }

    /// Writes an endpoint, and something beside it: both or neither.
    pub(crate) fn write_endpoint_and(
        &mut self,
        number: u32,
        change: impl FnOnce(&mut Endpoint),
        beside: impl FnOnce(&S) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let memory = self.memory()?;
        let before = memory.endpoints.get(&number).ok_or_else(Problem::not_found)?;
        let mut endpoint = before.clone();
        change(&mut endpoint);
        let raised = endpoint.cancelled_through > before.cancelled_through;
        let events = operational::of_change(before, &endpoint);
        let now = self.clock;
        let memory = self.memory()?;
        // Whoever changes an endpoint may have mended it: what held it back is looked at anew.
        let held = memory.health.contains_key(&number);
        let waits = memory.rouse(number, now);
        let wake = (waits || held).then(|| now.plus(1));
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let all = endpoint.cancelled_through >= memory.last_sequence;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let before_all = oldest.saturating_sub(1);
        let armed = self.sql.atomic(|sql| {
            if raised && all {
                crate::stat::cancel(sql, number)?;
            } else if raised {
                crate::stat::recount(sql, before_all)?;
            }
            endpoint.write(sql)?;
            beside(sql)?;
            if held {
                Health::delete(sql, number)?;
            }
            for event in &events {
                memory.tell(sql, event, now)?;
            }
            let wake = wake.into_iter().chain(memory.outbox.wake(now)).min();
            wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
        })?;
        self.armed = armed;
        let memory = self.memory()?;
        memory.buckets.remove(&number);
        memory.health.remove(&number);
        memory.samples.remove(&number);
        let off = !endpoint.is_on();
        memory.endpoints.insert(number, endpoint);
        if raised && !all {
            memory.counted = before_all;
        }
        if off && !self.settings.rules.disable_frees_nothing {
            self.free(number)?;
        }
        Ok(())
    }

    /// What must not be done to an endpoint that is off: its slots are forgotten and its lines dropped, whatever is out.
    fn free(&mut self, number: u32) -> Result<(), Problem> {
        self.sql
            .run("DELETE FROM backlog WHERE endpoint = ?", &[number.into()])?;
        let memory = self.memory()?;
        memory.flights.remove(&number);
        memory.lines.retain(|(endpoint, _), _| *endpoint != number);
        Ok(())
    }

    fn uid_is_free(&mut self, uid: Option<&Uid>, own: Option<u32>) -> Result<(), Problem> {
        let Some(uid) = uid else { return Ok(()) };
        let taken = self.memory()?.endpoints.values().any(|endpoint| {
            endpoint.deleted_at.is_none()
                && Some(endpoint.number) != own
                && endpoint.config.uid.as_ref() == Some(uid)
        });
        if taken {
            Err(Problem::new(
                Code::Conflict,
                "An endpoint with this uid exists already",
            ))
        } else {
            Ok(())
        }
    }

    /// The next number of a kind of configuration: never one that was used before.
    pub(crate) fn next_config_number(&self, name: &str) -> Result<u64, Problem> {
        let row = self
            .sql
            .row("SELECT value FROM meta WHERE name = ?", &[name.into()])?;
        Ok(row.map_or(Ok(0), |row| row.number(0))? + 1)
    }
}

/// Keeps the highest number of a kind. Part of the caller's transaction.
pub(crate) fn store_number<S: Sql>(sql: &S, name: &str, number: u64) -> Result<(), Problem> {
    let statement = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value";
    sql.run(statement, &[name.into(), number.into()])?;
    Ok(())
}

/// Random bytes as an array.
pub(crate) fn bytes<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// A sealed value that does not open: a master key that this deployment does not have heals by itself, a broken one
/// does not. Neither is ever overwritten.
pub(crate) fn unsealable(error: seal::OpenError) -> Problem {
    match error {
        seal::OpenError::UnknownKey => Problem::new(
            Code::SealingUnavailable,
            "A master key that this value was sealed under is missing in this deployment",
        ),
        seal::OpenError::Broken => Problem::internal("a sealed value does not open"),
    }
}

/// All columns, the number first.
fn row_of(endpoint: &Endpoint) -> Result<Vec<Value>, Problem> {
    let json = |value: Result<String, serde_json::Error>| value.map(Value::from).map_err(Problem::internal);
    Ok(vec![
        endpoint.number.into(),
        Value::Blob(endpoint.random.to_vec()),
        endpoint.created_at.into(),
        endpoint.updated_at.into(),
        endpoint.deleted_at.into(),
        endpoint.generation.into(),
        endpoint.cancelled_through.into(),
        json(serde_json::to_string(&endpoint.config))?,
        json(serde_json::to_string(&endpoint.signing.keys))?,
        maybe_json(endpoint.headers.as_ref())?,
        maybe_json(Some(&endpoint.signing.asymmetric).filter(|keys| !keys.is_empty()))?,
        maybe_json(endpoint.signing.legacy.as_ref())?,
    ])
}

fn maybe_json<T: Serialize>(value: Option<&T>) -> Result<Value, Problem> {
    let text = value.map(serde_json::to_string).transpose();
    text.map(Value::from).map_err(Problem::internal)
}

fn from_json<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, Problem> {
    text.map(|text| json::read(&text))
        .transpose()
        .map_err(Problem::internal)
}
