//! Uploaded media.

use serde::{Deserialize, Serialize};

/// The kind of an upload, as its sender declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture: checked, stripped of its metadata, shown in the client.
    Image,
    /// A video: its container is checked.
    Video,
    /// Anything else: stored as it comes, and only downloaded.
    File,
}

impl MediaKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Image, Self::Video, Self::File];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::media::MediaKind;

    #[test]
    fn names_are_those_of_json() {
        for kind in [MediaKind::Image, MediaKind::Video, MediaKind::File] {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.as_str()));
            assert_eq!(MediaKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(MediaKind::parse("audio"), None);
    }
}
