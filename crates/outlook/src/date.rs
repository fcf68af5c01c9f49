//! Days and quarters: the calendar of the facts.

use std::fmt;

use crate::OutlookError;

/// A day of the proleptic Gregorian calendar, from the year 1800 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

/// A quarter of a year, counted from the first of the year zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter(i32);

/// How many days before its end a quarter's figure may be dated: the last Sunday, a last Friday.
const LEEWAY_DAYS: i64 = 7;

impl Date {
    /// The day, if there is such a day.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Date> {
        let valid = (1800..=2999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=length(year, month)).contains(&day);
        valid.then_some(Date { year, month, day })
    }

    /// The last day of a year.
    #[must_use]
    pub fn year_end(year: i32) -> Option<Date> {
        Date::new(year, 12, 31)
    }

    /// Reads `2026-08-20`.
    ///
    /// # Errors
    /// [`OutlookError::Date`].
    pub fn parse(text: &str) -> Result<Date, OutlookError> {
        let wrong = || OutlookError::Date { text: text.chars().take(40).collect() };
        let digits = |part: &str| {
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i32>().ok()).flatten()
        };
        let mut parts = text.split('-');
        let (Some(year), Some(month), Some(day), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        if (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return Err(wrong());
        }
        let (Some(year), Some(month), Some(day)) = (digits(year), digits(month), digits(day))
        else {
            return Err(wrong());
        };
        let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day)) else {
            return Err(wrong());
        };
        Date::new(year, month, day).ok_or_else(wrong)
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> i32 {
        self.year
    }

    /// Days since 1 January 1800.
    #[must_use]
    pub fn days(self) -> i64 {
        // Days before a year: 365 each, and one more for each leap year since the year zero.
        let before = |year: i32| {
            let y = i64::from(year) - 1;
            365 * y + y / 4 - y / 100 + y / 400
        };
        let months: i64 = (1..self.month).map(|m| i64::from(length(self.year, m))).sum();
        before(self.year) - before(1800) + months + i64::from(self.day) - 1
    }

    /// The day of so many seconds after 1 January 1970, in UTC.
    #[must_use]
    pub fn of_unix(seconds: u64) -> Date {
        let days = i64::try_from(seconds / 86_400).unwrap_or(i64::MAX).min(300_000);
        Date { year: 1970, month: 1, day: 1 }.plus_days(days)
    }

    /// So many days later.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Date {
        let mut left = days + self.days();
        let mut year = 1800 + i32::try_from(left.div_euclid(366)).unwrap_or(0);
        let start = |year| Date { year, month: 1, day: 1 }.days();
        while start(year + 1) <= left {
            year += 1;
        }
        left -= start(year);
        let mut month = 1;
        while left >= i64::from(length(year, month)) {
            left -= i64::from(length(year, month));
            month += 1;
        }
        Date { year, month, day: u8::try_from(left + 1).expect("a day of a month") }
    }

    /// Years from `earlier` to this day, of 365.25 days; negative if it is later.
    #[must_use]
    pub fn years_since(self, earlier: Date) -> f64 {
        (self.days() - earlier.days()) as f64 / 365.25
    }

    /// The quarter whose end this day stands for: the one that ends on it or within a week after
    /// it. None for any other day.
    #[must_use]
    pub fn quarter(self) -> Option<Quarter> {
        let quarter = Quarter(self.year * 4 + i32::from((self.month - 1) / 3));
        (quarter.end().days() - self.days() <= LEEWAY_DAYS).then_some(quarter)
    }
}

impl Quarter {
    /// The last day.
    #[must_use]
    pub fn end(self) -> Date {
        let year = self.0.div_euclid(4);
        let month = u8::try_from(self.0.rem_euclid(4) * 3 + 3).expect("a month");
        Date { year, month, day: length(year, month) }
    }

    /// So many quarters later.
    #[must_use]
    pub const fn plus(self, quarters: i32) -> Quarter {
        Quarter(self.0 + quarters)
    }

    /// How many quarters it is after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Quarter) -> i32 {
        self.0 - earlier.0
    }
}

const fn length(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

impl serde::Serialize for Date {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Q{}", self.0.div_euclid(4), self.0.rem_euclid(4) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn dates_are_read_strictly() {
        assert_eq!(Date::parse("2024-02-29").map(|d| d.to_string()), Ok("2024-02-29".into()));
        for wrong in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "24-01-01",
            "2024-1-1",
            "2024-01-01-",
            "",
            "+024-01-01",
            "2024-01-0١",
        ] {
            assert!(Date::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_are_counted_through_leap_years() {
        let days = |a: &str, b: &str| {
            Date::parse(b).expect("a date").days() - Date::parse(a).expect("a date").days()
        };
        assert_eq!(days("1999-12-31", "2000-03-01"), 61);
        assert_eq!(days("1899-12-31", "1900-03-01"), 60);
        assert_eq!(days("2009-01-03", "2026-08-20"), 6438);
        assert_eq!(Date::of_unix(1_795_392_000).to_string(), "2026-11-23");
        assert_eq!(Date::of_unix(u64::MAX).year(), 2791);
        let start = Date::parse("1999-12-31").expect("a date");
        for n in 0..2_000 {
            assert_eq!(start.plus_days(n).days() - start.days(), n);
        }
        assert_eq!(start.plus_days(60).to_string(), "2000-02-29");
    }

    #[test]
    fn a_day_stands_for_a_quarter_only_near_its_end() {
        let quarter = |text| Date::parse(text).expect("a date").quarter().map(|q| q.to_string());
        assert_eq!(quarter("2026-06-30").as_deref(), Some("2026 Q2"));
        assert_eq!(quarter("2013-09-24").as_deref(), Some("2013 Q3"));
        assert_eq!(quarter("2026-07-25"), None, "25 days late is no quarter's end");
        assert_eq!(quarter("2026-01-28"), None);
    }
}
