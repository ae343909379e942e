//! How watches are stored: a row each, rewritten when it changes.

use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{self, Watch};

use super::Watches;
use crate::Connection;
use crate::change::Change;
use crate::sql::{Sql, Value, broken};

impl Watches {
    /// Reads what is stored.
    pub(crate) fn load<S: Sql>(&mut self, sql: &S) -> Result<(), Problem> {
        let rows = sql.rows("SELECT facts FROM watch ORDER BY number", &[])?;
        let read = |facts: String| json::read(&facts).map_err(|error| broken(&error.to_string()));
        self.all = rows
            .iter()
            .map(|row| row.text(0).and_then(read))
            .collect::<Result<_, _>>()?;
        let owed = sql.row("SELECT count(*) FROM watch_event", &[])?;
        self.owed = owed.map_or(Ok(0), |row| row.number(0))?;
        Ok(())
    }
}

impl<S: Sql> Connection<S> {
    /// Stores a watch as it is now, with what it found and whatever else changes with it: all or nothing.
    pub(crate) fn keep_watch(
        &mut self,
        watch: Watch,
        found: &[watch::Change],
        change: Change,
        now: Millis,
    ) -> Result<(), Problem> {
        let events = super::tell::events(&change.record, &watch, found, now);
        let row = [Value::from(watch.number), facts(&watch)?.into()];
        self.watches.put(watch);
        self.watches.owed += events.len() as u64;
        self.commit(change, now, |sql| {
            sql.run(
                "INSERT INTO watch (number, facts) VALUES (?, ?)
                 ON CONFLICT (number) DO UPDATE SET facts = excluded.facts",
                &row,
            )?;
            super::tell::store(sql, &events)
        })
    }

    /// Takes a watch away.
    pub(super) fn drop_watch(&mut self, number: u64, change: Change, now: Millis) -> Result<(), Problem> {
        self.watches.all.retain(|watch| watch.number != number);
        self.has_moved();
        self.commit(change, now, |sql| {
            sql.run("DELETE FROM watch WHERE number = ?", &[number.into()])?;
            Ok(())
        })
    }
}

fn facts(watch: &Watch) -> Result<String, Problem> {
    serde_json::to_string(watch).map_err(Problem::internal)
}

/// Takes all watches away. What they found and nobody was told yet stays until it is.
pub(crate) fn shred<S: Sql>(sql: &S) -> Result<(), Problem> {
    sql.run("DELETE FROM watch", &[])?;
    Ok(())
}
