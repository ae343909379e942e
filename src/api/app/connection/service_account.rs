//! `POST /api/v1/app/{app_id}/connection/service-account`: a connection by a service account's key (RFC 7523).

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Kind;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::ServiceAccountPut;
use serde_json::Value;

use super::lifecycle;
use super::terms::{self, Names, Put};
use super::watch::wanted;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::form::Form;
use crate::api::oauth_app::scopes;
use crate::api::reply::Answer;

/// 201 for a new one. With `connectionId`, 200: that one gets the new key. `key` is the file as the provider gives it
/// (`client_email`, `private_key`, `private_key_id`).
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let names = Names::read(&mut form);
    let put = Put::read(&mut form);
    let file = form.inner("key", key_file);
    if file.is_none() && !form.has("key") {
        form.say(&["key"], "is missing", "missing");
    }
    let subject = form.optional("subject", field::email);
    let wanted = form.optional("scopes", scopes);
    if wanted.is_none() && !form.has("scopes") {
        form.say(&["scopes"], "is missing", "missing");
    }
    let watches = wanted::read_all(&mut form);
    let (file, watches) = form.finish(file.zip(watches))?;
    let (stands, chosen) = put.of(&access, &ask, Kind::ServiceAccount).await?;
    let call = ServiceAccountPut {
        email: file.email,
        private_key: file.private_key,
        key_id: file.key_id,
        subject,
        scopes: terms::scopes(&chosen, wanted)?,
        label: names.label,
        uid: names.uid.clone(),
        replace: stands.is_some(),
        watches: wanted::all_terms(watches, &chosen.terms.provider, &access, &ask).await?,
        app: chosen.terms.clone(),
    };
    lifecycle::put(&access, &ask, &chosen, names.uid.as_ref(), stands, call).await
}

/// The parts of a key's file that count.
struct KeyFile {
    email: String,
    private_key: Secret,
    key_id: Option<String>,
}

fn key_file(form: &mut Form<'_>) -> Option<KeyFile> {
    let email = form.required("client_email", field::email);
    let private_key = form.required("private_key", private_key);
    let key_id = form.optional("private_key_id", field::name);
    Some(KeyFile {
        email: email?,
        private_key: private_key?,
        key_id,
    })
}

/// PKCS #8 in PEM. What was wrong with it is said without it.
fn private_key(value: &Value) -> Result<Secret, Vec<Wrong>> {
    let text = field::text(value)?;
    let trimmed = text.trim();
    let framed =
        trimmed.starts_with("-----BEGIN PRIVATE KEY-----") && trimmed.ends_with("-----END PRIVATE KEY-----");
    if framed && text.len() <= 16_384 {
        return Ok(Secret(text));
    }
    Err(vec![Wrong {
        at: Vec::new(),
        msg: "must be a private key in PEM: -----BEGIN PRIVATE KEY----- …".to_owned(),
        kind: "value_error",
    }])
}
