//! One call in, one answer out.

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::not_known;
use postern_domain::wire::connection::{AppTerms, Call, Caller, Envelope, UnknownEnvelope};
use postern_domain::wire::frame;
use serde::Serialize;

use crate::Connection;
use crate::record::Fresh;
use crate::sql::{Random, Sql};

/// What goes back.
#[derive(Debug)]
pub struct Replied {
    /// A frame whose head is `Result<Answer, Problem>`. Of a call that waits: what is sent when the wait gets too long.
    pub frame: Vec<u8>,
    /// The inside of a 5xx, for the log. The frame does not carry it.
    pub cause: Option<String>,
    /// What was asked for is not there yet: to be asked again when something [`Connection::moved`], with `since`.
    pub waits: bool,
    /// It waits for what another call began, and no longer than some seconds.
    pub briefly: bool,
    /// Something moved in this call.
    pub moved: bool,
    /// The `since` of the repeats, if this was the first try.
    pub turn: u64,
}

/// What a call comes to.
pub(crate) enum Answer<T> {
    /// The answer.
    Now(T),
    /// Not yet: an errand must end first. What is in here is sent when the wait gets too long.
    Late(Result<T, Problem>),
    /// The same, for what another call began: whoever asks is not kept waiting for all of it.
    Soon(Result<T, Problem>),
}

/// Who makes a connection, and under which name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker {
    pub(crate) connection: postern_domain::id::ConnectionId,
    pub(crate) organisation: OrganisationId,
    pub(crate) tenant: TenantId,
}

impl Maker {
    /// What a connection with this app begins as; names and variables are for whoever makes it.
    pub(crate) fn makes(&self, app: &AppTerms) -> Fresh {
        Fresh {
            id: self.connection,
            organisation: self.organisation,
            tenant: self.tenant,
            app: app.id,
            provider: app.provider.clone(),
            label: None,
            uid: None,
            variables: std::collections::BTreeMap::new(),
        }
    }
}

/// What every arm gets beside its call.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// Of a repeat: the turn of the first try. What ended after it may be what was waited for.
    pub(crate) since: Option<u64>,
    pub(crate) now: Millis,
}

impl<S: Sql> Connection<S> {
    /// Does what was asked. Never fails: a problem is an answer. `since` is [`Replied::turn`] of the first try, if this is
    /// a repeat of a call that waits.
    pub fn call(
        &mut self,
        request: &[u8],
        since: Option<u64>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Replied {
        let turn = since.unwrap_or(self.turn);
        let done = match frame::decode::<Envelope>(request) {
            Ok((envelope, _)) => self.answer(envelope, Turn { since, now }, random),
            Err(error) => Err(unread(request, error)),
        };
        let (mut waits, mut briefly) = (false, false);
        let done = done.and_then(|answer| match answer {
            Answer::Now(frame) => Ok(frame),
            Answer::Late(frame) => {
                waits = true;
                frame
            }
            Answer::Soon(frame) => {
                (waits, briefly) = (true, true);
                frame
            }
        });
        let (frame, cause) = match done {
            Ok(frame) => (frame, None),
            Err(mut problem) => {
                let cause = problem.cause.take();
                if cause.is_some() {
                    // What stands in memory may be ahead of what is stored.
                    self.forget();
                }
                let frame = frame::encode(&Err::<(), Problem>(problem), &[] as &[&[u8]]);
                (frame.unwrap_or_default(), cause)
            }
        };
        Replied {
            frame,
            cause,
            waits,
            briefly,
            moved: self.moved(),
            turn,
        }
    }

    fn answer(
        &mut self,
        envelope: Envelope,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<Vec<u8>>, Problem> {
        let maker = self.authorise(&envelope)?;
        let now = turn.now;
        match envelope.call {
            Call::SessionOpen(call) => head(self.session_open(call, maker()?, now, random)),
            Call::SessionShow(call) => head(self.session_show(&call, now)),
            Call::SessionGo(call) => head(self.session_go(&call, now, random)),
            Call::Callback(call) => late(self.callback(&call, turn, random)),
            Call::ResultShow(call) => head(self.result_show(&call, now)),
            Call::ResultAgain(call) => head(self.result_again(&call, now, random)),
            Call::KeyPut(call) => late(self.key_put(call, maker()?, turn, random)),
            Call::Import(call) => late(self.import(call, maker()?, turn, random)),
            Call::ServiceAccountPut(call) => late(self.service_account_put(call, maker()?, turn, random)),
            Call::ConnectionGet(_) => head(self.view(now)),
            Call::ConnectionPatch(call) => head(self.patch(call, now)),
            Call::ConnectionTest(_) => late(self.test(turn, random)),
            Call::Disconnect(_) => late(self.disconnect(turn, random)),
            Call::Reset(_) => late(self.reset(turn, random)),
            Call::TokenLease(call) => late(self.token_lease(&call, turn, random)),
            Call::TokenRefused(call) => late(self.token_refused(call, turn, random)),
            Call::TokenSpend(_) => head(self.token_spend(now)),
            Call::TokenThrottled(call) => head(self.token_throttled(call, now)),
            Call::ApiGet(_) => head(self.api_get()),
            Call::HistoryList(call) => head(self.history_list(&call)),
            Call::TokenReadList(call) => head(self.token_read_list(&call, now)),
            Call::AppChanged(_) => head(self.app_changed(now, random)),
            Call::Reseal(_) => head(self.reseal_and_tell(now, random)),
            Call::ConnectionErase(_) => late(self.erase(turn, random)),
            Call::WatchPut(call) => late(self.watch_put(call, turn, random)),
            Call::WatchList(_) => head(self.watch_list(now)),
            Call::WatchDelete(call) => head(self.watch_delete(call, now, random)),
            Call::WatchPushed(call) => head(self.watch_pushed(call, now, random)),
        }
    }

    /// Whether the caller may ask this of this connection. Answers who makes it, where the call makes one.
    fn authorise(
        &mut self,
        envelope: &Envelope,
    ) -> Result<impl Fn() -> Result<Maker, Problem> + use<S>, Problem> {
        self.wake()?;
        let browsers = matches!(
            envelope.call,
            Call::SessionShow(_)
                | Call::SessionGo(_)
                | Call::Callback(_)
                | Call::ResultShow(_)
                | Call::ResultAgain(_)
        );
        let makes = matches!(
            envelope.call,
            Call::SessionOpen(_) | Call::KeyPut(_) | Call::Import(_) | Call::ServiceAccountPut(_)
        );
        let erased = matches!(envelope.call, Call::ConnectionErase(_)) && self.erased.is_some();
        let record = self.memory.as_ref().map(|memory| &memory.record);
        if record.is_none() && !makes && !erased {
            return Err(Problem::not_found());
        }
        if record.is_some_and(|record| record.id != envelope.connection) {
            return Err(Problem::internal(
                "the object was asked under another connection's name",
            ));
        }
        let allowed = match envelope.caller {
            Caller::Tenant { organisation, tenant } => {
                !browsers
                    && record
                        .is_none_or(|record| (record.organisation, record.tenant) == (organisation, tenant))
            }
            Caller::Browser => browsers,
            Caller::System => !browsers && !makes,
        };
        if !allowed {
            return Err(Problem::not_found());
        }
        let (connection, caller) = (envelope.connection, envelope.caller);
        Ok(move || match caller {
            Caller::Tenant { organisation, tenant } => Ok(Maker {
                connection,
                organisation,
                tenant,
            }),
            Caller::Browser | Caller::System => Err(Problem::not_found()),
        })
    }
}

/// What is sent when a wait gets too long, and there is nothing better.
pub(crate) fn too_long() -> Problem {
    Problem::new(
        Code::Overloaded,
        "The provider has not answered yet; try again in some seconds",
    )
}

fn head<T: Serialize>(answer: Result<T, Problem>) -> Result<Answer<Vec<u8>>, Problem> {
    encoded(&answer?).map(Answer::Now)
}

fn late<T: Serialize>(answer: Result<Answer<T>, Problem>) -> Result<Answer<Vec<u8>>, Problem> {
    Ok(match answer? {
        Answer::Now(answer) => Answer::Now(encoded(&answer)?),
        Answer::Late(answer) => Answer::Late(answer.and_then(|answer| encoded(&answer))),
        Answer::Soon(answer) => Answer::Soon(answer.and_then(|answer| encoded(&answer))),
    })
}

fn encoded<T: Serialize>(answer: &T) -> Result<Vec<u8>, Problem> {
    frame::encode(&Ok::<_, Problem>(answer), &[] as &[&[u8]]).map_err(Problem::internal)
}

/// A call that this release cannot read: of a newer one, or broken.
fn unread(request: &[u8], error: frame::InvalidFrame) -> Problem {
    match frame::decode::<UnknownEnvelope>(request) {
        Ok(_) => not_known(),
        Err(_) => Problem::internal(error),
    }
}
