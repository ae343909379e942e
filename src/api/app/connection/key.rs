//! `POST /api/v1/app/{app_id}/connection/key`: a connection by an API key.

use postern_domain::oauth::provider::Kind;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::KeyPut;

use super::import::token;
use super::lifecycle;
use super::terms::{self, Names, Put};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 201 for a new one. With `connectionId`, 200: that one gets the new key.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let names = Names::read(&mut form);
    let put = Put::read(&mut form);
    let secret = form.required("key", token);
    let user = form.optional("user", field::name);
    let secret = form.finish(secret)?;
    let (stands, chosen) = put.of(&access, &ask, Kind::ApiKey).await?;
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
    lifecycle::put(&access, &ask, &chosen, names.uid.as_ref(), stands, call).await
}
