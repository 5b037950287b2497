//! Asking over a socket, on kept connections, as a shop does.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::app::{Ask, Reply};

/// Attempts until an answer must be there.
const ATTEMPTS_MAX: u32 = 100;

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    address: String,
}

impl Client {
    /// A client of the server at an address, `host:port`.
    pub fn new(address: impl ToString) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, address: address.to_string() }
    }

    /// Asks.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn send(&self, asked: &Ask) -> Reply {
        let mut request = asked.request();
        let uri = format!("http://{}{}", self.address, asked.path);
        *request.uri_mut() = uri.parse().expect("an address");
        let response = self.http.request(request.map(Full::new)).await.expect("the host answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let mut reply = Reply::of(http::Response::from_parts(head, body));
        // The server's own.
        reply.headers.remove("date");
        reply
    }

    /// Asks until there is an answer that is no failure of the store.
    ///
    /// # Panics
    /// There is none.
    pub async fn until_answered(&self, asked: &Ask) -> Reply {
        for _ in 0..ATTEMPTS_MAX {
            let reply = self.send(asked).await;
            if reply.status != 503 {
                reply.assert_well_formed();
                return reply;
            }
            reply.assert_store_failed();
        }
        panic!("no answer in {ATTEMPTS_MAX} attempts: {asked:?}");
    }
}
