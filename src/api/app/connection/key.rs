//! `POST /api/v1/app/{app_id}/connection/key`: a connection by an API key.

use postern_domain::oauth::provider::Kind;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::{ConnectionView, KeyPut};

use super::import::token;
use super::lifecycle;
use super::shape::ConnectionOut;
use super::terms::{self, Choice, Names};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// 201 for a new one. With `connectionId`, 200: that one gets the new key.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let names = Names::read(&mut form);
    let replaced = form.optional("connectionId", field::text);
    let choice = if replaced.is_some() {
        None
    } else {
        Choice::read(&mut form, true)
    };
    if replaced.is_some() {
        terms::uid_stays(&mut form);
    }
    let secret = form.required("key", token);
    let user = form.optional("user", field::name);
    let secret = form.finish(secret)?;
    let stands = match &replaced {
        Some(standing) => Some(super::of_body(&access, standing).await?),
        None => None,
    };
    let choice = match (choice, &stands) {
        (Some(choice), _) => choice,
        (None, Some(row)) => Choice::of_row(row)?,
        (None, None) => return Err(Problem::fault(&["body", "provider"], "is missing")),
    };
    let chosen = terms::find(&access, &ask, &choice, &[Kind::ApiKey]).await?;
    let wants_user = chosen
        .terms
        .provider
        .key
        .as_ref()
        .and_then(|key| key.user.as_ref());
    if let (Some(label), None) = (wants_user, &user) {
        return Err(Problem::fault(&["body", "user"], format!("is missing: {label}")));
    }
    let call = KeyPut {
        key: secret,
        user,
        label: names.label,
        uid: names.uid.clone(),
        variables: terms::variables(&ask, &chosen.terms.provider, &names.variables)?,
        replace: stands.is_some(),
        app: chosen.terms.clone(),
    };
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    let made = async {
        if let Some(row) = stands {
            let view = access.connection(row.id).call(call).await?;
            return Answer::ok(&ConnectionOut::new(view));
        }
        let view = lifecycle::make(
            &access,
            &chosen,
            names.uid.as_ref(),
            ask.now,
            |object| async move { object.call(call).await },
            |view: &ConnectionView| view,
        )
        .await?;
        Answer::json(201, &ConnectionOut::new(view))
    };
    idempotency::once(&access.directory()?, key, ask.now, Box::pin(made)).await
}
