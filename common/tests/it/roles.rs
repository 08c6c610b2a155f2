//! Who we are at DynamoDB: a role lent by STS, a key given to us, or nobody.

use common::dynamo::embedded::{EmbeddedStore, Place};
use common::dynamo::{AccessKey, AssumedRole, ConnectError, DynamoConfig, Store};
use secrecy::SecretString;
use tokio::process::Command;

use crate::http::{Answer, Server};
use crate::samples;

const LENT: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/orders/order-processor</Arn>
      <AssumedRoleId>ARO123EXAMPLE123:order-processor</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIALENTKEY</AccessKeyId>
      <SecretAccessKey>lentsecret</SecretAccessKey>
      <SessionToken>lent-session-token</SessionToken>
      <Expiration>2099-01-01T00:00:00Z</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</AssumeRoleResponse>"#;

const DENIED: &str = r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error>
  <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>
</ErrorResponse>"#;

fn role(sts: &Server) -> AssumedRole {
    AssumedRole {
        arn: "arn:aws:iam::123456789012:role/orders".to_owned(),
        session_name: "order-processor".to_owned(),
        external_id: Some("shibboleth".to_owned()),
        sts_endpoint: Some(sts.url()),
    }
}

fn key() -> AccessKey {
    AccessKey { id: "AKIAGIVENKEY".to_owned(), secret: SecretString::from("givensecret"), session_token: None }
}

#[tokio::test]
async fn lent_role_signs_the_requests() {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let dynamo = Server::start(Some(embedded.endpoint()), |_| Answer::Forward).await;
    let sts = Server::start(None, |_| Answer::Reply(200, "text/xml", LENT.to_owned())).await;
    let config = DynamoConfig { access_key: Some(key()), role: Some(role(&sts)), ..samples::config(&dynamo.url()) };

    let store = Store::connect(&config).await.expect("connection");
    store.ensure_tables().await.expect("tables");
    store.check().await.expect("check");

    let asked = sts.take_requests();
    let (first, all) = (&asked[0], asked.len());
    assert!(first.header("authorization").is_some_and(|value| value.contains("AKIAGIVENKEY")), "{}", first.head);
    for part in ["Action=AssumeRole", "RoleSessionName=order-processor", "ExternalId=shibboleth", "role%2Forders"] {
        assert!(first.body.contains(part), "{part} in {}", first.body);
    }
    assert!(all <= 2, "the lent credentials are kept: {all} requests");
    for request in dynamo.take_requests() {
        assert!(request.header("authorization").is_some_and(|value| value.contains("ASIALENTKEY")));
        assert_eq!(request.header("x-amz-security-token"), Some("lent-session-token"));
    }
}

#[tokio::test]
async fn role_that_is_not_lent_stops_the_start_and_is_named() {
    let sts = Server::start(None, |_| Answer::Reply(403, "text/xml", DENIED.to_owned())).await;
    let config = DynamoConfig { access_key: Some(key()), role: Some(role(&sts)), ..samples::config(&sts.url()) };
    let error = Store::connect(&config).await.expect_err("denied");
    assert!(matches!(error, ConnectError::RoleNotAssumed { .. }), "{error:?}");
    assert_eq!(error.to_string(), "cannot assume the role arn:aws:iam::123456789012:role/orders");
}

#[tokio::test]
async fn given_key_signs_the_requests() {
    let dynamo = Server::start(None, |_| Answer::dynamo(200, "{}")).await;
    let session_token = Some(SecretString::from("given-session-token"));
    let key = AccessKey { session_token, ..key() };
    let config = DynamoConfig { access_key: Some(key), ..samples::config(&dynamo.url()) };
    assert!(!format!("{config:?}").contains("givensecret"), "secrets stay out of debug output");
    Store::connect(&config).await.expect("connection").check().await.expect("check");
    let requests = dynamo.take_requests();
    assert!(requests[0].header("authorization").is_some_and(|value| value.contains("AKIAGIVENKEY")));
    assert_eq!(requests[0].header("x-amz-security-token"), Some("given-session-token"));
}

/// Runs itself a second time, without any of the places where the SDK looks for credentials.
#[tokio::test]
async fn missing_credentials_stop_the_start_and_the_message_says_what_to_set() {
    const ALONE: &str = "WITHOUT_CREDENTIALS";
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "roles::missing_credentials_stop_the_start_and_the_message_says_what_to_set"])
            .env_clear()
            .envs([(ALONE, "1"), ("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")])
            .output()
            .await
            .expect("second process");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let config = DynamoConfig { endpoint: None, ..samples::config("") };
    let error = Store::connect(&config).await.expect_err("no credentials");
    assert!(matches!(error, ConnectError::NoCredentials(_)), "{error:?}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}
