//! Which source a token names. A warm isolate knows; a cold one asks the tenant's object.
//!
//! What is known is believed for 30 s, and for 10 min when its owner cannot be reached: a provider's webhook shall not be
//! lost because an object is slow to start. What is unknown is believed for 5 s, so that a new source works at once and a
//! stranger's guess costs little. A request that does not hold by what is known makes it be asked for again, once in 5 s:
//! a new secret works from its first use, and not only when what was known has aged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use postern_domain::digest;
use postern_domain::id::IngestToken;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::{Secret, SourceConfig, State};
use postern_domain::seal::{self, MasterKeys, Place};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, SourceByToken};
use postern_domain::wire::inbound::{Intake, SourceOptions};
use postern_domain::wire::{SealedSecret, SourceForIngest, SourceState};
use postern_platform::deadline::within;
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, log};
use worker::Env;

use super::unavailable;

const FRESH_MS: u64 = 30_000;
const STALE_MS: u64 = 600_000;
const UNKNOWN_MS: u64 = 5_000;
/// How long an owner that could not be reached, or was asked because of a request that did not hold, is left in peace.
const ASK_AGAIN_MS: u64 = 5_000;
const DEADLINE_MS: u64 = 1500;
/// Tokens that an isolate remembers at the most.
const MAX_ENTRIES: usize = 1024;

thread_local! {
    static CACHE: RefCell<Cache<Rc<Source>>> = RefCell::default();
}

/// A source as the edge needs it. Its secrets stay sealed until a request needs them.
pub(super) struct Source {
    /// Its number in the tenant.
    pub(super) number: u16,
    /// The preset and its settings.
    pub(super) config: SourceConfig,
    /// It serves all tenants of its organisation.
    pub(super) app_level: bool,
    /// What its owner chose beside them.
    pub(super) options: SourceOptions,
    /// Whether anything was verified yet.
    pub(super) state: SourceState,
    token: IngestToken,
    secrets: Vec<SealedSecret>,
    token_not_after: Option<Millis>,
}

/// Secrets that are valid now, with the generation of each.
pub(super) struct Opened {
    /// As the verifier takes them.
    pub(super) secrets: Vec<Secret>,
    generations: Vec<u64>,
}

impl Opened {
    /// Which one matched.
    pub(super) fn generation(&self, index: usize) -> Option<u64> {
        self.generations.get(index).copied()
    }
}

/// The source that `token` names now; 404 if there is none.
pub(super) async fn find(env: &Env, token: &IngestToken) -> Result<Rc<Source>, Problem> {
    let now = clock::now();
    let look = CACHE.with_borrow(|cache| cache.look(token, now));
    let source = match look {
        Look::Known(source) => source,
        Look::Unknown => return Err(Problem::not_found()),
        Look::Ask { stale } => ask(env, token, stale).await?,
    };
    if is_over(source.token_not_after, clock::now()) {
        return Err(Problem::not_found());
    }
    Ok(source)
}

/// The source as its owner has it now, for a request that began at `since` and did not hold by what was `known`. None:
/// that was heard after the request began, or the owner was asked for such a request within the last 5 s, or it cannot be
/// reached.
///
/// # Errors
/// 404 if the token names no source any more.
pub(super) async fn find_again(
    env: &Env,
    token: &IngestToken,
    known: &Rc<Source>,
    since: Millis,
) -> Result<Option<Rc<Source>>, Problem> {
    if !CACHE.with_borrow_mut(|cache| cache.may_ask_again(token, since, clock::now())) {
        return Ok(None);
    }
    let source = ask(env, token, Some(Rc::clone(known))).await?;
    if is_over(source.token_not_after, clock::now()) {
        return Err(Problem::not_found());
    }
    Ok((!Rc::ptr_eq(&source, known)).then_some(source))
}

/// Forgets what is known of a token: its source has changed by what came through it.
pub(super) fn forget(token: &IngestToken) {
    CACHE.with_borrow_mut(|cache| {
        cache.entries.remove(token);
    });
}

impl Source {
    fn new(token: IngestToken, source: SourceForIngest) -> Result<Self, Problem> {
        let config = SourceConfig::parse(&source.provider, &source.config)
            .map_err(|faults| Problem::internal(format!("a source's settings do not read: {faults:?}")))?;
        Ok(Self {
            number: token.source,
            config,
            app_level: source.app_level,
            options: source.options,
            state: source.state,
            token,
            secrets: source.secrets,
            token_not_after: source.token_not_after,
        })
    }

    /// Those of its secrets that are valid now, opened. That there are some and none can be opened is our failure, not a
    /// bad signature.
    pub(super) fn secrets(&self, keys: &MasterKeys, now: Millis) -> Result<Opened, Problem> {
        let (mut opened, mut generations) = (Vec::new(), Vec::new());
        let mut broken = None;
        for secret in &self.secrets {
            let (not_before, not_after) = (secret.shown.not_before, secret.shown.not_after);
            if now < not_before || is_over(not_after, now) {
                continue;
            }
            match self.open(keys, secret) {
                Ok(value) => {
                    generations.push(secret.generation);
                    opened.push(Secret {
                        value,
                        not_before: Some(not_before),
                        not_after,
                    });
                }
                Err(why) => broken = Some(why),
            }
        }
        match broken {
            Some(why) if opened.is_empty() => return Err(unavailable("source_secret_not_opened", why)),
            Some(why) => {
                let fields =
                    serde_json::json!({ "tenant": self.token.tenant, "source": self.number, "cause": why });
                log::error("source_secret_not_opened", fields);
            }
            None => {}
        }
        Ok(Opened {
            secrets: opened,
            generations,
        })
    }

    /// Methods that it takes.
    pub(super) fn methods(&self) -> Vec<&str> {
        let own = self.options.methods.iter().map(String::as_str);
        if self.options.methods.is_empty() {
            self.config.descriptor().methods.to_vec()
        } else {
            own.collect()
        }
    }

    /// Whether something was verified already.
    pub(super) fn is_active(&self) -> bool {
        self.state == SourceState::Active
    }

    /// One of these parts, for tests.
    #[cfg(test)]
    pub(super) fn of_parts(provider: &str, config: &serde_json::Value, options: SourceOptions) -> Self {
        use postern_domain::id::TenantId;
        Self {
            number: 1,
            config: SourceConfig::parse(provider, config).unwrap_or_else(|faults| panic!("{faults:?}")),
            app_level: false,
            options,
            state: SourceState::Pending,
            token: IngestToken {
                tenant: TenantId([1; 20]),
                source: 1,
                random: [2; 16],
            },
            secrets: Vec::new(),
            token_not_after: None,
        }
    }

    /// How a preset is to look at a handshake.
    pub(super) fn standing(&self) -> State {
        match self.state {
            SourceState::Pending if self.options.intake == Intake::Open => State::Pending,
            SourceState::Pending | SourceState::Active => State::Active,
        }
    }

    fn open(&self, keys: &MasterKeys, secret: &SealedSecret) -> Result<String, &'static str> {
        let blob = seal::from_text(&secret.sealed).ok_or("not base64")?;
        let place = Place {
            tenant: self.token.tenant,
            table: "source",
            column: "secret",
            row: u64::from(self.number),
            generation: secret.generation,
        };
        let plain = keys
            .open(&place, &blob)
            .map_err(|_| "sealed under another key, or broken")?;
        String::from_utf8(plain).map_err(|_| "not text")
    }
}

async fn ask(env: &Env, token: &IngestToken, stale: Option<Rc<Source>>) -> Result<Rc<Source>, Problem> {
    let object = TenantObject::new(env, token.tenant, Caller::Ingest);
    let call = SourceByToken {
        source: token.source,
        token_hash: digest::of(&token.random),
    };
    let answer = within(DEADLINE_MS, object.call(call, &[])).await;
    let now = clock::now();
    let remember = |found: Option<Rc<Source>>| {
        CACHE.with_borrow_mut(|cache| cache.remember(*token, found, now));
    };
    let cause = match answer {
        Some(Ok((source, _))) => {
            let source = Rc::new(Source::new(*token, source)?);
            remember(Some(Rc::clone(&source)));
            return Ok(source);
        }
        Some(Err(problem)) if problem.code == Code::NotFound => {
            remember(None);
            return Err(problem);
        }
        Some(Err(problem)) => problem.to_string(),
        None => format!("no answer within {DEADLINE_MS} ms"),
    };
    let Some(source) = stale else {
        return Err(unavailable("source_not_found_out", cause));
    };
    let fields = serde_json::json!({ "tenant": token.tenant, "source": token.source, "cause": cause });
    log::warn("source_served_stale", fields);
    CACHE.with_borrow_mut(|cache| cache.could_not_ask(token, now));
    Ok(source)
}

fn is_over(not_after: Option<Millis>, now: Millis) -> bool {
    not_after.is_some_and(|end| now >= end)
}

/// What a cache knows about a token.
#[derive(Debug, PartialEq, Eq)]
enum Look<S> {
    Known(S),
    Unknown,
    Ask { stale: Option<S> },
}

struct Entry<S> {
    found: Option<S>,
    heard_at: Millis,
    ask_at: Millis,
    /// When the owner was last asked because a request did not hold.
    asked_again_at: Option<Millis>,
}

struct Cache<S> {
    entries: HashMap<IngestToken, Entry<S>>,
}

impl<S> Default for Cache<S> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<S: Clone> Cache<S> {
    fn look(&self, token: &IngestToken, now: Millis) -> Look<S> {
        let Some(entry) = self.entries.get(token) else {
            return Look::Ask { stale: None };
        };
        let usable = now.since(entry.heard_at) < STALE_MS;
        match &entry.found {
            Some(source) if usable && now < entry.ask_at => Look::Known(source.clone()),
            Some(source) if usable => Look::Ask {
                stale: Some(source.clone()),
            },
            None if now < entry.ask_at => Look::Unknown,
            _ => Look::Ask { stale: None },
        }
    }

    fn remember(&mut self, token: IngestToken, found: Option<S>, now: Millis) {
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&token) {
            self.make_room(now);
        }
        let good_for = if found.is_some() { FRESH_MS } else { UNKNOWN_MS };
        let entry = Entry {
            found,
            heard_at: now,
            ask_at: now.plus(good_for),
            asked_again_at: self.entries.get(&token).and_then(|entry| entry.asked_again_at),
        };
        self.entries.insert(token, entry);
    }

    /// Whether the owner may be asked about what is known, and from then on not for a while: strangers can make requests
    /// that do not hold. What was heard at `since` or later is new enough.
    fn may_ask_again(&mut self, token: &IngestToken, since: Millis, now: Millis) -> bool {
        let Some(entry) = self.entries.get_mut(token) else {
            return false;
        };
        let rests = |at: Millis| now.since(at) < ASK_AGAIN_MS;
        if entry.heard_at >= since || entry.asked_again_at.is_some_and(rests) {
            return false;
        }
        entry.asked_again_at = Some(now);
        true
    }

    fn could_not_ask(&mut self, token: &IngestToken, now: Millis) {
        if let Some(entry) = self.entries.get_mut(token) {
            entry.ask_at = now.plus(ASK_AGAIN_MS);
        }
    }

    /// Strangers' tokens go first, so that a flood of guesses pushes out no source; then whatever is too old; then the
    /// one that was heard of longest ago.
    fn make_room(&mut self, now: Millis) {
        self.entries
            .retain(|_, entry| entry.found.is_some() && now.since(entry.heard_at) < STALE_MS);
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.heard_at);
        if let Some(token) = oldest.map(|(token, _)| *token) {
            self.entries.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_domain::id::TenantId;

    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn token(source: u16) -> IngestToken {
        IngestToken {
            tenant: TenantId([1; 20]),
            source,
            random: [2; 16],
        }
    }

    fn knowing(source: u16) -> Cache<u16> {
        let mut cache = Cache::default();
        cache.remember(token(source), Some(source), NOW);
        cache
    }

    #[test]
    fn a_known_source_is_believed_for_thirty_seconds() {
        let cache = knowing(1);
        assert_eq!(cache.look(&token(1), NOW.plus(29_999)), Look::Known(1));
        assert_eq!(
            cache.look(&token(1), NOW.plus(30_000)),
            Look::Ask { stale: Some(1) }
        );
    }

    #[test]
    fn a_stale_source_is_offered_for_ten_minutes_and_then_forgotten() {
        let cache = knowing(1);
        let last = NOW.plus(599_999);
        assert_eq!(cache.look(&token(1), last), Look::Ask { stale: Some(1) });
        assert_eq!(cache.look(&token(1), last.plus(1)), Look::Ask { stale: None });
    }

    #[test]
    fn an_owner_that_cannot_be_reached_is_left_in_peace_for_a_while() {
        let mut cache = knowing(1);
        let failed_at = NOW.plus(40_000);
        cache.could_not_ask(&token(1), failed_at);
        assert_eq!(cache.look(&token(1), failed_at.plus(4_999)), Look::Known(1));
        assert_eq!(
            cache.look(&token(1), failed_at.plus(5_000)),
            Look::Ask { stale: Some(1) }
        );
    }

    #[test]
    fn an_owner_that_stays_away_does_not_prolong_the_ten_minutes() {
        let mut cache = knowing(1);
        cache.could_not_ask(&token(1), NOW.plus(599_000));
        assert_eq!(
            cache.look(&token(1), NOW.plus(600_000)),
            Look::Ask { stale: None }
        );
    }

    #[test]
    fn an_unknown_token_is_asked_for_again_after_five_seconds() {
        let mut cache = Cache::<u16>::default();
        cache.remember(token(1), None, NOW);
        assert_eq!(cache.look(&token(1), NOW.plus(4_999)), Look::Unknown);
        assert_eq!(cache.look(&token(1), NOW.plus(5_000)), Look::Ask { stale: None });
    }

    #[test]
    fn requests_that_do_not_hold_make_an_owner_be_asked_once_in_five_seconds() {
        let mut cache = knowing(1);
        let begun = NOW.plus(1);
        assert!(cache.may_ask_again(&token(1), begun, begun));
        cache.remember(token(1), Some(2), begun);
        for later in [1, 4_999] {
            let now = begun.plus(later);
            assert!(!cache.may_ask_again(&token(1), now, now), "{later}");
        }
        let now = begun.plus(5_000);
        assert!(cache.may_ask_again(&token(1), now, now));
    }

    #[test]
    fn what_was_heard_after_the_request_began_is_not_asked_for_again() {
        let mut cache = knowing(1);
        assert!(!cache.may_ask_again(&token(1), NOW, NOW.plus(20)));
        assert!(!cache.may_ask_again(&token(2), NOW, NOW.plus(20)));
    }

    #[test]
    fn a_flood_of_guesses_pushes_out_no_source() {
        let mut cache = knowing(0);
        for guess in 1..=5_000 {
            cache.remember(token(guess), None, NOW);
        }
        assert!(cache.entries.len() <= MAX_ENTRIES);
        assert_eq!(cache.look(&token(0), NOW), Look::Known(0));
    }

    #[test]
    fn a_full_cache_forgets_the_source_that_was_heard_of_longest_ago() {
        let mut cache = knowing(0);
        for source in 1..=1024 {
            cache.remember(token(source), Some(source), NOW.plus(1));
        }
        assert_eq!(cache.entries.len(), MAX_ENTRIES);
        assert_eq!(cache.look(&token(0), NOW.plus(1)), Look::Ask { stale: None });
    }

    #[test]
    fn a_token_ends_at_its_time_and_not_before() {
        assert!(!is_over(None, NOW));
        assert!(!is_over(Some(NOW.plus(1)), NOW));
        assert!(is_over(Some(NOW), NOW));
    }
}
