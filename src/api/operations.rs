//! Every operation, and which one a request means.

use futures::future::LocalBoxFuture;
use postern_domain::problem::{Code, Problem};

use super::access::{Caller, OrganisationAccess, TenantAccess};
use super::ask::Ask;
use super::reply::Answer;
use super::{app, background_task, event_type, health, testing, version};
use app::{attempt, endpoint, msg, source};

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
    /// Svix's clients know it, Postern does not have it.
    NotBuilt,
}

macro_rules! operations {
    ($($method:ident $path:literal $kind:ident($($run:tt)+);)*) => {
        /// The table. Requests, tests and the API's document go by it.
        pub(crate) static OPERATIONS: &[Operation] = &[
            $(Operation { method: stringify!($method), path: $path, handler: operations!(@ $kind $($run)+) },)*
        ];
    };
    (@ open $run:path) => { Handler::Open(|ask| Box::pin($run(ask))) };
    (@ caller $run:path) => { Handler::Caller(|caller, ask| Box::pin($run(caller, ask))) };
    (@ organisation $run:path) => { Handler::Organisation(|access, ask| Box::pin($run(access, ask))) };
    (@ tenant $run:path) => { Handler::Tenant(|access, ask| Box::pin($run(access, ask))) };
}

operations! {
    POST "/api/v1/app/{app_id}/msg" caller(msg::create::handle);
    GET "/api/v1/app/{app_id}/msg" tenant(msg::list::handle);
    GET "/api/v1/app/{app_id}/msg/{msg_id}" tenant(msg::get::handle);
    GET "/api/v1/app/{app_id}/msg/{msg_id}/body" tenant(msg::body::handle);
    POST "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend" tenant(msg::resend::handle);

    GET "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}" tenant(attempt::by_endpoint::handle);
    GET "/api/v1/app/{app_id}/attempt/msg/{msg_id}" tenant(attempt::by_msg::handle);

    GET "/api/v1/app/{app_id}/endpoint" tenant(endpoint::list::handle);
    POST "/api/v1/app/{app_id}/endpoint" tenant(endpoint::create::handle);
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::get::handle);
    PUT "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::update::handle);
    PATCH "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::patch::handle);
    DELETE "/api/v1/app/{app_id}/endpoint/{endpoint_id}" tenant(endpoint::delete::handle);
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret" tenant(endpoint::secret::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover" tenant(endpoint::recover::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing" tenant(endpoint::replay_missing::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay" tenant(endpoint::bulk_replay::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failed/redrive" tenant(endpoint::failed_redrive::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs" tenant(endpoint::cancel_msgs::handle);
    GET "/api/v1/app/{app_id}/endpoint/{endpoint_id}/missed" tenant(endpoint::missed::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example" tenant(endpoint::send_example::handle);
    POST "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt" tenant(endpoint::test_attempt::handle);
    POST "/api/v1/app/{app_id}/replay" tenant(app::replay::handle);

    GET "/api/v1/app/{app_id}/source" tenant(source::list::handle);
    POST "/api/v1/app/{app_id}/source" tenant(source::create::handle);
    GET "/api/v1/app/{app_id}/source/{source_id}" tenant(source::get::handle);
    PUT "/api/v1/app/{app_id}/source/{source_id}" tenant(source::update::handle);
    PATCH "/api/v1/app/{app_id}/source/{source_id}" tenant(source::patch::handle);
    DELETE "/api/v1/app/{app_id}/source/{source_id}" tenant(source::delete::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/secret/rotate" tenant(source::secret_rotate::handle);
    POST "/api/v1/app/{app_id}/source/{source_id}/token/rotate" tenant(source::token_rotate::handle);

    GET "/api/v1/app" organisation(app::list::handle);
    POST "/api/v1/app" organisation(app::create::handle);
    GET "/api/v1/app/{app_id}" tenant(app::get::handle);
    PUT "/api/v1/app/{app_id}" organisation(app::update::handle);
    PATCH "/api/v1/app/{app_id}" organisation(app::patch::handle);
    DELETE "/api/v1/app/{app_id}" organisation(app::delete::handle);

    GET "/api/v1/event-type" organisation(event_type::list::handle);
    POST "/api/v1/event-type" organisation(event_type::create::handle);
    GET "/api/v1/event-type/{event_type_name}" organisation(event_type::get::handle);
    PUT "/api/v1/event-type/{event_type_name}" organisation(event_type::update::handle);
    PATCH "/api/v1/event-type/{event_type_name}" organisation(event_type::patch::handle);
    DELETE "/api/v1/event-type/{event_type_name}" organisation(event_type::delete::handle);

    GET "/api/v1/background-task" organisation(background_task::list::handle);
    GET "/api/v1/background-task/{task_id}" organisation(background_task::get::handle);
    POST "/api/v1/background-task/{task_id}/cancel" organisation(background_task::cancel::handle);

    GET "/api/v1/health" open(health::alive);
    GET "/api/v1/health/ping" open(health::alive);
    GET "/health" open(health::handle);
    GET "/version" open(version::handle);

    GET "/test/app/{app_id}/inspect" tenant(testing::inspect);
    POST "/test/panic" open(testing::panic);
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
