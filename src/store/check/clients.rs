//! Balances: each client's entries form a chain, and its row with the ledger's tail is their sum.
//! Rows of client difficulty are only decoded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;

use super::checker::{Checker, entry, row_or_why};
use super::ledger::LedgerSums;
use super::report::CheckPhase;
use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::key::TableKey as _;
use crate::store::port::View;
use crate::store::rows::{ClientRow, EntryKind, Head, LedgerRow};
use crate::store::schema::{Clients, Ledger, NO_ENTRY, Standings};

/// The sums of one client's entries.
struct Account {
    /// Its stored row, or the default.
    row: ClientRow,
    stored_row: bool,
    /// Newest entry so far.
    last: u64,
    /// Micro-Joules after it, as far as the entries are kept.
    sum: i128,
    accepted: u64,
    /// The row's own entry was met, with these sums then.
    at_row: Option<(i128, u64)>,
    /// Newest entry below the checkpoint.
    settled: u64,
}

impl Checker<'_> {
    /// Clients in the order of their digests, a bounded number at a time.
    pub(super) fn clients(&mut self, state: &impl View, sums: &LedgerSums) -> Result<(), StoreError> {
        self.begin();
        let mut total = self.client_rows(state)?;
        let mut behind: Option<ClientDigest> = None;
        loop {
            let (accounts, last) = self.accounts(state, behind)?;
            for (client, account) in &accounts {
                self.report.clients += u64::from(!account.stored_row);
                total += account.sum - account.at_row.map_or(0, |(sum, _)| sum);
                self.account(client, account);
            }
            match last {
                Some(last) => behind = Some(last),
                None => break,
            }
        }
        let totals = self.head.totals;
        let sealed = i128::from(totals.sealed_awarded) - i128::from(totals.sealed_debited);
        let kept = i128::from(sums.awarded) - i128::from(sums.debited);
        if total != sealed + kept {
            self.find(format!("clients-0: all balances total {total}, the ledger {}", sealed + kept));
        }
        Ok(())
    }

    /// Every row of `standings-0` decodes.
    pub(super) fn standings(&mut self, state: &impl View) -> Result<(), StoreError> {
        let of = state.len(Standings)?;
        state.each(Standings, .., |client, row| {
            self.step(CheckPhase::Clients, of);
            self.report.standings += 1;
            self.decoded(client.text(), row);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Every row decodes and names an entry of its client. Returns the sum of their balances.
    fn client_rows(&mut self, state: &impl View) -> Result<i128, StoreError> {
        let of = state.len(Clients)?;
        let mut total = 0;
        state.each(Clients, .., |client, row| {
            self.step(CheckPhase::Clients, of);
            self.report.clients += 1;
            let name = client.text();
            let Some(row) = self.decoded(&name, row) else {
                return Ok(ControlFlow::Continue(()));
            };
            total += i128::from(row.balance);
            let sealed = row.last_seq < self.head.anchor;
            let entry = entry(state, row.last_seq)?;
            let fits = match row.last_seq {
                NO_ENTRY => row.balance == 0 && row.accepted == 0,
                _ => sealed || entry.is_some_and(|entry| entry.client == client),
            };
            if !fits {
                let (balance, last) = (row.balance, row.last_seq);
                self.find(format!("clients-0 row {name}: balance {balance} as of entry {last}, which is not its own"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(total)
    }

    /// The accounts of a bounded number of clients behind `behind`, and the last of them if there
    /// are more.
    #[allow(clippy::type_complexity)]
    fn accounts(
        &mut self,
        state: &impl View,
        behind: Option<ClientDigest>,
    ) -> Result<(BTreeMap<ClientDigest, Account>, Option<ClientDigest>), StoreError> {
        let mut accounts: BTreeMap<ClientDigest, Account> = BTreeMap::new();
        let mut end: Option<ClientDigest> = None;
        let of = state.len(Ledger)?;
        state.each(Ledger, .., |seq, row| {
            self.step(CheckPhase::Clients, of);
            let Ok(row) = row else {
                return Ok(ControlFlow::Continue(()));
            };
            let client = row.client;
            if behind.is_some_and(|behind| client <= behind) || end.is_some_and(|end| client >= end) {
                return Ok(ControlFlow::Continue(()));
            }
            let account = match accounts.entry(client) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.open_account(state, &client)?),
            };
            if let Some(what) = account.enter(seq, &row, &self.head) {
                self.find(format!("ledger-0 row {seq}: {what}"));
            }
            if accounts.len() > self.at_once {
                end = accounts.pop_last().map(|(client, _)| client);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let last = end.and_then(|_| accounts.last_key_value().map(|(client, _)| *client));
        Ok((accounts, last))
    }

    fn open_account(&mut self, state: &impl View, client: &ClientDigest) -> Result<Account, StoreError> {
        let stored = row_or_why(state, Clients, client)?;
        let stored_row = stored.is_some();
        // A row that does not decode is a finding already.
        let row = stored.and_then(Result::ok).unwrap_or_default();
        let sealed = row.last_seq != NO_ENTRY && row.last_seq < self.head.anchor;
        let at_row = (sealed || row.last_seq == NO_ENTRY).then_some((0, 0));
        Ok(Account { row, stored_row, last: NO_ENTRY, sum: 0, accepted: 0, at_row, settled: NO_ENTRY })
    }

    fn account(&mut self, client: &ClientDigest, account: &Account) {
        let name = client.text();
        let row = &account.row;
        let reflected = row.last_seq != NO_ENTRY && (account.settled <= row.last_seq || account.settled == NO_ENTRY);
        if account.settled != NO_ENTRY && !reflected {
            let (settled, last) = (account.settled, row.last_seq);
            self.find(format!(
                "clients-0 row {name}: as of entry {last}, but its entry {settled} is below the checkpoint"
            ));
        }
        if self.head.anchor > 0 {
            return;
        }
        match account.at_row {
            Some((sum, accepted)) => {
                if i128::from(row.balance) != sum || row.accepted != accepted {
                    let (balance, have) = (row.balance, row.accepted);
                    self.find(format!(
                        "clients-0 row {name}: {balance} uJ from {have} answers, its entries total {sum} from {accepted}"
                    ));
                }
            }
            None => self.find(format!("clients-0 row {name}: its entry {} is not there", row.last_seq)),
        }
    }
}

impl Account {
    /// Takes one entry; says what is wrong with it.
    fn enter(&mut self, seq: u64, row: &LedgerRow, head: &Head) -> Option<String> {
        let first = self.last == NO_ENTRY;
        // The first entry kept may follow a sealed one.
        let chained = row.previous == self.last || (first && row.previous < head.anchor);
        let before = self.last;
        self.last = seq;
        if row.kind == EntryKind::Debit {
            self.sum -= i128::from(row.amount);
        } else {
            self.sum += i128::from(row.amount);
            self.accepted += u64::from(row.kind != EntryKind::Correction);
        }
        if seq == self.row.last_seq {
            self.at_row = Some((self.sum, self.accepted));
        }
        if seq < head.checkpoint {
            self.settled = seq;
        }
        if !chained {
            return Some(format!("it follows entry {} of its client, but {before} is the one before it", row.previous));
        }
        if head.anchor == 0 && self.sum < 0 {
            return Some(format!("its client's balance falls to {}", self.sum));
        }
        None
    }
}
