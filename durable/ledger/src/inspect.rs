//! Counts, for tests and for the operator. Reads every table: not on anybody's way.

use postern_domain::problem::Problem;
use serde_json::{Value as Json, json};

use crate::sql::Sql;
use crate::{Armed, Ledger};

impl<S: Sql> Ledger<S> {
    pub(crate) fn inspect(&mut self) -> Result<Json, Problem> {
        self.memory()?;
        let count = |table: &str| -> Result<i64, Problem> {
            let row = self.sql.row(&format!("SELECT count(*) FROM {table}"), &[])?;
            row.map_or(Ok(0), |row| row.int(0))
        };
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let (mut messages, mut attempts, mut states) = (0, 0, [0_i64; 4]);
        for segment in &memory.segments {
            messages += count(&format!("message_{}", segment.number))?;
            attempts += count(&format!("attempt_{}", segment.number))?;
            for (state, sum) in states.iter_mut().enumerate() {
                *sum += count(&format!("delivery_{} WHERE state = {state}", segment.number))?;
            }
        }
        let [delivered, waiting, failed, cancelled] = states;
        let rejected = self.sql.rows(
            "SELECT source, reason, detail FROM refused ORDER BY time DESC",
            &[],
        )?;
        let rejected: Result<Vec<Json>, Problem> = rejected
            .iter()
            .map(|row| Ok(json!({"source": row.int(0)?, "reason": row.text(1)?, "detail": row.text(2)?})))
            .collect();
        Ok(json!({
            "messages": messages,
            "deliveries": {"delivered": delivered, "waiting": waiting, "failed": failed, "cancelled": cancelled},
            "attempts": attempts,
            "due": count("due")?,
            "backlog": count("backlog")?,
            "outbox": count("outbox")?,
            "segments": memory.segments.len(),
            "mark": memory.mark,
            "lastSequence": memory.last_sequence,
            "size": self.sql.size(),
            "fullness": memory.fullness.as_str(),
            "alarm": match self.armed { Armed::At(at) => json!(at), _ => Json::Null },
            "rejected": rejected?,
        }))
    }
}
