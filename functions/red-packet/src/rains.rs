//! Rains that an instance read a moment ago, and how tokens are posted now: both go with the
//! configuration, which is at most 500 ms old.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use domain::answers::{fields, unexpected};
use domain::transaction::{Answer, CommitError, Field, Read, Value};
use edge::store::Binding;
use litemap::LiteMap;
use wallet::context::Context;
use wallet::mode::{self, Mode};
use wallet::rain::{self, BODY, Rain, SECRET, Secret, VERSION};

/// Rains that an instance remembers.
const RAINS_MAX: usize = 256;

/// A rain that was published.
#[derive(Debug)]
pub struct Published {
    /// Its version.
    pub version: i64,
    /// What it gives.
    pub rain: Rain,
    /// What its amounts follow from, beside order numbers.
    pub secret: Secret,
    /// Cents that were free when this instance last saw the pool.
    pub free: Cell<Option<i64>>,
    /// Whether nothing was left anywhere when this instance last asked. It is forgotten with the rain, and
    /// spares a million who come too late a signature each.
    pub is_exhausted: Cell<bool>,
}

/// What an instance knows.
#[derive(Debug, Default)]
pub struct Rains {
    known: RefCell<LiteMap<String, Rc<Published>>>,
    mode: Cell<Option<Mode>>,
}

impl Rains {
    /// A rain, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn rain<B: Binding>(
        &self,
        context: &Context<'_, B>,
        id: &str,
    ) -> Result<Option<Rc<Published>>, CommitError> {
        if let Some(known) = self.known.borrow().get(id) {
            return Ok(Some(Rc::clone(known)));
        }
        // Requests that come together may each read it: it is one small record.
        let read = Read::Fields(rain::notice(id), FIELDS.map(Field::from).to_vec());
        let home = rain::home_of_notice(context.partitions, id);
        let answers = context.read(home, vec![read]).await?;
        let Some(found) = published(answers.first())? else { return Ok(None) };
        let found = Rc::new(found);
        let mut known = self.known.borrow_mut();
        if known.len() >= RAINS_MAX {
            known.clear();
        }
        known.insert(id.to_owned(), Rc::clone(&found));
        Ok(Some(found))
    }

    /// How tokens are posted, at most 500 ms old.
    ///
    /// # Errors
    /// The store's.
    pub async fn mode<B: Binding>(&self, context: &Context<'_, B>) -> Result<Mode, CommitError> {
        if let Some(mode) = self.mode.get() {
            return Ok(mode);
        }
        let mode = mode::read(context).await?.mode;
        self.mode.set(Some(mode));
        Ok(mode)
    }

    /// Forgets a rain that has changed.
    pub fn forget(&self, id: &str) {
        self.known.borrow_mut().remove(id);
    }
}

/// What pool and notice both keep.
pub const FIELDS: [&str; 3] = [BODY, VERSION, SECRET];

/// A published rain out of its fields.
///
/// # Errors
/// They hold something else.
pub fn published(answer: Option<&Answer>) -> Result<Option<Published>, CommitError> {
    let broken = || CommitError::Unreadable("a rain cannot be read".into());
    match fields(answer)? {
        [None, ..] => Ok(None),
        [
            Some(Value::Bytes(body)),
            Some(Value::Integer(version)),
            Some(Value::Bytes(secret)),
            ..,
        ] => {
            let rain = edge::json::stored(body).ok_or_else(broken)?;
            let secret = Secret::try_from(secret.as_slice()).map_err(|_| broken())?;
            Ok(Some(Published {
                version: *version,
                rain,
                secret,
                free: Cell::new(None),
                is_exhausted: Cell::new(false),
            }))
        }
        _ => Err(unexpected()),
    }
}
