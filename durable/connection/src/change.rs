//! One change of the connection: everything of it is stored together, or nothing is.

use postern_domain::oauth::standing::{Event, Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::HistoryView;
use serde_json::{Value as Json, json};

use crate::credential::{self, Credential};
use crate::memory::Memory;
use crate::record::{self, Fresh, Record};
use crate::sql::{Sql, Value};
use crate::{Connection, history, outbox};

/// What is to be. Begun with [`Connection::change`] or [`Change::of`], stored by [`Connection::commit`].
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) record: Record,
    /// None: there is nothing to spend. One that was there is shredded.
    pub(crate) credential: Option<Credential>,
    pub(crate) lines: Vec<HistoryView>,
    pub(crate) messages: Vec<Message>,
}

/// What the tenant is to be told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) number: u64,
    pub(crate) event: Event,
    pub(crate) payload: Json,
}

impl Change {
    /// Of a connection that is new.
    pub(crate) const fn of(record: Record) -> Self {
        Self {
            record,
            credential: None,
            lines: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Goes to another state; what the table of transitions says is told, once.
    pub(crate) fn go(&mut self, state: State, reason: Option<Reason>, now: Millis) -> Result<(), Problem> {
        if let Some(event) = self.record.go(state, reason, now)? {
            self.tell(event, json!({}), now);
        }
        Ok(())
    }

    /// The same for what fails: a connection that nobody has authorised yet stays pending, and says why.
    pub(crate) fn fail(&mut self, state: State, reason: Reason, now: Millis) -> Result<(), Problem> {
        let state = if self.record.state == State::Pending {
            State::Pending
        } else {
            state
        };
        self.go(state, Some(reason), now)
    }

    /// Tells the tenant something, `more` beside how the connection stands.
    pub(crate) fn tell(&mut self, event: Event, more: Json, now: Millis) {
        self.record.version += 1;
        let payload = outbox::payload(&self.record, event, more, now);
        self.messages.push(Message {
            number: self.record.version,
            event,
            payload,
        });
    }

    /// Something that the directory shows has changed, without a change of state.
    pub(crate) const fn touch(&mut self, now: Millis) {
        self.record.version += 1;
        self.record.updated_at = now;
    }

    /// Writes a line of history.
    pub(crate) fn line(&mut self, line: HistoryView) {
        self.lines.push(line);
    }

    /// There must be something to spend.
    pub(crate) fn credential(&mut self) -> Result<&mut Credential, Problem> {
        self.credential.as_mut().ok_or_else(Problem::not_found)
    }
}

impl<S: Sql> Connection<S> {
    /// The same, or of one that is made of this.
    pub(crate) fn change_or_make(
        &mut self,
        fresh: impl FnOnce() -> Fresh,
        now: Millis,
    ) -> Result<Change, Problem> {
        if self.memory.is_some() {
            return self.change();
        }
        self.set_up()?;
        Ok(Change::of(Record::new(fresh(), now)))
    }

    /// Begins a change of the connection that stands.
    pub(crate) fn change(&mut self) -> Result<Change, Problem> {
        let memory = self.standing()?;
        Ok(Change {
            record: memory.record.clone(),
            credential: memory.credential.clone(),
            lines: Vec::new(),
            messages: Vec::new(),
        })
    }

    /// Stores a change, and with it what `beside` writes, the messages, the history and the alarm. What did not change is
    /// not written. When it fails nothing of it stands, in memory neither.
    pub(crate) fn commit(
        &mut self,
        mut change: Change,
        now: Millis,
        beside: impl FnOnce(&S) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let used = self.write_use(&mut change);
        if !change.lines.is_empty() {
            history::fold(&mut change);
        }
        for line in &mut change.lines {
            if line.number == 0 {
                line.state = change.record.state;
            }
        }
        let before = self.memory.take();
        let alarm = self.next_at(&change, now);
        let armed = self.armed;
        let stored = self.sql.atomic(|sql| {
            let was = before.as_ref();
            if was.map(|memory| &memory.record) != Some(&change.record) {
                record::save(sql, &change.record)?;
            }
            match (
                was.and_then(|memory| memory.credential.as_ref()),
                &change.credential,
            ) {
                (old, Some(credential)) if old != Some(credential) => credential::save(sql, credential)?,
                (Some(_), None) => credential::shred(sql)?,
                _ => {}
            }
            for message in &change.messages {
                sql.run(
                    "INSERT INTO outbox (number, type, payload) VALUES (?, ?, ?)",
                    &[
                        Value::from(message.number),
                        message.event.event_type().into(),
                        message.payload.to_string().into(),
                    ],
                )?;
            }
            history::append(sql, &change.lines)?;
            beside(sql)?;
            let alarm = crate::alarm::earlier(alarm, crate::attempt::next_at(sql, now)?);
            crate::alarm::set(sql, armed, alarm, now)
        });
        match stored {
            Ok(armed) => {
                self.armed = armed;
                if used {
                    self.used = crate::lease::Used::default();
                }
                self.memory = Some(Memory {
                    record: change.record,
                    credential: change.credential,
                });
                self.owes_messages |= !change.messages.is_empty();
                self.offer_outbox(now);
                Ok(())
            }
            Err(problem) => {
                // What the failed transaction did with the alarm is not known.
                self.forget();
                Err(problem)
            }
        }
    }
}
