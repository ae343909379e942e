//! Secrets: sealed where they are stored, and rotated with an overlap.

use postern_domain::problem::Code;
use postern_domain::wire::call::{EndpointSecret, SourceByToken, SourceGet, SourceRotateSecret};
use postern_ledger::sql::Sql;
use postern_tests::tenant::{Tenant, code};

#[test]
fn no_secret_is_stored_in_clear() {
    let mut tenant = Tenant::new();
    tenant.source();
    let endpoint = tenant.endpoint();
    let endpoint = tenant.endpoint_id(endpoint);
    let secret = tenant.call(EndpointSecret { endpoint }).unwrap().key;
    let rows = |table: &str| {
        tenant
            .storage
            .rows(&format!("SELECT * FROM {table}"), &[])
            .unwrap()
    };
    let stored = format!("{:?} {:?}", rows("source"), rows("endpoint"));
    assert!(secret.starts_with("whsec_"));
    assert!(
        stored.contains("secrets") || stored.contains("sealed"),
        "the rows were read"
    );
    assert!(!stored.contains(secret.trim_start_matches("whsec_")));
}

#[test]
fn a_fifth_secret_waits_until_one_of_four_has_ended() {
    let mut tenant = Tenant::new();
    let number = tenant.source();
    let source = source_id(&mut tenant, number);
    let source = tenant.call(SourceGet { source }).unwrap();
    let mut rotate = |secret: &str, overlap_seconds| {
        let call = SourceRotateSecret {
            source: source.id.to_string(),
            secret: secret.to_owned(),
            terms: postern_domain::wire::inbound::SecretTerms::default(),
            overlap_seconds,
        };
        tenant.call(call)
    };
    for secret in ["the second of them", "the third of them", "the fourth of them"] {
        rotate(secret, 3600).unwrap();
    }
    assert_eq!(code(rotate("the fifth of them", 3600)), Code::Conflict);
    assert_eq!(rotate("the only one then", 0).unwrap().secrets.len(), 1);
}

#[test]
fn another_token_of_the_same_source_is_not_found() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    let token_hash = postern_domain::digest::of(b"a guess");
    let caller = postern_domain::wire::call::Caller::Ingest;
    let answer = tenant.call_as(caller, SourceByToken { source, token_hash }, &[]);
    assert_eq!(code(answer.map(|_| ())), Code::NotFound);
}

fn source_id(tenant: &mut Tenant, number: u16) -> String {
    let page = postern_domain::wire::call::PageOf {
        limit: 50,
        iterator: None,
        ascending: true,
    };
    let sources = tenant
        .call(postern_domain::wire::call::SourceList { page })
        .unwrap()
        .data;
    let found = sources
        .iter()
        .find(|source| source.id.0.sequence == u64::from(number));
    found.unwrap().id.to_string()
}
