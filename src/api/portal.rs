//! `GET /portal`: where a portal's link leads.

use postern_domain::problem::{Code, Problem};

use super::ask::Ask;
use super::reply::Answer;

/// 501: the pages are not there yet. The key in the link stays in the browser.
pub(crate) async fn handle(_ask: Ask) -> Result<Answer, Problem> {
    Err(Problem::new(
        Code::NotImplemented,
        "The portal has no pages yet: exchange the key of your link at POST /api/v1/auth/one-time-token, and use the API",
    ))
}
