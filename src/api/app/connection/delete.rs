//! `DELETE /api/v1/app/{app_id}/connection/{connection_id}`: watches stopped, revoked at the provider, shredded.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{Disconnect, Disconnected, RevokeResult};

use super::get::ended;
use super::shape::DisconnectedOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with what came of it. Again: the same answer, as long as its row is kept.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let id = super::named(&access, &ask).await?;
    let disconnected = match access.connection(id).call(Disconnect {}).await {
        Err(problem) if problem.code == Code::NotFound => {
            let view = ended(&access, id).await?.ok_or(problem)?;
            Disconnected {
                revoked: view.revoked.unwrap_or(RevokeResult::Unsupported),
                connection: view,
            }
        }
        disconnected => disconnected?,
    };
    Answer::ok(&DisconnectedOut::new(disconnected))
}
