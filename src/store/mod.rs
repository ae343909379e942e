//! D1, the directory over the objects: one file a noun, and the only place with D1's SQL.
//!
//! No message needs anything here on its way.

pub(crate) mod application;
pub(crate) mod background_task;
pub(crate) mod broadcast;
pub(crate) mod connection;
pub(crate) mod erasure;
pub(crate) mod event_type;
pub(crate) mod idempotency;
pub(crate) mod master_key;
pub(crate) mod oauth_app;
pub(crate) mod page;
pub(crate) mod revocation;
pub(crate) mod route;
pub(crate) mod uid;

use futures::future::LocalBoxFuture;
use postern_domain::problem::Problem;
use postern_platform::http;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;
use worker::{D1Database, D1PreparedStatement, D1Result, Env};

/// The database.
pub(crate) struct Directory(D1Database);

impl Directory {
    /// The binding `DB`.
    pub(crate) fn new(env: &Env) -> Result<Self, Problem> {
        env.d1("DB").map(Self).map_err(|error| broken(&error))
    }

    /// Whether it answers at all.
    pub(crate) async fn touch(&self) -> Result<(), Problem> {
        self.rows::<serde_json::Value>("SELECT 1 AS one", &[])
            .await
            .map(drop)
    }

    /// Rows of a query.
    async fn rows<T: DeserializeOwned>(&self, sql: &str, values: &[JsValue]) -> Result<Vec<T>, Problem> {
        let result = self.found(sql, values).await?;
        result.results().map_err(|error| broken(&error))
    }

    /// In a box of its own, so that its code stands in the Worker once and not once for every kind of row.
    fn found<'a>(
        &'a self,
        sql: &'a str,
        values: &'a [JsValue],
    ) -> LocalBoxFuture<'a, Result<D1Result, Problem>> {
        Box::pin(async move {
            let result = self.statement(sql, values)?.all().await;
            result.map_err(|error| broken(&error))
        })
    }

    /// The only row of a query, if there is one.
    async fn row<T: DeserializeOwned>(&self, sql: &str, values: &[JsValue]) -> Result<Option<T>, Problem> {
        self.rows(sql, values).await.map(|rows| rows.into_iter().next())
    }

    /// Runs a statement; how many rows it changed.
    async fn change(&self, sql: &str, values: &[JsValue]) -> Result<usize, Problem> {
        let result = self
            .statement(sql, values)?
            .run()
            .await
            .map_err(|error| broken(&error))?;
        let meta = result.meta().map_err(|error| broken(&error))?;
        Ok(meta.and_then(|meta| meta.changes).unwrap_or_default())
    }

    /// Runs statements in order, all or none.
    async fn all(&self, statements: &[(&str, Vec<JsValue>)]) -> Result<(), Problem> {
        let statements: Result<Vec<_>, Problem> = statements
            .iter()
            .map(|(sql, values)| self.statement(sql, values))
            .collect();
        let results = self.0.batch(statements?).await.map_err(|error| broken(&error))?;
        match results.iter().find_map(D1Result::error) {
            Some(error) => Err(Problem::internal(format!("D1: {error}"))),
            None => Ok(()),
        }
    }

    fn statement(&self, sql: &str, values: &[JsValue]) -> Result<D1PreparedStatement, Problem> {
        self.0.prepare(sql).bind(values).map_err(|error| broken(&error))
    }
}

fn broken(error: &worker::Error) -> Problem {
    Problem::internal(format!("D1: {}", http::message(error)))
}

/// A text, or NULL.
fn text<T: AsRef<str>>(value: Option<T>) -> JsValue {
    value.map_or(JsValue::NULL, |text| JsValue::from_str(text.as_ref()))
}

/// A whole number. D1 knows doubles only, and what is stored here stays below 2^53, where they are exact.
#[expect(clippy::cast_precision_loss, reason = "times and counts stay below 2^53")]
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

/// A truth, as 0 or 1.
fn flag(value: bool) -> JsValue {
    number(u64::from(value))
}
