//! Brings the storage to this release's schema.

use postern_domain::problem::Problem;

use crate::sql::{Sql, Value};

/// One numbered step: what it adds beside the segments, and to the tables of each segment.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Statements for the object.
    pub object: &'static str,
    /// Statements for every segment, the standing ones and those to come; `{s}` is its number.
    pub segment: &'static str,
}

/// The numbered steps, oldest first. Additive: the release before still runs on the result. It writes `message`, `due`,
/// `backlog`, `meta` and `segment` without naming columns, so those never get another one.
pub const STEPS: &[Step] = &[
    Step {
        object: include_str!("../../schema/0001.sql"),
        segment: include_str!("../../schema/segment.sql"),
    },
    Step {
        object: include_str!("../../schema/0002.sql"),
        segment: include_str!("../../schema/0002_segment.sql"),
    },
    Step {
        // One file a topic: they make one step because they are released together.
        object: concat!(
            include_str!("../../schema/0003_inbound.sql"),
            include_str!("../../schema/0003_entitlement.sql"),
            include_str!("../../schema/0003_entitlement_end.sql"),
            include_str!("../../schema/0003_route.sql"),
            include_str!("../../schema/0003_watch.sql"),
        ),
        segment: "",
    },
];

/// The schema that this release writes.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

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
    let segments: Vec<u64> = if done == 0 {
        Vec::new() // set up: its first segment is made by the caller, of all steps
    } else {
        let rows = sql.rows("SELECT number FROM segment ORDER BY number", &[])?;
        rows.iter().map(|row| row.number(0)).collect::<Result<_, _>>()?
    };
    for step in STEPS.iter().skip(done) {
        execute(sql, step.object)?;
        for segment in &segments {
            execute(sql, &step.segment.replace("{s}", &segment.to_string()))?;
        }
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
    for step in STEPS {
        execute(sql, &step.segment.replace("{s}", &number.to_string()))?;
    }
    Ok(())
}

/// Drops the tables of a segment: costs no billed rows.
pub(crate) fn drop_segment<S: Sql>(sql: &S, number: u64) -> Result<(), Problem> {
    for table in ["message", "delivery", "attempt", "ordered", "extra"] {
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
