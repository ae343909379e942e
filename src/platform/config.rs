//! What the deployment decides: secrets and variables of the Worker, read here and nowhere else.

use std::cell::OnceCell;
use std::rc::Rc;

use postern_domain::access::JwtKeys;
use postern_domain::address::{Policy, Target};
use postern_domain::egress;
use postern_domain::problem::Problem;
use postern_domain::seal::MasterKeys;
use url::Url;
use worker::Env;

/// Where Stripe's API is.
const STRIPE_API_URL: &str = "https://api.stripe.com";

/// Where `RevenueCat`'s API is.
const REVENUECAT_API_URL: &str = "https://api.revenuecat.com";

thread_local! {
    /// A deployment's variables do not change while an isolate lives.
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

/// The deployment's settings, read once per isolate.
pub struct Config {
    /// `BASE_URL`, where the deployment is reached, without a slash at its end; empty: as each request came.
    pub base_url: String,
    /// The rule for outgoing URLs; refuses the host of `BASE_URL`.
    pub policy: Policy,
    /// The rule for providers' token endpoints and APIs: tokens never go over plain `http`, but where private addresses are
    /// let through, in development and in tests.
    pub provider_policy: Policy,
    /// Keys that seal what is stored.
    pub master_keys: MasterKeys,
    /// Keys of the API's tokens.
    pub jwt: JwtKeys,
    /// How long one delivery may take.
    pub delivery_timeout_ms: u64,
    /// How long the body of a webhook may take to come.
    pub body_ms: u64,
    /// How long one stream stays open.
    pub stream_ms: u64,
    /// `EGRESS_URL` and `EGRESS_SECRET`: the forwarder that deliveries leave through; none: they leave directly.
    pub egress: Option<Egress>,
    /// `STRIPE_API_URL`: where Stripe's API is, without a slash at its end. Set by tests alone.
    pub stripe_api_url: String,
    /// `REVENUECAT_API_URL`: the same of `RevenueCat`'s.
    pub revenuecat_api_url: String,
    /// Tests may plant panics and look inside.
    pub test_hooks: bool,
    allow_private: String,
    https_only: bool,
}

/// The deployment's own forwarder, with a fixed address.
pub struct Egress {
    /// Where it is.
    pub target: Target,
    /// What it knows us by.
    pub secret: egress::Secret,
}

impl Config {
    /// Reads what the deployment has set.
    ///
    /// # Errors
    /// When something cannot be read: the log says which variable, and never what stands in it.
    pub fn from_env(env: &Env) -> Result<Rc<Self>, Problem> {
        if let Some(config) = CONFIG.with(|cell| cell.get().map(Rc::clone)) {
            return Ok(config);
        }
        let config = Rc::new(Self::read(|name| {
            env.var(name).ok().map(|value| value.to_string())
        })?);
        Ok(CONFIG.with(|cell| Rc::clone(cell.get_or_init(|| config))))
    }

    /// Where this deployment is reached: in development the port may be any, and the request says it.
    #[must_use]
    pub fn base_url(&self, request: &Url) -> String {
        if self.base_url.is_empty() {
            request.origin().ascii_serialization()
        } else {
            self.base_url.clone()
        }
    }

    /// The rule for endpoints' URLs, which refuses the host that the request came to as well.
    pub fn policy_beside(&self, request: &Url) -> Result<Policy, Problem> {
        let policy = policy(&self.allow_private, &[&self.base_url, request.as_str()])?;
        Ok(policy.https_only(self.https_only))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let text = |name: &str| variable(name).unwrap_or_default();
        let unread = |name: &str| Problem::internal(format!("{name} is not set, or cannot be read"));
        let base_url = text("BASE_URL").trim_end_matches('/').to_owned();
        let allow_private = text("ALLOW_PRIVATE_ADDRESSES");
        let seconds = |name: &str, default: u64| match variable(name) {
            Some(text) if !text.is_empty() => text.parse().map_err(|_| unread(name)),
            _ => Ok(default),
        };
        let https_only = switch("HTTPS_ONLY", &text("HTTPS_ONLY"))?;
        let policy = policy(&allow_private, &[&base_url])?.https_only(https_only);
        Ok(Self {
            egress: egress(&policy, &text("EGRESS_URL"), &text("EGRESS_SECRET"))
                .map_err(|name| Problem::internal(format!("{name} is not set, or cannot be used")))?,
            provider_policy: policy.clone().https_only(https_only || allow_private.is_empty()),
            policy,
            master_keys: MasterKeys::parse(&text("MASTER_KEYS")).map_err(|_| unread("MASTER_KEYS"))?,
            jwt: jwt_keys(&text("JWT_SECRET")).ok_or_else(|| unread("JWT_SECRET"))?,
            delivery_timeout_ms: 1000 * seconds("DELIVERY_TIMEOUT_SECONDS", 15)?,
            body_ms: 1000 * seconds("BODY_TIMEOUT_SECONDS", 30)?,
            stream_ms: 1000 * seconds("STREAM_SECONDS", 600)?,
            stripe_api_url: api_url(variable("STRIPE_API_URL"), STRIPE_API_URL),
            revenuecat_api_url: api_url(variable("REVENUECAT_API_URL"), REVENUECAT_API_URL),
            test_hooks: text("TEST_HOOKS") == "1",
            base_url,
            allow_private,
            https_only,
        })
    }
}

/// Where a provider's API is, without a slash at its end.
fn api_url(set: Option<String>, default: &str) -> String {
    set.map(|url| url.trim_end_matches('/').to_owned())
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| default.to_owned())
}

/// None is asked for, or one that can be used: what is set by halves or wrong stops the deployment instead of letting
/// deliveries leave from another address than the receivers expect.
fn egress(policy: &Policy, url: &str, secret: &str) -> Result<Option<Egress>, &'static str> {
    if url.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    let target = policy.judge(url).map_err(|_| "EGRESS_URL")?;
    let secret = egress::Secret::parse(secret).ok_or("EGRESS_SECRET")?;
    Ok(Some(Egress { target, secret }))
}

/// On, off, or not set, which is off. Anything else would be somebody's intention, and not known which.
fn switch(name: &str, text: &str) -> Result<bool, Problem> {
    match text {
        "1" => Ok(true),
        "" | "0" => Ok(false),
        _ => Err(Problem::internal(format!("{name} is neither 1 nor 0"))),
    }
}

/// No secret is no key: an empty one would believe anybody.
fn jwt_keys(text: &str) -> Option<JwtKeys> {
    if text.is_empty() {
        None
    } else {
        JwtKeys::parse(text).ok()
    }
}

/// The rule, with the hosts of these URLs as our own.
fn policy(allow_private: &str, own: &[&str]) -> Result<Policy, Problem> {
    let own: Vec<String> = own
        .iter()
        .filter_map(|url| host_and_port(&Url::parse(url).ok()?))
        .collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    Policy::new(allow_private, &own)
        .map_err(|_| Problem::internal("ALLOW_PRIVATE_ADDRESSES or BASE_URL cannot be read"))
}

fn host_and_port(url: &Url) -> Option<String> {
    let port = url.port_or_known_default()?;
    url.host_str().map(|host| format!("{host}:{port}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn read(url: &str, secret: &str) -> Result<bool, &'static str> {
        let policy = policy("", &["https://postern.example"]).unwrap();
        egress(&policy, url, secret).map(|egress| egress.is_some())
    }

    #[test]
    fn a_switch_is_on_or_off_and_never_guessed() {
        let read = |text| switch("HTTPS_ONLY", text).ok();
        assert_eq!(
            [read("1"), read("0"), read("")],
            [Some(true), Some(false), Some(false)]
        );
        assert_eq!([read("true"), read("yes"), read(" 1")], [None; 3]);
    }

    #[test]
    fn a_forwarder_is_off_unless_it_is_set_whole() {
        let secret = "0123456789abcdef0123456789abcdef";
        assert_eq!(read("", ""), Ok(false));
        assert_eq!(read("https://egress.example/forward", secret), Ok(true));
        for url in [
            "",
            "egress.example",
            "ftp://egress.example",
            "https://user:pass@egress.example/",
            "https://10.0.0.1/",
            "https://postern.example/",
        ] {
            assert_eq!(read(url, secret), Err("EGRESS_URL"), "{url}");
        }
        for secret in ["", "short"] {
            assert_eq!(
                read("https://egress.example/", secret),
                Err("EGRESS_SECRET"),
                "{secret}"
            );
        }
    }
}
