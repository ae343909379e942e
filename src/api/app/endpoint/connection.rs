//! The connection that an endpoint names: one of the tenant's own, and only where the endpoint's URL is below its API.
//! Otherwise whoever may edit endpoints could have a token sent to a server of their own. Looked at again before each send,
//! since either may change.

use postern_domain::id::ConnectionId;
use postern_domain::oauth::proxy;
use postern_domain::oauth::standing::State;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection_api::ApiGet;

use crate::api::access::TenantAccess;
use crate::api::app::connection;

/// The field, in requests and answers.
pub(super) const FIELD: &str = "connectionId";

/// The connection that a text names, by id or `uid`, if its token may go to this URL.
pub(super) async fn named(access: &TenantAccess, text: &str, url: &str) -> Result<ConnectionId, Problem> {
    let connection = connection::of_segment(access, text).await.map_err(unknown)?;
    fits(access, connection, url).await?;
    Ok(connection)
}

/// Whether a connection's token may go to this URL.
///
/// # Errors
/// 403 with a token that may not spend connections, 422 with what is wrong otherwise.
pub(super) async fn fits(access: &TenantAccess, connection: ConnectionId, url: &str) -> Result<(), Problem> {
    if !access.is_whole {
        return Err(Problem::new(
            Code::Forbidden,
            "This token may not say what a connection's token is spent on",
        ));
    }
    let api = access
        .connection(connection)
        .call(ApiGet {})
        .await
        .map_err(unknown)?;
    if api.state == State::Revoked {
        return Err(wrong("is a connection that is over for good; make a new one"));
    }
    if api.bases.is_empty() {
        return Err(wrong(
            "has no API yet: connect it first, or give the provider of its app an api.base",
        ));
    }
    if proxy::is_below(api.bases.iter().map(String::as_str), url) {
        Ok(())
    } else {
        let bases = api.bases.join(", ");
        Err(Problem::fault(
            &["body", "url"],
            format!("must be below the API of the connection ({bases}): its token goes nowhere else"),
        ))
    }
}

fn wrong(sentence: &str) -> Problem {
    Problem::fault(&["body", FIELD], sentence)
}

/// Another tenant's is as unknown as one that never was.
fn unknown(problem: Problem) -> Problem {
    if problem.code == Code::NotFound {
        wrong("is no connection of this application")
    } else {
        problem
    }
}
