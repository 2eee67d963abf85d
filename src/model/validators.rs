//! Rules of inputs, for garde, whose own words ("length is lower than 1") say neither of what nor how much it may be.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A text of so many bytes of UTF-8.
pub fn bytes(range: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| check(&range, &text.len(), " bytes long")
}

/// A text of so many characters, which are code points of Unicode: what one person sees as one may be several.
pub fn chars(range: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| check(&range, &text.chars().count(), " Unicode code points long")
}

/// A list of so many items.
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
