//! What a function reads once for as long as it has a configuration, which is at most 500 ms.

use std::cell::RefCell;
use std::rc::Rc;

use crate::config::Config;

/// A value that goes with a configuration, for a `thread_local`.
#[derive(Debug)]
pub struct Kept<T>(RefCell<Option<(Rc<Config>, Rc<T>)>>);

impl<T> Kept<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// The value of this configuration.
    pub fn get(&self, config: &Rc<Config>) -> Option<Rc<T>> {
        let kept = self.0.borrow();
        kept.as_ref().filter(|(of, _)| Rc::ptr_eq(of, config)).map(|(_, value)| Rc::clone(value))
    }

    /// Keeps a value for this configuration.
    pub fn keep(&self, config: &Rc<Config>, value: T) -> Rc<T> {
        let value = Rc::new(value);
        *self.0.borrow_mut() = Some((Rc::clone(config), Rc::clone(&value)));
        value
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self::new()
    }
}
