//! Connections that watch what a source's events are about. An event that was stored names them in its answer; who hands
//! it to them is the edge, so that an accept stays one write. What is lost on that way the provider sends again, or the
//! connection finds when it looks because nobody notified.

use postern_domain::id::ConnectionId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::Accept;
use postern_domain::wire::watch::WatchWire;

use crate::Ledger;
use crate::sql::{Sql, Value};

/// Connections of one key at the most: each notification is handed to all of them before it is answered.
const MOST: u64 = 8;

impl<S: Sql> Ledger<S> {
    /// Events of the source about the key are handed to the connection from now on, or not any more. Asked again it
    /// changes nothing.
    pub(crate) fn watch_wire(&mut self, call: &WatchWire) -> Result<(), Problem> {
        let number = match self.source_number(&call.source) {
            Err(problem) if problem.code == Code::NotFound && !call.on => return Ok(()),
            number => number?,
        };
        let of = [
            Value::from(number),
            call.key.as_str().into(),
            call.connection.to_string().into(),
        ];
        if !call.on {
            let gone = "DELETE FROM watch_wire WHERE source = ? AND key = ? AND connection = ?";
            self.sql.run(gone, &of)?;
            return Ok(());
        }
        let others = "SELECT count(*) FROM watch_wire WHERE source = ? AND key = ? AND connection <> ?";
        let row = self.sql.row(others, &of)?;
        if row.map_or(Ok(0), |row| row.number(0))? >= MOST {
            return Err(Problem::new(
                Code::Conflict,
                "As many connections as may watch one account through this source do so already",
            ));
        }
        self.sql
            .run("INSERT OR IGNORE INTO watch_wire VALUES (?, ?, ?)", &of)?;
        Ok(())
    }

    /// Who watches what the event is about.
    pub(crate) fn watchers_of(&self, source: u16, call: &Accept) -> Result<Vec<ConnectionId>, Problem> {
        let watched = call
            .received
            .as_ref()
            .and_then(|received| received.watched.as_ref());
        let Some(key) = watched else { return Ok(Vec::new()) };
        let rows = self.sql.rows(
            "SELECT connection FROM watch_wire WHERE source = ? AND key = ?",
            &[source.into(), key.as_str().into()],
        )?;
        rows.iter()
            .map(|row| row.text(0)?.parse().map_err(Problem::internal))
            .collect()
    }
}
