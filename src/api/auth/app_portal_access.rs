//! `POST /api/v1/auth/app-portal-access/{app_id}`: a token for a tenant's portal, and a link that is good for another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::access::{Capability, Grant, Portal};
use postern_domain::problem::Problem;
use postern_platform::config::Config;
use serde::Serialize;
use serde_json::json;

use crate::api::access::OrganisationAccess;
use crate::api::app::lifecycle;
use crate::api::app::shape::ApplicationIn;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;
use crate::api::reply::Answer;

/// How long a token holds if nobody says: seven days.
const TTL_SECONDS: u64 = 7 * 86_400;

/// A portal's token, and the link to it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AppPortalAccessOut {
    /// For whoever embeds the portal or calls the API in the tenant's name.
    token: String,
    /// For a person: what stands behind `#key=` can be exchanged once, and never reaches a server by itself.
    url: String,
}

/// 200. An `Idempotency-Key` changes nothing: asked twice, it gives two tokens.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let wanted = Wanted::read(&mut form);
    let wanted = form.finish(Some(wanted))?;
    let row = lifecycle::find_or_make(&access, ask.param(0), wanted.application, ask.now).await?;

    let keys = &Config::from_env(ask.env())?.jwt;
    let issue = |grant: &Grant| {
        let (of, session) = ((access.organisation, row.id), wanted.session.as_deref());
        super::issue(keys, of, grant, session, ask.now, wanted.ttl_seconds).map(|(_, token)| token)
    };
    let token = issue(&Grant::Portal(wanted.portal.clone()))?;
    let one_time = issue(&Grant::OneTime(wanted.portal))?;
    let key = json!({ "appId": row.id, "oneTimeToken": one_time });
    let url = format!(
        "{}/portal#key={}",
        ask.base_url()?,
        STANDARD.encode(key.to_string())
    );
    Answer::ok(&AppPortalAccessOut { token, url })
}

struct Wanted {
    application: Option<ApplicationIn>,
    portal: Portal,
    session: Option<String>,
    ttl_seconds: u64,
}

impl Wanted {
    fn read(form: &mut Form<'_>) -> Self {
        let capabilities = form.optional("capabilities", field::capabilities);
        let read_only = form.optional("readOnly", field::flag).unwrap_or_default();
        let capabilities = match (read_only, capabilities) {
            (true, _) => vec![Capability::ViewBase],
            (false, Some(capabilities)) => capabilities,
            (false, None) => Capability::ALL.to_vec(),
        };
        let feature_flags = form.optional("featureFlags", field::token_flags);
        Self {
            application: form.inner("application", ApplicationIn::read),
            portal: Portal {
                capabilities: capabilities.into_iter().collect(),
                feature_flags: feature_flags.unwrap_or_default(),
            },
            session: form.optional("sessionId", field::session),
            ttl_seconds: form
                .optional("expiry", field::portal_expiry)
                .unwrap_or(TTL_SECONDS),
        }
    }
}
