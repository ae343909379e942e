//! A tenant, written out page by page: endpoints, sources, entitlements, then message after message, oldest first, each with where it
//! stands and what was tried.
//!
//! Every page is a call of its own and finds its place by key: nothing is held open, and an export can be taken up again
//! at any place that a page named. It goes up to the newest message of its first page; a message that retention drops in
//! the middle is passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::id::Uid;
use postern_domain::problem::Problem;
use postern_domain::seal::{self, Place};
use postern_domain::signature::SigningKey;
use postern_domain::time::Millis;
use postern_domain::wire::moving::{ExportFrom, ExportPage, ExportedLine, ExportedPage};
use postern_domain::wire::{AttemptStatus, AttemptView, DeliveryStatus, MessageView, SourceState, Trigger};

use crate::Ledger;
use crate::delivery::{self, DeliveryRow, State, cause_text};
use crate::endpoint::{Endpoint, unsealable};
use crate::memory::Memory;
use crate::messages::{VIEW, read_view};
use crate::page::MOST_BYTES;
use crate::source::Source;
use crate::sql::{Row, Sql};
use crate::sweep::owed_to;

/// Rows that a page looks at, at the most: deliveries without a record are looked for too.
pub(crate) const MOST_ROWS: usize = 1000;

/// A page while it is filled.
pub(crate) struct Filling {
    kinds: Vec<ExportedLine>,
    lines: Vec<Vec<u8>>,
    pub(crate) looked: usize,
    bytes: usize,
}

impl Filling {
    pub(crate) fn is_full(&self) -> bool {
        self.looked >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    pub(crate) fn push(&mut self, line: Line, behind: Option<ExportFrom>) {
        let kind = line.kind.to_owned();
        let line = line.finish().into_bytes();
        self.bytes += line.len();
        self.kinds.push(ExportedLine { kind, behind });
        self.lines.push(line);
    }
}

/// A line while it is written: `{"kind":"message","message":{…}}`.
pub(crate) struct Line {
    kind: &'static str,
    json: String,
    empty: bool,
}

impl Line {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            json: format!("{{\"kind\":\"{kind}\",\"{kind}\":{{"),
            empty: true,
        }
    }

    /// A field whose value is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        if !self.empty {
            self.json.push(',');
        }
        self.empty = false;
        self.json.push('"');
        self.json.push_str(name);
        self.json.push_str("\":");
        self.json.push_str(json);
    }

    pub(crate) fn text(&mut self, name: &str, text: Option<&str>) {
        // JSON writes a line break as an escape: a line stays one.
        let json = text.map(|text| serde_json::Value::String(text.to_owned()).to_string());
        self.raw(name, json.as_deref().unwrap_or("null"));
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        let json = number.map(|number| number.to_string());
        self.raw(name, json.as_deref().unwrap_or("null"));
    }

    pub(crate) fn time(&mut self, name: &str, time: Option<Millis>) {
        self.text(name, time.map(Millis::to_rfc3339).as_deref());
    }

    /// Text as it is; bytes that are none as base64, under another name.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(name, Some(text)),
            Err(_) => self.text(&format!("{name}Base64"), Some(&STANDARD.encode(bytes))),
        }
    }

    /// Secrets in clear, with their times.
    fn secrets(&mut self, secrets: &[(String, Option<Millis>)]) {
        let mut json = Vec::new();
        for (secret, not_after) in secrets {
            let secret = serde_json::Value::String(secret.clone());
            let end = not_after.map(Millis::to_rfc3339);
            let end = end.map_or_else(|| "null".to_owned(), |end| format!("\"{end}\""));
            json.push(format!("{{\"secret\":{secret},\"notAfter\":{end}}}"));
        }
        self.raw("secrets", &format!("[{}]", json.join(",")));
    }

    fn finish(mut self) -> String {
        self.json.push_str("}}");
        self.json
    }
}

impl<S: Sql> Ledger<S> {
    /// A page of everything.
    pub(crate) fn export_page(&mut self, call: &ExportPage) -> Result<(ExportedPage, Vec<Vec<u8>>), Problem> {
        let last = self.memory()?.last_sequence;
        let through = call.through.unwrap_or(last).min(last);
        let mut page = Filling {
            kinds: Vec::new(),
            lines: Vec::new(),
            looked: 0,
            bytes: 0,
        };
        let mut next = Some(call.from.clone());
        while let Some(from) = next.clone().filter(|_| !page.is_full()) {
            next = match from {
                ExportFrom::EntitlementConfig => {
                    Some(self.export_entitlement_config(&mut page, call.secrets)?)
                }
                ExportFrom::Entitlement(behind) => Some(self.export_entitlements(&mut page, &behind)?),
                ExportFrom::EntitlementAlias(behind) => {
                    Some(self.export_entitlement_aliases(&mut page, &behind)?)
                }
                ExportFrom::EntitlementObject(behind) => {
                    Some(self.export_entitlement_objects(&mut page, &behind)?)
                }
                ExportFrom::Endpoint(number) => {
                    Some(self.export_endpoint(&mut page, number, call.secrets)?)
                }
                ExportFrom::Source(number) => {
                    let next = self.export_source(&mut page, number, call.secrets)?;
                    Some(next.unwrap_or(if call.entitlements {
                        ExportFrom::EntitlementConfig
                    } else {
                        ExportFrom::Message(0)
                    }))
                }
                ExportFrom::Message(sequence) => self.export_message(&mut page, sequence, through)?,
                ExportFrom::Delivery { sequence, endpoint } => {
                    Some(self.export_deliveries(&mut page, sequence, endpoint)?)
                }
            };
        }
        let told = ExportedPage {
            lines: page.kinds,
            through,
            next,
        };
        Ok((told, page.lines))
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
        let mut line = Line::new("endpoint");
        line.text("id", Some(&Memory::endpoint_id(&endpoint).to_string()));
        line.time("createdAt", Some(endpoint.created_at));
        line.time("updatedAt", Some(endpoint.updated_at));
        line.time("deletedAt", endpoint.deleted_at);
        // All that its owner decided, as it is kept. Headers are kept apart, sealed.
        let config = serde_json::to_string(&endpoint.config).map_err(Problem::internal)?;
        let config: serde_json::Value = serde_json::from_str(&config).map_err(Problem::internal)?;
        let fields = config.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "headers") {
            line.raw(name, &value.to_string());
        }
        if secrets {
            line.secrets(&self.keys_in_clear(&endpoint)?);
            line.raw("headers", &self.headers_in_clear(&endpoint)?);
        }
        page.looked += 1;
        page.push(line, Some(next.clone()));
        Ok(next)
    }

    fn export_source(
        &mut self,
        page: &mut Filling,
        behind: u16,
        secrets: bool,
    ) -> Result<Option<ExportFrom>, Problem> {
        let mut sources = self.memory()?.sources.range(behind.saturating_add(1)..);
        // The largest number there can be has none behind it.
        let more = sources.next().filter(|_| behind < u16::MAX);
        let Some((number, source)) = more.map(|(number, found)| (*number, found.clone())) else {
            return Ok(None);
        };
        let next = ExportFrom::Source(number);
        let id = self.memory()?.source_id(number).ok_or_else(Problem::not_found)?;
        let mut line = Line::new("source");
        line.text("id", Some(&id.to_string()));
        line.text("name", Some(&source.name));
        line.text("provider", Some(&source.provider));
        line.text("uid", source.uid.as_ref().map(Uid::as_str));
        line.raw("config", &source.config.to_string());
        let state = match source.state {
            SourceState::Pending => "pending",
            SourceState::Active => "active",
        };
        line.text("state", Some(state));
        line.time("createdAt", Some(source.created_at));
        line.time("updatedAt", Some(source.updated_at));
        line.time("deletedAt", source.deleted_at);
        if secrets {
            line.secrets(&self.secrets_in_clear(&source)?);
        }
        // Its address is a secret too; that of one that was deleted is gone.
        if secrets && source.deleted_at.is_none() {
            line.text("token", Some(&self.source_view(number)?.token));
        }
        page.looked += 1;
        page.push(line, Some(next.clone()));
        Ok(Some(next))
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
            let view = read_view(self.memory()?, &row)?;
            let mut line = Line::new("message");
            line.text("id", Some(&view.id.to_string()));
            line.text("eventType", Some(&view.event_type));
            line.text("eventId", view.event_id.as_deref());
            let channels = view.channels.map(serde_json::Value::from);
            line.raw("channels", &channels.unwrap_or_default().to_string());
            line.time("timestamp", Some(view.timestamp));
            line.text("contentType", Some(&view.content_type));
            line.text(
                "sourceId",
                view.source.map(|source| source.to_string()).as_deref(),
            );
            line.text("notSent", view.not_sent.as_deref());
            // Kept as JSON.
            let headers = row.maybe(9, Row::text)?;
            line.raw("headers", headers.as_deref().unwrap_or("{}"));
            line.number("hop", Some(row.number(10)?));
            match &view.body_at {
                None => line.bytes("body", &row.maybe(11, Row::blob)?.unwrap_or_default()),
                // In the bucket: a line says where it is read, below the application's path, and how to know it again.
                Some(at) => {
                    let path = format!("msg/{}/body", view.id);
                    let told = serde_json::json!({ "path": path, "bytes": at.size, "sha256": at.digest });
                    line.raw("bodyAt", &told.to_string());
                }
            }
            let next = ExportFrom::Delivery {
                sequence: row.number(0)?,
                endpoint: 0,
            };
            page.looked += 1;
            page.push(line, Some(next.clone()));
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
        let Some((message, _)) = self.message_at(sequence, false)? else {
            return Ok(done);
        };
        let mut owed: Vec<u32> = owed_to(&row.text(0)?)
            .filter(|endpoint| *endpoint > behind)
            .collect();
        let memory = self.memory()?;
        owed.retain(|endpoint| !memory.is_polled(*endpoint)); // it has no deliveries
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
        let waits = status == DeliveryStatus::Waiting;
        let mut line = Line::new("delivery");
        line.text("messageId", Some(&message.id.to_string()));
        line.text("endpointId", Some(&endpoint.to_string()));
        line.text("status", Some(status_text(status)));
        line.number(
            "attempts",
            Some(row.as_ref().map_or(0, |row| row.attempts.into())),
        );
        line.time("nextAttempt", row.filter(|_| waits).and_then(|row| row.next_at));
        page.push(line, attempts.is_empty().then(|| behind.clone()));
        let last = attempts.len().saturating_sub(1);
        for (at, found) in attempts.into_iter().enumerate() {
            page.looked += 1;
            let (view, response) = self.view(message, number, segment, found)?;
            page.push(
                attempt_line(&view, &response),
                (at == last).then(|| behind.clone()),
            );
        }
        Ok(())
    }

    fn keys_in_clear(&mut self, endpoint: &Endpoint) -> Result<Vec<(String, Option<Millis>)>, Problem> {
        let mut secrets = Vec::new();
        for (column, keys) in [
            ("secret", &endpoint.signing.keys),
            ("asymmetric", &endpoint.signing.asymmetric),
        ] {
            for key in keys {
                let plain = self.open_part(endpoint.number, column, &key.to_part())?;
                let signing = if column == "secret" {
                    SigningKey::from_bytes(&plain)
                } else {
                    SigningKey::asymmetric_from_bytes(&plain)
                };
                let signing = signing.map_err(Problem::internal)?;
                secrets.push((signing.to_text(), key.not_after));
            }
        }
        Ok(secrets)
    }

    /// As JSON.
    fn headers_in_clear(&mut self, endpoint: &Endpoint) -> Result<String, Problem> {
        let Some(headers) = &endpoint.headers else {
            return Ok("{}".to_owned());
        };
        let place = self.place_of("endpoint", "headers", endpoint.number.into(), headers.generation)?;
        String::from_utf8(self.in_clear(&place, &headers.sealed)?).map_err(Problem::internal)
    }

    fn secrets_in_clear(&mut self, source: &Source) -> Result<Vec<(String, Option<Millis>)>, Problem> {
        let mut secrets = Vec::new();
        for secret in &source.secrets {
            let place = self.place_of("source", "secret", source.number.into(), secret.generation)?;
            let text = String::from_utf8(self.in_clear(&place, &secret.sealed)?);
            let text = text.map_err(|_| Problem::internal("a source's secret that is no text"))?;
            secrets.push((text, secret.shown.not_after));
        }
        Ok(secrets)
    }

    pub(crate) fn place_of(
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

    pub(crate) fn in_clear(&self, place: &Place, sealed: &str) -> Result<Vec<u8>, Problem> {
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

fn status_text(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Pending => "pending",
        DeliveryStatus::Waiting => "waiting",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Cancelled => "cancelled",
    }
}

fn attempt_line(attempt: &AttemptView, response: &[u8]) -> Line {
    let status = match attempt.status {
        AttemptStatus::Success => "success",
        AttemptStatus::Failure => "failure",
    };
    let trigger = match attempt.trigger {
        Trigger::Scheduled => "scheduled",
        Trigger::Manual => "manual",
    };
    let mut line = Line::new("attempt");
    line.text("id", Some(&attempt.id.to_string()));
    line.text("endpointId", Some(&attempt.endpoint.to_string()));
    line.text("messageId", Some(&attempt.message.to_string()));
    line.text("url", Some(&attempt.url));
    line.text("status", Some(status));
    line.number("responseStatusCode", attempt.response_status.map(u64::from));
    line.text("cause", attempt.cause.map(cause_text).as_deref());
    line.number("durationMs", Some(attempt.duration_ms.into()));
    line.text("trigger", Some(trigger));
    line.time("timestamp", Some(attempt.timestamp));
    line.bytes("response", response);
    line
}
