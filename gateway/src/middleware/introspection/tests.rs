//! What answers of issuers come to.

use serde_json::{Value, json};

use super::Found;
use super::answer::{BadAnswer, Rules};

const NOW: u64 = 1_000_000;

/// Whom `answer` identifies by `rules`, and until when; nobody when it is not active or does not meet them.
fn judged(rules: Value, answer: &str) -> Result<Option<(Value, Option<u64>)>, BadAnswer> {
    let mut file = json!({"endpoint": "https://a.example/", "client_id": "c", "client_secret": "s"});
    file.as_object_mut().expect("a block").extend(rules.as_object().expect("a block").clone());
    let rules = Rules::new(&serde_json::from_value(file).expect("a provider"));
    Ok(match rules.judge(answer.as_bytes(), NOW)? {
        Found::Active(identity, ends) => Some((identity.claims["sub"].clone(), ends)),
        Found::Inactive(_) => None,
        Found::Unknown => unreachable!("an answer is known"),
    })
}

#[test]
fn an_answer_counts_for_whom_and_as_long_as_it_says() {
    let ann = |ends| Ok(Some((json!("ann"), ends)));
    assert_eq!(judged(json!({}), r#"{"active":true,"sub":"ann"}"#), ann(None));
    assert_eq!(judged(json!({}), r#"{"active":true,"sub":"ann","exp":1000000.9,"nbf":1000005}"#), ann(Some(NOW + 5)));
    assert_eq!(judged(json!({"audience": "a"}), r#"{"active":true,"sub":"ann","aud":"a"}"#), ann(None));
    assert_eq!(
        judged(json!({"issuer": ["i", "j"]}), r#"{"active":true,"sub":"ann","iss":"j","scope":"a b"}"#),
        ann(None)
    );
    for (rules, nobody) in [
        (json!({}), r#"{"active":false,"sub":"ann"}"#),
        (json!({}), r#"{"active":true,"sub":"ann","exp":999995}"#),
        (json!({}), r#"{"active":true,"sub":"ann","nbf":1000006}"#),
        (json!({"audience": "a"}), r#"{"active":true,"sub":"ann"}"#),
        (json!({"audience": "a"}), r#"{"active":true,"sub":"ann","aud":["b"]}"#),
        (json!({"issuer": "i"}), r#"{"active":true,"sub":"ann"}"#),
        (json!({"required_claims": {"a.b": 1}}), r#"{"active":true,"sub":"ann","a":{"b":2}}"#),
    ] {
        assert_eq!(judged(rules, nobody), Ok(None), "{nobody}");
    }
}

#[test]
fn what_is_no_answer_says_nothing() {
    for bad in [
        "",
        "[]",
        "true",
        "{}",
        r#"{"active":"true","sub":"ann"}"#,
        r#"{"active":1}"#,
        r#"{"active":null}"#,
        r#"{"active":true,"exp":"1000010"}"#,
        r#"{"active":true,"exp":-1}"#,
        r#"{"active":true,"sub":5}"#,
        r#"{"active":true,"iss":["i"]}"#,
        r#"{"active":true,"scope":{"a":1}}"#,
        r#"{"active":true,"aud":[1]}"#,
    ] {
        assert_eq!(judged(json!({}), bad), Err(BadAnswer), "{bad}");
    }
}
