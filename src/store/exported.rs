//! Jobs of the organisation that were done when they were asked for: their row in the list of background tasks.

use postern_domain::id::{OrganisationId, TaskId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use super::{Directory, number, text};

/// Bytes of a row's data at the most: the database holds 2 MB in one row.
pub(crate) const MOST_BYTES: usize = 1_900_000;

/// Writes a finished job with what came of it.
pub(crate) async fn insert(
    directory: &Directory,
    organisation: OrganisationId,
    id: TaskId,
    kind: &str,
    data: &str,
    now: Millis,
) -> Result<(), Problem> {
    let sql = "INSERT INTO background_task (id, organisation, application, kind, state, data, created_at, updated_at) \
               VALUES (?1, ?2, NULL, ?3, 'finished', ?4, ?5, ?5)";
    let values = [
        text(Some(id.to_string())),
        text(Some(organisation.to_string())),
        text(Some(kind)),
        text(Some(data)),
        number(now.0),
    ];
    directory.change(sql, &values).await.map(drop)
}
