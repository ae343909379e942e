//! Tells that a provider refuses an app, or takes it again: the tenant whose app it is by a message in its ledger, as its
//! connections' turns are; of the operator's apps the organisation, by its operational webhooks.

use postern_domain::oauth::app::Row;
use postern_domain::oauth::app_alert::Alert;
use postern_domain::operational::tenant_of;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::Caller;
use postern_domain::wire::operational::{Happened, Tell};
use worker::Env;

use crate::message;
use crate::tenant::TenantObject;

/// Tells it. Told twice, it is one message.
///
/// # Errors
/// When nobody took it: to be told again.
pub async fn tell(env: &Env, app: &Row, alert: &Alert) -> Result<(), Problem> {
    let (event_type, event_id) = (alert.event_type().to_owned(), alert.event_id(app));
    let payload = alert.payload(app).to_string();
    let told = if let Some(tenant) = app.application {
        message::tell(env, tenant, event_type, event_id, payload).await
    } else {
        let organisation = app.organisation;
        let object = TenantObject::new(env, tenant_of(organisation), Caller::Organisation(organisation));
        let tell = Tell {
            events: vec![Happened { event_id, event_type }],
        };
        object.call(tell, &[payload.into_bytes()]).await.map(drop)
    };
    match told {
        // The tenant is gone, or the organisation never had an operational endpoint.
        Err(problem) if problem.code == Code::NotFound => Ok(()),
        told => told,
    }
}
