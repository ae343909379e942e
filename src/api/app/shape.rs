//! An application, as it is read and written.

use std::collections::BTreeMap;

use postern_domain::id::Uid;
use postern_domain::problem::Problem;
use postern_domain::schedule::Schedule;
use postern_domain::wire::call::TenantSettings;
use serde::Serialize;

use super::super::field;
use super::super::form::Form;
use crate::store::application::Application;

/// What a caller says of an application when it is made or replaced.
pub(crate) struct ApplicationIn {
    pub(crate) name: String,
    pub(crate) uid: Option<Uid>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) settings: TenantSettings,
}

impl ApplicationIn {
    /// Reads it; `None`: the form knows why.
    pub(crate) fn read(form: &mut Form<'_>) -> Option<Self> {
        let name = form.required("name", field::name);
        let uid = form.optional("uid", field::uid);
        let metadata = form.optional("metadata", field::metadata).unwrap_or_default();
        let rate = if form.has("throttleRate") {
            "throttleRate"
        } else {
            "rateLimit"
        };
        let settings = TenantSettings {
            throttle_rate: form.optional(rate, field::rate),
            retry_schedule: form.optional("retrySchedule", field::schedule),
            retention_days: form.optional("retentionDays", field::retention_days),
            ..TenantSettings::default()
        };
        Some(Self {
            name: name?,
            uid,
            metadata,
            settings,
        })
    }

    /// Writes it over a row.
    pub(crate) fn write(self, row: &mut Application) -> Result<(), Problem> {
        row.name = self.name;
        row.uid = self.uid;
        row.metadata = metadata_text(&self.metadata)?;
        set_settings(row, &self.settings)
    }
}

/// An application, as it is shown.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    id: String,
    uid: Option<String>,
    name: String,
    metadata: BTreeMap<String, String>,
    throttle_rate: Option<u16>,
    rate_limit: Option<u16>,
    /// Seconds between tries, for endpoints that have none of their own.
    retry_schedule: Option<Vec<u32>>,
    /// How long messages are kept; null: as the deployment says.
    retention_days: Option<u16>,
    created_at: String,
    updated_at: String,
}

impl ApplicationOut {
    /// Of a row.
    pub(crate) fn new(row: &Application) -> Self {
        Self {
            id: row.id.to_string(),
            uid: row.uid.as_ref().map(Uid::to_string),
            name: row.name.clone(),
            metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
            throttle_rate: row.throttle_rate,
            rate_limit: row.throttle_rate,
            retry_schedule: settings(row)
                .retry_schedule
                .map(|schedule| schedule.steps().to_vec()),
            retention_days: row.retention_days,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

/// The row's copy of what the object owns, and what the object keeps a copy of.
pub(crate) fn settings(row: &Application) -> TenantSettings {
    let schedule = row.retry_schedule.as_deref();
    TenantSettings {
        throttle_rate: row.throttle_rate,
        retry_schedule: schedule.and_then(|text| serde_json::from_str::<Schedule>(text).ok()),
        uid: row.uid.clone(),
        alert_email: row.alert_email.clone(),
        retention_days: row.retention_days,
    }
}

/// Writes the copy of what the object owns.
pub(crate) fn set_settings(row: &mut Application, settings: &TenantSettings) -> Result<(), Problem> {
    row.throttle_rate = settings.throttle_rate;
    row.retention_days = settings.retention_days;
    let schedule = settings.retry_schedule.as_ref();
    row.retry_schedule = schedule
        .map(serde_json::to_string)
        .transpose()
        .map_err(Problem::internal)?;
    Ok(())
}

/// Labels as the row keeps them.
pub(crate) fn metadata_text(metadata: &BTreeMap<String, String>) -> Result<String, Problem> {
    serde_json::to_string(metadata).map_err(Problem::internal)
}
