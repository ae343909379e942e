//! The path on which Gmail's notifications come: a topic that Gmail may publish to, and a subscription that pushes what
//! comes there to a source, with a token that says so. Three steps, each looked at before it is made, so that the whole
//! can be done again at any time.
//!
//! What is asked of Google is made here and read here; who sends it is another's affair. Sources: "Configure push
//! notifications in Gmail API", and the reference of the Cloud Pub/Sub API (v1, REST).

use serde_json::{Map, Value, json};

/// Whom Gmail publishes as.
pub const PUBLISHER: &str = "serviceAccount:gmail-api-push@system.gserviceaccount.com";

/// One of these scopes is wanted for all of it.
pub const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/pubsub",
    "https://www.googleapis.com/auth/cloud-platform",
];

const ROLE: &str = "roles/pubsub.publisher";

/// Seconds until a push that was not acknowledged comes again.
const ACK_DEADLINE_S: u64 = 30;

/// Characters of Google's own words that are shown.
const WORDS: usize = 200;

/// What is to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// `projects/{project}/topics/{name}`.
    pub topic: String,
    /// `projects/{project}/subscriptions/{name}`.
    pub subscription: String,
    /// The source's address.
    pub endpoint: String,
    /// What the source wants as the token's audience.
    pub audience: String,
    /// Whose tokens the source takes.
    pub service_account: String,
}

/// One part of the path, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The topic.
    Topic,
    /// Gmail's right to publish there.
    Publisher,
    /// The subscription, and where and how it pushes.
    Subscription,
}

/// All of them.
pub const STEPS: [Step; 3] = [Step::Topic, Step::Publisher, Step::Subscription];

/// A request to the Pub/Sub API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The method.
    pub verb: Verb,
    /// Behind the API's base.
    pub path: String,
    /// JSON.
    pub body: Option<Value>,
}

/// The methods that are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Get,
    /// Makes what has a name.
    Put,
    /// Does.
    Post,
}

/// What was found of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it should be.
    Exists,
    /// It is not there; this makes it.
    Missing(Ask),
    /// It is there and otherwise; this changes it.
    Differs(String, Ask),
    /// Nothing is known, or nothing can be done; what somebody has to do.
    Stuck(String),
}

/// What came of making one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stands.
    Made,
    /// Somebody else changed it meanwhile: look again.
    Again,
    /// What somebody has to do.
    Stuck(String),
}

/// A topic's or a subscription's name as Google has them; none: it is no such name.
///
/// Source: "Guidelines to name a topic or a subscription".
#[must_use]
pub fn is_name(text: &str, kind: &str) -> bool {
    let Some((project, name)) = text
        .strip_prefix("projects/")
        .and_then(|rest| rest.split_once(&format!("/{kind}/")))
    else {
        return false;
    };
    let of_project = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+".contains(&byte);
    (1..=100).contains(&project.len())
        && project.bytes().all(of_project)
        && (3..=255).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.starts_with("goog")
        && name.bytes().all(of_name)
}

/// The subscription for a source when nobody names one: in the topic's project.
#[must_use]
pub fn subscription_of(topic: &str, source: &str) -> String {
    let project = topic.split('/').nth(1).unwrap_or_default();
    let source = source.strip_prefix("src_").unwrap_or(source);
    format!("projects/{project}/subscriptions/postern-{source}")
}

/// How a step is looked at.
#[must_use]
pub fn look(step: Step, path: &Path) -> Ask {
    let path = match step {
        Step::Topic => format!("v1/{}", path.topic),
        // Only a policy of version 3 tells which bindings have a condition.
        Step::Publisher => format!("v1/{}:getIamPolicy?options.requestedPolicyVersion=3", path.topic),
        Step::Subscription => format!("v1/{}", path.subscription),
    };
    Ask {
        verb: Verb::Get,
        path,
        body: None,
    }
}

/// Reads the answer to [`look`].
#[must_use]
pub fn found(step: Step, path: &Path, status: u16, answer: &Value) -> Found {
    match (step, status) {
        (Step::Topic, 200) => Found::Exists,
        (Step::Publisher, 200) => publisher(path, answer),
        (Step::Subscription, 200) => subscription(path, answer),
        (Step::Topic, 404) => Found::Missing(Ask {
            verb: Verb::Put,
            path: format!("v1/{}", path.topic),
            body: Some(json!({})),
        }),
        (Step::Subscription, 404) => Found::Missing(Ask {
            verb: Verb::Put,
            path: format!("v1/{}", path.subscription),
            body: Some(json!({
                "topic": path.topic,
                "pushConfig": push_config(path),
                "ackDeadlineSeconds": ACK_DEADLINE_S,
                // Without a time to live in it a subscription never ends; without the policy it ends after 31 idle days.
                "expirationPolicy": {},
                "retryPolicy": { "minimumBackoff": "10s", "maximumBackoff": "600s" },
            })),
        }),
        (_, status) => Found::Stuck(stuck(step, path, status, answer)),
    }
}

/// Reads the answer to what [`found`] said makes it.
#[must_use]
pub fn outcome(step: Step, path: &Path, status: u16, answer: &Value) -> Outcome {
    match status {
        200 => Outcome::Made,
        // It stands already, or the policy's etag is another one by now.
        409 => Outcome::Again,
        status => Outcome::Stuck(stuck(step, path, status, answer)),
    }
}

/// The same by hand, for a shell with Google's command line.
#[must_use]
pub fn commands(path: &Path) -> Vec<String> {
    let (topic, subscription) = (word(&path.topic), word(&path.subscription));
    let project = path.topic.split('/').nth(1).unwrap_or_default();
    vec![
        format!(
            "gcloud services enable pubsub.googleapis.com --project={}",
            word(project)
        ),
        format!("gcloud pubsub topics create {topic}"),
        format!("gcloud pubsub topics add-iam-policy-binding {topic} --member={PUBLISHER} --role={ROLE}"),
        format!(
            "gcloud pubsub subscriptions create {subscription} --topic={topic} --push-endpoint={} \
             --push-auth-service-account={} --push-auth-token-audience={} --ack-deadline={ACK_DEADLINE_S} \
             --expiration-period=never --min-retry-delay=10s --max-retry-delay=600s",
            word(&path.endpoint),
            word(&path.service_account),
            word(&path.audience),
        ),
    ]
}

impl Step {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Publisher => "publisher",
            Self::Subscription => "subscription",
        }
    }

    /// What stands when it is done.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Topic => "The topic is there",
            Self::Publisher => "Gmail may publish to the topic",
            Self::Subscription => "The subscription pushes to the source, with a token that the source takes",
        }
    }

    /// What is not so.
    #[must_use]
    pub fn missing(self) -> &'static str {
        match self {
            Self::Topic => "There is no such topic",
            Self::Publisher => "Gmail may not publish to the topic",
            Self::Subscription => "There is no such subscription",
        }
    }
}

fn publisher(path: &Path, policy: &Value) -> Found {
    let bindings = policy.get("bindings").and_then(Value::as_array);
    let bindings = bindings.map_or(&[][..], Vec::as_slice);
    let open = |binding: &&Value| binding["role"] == ROLE && binding.get("condition").is_none();
    let has = |binding: &Value| {
        let members = binding["members"].as_array();
        members.is_some_and(|members| members.iter().any(|member| member == PUBLISHER))
    };
    if bindings.iter().filter(open).any(has) {
        return Found::Exists;
    }
    // Everything that stands is sent back as it came, the etag with it: who changed it meanwhile wins.
    let mut policy = policy.as_object().cloned().unwrap_or_else(Map::new);
    let mut bindings = bindings.to_vec();
    let ours = bindings.iter().position(|binding| open(&binding));
    match ours.and_then(|at| bindings[at]["members"].as_array_mut()) {
        Some(members) => members.push(PUBLISHER.into()),
        None => bindings.push(json!({ "role": ROLE, "members": [PUBLISHER] })),
    }
    policy.insert("bindings".to_owned(), bindings.into());
    Found::Missing(Ask {
        verb: Verb::Post,
        path: format!("v1/{}:setIamPolicy", path.topic),
        body: Some(json!({ "policy": policy })),
    })
}

fn subscription(path: &Path, stands: &Value) -> Found {
    if stands["topic"] != path.topic.as_str() {
        let topic = stands["topic"].as_str().unwrap_or("another topic");
        return Found::Stuck(format!(
            "The subscription listens to {topic}, which cannot be changed: name another subscription, or delete this one"
        ));
    }
    let push = &stands["pushConfig"];
    let token = &push["oidcToken"];
    // Google takes the endpoint for the audience where none was set.
    let audience = token["audience"].as_str().filter(|audience| !audience.is_empty());
    let wrong = [
        ("its address", push["pushEndpoint"] != path.endpoint.as_str()),
        (
            "its service account",
            token["serviceAccountEmail"] != path.service_account.as_str(),
        ),
        (
            "its audience",
            audience.or_else(|| push["pushEndpoint"].as_str()) != Some(path.audience.as_str()),
        ),
        ("its wrapping", push.get("noWrapper").is_some()),
    ];
    let wrong: Vec<&str> = wrong
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(what, _)| what)
        .collect();
    if wrong.is_empty() {
        return Found::Exists;
    }
    let change = Ask {
        verb: Verb::Post,
        path: format!("v1/{}:modifyPushConfig", path.subscription),
        body: Some(json!({ "pushConfig": push_config(path) })),
    };
    Found::Differs(
        format!(
            "The subscription pushes otherwise than the source wants: {}",
            wrong.join(", ")
        ),
        change,
    )
}

fn push_config(path: &Path) -> Value {
    json!({
        "pushEndpoint": path.endpoint,
        "oidcToken": { "serviceAccountEmail": path.service_account, "audience": path.audience },
    })
}

/// What somebody has to do, and what Google said.
fn stuck(step: Step, path: &Path, status: u16, answer: &Value) -> String {
    let error = &answer["error"];
    let is_disabled = error["details"].as_array().is_some_and(|details| {
        details
            .iter()
            .any(|detail| detail["reason"] == "SERVICE_DISABLED")
    });
    let project = path.topic.split('/').nth(1).unwrap_or_default();
    let account = &path.service_account;
    let what = match (step, status) {
        _ if is_disabled => {
            format!("Switch the API on: gcloud services enable pubsub.googleapis.com --project={project}")
        }
        (_, 401) => "Google refuses the connection's token".to_owned(),
        (Step::Topic, 403) => {
            format!("The connection's service account needs roles/pubsub.editor in the project {project}")
        }
        (Step::Publisher, 403) => {
            "The connection's service account needs roles/pubsub.admin on the topic, to say who may publish"
                .to_owned()
        }
        (Step::Publisher, 404) => "The topic has to be there first".to_owned(),
        (Step::Publisher, 400) => "Google does not let Gmail publish: if an organisation policy restricts \
             iam.allowedPolicyMemberDomains, except this project from it"
            .to_owned(),
        (Step::Subscription, 403) => format!(
            "The connection's service account needs roles/pubsub.editor in the project {project}, and \
             roles/iam.serviceAccountUser on {account}"
        ),
        (Step::Subscription, 400) => {
            format!(
                "Google does not take the subscription: is {account} there, and the address public and https?"
            )
        }
        (_, status) => format!("Google answered {status}; try again"),
    };
    match error["message"].as_str().filter(|words| !words.is_empty()) {
        Some(words) => {
            let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS).collect();
            format!("{what} (Google: {words})")
        }
        None => what,
    }
}

/// A word of a command: quoted where a shell would read more into it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,~%".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path {
            topic: "projects/acme/topics/gmail".to_owned(),
            subscription: "projects/acme/subscriptions/postern-1".to_owned(),
            endpoint: "https://hooks.example/in/abc".to_owned(),
            audience: "https://hooks.example".to_owned(),
            service_account: "push@acme.iam.gserviceaccount.com".to_owned(),
        }
    }

    fn standing() -> Value {
        json!({ "topic": "projects/acme/topics/gmail", "pushConfig": push_config(&path()) })
    }

    #[test]
    fn names_are_those_that_google_takes() {
        for good in [
            "projects/acme/topics/gmail",
            "projects/example.com:acme/topics/a-b_c.d~e+f",
        ] {
            assert!(is_name(good, "topics"), "{good}");
        }
        for bad in [
            "gmail",
            "projects/acme/subscriptions/gmail",
            "projects//topics/gmail",
            "projects/acme/topics/go",
            "projects/acme/topics/google",
            "projects/acme/topics/1st",
            "projects/acme/topics/a/b",
            "projects/acme/topics/a%2fb",
            "projects/../topics/abc?x=1",
            "projects/acme/x/topics/abc",
        ] {
            assert!(!is_name(bad, "topics"), "{bad}");
        }
        assert!(is_name(
            &subscription_of("projects/acme/topics/gmail", "src_0a1b"),
            "subscriptions"
        ));
    }

    #[test]
    fn what_stands_as_it_should_is_left() {
        assert_eq!(found(Step::Topic, &path(), 200, &json!({})), Found::Exists);
        assert_eq!(
            found(Step::Subscription, &path(), 200, &standing()),
            Found::Exists
        );
        let policy = json!({ "bindings": [{ "role": ROLE, "members": ["user:a@b.example", PUBLISHER] }] });
        assert_eq!(found(Step::Publisher, &path(), 200, &policy), Found::Exists);
    }

    #[test]
    fn a_right_is_added_and_none_is_taken_away() {
        let policy = json!({
            "version": 3, "etag": "BwX",
            "bindings": [
                { "role": "roles/owner", "members": ["user:a@b.example"] },
                { "role": ROLE, "members": ["user:c@b.example"] },
            ],
        });
        let Found::Missing(ask) = found(Step::Publisher, &path(), 200, &policy) else {
            panic!("it is missing");
        };
        assert_eq!(ask.path, "v1/projects/acme/topics/gmail:setIamPolicy");
        let expected = json!({ "policy": {
            "version": 3, "etag": "BwX",
            "bindings": [
                { "role": "roles/owner", "members": ["user:a@b.example"] },
                { "role": ROLE, "members": ["user:c@b.example", PUBLISHER] },
            ],
        } });
        assert_eq!(ask.body, Some(expected));
    }

    #[test]
    fn a_right_with_a_condition_is_not_the_right() {
        let conditional =
            json!({ "role": ROLE, "members": [PUBLISHER], "condition": { "title": "until May" } });
        let policy = json!({ "version": 3, "bindings": [conditional] });
        let Found::Missing(ask) = found(Step::Publisher, &path(), 200, &policy) else {
            panic!("it is missing");
        };
        let bindings = &ask.body.expect("a body")["policy"]["bindings"];
        assert_eq!(bindings[0], conditional);
        assert_eq!(bindings[1], json!({ "role": ROLE, "members": [PUBLISHER] }));
    }

    #[test]
    fn a_subscription_that_pushes_elsewhere_is_set_right() {
        for (pointer, told) in [
            ("/pushConfig/pushEndpoint", "its address"),
            ("/pushConfig/oidcToken/serviceAccountEmail", "its service account"),
            ("/pushConfig/oidcToken/audience", "its audience"),
        ] {
            let mut stands = standing();
            *stands.pointer_mut(pointer).expect("it is there") = "other".into();
            let Found::Differs(how, ask) = found(Step::Subscription, &path(), 200, &stands) else {
                panic!("{pointer} differs");
            };
            assert!(how.ends_with(told), "{how}");
            assert_eq!(ask.body, Some(json!({ "pushConfig": push_config(&path()) })));
        }
    }

    #[test]
    fn without_an_audience_google_takes_the_address() {
        let mut stands = standing();
        stands["pushConfig"]["oidcToken"]["audience"] = "".into();
        let mut wanted = path();
        wanted.audience.clone_from(&wanted.endpoint);
        assert_eq!(found(Step::Subscription, &wanted, 200, &stands), Found::Exists);
    }

    #[test]
    fn a_subscription_to_another_topic_is_not_touched() {
        let mut stands = standing();
        stands["topic"] = "projects/acme/topics/other".into();
        let Found::Stuck(what) = found(Step::Subscription, &path(), 200, &stands) else {
            panic!("it cannot be changed");
        };
        assert!(what.contains("projects/acme/topics/other"), "{what}");
    }

    #[test]
    fn who_has_to_do_something_reads_what() {
        let denied =
            json!({ "error": { "code": 403, "message": "User not authorized\nto perform this action." } });
        for (step, told) in [
            (Step::Topic, "roles/pubsub.editor"),
            (Step::Publisher, "roles/pubsub.admin"),
            (Step::Subscription, "roles/iam.serviceAccountUser"),
        ] {
            let Found::Stuck(what) = found(step, &path(), 403, &denied) else {
                panic!("nothing is known");
            };
            assert!(
                what.contains(told) && what.contains("User not authorized"),
                "{what}"
            );
            assert!(!what.contains('\n'));
        }
        let disabled = json!({ "error": { "message": "x", "details": [{ "reason": "SERVICE_DISABLED" }] } });
        let Outcome::Stuck(what) = outcome(Step::Topic, &path(), 403, &disabled) else {
            panic!("nothing was made");
        };
        assert!(what.contains("gcloud services enable"), "{what}");
        assert_eq!(outcome(Step::Publisher, &path(), 409, &json!({})), Outcome::Again);
        assert_eq!(outcome(Step::Topic, &path(), 200, &json!({})), Outcome::Made);
    }

    #[test]
    fn commands_are_quoted() {
        let mut path = path();
        path.audience = "it's; rm -rf /".to_owned();
        let commands = commands(&path);
        assert_eq!(commands.len(), 4);
        assert!(commands[3].contains(r"--push-auth-token-audience='it'\''s; rm -rf /'"));
        assert!(commands[3].contains("--push-endpoint=https://hooks.example/in/abc "));
    }
}
