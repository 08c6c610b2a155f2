//! The least that poem can do: one endpoint that answers with ready bytes, whatever it is asked.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{Endpoint, EndpointExt as _, Response, Route, Server, handler};

/// Serves `status` and the content of the file `body` on `listen` until the process is ended.
pub(crate) async fn serve(listen: SocketAddr, status: StatusCode, body: &Path) -> Result<()> {
    Ok(Server::new(TcpListener::bind(listen)).run(endpoint(status, fs::read(body)?.leak())).await?)
}

fn endpoint(status: StatusCode, body: &'static [u8]) -> impl Endpoint {
    Route::new().at("/*path", answer).data((status, body))
}

/// Reads what it is sent, as anybody must who answers it.
#[handler]
fn answer(Data(&(status, body)): Data<&(StatusCode, &'static [u8])>, _sent: Vec<u8>) -> Response {
    Response::builder().status(status).content_type("application/json; charset=utf-8").body(body)
}

#[cfg(test)]
mod tests {
    use poem::test::TestClient;

    use super::*;

    #[tokio::test]
    async fn every_request_gets_the_same_answer() {
        let client = TestClient::new(endpoint(StatusCode::CREATED, b"{}"));
        for request in [client.get("/inventory/assets"), client.post("/login").body("{\"username\": \"ann\"}")] {
            let response = request.send().await;
            response.assert_status(StatusCode::CREATED);
            response.assert_text("{}").await;
        }
    }
}
