//! A tenant's object begins and ends.

use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Configure, SetUp, Wipe};

use crate::sql::{Sql, Value};
use crate::{Armed, Ledger, schema};

impl<S: Sql> Ledger<S> {
    /// Makes the object a tenant's, all at once. Again by the same organisation: nothing changes, so that a create that
    /// was cut off between D1 and the object can be finished.
    pub(crate) fn set_up(&mut self, tenant: TenantId, call: &SetUp, now: Millis) -> Result<(), Problem> {
        if schema::version(&self.sql)?.is_some() {
            return match self.memory() {
                Ok(memory) if memory.organisation == call.organisation => Ok(()),
                // Another's, or wiped: an id is never used twice.
                _ => Err(Problem::new(
                    Code::Conflict,
                    "This application was deleted; make a new one",
                )),
            };
        }
        let settings = serde_json::to_string(&call.settings).map_err(Problem::internal)?;
        self.sql.atomic(|sql| {
            schema::upgrade(sql, 0)?;
            let meta = "INSERT INTO meta VALUES ('tenant', ?), ('organisation', ?), ('settings', ?)";
            let values = [tenant.to_string(), call.organisation.to_string(), settings].map(Value::from);
            sql.run(meta, &values)?;
            let size = Value::from(sql.size());
            sql.run(
                "INSERT INTO segment VALUES (1, 1, ?, ?, NULL)",
                &[now.into(), size],
            )?;
            sql.run("INSERT INTO key_generation VALUES (1, ?)", &[now.into()])?;
            schema::create_segment(sql, 1)?;
            schema::create_keys(sql, 1)
        })?;
        self.memory = None;
        Ok(())
    }

    /// Changes what the tenant's owner may set. Counts for every retry that is planned from now on; another retention
    /// with the alarm, which rings at once.
    pub(crate) fn configure(&mut self, call: Configure, now: Millis) -> Result<(), Problem> {
        let text = serde_json::to_string(&call.settings).map_err(Problem::internal)?;
        let retention = self.memory()?.settings.retention_days;
        let armed = self.sql.atomic(|sql| {
            let statement = "UPDATE meta SET value = ? WHERE name = 'settings'";
            sql.run(statement, &[text.into()])?;
            if retention == call.settings.retention_days {
                Ok(self.armed)
            } else {
                self.wake_by(now.plus(1), now)
            }
        })?;
        self.armed = armed;
        let memory = self.memory()?;
        memory.tenant_bucket = None;
        memory.settings = call.settings;
        Ok(())
    }

    /// Erases everything but one row, which refuses all calls from now on.
    pub(crate) fn wipe(&mut self, _call: &Wipe) -> Result<(), Problem> {
        if schema::version(&self.sql)?.is_none() {
            return Ok(());
        }
        self.sql.atomic(|sql| {
            let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('meta') \
                          AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'";
            for row in sql.rows(tables, &[])? {
                sql.run(&format!("DROP TABLE {}", row.text(0)?), &[])?;
            }
            sql.run("DELETE FROM meta WHERE name <> 'schema'", &[])?;
            sql.set_alarm(None)?;
            Ok(())
        })?;
        self.memory = None;
        self.outbox.clear();
        self.desk.over = true;
        self.armed = Armed::No;
        Ok(())
    }
}
