//! The token of the connection that an endpoint names: leased before the send, put where the provider wants it, and kept out
//! of everything that is written down of the attempt.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use postern_domain::id::ConnectionId;
use postern_domain::oauth::{api_call, proxy};
use postern_domain::outcome::Cause;
use postern_domain::wire::connection::Token;
use postern_domain::wire::lane::Lane;
use postern_platform::fetch::Ended;
use postern_platform::token::Spender;
use postern_platform::{clock, log};
use serde_json::json;
use worker::Env;

/// How long a token may take to come. One that has to be refreshed first may take longer: then the next attempt finds it.
const LEASE_MS: u64 = 5_000;

/// What stands in the place of a token that a receiver repeats.
const MASK: u8 = b'*';

/// A token in hand, for one request.
pub(super) struct Bearer {
    spender: Spender,
    connection: ConnectionId,
    token: Token,
    /// The header in which it stands.
    pub(super) header: (String, String),
    /// What the provider's API wants beside it, unless the endpoint has its own.
    pub(super) beside: BTreeMap<String, String>,
}

impl Bearer {
    /// The token of the lane's connection, for a request to this URL and no other.
    ///
    /// # Errors
    /// [`Cause::ConnectionUnavailable`] where none can be spent, [`Cause::OutsideConnection`] where it may not go.
    pub(super) async fn lease(
        env: &Env,
        lane: &Lane,
        connection: ConnectionId,
        url: &str,
    ) -> Result<Self, Cause> {
        let organisation = lane.organisation.ok_or(Cause::ConnectionUnavailable)?;
        let spender = Spender::new(env, organisation, lane.tenant, connection);
        let token = spender.token(clock::now(), LEASE_MS).await.map_err(|problem| {
            if problem.code.status() >= 500 {
                let fields =
                    json!({ "connection": connection, "code": problem.code, "cause": problem.cause });
                log::warn("token_not_leased", fields);
            }
            Cause::ConnectionUnavailable
        })?;
        let api = token.api.as_ref().ok_or(Cause::OutsideConnection)?;
        if !proxy::is_below(proxy::bases(api), url) {
            return Err(Cause::OutsideConnection);
        }
        Ok(Self {
            header: api_call::place(Some(&api.place), &token.token, token.user.as_deref()),
            beside: api.headers.clone(),
            spender,
            connection,
            token,
        })
    }

    /// Takes the token out of an answer that repeats it, and says whether the answer refuses it. After that nothing
    /// of it is left in what is kept.
    pub(super) fn judge(&self, ended: &mut Ended) -> bool {
        let header = |name: &str| {
            ended
                .headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let challenge = header("www-authenticate").map(|(_, value)| value.as_str());
        let refused = self
            .token
            .api
            .as_ref()
            .zip(ended.status)
            .is_some_and(|(api, status)| proxy::is_unauthorised(api, status, challenge, &ended.body));
        let secret = self.token.token.reveal();
        let basic = self
            .token
            .user
            .as_ref()
            .map(|user| BASE64_STANDARD.encode(format!("{user}:{secret}")));
        let alone = BASE64_STANDARD.encode(format!("{secret}:"));
        for secret in [Some(secret), basic.as_deref(), Some(&alone)]
            .into_iter()
            .flatten()
        {
            mask(&mut ended.body, secret.as_bytes());
            ended
                .headers
                .retain(|(_, value)| secret.is_empty() || !value.contains(secret));
        }
        refused
    }

    /// No other send takes this token from memory.
    pub(super) fn forget(&self) {
        self.spender.forget(self.token.generation);
    }

    /// Tells the connection that its token was refused, so that it gets another one.
    pub(super) async fn refused(self) {
        if let Err(problem) = self.spender.refused(self.token.generation).await {
            // What it says of itself stands in its state and history.
            let fields =
                json!({ "connection": self.connection, "code": problem.code, "cause": problem.cause });
            log::warn("token_not_renewed", fields);
        }
    }
}

/// Overwrites the secret wherever it stands, and its beginning at the end of what may be cut off.
fn mask(body: &mut [u8], secret: &[u8]) {
    if secret.is_empty() {
        return;
    }
    let mut at = 0;
    while at < body.len() {
        let rest = body.get_mut(at..).unwrap_or_default();
        let same = rest
            .iter()
            .zip(secret)
            .take_while(|(one, other)| one == other)
            .count();
        if same == secret.len() || (same == rest.len() && same >= SHORTEST) {
            rest.iter_mut().take(same).for_each(|byte| *byte = MASK);
            at += same;
        } else {
            at += 1;
        }
    }
}

/// So much of a secret at the end of a body that is cut off tells something of it.
const SHORTEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(body: &str) -> String {
        let mut body = body.as_bytes().to_vec();
        mask(&mut body, b"secret-1");
        String::from_utf8_lossy(&body).into_owned()
    }

    #[test]
    fn a_token_that_a_receiver_repeats_is_not_kept() {
        assert_eq!(masked("{\"you\":\"secret-1\"}"), "{\"you\":\"********\"}");
        assert_eq!(masked("secret-1secret-1"), "****************");
        assert_eq!(masked("ssecret-1"), "s********");
        assert_eq!(masked("no secret at all"), "no secret at all");
    }

    #[test]
    fn of_a_token_that_is_cut_off_at_the_end_nothing_is_kept_either() {
        assert_eq!(masked("you sent secret"), "you sent ******");
        assert_eq!(
            masked("you sent sec"),
            "you sent sec",
            "that is a word like any other"
        );
    }
}
