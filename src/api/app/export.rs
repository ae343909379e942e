//! `GET /api/v1/app/{app_id}/export`: everything that the tenant has, as lines of JSON.
//!
//! The answer is made while it is read: each page is one bounded call of the object, asked for when the reader has taken
//! the one before. It goes up to the newest message of its beginning. A cursor stands in every hundredth line or soon
//! behind it; `after` goes on behind that line. Only the line `end` says that all is there, with what was counted over
//! all the answers that it took.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::StreamExt as _;
use futures::stream;
use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::AttemptView;
use postern_domain::wire::moving::{
    ExportFrom, ExportPage, Exported, ExportedEndpoint, ExportedMessage, ExportedPage, ExportedSource,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shape::ApplicationOut;
use crate::api::access::{Caller, TenantAccess};
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::platform::deadline::pause;
use crate::platform::log;
use crate::platform::tenant::TenantObject;
use crate::store::application::{self, Key, State};

const NDJSON: &str = "application/x-ndjson";

/// Lines from one cursor to the next.
const LINES_A_CURSOR: u32 = 100;

/// Pages of one answer at the most: each is a request to the object, and the platform counts those.
const PAGES: u32 = 800;

/// Bytes of one answer, about: an invocation's time on the processor is counted too.
const BYTES: usize = 256 << 20;

/// Waits before an object that has too much to do is asked again.
const WAITS_MS: [u64; 3] = [250, 1_000, 4_000];

/// 200; secrets are for the organisation alone.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let secrets = query.flag("secrets", false);
    let after = query.text("after");
    query.finish()?;
    if secrets {
        caller.again().organisation()?;
    }
    let access = caller.tenant(ask.param(0), ask.now).await?;
    let after = after.map(|text| Cursor::read(&text, access.tenant)).transpose()?;
    let begun = Export::begin(&access, after, secrets).await?;
    let chunks = stream::unfold(begun, |export| async move {
        let (chunk, export) = export.step().await?;
        Some((Ok(chunk), export))
    });
    Ok(Answer::stream(NDJSON, chunks.boxed_local()))
}

/// Where an export stands, as its reader may bring it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cursor {
    tenant: TenantId,
    from: ExportFrom,
    through: u64,
    counts: Counts,
}

/// Lines so far, by kind.
type Counts = BTreeMap<String, u64>;

impl Cursor {
    fn read(text: &str, tenant: TenantId) -> Result<Self, Problem> {
        let cursor = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = cursor.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        cursor.filter(|cursor| cursor.tenant == tenant).ok_or_else(|| {
            let detail = "The cursor is not one that an export of this application gave; begin without it";
            Problem::new(Code::InvalidIterator, detail)
        })
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// An export under way.
struct Export {
    object: TenantObject,
    tenant: TenantId,
    secrets: bool,
    through: u64,
    counts: Counts,
    /// A page that has come and was not written yet.
    ready: VecDeque<(ExportedPage, Vec<Vec<u8>>)>,
    /// Where the next page begins; none: there is none.
    next: Option<ExportFrom>,
    /// The line that comes before all others.
    first: Option<Value>,
    /// Where a reader may go on with certainty.
    behind: ExportFrom,
    lines_since: u32,
    pages: u32,
    bytes: usize,
    over: bool,
}

impl Export {
    /// With its first page, so that what refuses it is an answer and not a broken stream.
    async fn begin(access: &TenantAccess, after: Option<Cursor>, secrets: bool) -> Result<Self, Problem> {
        let object = access.object();
        let from = after.as_ref().map_or(ExportFrom::START, |cursor| cursor.from);
        let call = ExportPage {
            from,
            through: after.as_ref().map(|cursor| cursor.through),
            secrets,
        };
        let (page, bodies) = object.call(call, &[]).await?;
        let first = if after.is_none() {
            let key = Key::Id(access.tenant);
            let row = application::find(&access.directory()?, access.organisation, &key).await?;
            let row = row
                .filter(|row| row.state == State::Active)
                .ok_or_else(Problem::not_found)?;
            Some(json!({ "kind": "application", "application": ApplicationOut::new(&row) }))
        } else {
            None
        };
        Ok(Self {
            object,
            tenant: access.tenant,
            secrets,
            through: page.through,
            counts: after.map(|cursor| cursor.counts).unwrap_or_default(),
            next: None,
            ready: VecDeque::from([(page, bodies)]),
            first,
            behind: from,
            lines_since: 0,
            pages: 1,
            bytes: 0,
            over: false,
        })
    }

    /// The next part of the answer; `None`: it is over.
    async fn step(mut self) -> Option<(Vec<u8>, Self)> {
        if self.over {
            return None;
        }
        let mut out = Vec::new();
        if let Some(line) = self.first.take() {
            self.count("application");
            write(&mut out, &line);
        }
        if let Some((page, bodies)) = self.ready.pop_front() {
            self.next = page.next;
            self.write_page(&mut out, page, bodies);
        } else if let Some(from) = self.next {
            match self.ask(from).await {
                Ok((page, bodies)) => {
                    self.next = page.next;
                    self.write_page(&mut out, page, bodies);
                }
                Err(problem) => {
                    let fields =
                        json!({ "tenant": self.tenant, "code": problem.code, "cause": problem.cause });
                    log::error("export_broken", fields);
                    self.over = true;
                    let problem = json!({ "code": problem.code, "detail": problem.detail });
                    let cursor = self.cursor();
                    write(
                        &mut out,
                        &json!({ "kind": "broken", "problem": problem, "cursor": cursor }),
                    );
                    return Some((out, self));
                }
            }
        }
        if self.next.is_none() {
            self.over = true;
            write(&mut out, &json!({ "kind": "end", "counts": self.counts }));
        } else if self.pages >= PAGES || self.bytes + out.len() >= BYTES {
            self.over = true;
            write(&mut out, &json!({ "kind": "more", "cursor": self.cursor() }));
        }
        self.bytes += out.len();
        Some((out, self))
    }

    async fn ask(&mut self, from: ExportFrom) -> Result<(ExportedPage, Vec<Vec<u8>>), Problem> {
        let mut waits = WAITS_MS.iter();
        loop {
            self.pages += 1;
            let call = ExportPage {
                from,
                through: Some(self.through),
                secrets: self.secrets,
            };
            match (self.object.call(call, &[]).await, waits.next()) {
                (Err(problem), Some(wait)) if problem.code == Code::Overloaded => pause(*wait).await,
                (done, _) => return done,
            }
        }
    }

    fn write_page(&mut self, out: &mut Vec<u8>, page: ExportedPage, bodies: Vec<Vec<u8>>) {
        let mut bodies = bodies.into_iter();
        for row in page.rows {
            let mut line = match row.row {
                Exported::Endpoint(endpoint) => endpoint_line(*endpoint),
                Exported::Source(source) => source_line(*source),
                Exported::Message(message) => message_line(*message, bodies.next().unwrap_or_default()),
                Exported::Delivery(delivery) => json!({ "kind": "delivery", "delivery": {
                    "messageId": delivery.message,
                    "endpointId": delivery.endpoint,
                    "status": delivery.status,
                    "attempts": delivery.attempts,
                    "nextAttempt": delivery.next_attempt.map(Millis::to_rfc3339),
                }}),
                Exported::Attempt(attempt) => attempt_line(&attempt, bodies.next().unwrap_or_default()),
            };
            let kind = line
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            self.count(&kind);
            if let Some(behind) = row.behind {
                self.behind = behind;
                if self.lines_since >= LINES_A_CURSOR
                    && let Some(line) = line.as_object_mut()
                {
                    self.lines_since = 0;
                    line.insert("cursor".to_owned(), self.cursor().into());
                }
            }
            write(out, &line);
        }
        // Behind a whole page its end is a place to go on from, also where nothing stood in it.
        if let Some(next) = self.next {
            self.behind = next;
        }
    }

    fn count(&mut self, kind: &str) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        self.lines_since += 1;
    }

    fn cursor(&self) -> String {
        let cursor = Cursor {
            tenant: self.tenant,
            from: self.behind,
            through: self.through,
            counts: self.counts.clone(),
        };
        cursor.text()
    }
}

fn write(out: &mut Vec<u8>, line: &Value) {
    // A JSON text has no line break of its own.
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// The whole configuration as it is kept; headers' values only with the secrets.
fn endpoint_line(endpoint: ExportedEndpoint) -> Value {
    let view = endpoint.view;
    let mut shown = serde_json::to_value(&view.config).unwrap_or_default();
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("headers");
        shown.insert("id".to_owned(), json!(view.id));
        shown.insert("createdAt".to_owned(), json!(view.created_at.to_rfc3339()));
        shown.insert("updatedAt".to_owned(), json!(view.updated_at.to_rfc3339()));
        shown.insert(
            "deletedAt".to_owned(),
            json!(endpoint.deleted_at.map(Millis::to_rfc3339)),
        );
        if let Some(secrets) = endpoint.secrets {
            shown.insert("secrets".to_owned(), json!(secrets));
        }
        if let Some(headers) = endpoint.headers {
            shown.insert("headers".to_owned(), json!(headers));
        }
    }
    json!({ "kind": "endpoint", "endpoint": shown })
}

fn source_line(source: ExportedSource) -> Value {
    let view = source.view;
    let mut shown = json!({
        "id": view.id,
        "name": view.name,
        "provider": view.provider,
        "uid": view.uid,
        "config": view.config,
        "state": view.state,
        "createdAt": view.created_at.to_rfc3339(),
        "updatedAt": view.updated_at.to_rfc3339(),
        "deletedAt": source.deleted_at.map(Millis::to_rfc3339),
    });
    if let (Some(shown), Some(secrets)) = (shown.as_object_mut(), source.secrets) {
        shown.insert("secrets".to_owned(), json!(secrets));
        if !view.token.is_empty() {
            shown.insert("token".to_owned(), json!(view.token));
        }
    }
    json!({ "kind": "source", "source": shown })
}

fn message_line(message: ExportedMessage, body: Vec<u8>) -> Value {
    let view = message.view;
    let mut shown = json!({
        "id": view.id,
        "eventType": view.event_type,
        "eventId": view.event_id,
        "channels": view.channels,
        "timestamp": view.timestamp.to_rfc3339(),
        "contentType": view.content_type,
        "sourceId": view.source,
        "notSent": view.not_sent,
        "headers": message.headers,
        "hop": message.hop,
    });
    put_bytes(&mut shown, "body", body);
    json!({ "kind": "message", "message": shown })
}

fn attempt_line(attempt: &AttemptView, response: Vec<u8>) -> Value {
    let mut shown = json!({
        "id": attempt.id,
        "endpointId": attempt.endpoint,
        "messageId": attempt.message,
        "url": attempt.url,
        "status": attempt.status,
        "responseStatusCode": attempt.response_status,
        "cause": attempt.cause,
        "durationMs": attempt.duration_ms,
        "trigger": attempt.trigger,
        "timestamp": attempt.timestamp.to_rfc3339(),
    });
    put_bytes(&mut shown, "response", response);
    json!({ "kind": "attempt", "attempt": shown })
}

/// Text as it is; bytes that are none as base64, under another name.
fn put_bytes(shown: &mut Value, name: &str, bytes: Vec<u8>) {
    let (name, text) = match String::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text),
        Err(error) => (format!("{name}Base64"), STANDARD.encode(error.as_bytes())),
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.insert(name, Value::String(text));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_for_its_own_tenant_alone() {
        let cursor = Cursor {
            tenant: TenantId([1; 20]),
            from: ExportFrom::Delivery {
                sequence: 7,
                endpoint: 3,
            },
            through: 9,
            counts: Counts::from([("message".to_owned(), 7)]),
        };
        let read = Cursor::read(&cursor.text(), TenantId([1; 20])).unwrap();
        assert_eq!(
            (read.from, read.through, read.counts),
            (cursor.from, 9, cursor.counts.clone())
        );
        for (text, tenant) in [
            (cursor.text(), TenantId([2; 20])),
            ("x".to_owned(), TenantId([1; 20])),
        ] {
            assert_eq!(
                Cursor::read(&text, tenant).unwrap_err().code,
                Code::InvalidIterator
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let mut shown = json!({});
        put_bytes(&mut shown, "body", vec![0xff, 0]);
        put_bytes(&mut shown, "response", b"line\nbreak".to_vec());
        assert_eq!(shown, json!({ "bodyBase64": "/wA=", "response": "line\nbreak" }));
        let mut out = Vec::new();
        write(&mut out, &shown);
        assert_eq!(
            out.split(|byte| *byte == b'\n').count(),
            2,
            "one line, and nothing behind it"
        );
    }
}
