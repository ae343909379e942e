//! `POST /api/v1/app/{app_id}/entitlement-backfill`: reads all that a provider has, in the background.

use std::collections::BTreeMap;

use postern_domain::csv;
use postern_domain::entitlement::Provider;
use postern_domain::id::TaskId;
use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementBackfill;
use postern_domain::wire::replay::TaskKind;
use postern_platform::random;
use serde_json::json;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::background_task;
use crate::api::field;
use crate::api::form::Form;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// Characters of a cell.
const MOST_CELL: usize = 256;

/// 202 with the task. A dry run unless it says otherwise: nothing is taken, and what differs from the table is read at
/// `…/entitlement-backfill/{task_id}/difference`.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let dry_run = form.optional("dryRun", field::flag).unwrap_or(true);
    let provider = form.optional("provider", field::entitlement_provider);
    let provider = provider.unwrap_or(Provider::Stripe);
    let csv = form.optional("csv", field::text);
    if csv.is_some() && !dry_run {
        form.say(&["csv"], "is compared in a dry run only", "value_error");
    }
    let expected = table(&mut form, csv.as_deref().unwrap_or_default());
    let expected = form.finish(Some(expected))?;
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    let directory = access.directory()?;
    idempotency::once(
        &directory,
        key,
        ask.now,
        start(&access, &ask, (provider, dry_run), expected),
    )
    .await
}

async fn start(
    access: &TenantAccess,
    ask: &Ask,
    (provider, dry_run): (Provider, bool),
    expected: Vec<(String, Option<String>)>,
) -> Result<Answer, Problem> {
    let id = TaskId::new(ask.now, random::bytes());
    let request = json!({ "provider": provider, "dryRun": dry_run, "lines": expected.len() });
    let task = (id, TaskKind::EntitlementBackfill);
    let call = EntitlementBackfill {
        id,
        provider,
        dry_run,
        expected,
    };
    background_task::begin(access, ask.now, task, &request, call).await
}

/// The columns `customer` and `plan`; an empty plan is none.
fn table(form: &mut Form<'_>, text: &str) -> Vec<(String, Option<String>)> {
    let mut records = match csv::read(text) {
        Ok(records) => records.into_iter(),
        Err(error) => {
            form.say(&["csv"], &error.to_string(), "value_error");
            return Vec::new();
        }
    };
    let Some(head) = records.next() else {
        return Vec::new();
    };
    let column = |name: &str| head.fields.iter().position(|field| field.trim() == name);
    let (Some(customer), Some(plan)) = (column("customer"), column("plan")) else {
        form.say(
            &["csv"],
            "must begin with a line that names the columns customer and plan",
            "value_error",
        );
        return Vec::new();
    };
    let mut expected = BTreeMap::new();
    for record in records {
        let cell = |at: usize| record.fields.get(at).map(|cell| cell.trim().to_owned());
        let (Some(customer), Some(plan)) = (cell(customer), cell(plan)) else {
            form.say(
                &["csv"],
                &format!("line {}: has too few fields", record.line),
                "value_error",
            );
            return Vec::new();
        };
        if customer.is_empty() || customer.len() > MOST_CELL || plan.len() > MOST_CELL {
            let sentence = format!(
                "line {}: cells must be up to {MOST_CELL} characters, customers not empty",
                record.line
            );
            form.say(&["csv"], &sentence, "value_error");
            return Vec::new();
        }
        if expected
            .insert(customer, Some(plan).filter(|plan| !plan.is_empty()))
            .is_some()
        {
            let sentence = format!("line {}: names a customer once more", record.line);
            form.say(&["csv"], &sentence, "value_error");
            return Vec::new();
        }
    }
    expected.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Option<String>)>, Problem> {
        let mut form = Form::read(b"{}")?;
        let expected = table(&mut form, text);
        form.finish(Some(expected))
    }

    #[test]
    fn a_table_is_read_by_its_columns_and_an_empty_plan_is_none() {
        let expected = read("plan,email,customer\nsolo,a@example.com,cus_1\n,,\"user, 2\"\n");
        let wanted = [("cus_1", Some("solo")), ("user, 2", None)];
        let wanted = wanted.map(|(customer, plan)| (customer.to_owned(), plan.map(str::to_owned)));
        assert_eq!(expected.ok().as_deref(), Some(&wanted[..]));
        assert_eq!(read("").ok(), Some(Vec::new()));
    }

    #[test]
    fn a_table_that_does_not_hold_is_refused_with_its_line() {
        for text in [
            "cus_1,solo\n",
            "customer,plan\ncus_1\n",
            "customer,plan\n,solo\n",
            "customer,plan\ncus_1,solo\ncus_1,team\n",
            "customer,plan\n\"cus_1,solo\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
