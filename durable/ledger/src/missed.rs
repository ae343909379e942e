//! What an endpoint missed while it was off: the offer that goes with turning it on again.

use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::replay::{Counted, Missed, MissedView};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::select::{Bounds, Place, Selection};
use crate::sql::Sql;
use crate::task::COUNTED;

/// When an endpoint was last turned off and on. In `meta`, one row for each that ever was off.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Off {
    since: Millis,
    #[serde(default)]
    until: Option<Millis>,
}

/// Keeps when an endpoint is turned off. Part of the caller's transaction.
pub(crate) fn note_off<S: Sql>(sql: &S, number: u32, now: Millis) -> Result<(), Problem> {
    let off = Off {
        since: now,
        until: None,
    };
    write(sql, number, off)
}

fn write<S: Sql>(sql: &S, number: u32, off: Off) -> Result<(), Problem> {
    let text = serde_json::to_string(&off).map_err(Problem::internal)?;
    sql.run(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        &[name(number).into(), text.into()],
    )?;
    Ok(())
}

impl<S: Sql> Ledger<S> {
    /// Keeps when an endpoint is turned off or on. Whoever turns one off calls this, before it does.
    pub(crate) fn note_turned(&mut self, number: u32, off: bool, now: Millis) -> Result<(), Problem> {
        if off {
            return note_off(&self.sql, number, now);
        }
        let Some(before) = self.off(number)? else {
            return Ok(());
        };
        let until = Some(now);
        write(&self.sql, number, Off { until, ..before })
    }

    /// What was cancelled when it was turned off, and what came while it was off and matches it as it is now: exactly what
    /// a replay of what is missing would send it, from the oldest of it on.
    pub(crate) fn missed(&mut self, call: &Missed, now: Millis) -> Result<MissedView, Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let Some(off) = self.off(number)? else {
            return Ok(MissedView {
                since: None,
                until: None,
                counted: Counted::default(),
                oldest: None,
            });
        };
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&number).ok_or_else(Problem::not_found)?;
        let (made, generation) = (endpoint.created_at, endpoint.generation);
        let plan = endpoint
            .config
            .retry_schedule
            .clone()
            .or_else(|| memory.settings.retry_schedule.clone())
            .unwrap_or_default();
        let steps: u64 = plan.steps().iter().map(|step| u64::from(*step) * 1150).sum();
        // What was open when it was turned off is not older than its plan, by far not always that old.
        let from = off.since.minus(steps + self.settings.lease_ms).max(made);
        let low = self.sequence_at(from)?;
        let high = self
            .sequence_at(off.until.unwrap_or(now).plus(1))?
            .saturating_sub(1);
        let selection = Selection {
            endpoints: vec![(number, generation)],
            low,
            high,
            states: Vec::new(),
            missing: true,
            event_types: None,
            channel: None,
            status_code_class: None,
            messages: None,
        };
        let bounds = Bounds {
            looked: COUNTED,
            chosen: usize::MAX,
            even_off: true,
        };
        let found = self.select(&selection, Place::default(), bounds)?;
        let counted = self.counted(&found)?;
        Ok(MissedView {
            since: Some(off.since),
            until: off.until,
            oldest: counted.sample.first().map(|chosen| Millis(chosen.message.0.time)),
            counted,
        })
    }

    /// One that was made disabled is off since then.
    fn off(&mut self, number: u32) -> Result<Option<Off>, Problem> {
        let row = self
            .sql
            .row("SELECT value FROM meta WHERE name = ?", &[name(number).into()])?;
        if let Some(row) = row {
            let off = json::read(&row.text(0)?).map_err(Problem::internal)?;
            return Ok(Some(off));
        }
        let endpoint = self.memory()?.endpoints.get(&number);
        Ok(endpoint
            .filter(|endpoint| endpoint.config.disabled)
            .map(|endpoint| Off {
                since: endpoint.created_at,
                until: None,
            }))
    }
}

fn name(endpoint: u32) -> String {
    format!("off_{endpoint}")
}
