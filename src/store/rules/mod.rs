//! The rules of the store: what each command requires, and what it changes.

mod claims;
mod damage;
pub(super) mod fits;
pub(super) mod ledger;
mod mend;
mod quorum;
mod second_look;
mod settle;
mod standings;
mod sum_rows;
mod trees;
