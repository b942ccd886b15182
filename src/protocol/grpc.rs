//! How the requests of gRPC are recognized.

/// Content type of gRPC, and how the content types of all its requests begin.
pub(crate) const GRPC: &str = "application/grpc";

/// Returns whether a content type is one of gRPC.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    content_type.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC.as_bytes()))
}
