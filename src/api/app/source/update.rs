//! `PUT /api/v1/app/{app_id}/source/{source_id}`: replaces name, `uid`, settings and
//! whatever else its owner chooses. Secrets and address stay.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceUpdate;
use postern_domain::wire::inbound::SourceOptions;

use super::options;
use super::shape::{self, SourceOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    shape::refuse_secrets(&mut form);
    let name = form.required("name", field::name);
    let uid = form.optional("uid", field::uid);
    let provider = form.required("provider", field::text);
    let config = provider.and_then(|provider| shape::config(&mut form, &provider));
    let mut options = SourceOptions::default();
    options::read(&mut form, &mut options, config.as_ref());
    let (name, config) = form.finish(name.zip(config))?;
    let source = ask.param(1).to_owned();
    let call = SourceUpdate {
        name: Some(name),
        // Named by its uid, it keeps it: only a path with the id can take a uid away. An id is no uid.
        uid: Some(uid.or_else(|| source.parse().ok())),
        config: Some(config.to_value()),
        provider: Some(config.provider().to_owned()),
        source,
        options: Some(options),
    };
    let (source, _) = access.object().call(call, &[]).await?;
    Answer::ok(&SourceOut::new(source, &ask.base_url()?))
}
