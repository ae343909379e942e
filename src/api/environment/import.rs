//! `POST /api/v1/environment/import`: makes or replaces what an export holds; what it does not name stays.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::event_type::shape::EventTypeIn;
use crate::api::form::Form;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::event_type::{self, EventType};

/// Event types in one request at the most.
const MOST: usize = 10_000;

/// 204. All of it or nothing is written.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let brought = form.raw("eventTypes").is_some();
    let types = brought.then(|| form.each("eventTypes", 0..=MOST, EventTypeIn::read));
    let types = types.flatten().unwrap_or_default();
    refuse_doubles(&mut form, &types);
    // Passing over these would look as if they had been taken.
    for (name, empty, what) in [
        ("connectors", "[]", "connectors"),
        ("settings", "{}", "settings of this kind"),
    ] {
        if form.raw(name).is_some_and(|raw| !is_empty(raw.get(), empty)) {
            form.say(
                &[name],
                &format!("must be empty: there are no {what} here"),
                "value_error",
            );
        }
    }
    let types = form.finish(Some(types))?;

    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, "")?;
    idempotency::once(&directory, key, ask.now, async {
        write(&access, types, ask.now).await?;
        Ok(Answer::empty())
    })
    .await
}

async fn write(access: &OrganisationAccess, types: Vec<EventTypeIn>, now: Millis) -> Result<(), Problem> {
    let directory = access.directory()?;
    let standing: BTreeMap<String, EventType> = event_type::all(&directory, access.organisation)
        .await?
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect();
    let rows: Result<Vec<EventType>, Problem> = types
        .into_iter()
        .map(|new| {
            let before = standing.get(&new.name);
            new.row(before, now)
        })
        .collect();
    event_type::replace_all(&directory, access.organisation, &rows?).await
}

fn refuse_doubles(form: &mut Form<'_>, types: &[EventTypeIn]) {
    let mut seen = BTreeSet::new();
    for (at, one) in types.iter().enumerate() {
        if !seen.insert(&one.name) {
            let at = at.to_string();
            form.say(&["eventTypes", &at, "name"], "must name each once", "value_error");
        }
    }
}

fn is_empty(json: &str, empty: &str) -> bool {
    json.chars().filter(|c| !c.is_whitespace()).eq(empty.chars())
}

#[cfg(test)]
mod tests {
    use super::is_empty;

    #[test]
    fn an_empty_list_is_empty_however_it_is_written() {
        assert!(is_empty("[]", "[]") && is_empty("[ \n ]", "[]"));
        assert!(!is_empty("[1]", "[]") && !is_empty("{\"a\":1}", "{}"));
    }
}
