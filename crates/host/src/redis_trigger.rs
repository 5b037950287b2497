//! The Redis trigger: one message after the other, each in a new instance. As in Spin, messages are
//! lost while nobody listens, and the trigger ends when its connection breaks.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;

use crate::bindings::spin::redis::redis::Error;
use crate::instance::Shared;
use crate::loaded::Loaded;

/// Components by channel.
pub(crate) type Channels = BTreeMap<String, Vec<Loaded>>;

/// Why a message was not handled.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// No trigger of the app listens on the channel.
    #[error("no component listens on channel {0:?}")]
    UnknownChannel(String),
    /// A component returned an error.
    #[error("component {component}: redis handler returned an error: {error}")]
    Refused {
        /// Its id.
        component: String,
        /// The error.
        error: String,
    },
    /// A component trapped.
    #[error("component {component}: instance failed: {error}")]
    Failed {
        /// Its id.
        component: String,
        /// The trap.
        error: String,
    },
}

/// Listens on all channels of one server until the connection breaks; gives the reason.
pub(crate) async fn listen(shared: Arc<Shared>, address: String, channels: Channels) -> String {
    let connection = match redis::Client::open(address.as_str()) {
        Ok(client) => client,
        Err(error) => return format!("redis trigger: {error}"),
    };
    // Without user and password.
    let server = connection.get_connection_info().addr.to_string();
    let mut subscription = match connection.get_async_pubsub().await {
        Ok(subscription) => subscription,
        Err(error) => return format!("redis trigger failed to connect to {server}: {error}"),
    };
    for channel in channels.keys() {
        if let Err(error) = subscription.subscribe(channel).await {
            return format!("redis trigger failed to subscribe to {channel:?}: {error}");
        }
    }
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let components = channels.get(message.get_channel_name());
        let results =
            handle_all(&shared, components.map_or(&[], Vec::as_slice), message.get_payload_bytes());
        for result in results.await {
            if let Err(error) = result {
                shared.log.line(&error.to_string());
            }
        }
    }
    format!("redis trigger disconnected from {server}")
}

/// Gives one message to each component, concurrently.
pub(crate) async fn handle_all(
    shared: &Arc<Shared>,
    components: &[Loaded],
    payload: &[u8],
) -> Vec<Result<(), MessageError>> {
    let handled = components.iter().map(|loaded| handle(shared, loaded, payload.to_vec()));
    futures::future::join_all(handled).await
}

async fn handle(
    shared: &Arc<Shared>,
    loaded: &Loaded,
    payload: Vec<u8>,
) -> Result<(), MessageError> {
    match call(shared, loaded, payload).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(MessageError::Refused {
            component: loaded.component.id.clone(),
            error: format!("{error:?}"),
        }),
        Err(error) => Err(MessageError::Failed {
            component: loaded.component.id.clone(),
            error: format!("{error:?}"),
        }),
    }
}

async fn call(
    shared: &Arc<Shared>,
    loaded: &Loaded,
    payload: Vec<u8>,
) -> wasmtime::Result<Result<(), Error>> {
    let program = &loaded.program;
    let indices = program.redis().ok_or_else(|| {
        wasmtime::Error::msg("the component does not export spin:redis/inbound-redis")
    })?;
    let mut store = loaded.new_store(shared);
    let instance = program.pre().instantiate_async(&mut store).await?;
    let guest = indices.load(&mut store, &instance)?;
    store
        .run_concurrent(async |accessor| guest.call_handle_message(accessor, payload).await)
        .await?
}
