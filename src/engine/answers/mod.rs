//! Answers of clients: from the token to the commit, and what follows from it.

pub(super) mod adopt;
pub(super) mod again;
pub(super) mod compare;
pub(super) mod held;
pub(super) mod sample;
pub(super) mod settled;
pub(super) mod submit;
pub(super) mod token;
pub(super) mod verdict;
pub(super) mod votes;
