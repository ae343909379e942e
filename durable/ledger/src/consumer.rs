//! Consumers of an endpoint that is polled: the object keeps where each stands. One moves on when it brings the iterator
//! of the last answer, so a lost answer is given again, and nothing is lost between two processes.
//!
//! There is no lock, because none is needed: calls come one after another. Two processes that use one name see the same
//! messages, and whoever is behind the other hears 409.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::follow::Wanted;
use postern_domain::wire::poll::{ConsumerPoll, ConsumerSeek, Polled, Sought};

use crate::Ledger;
use crate::poller::Reader;
use crate::sql::Sql;

/// Consumers of one endpoint at the most.
const MOST: u64 = 100;

/// Where a consumer stands.
struct Stands {
    cursor: u64,
    seeks: u64,
}

impl<S: Sql> Ledger<S> {
    /// What the consumer has next. Writes a row when it moves, and nothing else ever.
    pub(crate) fn consumer_poll(
        &mut self,
        call: &ConsumerPoll,
        now: Millis,
    ) -> Result<(Polled, Vec<Vec<u8>>), Problem> {
        let sink = self.sink(&call.sink)?;
        let stands = self.stands(sink, &call.consumer)?;
        let seeks = stands.as_ref().map_or(0, |stands| stands.seeks);
        let reader = Reader {
            sink,
            consumer: Some((&call.consumer, seeks)),
        };
        let mut cursor = stands.as_ref().map(|stands| stands.cursor);
        if let Some(iterator) = &call.iterator {
            let brought = self.position(reader, iterator)?;
            if brought.seeks != seeks || cursor.is_some_and(|cursor| brought.sequence < cursor) {
                return Err(Problem::new(
                    Code::Conflict,
                    "This consumer stands elsewhere by now: another process uses its name, or it was moved; poll without an iterator",
                ));
            }
            if cursor != Some(brought.sequence) {
                self.keep_stand(
                    sink,
                    &call.consumer,
                    stands.as_ref(),
                    brought.sequence,
                    seeks,
                    now,
                )?;
                cursor = Some(brought.sequence);
            }
        }
        self.give(reader, cursor, &Wanted::default(), None, call.limit)
    }

    /// Puts a consumer behind what is not later than a time. Iterators of before hold no more.
    pub(crate) fn consumer_seek(&mut self, call: &ConsumerSeek, now: Millis) -> Result<Sought, Problem> {
        let sink = self.sink(&call.sink)?;
        let stands = self.stands(sink, &call.consumer)?;
        let seeks = stands.as_ref().map_or(0, |stands| stands.seeks) + 1;
        let later = self.sequence_at(call.after.plus(1))?;
        let cursor = later.saturating_sub(1).max(self.beginning(sink)?);
        self.keep_stand(sink, &call.consumer, stands.as_ref(), cursor, seeks, now)?;
        let reader = Reader {
            sink,
            consumer: Some((&call.consumer, seeks)),
        };
        Ok(Sought {
            iterator: self.iterator(reader, cursor)?,
        })
    }

    fn stands(&self, sink: u32, name: &str) -> Result<Option<Stands>, Problem> {
        let statement = "SELECT cursor, seeks FROM consumer WHERE endpoint = ? AND name = ?";
        let row = self.sql.row(statement, &[sink.into(), name.into()])?;
        row.map(|row| {
            Ok(Stands {
                cursor: row.number(0)?,
                seeks: row.number(1)?,
            })
        })
        .transpose()
    }

    fn keep_stand(
        &self,
        sink: u32,
        name: &str,
        before: Option<&Stands>,
        cursor: u64,
        seeks: u64,
        now: Millis,
    ) -> Result<(), Problem> {
        if before.is_none() {
            let count = "SELECT count(*) FROM consumer WHERE endpoint = ?";
            let count = self.sql.row(count, &[sink.into()])?;
            if count.map_or(Ok(0), |row| row.number(0))? >= MOST {
                return Err(Problem::new(
                    Code::Conflict,
                    format!("An endpoint that is polled has {MOST} consumers at the most"),
                ));
            }
        }
        let statement = "INSERT INTO consumer (endpoint, name, cursor, seeks, updated_at) VALUES (?, ?, ?, ?, ?) \
                         ON CONFLICT DO UPDATE SET cursor = excluded.cursor, seeks = excluded.seeks, \
                         updated_at = excluded.updated_at";
        let values = [sink.into(), name.into(), cursor.into(), seeks.into(), now.into()];
        self.sql.run(statement, &values)?;
        Ok(())
    }
}
