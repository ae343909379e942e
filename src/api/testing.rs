//! What only tests may ask for. Without `TEST_HOOKS=1` none of it is there.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::Inspect;
use postern_platform::config::Config;

use super::access::TenantAccess;
use super::ask::Ask;
use super::reply::Answer;

/// Counts of a tenant's object: rows, sizes, the alarm.
pub(crate) async fn inspect(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    only_in_tests(&ask)?;
    let (counts, _) = access.object().call(Inspect {}, &[]).await?;
    Answer::ok(&counts)
}

/// Panics in the fetch handler: what a mistake of ours would do.
#[expect(clippy::panic, reason = "the test wants it")]
pub(crate) async fn panic(ask: Ask) -> Result<Answer, Problem> {
    only_in_tests(&ask)?;
    panic!("planted by a test");
}

fn only_in_tests(ask: &Ask) -> Result<(), Problem> {
    if Config::from_env(ask.env())?.test_hooks {
        Ok(())
    } else {
        Err(Problem::new(Code::NotFound, "There is no such path"))
    }
}
