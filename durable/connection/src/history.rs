//! What happened with a connection, readable: a ring of the newest lines. Good refreshes in a row make one line.

use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::connection::{HistoryList, HistoryView};

use crate::Connection;
use crate::change::Change;
use crate::sql::{Sql, Value, broken};

/// Lines that are kept.
pub(crate) const KEPT: u64 = 256;

impl<S: Sql> Connection<S> {
    /// Newest first.
    pub(crate) fn history_list(&mut self, call: &HistoryList) -> Result<Page<HistoryView>, Problem> {
        let memory = self.standing()?;
        let (refreshed, state) = (
            memory.credential.as_ref().and_then(refreshes),
            memory.record.state,
        );
        let mut lines = load(&self.sql)?;
        // Good refreshes that have no line of their own yet show as the line that they will be.
        let next = lines.last().map_or(0, |line: &HistoryView| line.number) + 1;
        if let Some(mut line) = refreshed {
            line.state = state;
            line.number = next;
            lines.push(line);
        }
        lines.reverse();
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let invalid = || Problem::new(Code::InvalidIterator, "The iterator is not one of this list");
        let (from, backwards) = match call.page.iterator.as_deref() {
            None => (None, false),
            Some(text) => {
                let (text, backwards) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
                (Some(text.parse::<u64>().map_err(|_| invalid())?), backwards)
            }
        };
        let (newer, older): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .filter(|line| Some(line.number) != from)
            .partition(|line| from.is_some_and(|from| line.number > from));
        let (data, done) = if backwards {
            let begin = newer.len().saturating_sub(limit);
            (newer[begin..].to_vec(), begin == 0)
        } else {
            let done = older.len() <= limit;
            (older.into_iter().take(limit).collect(), done)
        };
        Ok(Page {
            iterator: data.last().map(|line| line.number.to_string()),
            prev_iterator: data.first().map(|line| format!("-{}", line.number)),
            data,
            done,
        })
    }
}

/// The line of good refreshes since the last other line.
fn refreshes(credential: &crate::credential::Credential) -> Option<HistoryView> {
    let decision = match credential.refreshed {
        0 => return None,
        1 => "Refreshed".to_owned(),
        many => format!("Refreshed {many} times in a row"),
    };
    Some(HistoryView {
        number: 0,
        at: credential.obtained_at,
        what: "refresh".to_owned(),
        class: None,
        decision,
        words: None,
        state: postern_domain::oauth::standing::State::Active,
        next_at: credential.next_refresh_at,
        actor: None,
    })
}

/// Turns good refreshes into a line, because another one follows.
pub(crate) fn fold(change: &mut Change) {
    let line = change.credential.as_ref().and_then(refreshes);
    if let (Some(mut line), Some(credential)) = (line, change.credential.as_mut()) {
        line.state = change.record.state;
        credential.refreshed = 0;
        change.lines.insert(0, line);
    }
}

/// A line of something done now; what is not said of it is nothing.
pub(crate) fn line(what: &str, decision: impl Into<String>, now: Millis) -> HistoryView {
    HistoryView {
        number: 0,
        at: now,
        what: what.to_owned(),
        class: None,
        decision: decision.into(),
        words: None,
        state: postern_domain::oauth::standing::State::Pending, // as committed
        next_at: None,
        actor: None,
    }
}

pub(crate) fn append<S: Sql>(sql: &S, lines: &[HistoryView]) -> Result<(), Problem> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut number = last(sql)?;
    for line in lines {
        number += 1;
        let line = HistoryView {
            number,
            ..line.clone()
        };
        let text = serde_json::to_string(&line).map_err(Problem::internal)?;
        sql.run(
            "INSERT INTO history (slot, number, line) VALUES (?, ?, ?)
             ON CONFLICT (slot) DO UPDATE SET number = excluded.number, line = excluded.line",
            &[Value::from(number % KEPT), number.into(), text.into()],
        )?;
    }
    Ok(())
}

/// The ring is small: its newest number is found by reading it.
fn last<S: Sql>(sql: &S) -> Result<u64, Problem> {
    let row = sql.row("SELECT ifnull(max(number), 0) FROM history", &[])?;
    row.map_or(Ok(0), |row| row.number(0))
}

/// All lines, oldest first.
fn load<S: Sql>(sql: &S) -> Result<Vec<HistoryView>, Problem> {
    let rows = sql.rows("SELECT line FROM history ORDER BY number", &[])?;
    rows.iter()
        .map(|row| json::read(&row.text(0)?).map_err(|error| broken(&error.to_string())))
        .collect()
}
