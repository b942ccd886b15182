//! Answers of clients: from the token to the commit, and what follows from it.

pub(super) mod compare;
pub(super) mod held;
pub(super) mod submit;
pub(super) mod token;
pub(super) mod votes;
