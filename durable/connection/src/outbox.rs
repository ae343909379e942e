//! What others are to learn: the tenant by messages, the directory by a row. Stored with the change that it is about, sent
//! until it arrived.

use postern_domain::oauth::standing::Event;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde_json::{Value as Json, json};

use crate::air::{Purpose, unexpected};
use crate::errand::{Done, RowOut, Task};
use crate::record::Record;
use crate::sql::{Sql, Value};
use crate::{Connection, record};

/// Messages on their way at a time.
const AT_A_TIME: u64 = 8;

impl<S: Sql> Connection<S> {
    /// Sends what is owed and not on its way.
    pub(crate) fn offer_outbox(&mut self, now: Millis) {
        if self.outbox_pause.is_some_and(|until| now < until) {
            return;
        }
        let Some(memory) = &self.memory else { return };
        let version = memory.record.version;
        if version > memory.record.listed && !self.flies(|purpose| matches!(purpose, Purpose::Row(_))) {
            let view = crate::view::of(&memory.record, memory.credential.as_ref(), &self.used, now);
            self.send(
                Task::Row(Box::new(RowOut { version, view })),
                Purpose::Row(version),
            );
        }
        if self.owes_messages
            && let Err(problem) = self.offer_messages()
        {
            self.notice("outbox_not_read", &problem);
        }
        if let Err(problem) = self.offer_watch_event() {
            self.notice("outbox_not_read", &problem);
        }
    }

    /// Oldest first: what happened to a connection is told in its order, as long as nothing fails.
    fn offer_messages(&mut self) -> Result<(), Problem> {
        let record = &self.standing()?.record;
        let (tenant, connection) = (record.tenant, record.id);
        let rows = self.sql.rows(
            "SELECT number, type, payload FROM outbox ORDER BY number LIMIT ?",
            &[Value::from(AT_A_TIME)],
        )?;
        self.owes_messages = !rows.is_empty();
        for row in rows {
            let number = row.number(0)?;
            if self.telling.contains(&number) {
                continue;
            }
            let task = Task::Tell {
                tenant,
                event_type: row.text(1)?,
                event_id: format!("{connection}_{number}"),
                payload: row.text(2)?,
            };
            self.telling.insert(number);
            self.send(task, Purpose::Tell(number));
        }
        Ok(())
    }

    pub(crate) fn tell_ended(&mut self, number: u64, done: &Done, now: Millis) -> Result<(), Problem> {
        self.telling.remove(&number);
        if self.arrived(done, now)? {
            self.sql
                .run("DELETE FROM outbox WHERE number = ?", &[Value::from(number)])?;
            self.offer_outbox(now);
        }
        Ok(())
    }

    pub(crate) fn row_ended(&mut self, version: u64, done: &Done, now: Millis) -> Result<(), Problem> {
        if !self.arrived(done, now)? {
            return Ok(());
        }
        let Some(memory) = self.memory.as_mut() else {
            return Ok(());
        };
        if version > memory.record.listed {
            memory.record.listed = version;
            record::save(&self.sql, &memory.record)?;
        }
        self.offer_outbox(now);
        Ok(())
    }

    /// Whether it arrived. If not, all wait a while: what is behind fails the same way.
    pub(crate) fn arrived(&mut self, done: &Done, now: Millis) -> Result<bool, Problem> {
        match done {
            Done::Written(Ok(())) => {
                self.outbox_failures = 0;
                self.outbox_pause = None;
                Ok(true)
            }
            Done::Written(Err(problem)) => {
                self.notice("connection_not_told", problem);
                self.outbox_failures += 1;
                let wait = 1000_u64
                    .saturating_mul(1 << self.outbox_failures.min(20))
                    .min(600_000);
                self.outbox_pause = Some(now.plus(wait));
                self.arm(now)?;
                Ok(false)
            }
            other => Err(unexpected(other)),
        }
    }
}

/// A message's payload: how the connection stands after it, and what more there is to say. No secret.
pub(crate) fn payload(record: &Record, event: Event, more: Json, now: Millis) -> Json {
    let mut data = json!({
        "connectionId": record.id.to_string(),
        "uid": record.uid.as_ref().map(ToString::to_string),
        "label": record.label,
        "provider": record.provider.id,
        "oauthAppId": record.app.to_string(),
        "account": record.account,
        "state": record.state.as_str(),
        "reason": record.reason,
        "detail": record.reason.map(postern_domain::oauth::standing::Reason::sentence),
        "revoked": record.revoked,
        "scopes": record.scopes,
        "missingScopes": record.missing_scopes,
    });
    if let (Json::Object(data), Json::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    json!({ "type": event.event_type(), "timestamp": now.to_rfc3339(), "data": data })
}
