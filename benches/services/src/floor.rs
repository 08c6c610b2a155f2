//! The least that poem can do: one endpoint that answers with ready bytes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{EndpointExt as _, Response, Route, Server, get, handler};

/// Serves the content of the file `body` on `listen` until the process is ended.
pub(crate) async fn serve(listen: SocketAddr, body: &Path) -> Result<()> {
    let body: &'static [u8] = fs::read(body)?.leak();
    let route = Route::new().at("/inventory/assets", get(answer)).data(body);
    Ok(Server::new(TcpListener::bind(listen)).run(route).await?)
}

#[handler]
fn answer(Data(body): Data<&&'static [u8]>) -> Response {
    Response::builder().content_type("application/json; charset=utf-8").body(*body)
}
