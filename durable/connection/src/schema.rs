//! Brings the storage to this release's schema.

use postern_domain::problem::Problem;

use crate::sql::{Sql, Value};

/// The numbered steps, oldest first. Additive: the release before still runs on the result.
pub const STEPS: &[&str] = &[include_str!("../../schema/connection_0001.sql")];

/// Which schema the storage has; 0: none.
pub(crate) fn version<S: Sql>(sql: &S) -> Result<usize, Problem> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
    if sql.row(table, &[])?.is_none() {
        return Ok(0);
    }
    let row = sql.row("SELECT value FROM meta WHERE name = 'schema'", &[])?;
    let row = row.ok_or_else(|| Problem::internal("the storage has no schema version"))?;
    row.small::<u16>(0).map(usize::from)
}

/// Applies what is missing, all of it or nothing. A newer release may have been here and gone: its schema is additive.
pub(crate) fn upgrade<S: Sql>(sql: &S, from: usize) -> Result<(), Problem> {
    if from >= STEPS.len() {
        return Ok(());
    }
    sql.atomic(|sql| {
        for step in &STEPS[from..] {
            execute(sql, step)?;
        }
        sql.run(
            "INSERT INTO meta VALUES ('schema', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            &[Value::from(u64::try_from(STEPS.len()).unwrap_or(u64::MAX))],
        )?;
        Ok(())
    })
}

/// Runs a script of ours: statements end with `;` at the end of a line, and comments hold no such line.
fn execute<S: Sql>(sql: &S, script: &str) -> Result<(), Problem> {
    let without_comments: String = script
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let statements = without_comments.split(";\n").map(str::trim);
    for statement in statements.filter(|text| !text.is_empty()) {
        sql.run(statement.trim_end_matches(';'), &[])?;
    }
    Ok(())
}
