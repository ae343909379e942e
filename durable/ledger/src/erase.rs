//! Erasing a tenant, told: what there was is counted before it goes.

use postern_domain::problem::Problem;
use postern_domain::wire::call::Wipe;
use postern_domain::wire::moving::Erased;

use crate::Ledger;
use crate::sql::{Sql, Value};

/// Rows that are counted one by one at the most: a full object must not die of being counted.
const MOST_COUNTED: u64 = 250_000;

impl<S: Sql> Ledger<S> {
    /// Counts, and wipes in the same turn: nothing can come between.
    pub(crate) fn erase(&mut self) -> Result<Erased, Problem> {
        let told = self.count_all()?;
        self.wipe(&Wipe {})?;
        Ok(told)
    }

    fn count_all(&mut self) -> Result<Erased, Problem> {
        let memory = self.memory()?;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        // Sequence numbers have no gap inside of what is kept.
        let messages = (memory.last_sequence + 1).saturating_sub(oldest);
        let (endpoints, sources) = (memory.endpoints.len() as u64, memory.sources.len() as u64);
        let segments: Vec<u64> = memory.segments.iter().map(|segment| segment.number).collect();
        let mut left = MOST_COUNTED;
        let (mut deliveries, mut attempts) = (0, 0);
        for segment in segments {
            let rows = format!(
                "SELECT count(*), count(number) FROM \
                 (SELECT number FROM delivery_{segment} WHERE endpoint >= 0 LIMIT ?)"
            );
            let [rows, first] = self.rows_within(&rows, left)?;
            left = left.saturating_sub(rows);
            let later = format!(
                "SELECT count(*), 0 FROM (SELECT 1 FROM attempt_{segment} WHERE endpoint >= 0 LIMIT ?)"
            );
            let [later, _] = self.rows_within(&later, left)?;
            left = left.saturating_sub(later);
            deliveries += rows;
            attempts += first + later;
        }
        let rows = "SELECT count(*), 0 FROM (SELECT 1 FROM entitlement WHERE customer > '' LIMIT ?)";
        let [entitlements, _] = self.rows_within(rows, left)?;
        left = left.saturating_sub(entitlements);
        Ok(Erased {
            messages,
            deliveries,
            attempts,
            endpoints,
            sources,
            entitlements,
            bytes: self.sql.size(),
            exact: left > 0,
        })
    }

    fn rows_within(&self, statement: &str, most: u64) -> Result<[u64; 2], Problem> {
        let row = self.sql.row(statement, &[Value::from(most)])?;
        let row = row.ok_or_else(|| Problem::internal("a count without a row"))?;
        Ok([row.number(0)?, row.number(1)?])
    }
}
