//! A tenant, written out page by page: endpoints, sources, then message after message, oldest first, each with where it
//! stands and what was tried.
//!
//! Every page is a call of its own and finds its place by key: nothing is held open, and an export can be taken up again
//! at any place that a page named. It goes up to the newest message of its first page; a message that retention drops in
//! the middle is passed over.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::seal::{self, Place};
use postern_domain::signature::SigningKey;
use postern_domain::wire::moving::{
    ExportFrom, ExportPage, Exported, ExportedDelivery, ExportedEndpoint, ExportedMessage, ExportedPage,
    ExportedRow, ExportedSecret, ExportedSource,
};
use postern_domain::wire::{DeliveryStatus, EndpointView, MessageView, SourceView};

use crate::Ledger;
use crate::delivery::{self, DeliveryRow, State};
use crate::endpoint::{Endpoint, unsealable};
use crate::memory::Memory;
use crate::messages::{VIEW, read_view};
use crate::page::MOST_BYTES;
use crate::source::Source;
use crate::sql::{Row, Sql};
use crate::sweep::owed_to;

/// Rows that a page looks at, at the most: deliveries without a record are looked for too.
const MOST_ROWS: usize = 1000;

/// What a row weighs beside its body.
const ROW_BYTES: usize = 512;

/// A page while it is filled.
struct Filling {
    rows: Vec<ExportedRow>,
    bodies: Vec<Vec<u8>>,
    looked: usize,
    bytes: usize,
}

impl Filling {
    fn is_full(&self) -> bool {
        self.looked >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    fn push(&mut self, row: Exported, behind: Option<ExportFrom>, body: Option<Vec<u8>>) {
        self.bytes += ROW_BYTES + body.as_ref().map_or(0, Vec::len);
        self.rows.push(ExportedRow { row, behind });
        self.bodies.extend(body);
    }
}

impl<S: Sql> Ledger<S> {
    /// A page of everything.
    pub(crate) fn export_page(&mut self, call: &ExportPage) -> Result<(ExportedPage, Vec<Vec<u8>>), Problem> {
        let last = self.memory()?.last_sequence;
        let through = call.through.unwrap_or(last).min(last);
        let mut page = Filling {
            rows: Vec::new(),
            bodies: Vec::new(),
            looked: 0,
            bytes: 0,
        };
        let mut next = Some(call.from);
        while let Some(from) = next.filter(|_| !page.is_full()) {
            next = match from {
                ExportFrom::Endpoint(number) => {
                    Some(self.export_endpoint(&mut page, number, call.secrets)?)
                }
                ExportFrom::Source(number) => Some(self.export_source(&mut page, number, call.secrets)?),
                ExportFrom::Message(sequence) => self.export_message(&mut page, sequence, through)?,
                ExportFrom::Delivery { sequence, endpoint } => {
                    Some(self.export_deliveries(&mut page, sequence, endpoint)?)
                }
            };
        }
        let told = ExportedPage {
            rows: page.rows,
            through,
            next,
        };
        Ok((told, page.bodies))
    }

    fn export_endpoint(
        &mut self,
        page: &mut Filling,
        behind: u32,
        secrets: bool,
    ) -> Result<ExportFrom, Problem> {
        let mut endpoints = self.memory()?.endpoints.range(behind.saturating_add(1)..);
        let Some((number, endpoint)) = endpoints.next().map(|(number, found)| (*number, found.clone()))
        else {
            return Ok(ExportFrom::Source(0));
        };
        let next = ExportFrom::Endpoint(number);
        let exported = ExportedEndpoint {
            secrets: secrets.then(|| self.keys_in_clear(&endpoint)).transpose()?,
            headers: secrets.then(|| self.headers_in_clear(&endpoint)).transpose()?,
            deleted_at: endpoint.deleted_at,
            view: EndpointView {
                id: Memory::endpoint_id(&endpoint),
                config: endpoint.config,
                created_at: endpoint.created_at,
                updated_at: endpoint.updated_at,
            },
        };
        page.looked += 1;
        page.bytes += serde_json::to_vec(&exported.view).map_or(0, |json| json.len());
        page.push(Exported::Endpoint(Box::new(exported)), Some(next), None);
        Ok(next)
    }

    fn export_source(
        &mut self,
        page: &mut Filling,
        behind: u16,
        secrets: bool,
    ) -> Result<ExportFrom, Problem> {
        let mut sources = self.memory()?.sources.range(behind.saturating_add(1)..);
        // The largest number there can be has none behind it.
        let more = sources.next().filter(|_| behind < u16::MAX);
        let Some((number, source)) = more.map(|(number, found)| (*number, found.clone())) else {
            return Ok(ExportFrom::Message(0));
        };
        let next = ExportFrom::Source(number);
        let id = self.memory()?.source_id(number).ok_or_else(Problem::not_found)?;
        // The address of one that was deleted is gone.
        let token = if secrets && source.deleted_at.is_none() {
            self.source_view(number)?.token
        } else {
            String::new()
        };
        let exported = ExportedSource {
            secrets: secrets.then(|| self.secrets_in_clear(&source)).transpose()?,
            deleted_at: source.deleted_at,
            view: SourceView {
                id,
                name: source.name,
                provider: source.provider,
                uid: source.uid,
                config: source.config,
                secrets: source.secrets.into_iter().map(|secret| secret.shown).collect(),
                state: source.state,
                token,
                created_at: source.created_at,
                updated_at: source.updated_at,
            },
        };
        page.looked += 1;
        page.bytes += serde_json::to_vec(&exported.view).map_or(0, |json| json.len());
        page.push(Exported::Source(Box::new(exported)), Some(next), None);
        Ok(next)
    }

    /// The message's own row; `None`: nothing comes behind.
    fn export_message(
        &mut self,
        page: &mut Filling,
        sequence: u64,
        through: u64,
    ) -> Result<Option<ExportFrom>, Problem> {
        for (segment, low, high) in self.segments_within(sequence, through, true)? {
            let statement = format!(
                "SELECT {VIEW}, headers, hop, body FROM message_{segment} \
                 WHERE sequence >= ? AND sequence <= ? ORDER BY sequence LIMIT 1"
            );
            let Some(row) = self.sql.row(&statement, &[low.into(), high.into()])? else {
                continue;
            };
            let headers = row.maybe(9, Row::text)?.map(|text| serde_json::from_str(&text));
            let exported = ExportedMessage {
                view: read_view(self.memory()?, &row)?,
                headers: headers
                    .transpose()
                    .map_err(Problem::internal)?
                    .unwrap_or_default(),
                hop: row.small(10)?,
            };
            let next = ExportFrom::Delivery {
                sequence: row.number(0)?,
                endpoint: 0,
            };
            let body = row.maybe(11, Row::blob)?.unwrap_or_default();
            page.looked += 1;
            page.push(Exported::Message(Box::new(exported)), Some(next), Some(body));
            return Ok(Some(next));
        }
        Ok(None)
    }

    /// What one message owes, endpoint after endpoint, until the page is full.
    fn export_deliveries(
        &mut self,
        page: &mut Filling,
        sequence: u64,
        behind: u32,
    ) -> Result<ExportFrom, Problem> {
        let done = ExportFrom::Message(sequence + 1);
        let Some(segment) = self.memory()?.segment_of(sequence).map(|segment| segment.number) else {
            return Ok(done);
        };
        let statement = format!("SELECT owed FROM message_{segment} WHERE sequence = ?");
        let Some(row) = self.sql.row(&statement, &[sequence.into()])? else {
            return Ok(done);
        };
        let Some(message) = self.message_at(segment, sequence)? else {
            return Ok(done);
        };
        let mut owed: Vec<u32> = owed_to(&row.text(0)?)
            .filter(|endpoint| *endpoint > behind)
            .collect();
        owed.sort_unstable();
        for endpoint in owed {
            self.export_delivery(page, &message, segment, endpoint)?;
            if page.is_full() {
                return Ok(ExportFrom::Delivery { sequence, endpoint });
            }
        }
        Ok(done)
    }

    fn export_delivery(
        &mut self,
        page: &mut Filling,
        message: &MessageView,
        segment: u64,
        number: u32,
    ) -> Result<(), Problem> {
        page.looked += 1;
        let sequence = message.id.0.sequence;
        let Some(endpoint) = self.memory()?.endpoints.get(&number).map(Memory::endpoint_id) else {
            return Ok(());
        };
        let row = delivery::read(&self.sql, segment, number, sequence)?;
        let cancelled = self.is_cancelled(number, sequence)?;
        let attempts = self.attempts_of_delivery(segment, number, sequence)?;
        let behind = ExportFrom::Delivery {
            sequence,
            endpoint: number,
        };
        let status = status(row.as_ref(), cancelled);
        let exported = ExportedDelivery {
            message: message.id,
            endpoint,
            status,
            attempts: row.as_ref().map_or(0, |row| row.attempts),
            next_attempt: row
                .filter(|_| status == DeliveryStatus::Waiting)
                .and_then(|row| row.next_at),
        };
        page.push(
            Exported::Delivery(exported),
            attempts.is_empty().then_some(behind),
            None,
        );
        let last = attempts.len().saturating_sub(1);
        for (at, found) in attempts.into_iter().enumerate() {
            page.looked += 1;
            let (view, response) = self.view(message, number, segment, found)?;
            let behind = (at == last).then_some(behind);
            page.push(Exported::Attempt(Box::new(view)), behind, Some(response));
        }
        Ok(())
    }

    fn keys_in_clear(&mut self, endpoint: &Endpoint) -> Result<Vec<ExportedSecret>, Problem> {
        let mut secrets = Vec::new();
        for key in &endpoint.keys {
            let place = self.place("endpoint", "secret", endpoint.number.into(), key.generation)?;
            let key_bytes = self.in_clear(&place, &key.sealed)?;
            let signing = SigningKey::from_bytes(&key_bytes).map_err(Problem::internal)?;
            secrets.push(ExportedSecret {
                secret: signing.to_text(),
                not_after: key.not_after,
            });
        }
        Ok(secrets)
    }

    fn headers_in_clear(&mut self, endpoint: &Endpoint) -> Result<BTreeMap<String, String>, Problem> {
        let Some(headers) = &endpoint.headers else {
            return Ok(BTreeMap::new());
        };
        let place = self.place("endpoint", "headers", endpoint.number.into(), headers.generation)?;
        serde_json::from_slice(&self.in_clear(&place, &headers.sealed)?).map_err(Problem::internal)
    }

    fn secrets_in_clear(&mut self, source: &Source) -> Result<Vec<ExportedSecret>, Problem> {
        let mut secrets = Vec::new();
        for secret in &source.secrets {
            let place = self.place("source", "secret", source.number.into(), secret.generation)?;
            let text = String::from_utf8(self.in_clear(&place, &secret.sealed)?);
            secrets.push(ExportedSecret {
                secret: text.map_err(|_| Problem::internal("a source's secret that is no text"))?,
                not_after: secret.shown.not_after,
            });
        }
        Ok(secrets)
    }

    fn place(
        &mut self,
        table: &'static str,
        column: &'static str,
        row: u64,
        generation: u64,
    ) -> Result<Place<'static>, Problem> {
        Ok(Place {
            tenant: self.memory()?.tenant,
            table,
            column,
            row,
            generation,
        })
    }

    fn in_clear(&self, place: &Place, sealed: &str) -> Result<Vec<u8>, Problem> {
        let blob =
            seal::from_text(sealed).ok_or_else(|| Problem::internal("a sealed value that is no base64"))?;
        self.master_keys()?.open(place, &blob).map_err(unsealable)
    }
}

/// Where a delivery stands, as its row and its endpoint say together.
fn status(row: Option<&DeliveryRow>, cancelled: bool) -> DeliveryStatus {
    match row.map(|row| row.state) {
        Some(State::Delivered) => DeliveryStatus::Delivered,
        Some(State::Failed) => DeliveryStatus::Failed,
        Some(State::Cancelled) => DeliveryStatus::Cancelled,
        None | Some(State::Waiting) if cancelled => DeliveryStatus::Cancelled,
        Some(State::Waiting) => DeliveryStatus::Waiting,
        None => DeliveryStatus::Pending,
    }
}
