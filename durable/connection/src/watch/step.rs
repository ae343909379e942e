//! One step of a watch: its errand leaves.

use postern_domain::digest;
use postern_domain::oauth::{Request, api_call};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{Channel, Cursor, Step, Terms, Watch, answer, calendar, gmail, plan};
use postern_domain::wire::connection::Token;
use postern_domain::wire::watch::WatchWire;

use crate::Connection;
use crate::air::Purpose;
use crate::call::Answer;
use crate::errand::Task;
use crate::history::line;
use crate::sql::{Random, Sql};

/// Until a token is asked for again, when there was none.
const PAUSE_MS: u64 = 60_000;

/// Channels of a calendar that are remembered at the most: one that serves, one that it replaces, and those of which it is
/// not known whether they were opened.
const MOST_CHANNELS: usize = 8;

/// A step on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Of the watch.
    pub(crate) number: u64,
    pub(super) step: Step,
    /// Of the token that it spends.
    pub(super) generation: u64,
    /// Errors that mean that the token is refused.
    pub(super) unauthorised: Vec<String>,
    /// The channel that is opened or closed.
    pub(super) channel: Option<String>,
    /// Behind what is looked.
    pub(super) cursor: Cursor,
}

impl Flight {
    /// Notifications that had come when this look began.
    pub(super) const fn pushes(&self) -> u64 {
        self.cursor.pushes
    }

    pub(super) fn looks(&self) -> bool {
        self.step == Step::Look
    }
}

impl<S: Sql> Connection<S> {
    /// Takes a step. Answers whether the watch moved without an errand: then there may be another one.
    pub(super) fn take_step(
        &mut self,
        watch: Watch,
        step: Step,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<bool, Problem> {
        match step {
            Step::Forget => {
                let mut change = self.change()?;
                if watch.stops_failed >= plan::MOST_STOPS {
                    let decision =
                        "A watch was taken away; the provider could not be told, it ends there by itself";
                    change.line(line("watch", decision, now));
                }
                self.drop_watch(watch.number, change, now)?;
                return Ok(true);
            }
            Step::Wire(on) => {
                self.wire(&watch, on)?;
                return Ok(false);
            }
            Step::Look if self.watches.is_full() => return Ok(false),
            _ => {}
        }
        match self.watch_token(now, random)? {
            Some(token) => self.send_step(watch, step, &token, now, random)?,
            None if watch.stopping && !super::is_watched(&self.standing()?.record) => {
                let mut change = self.change()?;
                let decision = "A watch was taken away; there is no token to tell the provider with, it ends there by itself";
                change.line(line("watch", decision, now));
                self.drop_watch(watch.number, change, now)?;
                return Ok(true);
            }
            None => {}
        }
        Ok(false)
    }

    /// A token to spend on a watch; none: not now. If one is being fetched, its end comes back here.
    fn watch_token(&mut self, now: Millis, random: &mut dyn Random) -> Result<Option<Token>, Problem> {
        if self.watches.pause.is_some_and(|until| now < until) {
            return Ok(None);
        }
        self.watches.pause = None;
        match self.token(false, now, random) {
            Ok(Answer::Now(token)) => Ok(Some(token)),
            Ok(Answer::Late(_) | Answer::Soon(_)) => Ok(None),
            Err(problem) if problem.cause.is_some() => Err(problem),
            Err(_) => {
                self.watches.pause = Some(now.plus(PAUSE_MS));
                Ok(None)
            }
        }
    }

    /// Tells the source's ledger who is to be handed the mailbox's notifications.
    pub(super) fn wire(&mut self, watch: &Watch, on: bool) -> Result<(), Problem> {
        let Terms::Gmail {
            source: Some(source), ..
        } = &watch.terms
        else {
            return Err(Problem::internal("only a source is wired"));
        };
        let task = Task::Wire {
            ledger: source.ledger,
            call: WatchWire {
                source: source.id.to_string(),
                key: watch.mailbox.clone().unwrap_or_default(),
                connection: self.standing()?.record.id,
                on,
            },
        };
        let flight = Flight {
            number: watch.number,
            step: Step::Wire(on),
            generation: 0,
            unauthorised: Vec::new(),
            channel: None,
            cursor: Cursor::default(),
        };
        self.send(task, Purpose::Watch(Box::new(flight)));
        Ok(())
    }

    /// Asks the provider.
    pub(super) fn send_step(
        &mut self,
        mut watch: Watch,
        step: Step,
        token: &Token,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let api = token.api.as_ref();
        let base = api.map(|api| api.bases.get(watch.terms.base()).unwrap_or(&api.base).clone());
        let base = base.ok_or_else(|| Problem::internal("a watch at a provider without an API"))?;
        let placed = api_call::place(api.map(|api| &api.place), &token.token, None);
        let mut cursor = watch.cursor.clone().unwrap_or_default();
        if cursor.page.is_none() {
            cursor.pushes = watch.pushes;
        }
        let mut channel = None;
        let request: Request = match &watch.terms {
            Terms::Gmail { topic, labels, .. } => {
                let api = gmail::Api { base, token: placed };
                match step {
                    Step::Profile => api.profile(),
                    Step::Register => api.watch(topic.as_deref().unwrap_or_default(), labels),
                    Step::Stop => api.stop(),
                    Step::Look => api.history(&cursor, labels),
                    Step::Open | Step::Close(_) | Step::Wire(_) | Step::Forget => return Err(no_such_step()),
                }
            }
            Terms::Calendar { calendar, address } => {
                let api = calendar::Api {
                    base,
                    token: placed,
                    calendar: calendar.clone(),
                };
                match step {
                    Step::Open => {
                        let (id, secret) = (hex_of::<16>(random), hex_of::<32>(random));
                        let connection = self.standing()?.record.id;
                        let address = format!("{address}/in/channel/{connection}");
                        let request = api.open(&id, &secret, &address);
                        remember_channel(&mut watch, &id, &secret, now);
                        channel = Some(id);
                        // Stored before it leaves: what the channel posts counts, whatever becomes of the answer.
                        let change = self.change()?;
                        self.keep_watch(watch.clone(), &[], change, now)?;
                        request
                    }
                    Step::Close(at) => {
                        let known = watch.channels.get(at).ok_or_else(no_such_step)?;
                        channel = Some(known.id.clone());
                        api.stop(known)
                    }
                    Step::Look => api.changes(&cursor, cursor.at.is_none() && !watch.lost),
                    Step::Profile | Step::Register | Step::Stop | Step::Wire(_) | Step::Forget => {
                        return Err(no_such_step());
                    }
                }
            }
        };
        let flight = Flight {
            number: watch.number,
            step,
            generation: token.generation,
            unauthorised: api.map(|api| api.unauthorised.clone()).unwrap_or_default(),
            channel,
            cursor,
        };
        let task = Task::Http {
            request,
            deadline_ms: self.settings.deadline_ms,
            cap: answer::CAP,
        };
        self.send(task, Purpose::Watch(Box::new(flight)));
        Ok(())
    }
}

fn remember_channel(watch: &mut Watch, id: &str, secret: &str, now: Millis) {
    watch.channels.retain(|channel| channel.expires_at > now);
    while watch.channels.len() >= MOST_CHANNELS {
        let unheard = watch
            .channels
            .iter()
            .position(|channel| channel.resource.is_none());
        watch.channels.remove(unheard.unwrap_or(0));
    }
    watch.channels.push(Channel {
        id: id.to_owned(),
        token: digest::of(secret.as_bytes()),
        resource: None,
        made_at: now,
        expires_at: now.plus(plan::CHANNEL_MS),
        stop_at: None,
        stops_failed: 0,
        number: 0,
    });
}

fn hex_of<const N: usize>(random: &mut dyn Random) -> String {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    hex::encode(bytes)
}

fn no_such_step() -> Problem {
    Problem::internal("a step of another kind of watch")
}
