//! An event type, as it is read and written.

use postern_domain::event_type;
use postern_domain::problem::Problem;
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use serde::Serialize;
use serde_json::Value;

use crate::api::field;
use crate::api::form::Form;
use crate::store::event_type::EventType;

/// What a caller says of an event type when it is made or replaced.
#[derive(Debug)]
pub(crate) struct EventTypeIn {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) archived: bool,
    pub(crate) deprecated: bool,
    pub(crate) schemas: Option<Value>,
    pub(crate) feature_flags: Vec<String>,
    pub(crate) group_name: Option<String>,
    /// Ours, and not among Svix's fields: what does not name it leaves it as it is.
    #[expect(clippy::option_option, reason = "absent and null are two things")]
    pub(crate) retry_schedule: Option<Option<Schedule>>,
}

impl EventTypeIn {
    /// Reads all of it; `None`: the form knows why.
    pub(crate) fn read(form: &mut Form<'_>) -> Option<Self> {
        let name = form.required("name", field::event_type);
        Self::read_as(form, name)
    }

    /// Reads all but the name.
    pub(super) fn read_as(form: &mut Form<'_>, name: Option<String>) -> Option<Self> {
        let description = form.required("description", field::description);
        let archived = form.optional("archived", field::flag).unwrap_or_default();
        let deprecated = form.optional("deprecated", field::flag).unwrap_or_default();
        let schemas = form.optional("schemas", field::schemas);
        let feature_flags = flags(form).flatten().unwrap_or_default();
        let group_name = form.optional("groupName", field::word);
        let retry_schedule = form.change("retrySchedule", field::schedule);
        Some(Self {
            name: name?,
            description: description?,
            archived,
            deprecated,
            schemas,
            feature_flags,
            group_name,
            retry_schedule,
        })
    }

    /// As a row, over the one that stands, if one does.
    pub(crate) fn row(self, before: Option<&EventType>, now: Millis) -> Result<EventType, Problem> {
        let mut row = EventType {
            name: self.name,
            description: self.description,
            archived: self.archived.into(),
            deprecated: self.deprecated.into(),
            schemas: self.schemas.map(|schemas| schemas.to_string()),
            feature_flag: None,
            feature_flags: None,
            group_name: self.group_name,
            retry_schedule: before.and_then(|before| before.retry_schedule.clone()),
            created_at: before.map_or(now, |before| before.created_at),
            updated_at: now,
        };
        row.set_flags(&self.feature_flags)?;
        if let Some(schedule) = self.retry_schedule {
            row.set_schedule(schedule.as_ref())?;
        }
        Ok(row)
    }
}

/// `featureFlags`, or the one `featureFlag` of Svix's open server: absent, null or a list.
#[expect(clippy::option_option, reason = "absent and null are two things")]
pub(super) fn flags(form: &mut Form<'_>) -> Option<Option<Vec<String>>> {
    let several = form.change("featureFlags", field::feature_flags);
    let one = form.change("featureFlag", field::word);
    several.or_else(|| one.map(|flag| flag.map(|flag| vec![flag])))
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
    /// Where catalogues show it.
    group_name: Option<String>,
    /// A portal sees it with one of these; null: always.
    feature_flags: Option<Vec<String>>,
    /// The first of them.
    feature_flag: Option<String>,
    /// Seconds between tries, for endpoints that have none of their own; not there: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_schedule: Option<Vec<u32>>,
    created_at: String,
    updated_at: String,
}

impl EventTypeOut {
    /// With its schemas, or without.
    pub(crate) fn new(row: EventType, with_content: bool) -> Self {
        let (flags, schedule) = (row.flags(), row.schedule());
        let schemas = row.schemas.filter(|_| with_content);
        Self {
            name: row.name,
            description: row.description,
            archived: row.archived != 0,
            deprecated: row.deprecated != 0,
            schemas: schemas.and_then(|text| serde_json::from_str(&text).ok()),
            group_name: row.group_name,
            feature_flag: flags.first().cloned(),
            feature_flags: (!flags.is_empty()).then_some(flags),
            retry_schedule: schedule.map(|schedule| schedule.steps().to_vec()),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}
