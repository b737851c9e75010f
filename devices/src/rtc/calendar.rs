//! Seconds since 1970 to calendar fields and back (proleptic Gregorian), and the alarm's arithmetic.

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// A point in time as the clock's registers have it, in plain binary and 24-hour form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// 0 to 59.
    pub second: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 1 (Sunday) to 7.
    pub weekday: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 to 12.
    pub month: u8,
    /// 0 to 99.
    pub year: u8,
    /// 0 to 99.
    pub century: u8,
}

/// Days before the 1st of March of `year`, counted in years that start in March, whose leap day so comes
/// last.
fn days_before_march(year: i64) -> i64 {
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
}

/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH_DAYS: i64 = 719_468;

impl Fields {
    /// The fields at a time.
    pub fn from_unix(seconds: i64) -> Self {
        let of_day = seconds.rem_euclid(DAY_S);
        let days = seconds.div_euclid(DAY_S);
        let since_march = days + EPOCH_DAYS;
        // 400 years have 146,097 days; the quotient is the year or the one before.
        let mut year = (since_march * 400).div_euclid(146_097);
        if days_before_march(year + 1) <= since_march {
            year += 1;
        }
        let of_year = since_march - days_before_march(year);
        // Months from March have 31, 30, 31, 30, 31 days, over and over: 153 days in five.
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
        Self {
            second: (of_day % 60) as u8,
            minute: (of_day / 60 % 60) as u8,
            hour: (of_day / 3600) as u8,
            weekday: ((days + 4).rem_euclid(7) + 1) as u8,
            day: day as u8,
            month: month as u8,
            year: year.rem_euclid(100) as u8,
            century: (year.div_euclid(100)).rem_euclid(100) as u8,
        }
    }

    /// The time of the fields. Fields out of range, as a guest may write them, count on: 75 minutes are an
    /// hour and 15.
    pub fn to_unix(self) -> i64 {
        let year = i64::from(self.century) * 100 + i64::from(self.year);
        let month = i64::from(self.month).max(1) - 1;
        let (year, month) = (year + month / 12, month % 12);
        let (year, month) = if month >= 2 { (year, month - 2) } else { (year - 1, month + 10) };
        let days =
            days_before_march(year) + (153 * month + 2) / 5 + i64::from(self.day).max(1) - 1 - EPOCH_DAYS;
        days * DAY_S + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }
}

/// An alarm: `None` matches always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Second.
    pub second: Option<u8>,
    /// Minute.
    pub minute: Option<u8>,
    /// Hour, 24-hour form.
    pub hour: Option<u8>,
}

impl Alarm {
    /// The first matching second after `seconds`; `None` if the alarm's fields are out of range and never
    /// match.
    pub fn next_after(&self, seconds: i64) -> Option<i64> {
        let matches = |wanted: Option<u8>, is: i64| wanted.is_none_or(|wanted| i64::from(wanted) == is);
        let mut at = seconds.checked_add(1)?;
        // An alarm that does not match within a day matches never.
        let end = at.checked_add(DAY_S)?;
        while at < end {
            let of_day = at.rem_euclid(DAY_S);
            // Strides: to the next hour, to the next minute, by the second. At most 24 + 60 + 60 steps.
            let step = if !matches(self.hour, of_day / 3600) {
                3600 - of_day % 3600
            } else if !matches(self.minute, of_day / 60 % 60) {
                60 - of_day % 60
            } else if !matches(self.second, of_day % 60) {
                1
            } else {
                return Some(at);
            };
            at = at.checked_add(step)?;
        }
        None
    }
}
