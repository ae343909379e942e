//! `/api/v1/source/{source_id}/routing`: how far a source's routing keys are believed, and which apps' connections claim
//! them.

use postern_domain::app_level::MAX_FEEDS;
use postern_domain::id::OAuthAppId;
use postern_domain::problem::{Fault, Problem};
use postern_domain::wire::route::{RouteTrust, RouteTrustView};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::Directory;
use crate::store::oauth_app::{self, Key, Owner};
use crate::store::route::{self, Place};

/// How a source's events are routed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoutingOut {
    /// Whether a key that the provider does not sign routes: whoever captured one request of the provider's can then put
    /// another tenant's key into it. `false` if nobody says.
    trust_unsigned_route: bool,
    /// Apps whose connections claim the keys of their accounts, each for its application, as long as they stand.
    oauth_app_ids: Vec<String>,
}

/// As it is.
pub(crate) async fn get(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    work(&access, &ask, &directory, place, None).await
}

/// As it is from now on.
pub(crate) async fn put(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let unsigned = form.required("trustUnsignedRoute", field::flag);
    let named = form.optional("oauthAppIds", field::texts);
    let unsigned = form.finish(unsigned)?;
    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    if let Some(named) = named {
        let apps = apps(&access, &directory, &named).await?;
        route::feed(&directory, place, &apps).await?;
        super::all_changed(&access, &ask).await?;
    }
    work(&access, &ask, &directory, place, Some(unsigned)).await
}

/// The operator's apps of these names. A tenant's own may not claim: its owner says where the account is asked for, and so
/// could say that it is anybody's.
async fn apps(
    access: &TenantAccess,
    directory: &Directory,
    named: &[String],
) -> Result<Vec<OAuthAppId>, Problem> {
    let fault = |at: Option<usize>, msg: String| {
        let at = at.map(|at| at.to_string());
        let loc: Vec<&str> = ["body", "oauthAppIds"].into_iter().chain(at.as_deref()).collect();
        Fault {
            loc: loc.into_iter().map(str::to_owned).collect(),
            msg,
            kind: "value_error".to_owned(),
        }
    };
    if named.len() > MAX_FEEDS {
        return Err(Problem::validation(vec![fault(
            None,
            format!("must be at most {MAX_FEEDS}"),
        )]));
    }
    let owner = Owner {
        organisation: access.organisation,
        application: None,
    };
    let (mut apps, mut faults) = (Vec::new(), Vec::new());
    for (at, name) in named.iter().enumerate() {
        let row = match Key::read(name) {
            Some(key) => oauth_app::find(directory, owner, &key).await?,
            None => None,
        };
        let Some(row) = row else {
            faults.push(fault(
                Some(at),
                "names no OAuth app of the organisation".to_owned(),
            ));
            continue;
        };
        if row
            .entry()?
            .identity
            .is_none_or(|identity| identity.routing.is_empty())
        {
            let msg = format!(
                "{} does not say what its webhooks call an account: set identity.routing of its provider, or claim keys by hand",
                row.provider
            );
            faults.push(fault(Some(at), msg));
        }
        apps.push(row.id);
    }
    if faults.is_empty() {
        Ok(apps)
    } else {
        Err(Problem::validation(faults))
    }
}

async fn work(
    access: &TenantAccess,
    ask: &Ask,
    directory: &Directory,
    place: Place,
    unsigned: Option<bool>,
) -> Result<Answer, Problem> {
    let source = ask.param(1).to_owned();
    let call = RouteTrust { source, unsigned };
    let (RouteTrustView { unsigned }, _) = access.object().call(call, &[]).await?;
    let apps = route::feeds(directory, place).await?;
    Answer::ok(&RoutingOut {
        trust_unsigned_route: unsigned,
        oauth_app_ids: apps.iter().map(OAuthAppId::to_string).collect(),
    })
}
