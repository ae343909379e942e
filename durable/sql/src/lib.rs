//! The object's storage as the state machine sees it: SQL, transactions, one alarm, a size.
#![forbid(unsafe_code)]

#[cfg(feature = "native")]
pub mod native;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

/// A value that SQL keeps. Whole numbers travel as doubles on the platform, so they stay below 2^53; what is larger, and
/// hashes, are blobs; booleans are 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number, at most 2^53 − 1 either way.
    Int(i64),
    /// Any other number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// What the storage said. Our fault or the platform's, never the caller's: a problem at once, as it would be one at the
/// next step.
#[must_use]
pub fn broken(what: &str) -> Problem {
    Problem::internal(format_args!("sql: {what}"))
}

/// Randomness, as a port.
pub trait Random {
    /// Fills the bytes.
    fn fill(&mut self, bytes: &mut [u8]);

    /// A random number.
    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

/// Storage of one object.
///
/// Statements between two awaits are one commit on the platform, but an error does not undo the ones before it: whatever
/// must stand or fall together goes through [`Sql::atomic`].
pub trait Sql {
    /// Runs one statement; answers the rows written, as they are billed.
    fn run(&self, statement: &str, values: &[Value]) -> Result<u64, Problem>;

    /// Runs one statement and reads all its rows.
    fn rows(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, Problem>;

    /// All or nothing, the alarm included.
    fn atomic<T>(&self, work: impl FnOnce(&Self) -> Result<T, Problem>) -> Result<T, Problem>
    where
        Self: Sized;

    /// Sets the one alarm, or takes it away. Billed as one row.
    fn set_alarm(&self, at: Option<Millis>) -> Result<(), Problem>;

    /// Bytes that the storage takes.
    fn size(&self) -> u64;

    /// The first row, if there is one.
    fn row(&self, statement: &str, values: &[Value]) -> Result<Option<Row>, Problem> {
        Ok(self.rows(statement, values)?.into_iter().next())
    }
}

/// One row. Columns are taken by place, as the statement names them.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// A column that is a whole number.
    pub fn int(&self, column: usize) -> Result<i64, Problem> {
        match self.0.get(column) {
            Some(Value::Int(n)) => Ok(*n),
            other => Err(unexpected("a whole number", column, other)),
        }
    }

    /// A column that is a whole number and not negative.
    pub fn number(&self, column: usize) -> Result<u64, Problem> {
        u64::try_from(self.int(column)?).map_err(|_| broken(&format!("column {column} is negative")))
    }

    /// A column that is a small number.
    pub fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Problem> {
        T::try_from(self.int(column)?).map_err(|_| broken(&format!("column {column} is out of range")))
    }

    /// A column that is a time.
    pub fn time(&self, column: usize) -> Result<Millis, Problem> {
        self.number(column).map(Millis)
    }

    /// A column that is text.
    pub fn text(&self, column: usize) -> Result<String, Problem> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(unexpected("text", column, other)),
        }
    }

    /// A column that is bytes.
    pub fn blob(&self, column: usize) -> Result<Vec<u8>, Problem> {
        match self.0.get(column) {
            Some(Value::Blob(bytes)) => Ok(bytes.clone()),
            other => Err(unexpected("bytes", column, other)),
        }
    }

    /// The same column, unless it is NULL.
    pub fn maybe<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => read(self, column).map(Some),
        }
    }
}

fn unexpected(wanted: &str, column: usize, found: Option<&Value>) -> Problem {
    let kind = match found {
        None => "nothing",
        Some(Value::Null) => "NULL",
        Some(Value::Int(_)) => "a whole number",
        Some(Value::Real(_)) => "a real number",
        Some(Value::Text(_)) => "text",
        Some(Value::Blob(_)) => "bytes",
    };
    broken(&format!("column {column}: wanted {wanted}, found {kind}"))
}

impl From<u64> for Value {
    /// Sequence numbers and times have 48 bits; a nonce 53.
    fn from(n: u64) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Int(n.into())
    }
}

impl From<u16> for Value {
    fn from(n: u16) -> Self {
        Self::Int(n.into())
    }
}

impl From<u8> for Value {
    fn from(n: u8) -> Self {
        Self::Int(n.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Int(yes.into())
    }
}

impl From<Millis> for Value {
    fn from(time: Millis) -> Self {
        time.0.into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
