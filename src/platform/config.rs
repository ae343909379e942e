//! What the deployment decides: secrets and variables of the Worker, read here and nowhere else.

use std::cell::OnceCell;
use std::rc::Rc;

use postern_domain::access::JwtKeys;
use postern_domain::address::Policy;
use postern_domain::problem::Problem;
use postern_domain::seal::MasterKeys;
use url::Url;
use worker::Env;

thread_local! {
    /// A deployment's variables do not change while an isolate lives.
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

/// The deployment's settings, read once per isolate.
pub(crate) struct Config {
    /// `BASE_URL`, where the deployment is reached, without a slash at its end; empty: as each request came.
    pub(crate) base_url: String,
    /// The rule for outgoing URLs; refuses the host of `BASE_URL`.
    pub(crate) policy: Policy,
    /// Keys that seal what is stored.
    pub(crate) master_keys: MasterKeys,
    /// Keys of the API's tokens.
    pub(crate) jwt: JwtKeys,
    /// How long one delivery may take.
    pub(crate) delivery_timeout_ms: u64,
    /// How long one stream stays open.
    pub(crate) stream_ms: u64,
    /// Tests may plant panics and look inside.
    pub(crate) test_hooks: bool,
    allow_private: String,
}

impl Config {
    /// Reads what the deployment has set.
    ///
    /// # Errors
    /// When something cannot be read: the log says which variable, and never what stands in it.
    pub(crate) fn from_env(env: &Env) -> Result<Rc<Self>, Problem> {
        if let Some(config) = CONFIG.with(|cell| cell.get().map(Rc::clone)) {
            return Ok(config);
        }
        let config = Rc::new(Self::read(|name| {
            env.var(name).ok().map(|value| value.to_string())
        })?);
        Ok(CONFIG.with(|cell| Rc::clone(cell.get_or_init(|| config))))
    }

    /// Where this deployment is reached: in development the port may be any, and the request says it.
    pub(crate) fn base_url(&self, request: &Url) -> String {
        if self.base_url.is_empty() {
            request.origin().ascii_serialization()
        } else {
            self.base_url.clone()
        }
    }

    /// The rule for endpoints' URLs, which refuses the host that the request came to as well.
    pub(crate) fn policy_beside(&self, request: &Url) -> Result<Policy, Problem> {
        policy(&self.allow_private, &[&self.base_url, request.as_str()])
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
        Ok(Self {
            policy: policy(&allow_private, &[&base_url])?,
            master_keys: MasterKeys::parse(&text("MASTER_KEYS")).map_err(|_| unread("MASTER_KEYS"))?,
            jwt: jwt_keys(&text("JWT_SECRET")).ok_or_else(|| unread("JWT_SECRET"))?,
            delivery_timeout_ms: 1000 * seconds("DELIVERY_TIMEOUT_SECONDS", 15)?,
            stream_ms: 1000 * seconds("STREAM_SECONDS", 600)?,
            test_hooks: text("TEST_HOOKS") == "1",
            base_url,
            allow_private,
        })
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
