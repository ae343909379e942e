#![expect(clippy::unwrap_used, reason = "a test may")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn filter(source: &Value) -> Filter {
    Filter::parse(source).unwrap_or_else(|wrong| panic!("{source}: {wrong}"))
}

fn wants(source: &Value, body: &Value) -> bool {
    let content = Content {
        headers: &BTreeMap::new(),
        body: Some(body),
    };
    filter(source).matches(content)
}

fn wants_other(source: &Value) -> bool {
    let headers = BTreeMap::from([("x-kind".to_owned(), "a".to_owned())]);
    filter(source).matches(Content {
        headers: &headers,
        body: None,
    })
}

fn refused(source: &Value) -> String {
    Filter::parse(source).unwrap_err().at.join(".")
}

#[test]
fn a_plain_value_means_equality_by_nested_objects_or_a_pointer() {
    let body =
        json!({"data": {"amount": 100, "list": [{"id": "a"}], "a/b": 1, "~": 2, "$x": 3}, "live": true});
    for yes in [
        json!({"body": {"data": {"amount": 100}}}),
        json!({"body": {"/data/amount": 100}}),
        json!({"body": {"data": {"/list/0/id": "a"}}}),
        json!({"body": {"/data/a~1b": 1, "/data/~0": 2, "/data/$x": 3}}),
        json!({"body": {"data": {"a/b": 1}}}),
        json!({"body": {"live": true, "data": {"amount": {"$eq": 100.0}}}}),
        json!({"body": {"data": {"list": {"$eq": [{"id": "a"}]}}}}),
    ] {
        assert!(wants(&yes, &body), "{yes}");
    }
    for no in [
        json!({"body": {"data": {"amount": "100"}}}),
        json!({"body": {"data": {"amount": 100}, "live": false}}),
        json!({"body": {"/data/list/00/id": "a"}}),
        json!({"body": {"/data/list/1/id": "a"}}),
        json!({"body": {"live": {"inside": true}}}),
        json!({"body": {"nothing": null}}),
    ] {
        assert!(!wants(&no, &body), "{no}");
    }
}

#[test]
fn operators_compare_numbers_and_texts_and_never_one_with_the_other() {
    let body = json!({"n": 5, "t": "2026-08-01", "z": null, "l": [1]});
    for yes in [
        json!({"n": {"$gt": 4, "$gte": 5, "$lt": 5.5, "$lte": 5.0, "$ne": 6}}),
        json!({"n": {"$in": [1, 5]}, "t": {"$nin": ["x"]}}),
        json!({"t": {"$gte": "2026-07", "$lt": "2026-09"}}),
        json!({"t": {"$prefix": "2026-", "$suffix": "-01"}}),
        json!({"z": null, "l": {"$eq": [1.0]}}),
        json!({"z": {"$exists": true}}),
        json!({"n": {"$or": [1, {"$gt": 4}], "$not": 6}}),
        json!({"$or": [{"n": 1}, {"t": {"$prefix": "20"}}]}),
    ] {
        assert!(wants(&json!({ "body": yes }), &body), "{yes}");
    }
    for no in [
        json!({"n": {"$gt": "4"}}),
        json!({"t": {"$lt": 3000}}),
        json!({"z": {"$gte": 0}}),
        json!({"l": {"$gt": 0}}),
        json!({"n": {"$prefix": "5"}}),
        json!({"n": {"$gt": 4, "$lt": 5}}),
    ] {
        assert!(!wants(&json!({ "body": no }), &body), "{no}");
    }
}

#[test]
fn a_field_that_is_not_there_satisfies_only_what_denies() {
    let body = json!({"a": {}});
    for denies in [
        json!({"$exists": false}),
        json!({"$ne": 1}),
        json!({"$nin": [1]}),
        json!({"$not": 1}),
        json!({"$not": {"$gt": 1}}),
    ] {
        assert!(wants(&json!({"body": {"a": {"b": denies}}}), &body), "{denies}");
    }
    for affirms in [
        json!({"$exists": true}),
        json!(null),
        json!({"$gt": 1}),
        json!({"$lte": 1}),
        json!({"$in": [null]}),
        json!({"$prefix": ""}),
    ] {
        assert!(
            !wants(&json!({"body": {"a": {"b": affirms}}}), &body),
            "{affirms}"
        );
    }
}

#[test]
fn whole_numbers_are_told_apart_where_doubles_are_not() {
    let body = json!({"n": 9_007_199_254_740_993_u64, "max": u64::MAX, "min": i64::MIN});
    assert!(wants(&json!({"body": {"n": 9_007_199_254_740_993_u64}}), &body));
    assert!(!wants(&json!({"body": {"n": 9_007_199_254_740_992_u64}}), &body));
    assert!(!wants(&json!({"body": {"n": 9_007_199_254_740_992.0}}), &body));
    assert!(wants(
        &json!({"body": {"n": {"$gt": 9_007_199_254_740_992.0}}}),
        &body
    ));
    assert!(wants(
        &json!({"body": {"max": {"$lt": 1.9e19, "$gt": u64::MAX - 1}}}),
        &body
    ));
    assert!(wants(
        &json!({"body": {"min": {"$gt": -1e300, "$lt": -9e18}}}),
        &body
    ));
    assert!(wants(
        &json!({"body": {"x": {"$gt": 1, "$lt": 2}}}),
        &json!({"x": 1.5})
    ));
    assert!(wants(
        &json!({"body": {"x": {"$gt": -2, "$lt": -1}}}),
        &json!({"x": -1.5})
    ));
}

#[test]
fn headers_are_found_whatever_their_case_and_are_texts() {
    let headers = BTreeMap::from([("x-kind".to_owned(), "push".to_owned())]);
    let matches = |source: Value| {
        filter(&source).matches(Content {
            headers: &headers,
            body: None,
        })
    };
    assert!(matches(json!({"headers": {"X-Kind": "push"}})));
    assert!(matches(
        json!({"headers": {"x-kind": {"$prefix": "pu"}, "x-other": {"$exists": false}}})
    ));
    assert!(matches(
        json!({"headers": {"$or": [{"x-kind": "pull"}, {"x-kind": "push"}]}})
    ));
    assert!(!matches(json!({"headers": {"x-kind": {"$ne": "push"}}})));
    assert!(!filter(&json!({"headers": {"x-kind": "a"}})).reads_body());
    assert!(filter(&json!({"$or": [{"headers": {"x-kind": "a"}}, {"body": {"a": 1}}]})).reads_body());
}

#[test]
fn of_a_body_that_is_no_object_only_absence_is_known() {
    for yes in [
        json!({"headers": {"x-kind": "a"}}),
        json!({"body": {"a": {"$exists": false}}}),
        json!({"$not": {"body": {"a": {"$exists": true}}}}),
        json!({"body": {"$exists": false}}),
        json!({"$or": [{"headers": {"x-kind": "a"}}, {"body": {"a": 1}}]}),
    ] {
        assert!(wants_other(&yes), "{yes}");
    }
    for no in [
        json!({"body": {"a": 1}}),
        json!({"body": {"a": {"$ne": 1}}}),
        json!({"body": {"a": {"$nin": [1]}}}),
        json!({"$not": {"body": {"a": 1}}}),
        json!({"headers": {"x-kind": "a"}, "body": {"a": {"$ne": 1}}}),
    ] {
        assert!(!wants_other(&no), "{no}");
    }
}

#[test]
fn the_first_wrong_place_is_told() {
    for (source, place) in [
        (json!([]), ""),
        (json!({}), ""),
        (json!({"payload": {"a": 1}}), "payload"),
        (json!({"body": [1]}), "body"),
        (json!({"body": {}}), "body"),
        (json!({"body": {"a": {"$regex": "x"}}}), "body.a.$regex"),
        (json!({"body": {"a": {"b": {"$gt": true}}}}), "body.a.b.$gt"),
        (json!({"body": {"a": {"$in": []}}}), "body.a.$in"),
        (json!({"body": {"a": {"$exists": 1}}}), "body.a.$exists"),
        (json!({"body": {"a": {"$prefix": 1}}}), "body.a.$prefix"),
        (json!({"body": {"/a~2": 1}}), "body./a~2"),
        (json!({"$or": [{"body": {"a": 1}}, {"x": 1}]}), "$or.1.x"),
        (json!({"$and": {"body": {"a": 1}}}), "$and"),
        (json!({"$not": []}), "$not"),
        (json!({"headers": {"a b": "x"}}), "headers.a b"),
        (json!({"headers": {"x": 1}}), "headers.x"),
        (json!({"headers": {"x": {"$in": ["a", 1]}}}), "headers.x.$in.1"),
        (json!({"headers": {"x": {"inside": "a"}}}), "headers.x.inside"),
    ] {
        assert_eq!(refused(&source), place, "{source}");
    }
}

#[test]
fn a_filter_has_limits() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(Filter::parse(&json!({"body": nested(MAX_DEPTH - 1)})).is_ok());
    assert!(Filter::parse(&json!({"body": nested(MAX_DEPTH)})).is_err());
    let many = |count: usize| {
        let conditions = (0..count).map(|n| (format!("f{n}"), json!(n)));
        json!({"body": Value::Object(conditions.collect())})
    };
    assert!(Filter::parse(&many(MAX_CONDITIONS)).is_ok());
    assert!(Filter::parse(&many(MAX_CONDITIONS + 1)).is_err());
    let long = |bytes: usize| json!({"body": {"a": "x".repeat(bytes)}});
    assert!(Filter::parse(&long(MAX_BYTES - 18)).is_ok());
    assert!(Filter::parse(&long(MAX_BYTES)).is_err());
}

#[test]
fn a_filter_is_kept_as_it_came_and_one_of_a_later_release_matches_nothing() {
    let source = json!({"body": {"a": {"$gt": 1.50}}});
    let kept: Filter = serde_json::from_str(&serde_json::to_string(&filter(&source)).unwrap()).unwrap();
    assert_eq!(kept, filter(&source));
    let later: Filter = serde_json::from_value(json!({"body": {"a": {"$near": 1}}})).unwrap();
    let body = json!({"a": 1});
    let content = Content {
        headers: &BTreeMap::new(),
        body: Some(&body),
    };
    assert!(!later.matches(content));
    assert_eq!(
        serde_json::to_value(&later).unwrap(),
        json!({"body": {"a": {"$near": 1}}})
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ab~/$]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            Just("body".to_owned()),
            Just("headers".to_owned()),
            Just("a".to_owned()),
            Just("/a/0".to_owned()),
            "\\$(and|or|not|eq|ne|gt|lte|in|nin|exists|prefix)",
            "[ab~/$]{0,3}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A value of a field, or none; small, so that conditions hit.
fn any_body() -> impl Strategy<Value = Option<Value>> {
    let value = prop_oneof![
        Just(None),
        (-2..3_i64).prop_map(|n| Some(json!(n))),
        (-4..5_i32).prop_map(|n| Some(json!(f64::from(n) / 2.0))),
        "[ab]{0,2}".prop_map(|text| Some(json!(text))),
        Just(Some(Value::Null)),
    ];
    prop::option::weighted(0.8, (value.clone(), value)).prop_map(|fields| {
        fields.map(|(a, b)| {
            let fields = [("a", a), ("b", b)].into_iter();
            let fields = fields.filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
            Value::Object(fields.collect())
        })
    })
}

/// A filter that holds.
fn any_filter() -> impl Strategy<Value = Value> {
    let operand = prop_oneof![
        (-2..3_i64).prop_map(|n| json!(n)),
        (-4..5_i32).prop_map(|n| json!(f64::from(n) / 2.0)),
        "[ab]{0,2}".prop_map(|text| json!(text)),
    ];
    let test = prop_oneof![
        operand.clone(),
        ("\\$(eq|ne|gt|gte|lt|lte)", operand.clone()).prop_map(|(operator, value)| json!({operator: value})),
        ("\\$(in|nin)", prop::collection::vec(operand, 1..3))
            .prop_map(|(operator, list)| json!({operator: list})),
        any::<bool>().prop_map(|wanted| json!({"$exists": wanted})),
        ("\\$(prefix|suffix)", "[ab]{0,1}").prop_map(|(operator, part)| json!({operator: part})),
    ];
    let leaf = ("[ab]", test).prop_map(|(field, test)| json!({"body": {field: test}}));
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|list| json!({ "$and": list })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|list| json!({ "$or": list })),
            inner.prop_map(|filter| json!({ "$not": filter })),
        ]
    })
}

/// What a filter says of a body: yes, no, or unknown.
fn says(source: &Value, body: Option<&Value>) -> Option<bool> {
    let content = Content {
        headers: &BTreeMap::new(),
        body,
    };
    let denied = filter(&json!({ "$not": source }));
    match (filter(source).matches(content), denied.matches(content)) {
        (true, true) => panic!("{source} and its contrary both match {body:?}"),
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

proptest! {
    #[test]
    fn no_json_makes_the_reader_or_the_match_panic(source in any_json(), body in any_json()) {
        if let Ok(filter) = Filter::parse(&source) {
            let headers = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
            let body = Some(&body).filter(|body| body.is_object());
            let _ = filter.matches(Content { headers: &headers, body });
        }
    }

    #[test]
    fn not_of_not_is_the_same(source in any_filter(), body in any_body()) {
        prop_assert_eq!(says(&json!({"$not": {"$not": source}}), body.as_ref()), says(&source, body.as_ref()));
    }

    #[test]
    fn of_a_json_object_everything_is_known(source in any_filter(), body in any_body()) {
        prop_assert!(body.is_none() || says(&source, body.as_ref()).is_some());
    }

    #[test]
    fn and_and_or_obey_their_laws(a in any_filter(), b in any_filter(), c in any_filter(), body in any_body()) {
        let says = |source: Value| says(&source, body.as_ref());
        for (operator, other) in [("$and", "$or"), ("$or", "$and")] {
            prop_assert_eq!(says(json!({operator: [a, b]})), says(json!({operator: [b, a]})));
            prop_assert_eq!(says(json!({operator: [a, a]})), says(a.clone()));
            prop_assert_eq!(says(json!({operator: [{operator: [a, b]}, c]})), says(json!({operator: [a, {operator: [b, c]}]})));
            prop_assert_eq!(says(json!({operator: [a, {other: [a, b]}]})), says(a.clone()));
            prop_assert_eq!(says(json!({"$not": {operator: [a, b]}})), says(json!({other: [{"$not": a}, {"$not": b}]})));
            prop_assert_eq!(
                says(json!({operator: [a, {other: [b, c]}]})),
                says(json!({other: [{operator: [a, b]}, {operator: [a, c]}]}))
            );
        }
    }

    #[test]
    fn the_order_of_numbers_is_one(a: i64, b in -1e19..1e19_f64, c: u64) {
        let (a, b, c) = (Number::from(a), Number::from_f64(b).unwrap(), Number::from(c));
        for (x, y) in [(&a, &b), (&b, &c), (&a, &c)] {
            prop_assert_eq!(compare(x, y), compare(y, x).reverse());
        }
        let mut all = [&a, &b, &c];
        all.sort_by(|x, y| compare(x, y));
        prop_assert!(compare(all[0], all[2]).is_le());
    }
}
