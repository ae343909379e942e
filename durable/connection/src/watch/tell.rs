//! What watches found becomes messages of the tenant: stored with the cursor that it moved, told one after another in its
//! order, each under an id that is the same whenever the change is read again.

use postern_domain::digest;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{Change, Terms, Watch};
use serde_json::{Value as Json, json};

use super::Watches;
use crate::Connection;
use crate::air::Purpose;
use crate::errand::{Done, Task};
use crate::record::Record;
use crate::sql::{Random, Sql, Value};

/// As many changes may wait to be told; then nothing more is read until they are.
const BACKLOG: u64 = 1000;

/// Characters of an event id at the most.
const MAX_ID: usize = 200;

/// A change, as it is stored until it is told.
pub(super) struct Event {
    told_as: &'static str,
    id: String,
    payload: String,
}

impl Watches {
    /// Whether so much waits to be told that nothing more is to be read.
    pub(super) const fn is_full(&self) -> bool {
        self.owed >= BACKLOG
    }
}

/// What is told of changes.
pub(super) fn events(record: &Record, watch: &Watch, found: &[Change], now: Millis) -> Vec<Event> {
    // Two calendars may hold one event.
    let place = match &watch.terms {
        Terms::Gmail { .. } => "gmail".to_owned(),
        Terms::Calendar { calendar, .. } => {
            let of_calendar = digest::of(calendar.as_bytes());
            format!("calendar-{}", of_calendar.get(..12).unwrap_or_default())
        }
    };
    found
        .iter()
        .map(|change| {
            let mut event_id = format!("{}_{place}_{}", record.id, change.key);
            if event_id.len() > MAX_ID {
                event_id = format!("{}_{place}_{}", record.id, digest::of(change.key.as_bytes()));
            }
            let mut data = json!({
                "connectionId": record.id.to_string(),
                "connectionUid": record.uid.as_ref().map(ToString::to_string),
                "account": record.account,
                "watchId": watch.number.to_string(),
            });
            if let Terms::Calendar { calendar, .. } = &watch.terms {
                data["calendarId"] = calendar.as_str().into();
            } else {
                data["mailbox"] = watch.mailbox.as_deref().into();
            }
            if let (Json::Object(data), Json::Object(more)) = (&mut data, change.data.clone()) {
                data.extend(more);
            }
            let payload = json!({ "type": change.event_type, "timestamp": now.to_rfc3339(), "data": data });
            Event {
                told_as: change.event_type,
                id: event_id,
                payload: payload.to_string(),
            }
        })
        .collect()
}

pub(super) fn store<S: Sql>(sql: &S, events: &[Event]) -> Result<(), Problem> {
    for event in events {
        sql.run(
            "INSERT INTO watch_event (type, event_id, payload) VALUES (?, ?, ?)",
            &[
                Value::from(event.told_as),
                event.id.as_str().into(),
                event.payload.as_str().into(),
            ],
        )?;
    }
    Ok(())
}

impl<S: Sql> Connection<S> {
    /// Sends the oldest change that is not told yet, if none is on its way.
    pub(crate) fn offer_watch_event(&mut self) -> Result<(), Problem> {
        if self.watches.telling || self.watches.owed == 0 {
            return Ok(());
        }
        let oldest = "SELECT number, type, event_id, payload FROM watch_event ORDER BY number LIMIT 1";
        let Some(row) = self.sql.row(oldest, &[])? else {
            self.watches.owed = 0;
            return Ok(());
        };
        let task = Task::Tell {
            tenant: self.standing()?.record.tenant,
            event_type: row.text(1)?,
            event_id: row.text(2)?,
            payload: row.text(3)?,
        };
        let number = row.number(0)?;
        self.watches.telling = true;
        self.send(task, Purpose::TellChange(number));
        Ok(())
    }

    pub(crate) fn watch_event_told(
        &mut self,
        number: u64,
        done: &Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        self.watches.telling = false;
        if !self.arrived(done, now)? {
            return Ok(());
        }
        let was_full = self.watches.is_full();
        self.sql
            .run("DELETE FROM watch_event WHERE number = ?", &[number.into()])?;
        self.watches.owed = self.watches.owed.saturating_sub(1);
        self.offer_outbox(now);
        if was_full {
            self.go_on_watching(now, random)?;
        }
        Ok(())
    }
}
