//! Every operation, and which one a request means.

use futures::future::LocalBoxFuture;
use postern_domain::access::{Capability, Need, Scope};
use postern_domain::problem::{Code, Problem};

use super::access::{Caller, OrganisationAccess, PollerAccess, TenantAccess};
use super::ask::Ask;
use super::reply::Answer;
use super::source as app_source;
use super::{
    app, auth, background_task, broadcast, connection_provider, environment, erasure, event_type, health,
    import, master_key, oauth_app, operational, portal, stats, testing, version,
};
use app::{attempt, connection, endpoint, entitlement, msg, poller, source, stream};

mod unbuilt;

type Work = LocalBoxFuture<'static, Result<Answer, Problem>>;

/// One operation.
pub(crate) struct Operation {
    /// As it stands in a request.
    pub(crate) method: &'static str,
    /// With `{…}` for what varies.
    pub(crate) path: &'static str,
    /// What does it, and what authority that needs.
    pub(crate) handler: Handler,
    /// What a token that may use only part of its authority must have been given for it.
    pub(crate) need: Need,
}

impl Operation {
    /// Whether a body is read at all.
    pub(crate) fn takes_body(&self) -> bool {
        matches!(self.method, "POST" | "PUT" | "PATCH") && !matches!(self.handler, Handler::NotBuilt)
    }
}

/// What does an operation, by the authority that it takes.
pub(crate) enum Handler {
    /// Anybody.
    Open(fn(Ask) -> Work),
    /// Any good token; the handler asks for more.
    Caller(fn(Caller, Ask) -> Work),
    /// A token of the organisation.
    Organisation(fn(OrganisationAccess, Ask) -> Work),
    /// A token that may touch the tenant named by the path's first part that varies.
    Tenant(fn(TenantAccess, Ask) -> Work),
    /// A token of the organisation; the tenant is the operational one, as if it stood first among what varies.
    Operational(fn(TenantAccess, Ask) -> Work),
    /// A token of the organisation; the tenant is its ledger for app-level sources, in the same way.
    AppLevel(fn(TenantAccess, Ask) -> Work),
    /// A token that may touch the tenant, or the own token of the poller that is the path's second part that varies.
    Poller(fn(PollerAccess, Ask) -> Work),
    /// Svix's clients know it, Postern does not have it.
    NotBuilt,
}

macro_rules! operations {
    ($($method:ident $path:literal $kind:ident($($run:tt)+) $(needs $need:ident)?;)*) => {
        /// The table. Requests, tests and the API's document go by it. An operation that says nothing of what it needs
        /// is closed to portals and scoped tokens.
        pub(crate) static OPERATIONS: &[Operation] = &[
            $(Operation {
                method: stringify!($method),
                path: $path,
                handler: operations!(@ $kind $($run)+),
                need: operations!(% $($need)?),
            },)*
        ];
    };
    (%) => { Need::Whole };
    (% Nothing) => { Need::Nothing };
    (% MessageCreate) => { Need::Scope(Scope::MessageCreate) };
    (% ConnectionToken) => { Need::Scope(Scope::ConnectionToken) };
    (% $capability:ident) => { Need::Capability(Capability::$capability) };
    (@ open $run:path) => { Handler::Open(|ask| Box::pin($run(ask))) };
    (@ caller $run:path) => { Handler::Caller(|caller, ask| Box::pin($run(caller, ask))) };
    (@ organisation $run:path) => { Handler::Organisation(|access, ask| Box::pin($run(access, ask))) };
    (@ tenant $run:path) => { Handler::Tenant(|access, ask| Box::pin($run(access, ask))) };
    (@ operational $run:path) => { Handler::Operational(|access, ask| Box::pin($run(access, ask))) };
    (@ app_level $run:path) => { Handler::AppLevel(|access, ask| Box::pin($run(access, ask))) };
    (@ poller $run:path) => { Handler::Poller(|access, ask| Box::pin($run(access, ask))) };
}

operations! {
    POST "/api/v1/app/{app_id}/msg" caller(msg::create::handle) needs MessageCreate;
    POST "/api/v1/app/{app_id}/msg/batch" caller(msg::batch::handle) needs MessageCreate;
    GET "/api/v1/app/{app_id}/msg" tenant(msg::list::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/msg/{msg_id}" tenant(msg::get::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/msg/{msg_id}/body" tenant(msg::body::handle) needs ViewBase;

    POST "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend" tenant(msg::resend::handle) needs CreateAttempts;

    GET "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}" tenant(attempt::by_endpoint::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/attempt/msg/{msg_id}" tenant(attempt::by_msg::handle) needs ViewBase;

    GET "/api/v1/app/{app_id}/endpoint" tenant(endpoint::list::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/endpoint" tenant(endpoint::create::handle) needs ManageEndpoint;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::get::handle) needs ViewBase;
    PUT "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::update::handle) needs ManageEndpoint;
    PATCH "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::patch::handle) needs ManageEndpoint;
    DELETE "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::delete::handle) needs ManageEndpoint;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret" tenant(endpoint::secret::handle) needs ViewEndpointSecret;

    GET "/api/v1/app/{app_id}/poller/{sink_id}" poller(poller::poll::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}" poller(poller::consumer_poll::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek" poller(poller::consumer_seek::handle) needs ViewBase;
    GET "/api/v1/auth/app/{app_id}/poller/{endpoint_id}/token" tenant(poller::token::handle) needs ViewEndpointSecret;
    POST "/api/v1/auth/app/{app_id}/poller/{endpoint_id}/token/rotate" tenant(poller::token_rotate::handle) needs ManageEndpointSecret;

    GET "/api/v1/app/{app_id}/stream" tenant(stream::get::handle) needs ViewBase;

    GET "/api/v1/app/{app_id}/msg/{msg_id}/raw" tenant(msg::raw::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/msg/{msg_id}/request" tenant(msg::request::handle) needs ViewBase;
    DELETE "/api/v1/app/{app_id}/msg/{msg_id}/content" tenant(msg::content_delete::handle);
    POST "/api/v1/app/{app_id}/msg/bulk-expunge" tenant(msg::bulk_expunge::handle);
    POST "/api/v1/app/{app_id}/msg/search" tenant(msg::search::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/msg/precheck/active" tenant(msg::precheck::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/msg/{msg_id}/endpoint" tenant(msg::endpoints::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}" tenant(msg::attempt::get::handle) needs ViewBase;
    DELETE "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content" tenant(msg::attempt::content_delete::handle);
    GET "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}/count" tenant(attempt::count::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/failed" tenant(app::failed::of_tenant) needs ViewBase;
    GET "/api/v1/app/{app_id}/stats/attempts" tenant(app::stats::attempts) needs ViewBase;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg" tenant(endpoint::messages::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failed" tenant(app::failed::of_endpoint) needs ViewBase;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats" tenant(endpoint::stats::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/rate-limit-status" tenant(endpoint::rate_limit_status::handle) needs ViewBase;

    GET "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers" tenant(attempt::headers::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate" tenant(endpoint::secret_rotate::handle) needs ManageEndpointSecret;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers" tenant(endpoint::headers_get::handle) needs ManageEndpoint;
    PUT "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers" tenant(endpoint::headers_update::handle) needs ManageEndpoint;
    PATCH "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers" tenant(endpoint::headers_patch::handle) needs ManageEndpoint;

    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover" tenant(endpoint::recover::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing" tenant(endpoint::replay_missing::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay" tenant(endpoint::bulk_replay::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive" tenant(endpoint::failed_redrive::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs" tenant(endpoint::cancel_msgs::handle) needs ManageEndpoint;
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/missed" tenant(endpoint::missed::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example" tenant(endpoint::send_example::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt" tenant(endpoint::test_attempt::handle) needs CreateAttempts;
    POST "/api/v1/app/{app_id}/replay" tenant(app::replay::handle) needs CreateAttempts;

    GET "/api/v1/app/{app_id}/source" tenant(source::list::handle);
    POST "/api/v1/app/{app_id}/source" tenant(source::create::handle);
    GET "/api/v1/app/{app_id}/source/{source_id}" tenant(source::get::handle);
    PUT "/api/v1/app/{app_id}/source/{source_id}" tenant(source::update::handle);
    PATCH "/api/v1/app/{app_id}/source/{source_id}" tenant(source::patch::handle);
    DELETE "/api/v1/app/{app_id}/source/{source_id}" tenant(source::delete::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/secret/rotate" tenant(source::secret_rotate::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/token/rotate" tenant(source::token_rotate::handle);
    DELETE "/api/v1/app/{app_id}/source/{source_id}/secret/{secret_id}" tenant(source::secret_delete::handle);
    GET "/api/v1/app/{app_id}/source/{source_id}/captured-secret" tenant(source::captured_secret::handle);
    GET "/api/v1/app/{app_id}/source/{source_id}/rejected" tenant(source::rejected::list);
    GET "/api/v1/app/{app_id}/source/{source_id}/rejected/{rejected_id}" tenant(source::rejected::get);
    POST "/api/v1/app/{app_id}/source/{source_id}/gmail-push" tenant(source::gmail_push::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/diagnose" tenant(source::diagnose::handle);
    GET "/api/v1/app/{app_id}/source/{source_id}/stats" tenant(source::stats::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/replay" tenant(source::replay::handle);

    GET "/api/v1/app/{app_id}/entitlement-config" tenant(entitlement::config_get::handle);
    PUT "/api/v1/app/{app_id}/entitlement-config" tenant(entitlement::config_update::handle);
    POST "/api/v1/app/{app_id}/entitlement-backfill" tenant(entitlement::backfill::handle);
    GET "/api/v1/app/{app_id}/entitlement-backfill/{task_id}/difference" tenant(entitlement::differences::handle);
    GET "/api/v1/app/{app_id}/entitlement" tenant(entitlement::list::handle);
    GET "/api/v1/app/{app_id}/entitlement/{customer}" tenant(entitlement::get::handle);
    GET "/api/v1/app/{app_id}/entitlement/{customer}/object" tenant(entitlement::objects::handle);
    GET "/api/v1/source" app_level(source::list::handle);
    POST "/api/v1/source" app_level(source::create::handle);
    GET "/api/v1/source/{source_id}" app_level(source::get::handle);
    PUT "/api/v1/source/{source_id}" app_level(source::update::handle);
    PATCH "/api/v1/source/{source_id}" app_level(source::patch::handle);
    DELETE "/api/v1/source/{source_id}" app_level(app_source::delete::handle);
    POST "/api/v1/source/{source_id}/secret/rotate" app_level(source::secret_rotate::handle);
    POST "/api/v1/source/{source_id}/token/rotate" app_level(source::token_rotate::handle);
    DELETE "/api/v1/source/{source_id}/secret/{secret_id}" app_level(source::secret_delete::handle);
    GET "/api/v1/source/{source_id}/captured-secret" app_level(source::captured_secret::handle);
    GET "/api/v1/source/{source_id}/rejected" app_level(source::rejected::list);
    GET "/api/v1/source/{source_id}/rejected/{rejected_id}" app_level(source::rejected::get);
    POST "/api/v1/source/{source_id}/gmail-push" app_level(source::gmail_push::handle);
    POST "/api/v1/source/{source_id}/diagnose" app_level(source::diagnose::handle);
    GET "/api/v1/source/{source_id}/stats" app_level(source::stats::handle);
    GET "/api/v1/source/{source_id}/routing" app_level(app_source::routing::get);
    PUT "/api/v1/source/{source_id}/routing" app_level(app_source::routing::put);
    GET "/api/v1/source/{source_id}/route" app_level(app_source::route::list);
    GET "/api/v1/source/{source_id}/route/{key}" app_level(app_source::route::get);
    PUT "/api/v1/source/{source_id}/route/{key}" app_level(app_source::route::put);
    DELETE "/api/v1/source/{source_id}/route/{key}" app_level(app_source::route::delete);
    POST "/api/v1/source/{source_id}/route/{key}/replay" app_level(app_source::replay::handle);
    GET "/api/v1/source/{source_id}/unrouted" app_level(app_source::unrouted::keys);
    GET "/api/v1/source/{source_id}/unrouted/msg" app_level(app_source::unrouted::events);

    GET "/api/v1/connection-provider" caller(connection_provider::list) needs Nothing;
    GET "/api/v1/connection-provider/{provider_id}" caller(connection_provider::get) needs Nothing;
    GET "/api/v1/oauth-app" app_level(oauth_app::list::handle);
    POST "/api/v1/oauth-app" app_level(oauth_app::create::handle);
    POST "/api/v1/oauth-app/doctor" app_level(oauth_app::doctor::before_saving);
    POST "/api/v1/oauth-app/{oauth_app_id}/doctor" app_level(oauth_app::doctor::handle);
    GET "/api/v1/oauth-app/{oauth_app_id}" app_level(oauth_app::get::handle);
    PUT "/api/v1/oauth-app/{oauth_app_id}" app_level(oauth_app::update::handle);
    PATCH "/api/v1/oauth-app/{oauth_app_id}" app_level(oauth_app::patch::handle);
    DELETE "/api/v1/oauth-app/{oauth_app_id}" app_level(oauth_app::delete::handle);
    GET "/api/v1/app/{app_id}/oauth-app" tenant(oauth_app::list::handle);
    POST "/api/v1/app/{app_id}/oauth-app" tenant(oauth_app::create::handle);
    POST "/api/v1/app/{app_id}/oauth-app/doctor" tenant(oauth_app::doctor::before_saving);
    POST "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}/doctor" tenant(oauth_app::doctor::handle);
    GET "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}" tenant(oauth_app::get::handle);
    PUT "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}" tenant(oauth_app::update::handle);
    PATCH "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}" tenant(oauth_app::patch::handle);
    DELETE "/api/v1/app/{app_id}/oauth-app/{oauth_app_id}" tenant(oauth_app::delete::handle);

    GET "/api/v1/app/{app_id}/connection" tenant(connection::list::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/connection/session" tenant(connection::session::handle);
    POST "/api/v1/app/{app_id}/connection/import" tenant(connection::import::handle);
    POST "/api/v1/app/{app_id}/connection/key" tenant(connection::key::handle);
    POST "/api/v1/app/{app_id}/connection/service-account" tenant(connection::service_account::handle);
    GET "/api/v1/app/{app_id}/connection/{connection_id}" tenant(connection::get::handle) needs ViewBase;
    PATCH "/api/v1/app/{app_id}/connection/{connection_id}" tenant(connection::patch::handle);
    DELETE "/api/v1/app/{app_id}/connection/{connection_id}" tenant(connection::delete::handle);
    POST "/api/v1/app/{app_id}/connection/{connection_id}/test" tenant(connection::test::handle);
    POST "/api/v1/app/{app_id}/connection/{connection_id}/reset" tenant(connection::reset::handle);
    POST "/api/v1/app/{app_id}/connection/{connection_id}/toggle" tenant(connection::toggle::handle);
    POST "/api/v1/app/{app_id}/connection/{connection_id}/token" caller(connection::token::handle) needs ConnectionToken;
    GET "/api/v1/app/{app_id}/connection/{connection_id}/token/read" tenant(connection::token_reads::handle);
    GET "/api/v1/app/{app_id}/connection/{connection_id}/history" tenant(connection::history::handle) needs ViewBase;
    GET "/api/v1/app/{app_id}/connection/{connection_id}/watch" tenant(connection::watch::list::handle) needs ViewBase;
    POST "/api/v1/app/{app_id}/connection/{connection_id}/watch" tenant(connection::watch::create::handle);
    GET "/api/v1/app/{app_id}/connection/{connection_id}/watch/{watch_id}" tenant(connection::watch::get::handle) needs ViewBase;
    DELETE "/api/v1/app/{app_id}/connection/{connection_id}/watch/{watch_id}" tenant(connection::watch::delete::handle);

    GET "/api/v1/app" organisation(app::list::handle);
    POST "/api/v1/app" organisation(app::create::handle);
    GET "/api/v1/app/{app_id}" tenant(app::get::handle) needs ViewBase;
    PUT "/api/v1/app/{app_id}" organisation(app::update::handle);
    PATCH "/api/v1/app/{app_id}" organisation(app::patch::handle);
    DELETE "/api/v1/app/{app_id}" organisation(app::delete::handle);
    PATCH "/api/v1/app/{app_id}/alert-email" organisation(app::alert_email::handle);
    POST "/api/v1/app/{app_id}/erase" organisation(app::erase::handle);
    GET "/api/v1/app/{app_id}/export" caller(app::export::handle);
    POST "/api/v1/app/{app_id}/import" organisation(app::import::handle);

    GET "/api/v1/erasure" organisation(erasure::list::handle);
    POST "/api/v1/import" organisation(import::create::handle);

    POST "/api/v1/msg/broadcast" organisation(broadcast::handle);

    GET "/api/v1/operational-webhook/endpoint" operational(endpoint::list::handle);
    POST "/api/v1/operational-webhook/endpoint" operational(endpoint::create::handle);
    GET "/api/v1/operational-webhook/endpoint/{endpoint_id}" operational(endpoint::get::handle);
    PUT "/api/v1/operational-webhook/endpoint/{endpoint_id}" operational(operational::update);
    DELETE "/api/v1/operational-webhook/endpoint/{endpoint_id}" operational(endpoint::delete::handle);
    GET "/api/v1/operational-webhook/endpoint/{endpoint_id}/secret" operational(endpoint::secret::handle);
    POST "/api/v1/operational-webhook/endpoint/{endpoint_id}/secret/rotate" operational(endpoint::secret_rotate::handle);
    GET "/api/v1/operational-webhook/endpoint/{endpoint_id}/headers" operational(endpoint::headers_get::handle);
    PUT "/api/v1/operational-webhook/endpoint/{endpoint_id}/headers" operational(endpoint::headers_update::handle);

    POST "/api/v1/stats/usage/app" organisation(stats::usage_app::handle);

    GET "/api/v1/event-type" caller(event_type::list::handle) needs ViewBase;

    GET "/api/v1/app/{app_id}/jwks.json" open(app::jwks::handle);
    POST "/api/v1/event-type" organisation(event_type::create::handle);
    GET "/api/v1/event-type/{event_type_name}" caller(event_type::get::handle) needs ViewBase;
    PUT "/api/v1/event-type/{event_type_name}" organisation(event_type::update::handle);
    PATCH "/api/v1/event-type/{event_type_name}" organisation(event_type::patch::handle);
    DELETE "/api/v1/event-type/{event_type_name}" organisation(event_type::delete::handle);
    GET "/api/v1/event-type/{event_type_name}/retry-schedule" organisation(event_type::retry_schedule::get);
    PUT "/api/v1/event-type/{event_type_name}/retry-schedule" organisation(event_type::retry_schedule::put);
    POST "/api/v1/event-type/import/openapi" organisation(event_type::import_openapi::handle);
    POST "/api/v1/event-type/export/openapi" organisation(event_type::export_openapi::handle);

    POST "/api/v1/environment/export" organisation(environment::export::handle);
    POST "/api/v1/environment/import" organisation(environment::import::handle);

    POST "/api/v1/auth/app-portal-access/{app_id}" organisation(auth::app_portal_access::handle);
    POST "/api/v1/auth/one-time-token" open(auth::one_time_token::handle);
    POST "/api/v1/auth/logout" caller(auth::logout::handle) needs Nothing;
    GET "/api/v1/auth/whoami" caller(auth::whoami::handle) needs Nothing;
    POST "/api/v1/auth/app/{app_id}/expire-all" organisation(auth::expire_all::handle);
    POST "/api/v1/auth/app/{app_id}/create-message-token" organisation(auth::create_message_token::handle);
    POST "/api/v1/auth/app/{app_id}/create-connection-token" organisation(auth::create_message_token::reader);
    GET "/portal" open(portal::handle);

    GET "/api/v1/master-key" organisation(master_key::handle);

    GET "/api/v1/background-task" organisation(background_task::list::handle);
    GET "/api/v1/background-task/{task_id}" organisation(background_task::get::handle);
    POST "/api/v1/background-task/{task_id}/cancel" organisation(background_task::cancel::handle);

    GET "/api/v1/health" open(health::alive);
    GET "/api/v1/health/ping" open(health::alive);
    GET "/health" open(health::handle);
    GET "/version" open(version::handle);

    GET "/test/app/{app_id}/inspect" tenant(testing::inspect);
    POST "/test/panic" open(testing::panic);
    POST "/test/verify" open(testing::verify);
}

/// What a request means.
pub(crate) enum Found {
    /// This one, with the parts of the path that vary, decoded.
    Operation(&'static Operation, Vec<String>),
    /// The path is known, with these methods.
    OtherMethods(Vec<&'static str>),
    /// Nothing here.
    Nothing,
}

/// Looks a request up: literal parts win over those that vary.
pub(crate) fn find(method: &str, path: &str) -> Found {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut methods = Vec::new();
    for operation in OPERATIONS.iter().chain(unbuilt::UNBUILT) {
        let Some(params) = params(operation.path, path) else {
            continue;
        };
        if operation.method == method {
            return Found::Operation(operation, params);
        }
        if !methods.contains(&operation.method) {
            methods.push(operation.method);
        }
    }
    if methods.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethods(methods)
    }
}

/// What an operation that is not built answers.
pub(crate) fn not_built() -> Problem {
    Problem::new(
        Code::NotImplemented,
        "Svix's clients know this operation; Postern does not have it yet",
    )
}

/// What stands in `path` where `template` varies; `None` if they do not fit.
fn params(template: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for wanted in template.split('/') {
        let part = parts.next()?;
        if wanted.starts_with('{') {
            params.push(decoded(part).filter(|part| !part.is_empty())?);
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(params)
}

/// Percent-decoding; `None` for what is not UTF-8 then, or not an escape.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).ok()?;
            bytes.extend_from_slice(&decoded);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(method: &str, path: &str) -> Option<(&'static str, Vec<String>)> {
        match find(method, path) {
            Found::Operation(operation, params) => Some((operation.path, params)),
            _ => None,
        }
    }

    #[test]
    fn a_request_finds_its_operation_and_the_parts_that_vary_decoded() {
        assert_eq!(
            path("GET", "/api/v1/event-type/a%2Fb:c"),
            Some(("/api/v1/event-type/{event_type_name}", vec!["a/b:c".to_owned()]))
        );
        assert_eq!(path("GET", "/api/v1/app/"), Some(("/api/v1/app", vec![])));
        assert_eq!(path("GET", "/api/v1/event-type/%ff"), None);
        assert_eq!(path("GET", "/api/v1/app//msg"), None);
    }

    #[test]
    fn a_known_path_with_another_method_says_which_it_takes() {
        assert!(
            matches!(find("DELETE", "/api/v1/app"), Found::OtherMethods(methods) if methods == ["GET", "POST"])
        );
        assert!(matches!(find("GET", "/api/v2/app"), Found::Nothing));
    }

    #[test]
    fn what_a_portal_may_changes_nothing_but_endpoints_and_needs_a_capability_for_that() {
        for operation in OPERATIONS {
            // These ask, or say where whoever asks stands.
            let asks = ["/seek", "/msg/search", "/msg/precheck/active"];
            let asks = asks.iter().any(|end| operation.path.ends_with(end));
            let changes = operation.method != "GET" && !asks;
            let viewer = matches!(operation.need, Need::Capability(Capability::ViewBase));
            assert!(!(changes && viewer), "{} {}", operation.method, operation.path);
            let secret = operation.path.contains("/secret");
            assert!(!(secret && viewer), "{} {}", operation.method, operation.path);
        }
    }

    #[test]
    fn no_operation_hides_another() {
        let all: Vec<&Operation> = OPERATIONS.iter().chain(unbuilt::UNBUILT).collect();
        for operation in &all {
            assert_eq!(
                path(operation.method, operation.path).map(|(path, _)| path),
                Some(operation.path)
            );
        }
    }
}
