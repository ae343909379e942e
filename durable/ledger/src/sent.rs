//! Headers of an attempt, as they were sent and answered: kept in the attempt's own row.

use postern_domain::id::AttemptId;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::wire::report::SendResult;
use postern_domain::wire::signing::{AttemptHeaders, AttemptHeadersView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Ledger;
use crate::sql::{Row, Sql, Value};

/// Bytes of one side's headers at the most, as they are kept.
const MOST: usize = 2048;

/// What an attempt's row keeps of the headers: sent, answered. What does not fit is left out, from the end.
pub(crate) fn header_values(result: &SendResult) -> [Value; 2] {
    [kept(&result.sent_headers), kept(&result.response_headers)]
}

impl<S: Sql> Ledger<S> {
    /// The headers of one attempt of a message.
    pub(crate) fn attempt_headers(&mut self, call: &AttemptHeaders) -> Result<AttemptHeadersView, Problem> {
        let message = self.message_named(&call.message)?;
        let message = self.message_view(message)?.ok_or_else(Problem::not_found)?.id;
        let attempt: AttemptId = call.attempt.parse().map_err(|_| Problem::not_found())?;
        let (endpoint, number, sequence) = (attempt.endpoint(), attempt.0.time, message.0.sequence);
        // The whole id is compared: it may be another message's.
        if attempt != AttemptId::new(message, endpoint, number) {
            return Err(Problem::not_found());
        }
        let segment = self.memory()?.segment_of(sequence).map(|segment| segment.number);
        let segment = segment.ok_or_else(Problem::not_found)?;
        let columns = "sent_headers, response_headers";
        let first = format!(
            "SELECT {columns} FROM delivery_{segment} WHERE endpoint = ? AND sequence = ? AND number = ?"
        );
        let row = self
            .sql
            .row(&first, &[endpoint.into(), sequence.into(), number.into()])?;
        let row = if let Some(row) = row {
            row
        } else {
            let later = format!(
                "SELECT {columns} FROM attempt_{segment} WHERE endpoint = ? AND number = ? AND sequence = ?"
            );
            self.sql
                .row(&later, &[endpoint.into(), number.into(), sequence.into()])?
                .ok_or_else(Problem::not_found)?
        };
        Ok(AttemptHeadersView {
            sent: read(&row, 0)?.unwrap_or_default(),
            response: read(&row, 1)?,
        })
    }
}

fn kept<T: Serialize>(headers: &[T]) -> Value {
    let mut text = String::from("[");
    for header in headers {
        let Ok(header) = serde_json::to_string(header) else {
            continue;
        };
        if text.len() + header.len() + 2 > MOST {
            break;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&header);
    }
    text.push(']');
    if headers.is_empty() {
        Value::Null
    } else {
        Value::Text(text)
    }
}

fn read<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<Vec<T>>, Problem> {
    let text = row.maybe(column, Row::text)?;
    text.map(|text| json::read(&text).map_err(Problem::internal))
        .transpose()
}
