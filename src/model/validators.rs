//! Custom garde validators: garde's default messages (0.23) name neither the unit nor the allowed range.

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
