//! What objects want to know of providers' APIs: a message of the queue `fetches` is one question. Whoever asked has it
//! written down with a lease, so that a message is never handed out twice here: what is lost is asked again.
//!
//! The key travels sealed, or is leased from a connection of the tenant's: then the connection hears of it when the provider
//! refuses the key or asks to come slower, and its limits hold here as for everybody else who spends it.

use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use postern_domain::address::Target;
use postern_domain::entitlement::{
    MOST_FETCHED, MOST_LISTED, Provider, has_purchases_at_revenuecat, listed_by_revenuecat,
};
use postern_domain::id::ConnectionId;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::{self, Place};
use postern_domain::wire::call::Caller;
use postern_domain::wire::connection::{
    Caller as Spends, Token, TokenLease, TokenRefused, TokenSpend, TokenThrottled,
};
use postern_domain::wire::entitlement::{
    EntitlementFetched, FetchAsk, FetchOrder, KEY_TABLE, REVENUECAT_V2_COLUMN, key_column,
};
use postern_domain::wire::frame;
use postern_platform::config::Config;
use postern_platform::connection::ConnectionObject;
use postern_platform::fetch::{self, Ended, Outgoing, USER_AGENT};
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, log};
use serde_json::json;
use worker::{Delay, Env, Method};

use super::batch::{self, Message, Verdict};

/// Questions at the same time.
const AT_ONCE: usize = 3;

/// For one answer of the provider.
const DEADLINE_MS: u64 = 15_000;

/// Bytes of one answer at the most.
const MOST_BYTES: usize = 4 << 20;

/// For the object's answer, and for what comes between.
const REST_MS: u64 = 10_000;

/// For an answer of a connection's object; one that has to be refreshed first takes longer, and is asked again.
const LEASE_MS: u64 = 5_000;

/// Customers of one page that are asked for at the same time: an invocation has six connections, and three questions.
const CUSTOMERS_AT_ONCE: usize = 2;

/// Asks each, and brings the answers to the objects.
pub(super) async fn answer(messages: &[Message], env: &Env) {
    stream::iter(messages)
        .for_each_concurrent(AT_ONCE, |message| async move {
            let done = match batch::bytes(message) {
                Ok(bytes) => ask(&bytes, env).await,
                Err(cause) => Err(Problem::internal(cause)),
            };
            if let Err(problem) = done {
                log::error("fetch_failed", json!({ "cause": problem.to_string() }));
            }
            batch::settle(message, Verdict::Ack);
        })
        .await;
}

async fn ask(bytes: &[u8], env: &Env) -> Result<(), Problem> {
    let (order, _) = frame::decode::<FetchOrder>(bytes).map_err(Problem::internal)?;
    let begun = clock::now();
    if begun.plus(takes_ms(&order)) > order.until {
        return Ok(()); // it waited too long in the queue: it is asked again
    }
    let config = Config::from_env(env)?;
    let answers = answers(&order, env, &config).await;
    let (bodies, failed) = match answers {
        Ok(bodies) => (bodies, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let call = EntitlementFetched {
        provider: order.provider,
        ask: order.ask,
        begun,
        failed,
    };
    let object = TenantObject::new(env, order.tenant, Caller::System);
    object.call(call, &bodies).await.map(drop)
}

/// What a question takes at the most: so many answers, one after another.
fn takes_ms(order: &FetchOrder) -> u64 {
    let answers = match (order.provider, &order.ask) {
        (Provider::Stripe, _) => 2,
        (Provider::RevenueCat, FetchAsk::Customer(_)) => 1,
        // The list; then each customer and its names, some at a time.
        (Provider::RevenueCat, FetchAsk::Page { .. }) => 1 + PATIENCE,
    };
    let leased =
        order.connection.is_some() || order.list.as_ref().is_some_and(|list| list.connection.is_some());
    // A lease; and once a refusal, with another try.
    let leasing = if leased { 2 * LEASE_MS + DEADLINE_MS } else { 0 };
    answers * DEADLINE_MS + leasing + REST_MS
}

/// Answers of a page that may take as long as they can, one after another: a provider that is slower fails it.
const PATIENCE: u64 = 6;

/// What an API is asked with.
enum Key {
    /// A key of the tenant's rules.
    Own(String),
    /// One of a connection.
    Leased(Leased),
}

/// A key of a connection.
struct Leased {
    object: ConnectionObject,
    token: RefCell<Token>,
}

impl Key {
    fn reveal(&self) -> String {
        match self {
            Self::Own(key) => key.clone(),
            Self::Leased(leased) => leased.token.borrow().token.reveal().to_owned(),
        }
    }
}

impl Leased {
    /// The key of a connection whose API is the one that is asked: no other service's is shown to this one.
    async fn of(
        order: &FetchOrder,
        connection: ConnectionId,
        (name, url): (&str, &str),
        env: &Env,
    ) -> Result<Self, String> {
        let organisation = order
            .organisation
            .ok_or("The question does not say whose it is")?;
        let tenant = order.tenant;
        let object = ConnectionObject::new(env, connection, Spends::Tenant { organisation, tenant });
        let lease = TokenLease {
            used: 1,
            ..TokenLease::default()
        };
        let leased = object.call_within(LEASE_MS, lease).await;
        let token = leased.map_err(|problem| no_key(&problem))?;
        let base = token.api.as_ref().map_or("", |api| api.base.as_str());
        if origin(base).is_none_or(|base| Some(base) != origin(url)) {
            return Err(format!("The connection is not one to {name}'s API"));
        }
        Ok(Self {
            object,
            token: RefCell::new(token),
        })
    }

    /// Takes one request out of the connection's limits.
    async fn spend(&self) -> Result<(), String> {
        if !self.token.borrow().limited {
            return Ok(());
        }
        let spent = self.object.call_within(LEASE_MS, TokenSpend {}).await;
        match spent.map_err(|problem| no_key(&problem))?.limit {
            Some(limit) => Err(format!("The connection has used up {limit}")),
            None => Ok(()),
        }
    }

    /// The provider refused the key: the connection hears it. Whether it has another one by now.
    async fn refused(&self) -> bool {
        let generation = self.token.borrow().generation;
        match self
            .object
            .call_within(LEASE_MS, TokenRefused { generation })
            .await
        {
            Ok(newer) if newer.generation != generation => {
                self.token.replace(newer);
                true
            }
            _ => false,
        }
    }

    async fn throttled(&self, ms: u64) {
        if let Err(problem) = self.object.call_within(LEASE_MS, TokenThrottled { ms }).await {
            let fields = json!({ "code": problem.code, "cause": problem.cause });
            log::warn("throttled_untold", fields);
        }
    }
}

/// Why a connection gives no key, for the tenant.
fn no_key(problem: &Problem) -> String {
    match problem.code {
        Code::NotFound => "The connection that the key is leased from is gone".to_owned(),
        _ if problem.cause.is_some() => {
            "The connection that the key is leased from did not answer".to_owned()
        }
        _ => format!("The connection gives no key: {}", problem.detail),
    }
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest
        .split(['/', '?', '#'])
        .next()
        .filter(|host| !host.is_empty())?;
    url.get(..scheme.len() + 3 + host.len())
}

/// Opens a key: with the column that it was sealed for.
fn open(
    order: &FetchOrder,
    column: &'static str,
    sealed_key: &str,
    generation: u64,
    config: &Config,
) -> Result<String, String> {
    let place = Place {
        tenant: order.tenant,
        table: KEY_TABLE,
        column,
        row: 0,
        generation,
    };
    let sealed = "The key does not open: a master key that it was sealed under is missing in this deployment";
    let blob = seal::from_text(sealed_key).ok_or(sealed)?;
    let plain = config.master_keys.open(&place, &blob).map_err(|_| sealed)?;
    String::from_utf8(plain).map_err(|_| "The key is no text".to_owned())
}

/// The answers' bodies, or a sentence for the tenant: never with the key, never with what a stranger wrote.
async fn answers(order: &FetchOrder, env: &Env, config: &Config) -> Result<Vec<Vec<u8>>, String> {
    let named = match order.provider {
        Provider::Stripe => ("Stripe", config.stripe_api_url.as_str()),
        Provider::RevenueCat => ("RevenueCat", config.revenuecat_api_url.as_str()),
    };
    let key = if let Some(connection) = order.connection {
        Key::Leased(Leased::of(order, connection, named, env).await?)
    } else {
        let column = key_column(order.provider);
        Key::Own(open(order, column, &order.sealed_key, order.generation, config)?)
    };
    match order.provider {
        Provider::Stripe => {
            let api = Api {
                name: "Stripe",
                url: &config.stripe_api_url,
                key: &key,
                config,
            };
            of_stripe(&order.ask, &api).await
        }
        Provider::RevenueCat => {
            let api = Api {
                name: "RevenueCat",
                url: &config.revenuecat_api_url,
                key: &key,
                config,
            };
            match &order.ask {
                FetchAsk::Customer(customer) => Ok(vec![api.get(&subscriber(customer)?).await?]),
                FetchAsk::Page { after, .. } => {
                    let list = order.list.as_ref();
                    let list = list.ok_or("There is no key to list RevenueCat's customers with")?;
                    let key = if let Some(connection) = list.connection {
                        Key::Leased(Leased::of(order, connection, named, env).await?)
                    } else {
                        let (sealed, generation) = (&list.sealed_key, list.generation);
                        Key::Own(open(order, REVENUECAT_V2_COLUMN, sealed, generation, config)?)
                    };
                    let lists = Api { key: &key, ..api };
                    page_of_revenuecat(&list.project, after.as_deref(), &api, &lists).await
                }
            }
        }
    }
}

async fn of_stripe(ask: &FetchAsk, api: &Api<'_>) -> Result<Vec<Vec<u8>>, String> {
    let paths = match ask {
        FetchAsk::Customer(customer) => {
            let id = plain(customer)?;
            vec![
                format!("/v1/customers/{id}"),
                format!("/v1/subscriptions?customer={id}&status=all&limit={MOST_FETCHED}"),
            ]
        }
        // Those that are over are left out by Stripe, and give nothing.
        FetchAsk::Page { after, .. } => {
            let behind = match after {
                Some(after) => format!("&starting_after={}", plain(after)?),
                None => String::new(),
            };
            vec![format!(
                "/v1/subscriptions?limit={MOST_FETCHED}&expand%5B%5D=data.customer{behind}"
            )]
        }
    };
    let mut bodies = Vec::new();
    for path in paths {
        bodies.push(api.get(&path).await?);
    }
    Ok(bodies)
}

/// The list, and for each customer of it two bodies: what version 1 says, and other names of those who ever bought anything.
async fn page_of_revenuecat(
    project: &str,
    after: Option<&str>,
    api: &Api<'_>,
    lists: &Api<'_>,
) -> Result<Vec<Vec<u8>>, String> {
    let customers = format!("/v2/projects/{}/customers", segment(project)?);
    let behind = match after {
        Some(after) => format!("&starting_after={}", segment(after)?),
        None => String::new(),
    };
    let list = lists
        .get(&format!("{customers}?limit={MOST_LISTED}{behind}"))
        .await?;
    let no_list = "RevenueCat's list of customers is no JSON, or is too long";
    let (ids, _) = listed_by_revenuecat(&serde_json::from_slice(&list).map_err(|_| no_list)?)?;
    if ids.len() > MOST_LISTED {
        return Err("RevenueCat listed more customers than it was asked for".to_owned());
    }
    let patience = Duration::from_millis(PATIENCE * DEADLINE_MS);
    let asked = stream::iter(&ids)
        .map(async |id| {
            let subscriber = api.get(&subscriber(id)?).await?;
            let answer = serde_json::from_slice(&subscriber).unwrap_or_default();
            let names = if has_purchases_at_revenuecat(&answer) {
                lists
                    .get(&format!("{customers}/{}/aliases?limit=100", segment(id)?))
                    .await?
            } else {
                Vec::new()
            };
            Ok::<_, String>([subscriber, names])
        })
        .buffered(CUSTOMERS_AT_ONCE)
        .try_collect::<Vec<_>>();
    let parts = match select(pin!(asked), pin!(Delay::from(patience))).await {
        Either::Left((parts, _)) => parts?,
        Either::Right(_) => return Err("RevenueCat answers too slowly".to_owned()),
    };
    Ok(std::iter::once(list).chain(parts.into_iter().flatten()).collect())
}

fn subscriber(customer: &str) -> Result<String, String> {
    Ok(format!("/v1/subscribers/{}", segment(customer)?))
}

/// A provider's API, and what it is asked with.
#[derive(Clone, Copy)]
struct Api<'a> {
    name: &'static str,
    url: &'a str,
    key: &'a Key,
    config: &'a Config,
}

impl Api<'_> {
    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let (name, url) = (self.name, format!("{}{path}", self.url));
        let target = self.config.provider_policy.judge(&url);
        let target =
            target.map_err(|_| format!("The address of {name}'s API is not allowed in this deployment"))?;
        let Key::Leased(leased) = self.key else {
            return self.read(self.send(&target).await);
        };
        leased.spend().await?;
        let mut ended = self.send(&target).await;
        if ended.status == Some(401) {
            if !leased.refused().await {
                return Err(format!("{name} refuses the connection's key"));
            }
            ended = self.send(&target).await;
        }
        if let (Some(429), Some(ms)) = (ended.status, ended.retry_after_ms) {
            leased.throttled(ms).await;
        }
        self.read(ended)
    }

    async fn send(&self, target: &Target) -> Ended {
        let headers = [
            ("authorization", format!("Bearer {}", self.key.reveal())),
            ("accept", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        let outgoing = Outgoing {
            target,
            method: Method::Get,
            headers: &headers,
            body: &[],
            deadline_ms: DEADLINE_MS,
            through: None,
        };
        fetch::send_keeping(outgoing, MOST_BYTES).await
    }

    fn read(&self, ended: Ended) -> Result<Vec<u8>, String> {
        let name = self.name;
        match (ended.status, ended.cause) {
            (Some(401), _) => Err(format!("{name} refuses the key")),
            (Some(403), _) => Err(format!("The key may not read customers and purchases at {name}")),
            (Some(429), _) => Err(format!("{name} asks to come slower")),
            (Some(status), Some(_)) if status >= 300 => Err(format!("{name} answered {status}")),
            (_, Some(cause)) => Err(format!("{name} gave no answer: {}", cause.sentence())),
            (_, None) if ended.cut => Err(format!("{name}'s answer is too long")),
            (_, None) => Ok(ended.body),
        }
    }
}

/// One part of a path, or a value of a query, of whatever characters: none of them leads anywhere else.
fn segment(id: &str) -> Result<String, String> {
    // A path's dots are read before anything is unescaped.
    if id.is_empty() || matches!(id, "." | "..") {
        return Err("The id cannot be asked for".to_owned());
    }
    let mut out = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    Ok(out)
}

/// An id as Stripe writes them: no way to another path.
fn plain(id: &str) -> Result<&str, String> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=256).contains(&id.len()) && id.bytes().all(form) {
        Ok(id)
    } else {
        Err("The id is none of Stripe's".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_way_to_another_path() {
        for id in [
            "",
            "cus_1/../x",
            "cus_1?x",
            "cus_1&customer=y",
            "cus.1",
            "cus%2f",
            "ä",
        ] {
            assert!(plain(id).is_err(), "{id}");
        }
        assert_eq!(plain("cus_Nffrfe1"), Ok("cus_Nffrfe1"));
    }

    #[test]
    fn a_connection_is_to_the_api_that_is_asked_or_its_key_stays_where_it_is() {
        let stripe = origin("https://api.stripe.com");
        assert_eq!(stripe, Some("https://api.stripe.com"));
        assert_eq!(origin("https://api.stripe.com/v1?x"), stripe);
        for other in [
            "https://api.stripe.com.example.com",
            "https://api.stripe.com@example.com",
            "https://api.stripe.com:8443/v1",
            "http://api.stripe.com",
            "https://api.revenuecat.com/v2",
            "",
            "https://",
        ] {
            assert_ne!(origin(other), stripe, "{other}");
        }
        assert_eq!(origin("http://127.0.0.1:80/x"), Some("http://127.0.0.1:80"));
    }

    #[test]
    fn a_name_of_any_characters_is_one_part_of_a_path() {
        for id in ["", ".", ".."] {
            assert!(segment(id).is_err(), "{id}");
        }
        for (id, wanted) in [
            ("user-1", "user-1"),
            ("$RCAnonymousID:ab", "%24RCAnonymousID%3Aab"),
            ("../x?y#z&%2e", "..%2Fx%3Fy%23z%26%252e"),
            ("ä b", "%C3%A4%20b"),
        ] {
            assert_eq!(segment(id).as_deref(), Ok(wanted));
        }
    }
}
