//! Promotions: which activities apply to a cart, what it costs, and why.
//!
//! An activity is configuration: for whom and for which products (dimensions), which lines are
//! counted together (scope), from when on (condition), what is given (benefit), and what it may be
//! combined with (stacking). [`decide::evaluate`] is a pure function of the activities, the cart and
//! the uses that purchase limits leave; nothing here reads a clock, a random number or a store.
//!
//! In reading order, the order in which an evaluation takes its steps:
//! - [`activity`] and [`validation`]: what operators publish, and what of it is refused
//! - [`considered`]: an activity with what an index knows of it
//! - [`cart`]: what is asked about; refused where it cannot be counted exactly
//! - [`evaluation`] and [`explain`]: what is answered, and the codes that say why
//! - `lines`: the cart's lines in the order of their ids, their keys as small numbers
//! - `select`: does the activity suit the customer, and which lines does it select?
//! - `group`: those lines as units, by scope
//! - `condition`: does a unit meet the condition of a tier, and how often?
//! - `price`: what is taken off a unit, and the weight that each line has in it
//! - `allot`: that discount in whole cents for each line, by largest remainder
//! - `offer`: the last four together: what one activity would give
//! - `stack`: which offers of a layer are taken
//! - [`decide`]: layer after layer, and the sums
//!
//! Money is in minor units (cents). Amounts are bounded once, when the cart is checked: together its
//! lines are within 2^53 - 1, and no later step makes an amount larger. What multiplies two amounts
//! does so in 128 bits.
//!
//! Equal input gives equal output, whatever the order of the lines or of the activities: lines are
//! taken by id, activities by layer, priority and id, units by key.
//!
//! Each offer is computed as if its activity were alone on what the layers before leave, limits included. Where an
//! earlier activity of the same layer leaves nothing for it, it gives nothing and uses nothing.
//!
//! A slow second implementation, piece by piece, agrees with this one on 100,000 generated cases. A test prices
//! every invoice of `data/online-retail.csv` under `data/promotions.json`.

pub mod activity;
mod allot;
pub mod cart;
mod condition;
pub mod considered;
pub mod decide;
pub mod evaluation;
pub mod explain;
mod group;
mod lines;
mod offer;
mod price;
mod select;
mod stack;
pub mod validation;
