//! Made-up leaves.

use crate::engine::core::Core;
use crate::protocol::ChallengeToken;

/// Made-up leaves, the same whenever they are asked for: HMAC over challenge id and counter,
/// keyed by the store's own secret, which neither a restart nor a new signing secret changes.
pub(in crate::engine) fn synthetic_leaves(core: &Core, token: &ChallengeToken) -> Vec<[u8; 64]> {
    let label = b"pouw-synthetic-leaf-v1";
    let leaf = |index: u8| {
        let mut data = token.id.as_bytes().to_vec();
        data.push(index);
        core.keys.derive(label, &data)
    };
    (0..1u8 << token.order.min(4)).map(leaf).collect()
}
