//! Entitlements in an export and in what an erasure tells.

use postern_domain::wire::moving::{Erase, ExportFrom, ExportPage};

use super::*;

/// All lines from there, with the kind of each.
fn export(tenant: &mut Tenant, from: ExportFrom, secrets: bool) -> Vec<(String, Option<ExportFrom>, Value)> {
    let (mut all, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next {
        let call = ExportPage {
            from,
            through: None,
            secrets,
            entitlements: true,
        };
        let caller = Caller::Organisation(tenant.organisation);
        let (page, lines) = tenant.call_as(caller, call, &[]).unwrap();
        for (told, line) in page.lines.into_iter().zip(lines) {
            let line: Value = serde_json::from_slice(&line).unwrap();
            all.push((told.kind.clone(), told.behind, line[&told.kind].clone()));
        }
        next = page.next;
    }
    all
}

fn full() -> Tenant {
    let (mut tenant, source) = asking();
    for at in 0..1100 {
        let mut object = subscription(&format!("cus_{at:04}"), "active");
        object["metadata"] = json!({"userId": format!("user_{at:04}")});
        hear(
            &mut tenant,
            source,
            &event(&format!("evt_{at}"), "created", START, &object),
        );
    }
    tenant
}

#[test]
fn an_export_has_the_rules_and_what_is_known_of_everybody_once() {
    let mut tenant = full();
    let lines = export(&mut tenant, ExportFrom::START, false);
    let count = |kind: &str| lines.iter().filter(|(of, ..)| of == kind).count();
    for (kind, wanted) in [
        ("entitlementConfig", 1),
        ("entitlement", 1100),
        ("entitlementAlias", 1100),
        ("entitlementObject", 1100),
        ("message", 2200),
    ] {
        assert_eq!(count(kind), wanted, "{kind}");
    }
    let first = |kind: &str| &lines.iter().find(|(of, ..)| of == kind).unwrap().2;
    let rules = first("entitlementConfig");
    assert_eq!(rules["plans"][0]["plan"], "solo");
    assert!(rules.get("stripeApiKey").is_none());
    let purchase = first("entitlement");
    assert_eq!(
        (
            &purchase["customer"],
            &purchase["source"],
            &purchase["known"]["facts"]["status"]
        ),
        (&json!("cus_0000"), &json!("stripe"), &json!("active"))
    );
    assert_eq!(first("entitlementAlias")["alias"], "user_0000");
    assert_eq!(first("entitlementObject")["object"]["status"], "active");
    // It goes on behind any line.
    for at in [1, 700, 1500, 2600, 3300] {
        let behind = lines[at].1.clone().unwrap();
        let rest = export(&mut tenant, behind, false);
        assert_eq!(rest.len(), lines.len() - at - 1);
        assert_eq!(rest[0].2, lines[at + 1].2);
    }
}

#[test]
fn keys_are_in_an_export_only_where_secrets_were_asked_for() {
    let (mut tenant, _) = asking();
    for secrets in [false, true] {
        let text = format!("{:?}", export(&mut tenant, ExportFrom::START, secrets));
        assert_eq!(text.contains(KEY), secrets);
    }
}

#[test]
fn a_caller_of_the_release_before_gets_no_place_that_it_does_not_know() {
    let mut tenant = full();
    let old = json!({"from": {"endpoint": 0}, "secrets": false});
    let call: ExportPage = serde_json::from_value(old).unwrap();
    let page = tenant.call(call).unwrap();
    let kinds: std::collections::BTreeSet<&str> = page.lines.iter().map(|line| line.kind.as_str()).collect();
    assert!(
        !kinds.iter().any(|kind| kind.starts_with("entitlement")),
        "{kinds:?}"
    );
    assert!(matches!(
        page.next,
        Some(ExportFrom::Message(_) | ExportFrom::Delivery { .. })
    ));
}

#[test]
fn a_tenant_without_rules_has_no_line_of_them() {
    let mut tenant = Tenant::new();
    tenant.publish();
    let kinds: Vec<String> = export(&mut tenant, ExportFrom::START, false)
        .into_iter()
        .map(|(kind, ..)| kind)
        .collect();
    assert_eq!(kinds, ["message"]);
}

#[test]
fn an_erasure_tells_how_many_purchases_there_were_and_leaves_none() {
    let mut tenant = full();
    let told = tenant.call(Erase {}).unwrap();
    assert_eq!((told.entitlements, told.messages, told.exact), (1100, 2200, true));
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'entitlement%'";
    assert!(tenant.storage.rows(tables, &[]).unwrap().is_empty());
}
