//! `POST /api/v1/app/{app_id}/source`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceCreate;
use postern_domain::wire::inbound::{SecretTerms, SourceOptions};

use super::options;
use super::shape::{self, SourceOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 201 with the address to give to the provider.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let name = form.required("name", field::name);
    let uid = form.optional("uid", field::uid);
    let provider = form.required("provider", field::text);
    let config = provider.and_then(|provider| shape::config(&mut form, &provider));
    // Some settings verify without a secret (public keys): whether none are needed, the preset says.
    let secrets = form.optional("secrets", shape::secrets);
    // Secrets that could not be read are not missing as well: one fault is enough.
    let unread = secrets.is_none() && form.has("secrets");
    let (secrets, terms): (Vec<String>, Vec<SecretTerms>) = secrets.unwrap_or_default().into_iter().unzip();
    let mut options = SourceOptions::default();
    options::read(&mut form, &mut options, config.as_ref());
    if let Some(config) = config.as_ref().filter(|_| !unread) {
        form.found(config.check_secrets(&secrets));
    }
    let (name, config) = form.finish(name.zip(config))?;
    let call = SourceCreate {
        name,
        provider: config.provider().to_owned(),
        uid,
        config: config.to_value(),
        secrets,
        terms,
        options,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
    };
    let (source, _) = access.object().call(call, &[]).await?;
    let made = source.created_at;
    let answer = Answer::json(201, &SourceOut::new(source, &ask.base_url()?))?;
    Ok(answer.replayed_if(ask.is_replay(made)))
}
