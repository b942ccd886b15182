//! Reads about clients.

use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::port::{View, behind};
use crate::store::rows::{ClientRow, RowError, StandingRow};
use crate::store::schema::{Clients, Standings, Suspects};

/// Clients and where they stand, each row by itself readable or not.
pub type StandingsPage = Vec<(ClientDigest, Result<StandingRow, RowError>)>;

pub(super) fn client(rows: &impl View, client: ClientDigest) -> Result<Option<ClientRow>, StoreError> {
    rows.get(Clients, &client)
}

pub(super) fn standings(
    rows: &impl View,
    after: Option<ClientDigest>,
    limit: usize,
) -> Result<StandingsPage, StoreError> {
    rows.page_of_any(Standings, behind(after), limit)
}

pub(super) fn suspects(rows: &impl View, limit: usize) -> Result<Vec<ClientDigest>, StoreError> {
    rows.keys(Suspects, .., limit)
}
