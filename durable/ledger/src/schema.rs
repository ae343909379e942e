//! Brings the storage to this release's schema.

use postern_domain::problem::Problem;

use crate::sql::{Sql, Value};

/// The numbered steps, oldest first. Additive: the release before still runs on the result.
pub const STEPS: &[&str] = &[include_str!("../../schema/0001.sql")];

/// The schema that this release writes.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

const SEGMENT: &str = include_str!("../../schema/segment.sql");
const KEY: &str = include_str!("../../schema/key.sql");

/// Which schema the storage has; `None`: it was never set up.
pub(crate) fn version<S: Sql>(sql: &S) -> Result<Option<u32>, Problem> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
    if sql.row(table, &[])?.is_none() {
        return Ok(None);
    }
    let row = sql.row("SELECT value FROM meta WHERE name = 'schema'", &[])?;
    let row = row.ok_or_else(|| Problem::internal("the storage has no schema version"))?;
    Ok(Some(row.small(0)?))
}

/// Applies what is missing. Part of the caller's transaction: all steps or none.
pub(crate) fn upgrade<S: Sql>(sql: &S, from: u32) -> Result<(), Problem> {
    let done = usize::try_from(from).map_err(Problem::internal)?;
    if done > STEPS.len() {
        // A newer release was here and this one came back: its schema is additive, so all that we know is there.
        return Ok(());
    }
    for step in STEPS.iter().skip(done) {
        execute(sql, step)?;
    }
    if done < STEPS.len() {
        let version = [Value::from(SCHEMA_VERSION)];
        sql.run(
            "INSERT INTO meta VALUES ('schema', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            &version,
        )?;
    }
    Ok(())
}

/// Makes the tables of a segment.
pub(crate) fn create_segment<S: Sql>(sql: &S, number: u64) -> Result<(), Problem> {
    execute(sql, &SEGMENT.replace("{s}", &number.to_string()))
}

/// Drops the tables of a segment: costs no billed rows.
pub(crate) fn drop_segment<S: Sql>(sql: &S, number: u64) -> Result<(), Problem> {
    for table in ["message", "delivery", "attempt"] {
        sql.run(&format!("DROP TABLE {table}_{number}"), &[])?;
    }
    Ok(())
}

/// Makes the table of a generation of keys.
pub(crate) fn create_keys<S: Sql>(sql: &S, number: u64) -> Result<(), Problem> {
    execute(sql, &KEY.replace("{g}", &number.to_string()))
}

/// Drops a generation of keys.
pub(crate) fn drop_keys<S: Sql>(sql: &S, number: u64) -> Result<(), Problem> {
    sql.run(&format!("DROP TABLE key_{number}"), &[])?;
    Ok(())
}

/// Runs a script of ours: statements end with `;` at the end of a line, and comments hold no such line.
fn execute<S: Sql>(sql: &S, script: &str) -> Result<(), Problem> {
    let without_comments: String = script
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    for statement in without_comments
        .split(";\n")
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        sql.run(statement.trim_end_matches(';'), &[])?;
    }
    Ok(())
}
