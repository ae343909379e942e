//! What a body says is to be watched.

use postern_domain::app_level::ledger_of;
use postern_domain::gmail_push::is_name;
use postern_domain::oauth::provider::Provider;
use postern_domain::problem::{Code, Problem};
use postern_domain::watch::{MOST, Terms, WatchSource};
use postern_domain::wire::call::SourceGet;
use postern_platform::config::Config;
use serde_json::Value;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::form::Form;

/// The preset of sources that get Gmail's notifications.
const PRESET: &str = "pubsub";

/// Labels of a watch at the most.
const MOST_LABELS: usize = 100;

/// A watch, as a body names it.
pub(in crate::api::app::connection) enum Wanted {
    Gmail {
        topic: Option<String>,
        labels: Vec<String>,
        source: Option<String>,
    },
    Calendar {
        calendar: String,
    },
}

/// Reads one; `None`: the form knows why.
pub(in crate::api::app::connection) fn read(form: &mut Form<'_>) -> Option<Wanted> {
    let kind = form.required("kind", kind)?;
    if kind == "calendar" {
        let calendar = form.optional("calendarId", word);
        return Some(Wanted::Calendar {
            calendar: calendar.unwrap_or_else(|| "primary".to_owned()),
        });
    }
    Some(Wanted::Gmail {
        topic: form.optional("topic", topic),
        labels: form.optional("labelIds", labels).unwrap_or_default(),
        source: form.optional("sourceId", field::text),
    })
}

/// Reads the watches that a connection is to begin with: `watch`, a list.
pub(in crate::api::app::connection) fn read_all(form: &mut Form<'_>) -> Option<Vec<Wanted>> {
    if form.has("watch") {
        form.each("watch", 0..=MOST, read)
    } else {
        Some(Vec::new())
    }
}

/// Them as the connection's object takes them; 422 for what the provider has not, or what stands there twice.
pub(in crate::api::app::connection) async fn all_terms(
    wanted: Vec<Wanted>,
    provider: &Provider,
    access: &TenantAccess,
    ask: &Ask,
) -> Result<Vec<Terms>, Problem> {
    let mut all: Vec<Terms> = Vec::with_capacity(wanted.len());
    for (at, wanted) in wanted.into_iter().enumerate() {
        let at = at.to_string();
        let terms = wanted
            .terms(access, ask, &["body", "watch", &at, "sourceId"])
            .await?;
        if !terms.is_offered_by(provider) {
            let msg = format!("is nothing that can be watched at {}", provider.name);
            return Err(Problem::fault(&["body", "watch", &at, "kind"], msg));
        }
        if all.iter().any(|other| other.looks_at_the_same(&terms)) {
            return Err(Problem::fault(
                &["body", "watch", &at],
                "is watched by one before it",
            ));
        }
        all.push(terms);
    }
    Ok(all)
}

impl Wanted {
    /// It as the connection's object takes it. A source is looked for among the tenant's own, then among the operator's.
    pub(in crate::api::app::connection) async fn terms(
        self,
        access: &TenantAccess,
        ask: &Ask,
        place: &[&str],
    ) -> Result<Terms, Problem> {
        Ok(match self {
            Self::Calendar { calendar } => Terms::Calendar {
                calendar,
                address: address(ask)?,
            },
            Self::Gmail {
                topic,
                labels,
                source,
            } => Terms::Gmail {
                topic,
                labels,
                source: match source {
                    Some(named) => Some(source_of(access, named, place).await?),
                    None => None,
                },
            },
        })
    }
}

/// Where channels post to is what the deployment says, and never what a request says.
fn address(ask: &Ask) -> Result<String, Problem> {
    let address = Config::from_env(ask.env())?.base_url.clone();
    if address.is_empty() {
        return Err(Problem::new(
            Code::Conflict,
            "This deployment does not know its own address: set BASE_URL before watching calendars",
        ));
    }
    Ok(address)
}

async fn source_of(access: &TenantAccess, named: String, place: &[&str]) -> Result<WatchSource, Problem> {
    let own = access
        .object()
        .call(
            SourceGet {
                source: named.clone(),
            },
            &[],
        )
        .await;
    let (ledger, found) = match own {
        Err(problem) if problem.code == Code::NotFound => {
            let ledger = ledger_of(access.organisation);
            let found = access
                .app_level_object()
                .call(SourceGet { source: named }, &[])
                .await;
            (ledger, found)
        }
        own => (access.tenant, own),
    };
    match found {
        Ok((source, _)) if source.provider == PRESET => Ok(WatchSource {
            ledger,
            id: source.id,
        }),
        Ok(_) => Err(Problem::fault(
            place,
            "is no source of Pub/Sub pushes (preset pubsub)",
        )),
        Err(problem) if problem.code == Code::NotFound => Err(Problem::fault(place, "names no source")),
        Err(problem) => Err(problem),
    }
}

fn kind(value: &Value) -> Result<&'static str, Vec<Wrong>> {
    match field::text(value)?.as_str() {
        "gmail" => Ok("gmail"),
        "calendar" => Ok("calendar"),
        _ => Err(wrong("must be gmail or calendar")),
    }
}

/// `projects/{project}/topics/{topic}`.
fn topic(value: &Value) -> Result<String, Vec<Wrong>> {
    let text = field::text(value)?;
    if is_name(&text, "topics") {
        Ok(text)
    } else {
        Err(wrong("must be projects/{project}/topics/{topic}"))
    }
}

fn labels(value: &Value) -> Result<Vec<String>, Vec<Wrong>> {
    let labels = field::texts(value)?;
    let good = |label: &String| is_word(label);
    if labels.len() > MOST_LABELS || !labels.iter().all(good) {
        return Err(wrong("must hold up to 100 ids of labels (INBOX, Label_7 …)"));
    }
    Ok(labels)
}

fn word(value: &Value) -> Result<String, Vec<Wrong>> {
    let text = field::text(value)?;
    if is_word(&text) {
        Ok(text)
    } else {
        Err(wrong("must be 1 to 256 visible characters without blanks"))
    }
}

fn is_word(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn wrong(msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: msg.to_owned(),
        kind: "value_error",
    }]
}
