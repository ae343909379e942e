//! `DELETE …/oauth-app/{oauth_app_id}`.

use postern_domain::problem::{Code, Problem};

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::oauth_app;

/// 204; 409 while a connection lives by it, since that could never be refreshed again.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let row = super::named(&access, &ask).await?;
    if oauth_app::delete(&access.directory()?, row.id).await? {
        Ok(Answer::empty())
    } else {
        Err(Problem::new(
            Code::Conflict,
            "Connections live by this app: disconnect them first, or disable the app",
        ))
    }
}
