//! Key sets of providers that sign with RSA or P-256: fetched through the one way out, kept by their address.
//!
//! A set is good for an hour. A key id that it does not have makes it be fetched again, once a minute at the most: strangers
//! can name any id. What could not be fetched leaves the old set where it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use postern_domain::provider::KeySet;
use postern_domain::time::Millis;
use worker::Method;

use crate::config::Config;
use crate::fetch::{self, Outgoing, USER_AGENT};
use crate::{clock, log};

/// For how long a set is believed.
const GOOD_MS: u64 = 3_600_000;

/// Between two fetches of one set because of keys that it does not have.
const AGAIN_MS: u64 = 60_000;

/// Between two fetches of one that could not be had at all.
const FAILED_MS: u64 = 5_000;

/// Providers answer within milliseconds; whoever posts to us waits meanwhile.
const DEADLINE_MS: u64 = 2_500;

/// Bytes of a set at the most.
const MAX_BYTES: usize = 64 * 1024;

/// Sets that an isolate remembers at the most.
const MAX_ENTRIES: usize = 256;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

#[derive(Default)]
struct Cache(HashMap<String, Entry>);

#[derive(Default)]
struct Entry {
    set: Option<Rc<KeySet>>,
    fetched_at: Millis,
    tried_at: Millis,
}

/// The set of an address, fetched if it is not known or too old.
pub async fn get(config: &Config, url: &str) -> Option<Rc<KeySet>> {
    let now = clock::now();
    let (known, wait) = CACHE.with_borrow(|cache| cache.look(url, now));
    if wait {
        return known;
    }
    fetch(config, url).await.or(known)
}

/// The set as it is now, for a key that the known one has not. None: it was fetched within the last minute, or cannot be.
pub async fn get_again(config: &Config, url: &str) -> Option<Rc<KeySet>> {
    let now = clock::now();
    if !CACHE.with_borrow_mut(|cache| cache.may_ask_again(url, now)) {
        return None;
    }
    fetch(config, url).await
}

async fn fetch(config: &Config, url: &str) -> Option<Rc<KeySet>> {
    let fetched = read(config, url).await;
    let now = clock::now();
    match fetched {
        Ok(set) => {
            let set = Rc::new(set);
            CACHE.with_borrow_mut(|cache| cache.remember(url, Some(Rc::clone(&set)), now));
            Some(set)
        }
        Err(cause) => {
            CACHE.with_borrow_mut(|cache| cache.remember(url, None, now));
            log::warn("key_set_not_fetched", serde_json::json!({ "cause": cause }));
            None
        }
    }
}

async fn read(config: &Config, url: &str) -> Result<KeySet, String> {
    let target = config
        .policy
        .judge(url)
        .map_err(|refusal| refusal.sentence().to_owned())?;
    let headers = [
        ("accept".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), USER_AGENT.to_owned()),
    ];
    let outgoing = Outgoing {
        target: &target,
        method: Method::Get,
        headers: &headers,
        body: &[],
        deadline_ms: DEADLINE_MS,
        through: config.egress.as_ref(),
    };
    let ended = fetch::send_keeping(outgoing, MAX_BYTES).await;
    match ended.cause {
        Some(cause) => Err(format!("{}: {}", target.shown(), cause.sentence())),
        None => KeySet::parse(&ended.body),
    }
}

impl Cache {
    /// What is known, and whether that has to do.
    fn look(&self, url: &str, now: Millis) -> (Option<Rc<KeySet>>, bool) {
        let Some(entry) = self.0.get(url) else {
            return (None, false);
        };
        let good = entry.set.is_some() && now.since(entry.fetched_at) < GOOD_MS;
        (entry.set.clone(), good || now.since(entry.tried_at) < FAILED_MS)
    }

    fn may_ask_again(&mut self, url: &str, now: Millis) -> bool {
        let Some(entry) = self.0.get_mut(url) else {
            return false;
        };
        if now.since(entry.tried_at) < AGAIN_MS {
            return false;
        }
        entry.tried_at = now;
        true
    }

    fn remember(&mut self, url: &str, set: Option<Rc<KeySet>>, now: Millis) {
        if self.0.len() >= MAX_ENTRIES && !self.0.contains_key(url) {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.tried_at);
            if let Some(url) = oldest.map(|(url, _)| url.clone()) {
                self.0.remove(&url);
            }
        }
        let entry = self.0.entry(url.to_owned()).or_default();
        entry.tried_at = now;
        if set.is_some() {
            (entry.set, entry.fetched_at) = (set, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    #[test]
    fn a_set_is_good_for_an_hour_and_stays_when_the_next_one_cannot_be_had() {
        let mut cache = Cache::default();
        assert_eq!(cache.look("a", NOW), (None, false));
        cache.remember("a", Some(Rc::default()), NOW);
        assert!(cache.look("a", NOW.plus(GOOD_MS - 1)).1);
        let late = NOW.plus(GOOD_MS);
        assert!(!cache.look("a", late).1);
        cache.remember("a", None, late);
        let (kept, wait) = cache.look("a", late.plus(1));
        assert!(kept.is_some() && wait);
    }

    #[test]
    fn unknown_key_ids_make_a_set_be_fetched_once_a_minute() {
        let mut cache = Cache::default();
        cache.remember("a", Some(Rc::default()), NOW);
        assert!(!cache.may_ask_again("a", NOW.plus(AGAIN_MS - 1)));
        let later = NOW.plus(AGAIN_MS);
        assert!(cache.may_ask_again("a", later));
        assert!(!cache.may_ask_again("a", later.plus(1)));
    }

    #[test]
    fn an_isolate_remembers_no_more_sets_than_it_may() {
        let mut cache = Cache::default();
        for n in 0..=MAX_ENTRIES {
            cache.remember(&n.to_string(), None, NOW.plus(n as u64));
        }
        assert_eq!(cache.0.len(), MAX_ENTRIES);
        assert!(!cache.0.contains_key("0"));
    }
}
