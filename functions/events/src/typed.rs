//! The typed interface `hongbao:functions/events`: the same function without HTTP.

use domain::error::InvalidInput;
use domain::ids::UserId;
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::wit::types::Error;

use crate::parse::{EVENTS_MAX, Event, check_order};

#[allow(missing_docs, reason = "generated; the documentation stands in wit/events.wit")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "events-component",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        with: { "hongbao:functions/types@0.1.0": edge::wit::types },
    });
}

use generated::exports::hongbao::functions::events as wit;

struct Component;

generated::export!(Component with_types_in generated);

impl wit::Guest for Component {
    async fn handle(events: Vec<wit::Event>) -> Result<(), Error> {
        edge::log::catch_panics();
        if events.is_empty() || events.len() > EVENTS_MAX {
            let detail = format!("must have 1 to {EVENTS_MAX} events, not {}", events.len());
            return Err(InvalidInput::new("invalid_batch_size", "events", detail).into());
        }
        let event = |(index, event): (usize, wit::Event)| {
            let wit::Event::OrderPaid(wit::OrderPaid { user, order }) = event;
            check_order(&order, || format!("events[{index}].order"))?;
            Ok(Event::OrderPaid { user: UserId(user), order })
        };
        let events = events.into_iter().enumerate().map(event);
        let events = events.collect::<Result<Vec<_>, InvalidInput>>()?;
        let config = Config::load(monotonic_ns()).await?;
        Ok(crate::mark_paid(&events, &config).await?)
    }
}
