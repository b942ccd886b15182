//! The rules of the store: what each command requires, and what it changes. Written once, over the
//! [port](super::port), for any database.

mod batch;
pub(super) mod blocks;
mod claims;
mod damage;
pub(super) mod fits;
pub(super) mod ledger;
mod mend;
mod quorum;
mod second_look;
mod settle;
mod standings;
pub(super) mod state;
mod sum_rows;
mod trees;

pub(super) use batch::run;
