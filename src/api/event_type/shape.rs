//! An event type, as it is read and written.

use postern_domain::event_type;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::Serialize;
use serde_json::Value;

use crate::api::field;
use crate::api::form::Form;
use crate::store::event_type::EventType;

/// Reads all but the name; `None`: the form knows why.
pub(crate) fn read(form: &mut Form<'_>, name: Option<String>, now: Millis) -> Option<EventType> {
    let description = form.required("description", field::description);
    let archived = form.optional("archived", field::flag).unwrap_or_default();
    let deprecated = form.optional("deprecated", field::flag).unwrap_or_default();
    let schemas = form.optional("schemas", field::schemas);
    let feature_flag = form.optional("featureFlag", field::word);
    Some(EventType {
        name: name?,
        description: description?,
        archived: archived.into(),
        deprecated: deprecated.into(),
        schemas: schemas.map(|schemas| schemas.to_string()),
        feature_flag,
        created_at: now,
        updated_at: now,
    })
}

/// The name in a path; one that no event type can have is not found.
pub(super) fn named(name: &str) -> Result<&str, Problem> {
    event_type::check_name(name)
        .map(|()| name)
        .map_err(|_| Problem::not_found())
}

/// An event type, as it is shown.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeOut {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    /// JSON schemas, by version.
    schemas: Option<Value>,
    feature_flag: Option<String>,
    created_at: String,
    updated_at: String,
}

impl EventTypeOut {
    /// With its schemas, or without.
    pub(super) fn new(row: EventType, with_content: bool) -> Self {
        let schemas = row.schemas.filter(|_| with_content);
        Self {
            name: row.name,
            description: row.description,
            archived: row.archived != 0,
            deprecated: row.deprecated != 0,
            schemas: schemas.and_then(|text| serde_json::from_str(&text).ok()),
            feature_flag: row.feature_flag,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}
