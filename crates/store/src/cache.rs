//! What an instance read a moment ago. Whoever keeps a cache drops it with the configuration, which is at most
//! 500 ms old.

use std::cell::RefCell;
use std::rc::Rc;

use domain::transaction::CommitError;
use litemap::LiteMap;

use binding::Binding;

use crate::context::Context;

/// Records that one cache holds; a campaign has some. Beyond it all of them are forgotten.
pub const ENTRIES_MAX: usize = 256;
/// Looks at a record that another request reads. Whoever reads for longer has an ailing store.
const LOOKS_MAX: u32 = 100;

/// Records by id.
#[derive(Debug)]
pub struct Cache<T>(RefCell<LiteMap<String, Entry<T>>>);

#[derive(Debug)]
enum Entry<T> {
    /// Another request is reading it right now.
    Reading,
    /// It was read.
    Known(Rc<T>),
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Cache<T> {
    /// A record that an instance has, or reads. Requests of one instance that come together read it once: they
    /// cannot wake each other, so that the others look again after a millisecond. What is not there is not kept.
    ///
    /// # Errors
    /// Those of reading it.
    pub async fn get<B: Binding>(
        &self,
        context: &Context<'_, B>,
        id: &str,
        read: impl AsyncFnOnce() -> Result<Option<T>, CommitError>,
    ) -> Result<Option<Rc<T>>, CommitError> {
        for _ in 0..LOOKS_MAX {
            match self.0.borrow().get(id) {
                Some(Entry::Known(known)) => return Ok(Some(Rc::clone(known))),
                Some(Entry::Reading) => {}
                None => break,
            }
            context.timer.pause(1).await;
        }
        self.put(id, Some(Entry::Reading));
        // Whoever reads may be given up half-way, with its client: then the mark goes with it.
        let reading = Reading { cache: self, id };
        let record = read().await?.map(Rc::new);
        if let Some(record) = &record {
            self.put(id, Some(Entry::Known(Rc::clone(record))));
        }
        drop(reading);
        Ok(record)
    }

    fn put(&self, id: &str, entry: Option<Entry<T>>) {
        let mut entries = self.0.borrow_mut();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        match entry {
            Some(entry) => drop(entries.insert(id.to_owned(), entry)),
            None => drop(entries.remove(id)),
        }
    }

    /// Forgets one that has changed.
    pub fn forget(&self, id: &str) {
        self.put(id, None);
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

struct Reading<'a, T> {
    cache: &'a Cache<T>,
    id: &'a str,
}

impl<T> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        if matches!(self.cache.0.borrow().get(self.id), Some(Entry::Reading)) {
            self.cache.forget(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use binding::memory::Memory;
    use futures::executor::block_on;
    use futures::future::join;

    use super::*;
    use crate::context::tests::context;

    #[test]
    fn a_record_is_read_once_until_it_is_forgotten_and_what_is_absent_is_asked_for_again() {
        let (store, cache, reads) = (Memory::new(), Cache::default(), RefCell::new(0));
        let context = context(&store, 0);
        let get = async |there: bool| {
            let read = async || {
                *reads.borrow_mut() += 1;
                Ok(there.then(|| *reads.borrow()))
            };
            cache.get(&context, "a", read).await
        };
        assert_eq!(block_on(get(false)), Ok(None));
        assert_eq!(block_on(get(true)), Ok(Some(Rc::new(2))));
        assert_eq!(block_on(join(get(true), get(true))), (Ok(Some(2.into())), Ok(Some(2.into()))));
        cache.forget("a");
        assert_eq!(block_on(get(true)), Ok(Some(Rc::new(3))));
        cache.clear();
        let failed = cache.get(&context, "a", async || Err(CommitError::Unknown("late".into())));
        assert!(block_on(failed).is_err());
        assert_eq!(block_on(get(true)), Ok(Some(Rc::new(4))), "a failure leaves no mark");
    }

    #[test]
    fn who_is_given_up_while_reading_leaves_no_mark() {
        let (store, cache) = (Memory::new(), Cache::default());
        let context = context(&store, 0);
        let mut stuck = Box::pin(cache.get(&context, "a", async || std::future::pending().await));
        assert!(futures::FutureExt::now_or_never(&mut stuck).is_none());
        drop(stuck);
        assert_eq!(block_on(cache.get(&context, "a", async || Ok(Some(1)))), Ok(Some(Rc::new(1))));
    }
}
