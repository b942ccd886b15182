//! Header names, in lower case as HTTP/2 sends them and as typed header maps want them.

/// `X-PoUW-Challenge`: the token of an open challenge (server to client).
pub const CHALLENGE: &str = "x-pouw-challenge";
/// `X-PoUW-Unit`: the unit of the challenge as JSON, in the metadata of a gRPC refusal only (server
/// to client). Other responses have it in their body.
pub const UNIT: &str = "x-pouw-unit";
/// `X-PoUW-Response`: the token an answer belongs to (client to server).
pub const RESPONSE: &str = "x-pouw-response";
/// `X-PoUW-Result`: the result in compact form; the request's body does not change.
pub const RESULT: &str = "x-pouw-result";
/// `X-PoUW-Accept`: the operations that a client can compute besides hashing one leaf or node, as a
/// list: `subtree_hash` (client to server). Without it all units are of one leaf or node.
pub const ACCEPT: &str = "x-pouw-accept";
/// `X-PoUW-Pass`: the name of a pass, with the requests `r` and seconds `t` that are left of it
/// (server to client); the name alone suffices in the other direction.
pub const PASS: &str = "x-pouw-pass";
/// `X-PoUW-Accepted`: `true` on a response whose request was admitted by work.
pub const ACCEPTED: &str = "x-pouw-accepted";
/// `X-PoUW-Joule-Award`: the credit paid for that work, in microjoules.
pub const JOULE_AWARD: &str = "x-pouw-joule-award";
/// `X-RateLimit-Limit`: admitted requests per window.
pub const RATELIMIT_LIMIT: &str = "x-ratelimit-limit";
/// `X-RateLimit-Remaining`: requests left in the window.
pub const RATELIMIT_REMAINING: &str = "x-ratelimit-remaining";
/// `X-RateLimit-Reset`: whole seconds from now until a slot is free.
pub const RATELIMIT_RESET: &str = "x-ratelimit-reset";
/// `RateLimit-Policy` of the IETF draft on rate limit headers.
pub const RATELIMIT_POLICY: &str = "ratelimit-policy";
/// `RateLimit` of the IETF draft on rate limit headers.
pub const RATELIMIT: &str = "ratelimit";
/// `Retry-After` (RFC 9110, 10.2.3): whole seconds.
pub const RETRY_AFTER: &str = "retry-after";

/// Headers to list in `Access-Control-Expose-Headers` if the host enables CORS.
pub const EXPOSED: [&str; 11] = [
    CHALLENGE,
    UNIT,
    PASS,
    ACCEPTED,
    JOULE_AWARD,
    RATELIMIT_LIMIT,
    RATELIMIT_REMAINING,
    RATELIMIT_RESET,
    RATELIMIT_POLICY,
    RATELIMIT,
    RETRY_AFTER,
];
