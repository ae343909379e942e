//! `POST /api/v1/event-type/import/openapi`: makes and changes event types as a document's webhooks say.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::Serialize;
use serde_json::{Value, json};

use super::specification::{self, Described};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::{Form, too_deep};
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::event_type::{self, EventType};

/// What an import does, or would do.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EventTypeImportOpenApiOut {
    data: Data,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Data {
    /// Names of those that are new or changed, archived ones among them.
    modified: Vec<String>,
    /// Of a dry run: what they would be.
    to_modify: Option<Vec<EventTypeFromOpenApi>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct EventTypeFromOpenApi {
    name: String,
    description: String,
    schemas: Option<Value>,
    deprecated: bool,
    group_name: Option<String>,
    feature_flags: Option<Vec<String>>,
}

/// 200. All of it or nothing is written; with `dryRun` nothing.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let dry_run = form.optional("dryRun", field::flag).unwrap_or_default();
    let replace_all = form.optional("replaceAll", field::flag).unwrap_or_default();
    let described = read(&mut form);
    let described = form.finish(described)?;
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, "")?;
    let work = async {
        let before = event_type::all(&directory, access.organisation).await?;
        let changed = changes(before, described, replace_all, ask.now)?;
        if !dry_run {
            event_type::replace_all(&directory, access.organisation, &changed).await?;
        }
        answer(changed, dry_run)
    };
    // What a dry run says is not kept: it may be large, and may change.
    idempotency::once(&directory, key.filter(|_| !dry_run), ask.now, work).await
}

fn answer(changed: Vec<EventType>, dry_run: bool) -> Result<Answer, Problem> {
    let modified = changed.iter().map(|row| row.name.clone()).collect();
    let to_modify = dry_run.then(|| {
        changed
            .into_iter()
            .filter(|row| row.archived == 0)
            .map(shown)
            .collect()
    });
    Answer::ok(&EventTypeImportOpenApiOut {
        data: Data { modified, to_modify },
    })
}

/// `spec`, or `specRaw`; one of them.
fn read(form: &mut Form<'_>) -> Option<Vec<Described>> {
    let spec = form.optional("spec", field::object);
    let raw = form.optional("specRaw", field::text);
    let (at, document) = match (form.has("spec"), form.has("specRaw")) {
        (true, false) => ("spec", spec?),
        (false, true) => {
            let raw = raw?;
            let document = (!too_deep(raw.as_bytes()))
                .then(|| serde_json::from_str::<Value>(&raw).ok())
                .flatten()
                .filter(Value::is_object);
            let Some(document) = document else {
                let msg = "must be an OpenAPI document as JSON; turn YAML into JSON first";
                form.say(&["specRaw"], msg, "value_error");
                return None;
            };
            ("specRaw", document)
        }
        _ => {
            form.say(&["spec"], "give either spec or specRaw", "value_error");
            return None;
        }
    };
    match specification::read(&document, at) {
        Ok(described) => Some(described),
        Err(faults) => {
            form.found(faults);
            None
        }
    }
}

/// Rows that are not yet as the document says. What it does not say of flags and group stays; so does the retry schedule.
fn changes(
    before: Vec<EventType>,
    described: Vec<Described>,
    replace_all: bool,
    now: Millis,
) -> Result<Vec<EventType>, Problem> {
    let mut standing: BTreeMap<String, EventType> =
        before.into_iter().map(|row| (row.name.clone(), row)).collect();
    let mut changed = Vec::new();
    for one in described {
        let before = standing.remove(&one.name);
        let mut row = before.clone().unwrap_or_else(|| EventType {
            name: one.name,
            description: String::new(),
            archived: 0,
            deprecated: 0,
            schemas: None,
            feature_flag: None,
            feature_flags: None,
            group_name: None,
            retry_schedule: None,
            created_at: now,
            updated_at: now,
        });
        row.description = one.description;
        row.archived = 0;
        row.deprecated = one.deprecated.into();
        row.schemas = one.schema.map(|schema| json!({ "1": schema }).to_string());
        row.group_name = one.group_name.or(row.group_name);
        if let Some(flags) = &one.feature_flags {
            row.set_flags(flags)?;
        }
        if before.as_ref() != Some(&row) {
            changed.push(row);
        }
    }
    if replace_all {
        changed.extend(
            standing
                .into_values()
                .filter(|row| row.archived == 0)
                .map(|mut row| {
                    row.archived = 1;
                    row
                }),
        );
    }
    for row in &mut changed {
        row.updated_at = now;
    }
    changed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(changed)
}

fn shown(row: EventType) -> EventTypeFromOpenApi {
    let flags = row.flags();
    EventTypeFromOpenApi {
        name: row.name,
        description: row.description,
        schemas: row.schemas.and_then(|text| serde_json::from_str(&text).ok()),
        deprecated: row.deprecated != 0,
        group_name: row.group_name,
        feature_flags: (!flags.is_empty()).then_some(flags),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn described(name: &str) -> Described {
        Described {
            name: name.to_owned(),
            description: "d".to_owned(),
            deprecated: false,
            schema: Some(json!({ "type": "object" })),
            group_name: None,
            feature_flags: None,
        }
    }

    fn names(rows: &[EventType]) -> Vec<(&str, u8)> {
        rows.iter().map(|row| (row.name.as_str(), row.archived)).collect()
    }

    #[test]
    fn only_what_differs_is_changed() {
        let first = changes(Vec::new(), vec![described("b"), described("a")], false, NOW).unwrap();
        assert_eq!(names(&first), [("a", 0), ("b", 0)]);
        let again = vec![described("a"), described("b")];
        assert_eq!(changes(first.clone(), again, true, NOW.plus(1)).unwrap(), []);
        let mut other = described("a");
        other.deprecated = true;
        let changed = changes(first, vec![other], false, NOW.plus(1)).unwrap();
        assert_eq!(
            (names(&changed), changed[0].updated_at),
            (vec![("a", 0)], NOW.plus(1))
        );
    }

    #[test]
    fn replacing_all_archives_the_others_and_what_the_document_names_comes_back() {
        let first = changes(Vec::new(), vec![described("a"), described("b")], false, NOW).unwrap();
        let mut next = changes(first, vec![described("b"), described("c")], true, NOW).unwrap();
        assert_eq!(names(&next), [("a", 1), ("c", 0)]);
        next = changes(next, vec![described("a")], false, NOW).unwrap();
        assert_eq!(names(&next), [("a", 0)]);
    }

    #[test]
    fn what_the_document_does_not_say_stays() {
        let mut before = changes(Vec::new(), vec![described("a")], false, NOW).unwrap();
        before[0].set_flags(&["beta".to_owned()]).unwrap();
        before[0].group_name = Some("group".to_owned());
        before[0].retry_schedule = Some("[5]".to_owned());
        let mut other = described("a");
        other.description = "new".to_owned();
        let changed = changes(before, vec![other], false, NOW).unwrap();
        assert_eq!(changed[0].flags(), ["beta"]);
        assert_eq!(changed[0].group_name.as_deref(), Some("group"));
        assert_eq!(changed[0].retry_schedule.as_deref(), Some("[5]"));
    }
}
