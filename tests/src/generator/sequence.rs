//! Sequences of a fixed length that shrink fast.

use std::fmt::Debug;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// So many elements of a strategy. `vec` of proptest draws its length evenly, down to the least to which it may
/// shrink, and leaves out one element after the other: that takes hours where thousands are left out.
/// Here halves are left out, then quarters and so on (Zeller and Hildebrandt, 2002, "Simplifying and
/// isolating failure-inducing input"), before those that stay are made simpler.
#[derive(Clone, Debug)]
pub struct Sequence<S> {
    element: S,
    length: usize,
}

impl<S> Sequence<S> {
    /// So many elements of a strategy.
    pub fn new(element: S, length: usize) -> Self {
        Self { element, length }
    }
}

impl<S: Strategy> Strategy for Sequence<S> {
    type Tree = SequenceTree<S::Tree>;
    type Value = Vec<S::Value>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let elements = (0..self.length).map(|_| self.element.new_tree(runner));
        let elements = elements.collect::<Result<Vec<_>, _>>()?;
        Ok(SequenceTree { chunk: elements.len(), elements, start: 0, left_out: Vec::new() })
    }
}

/// A sequence and how far it has shrunk.
#[derive(Clone, Debug)]
pub struct SequenceTree<T> {
    elements: Vec<T>,
    /// How many are left out next; 0 once elements are made simpler.
    chunk: usize,
    /// From where they are left out, or the element that is made simpler.
    start: usize,
    /// What was left out last.
    left_out: Vec<T>,
}

impl<T: ValueTree> ValueTree for SequenceTree<T> {
    type Value = Vec<T::Value>;

    fn current(&self) -> Self::Value {
        self.elements.iter().map(T::current).collect()
    }

    fn simplify(&mut self) -> bool {
        // What was left out last is not missed.
        self.left_out.clear();
        while self.chunk > 0 {
            if self.start < self.elements.len() {
                let end = self.elements.len().min(self.start + self.chunk);
                self.left_out.extend(self.elements.drain(self.start..end));
                return true;
            }
            (self.chunk, self.start) = (self.chunk / 2, 0);
        }
        while let Some(element) = self.elements.get_mut(self.start) {
            if element.simplify() {
                return true;
            }
            self.start += 1;
        }
        false
    }

    fn complicate(&mut self) -> bool {
        if self.chunk == 0 {
            return self.elements.get_mut(self.start).is_some_and(T::complicate);
        }
        let count = self.left_out.len();
        self.elements.splice(self.start..self.start, self.left_out.drain(..));
        self.start += count;
        count > 0
    }
}
