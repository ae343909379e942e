//! What only tests may ask for. Without `TEST_HOOKS=1` none of it is there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::{
    Channel, Headers, Request, Secret, SourceConfig, Standing, Verdict, conclude, verify as judge,
};
use postern_domain::time::Millis;
use postern_domain::wire::call::Inspect;
use postern_platform::config::Config;
use postern_platform::signature;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::TenantAccess;
use super::ask::Ask;
use super::field::Wrong;
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

/// A request and its source, as the bench takes both from the vectors.
#[derive(Deserialize)]
struct Measured {
    provider: String,
    config: Value,
    secrets: Vec<String>,
    channels: Vec<(String, String)>,
    method: String,
    url: Option<String>,
    headers: Vec<(String, String)>,
    /// Base64.
    body: String,
    /// Milliseconds.
    now: u64,
    /// How often.
    times: u32,
}

/// Judges one request so many times and says whether it is believed: how long that takes, its caller sees.
pub(crate) async fn verify(ask: Ask) -> Result<Answer, Problem> {
    only_in_tests(&ask)?;
    let mut form = ask.form()?;
    let given = form.required("measured", measured);
    let given = form.finish(given)?;
    let config = SourceConfig::parse(&given.provider, &given.config)
        .map_err(|faults| Problem::internal(format!("{faults:?}")))?;
    let secrets: Vec<Secret> = given.secrets.into_iter().map(always).collect();
    let channels: Vec<Channel> = given.channels.into_iter().map(open).collect();
    let body = STANDARD.decode(&given.body).map_err(Problem::internal)?;
    let headers = Headers::new(given.headers);
    let standing = Standing {
        channels: &channels,
        ..Standing::default()
    };
    let request = Request {
        method: &given.method,
        url: given.url.as_deref(),
        headers: &headers,
        body: &body,
    };
    let now = Millis(given.now);
    let mut believed = 0;
    for _ in 0..given.times {
        let mut verdict = judge(&config, &secrets, &standing, &request, now);
        if let Verdict::NeedsSignature(checks) = verdict {
            let held = signature::hold(&checks).await;
            verdict = conclude(&config, &secrets, &standing, &request, now, &held);
        }
        believed += u32::from(matches!(verdict, Verdict::Accept(_)));
    }
    Answer::ok(&json!({ "believed": believed }))
}

fn measured(value: &Value) -> Result<Measured, Vec<Wrong>> {
    Measured::deserialize(value).map_err(|error| {
        vec![Wrong {
            at: Vec::new(),
            msg: error.to_string(),
            kind: "value_error",
        }]
    })
}

fn always(value: String) -> Secret {
    Secret {
        value,
        not_before: None,
        not_after: None,
    }
}

fn open((id, token): (String, String)) -> Channel {
    Channel {
        id,
        token,
        resource_id: None,
        expires_at: None,
    }
}

fn only_in_tests(ask: &Ask) -> Result<(), Problem> {
    if Config::from_env(ask.env())?.test_hooks {
        Ok(())
    } else {
        Err(Problem::new(Code::NotFound, "There is no such path"))
    }
}
