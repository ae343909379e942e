//! The object's storage behind [`Sql`].
//!
//! A binding of our own, because every call that steps a cursor must catch: the library's cursors let a JavaScript error
//! pass through Rust uncaught, and the request hangs.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use js_sys::{Array, ArrayBuffer, JsString, Number, Promise, Reflect, Uint8Array};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_ledger::sql::{Row, Sql, Value, broken};
use postern_platform::clock;
use wasm_bindgen::prelude::*;
use worker::State;
use worker::worker_sys::DurableObjectState;

/// The largest whole number that a double keeps.
const MOST: i64 = (1 << 53) - 1;

#[wasm_bindgen]
extern "C" {
    type JsSql;
    #[wasm_bindgen(method, catch, variadic)]
    fn exec(this: &JsSql, statement: &str, values: Array) -> Result<JsCursor, JsValue>;
    #[wasm_bindgen(method, getter, js_name = databaseSize)]
    fn database_size(this: &JsSql) -> f64;

    type JsCursor;
    #[wasm_bindgen(method, catch)]
    fn raw(this: &JsCursor) -> Result<JsRows, JsValue>;
    #[wasm_bindgen(method, getter, js_name = rowsWritten)]
    fn rows_written(this: &JsCursor) -> f64;

    type JsRows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    fn to_array(this: &JsRows) -> Result<Array, JsValue>;

    type JsStorage;
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &JsStorage,
        work: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &JsStorage, at: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    fn delete_alarm(this: &JsStorage) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    fn get_alarm(this: &JsStorage) -> Result<Promise, JsValue>;
}

/// Storage of this object.
pub(crate) struct ObjectStorage {
    sql: JsSql,
    storage: JsStorage,
    /// Rows written and alarms set since the object woke, as they are billed.
    written: Cell<u64>,
    /// How far the object's clock is ahead of the platform's, in milliseconds. Nothing but a test moves it.
    ahead: Cell<u64>,
}

impl ObjectStorage {
    /// The storage of this object's state. Gives the state back, twice: the library's handles are made anew of the same.
    pub(crate) fn of(state: State) -> (Self, State, State) {
        let sql: JsValue = state.storage().sql().as_ref().clone();
        let inner = state._inner();
        let storage = Reflect::get(inner.as_ref(), &"storage".into()).unwrap_or(JsValue::UNDEFINED);
        let storage = Self {
            sql: sql.unchecked_into(),
            storage: storage.unchecked_into(),
            written: Cell::new(0),
            ahead: Cell::new(0),
        };
        let again: &JsValue = inner.as_ref();
        let again = State::from(again.clone().unchecked_into::<DurableObjectState>());
        (storage, State::from(inner), again)
    }

    /// Asks when the alarm rings: the answer is read by [`Self::alarm_of`], so that nothing is borrowed meanwhile.
    pub(crate) fn alarm_promise(&self) -> Result<Promise, Problem> {
        self.storage.get_alarm().map_err(text)
    }

    /// The answer.
    pub(crate) async fn alarm_of(promise: Promise) -> Result<Option<Millis>, Problem> {
        let at = wasm_bindgen_futures::JsFuture::from(promise)
            .await
            .map_err(text)?;
        Ok(at.as_f64().map(millis))
    }

    /// Rows written and alarms set since the object woke.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// The object's time.
    pub(crate) fn now(&self) -> Millis {
        clock::now().plus(self.ahead.get())
    }

    /// From here on the object's clock is so many milliseconds ahead. Alarms set before ring when they would have.
    pub(crate) fn set_ahead(&self, ms: u64) {
        self.ahead.set(ms);
    }

    fn execute(&self, statement: &str, values: &[Value]) -> Result<JsCursor, Problem> {
        let bound = Array::new();
        for value in values {
            bound.push(&to_js(value)?);
        }
        let cursor = self.sql.exec(statement, bound);
        let cursor = cursor.map_err(|error| broken(&format!("{} in {statement}", said(&error))))?;
        Ok(cursor)
    }

    fn count(&self, cursor: &JsCursor) -> u64 {
        let rows = millis(cursor.rows_written()).0;
        self.written.set(self.written.get() + rows);
        rows
    }
}

// Counters only: a panic between two of them leaves nothing half done.
impl std::panic::UnwindSafe for ObjectStorage {}
impl std::panic::RefUnwindSafe for ObjectStorage {}

impl Sql for ObjectStorage {
    fn run(&self, statement: &str, values: &[Value]) -> Result<u64, Problem> {
        let cursor = self.execute(statement, values)?;
        Ok(self.count(&cursor))
    }

    fn rows(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Problem> {
        let cursor = self.execute(statement, values)?;
        let all = cursor.raw().and_then(|rows| rows.to_array()).map_err(text)?;
        self.count(&cursor);
        Ok(all
            .iter()
            .map(|row| Row(Array::from(&row).iter().map(|value| from_js(&value)).collect()))
            .collect())
    }

    fn atomic<T>(&self, work: impl FnOnce(&Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let (mut work, mut done) = (Some(work), None);
        let mut state = AssertUnwindSafe((&mut work, &mut done));
        let committed = self.storage.transaction_sync(&mut move || {
            let (work, done) = &mut *state;
            let Some(work) = work.take() else {
                return Err(JsValue::from_str("called twice"));
            };
            let result = work(self);
            let failed = result.is_err();
            **done = Some(result);
            // A throw makes the runtime roll back.
            if failed {
                Err(JsValue::from_str("rolled back"))
            } else {
                Ok(JsValue::UNDEFINED)
            }
        });
        match (committed, done) {
            (Ok(_), Some(result)) | (Err(_), Some(result @ Err(_))) => result,
            (Err(error), _) => Err(text(error)),
            (Ok(_), None) => Err(Problem::internal("a transaction that did not run")),
        }
    }

    fn set_alarm(&self, at: Option<Millis>) -> Result<(), Problem> {
        // Not awaited: the write is part of this turn, and of the transaction that it stands in.
        let _promise = match at {
            Some(at) => {
                self.written.set(self.written.get() + 1);
                #[expect(clippy::cast_precision_loss, reason = "48 bits")]
                self.storage
                    .set_alarm(at.minus(self.ahead.get()).0 as f64)
                    .map_err(text)?
            }
            None => self.storage.delete_alarm().map_err(text)?,
        };
        Ok(())
    }

    fn size(&self) -> u64 {
        millis(self.sql.database_size()).0
    }
}

fn to_js(value: &Value) -> Result<JsValue, Problem> {
    Ok(match value {
        Value::Null => JsValue::NULL,
        Value::Int(n) if n.abs() > MOST => return Err(broken(&format!("{n} does not fit a double"))),
        #[expect(clippy::cast_precision_loss, reason = "checked above")]
        Value::Int(n) => JsValue::from_f64(*n as f64),
        Value::Real(n) => JsValue::from_f64(*n),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(bytes.as_slice()).into(),
    })
}

fn from_js(value: &JsValue) -> Value {
    if let Some(text) = value.dyn_ref::<JsString>() {
        return Value::Text(text.into());
    }
    if let Some(number) = value.dyn_ref::<Number>() {
        let n = number.value_of();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "whole and within 2^53"
        )]
        return if n.fract() == 0.0 && n.abs() <= MOST as f64 {
            Value::Int(n as i64)
        } else {
            Value::Real(n)
        };
    }
    if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        return Value::Blob(Uint8Array::new(buffer).to_vec());
    }
    Value::Null
}

/// A whole number that came as a double.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time, a count or a size: below 2^53"
)]
fn millis(n: f64) -> Millis {
    Millis(n.max(0.0) as u64)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn text(error: JsValue) -> Problem {
    broken(&said(&error))
}

/// The error's message, without its stack.
fn said(error: &JsValue) -> String {
    let message = error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()));
    message
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "unknown".to_owned())
}
