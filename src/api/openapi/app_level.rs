//! App-level sources, as the document describes them: what they share with those of a tenant is said there.

use schemars::generate::SchemaGenerator;

use super::described::{self, Described, list, of, ok};
use super::inputs::{RouteIn, RouteReplayIn, RoutingIn};
use crate::api::background_task::shape::BackgroundTaskOut;
use crate::api::source::replay::RouteReplayCountOut;
use crate::api::source::route::{ClaimsOut, RouteOut};
use crate::api::source::routing::RoutingOut;
use crate::api::source::unrouted::{UnroutedEventOut, UnroutedKeyOut};

const PAGE: &[&str] = &["limit", "iterator", "order"];

/// Of a path behind `/api/v1`.
pub(super) fn describe(method: &str, path: &str, s: &mut SchemaGenerator) -> Option<Described> {
    let rest = path.strip_prefix("/source")?;
    let make = |summary, query, body, answers| {
        Some(Described {
            summary,
            query,
            body,
            answers,
        })
    };
    match (method, rest) {
        ("GET", "/{source_id}/routing") => make(
            "How far a source's routing keys are believed, and whose connections claim them",
            &[],
            None,
            ok::<RoutingOut>(s),
        ),
        ("PUT", "/{source_id}/routing") => make(
            "Says how far a source's routing keys are believed, and whose connections claim them",
            &[],
            Some(of::<RoutingIn>(s)),
            ok::<RoutingOut>(s),
        ),
        ("GET", "/{source_id}/route") => {
            make("Lists claims of routing keys", PAGE, None, list::<RouteOut>(s))
        }
        ("GET", "/{source_id}/route/{key}") => {
            make("Who claims a routing key", &[], None, ok::<ClaimsOut>(s))
        }
        ("PUT", "/{source_id}/route/{key}") => make(
            "Claims a routing key for an application",
            &[],
            Some(of::<RouteIn>(s)),
            ok::<RouteOut>(s),
        ),
        ("DELETE", "/{source_id}/route/{key}") => make(
            "Gives a routing key up, for one application or for all",
            &["app_id"],
            None,
            vec![(204, None)],
        ),
        ("POST", "/{source_id}/route/{key}/replay") => {
            let answers = vec![
                (200, Some(of::<RouteReplayCountOut>(s))),
                (202, Some(of::<BackgroundTaskOut>(s))),
            ];
            make(
                "Routes what nobody claimed to those who claim it by now",
                &["dry_run"],
                Some(of::<RouteReplayIn>(s)),
                answers,
            )
        }
        ("GET", "/{source_id}/unrouted") => make(
            "Lists routing keys of which events were not routed",
            PAGE,
            None,
            list::<UnroutedKeyOut>(s),
        ),
        ("GET", "/{source_id}/unrouted/msg") => make(
            "Lists events of one routing key that were not routed",
            &["limit", "iterator", "order", "key"],
            None,
            list::<UnroutedEventOut>(s),
        ),
        _ => described::describe(method, &format!("/app/{{app_id}}{path}"), s),
    }
}
