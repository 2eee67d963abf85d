//! ICC profiles, which say what the colours of a picture are.

/// The header of a profile.
const HEADER_BYTES: usize = 128;

/// Whether these bytes are a profile, by the signature that each has. Others could carry anything.
pub fn is_profile(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes.get(36..40) == Some(b"acsp")
}

/// Whether a profile is one of red, green and blue.
pub fn is_of_rgb(profile: &[u8]) -> bool {
    is_profile(profile) && profile.get(16..20) == Some(b"RGB ")
}
