//! A storage that outlives the ledger on it, and that can fail where a test wants it to.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_ledger::native::NativeSql;
use postern_ledger::sql::{Row, Sql, Value, broken};
use rusqlite::types::ValueRef;

/// One object's storage; a copy is the same storage.
#[derive(Debug, Clone)]
pub struct Storage {
    native: Rc<NativeSql>,
    /// Statements that still go well; then one fails.
    fails_in: Rc<Cell<Option<u32>>>,
    /// The same of statements that write.
    fails_in_writes: Rc<Cell<Option<u32>>>,
    failures: Rc<Cell<u64>>,
    writes: Rc<Cell<u64>>,
}

impl Storage {
    /// Empty, in memory.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            native: Rc::new(NativeSql::in_memory()),
            fails_in: Rc::default(),
            fails_in_writes: Rc::default(),
            failures: Rc::default(),
            writes: Rc::default(),
        }
    }

    /// The side of the database, for tests that look for themselves.
    #[must_use]
    pub fn native(&self) -> &NativeSql {
        &self.native
    }

    /// Lets one statement fail, after this many went well. `None`: none fails.
    pub fn fail_in(&self, statements: Option<u32>) {
        self.fails_in.set(statements);
    }

    /// Lets one statement that writes fail, after this many went well. `None`: none fails.
    pub fn fail_in_writes(&self, writes: Option<u32>) {
        self.fails_in_writes.set(writes);
    }

    /// Whether a failure that was asked for has not come yet.
    #[must_use]
    pub fn will_fail(&self) -> bool {
        self.fails_in.get().is_some() || self.fails_in_writes.get().is_some()
    }

    /// Failures that came, so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Statements that wrote, and alarms set, so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// All that is stored, as text: what a row holds as bytes also in hexadecimal and base64url. For tests that look for a
    /// secret.
    ///
    /// # Panics
    ///
    /// If the database cannot be read.
    #[must_use]
    pub fn dump(&self) -> String {
        let connection = self.native.connection();
        let mut names = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .expect("a schema");
        let names = names.query_map([], |row| row.get(0)).expect("names");
        let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
        let mut dump = String::new();
        for table in names {
            let mut rows = connection
                .prepare(&format!("SELECT * FROM {table}"))
                .expect("a table");
            let columns = rows.column_count();
            let mut rows = rows.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                for column in 0..columns {
                    match row.get_ref(column).expect("a value") {
                        ValueRef::Text(text) => dump += &String::from_utf8_lossy(text),
                        ValueRef::Blob(bytes) => {
                            dump += &String::from_utf8_lossy(bytes);
                            dump += &hex::encode(bytes);
                            dump += &BASE64_URL_SAFE_NO_PAD.encode(bytes);
                        }
                        other => write!(dump, "{other:?}").expect("memory"),
                    }
                    dump.push('\n');
                }
            }
        }
        dump
    }

    fn wrote(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    fn step(&self) -> Result<(), Problem> {
        self.count_down(&self.fails_in)
    }

    fn count_down(&self, fails_in: &Cell<Option<u32>>) -> Result<(), Problem> {
        if fails_in.get() == Some(0) {
            fails_in.set(None);
            self.failures.set(self.failures.get() + 1);
            return Err(broken("planted"));
        }
        fails_in.set(fails_in.get().map(|rest| rest - 1));
        Ok(())
    }
}

impl Sql for Storage {
    fn run(&self, statement: &str, values: &[Value]) -> Result<u64, Problem> {
        self.step()?;
        self.count_down(&self.fails_in_writes)?;
        self.wrote();
        self.native.run(statement, values)
    }

    fn rows(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Problem> {
        self.step()?;
        self.native.rows(statement, values)
    }

    fn atomic<T>(&self, work: impl FnOnce(&Self) -> Result<T, Problem>) -> Result<T, Problem> {
        self.native.atomic(|_| work(self))
    }

    fn set_alarm(&self, at: Option<Millis>) -> Result<(), Problem> {
        // Alone it never fails by itself: the platform ends an object whose storage is broken, and rings again.
        if self.native.is_atomic() {
            self.step()?;
            self.count_down(&self.fails_in_writes)?;
        }
        self.wrote();
        self.native.set_alarm(at)
    }

    fn size(&self) -> u64 {
        self.native.size()
    }
}
