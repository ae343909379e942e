//! What is kept in memory: a copy of what is stored, dropped whenever a write fails.

use postern_domain::problem::Problem;

use crate::credential::{self, Credential, Opener};
use crate::record::{self, Record};
use crate::sql::Sql;
use crate::{Connection, schema};

/// The connection as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) record: Record,
    pub(crate) credential: Option<Credential>,
}

impl<S: Sql> Connection<S> {
    /// Reads what is stored, once.
    pub(crate) fn wake(&mut self) -> Result<(), Problem> {
        if self.memory.is_some() {
            return Ok(());
        }
        let version = schema::version(&self.sql)?;
        if version == 0 {
            return Ok(());
        }
        schema::upgrade(&self.sql, version)?;
        let Some(record) = record::load(&self.sql)? else {
            return Ok(());
        };
        let credential = credential::load(&self.sql)?;
        self.owes_messages = self.sql.row("SELECT 1 FROM outbox LIMIT 1", &[])?.is_some();
        self.watches.load(&self.sql)?;
        self.memory = Some(Memory { record, credential });
        Ok(())
    }

    /// The connection; 404 if there is none.
    pub(crate) fn standing(&mut self) -> Result<&Memory, Problem> {
        self.wake()?;
        self.memory.as_ref().ok_or_else(Problem::not_found)
    }

    /// What opens and seals its secrets.
    pub(crate) fn opener<'a>(&'a self, record: &Record) -> Opener<'a> {
        Opener {
            keys: self.keys.as_ref(),
            tenant: record.tenant,
            connection: record.id,
        }
    }

    /// Makes the tables, if there are none.
    pub(crate) fn set_up(&mut self) -> Result<(), Problem> {
        let version = schema::version(&self.sql)?;
        schema::upgrade(&self.sql, version)
    }

    /// Forgets the copy: the next step reads again.
    pub(crate) fn forget(&mut self) {
        self.memory = None;
        self.watches.all.clear();
        self.armed = crate::alarm::Armed::Unknown;
    }
}
