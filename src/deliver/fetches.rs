//! What objects want to know of providers' APIs: a message of the queue `fetches` is one question. Whoever asked has it
//! written down with a lease, so that a message is never handed out twice here: what is lost is asked again.

use futures::StreamExt as _;
use futures::stream;
use postern_domain::entitlement::{MOST_FETCHED, Provider};
use postern_domain::problem::Problem;
use postern_domain::seal::{self, Place};
use postern_domain::wire::call::Caller;
use postern_domain::wire::entitlement::{EntitlementFetched, FetchAsk, FetchOrder, KEY_COLUMN, KEY_TABLE};
use postern_domain::wire::frame;
use postern_platform::config::Config;
use postern_platform::fetch::{self, Outgoing, USER_AGENT};
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, log};
use serde_json::json;
use worker::{Env, Method};

use super::batch::{self, Message, Verdict};

/// Questions at the same time.
const AT_ONCE: usize = 3;

/// For one answer of the provider.
const DEADLINE_MS: u64 = 15_000;

/// Bytes of one answer at the most.
const MOST_BYTES: usize = 4 << 20;

/// What a question takes at the most, the object's answer included.
const QUESTION_MS: u64 = 2 * DEADLINE_MS + 10_000;

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
    if begun.plus(QUESTION_MS) > order.until {
        return Ok(()); // it waited too long in the queue: it is asked again
    }
    let config = Config::from_env(env)?;
    let answers = match key(&order, &config) {
        Ok(key) => answers(&order, &key, &config).await,
        Err(why) => Err(why.to_owned()),
    };
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

fn key(order: &FetchOrder, config: &Config) -> Result<String, &'static str> {
    let place = Place {
        tenant: order.tenant,
        table: KEY_TABLE,
        column: KEY_COLUMN,
        row: 0,
        generation: order.generation,
    };
    let sealed = "The key does not open: a master key that it was sealed under is missing in this deployment";
    let blob = seal::from_text(&order.sealed_key).ok_or(sealed)?;
    let plain = config.master_keys.open(&place, &blob).map_err(|_| sealed)?;
    String::from_utf8(plain).map_err(|_| "The key is no text")
}

/// The answers' bodies, or a sentence for the tenant: never with the key, never with what a stranger wrote.
async fn answers(order: &FetchOrder, key: &str, config: &Config) -> Result<Vec<Vec<u8>>, String> {
    if order.provider != Provider::Stripe {
        return Err("This provider's API is not asked".to_owned());
    }
    let paths = match &order.ask {
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
        bodies.push(get(&path, key, config).await?);
    }
    Ok(bodies)
}

async fn get(path: &str, key: &str, config: &Config) -> Result<Vec<u8>, String> {
    let url = format!("{}{path}", config.stripe_api_url);
    let target = config.policy.judge(&url);
    let target = target.map_err(|_| "The address of Stripe's API is not allowed in this deployment")?;
    let headers = [
        ("authorization", format!("Bearer {key}")),
        ("accept", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    let outgoing = Outgoing {
        target: &target,
        method: Method::Get,
        headers: &headers,
        body: &[],
        deadline_ms: DEADLINE_MS,
        through: None,
    };
    let ended = fetch::send_keeping(outgoing, MOST_BYTES).await;
    match (ended.status, ended.cause) {
        (Some(401), _) => Err("Stripe refuses the key".to_owned()),
        (Some(403), _) => Err("The key may not read customers and subscriptions at Stripe".to_owned()),
        (Some(429), _) => Err("Stripe asks to come slower".to_owned()),
        (Some(status), Some(_)) if status >= 300 => Err(format!("Stripe answered {status}")),
        (_, Some(cause)) => Err(format!("Stripe gave no answer: {}", cause.sentence())),
        (_, None) if ended.body.len() >= MOST_BYTES => Err("Stripe's answer is too long".to_owned()),
        (_, None) => Ok(ended.body),
    }
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
}
