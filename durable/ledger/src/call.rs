//! One call in, one answer out.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Call, Caller, Envelope, UnknownEnvelope, not_known};
use postern_domain::wire::frame;
use serde::Serialize;

use crate::sql::Sql;
use crate::{Ledger, Random};

/// What goes back: a frame, and the problem in it, if it is one that the log should know.
#[derive(Debug)]
pub struct Replied {
    /// A frame whose head is `Result<Answer, Problem>`.
    pub frame: Vec<u8>,
    /// The inside of a 5xx. The frame does not carry it.
    pub cause: Option<String>,
    /// For the shell.
    pub later: Later,
}

/// What an answer means for callers that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Later {
    /// What was asked for is not there yet: ask again when something was recorded.
    pub waits: bool,
    /// Something was recorded: whoever waits asks again.
    pub recorded: bool,
}

impl<S: Sql> Ledger<S> {
    /// Does what was asked. Never fails: a problem is an answer.
    pub fn call(&mut self, request: &[u8], now: Millis, random: &mut dyn Random) -> Replied {
        self.clock = now;
        self.later = Later::default();
        self.mind_the_alarm(now);
        let read = frame::decode::<Envelope>(request);
        let done = match read {
            Ok((envelope, bodies)) => self.answer(envelope, bodies, now, random),
            Err(error) => Err(unread(request, error)),
        };
        let later = self.later;
        match done {
            Ok(frame) => Replied {
                frame,
                cause: None,
                later,
            },
            Err(mut problem) => {
                let cause = problem.cause.take();
                if cause.is_some() {
                    // What stands in memory may be ahead of what is stored.
                    self.forget();
                }
                let frame = frame::encode(&Err::<(), Problem>(problem), &[] as &[&[u8]]).unwrap_or_default();
                Replied { frame, cause, later }
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm a call")]
    fn answer(
        &mut self,
        envelope: Envelope,
        mut bodies: Vec<Vec<u8>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, Problem> {
        if let Call::SetUp(call) = &envelope.call {
            return head(self.set_up(envelope.tenant, call, now));
        }
        self.authorise(&envelope, now)?;
        match envelope.call {
            Call::SetUp(_) => Err(Problem::internal("answered above")),
            Call::Configure(call) => head(self.configure(call, now)),
            Call::Wipe(call) => {
                let wiped = self.wipe(&call);
                if wiped.is_ok() {
                    self.drop_all_bodies(envelope.tenant);
                }
                head(wiped)
            }
            Call::Accept(call) => {
                let source = call.source;
                let accepted = self.accept(&call, bodies.pop().unwrap_or_default(), now, random);
                if let (Ok(_), Some(source)) = (&accepted, source) {
                    self.source_active(source)?;
                }
                head(accepted)
            }
            Call::AcceptBatch(call) => head(self.accept_batch(&call, bodies, now, random)),
            Call::Report(call) => {
                self.later.recorded = true;
                with_bodies(self.report(&call, &bodies, now, random))
            }
            Call::Stalled(call) => head(self.stalled(&call)),
            Call::Bodies(call) => with_bodies(self.bodies(&call)),
            Call::EndpointCreate(call) => head(self.endpoint_create(&call, now, random)),
            Call::EndpointGet(call) => head(self.endpoint_get(&call)),
            Call::EndpointList(call) => head(self.endpoint_list(&call)),
            Call::EndpointUpdate(call) => head(self.endpoint_update(&call, now, random)),
            Call::EndpointPatch(call) => head(self.endpoint_patch(&call, now, random)),
            Call::EndpointDelete(call) => head(self.endpoint_delete(&call, now)),
            Call::EndpointSecret(call) => head(self.endpoint_secret(&call)),
            Call::EndpointSecretRotate(call) => head(self.endpoint_secret_rotate(&call, now, random)),
            Call::PublicKeys(call) => head(self.public_keys(&call, now)),
            Call::EndpointHeadersGet(call) => head(self.endpoint_headers_get(&call)),
            Call::EndpointHeadersPut(call) => head(self.endpoint_headers_put(&call, now, random)),
            Call::EndpointHeadersPatch(call) => head(self.endpoint_headers_patch(&call, now, random)),
            Call::AttemptHeaders(call) => head(self.attempt_headers(&call)),
            Call::SourceCreate(call) => head(self.source_create(call, now, random)),
            Call::SourceGet(call) => head(self.source_get(&call)),
            Call::SourceList(call) => head(self.source_list(&call)),
            Call::SourceUpdate(call) => head(self.source_update(call, now, random)),
            Call::SourceDelete(call) => head(self.source_delete(&call, now)),
            Call::SourceRotateSecret(call) => head(self.source_rotate_secret(&call, now, random)),
            Call::SourceRotateToken(call) => head(self.source_rotate_token(&call, now, random)),
            Call::SourceByToken(call) => head(self.source_by_token(&call, now)),
            Call::SourceRejected(call) => {
                let body = bodies.pop().unwrap_or_default();
                head(self.source_rejected(&call, &body, now))
            }
            Call::Receive(call) => {
                let source = call.accept.source;
                let done = self.receive(&call, bodies, now, random);
                if let (Ok(_), Some(source)) = (&done, source) {
                    self.source_active(source)?;
                }
                head(done)
            }
            Call::ReceiveLarge(call) => {
                let source = call.receive.accept.source;
                let done = self.receive(&call.receive, bodies, now, random);
                if let (Ok(_), Some(source)) = (&done, source) {
                    self.source_active(source)?;
                }
                head(done)
            }
            Call::SourceSecretRemove(call) => head(self.source_secret_remove(&call, now)),
            Call::SourceHandshake(call) => head(self.source_handshake(&call, now, random)),
            Call::SourceCaptured(call) => head(self.source_captured(&call)),
            Call::RefusedList(call) => with_bodies(self.refused_list(&call, now)),
            Call::RefusedGet(call) => with_bodies(self.refused_get(&call, now)),
            Call::SourceStats(call) => head(self.source_stats(&call, now)),
            Call::SourceDiagnose(call) => {
                let body = bodies.pop().unwrap_or_default();
                with_bodies(self.source_diagnose(&call, body, now))
            }
            Call::SourceReplay(call) => head(self.source_replay(&call, now)),
            Call::MessageGet(call) => with_bodies(self.message_get(&call)),
            Call::MessageRequest(call) => with_bodies(self.message_request(&call)),
            Call::MessageList(call) => with_bodies(self.message_list(&call)),
            Call::AttemptsOfMessage(call) => with_bodies(self.attempts_of_message(&call)),
            Call::AttemptsOfEndpoint(call) => with_bodies(self.attempts_of_endpoint(&call)),
            Call::Tell(call) => head(self.hear(&call, bodies, now, random)),
            Call::Poll(call) => with_bodies(self.poll(&call)),
            Call::ConsumerPoll(call) => with_bodies(self.consumer_poll(&call, now)),
            Call::ConsumerSeek(call) => head(self.consumer_seek(&call, now)),
            Call::PollerTokenGet(call) => head(self.poller_token_get(&call)),
            Call::PollerTokenRotate(call) => head(self.poller_token_rotate(&call, now, random)),
            Call::Follow(call) => with_bodies(self.follow(&call)),
            Call::Watch(call) => head(self.watch(&call)),
            Call::AttemptGet(call) => with_bodies(self.attempt_get(&call)),
            Call::AttemptExpunge(call) => head(self.attempt_expunge(&call)),
            Call::AttemptCount(call) => head(self.attempt_count(&call)),
            Call::MessageExpunge(call) => head(self.message_expunge(&call, now)),
            Call::MessagesOfEndpoint(call) => with_bodies(self.messages_of_endpoint(&call, now)),
            Call::EndpointsOfMessage(call) => head(self.endpoints_of_message(&call, now)),
            Call::FailedList(call) => with_bodies(self.failed_list(&call)),
            Call::EndpointStats(call) => head(self.endpoint_stats(&call)),
            Call::AttemptStats(call) => head(self.attempt_stats(&call)),
            Call::Usage(call) => head(self.usage(&call)),
            Call::RateLimitStatus(call) => head(self.rate_limit_status(&call)),
            Call::Precheck(call) => head(self.precheck(&call)),
            Call::Resend(call) => head(self.resend(&call, now)),
            Call::TestAttempt(call) => {
                head(self.test_attempt(&call, bodies.pop().unwrap_or_default(), now, random))
            }
            Call::AttemptAwait(call) => with_bodies(self.attempt_await(call)),
            Call::CancelMessages(call) => head(self.cancel_messages(&call, now)),
            Call::Missed(call) => head(self.missed(&call, now)),
            Call::TaskCount(call) => head(self.task_count(&call)),
            Call::TaskStart(call) => head(self.task_start(&call, now)),
            Call::TaskGet(call) => head(self.task_get(&call)),
            Call::TaskCancel(call) => head(self.task_cancel(call, now)),
            Call::RouteIn(call) => head(self.route_in(&call.events, bodies, now, random)),
            Call::RouteLarge(call) => head(self.route_in(&call.events, bodies, now, random)),
            Call::RouteChanged(call) => head(self.route_changed(&call)),
            Call::RouteTrust(call) => head(self.route_trust(&call)),
            Call::WatchWire(call) => head(self.watch_wire(&call)),
            Call::UnroutedKeys(call) => head(self.unrouted_keys(&call)),
            Call::UnroutedEvents(call) => head(self.unrouted_events(&call)),
            Call::RouteReplay(call) => head(self.route_replay(&call, now)),
            Call::Inspect(_) => head(self.inspect()),
            Call::EndpointsImport(call) => head(self.endpoints_import(&call, now, random)),
            Call::ExportPage(call) => with_bodies(self.export_page(&call)),
            Call::Erase(_) => {
                let erased = self.erase();
                if erased.is_ok() {
                    self.drop_all_bodies(envelope.tenant);
                }
                head(erased)
            }
            Call::EntitlementConfigGet(_) => head(self.entitlement_config_get()),
            Call::EntitlementConfigPut(call) => head(self.entitlement_config_put(call, now, random)),
            Call::EntitlementGet(call) => head(self.entitlement_get(&call, now)),
            Call::EntitlementList(call) => head(self.entitlement_list(&call, now)),
            Call::EntitlementObjects(call) => head(self.entitlement_objects(&call)),
            Call::EntitlementFetched(call) => head(self.entitlement_fetched(&call, &bodies, now, random)),
            Call::EntitlementBackfill(call) => head(self.entitlement_backfill(&call, now)),
            Call::EntitlementDifferences(call) => head(self.entitlement_differences(&call, now)),
            Call::Reseal(_) => head(self.reseal(random)),
        }
    }

    /// The object knows its tenant and its organisation, and compares: another's is 404, as if it were not there. What
    /// comes by an ingest token or from the queue may do what those need, and nothing else.
    fn authorise(&mut self, envelope: &Envelope, now: Millis) -> Result<(), Problem> {
        if matches!((&envelope.call, envelope.caller), (Call::Wipe(_), Caller::System)) {
            return Ok(()); // a wipe that was cut off is finished by the cron
        }
        let memory = self.memory()?;
        if memory.tenant != envelope.tenant {
            return Err(Problem::not_found());
        }
        let may = match envelope.caller {
            Caller::Organisation(organisation) => memory.organisation == organisation,
            Caller::Poller(key) => return self.authorise_poller(key, &envelope.call, now),
            Caller::Ingest => {
                matches!(
                    envelope.call,
                    Call::SourceByToken(_)
                        | Call::SourceRejected(_)
                        | Call::SourceHandshake(_)
                        | Call::Accept(_)
                        | Call::Receive(_)
                        | Call::ReceiveLarge(_)
                )
            }
            Caller::System => matches!(
                envelope.call,
                Call::Report(_)
                    | Call::Stalled(_)
                    | Call::Bodies(_)
                    | Call::Accept(_)
                    | Call::Configure(_)
                    | Call::PublicKeys(_)
                    | Call::Inspect(_)
                    | Call::EntitlementFetched(_)
                    | Call::WatchWire(_)
                    | Call::Reseal(_)
            ),
        };
        if may { Ok(()) } else { Err(Problem::not_found()) }
    }
}

/// Why an envelope could not be read: a later release asks for what this one does not know, or it is none.
fn unread(request: &[u8], error: frame::InvalidFrame) -> Problem {
    match frame::decode::<UnknownEnvelope>(request) {
        Ok(_) => not_known(),
        Err(_) => Problem::internal(error),
    }
}

fn head<T: Serialize>(answer: Result<T, Problem>) -> Result<Vec<u8>, Problem> {
    with_bodies(answer.map(|answer| (answer, Vec::new())))
}

fn with_bodies<T: Serialize>(answer: Result<(T, Vec<Vec<u8>>), Problem>) -> Result<Vec<u8>, Problem> {
    let (head, bodies) = answer?;
    frame::encode(&Ok::<T, Problem>(head), &bodies).map_err(Problem::internal)
}
