//! A delivery's row: where it stands, with its first attempt inside.

use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;

use crate::sql::{Row, Sql, Value, broken};

/// Where a delivery that has a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Delivered,
    Waiting,
    Failed,
    Cancelled,
}

impl State {
    pub(crate) const fn stored(self) -> i64 {
        match self {
            Self::Delivered => 0,
            Self::Waiting => 1,
            Self::Failed => 2,
            Self::Cancelled => 3,
        }
    }

    pub(crate) fn read(row: &Row, column: usize) -> Result<Self, Problem> {
        match row.int(column)? {
            0 => Ok(Self::Delivered),
            1 => Ok(Self::Waiting),
            2 => Ok(Self::Failed),
            3 => Ok(Self::Cancelled),
            other => Err(broken(&format!("no delivery state {other}"))),
        }
    }
}

/// One recorded attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) number: u64,
    pub(crate) time: Millis,
    pub(crate) ok: bool,
    pub(crate) status: Option<u16>,
    pub(crate) duration: u32,
    pub(crate) cause: Option<Cause>,
    pub(crate) url: String,
    pub(crate) response: Vec<u8>,
}

/// Columns of an attempt, as they stand in both tables: number, time, ok, status, duration, cause, url, response.
pub(crate) const ATTEMPT_COLUMNS: &str = "number, time, ok, status, duration, cause, url, response";

/// The same with the headers, which are written with them and read apart.
pub(crate) const WRITTEN_COLUMNS: &str =
    "number, time, ok, status, duration, cause, url, response, sent_headers, response_headers";

/// The same for an update.
pub(crate) const WRITTEN_SET: &str = "number = ?, time = ?, ok = ?, status = ?, duration = ?, cause = ?, url = ?, \
                                      response = ?, sent_headers = ?, response_headers = ?";

impl Recorded {
    pub(crate) fn read(row: &Row, from: usize) -> Result<Self, Problem> {
        Ok(Self {
            number: row.number(from)?,
            time: row.time(from + 1)?,
            ok: row.int(from + 2)? == 1,
            status: row.maybe(from + 3, Row::small)?,
            duration: row.small(from + 4)?,
            cause: row.maybe(from + 5, Row::text)?.map(|text| cause_from(&text)),
            url: row.text(from + 6)?,
            response: row.blob(from + 7)?,
        })
    }

    pub(crate) fn values(&self) -> [Value; 8] {
        [
            self.number.into(),
            self.time.into(),
            self.ok.into(),
            self.status.into(),
            self.duration.into(),
            self.cause.map(cause_text).into(),
            self.url.as_str().into(),
            self.response.as_slice().into(),
        ]
    }
}

/// A delivery's row without its response.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    pub(crate) state: State,
    pub(crate) attempts: u32,
    pub(crate) next_at: Option<Millis>,
    pub(crate) numbers: Vec<u64>,
    /// Hand-out number of the attempt that stands inside, and whether it succeeded.
    pub(crate) first: Option<(u64, bool)>,
}

/// Columns of a [`DeliveryRow`], the first of a statement.
pub(crate) const ROW_COLUMNS: &str = "state, attempts, next_at, numbers, number, ok";

impl DeliveryRow {
    /// Out of a row that begins with [`ROW_COLUMNS`].
    pub(crate) fn read(row: &Row) -> Result<Self, Problem> {
        let first = row.maybe(4, Row::number)?;
        Ok(Self {
            state: State::read(row, 0)?,
            attempts: row.small(1)?,
            next_at: row.maybe(2, Row::time)?,
            numbers: numbers_from(&row.maybe(3, Row::text)?.unwrap_or_default()),
            first: first
                .map(|number| Ok::<_, Problem>((number, row.int(5)? == 1)))
                .transpose()?,
        })
    }
}

/// Where a delivery stands: what its row says, or that it has none, and whether what is open was cancelled. The only
/// place that says so.
pub(crate) fn standing(row: Option<&DeliveryRow>, cancelled: bool) -> DeliveryStatus {
    let Some(row) = row else {
        return if cancelled {
            DeliveryStatus::Cancelled
        } else {
            DeliveryStatus::Pending
        };
    };
    match row.state {
        State::Delivered => DeliveryStatus::Delivered,
        State::Failed => DeliveryStatus::Failed,
        State::Cancelled => DeliveryStatus::Cancelled,
        State::Waiting if cancelled => DeliveryStatus::Cancelled,
        // Its first hand-outs were lost: nobody knows that anything was sent.
        State::Waiting if row.first.is_none() && row.numbers.is_empty() => DeliveryStatus::Pending,
        State::Waiting => DeliveryStatus::Waiting,
    }
}

/// Reads one delivery's row.
pub(crate) fn read<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
) -> Result<Option<DeliveryRow>, Problem> {
    let statement =
        format!("SELECT {ROW_COLUMNS} FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?");
    let row = sql.row(&statement, &[endpoint.into(), sequence.into()])?;
    row.map(|row| DeliveryRow::read(&row)).transpose()
}

/// Whether a delivery has a row.
pub(crate) fn exists<S: Sql>(sql: &S, segment: u64, endpoint: u32, sequence: u64) -> Result<bool, Problem> {
    let statement = format!("SELECT 1 FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?");
    Ok(sql
        .row(&statement, &[endpoint.into(), sequence.into()])?
        .is_some())
}

/// Whether a delivery has what the plan's first hand-out comes to: a result, or a lease that was lost. What came to its
/// end without it, by hand or by a cancel, may still be on its way.
pub(crate) fn first_has_ended<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
) -> Result<bool, Problem> {
    let row = read(sql, segment, endpoint, sequence)?;
    Ok(row.is_some_and(|row| row.state == State::Waiting || row.attempts > 0))
}

/// Whether a delivery has come to an end.
pub(crate) fn is_settled<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
) -> Result<bool, Problem> {
    let row = read(sql, segment, endpoint, sequence)?;
    Ok(row.is_some_and(|row| row.state != State::Waiting))
}

/// Writes the row of a delivery whose lease was lost before any result came: no attempt, tried again at once.
pub(crate) fn insert_lost<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
    now: Millis,
) -> Result<(), Problem> {
    insert_waiting(sql, segment, endpoint, sequence, now, now)
}

/// Writes the row of a delivery that nobody has tried yet and that waits for its time.
pub(crate) fn insert_waiting<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
    now: Millis,
    next_at: Millis,
) -> Result<(), Problem> {
    let statement = format!(
        "INSERT INTO delivery_{segment} (endpoint, sequence, state, attempts, updated_at, next_at) \
         VALUES (?, ?, ?, 0, ?, ?)"
    );
    let waiting = Value::Int(State::Waiting.stored());
    let values = [
        endpoint.into(),
        sequence.into(),
        waiting,
        now.into(),
        next_at.into(),
    ];
    sql.run(&statement, &values)?;
    Ok(())
}

pub(crate) fn numbers_from(text: &str) -> Vec<u64> {
    text.split(',').filter_map(|number| number.parse().ok()).collect()
}

pub(crate) fn numbers_text(numbers: &[u64]) -> Option<String> {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// The word of the API's closed set.
pub(crate) fn cause_text(cause: Cause) -> String {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// A word that a newer release wrote is `unknown` to this one.
pub(crate) fn cause_from(word: &str) -> Cause {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).unwrap_or(Cause::Unknown)
}
