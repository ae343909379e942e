//! `PUT /api/v1/app/{app_id}/entitlement-config`: replaces the rules.

use postern_domain::entitlement::{Config, Plan};
use postern_domain::id::ConnectionId;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementConfigPut;

use super::shape::ConfigOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;
use crate::api::reply::Answer;
use crate::store::connection::{self, Key};

/// 200 with the rules. What is left out is as if it had never been set, but for keys and the project, which stay.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let config = config(&mut form);
    let stripe_api_key = form.change("stripeApiKey", field::stripe_api_key);
    let revenuecat_api_key = form.change("revenuecatApiKey", field::revenuecat_api_key);
    let revenuecat_v2_api_key = form.change("revenuecatV2ApiKey", field::revenuecat_api_key);
    let revenuecat_project_id = form.change("revenuecatProjectId", field::revenuecat_project);
    let connections = PLACES.map(|(key, place)| {
        let named = form.change(place, field::text);
        if matches!(named, Some(Some(_))) && form.has(key) {
            let msg = format!("cannot stand beside {key}: one takes the other's place");
            form.say(&[place], &msg, "value_error");
        }
        named
    });
    let config = form.finish(config)?;
    let [stripe_connection, revenuecat_connection, revenuecat_v2_connection] =
        found(&access, connections).await?;
    let call = EntitlementConfigPut {
        config,
        stripe_api_key,
        revenuecat_api_key,
        revenuecat_v2_api_key,
        revenuecat_project_id,
        stripe_connection,
        revenuecat_connection,
        revenuecat_v2_connection,
    };
    let (view, _) = access.object().call(call, &[]).await?;
    Answer::ok(&ConfigOut::new(view))
}

/// Each key, and the connection that may stand in its place.
const PLACES: [(&str, &str); 3] = [
    ("stripeApiKey", "stripeConnectionId"),
    ("revenuecatApiKey", "revenuecatConnectionId"),
    ("revenuecatV2ApiKey", "revenuecatV2ConnectionId"),
];

/// The tenant's connections of these names. Whether a key is for the API that is asked is known when it is leased.
#[expect(
    clippy::option_option,
    reason = "a field that is not there is not a field that is null"
)]
async fn found(
    access: &TenantAccess,
    named: [Option<Option<String>>; 3],
) -> Result<[Option<Option<ConnectionId>>; 3], Problem> {
    let mut all = [None; 3];
    let directory = access.directory()?;
    for ((named, place), (_, field)) in named.iter().zip(&mut all).zip(PLACES) {
        let Some(named) = named else { continue };
        let Some(name) = named else {
            *place = Some(None);
            continue;
        };
        let row = match Key::read(name) {
            Some(key) => connection::find(&directory, access.organisation, access.tenant, &key).await?,
            None => None,
        };
        let row = row.filter(|row| row.state != State::Revoked.as_str());
        let row =
            row.ok_or_else(|| Problem::fault(&["body", field], "names no connection of the application"))?;
        *place = Some(Some(row.id));
    }
    Ok(all)
}

fn config(form: &mut Form<'_>) -> Option<Config> {
    let default = Config::default();
    let enabled = form.required("enabled", field::flag);
    let plans = if form.has("plans") {
        form.each("plans", 0..=100, |plan| {
            let name = plan.required("plan", field::text);
            let ids = plan.required("ids", field::texts);
            let (plan, ids) = name.zip(ids)?;
            Some(Plan { plan, ids })
        })
    } else {
        Some(Vec::new())
    };
    let past_due = form.optional("pastDue", field::past_due);
    let grace_days = form.optional("graceDays", field::small_number);
    let leeway = form.optional("renewalLeewayMinutes", field::small_number);
    let allow_sandbox = form.optional("allowSandbox", field::flag);
    let user_id_keys = form.optional("userIdKeys", field::texts);
    let config = Config {
        enabled: enabled?,
        plans: plans?,
        past_due: past_due.unwrap_or_default(),
        grace_days: grace_days.unwrap_or(default.grace_days),
        renewal_leeway_minutes: leeway.unwrap_or(default.renewal_leeway_minutes),
        allow_sandbox: allow_sandbox.unwrap_or_default(),
        user_id_keys: user_id_keys.unwrap_or(default.user_id_keys),
        billing_owner: form.optional("billingOwner", field::text),
    };
    for (place, sentence) in config.faults() {
        form.say(&[place], &sentence, "value_error");
    }
    Some(config)
}
