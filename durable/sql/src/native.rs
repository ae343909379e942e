//! The twin of the object's storage on `SQLite`, for tests on the host. Numbers bind as doubles, as they do on the platform.

use std::cell::{Cell, RefCell};

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::{Row, Sql, Value, broken};

/// Statements that are kept ready: all that an object has. Most of a test's time would go into reading them again.
const STATEMENTS: usize = 500;

/// An object's storage in memory or in a file.
#[derive(Debug)]
pub struct NativeSql {
    connection: Connection,
    alarm: Cell<Option<Millis>>,
    depth: Cell<u32>,
    /// Set to answer another size than its own.
    pub pretended_size: Cell<Option<u64>>,
    /// Every statement that was run, for tests that look at query plans.
    pub statements: RefCell<std::collections::BTreeSet<String>>,
}

impl NativeSql {
    /// Empty, in memory.
    ///
    /// # Panics
    /// When `SQLite` cannot be opened.
    #[must_use]
    pub fn in_memory() -> Self {
        let connection = Connection::open_in_memory().expect("SQLite opens in memory");
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Self {
            connection,
            alarm: Cell::new(None),
            depth: Cell::new(0),
            pretended_size: Cell::new(None),
            statements: RefCell::default(),
        }
    }

    /// When the alarm rings.
    #[must_use]
    pub fn alarm(&self) -> Option<Millis> {
        self.alarm.get()
    }

    /// Whether work that is stored whole or not at all goes on.
    #[must_use]
    pub fn is_atomic(&self) -> bool {
        self.depth.get() > 0
    }

    /// The connection, for tests that look for themselves.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(Stored::Null),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the platform binds doubles, and this is its twin"
            )]
            Value::Int(n) => ToSqlOutput::Owned(Stored::Real(*n as f64)),
            Value::Real(n) => ToSqlOutput::Owned(Stored::Real(*n)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl Sql for NativeSql {
    fn run(&self, statement: &str, values: &[Value]) -> Result<u64, Problem> {
        self.rows(statement, values)?;
        Ok(self.connection.changes())
    }

    fn rows(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Problem> {
        let text = |error: rusqlite::Error| broken(&format!("{error} in {statement}"));
        self.statements.borrow_mut().insert(statement.to_owned());
        let mut prepared = self.connection.prepare_cached(statement).map_err(text)?;
        let columns = prepared.column_count();
        let mut cursor = prepared
            .query(params_from_iter(values.iter().map(Bound)))
            .map_err(text)?;
        let mut rows = Vec::new();
        while let Some(row) = cursor.next().map_err(text)? {
            let value = |column| {
                Ok(match row.get_ref(column).map_err(text)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(n) => Value::Int(n),
                    ValueRef::Real(n) => whole(n),
                    ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                    ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                })
            };
            rows.push(Row((0..columns).map(value).collect::<Result<_, Problem>>()?));
        }
        Ok(rows)
    }

    fn atomic<T>(&self, work: impl FnOnce(&Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let (depth, alarm) = (self.depth.get(), self.alarm.get());
        let batch = |sql: String| self.connection.execute_batch(&sql).map_err(Problem::internal);
        batch(format!("SAVEPOINT s{depth}"))?;
        self.depth.set(depth + 1);
        let done = work(self);
        self.depth.set(depth);
        match done {
            Ok(value) => batch(format!("RELEASE s{depth}")).map(|()| value),
            Err(problem) => {
                self.alarm.set(alarm);
                batch(format!("ROLLBACK TO s{depth}; RELEASE s{depth}"))?;
                Err(problem)
            }
        }
    }

    fn set_alarm(&self, at: Option<Millis>) -> Result<(), Problem> {
        self.alarm.set(at);
        Ok(())
    }

    fn size(&self) -> u64 {
        let pragma = |name: &str| {
            self.connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
                .unwrap_or(0)
        };
        // As the platform counts: what was dropped is free, though SQLite keeps the pages.
        let pages = pragma("page_count") - pragma("freelist_count");
        let own = u64::try_from(pages * pragma("page_size")).unwrap_or(0);
        self.pretended_size.get().unwrap_or(own)
    }
}

/// A whole number that was stored as a double reads as a whole number, as it does through JavaScript.
fn whole(n: f64) -> Value {
    let most = 9_007_199_254_740_991.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    if n.fract() == 0.0 && n.abs() <= most {
        Value::Int(n as i64)
    } else {
        Value::Real(n)
    }
}
