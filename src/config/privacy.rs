//! The operator's privacy settings.

use crate::config::{ConfigError, Lookup};
use crate::model::wire::people::privacy::{Audience, EffectivePrivacy};

/// What holds for users who have chosen nothing: the built-in settings, with those that the variable names.
pub(super) fn defaults(lookup: Lookup<'_>) -> Result<EffectivePrivacy, ConfigError> {
    let text = lookup("TIDELINE_PRIVACY").unwrap_or_default();
    let mut privacy = EffectivePrivacy::default();
    let parts = text.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        if set(&mut privacy, part).is_none() {
            return Err(ConfigError::Bad(
                "TIDELINE_PRIVACY",
                text.clone(),
                "settings with commas between them, such as presence=everyone,last_seen=contacts,direct=nobody,discoverable=false",
            ));
        }
    }
    Ok(privacy)
}

fn set(privacy: &mut EffectivePrivacy, part: &str) -> Option<()> {
    let (name, value) = part.split_once('=')?;
    if name == "discoverable" {
        privacy.discoverable = value.parse().ok()?;
        return Some(());
    }
    let setting = match name {
        "presence" => &mut privacy.presence,
        "last_seen" => &mut privacy.last_seen,
        "direct" => &mut privacy.direct,
        "group_add" => &mut privacy.group_add,
        "contact_request" => &mut privacy.contact_request,
        "contacts_visible" => &mut privacy.contacts_visible,
        _ => return None,
    };
    let mut audiences = Audience::ALL.into_iter();
    *setting = audiences.find(|one| one.as_str() == value)?;
    Some(())
}
