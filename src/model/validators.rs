//! Custom garde validators: garde's default messages (0.23) name neither the unit nor the allowed range.

use crate::model::account::Username;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A text whose length in bytes of UTF-8 is in the range.
pub fn bytes(range: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| check(&range, &text.len(), " bytes long")
}

/// A text whose number of Unicode code points is in the range. (A visible character may have several.)
pub fn chars(range: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| check(&range, &text.chars().count(), " Unicode code points long")
}

/// A list whose number of items is in the range.
pub fn items<T>(range: RangeInclusive<usize>) -> impl Fn(&[T], &()) -> garde::Result {
    move |list, ()| check(&range, &list.len(), " items long")
}

/// A number in a range.
pub fn within<T: PartialOrd + Display>(
    range: RangeInclusive<T>,
) -> impl Fn(&T, &()) -> garde::Result {
    move |number, ()| check(&range, number, "")
}

fn check<T: PartialOrd + Display>(range: &RangeInclusive<T>, is: &T, unit: &str) -> garde::Result {
    if range.contains(is) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(garde::Error::new(format!(
        "must be {least} to {most}{unit}"
    )))
}

/// A URL of `http` or `https`, up to 2,048 bytes long.
pub fn web_url(url: &str, _: &()) -> garde::Result {
    // Schemes are case-insensitive.
    let is_web = |scheme: &str| {
        ["http", "https"]
            .iter()
            .any(|one| scheme.eq_ignore_ascii_case(one))
    };
    let rest = url
        .split_once("://")
        .and_then(|(scheme, rest)| is_web(scheme).then_some(rest))
        .ok_or_else(|| garde::Error::new("must be an http or https URL"))?;
    if rest.is_empty() || rest.starts_with('/') || url.len() > 2048 {
        return Err(garde::Error::new(
            "must name a host and be at most 2048 bytes long",
        ));
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(garde::Error::new(
            "must not contain white space or control characters",
        ));
    }
    Ok(())
}

/// The same, or what may be the caller's own picture, as the server has written it.
pub fn picture_url(url: &str, context: &()) -> garde::Result {
    match url.starts_with("/v1/users/") {
        true => Ok(()),
        false => web_url(url, context),
    }
}

/// An emoji, which no rule but its length defines.
pub fn is_emoji(text: &str, _: &()) -> garde::Result {
    const MAX: usize = 64;
    // Bytes of a path that are no UTF-8 have become replacement characters.
    let is_refused = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if (1..=MAX).contains(&text.len()) && !text.chars().any(is_refused) {
        return Ok(());
    }
    let detail = format!("must be 1 to {MAX} bytes of UTF-8, without control characters");
    Err(garde::Error::new(detail))
}

/// A new username.
pub fn is_username(text: &str, _: &()) -> garde::Result {
    Username::new_name(text)
        .map(drop)
        .ok_or_else(|| garde::Error::new(Username::RULE))
}
