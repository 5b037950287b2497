//! A native server that does what the check does to Redis, and answers the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use binding::redis::Argument;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::command::Command;

/// The answer of the script: committed, and whether the set has the user.
type Reply = (i64, i64);

#[derive(Clone)]
struct Server {
    connection: MultiplexedConnection,
    command: Arc<Command>,
}

#[derive(Serialize)]
struct Body<'a> {
    user: &'a str,
    new: bool,
}

/// Serves on a free port of the loopback until the process ends.
///
/// # Errors
/// Redis cannot be reached, or there is no free port.
pub async fn serve(redis: &str, command: Command) -> Result<SocketAddr> {
    // As the host's connections are.
    let settings = TcpSettings::default().set_nodelay(true);
    let connection = Client::open(redis)?
        .get_multiplexed_async_connection_with_config(
            &AsyncConnectionConfig::new().set_tcp_settings(settings),
        )
        .await?;
    let server = Server { connection, command: Arc::new(command) };
    let router = Router::new().route("/v1/users/{user}/new", get(check)).with_state(server);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    // A socket that is already gone is told by its first read.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn check(
    State(mut server): State<Server>,
    Path(user): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), (StatusCode, String)> {
    let mut packed = Cmd::new();
    packed.arg(&server.command.name);
    for argument in &server.command.arguments {
        match argument {
            Argument::Integer(integer) => packed.arg(integer),
            Argument::Bytes(bytes) => packed.arg(bytes),
        };
    }
    let reply: Result<Reply, _> = packed.query_async(&mut server.connection).await;
    let (_, paid) = reply.map_err(failed(StatusCode::SERVICE_UNAVAILABLE))?;
    let body = serde_json::to_vec(&Body { user: &user, new: paid == 0 })
        .map_err(failed(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(([(CONTENT_TYPE, "application/json")], body))
}

fn failed<E: ToString>(status: StatusCode) -> impl FnOnce(E) -> (StatusCode, String) {
    move |error| (status, error.to_string())
}
