//! A new configuration is taken whole or not at all.

use reqwest::StatusCode;
use testkit::eventually;

use crate::support::{Echo, Gateway, PATIENCE};

const RELOADED: &str = "gateway_config_last_reload_success";

#[tokio::test]
async fn a_bad_configuration_is_refused_while_the_last_good_one_serves_and_a_good_one_is_taken() -> anyhow::Result<()> {
    let echo = Echo::start().await?;
    let route = |path: &str| {
        format!(
            "upstreams:\n  echo: {{ targets: [\"{}\"] }}\nroutes:\n  - {{ name: one, match: {{ path: {path} }}, upstream: echo, public: true }}\n",
            echo.url()
        )
    };
    let gateway = Gateway::with_config(&route("/before")).await?;
    assert_eq!(gateway.api.get("/before").await?.status(), StatusCode::OK);

    for bad in ["routes: [", "nonsense: true\n", &route("/after").replace("upstream: echo", "upstream: ecco")] {
        gateway.reload(bad)?;
        reloaded(&gateway, 0.0).await?;
        assert_eq!(gateway.api.get("/before").await?.status(), StatusCode::OK);
        assert_eq!(gateway.api.get("/after").await?.status(), StatusCode::NOT_FOUND);
        // Back to good between two bad ones, so that each of them is seen to be refused.
        gateway.reload(&route("/before"))?;
        reloaded(&gateway, 1.0).await?;
    }

    gateway.reload(&route("/after"))?;
    eventually(PATIENCE, "the new route serves", async || {
        gateway.api.get("/after").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await?;
    assert_eq!(gateway.api.get("/before").await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(gateway.admin.metric(RELOADED).await?, 1.0);
    Ok(())
}

async fn reloaded(gateway: &Gateway, success: f64) -> anyhow::Result<()> {
    let what = format!("{RELOADED} is {success}");
    eventually(PATIENCE, &what, async || gateway.admin.metric(RELOADED).await.is_ok_and(|value| value == success)).await
}
