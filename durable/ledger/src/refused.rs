//! Requests that were refused: a ring of 100 for each source, ten a minute at the most, seven days; and how many there were,
//! by hour and reason. Nobody buys writes with bad signatures.

use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, SourceRejected};
use postern_domain::wire::inbound::{RefusedGet, RefusedList, RefusedPage, RefusedView};

use crate::Ledger;
use crate::page;
use crate::sql::{Row, Sql, Value};

/// Refusals that are kept per source.
const KEPT: u64 = 100;

/// Refusals of a source that are written in one minute.
const A_MINUTE: u32 = 10;

/// Bytes that are kept of a body.
const MAX_BODY: usize = 4096;

/// Bytes that are kept of all headers.
const MAX_HEADERS: usize = 8192;

/// What is older goes.
const KEPT_MS: u64 = 7 * Millis::DAY;

/// Reasons of one hour that are counted apart and not written yet: the set is closed, so more is somebody's mistake.
const MOST_COUNTED: usize = 200;

/// No number is larger: they bind as doubles.
const MOST: u64 = (1 << 53) - 1;

const HOUR_MS: u64 = 3_600_000;

const COLUMNS: &str = "number, time, reason, detail, request, body";

impl<S: Sql> Ledger<S> {
    /// Writes down what was refused, and why.
    pub(crate) fn source_rejected(
        &mut self,
        call: &SourceRejected,
        body: &[u8],
        now: Millis,
    ) -> Result<(), Problem> {
        self.source(call.source)?;
        let hour = now.0 / HOUR_MS;
        let memory = self.memory()?;
        let others = call.others.iter().map(|(reason, count)| (reason.clone(), *count));
        for (reason, count) in others.chain([(call.reason.clone(), 1)]) {
            let reason = cut(&reason, 40);
            if memory.refusals.len() < MOST_COUNTED {
                *memory.refusals.entry((call.source, hour, reason)).or_default() += count;
            }
        }
        let (number, count, minute) = match memory.rejections.get(&call.source).copied() {
            Some(known) => known,
            None => (self.last_refused(call.source)? + 1, 0, 0),
        };
        let this_minute = now.0 / 60_000;
        let count = if minute == this_minute { count } else { 0 };
        if count >= A_MINUTE {
            return Ok(()); // it is counted, and written with the next one
        }
        let mut request = call.request.clone();
        let mut room = MAX_HEADERS;
        request.headers.retain(|(name, value)| {
            let size = name.len() + value.len();
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        });
        request.query = cut(&request.query, 2048);
        let body = body.get(..MAX_BODY).unwrap_or(body);
        let values = [
            call.source.into(),
            (number % KEPT).into(),
            number.into(),
            now.into(),
            cut(&call.reason, 40).into(),
            cut(&call.detail, 500).into(),
            Value::from(serde_json::to_string(&request).map_err(Problem::internal)?),
            Value::from(body),
        ];
        let counts = std::mem::take(&mut self.memory()?.refusals);
        let old = now.minus(KEPT_MS);
        self.sql.atomic(|sql| {
            let statement = "INSERT OR REPLACE INTO refused (source, slot, number, time, reason, detail, request, body) \
                             VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            sql.run(statement, &values)?;
            for ((source, hour, reason), count) in &counts {
                let statement = "INSERT INTO refusal_count (source, hour, reason, count) VALUES (?1, ?2, ?3, ?4) \
                                 ON CONFLICT DO UPDATE SET count = count + ?4";
                let values = [
                    (*source).into(),
                    (*hour).into(),
                    reason.as_str().into(),
                    (*count).into(),
                ];
                sql.run(statement, &values)?;
            }
            sql.run(
                "DELETE FROM refusal_count WHERE source = ? AND hour < ?",
                &[call.source.into(), (old.0 / HOUR_MS).into()],
            )?;
            sql.run(
                "DELETE FROM refused WHERE source = ? AND time < ?",
                &[call.source.into(), old.into()],
            )
        })?;
        self.memory()?
            .rejections
            .insert(call.source, (number + 1, count + 1, this_minute));
        Ok(())
    }

    /// What of a source's refusals is kept, newest first. Seven days old, it is gone, whether or not anything came since.
    pub(crate) fn refused_list(
        &mut self,
        call: &RefusedList,
        now: Millis,
    ) -> Result<(RefusedPage, Vec<Vec<u8>>), Problem> {
        let number = self.source_number(&call.source)?;
        let before = match &call.page.iterator {
            None => MOST,
            Some(text) => text.parse::<u64>().map_err(|_| page::invalid_iterator())?,
        };
        let limit = u64::from(call.page.limit.max(1));
        // The ring is small: sorting it costs less than an index.
        let statement = format!(
            "SELECT {COLUMNS} FROM refused WHERE source = ? AND number < ? AND time >= ? ORDER BY number DESC LIMIT ?"
        );
        let since = now.minus(KEPT_MS);
        let values = [number.into(), before.into(), since.into(), (limit + 1).into()];
        let mut rows = self.sql.rows(&statement, &values)?;
        let done = rows.len() as u64 <= limit;
        rows.truncate(usize::from(call.page.limit.max(1)));
        let (mut data, mut bodies) = (Vec::new(), Vec::new());
        for row in &rows {
            let (view, body) = read(row)?;
            data.push(view);
            bodies.push(body);
        }
        let iterator = data.last().map(|view| view.number.to_string());
        Ok((
            Page {
                data,
                iterator,
                prev_iterator: None,
                done,
            },
            bodies,
        ))
    }

    /// One refusal.
    pub(crate) fn refused_get(
        &mut self,
        call: &RefusedGet,
        now: Millis,
    ) -> Result<(RefusedView, Vec<Vec<u8>>), Problem> {
        let source = self.source_number(&call.source)?;
        let statement = format!(
            "SELECT {COLUMNS} FROM refused WHERE source = ? AND slot = ? AND number = ? AND time >= ?"
        );
        let slot = call.number % KEPT;
        let values = [
            source.into(),
            slot.into(),
            call.number.into(),
            now.minus(KEPT_MS).into(),
        ];
        let row = self
            .sql
            .row(&statement, &values)?
            .ok_or_else(Problem::not_found)?;
        let (view, body) = read(&row)?;
        Ok((view, vec![body]))
    }

    /// Takes away what is too old, wherever nothing was refused since. Part of retention.
    pub(crate) fn prune_refused(&mut self, now: Millis) -> Result<(), Problem> {
        let old = now.minus(KEPT_MS);
        let sources: Vec<u16> = self.memory()?.sources.keys().copied().collect();
        for source in sources {
            let statement = "DELETE FROM refused WHERE source = ? AND time < ?";
            self.sql.run(statement, &[source.into(), old.into()])?;
        }
        Ok(())
    }

    /// What was refused goes with its source.
    pub(crate) fn forget_refused(&self, source: u16) -> Result<(), Problem> {
        self.sql
            .run("DELETE FROM refused WHERE source = ?", &[source.into()])?;
        self.sql
            .run("DELETE FROM refusal_count WHERE source = ?", &[source.into()])?;
        Ok(())
    }

    fn last_refused(&self, source: u16) -> Result<u64, Problem> {
        let statement = "SELECT number FROM refused WHERE source = ? ORDER BY number DESC LIMIT 1";
        let row = self.sql.row(statement, &[source.into()])?;
        row.map_or(Ok(0), |row| row.number(0))
    }
}

fn read(row: &Row) -> Result<(RefusedView, Vec<u8>), Problem> {
    let view = RefusedView {
        number: row.number(0)?,
        time: row.time(1)?,
        reason: row.text(2)?,
        detail: row.text(3)?,
        request: json::read(&row.text(4)?).map_err(Problem::internal)?,
    };
    Ok((view, row.blob(5)?))
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
