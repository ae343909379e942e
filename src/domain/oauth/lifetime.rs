//! How long tokens and grants live: when a token is refreshed ahead of its end, when an idle grant is kept alive, and when
//! a grant will be over whatever one does.

use serde::{Deserialize, Serialize};

use super::TokenSet;
use super::provider::Provider;
use crate::time::Millis;

/// A token that lives no longer is refreshed when it is asked for, never ahead.
const ON_DEMAND_S: u64 = 120;

/// A connection that was not used for so long is not refreshed ahead any more.
const IN_USE_MS: u64 = Millis::DAY;

/// Before a grant's end its owner is told so long ahead, each once.
pub const NOTICES_MS: [u64; 3] = [14 * Millis::DAY, 3 * Millis::DAY, Millis::DAY];

/// What is known of a grant's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// When a person or an import gave it.
    pub granted_at: Millis,
    /// When this access token came: the last exchange or refresh.
    pub obtained_at: Millis,
    /// When it was last spent.
    pub used_at: Millis,
    /// When this access token ends; see [`expires_at`].
    pub expires_at: Option<Millis>,
    /// When the refresh token ends, as the provider told with the last answer.
    pub refresh_expires_at: Option<Millis>,
    /// There is a refresh token.
    pub refreshable: bool,
}

/// When an access token ends: as told, or as the entry says; none: nobody knows.
#[must_use]
pub fn expires_at(provider: &Provider, tokens: &TokenSet, obtained_at: Millis) -> Option<Millis> {
    let access = provider.oauth.as_ref().and_then(|oauth| oauth.lifetime.access);
    let seconds = tokens.expires_in.or(access)?;
    Some(obtained_at.plus(seconds.saturating_mul(1000)))
}

/// How long before its end a token of that life is not handed out any more: a sixth of it, one to fifteen minutes, and
/// never more than half of it.
#[must_use]
pub fn margin_ms(ttl_ms: u64) -> u64 {
    (ttl_ms / 6).clamp(60_000, 900_000).min(ttl_ms / 2)
}

/// The margin of this token; see [`margin_ms`].
#[must_use]
pub fn margin_of(times: &Times) -> u64 {
    margin_ms(times.expires_at.map_or(0, |end| end.since(times.obtained_at)))
}

/// Whether the token can be handed out now without a refresh.
#[must_use]
pub fn is_fresh(times: &Times, now: Millis) -> bool {
    times
        .expires_at
        .is_none_or(|end| now.plus(margin_of(times)) < end)
}

/// When the token is refreshed ahead of its end; none: not ahead, since it lives too short, nobody knows its end, or nobody
/// will have used it for a day. `random`: any number; the moment lies up to half a margin earlier.
#[must_use]
pub fn refresh_at(times: &Times, random: u32) -> Option<Millis> {
    let end = times.expires_at.filter(|_| times.refreshable)?;
    if end.since(times.obtained_at) <= ON_DEMAND_S * 1000 {
        return None;
    }
    let margin = margin_of(times);
    let early = u64::from(random) % (margin / 2 + 1);
    let at = end.minus(margin).minus(early);
    (at.since(times.used_at) <= IN_USE_MS).then_some(at)
}

/// When an idle grant is refreshed so that it does not die of being idle: at a quarter of the limit since its last refresh.
/// None: it has no such limit, or cannot be refreshed.
#[must_use]
pub fn keep_alive_at(provider: &Provider, times: &Times) -> Option<Millis> {
    let oauth = provider.oauth.as_ref().filter(|_| times.refreshable)?;
    let told = times.refresh_expires_at.map(|end| end.since(times.obtained_at));
    let documented = oauth.lifetime.idle.map(|seconds| seconds.saturating_mul(1000));
    let limit = match (told, documented) {
        (Some(told), Some(documented)) => told.min(documented),
        (told, documented) => told.or(documented)?,
    };
    Some(times.obtained_at.plus(limit / 4))
}

/// The earliest of [`refresh_at`], [`keep_alive_at`] and the forecast end, at which what comes of it says whether the forecast
/// was right: what the alarm is set for.
#[must_use]
pub fn next_refresh_at(provider: &Provider, times: &Times, random: u32) -> Option<Millis> {
    let ahead = refresh_at(times, random);
    let idle = keep_alive_at(provider, times);
    let end = dies_at(provider, times).map(|death| death.at);
    // Tokens of after that end have proven it wrong.
    let end = end.filter(|end| times.refreshable && *end > times.obtained_at);
    ahead.into_iter().chain(idle).chain(end).min()
}

/// The end of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: Millis,
    /// Of what.
    pub of: DiesOf,
    /// How sure that is.
    pub confidence: Confidence,
}

/// What a grant dies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiesOf {
    /// Its access token ends, and there is none to refresh it with.
    AccessEnds,
    /// The provider told when its refresh token ends.
    RefreshEnds,
    /// Nobody uses it.
    Idle,
    /// The provider ends every grant so long after it was given.
    Age,
}

impl DiesOf {
    /// For people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AccessEnds => "The access token ends then, and the provider gave none to refresh it with",
            Self::RefreshEnds => "The provider told that its refresh token ends then",
            Self::Idle => "The provider ends grants that are not used for so long",
            Self::Age => "The provider ends every grant so long after it was given: connect again before",
        }
    }
}

/// How sure a forecast is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nobody has checked the provider's entry.
    Guessed,
    /// It is documented.
    Documented,
    /// The provider told, for this grant.
    Told,
}

impl Confidence {
    /// As it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guessed => "guessed",
            Self::Documented => "documented",
            Self::Told => "told",
        }
    }
}

/// When a grant will be over if nothing is done from now on: the earliest of what the provider told and what its entry
/// says. None: nobody knows of an end.
#[must_use]
pub fn dies_at(provider: &Provider, times: &Times) -> Option<Death> {
    let oauth = provider.oauth.as_ref()?;
    let entry = if provider.verified {
        Confidence::Documented
    } else {
        Confidence::Guessed
    };
    let death = |at, of, confidence| Death { at, of, confidence };
    let life = oauth.lifetime;
    let age = life.absolute.map(|seconds| {
        let at = times.granted_at.plus(seconds.saturating_mul(1000));
        death(at, DiesOf::Age, entry)
    });
    let told = times.refresh_expires_at.filter(|_| times.refreshable);
    let told_at = told.map(|at| death(at, DiesOf::RefreshEnds, Confidence::Told));
    let idle = life.idle.filter(|_| told.is_none()).map(|seconds| {
        let last = if times.refreshable {
            times.obtained_at
        } else {
            times.used_at.max(times.obtained_at)
        };
        death(last.plus(seconds.saturating_mul(1000)), DiesOf::Idle, entry)
    });
    let access = times
        .expires_at
        .filter(|_| !times.refreshable)
        .map(|at| death(at, DiesOf::AccessEnds, Confidence::Told));
    age.into_iter()
        .chain(told_at)
        .chain(idle)
        .chain(access)
        .min_by_key(|death| death.at)
}

/// Whether keeping an idle grant alive moves its end: then nobody needs to be told ahead.
#[must_use]
pub fn is_moved_by_refreshing(provider: &Provider, times: &Times, death: &Death) -> bool {
    match death.of {
        DiesOf::Age | DiesOf::AccessEnds => false,
        DiesOf::Idle | DiesOf::RefreshEnds => keep_alive_at(provider, times).is_some_and(|at| at < death.at),
    }
}

/// Which notice is due: how many of [`NOTICES_MS`] lie behind, 0 to 3. To be told when it is more than were told before.
#[must_use]
pub fn notices_due(death: &Death, now: Millis) -> usize {
    NOTICES_MS
        .iter()
        .filter(|ahead| now >= death.at.minus(**ahead))
        .count()
}

/// When the next notice is due after `told` of them; none: all were told.
#[must_use]
pub fn next_notice_at(death: &Death, told: usize) -> Option<Millis> {
    NOTICES_MS.get(told).map(|ahead| death.at.minus(*ahead))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
