//! A storage that outlives the ledger on it, and that can fail where a test wants it to.

use std::cell::Cell;
use std::rc::Rc;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_ledger::native::NativeSql;
use postern_ledger::sql::{Row, Sql, Value, broken};

/// One object's storage; a copy is the same storage.
#[derive(Debug, Clone)]
pub struct Storage {
    native: Rc<NativeSql>,
    /// Statements that still go well; then one fails.
    fails_in: Rc<Cell<Option<u32>>>,
    writes: Rc<Cell<u64>>,
}

impl Storage {
    /// Empty, in memory.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            native: Rc::new(NativeSql::in_memory()),
            fails_in: Rc::default(),
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

    /// Whether a failure that was asked for has not come yet.
    #[must_use]
    pub fn will_fail(&self) -> bool {
        self.fails_in.get().is_some()
    }

    /// Statements that wrote, and alarms set, so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    fn wrote(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    fn step(&self) -> Result<(), Problem> {
        match self.fails_in.get() {
            Some(0) => {
                self.fails_in.set(None);
                Err(broken("planted"))
            }
            rest => {
                self.fails_in.set(rest.map(|rest| rest - 1));
                Ok(())
            }
        }
    }
}

impl Sql for Storage {
    fn run(&self, statement: &str, values: &[Value]) -> Result<u64, Problem> {
        self.step()?;
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
        if !self.native.connection().is_autocommit() {
            self.step()?;
        }
        self.wrote();
        self.native.set_alarm(at)
    }

    fn size(&self) -> u64 {
        self.native.size()
    }
}
