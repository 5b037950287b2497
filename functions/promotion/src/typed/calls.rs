//! What a component exports.

use domain::answers::unexpected;
use domain::ids::UserId;
use edge::config::Config;
use edge::stages::monotonic_ns;
use edge::wit::types::Error;

use super::{generated, read, wit, write};
use crate::catalogue::View;
use crate::parse::{self, Command};
use crate::publish::Which;
use crate::{Done, evaluate};

struct Component;

generated::export!(Component with_types_in generated);

impl wit::Guest for Component {
    async fn evaluate(user: Option<u64>, cart: wit::Cart) -> Result<wit::Evaluation, Error> {
        edge::log::catch_panics();
        let mut cart = parse::checked(read::cart(cart)?)?;
        let config = Config::load(monotonic_ns()).await?;
        let catalogue = crate::catalogue(&config);
        let store = edge::store::open(&config).await?;
        let now = store.now();
        cart.context.at.get_or_insert(now);
        let context = crate::context(&config, store.as_ref(), &catalogue, now);
        let user = user.map(UserId);
        let prepared = evaluate::prepare(&context, user, &mut cart, View::Of(user)).await;
        let prepared = prepared.map_err(write::error)?;
        Ok(write::evaluation(prepared.evaluate(&cart)?))
    }

    async fn publish(activity: wit::Activity) -> Result<u64, Error> {
        let activity = read::activity(activity)?;
        activity.validate()?;
        match done(Command::Save(Box::new(activity), Which::Live)).await? {
            Done::Saved(_, version) => Ok(version),
            _ => Err(unexpected().into()),
        }
    }

    async fn take(
        user: u64,
        order_number: String,
        uses: Vec<wit::Use>,
    ) -> Result<wit::Purchase, Error> {
        let number = read::order_number(&order_number)?;
        let uses = read::uses(uses);
        parse::check_uses(&uses)?;
        purchase(Command::Take(UserId(user), number, uses, None)).await
    }

    async fn give_back(user: u64, order_number: String) -> Result<wit::Purchase, Error> {
        let number = read::order_number(&order_number)?;
        purchase(Command::GiveBack(UserId(user), number, None)).await
    }

    async fn look_up(user: u64, order_number: String) -> Result<wit::Purchase, Error> {
        let number = read::order_number(&order_number)?;
        purchase(Command::LookAtOrder(UserId(user), number)).await
    }
}

/// Carries a command out.
async fn done(mut command: Command<'_>) -> Result<Done, Error> {
    edge::log::catch_panics();
    let config = Config::load(monotonic_ns()).await?;
    let catalogue = crate::catalogue(&config);
    let store = edge::store::open(&config).await?;
    let now = store.now();
    command.at_present(now);
    let context = crate::context(&config, store.as_ref(), &catalogue, now);
    crate::perform(&context, command).await.map_err(write::error)
}

async fn purchase(command: Command<'_>) -> Result<wit::Purchase, Error> {
    match done(command).await? {
        Done::Taken(number, purchase, replayed) => {
            Ok(write::purchase(&number, *purchase, Some(replayed)))
        }
        Done::Order(number, purchase) => Ok(write::purchase(&number, *purchase, None)),
        _ => Err(unexpected().into()),
    }
}
