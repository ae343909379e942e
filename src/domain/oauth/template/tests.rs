#![expect(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;

use super::*;
use crate::oauth::catalogue::find;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    pairs.collect()
}

fn variable(form: VariableForm) -> Variable {
    Variable {
        name: "it".to_owned(),
        label: "It".to_owned(),
        form,
        from: VariableFrom::Session,
        default: None,
    }
}

fn takes(form: VariableForm, value: &str) -> Option<String> {
    let policy = Policy::default().https_only(true);
    admit_value(&variable(form), value, &policy).ok()
}

#[test]
fn a_word_fills_a_part_of_a_host_or_path() {
    let shop = values(&[("shop", "acme"), ("realm", "12")]);
    assert_eq!(
        fill("https://{shop}.myshopify.com/a/{realm}?x={realm}", &shop).unwrap(),
        "https://acme.myshopify.com/a/12?x=12"
    );
}

#[test]
fn an_origin_stands_at_the_beginning_and_nowhere_else() {
    let origin = values(&[("base", "https://eu.example.com:8443")]);
    assert_eq!(
        fill("{base}/v1/models", &origin).unwrap(),
        "https://eu.example.com:8443/v1/models"
    );
    assert_eq!(
        fill("https://example.com/{base}", &origin).unwrap(),
        "https://example.com/https%3A%2F%2Feu.example.com%3A8443"
    );
    for wrong in [
        "",
        "example.com",
        "https://example.com/",
        "https://example.com/a",
        "https://u@example.com",
        "file:///etc",
    ] {
        let filled = fill("{base}/v1", &values(&[("base", wrong)]));
        assert_eq!(filled, Err(Unfilled::NoOrigin("base".to_owned())), "{wrong}");
    }
}

#[test]
fn dots_are_no_part_of_a_path() {
    for dots in ["", ".", "..", "..."] {
        let filled = fill("https://example.com/a/{it}/b", &values(&[("it", dots)]));
        assert_eq!(filled, Err(Unfilled::NoPart("it".to_owned())));
    }
}

#[test]
fn a_variable_without_a_value_stops_it() {
    assert_eq!(
        fill("https://{shop}.myshopify.com", &BTreeMap::new()),
        Err(Unfilled::Missing("shop".to_owned()))
    );
}

#[test]
fn braces_around_anything_else_are_text() {
    let none = BTreeMap::new();
    for text in [
        "{",
        "}",
        "{}",
        "{{",
        "{ shop }",
        "a{b c}d",
        "{\"query\":1}",
        "{é}",
    ] {
        assert_eq!(fill_value(text, &none).unwrap(), text);
    }
    assert_eq!(names("a{b}{c d}{e_1}"), ["b", "e_1"]);
}

#[test]
fn a_values_braces_are_not_filled_again() {
    let sly = values(&[("a", "{b}"), ("b", "secret")]);
    assert_eq!(fill_value("{a}", &sly).unwrap(), "{b}");
}

proptest! {
    #[test]
    fn no_value_leads_to_another_host(value in ".{0,40}") {
        let filled = fill("https://{shop}.myshopify.com/admin", &values(&[("shop", &value)]));
        if let Ok(url) = Url::parse(&filled.unwrap_or_default()) {
            prop_assert!(url.host_str().unwrap().ends_with(".myshopify.com"), "{}", url);
            prop_assert_eq!(url.path(), "/admin");
            prop_assert_eq!(url.username(), "");
        }
    }

    #[test]
    fn no_value_leaves_its_part_of_the_path(value in ".{0,40}") {
        prop_assume!(value.bytes().any(|c| c != b'.'));
        let filled = fill("https://example.com/a/{it}/b", &values(&[("it", &value)])).unwrap();
        let url = Url::parse(&filled).unwrap();
        prop_assert_eq!(url.path_segments().unwrap().count(), 3);
        prop_assert!(url.query().is_none() && url.fragment().is_none());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let _ = fill(&text, &BTreeMap::new());
        let _ = names(&text);
    }
}

#[test]
fn words_and_digits_are_what_they_say() {
    for good in ["acme", "a-b_C9", "9188040d-6c67-4c5b-b112-36a304b66dad"] {
        assert_eq!(takes(VariableForm::Word, good).as_deref(), Some(good));
    }
    for bad in ["", "-a", "a-", "a.b", "a/b", "..", "a b", "ä", &"a".repeat(65)] {
        assert_eq!(takes(VariableForm::Word, bad), None, "{bad}");
    }
    for good in ["acme", "0", "a-9", "a-"] {
        assert_eq!(takes(VariableForm::Label, good).as_deref(), Some(good));
    }
    for bad in [
        "",
        "-a",
        "Acme",
        "a_b",
        "a.b",
        "a/b",
        "a b",
        "\u{e4}",
        &"a".repeat(64),
    ] {
        assert_eq!(takes(VariableForm::Label, bad), None, "{bad}");
    }
    assert_eq!(
        takes(VariableForm::Digits, "0123456789").as_deref(),
        Some("0123456789")
    );
    for bad in ["", "1a", "-1", "1.5", "١", &"1".repeat(33)] {
        assert_eq!(takes(VariableForm::Digits, bad), None, "{bad}");
    }
}

#[test]
fn an_instances_origin_lies_under_its_providers_names() {
    let form = || VariableForm::OriginUnder(vec!["salesforce.com".to_owned(), "force.com".to_owned()]);
    for (given, kept) in [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        (
            "https://ACME.my.salesforce.com/",
            "https://acme.my.salesforce.com",
        ),
        ("https://acme.force.com.", "https://acme.force.com"),
        ("https://salesforce.com", "https://salesforce.com"),
    ] {
        assert_eq!(takes(form(), given).as_deref(), Some(kept));
    }
    for bad in [
        "http://acme.salesforce.com",
        "https://acmesalesforce.com",
        "https://salesforce.com.evil.com",
        "https://evil.com/salesforce.com",
        "https://evil.com#salesforce.com",
        "https://evil.com?.salesforce.com",
        "https://salesforce.com@evil.com",
        "https://acme.salesforce.com/path",
        "https://acme.salesforce.com?a=b",
        "https://acme.salesforce.com#a",
        "acme.salesforce.com",
        "//acme.salesforce.com",
    ] {
        assert_eq!(takes(form(), bad), None, "{bad}");
    }
}

#[test]
fn an_operators_own_origin_is_one_that_may_be_called() {
    assert_eq!(
        takes(VariableForm::Origin, "https://llm.example.com:8443").as_deref(),
        Some("https://llm.example.com:8443")
    );
    for bad in [
        "http://llm.example.com",
        "https://10.0.0.1",
        "https://localhost",
        "https://169.254.169.254",
        "https://[::1]",
        "https://litellm",
        "https://a.internal",
    ] {
        assert_eq!(takes(VariableForm::Origin, bad), None, "{bad}");
    }
}

#[test]
fn what_a_person_gives_is_known_complete_and_of_its_form() {
    let shopify = find("shopify").unwrap();
    let policy = Policy::default();
    let admit = |given: &[(&str, &str)]| admit(&shopify, VariableFrom::Session, &values(given), &policy);
    assert_eq!(admit(&[("shop", "acme")]).unwrap(), values(&[("shop", "acme")]));
    assert_eq!(admit(&[]).unwrap_err().name, "shop");
    assert_eq!(admit(&[("shop", "evil.com/")]).unwrap_err().name, "shop");
    let extra = admit(&[("shop", "acme"), ("host", "evil.com")]).unwrap_err();
    assert_eq!(extra.name, "host");
    assert!(!extra.sentence.contains("evil"), "no value is repeated");
}

#[test]
fn a_default_stands_in_where_nobody_says() {
    let microsoft = find("microsoft").unwrap();
    let admitted = admit(
        &microsoft,
        VariableFrom::App,
        &BTreeMap::new(),
        &Policy::default(),
    );
    assert_eq!(admitted.unwrap(), values(&[("tenant", "common")]));
}

#[test]
fn an_answer_sets_its_own_variables_and_no_other() {
    let salesforce = find("salesforce").unwrap();
    let policy = Policy::default();
    let admit =
        |given: &[(&str, &str)]| admit_learned(&salesforce, VariableFrom::Answer, &values(given), &policy);
    let learned = admit(&[
        ("instance_url", "https://acme.my.salesforce.com"),
        ("team", "red"),
        ("login", "https://evil.example.com"),
    ]);
    assert_eq!(
        learned.unwrap(),
        values(&[
            ("instance_url", "https://acme.my.salesforce.com"),
            ("team", "red")
        ])
    );
    let evil = admit(&[("instance_url", "https://evil.example.com")]);
    assert_eq!(evil.unwrap_err().name, "instance_url");
}

#[test]
fn an_apps_variables_are_filled_in_and_the_others_stay() {
    let microsoft = find("microsoft").unwrap();
    let filled = with_app(&microsoft, &values(&[("tenant", "contoso")])).unwrap();
    let oauth = filled.oauth.unwrap();
    assert_eq!(
        oauth.token_url,
        "https://login.microsoftonline.com/contoso/oauth2/v2.0/token"
    );
    assert_eq!(
        oauth.issuer.as_deref(),
        Some("https://login.microsoftonline.com/{tenantid}/v2.0"),
        "that one is the id token's"
    );
    assert!(filled.variables.is_empty());

    let salesforce = find("salesforce").unwrap();
    let filled = with_app(&salesforce, &values(&[("login", "https://test.salesforce.com")]));
    let filled = filled.unwrap();
    assert_eq!(
        filled.oauth.unwrap().token_url,
        "https://test.salesforce.com/services/oauth2/token"
    );
    assert!(
        filled.api.unwrap().base.starts_with("{instance_url}"),
        "that one is the answer's"
    );
}
