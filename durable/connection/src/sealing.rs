//! What is sealed in a connection's object, and where it opens: under its tenant, its connection, its table, its column, its
//! row and its generation, and nowhere else.

use postern_domain::oauth::Secret;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::{OpenError, Place};

use crate::credential::Opener;
use crate::sql::Random;

/// A column with sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// `credential.access`
    Access,
    /// `credential.refresh`
    Refresh,
    /// `credential.older`
    Older,
    /// `session.secret`
    SessionSecret,
    /// `attempt.verifier`
    Verifier,
    /// `attempt.nonce`
    Nonce,
}

impl Column {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Access => ("credential", "access"),
            Self::Refresh => ("credential", "refresh"),
            Self::Older => ("credential", "older"),
            Self::SessionSecret => ("session", "secret"),
            Self::Verifier => ("attempt", "verifier"),
            Self::Nonce => ("attempt", "nonce"),
        }
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// Its master key is missing in this deployment.
    NoKey,
    /// Altered, or sealed for another place.
    Broken,
}

impl From<Unopened> for Problem {
    fn from(error: Unopened) -> Self {
        match error {
            Unopened::NoKey => Self::new(
                Code::SealingUnavailable,
                "A master key is missing in this deployment; it heals when the key is put back",
            ),
            Unopened::Broken => Self::internal("a sealed value of a connection does not open"),
        }
    }
}

/// Seals a secret for its place.
pub(crate) fn seal(
    opener: &Opener<'_>,
    column: Column,
    row: u64,
    generation: u64,
    plain: &Secret,
    random: &mut dyn Random,
) -> Result<Vec<u8>, Problem> {
    let mut nonce = [0; 12];
    random.fill(&mut nonce);
    let keys = opener.keys.ok_or(Unopened::NoKey)?;
    let table = table_of(opener, column);
    keys.seal(
        &place(opener, &table, column, row, generation),
        nonce,
        plain.reveal().as_bytes(),
    )
    .map_err(Problem::internal)
}

/// Opens a secret of its place.
pub(crate) fn open(
    opener: &Opener<'_>,
    column: Column,
    row: u64,
    generation: u64,
    blob: &[u8],
) -> Result<Secret, Unopened> {
    let keys = opener.keys.ok_or(Unopened::NoKey)?;
    let table = table_of(opener, column);
    let plain = keys
        .open(&place(opener, &table, column, row, generation), blob)
        .map_err(|error| match error {
            OpenError::UnknownKey => Unopened::NoKey,
            OpenError::Broken => Unopened::Broken,
        })?;
    String::from_utf8(plain).map(Secret).map_err(|_| Unopened::Broken)
}

/// Every object has a table of this name and a row of this number: the connection tells them apart.
fn table_of(opener: &Opener<'_>, column: Column) -> String {
    format!("{}/{}", opener.connection, column.names().0)
}

fn place<'a>(opener: &Opener<'_>, table: &'a str, column: Column, row: u64, generation: u64) -> Place<'a> {
    Place {
        tenant: opener.tenant,
        table,
        column: column.names().1,
        row,
        generation,
    }
}
